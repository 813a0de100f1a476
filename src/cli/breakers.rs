//! `pointsman breakers`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::print::{say, say_lines};
use super::runs::text;
use super::{Cli, Target};

/// Circuits of the services that steps call.
#[derive(Subcommand)]
pub enum Breakers {
    /// List them: whether the service is called, how many of its last calls failed, until when it is given a rest
    List(List),
    /// Close one: the service is well again, or one that was disabled is there again; it is called at once
    Reset(Reset),
}

/// All of them.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    target: Target,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// One to be closed.
#[derive(Args)]
pub struct Reset {
    #[command(flatten)]
    target: Target,
    /// The service, such as github, or notification:slack
    name: String,
}

impl Breakers {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(cli)?,
            Self::Reset(Reset { target, name }) => {
                let reset = Client::of(cli, target)?.post(&format!("/api/v1/breakers/{name}/reset"), &json!({}))?;
                say(line(&reset));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(&self, cli: &Cli) -> anyhow::Result<()> {
        let listed = Client::of(cli, &self.target)?.get("/api/v1/breakers", &[])?;
        let breakers = listed.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if self.json {
            say_lines(serde_json::to_string_pretty(breakers)?);
            return Ok(());
        }
        breakers.iter().for_each(|breaker| say(line(breaker)));
        if breakers.is_empty() {
            say("no breaker: they are switched off (circuit_breaker.enabled)");
        }
        Ok(())
    }
}

fn line(breaker: &Value) -> String {
    let (id, status, reason) = (text(breaker, "id"), text(breaker, "status"), text(breaker, "reason"));
    let count = |name: &str| breaker.get(name).and_then(Value::as_u64);
    let calls = match count("calls").zip(count("failures")) {
        Some((calls, failures)) => format!("{failures} of {calls} calls failed"),
        None => "nobody counts its calls".to_owned(),
    };
    let time = |name: &str| breaker.get(name).and_then(Value::as_str);
    let since = time("since").map_or_else(String::new, |since| format!("  since {since}"));
    let until = time("until").map_or_else(String::new, |until| format!("  until {until}"));
    format!("{id:<20} {status:<9} {calls}{since}{until}  {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_is_a_line() {
        let check = |breaker: Value, expect: &str| assert_eq!(line(&breaker), expect);
        check(
            json!({"id": "notification:slack", "status": "closed", "calls": 7, "failures": 2, "since": null, "until": null, "reason": "x"}),
            "notification:slack   closed    2 of 7 calls failed  x",
        );
        check(
            json!({"id": "github", "status": "open", "calls": 0, "failures": 0, "since": "s", "until": "u", "reason": "x"}),
            "github               open      0 of 0 calls failed  since s  until u  x",
        );
        check(
            json!({"id": "github", "status": "closed", "calls": null, "failures": null, "reason": "x"}),
            "github               closed    nobody counts its calls  x",
        );
    }
}
