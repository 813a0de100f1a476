//! `pointsman tokens`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use pointsman_actors::time::{self, Clock, SystemClock, Timestamp};

use super::print::say_lines;
use crate::access::Scope;
use crate::access::token::{self, TokenHash};
use crate::config::access::{scopes, usable_name};

/// Tokens of the operator API.
#[derive(Subcommand)]
pub enum Tokens {
    /// Make a token, show it once, and print what to add to the configuration; nothing is stored
    New(New),
}

/// What a new token is for.
#[derive(Args)]
pub struct New {
    /// How its holder is called in the log
    #[arg(value_parser = name)]
    name: String,
    /// What its holder may do: read, operate, admin; a larger one includes the smaller
    #[arg(long, value_delimiter = ',', required = true, value_parser = scope)]
    scopes: Vec<Scope>,
    /// When it opens nothing any more: a time such as 2027-01-01T00:00:00Z, or a span such as 90d
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

impl Tokens {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Self::New(new) = self;
        let now = SystemClock::new().now();
        let end = new.expires.as_deref().map(|text| end(text, now)).transpose()?;
        let token = token::random()?;
        say_lines(format_args!("{token}\n"));
        say_lines(
            "This token is shown only now. Add to the configuration, and have the server read it (`pointsman reload`):\n",
        );
        say_lines(table(&new.name, &new.scopes, end, &TokenHash::of(&token)));
        Ok(ExitCode::SUCCESS)
    }
}

/// The lines of the configuration.
fn table(name: &str, scopes: &[Scope], end: Option<Timestamp>, hash: &TokenHash) -> String {
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("\"{}\"", scope.name())).collect();
    let expires = end.map(|end| format!("\nexpires = \"{end}\"")).unwrap_or_default();
    format!("[admin.tokens.{name}]\nhash = \"{}\"\nscopes = [{}]{expires}", hash.written(), scopes.join(", "))
}

fn end(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    let end = Timestamp::from_rfc3339(text).or_else(|| Some(now.plus(time::parse_span(text)?)));
    let end = end
        .ok_or_else(|| anyhow::anyhow!("--expires: give a time such as 2027-01-01T00:00:00Z, or a span such as 90d"))?;
    anyhow::ensure!(end > now, "--expires: {end} is over already");
    Ok(end)
}

fn name(text: &str) -> Result<String, String> {
    usable_name(text).map(|()| text.to_owned())
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::of(text).ok_or_else(|| format!("there are {}", scopes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_at_a_time_or_after_a_span_and_never_before_it_began() {
        let now = Timestamp::from_millis(0);
        assert_eq!(end("90d", now).unwrap().to_rfc3339(), "1970-04-01T00:00:00.000Z");
        assert_eq!(end("1970-01-02T00:00:00Z", now).unwrap().millis(), 86_400_000);
        for wrong in ["1969-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "0s", "soon", ""] {
            assert!(end(wrong, now).is_err(), "{wrong}");
        }
    }
}
