//! `pointsman reload`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::print::{say, say_lines};
use super::runs::text;
use super::{Cli, Target};
use crate::config::changes::Change;

/// Has the server read its configuration again and puts it in force, whole or not at all; SIGHUP does the same.
#[derive(Args)]
pub struct Reload {
    #[command(flatten)]
    target: Target,
    /// Print what has changed as JSON
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        let answer = Client::of(cli, &self.target)?.post("/api/v1/reload", &json!({}))?;
        let changes = answer.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if self.json {
            say_lines(serde_json::to_string_pretty(changes)?);
        } else if changes.is_empty() {
            say("nothing has changed");
        } else {
            changes.iter().for_each(|change| say(line(change)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(change: &Value) -> String {
    let side = |name: &str| change.get(name).and_then(Value::as_str).map(str::to_owned);
    let needs_restart = text(change, "status") == "needs_restart";
    Change { key: text(change, "id").to_owned(), from: side("from"), to: side("to"), needs_restart }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_line() {
        let check = |change: Value, expect: &str| assert_eq!(line(&change), expect);
        check(json!({"id": "a.b", "status": "in_force", "from": "1", "to": "2"}), "a.b  1 → 2");
        check(json!({"id": "a.b", "status": "in_force", "from": null, "to": "2"}), "a.b  + 2");
        check(json!({"id": "a.b", "status": "in_force", "from": "1", "to": null}), "a.b  - 1");
        check(
            json!({"id": "a.b", "status": "needs_restart", "from": "***", "to": "***"}),
            "a.b  changed  (counts after a restart)",
        );
    }
}
