//! `pointsman secrets`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::print::{say, say_lines};
use super::runs::text;
use super::{Cli, Target};
use crate::access::token::random_bits;
use crate::config::webhooks::in_words;
use crate::sources::Scheme;

/// Secrets of senders.
#[derive(Subcommand)]
pub enum Secrets {
    /// List them: which count, until when, and when each last verified a delivery; never a secret itself
    List(List),
    /// Print a new one: 256 bits of the machine's random source
    New(New),
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

/// A new one.
#[derive(Args)]
pub struct New {
    /// The source that it is for
    source: Option<String>,
    /// As Standard Webhooks writes them: whsec_ and base64
    #[arg(long)]
    standard: bool,
}

impl Secrets {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(cli)?,
            Self::New(new) => new.run(cli)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl New {
    fn run(&self, cli: &Cli) -> anyhow::Result<()> {
        let settings = cli.load(Vec::new())?.settings;
        match &self.source {
            Some(name) if name == "linear" => {
                bail!("Linear makes the secret of a webhook itself; copy it from its settings")
            }
            Some(name) if !settings.sources.contains(name) => {
                bail!("there is no source `{name}`; there are {}", settings.sources.join(", "))
            }
            _ => {}
        }
        let source = settings.webhooks.iter().find(|source| Some(&source.name) == self.source.as_ref());
        let recipe = source.and_then(|source| source.recipe.as_ref());
        let is_standard = recipe.is_some_and(|recipe| matches!(recipe.scheme, Scheme::Standard(_)));
        say(secret(self.standard || is_standard)?);
        Ok(())
    }
}

fn secret(is_standard: bool) -> anyhow::Result<String> {
    let bits = random_bits()?;
    Ok(if is_standard { format!("whsec_{}", STANDARD.encode(bits)) } else { hex::encode(bits) })
}

impl List {
    fn run(&self, cli: &Cli) -> anyhow::Result<()> {
        let listed = Client::of(cli, &self.target)?.get("/api/v1/secrets", &[])?;
        let secrets = listed.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if self.json {
            say_lines(serde_json::to_string_pretty(secrets)?);
            return Ok(());
        }
        secrets.iter().for_each(|secret| say(line(secret)));
        if secrets.is_empty() {
            say("no secret: no source is on");
        }
        Ok(())
    }
}

fn line(secret: &Value) -> String {
    let (id, status) = (text(secret, "id"), text(secret, "status"));
    let time = |name: &str| secret.get(name).and_then(Value::as_str);
    let left = secret.get("expiresInMs").and_then(Value::as_u64).map(Duration::from_millis);
    let standing = match (status, left) {
        ("expiring", Some(left)) => format!("expires in {}", in_words(left)),
        ("not_yet_valid", _) => "not yet valid".to_owned(),
        (status, _) => status.to_owned(),
    };
    let count = secret.get("verified").and_then(Value::as_u64).unwrap_or_default();
    let used = time("lastVerifiedAt").map_or_else(
        || "verified nothing since the start".to_owned(),
        |last| format!("verified {count}, last at {last}"),
    );
    let (fingerprint, from, until) = (
        time("fingerprint").unwrap_or("-"),
        time("from").map_or_else(String::new, |from| format!("  from {from}")),
        time("until").map_or_else(String::new, |until| format!("  until {until}")),
    );
    format!("{id:<24} {fingerprint:<8} {standing:<17} {used}{from}{until}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sources::Secret;

    #[test]
    fn a_secret_is_a_line_without_it() {
        let check = |secret: Value, expect: &str| assert_eq!(line(&secret), expect);
        check(
            json!({"id": "github/secret", "status": "valid", "fingerprint": "1a2b3c4d", "verified": 0}),
            "github/secret            1a2b3c4d valid             verified nothing since the start",
        );
        check(
            json!({
                "id": "github/old", "status": "expiring", "expiresInMs": 3 * 86_400_000_u64, "until": "u",
                "verified": 7, "lastVerifiedAt": "t",
            }),
            "github/old               -        expires in 3 days verified 7, last at t  until u",
        );
        check(
            json!({"id": "github/new", "status": "not_yet_valid", "from": "f", "verified": 0}),
            "github/new               -        not yet valid     verified nothing since the start  from f",
        );
    }

    #[test]
    fn a_new_secret_is_long_and_another_each_time() {
        let new = |standard| secret(standard).unwrap();
        let (hex, standard) = (new(false), new(true));
        assert_eq!(hex::decode(&hex).unwrap().len(), 32);
        assert!(Secret::is_standard(&standard), "{} characters", standard.len());
        assert_ne!((hex, standard), (new(false), new(true)));
    }
}
