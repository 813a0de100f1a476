//! `pointsman replay`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::print::{say, say_lines};
use super::runs::text;
use super::{Cli, Target, at_least_one, given};

/// Which events are replayed.
#[derive(Args)]
pub struct Replay {
    #[command(flatten)]
    target: Target,
    /// Of this source
    #[arg(long)]
    source: Option<String>,
    /// Of this type
    #[arg(long = "type")]
    event_type: Option<String>,
    /// With this action
    #[arg(long)]
    action: Option<String>,
    /// With this status
    #[arg(long)]
    status: Option<String>,
    /// About this subject, such as owner/repo#12 or ENG-45
    #[arg(long)]
    subject: Option<String>,
    /// Received at or after this time, such as 2026-11-24T10:00:00Z
    #[arg(long)]
    since: Option<String>,
    /// Received before this time
    #[arg(long)]
    until: Option<String>,
    /// Whose delivery id, subject, title, sender or repository contains this text
    #[arg(long, short)]
    query: Option<String>,
    /// At most so many, the newest ones
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    limit: usize,
    /// Only say what would be started
    #[arg(long)]
    dry_run: bool,
    /// Names the request: an event that this name has replayed already is not replayed again [default: a new name]
    #[arg(long)]
    request_id: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        let filter = [
            ("source", json!(self.source)),
            ("type", json!(self.event_type)),
            ("action", json!(self.action)),
            ("status", json!(self.status)),
            ("subject", json!(self.subject)),
            ("since", json!(self.since)),
            ("until", json!(self.until)),
            ("q", json!(self.query)),
        ];
        let request = self.request_id.clone().unwrap_or_else(new_request);
        let body =
            json!({ "filter": given(&filter), "dry_run": self.dry_run, "limit": self.limit, "request_id": request });
        let told = Client::of(cli, &self.target)?.post("/api/v1/events/replay", &body);
        let told = told.inspect_err(|error| {
            // A refusal is the same the next time; without an answer nobody knows what was done.
            if !self.dry_run && error.is::<reqwest::Error>() {
                eprintln!("say it again with --request-id {request}: nothing is replayed twice");
            }
        })?;
        if self.json {
            say_lines(serde_json::to_string_pretty(&told)?);
            return Ok(ExitCode::SUCCESS);
        }
        let items = told.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().for_each(|item| say(outcome(item)));
        let more = if told.get("more") == Some(&json!(true)) { "; there are more, older ones" } else { "" };
        let would = if self.dry_run { " would be" } else { "" };
        say(format_args!("{}{would} replayed{more}", told.get("taken").cloned().unwrap_or_default()));
        Ok(ExitCode::SUCCESS)
    }
}

/// A name for a request that nobody has used.
pub(super) fn new_request() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// What became of one event, in a line.
pub(super) fn outcome(told: &Value) -> String {
    let list = |name: &str| {
        let items = told.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        items.collect::<Vec<_>>().join(", ")
    };
    let what = match text(told, "outcome") {
        "routed" => format!("routed: it is {}  {}", text(told, "status"), list("runs")),
        "replayed" => {
            let generation = told.get("generation").cloned().unwrap_or_default();
            format!("replayed, generation {generation}: {}", list("runs"))
        }
        "already_replayed" => format!("this request was followed before: {}", list("runs")),
        "would_replay" => format!("would start {}", list("workflows")),
        "nothing" => format!("starts nothing: {}", text(told, "reason")),
        other => other.to_owned(),
    };
    format!("{}  {}", text(told, "id"), what.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_read_as_sentences() {
        let check = |told: Value, expect: &str| assert_eq!(outcome(&told), format!("evt_1  {expect}"));
        check(json!({"id": "evt_1", "outcome": "routed", "status": "unrouted", "runs": []}), "routed: it is unrouted");
        let replayed = json!({"id": "evt_1", "outcome": "replayed", "generation": 2, "runs": ["run_1", "run_2"]});
        check(replayed, "replayed, generation 2: run_1, run_2");
        check(json!({"id": "evt_1", "outcome": "nothing", "reason": "no route"}), "starts nothing: no route");
    }
}
