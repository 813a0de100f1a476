//! `pointsman waits`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::print::{say, say_lines};
use super::runs::text;
use super::{Cli, Target, at_least_one};

/// Looks at waits.
#[derive(Subcommand)]
pub enum Waits {
    /// List waits, newest first
    List(List),
    /// Show one wait
    Show(Show),
}

/// Which waits.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    target: Target,
    /// Open ones, or resolved ones
    #[arg(long, value_parser = ["open", "resolved"])]
    status: Option<String>,
    /// Of this run
    #[arg(long)]
    run: Option<String>,
    /// With this key, such as github:pr:owner/repo#12 or codegen:run:17
    #[arg(long)]
    key: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Which wait.
#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    target: Target,
    /// Its id
    id: String,
}

impl Waits {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(cli)?,
            Self::Show(Show { target, id }) => {
                let wait = Client::of(cli, target)?.get(&format!("/api/v1/waits/{id}"), &[])?;
                say_lines(serde_json::to_string_pretty(&wait)?);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(&self, cli: &Cli) -> anyhow::Result<()> {
        let filters = [("status", self.status.clone()), ("run", self.run.clone()), ("key", self.key.clone())];
        let waits = Client::of(cli, &self.target)?.list("/api/v1/waits", &filters, self.limit)?;
        if self.json {
            say_lines(serde_json::to_string_pretty(&waits)?);
            return Ok(());
        }
        waits.iter().for_each(|wait| say(line(wait)));
        if waits.is_empty() {
            say("no such wait");
        }
        Ok(())
    }
}

fn line(wait: &Value) -> String {
    let (id, at, run, step) = (text(wait, "id"), text(wait, "reservedAt"), text(wait, "run"), text(wait, "step"));
    let keys = wait.get("keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let keys: Vec<&str> = keys.collect();
    // An action that calls somebody learns the key from his answer.
    let keys = if keys.is_empty() { "(its key is not known yet)".to_owned() } else { keys.join(" or ") };
    let became = match wait.get("resolvedBy").and_then(Value::as_str) {
        Some(by) => {
            let event = wait.get("event").and_then(Value::as_str).map_or_else(String::new, |event| format!(" {event}"));
            format!("resolved by {by}{event} at {}", text(wait, "resolvedAt"))
        }
        None => format!("open until {}", text(wait, "deadline")),
    };
    format!("{id}  {at}  {run} {step}  {keys}  {became}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_is_a_line() {
        let mut wait = json!({
            "id": "wait_1", "reservedAt": "r", "run": "run_1", "step": "s", "keys": ["a:b:1", "a:b:2"], "deadline": "d",
        });
        assert_eq!(line(&wait), "wait_1  r  run_1 s  a:b:1 or a:b:2  open until d");
        wait["keys"] = json!([]);
        assert_eq!(line(&wait), "wait_1  r  run_1 s  (its key is not known yet)  open until d");
        (wait["resolvedBy"], wait["resolvedAt"]) = (json!("timeout"), json!("t"));
        assert!(line(&wait).ends_with("resolved by timeout at t"));
        (wait["resolvedBy"], wait["event"]) = (json!("callback"), json!("evt_1"));
        assert!(line(&wait).ends_with("resolved by callback evt_1 at t"));
    }
}
