//! `pointsman runs`

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::{Cli, Target, at_least_one};

/// Looks at runs.
#[derive(Subcommand)]
pub enum Runs {
    /// List runs, newest first
    List(List),
    /// Show one run, step by step
    Show(Show),
}

/// Which runs.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    target: Target,
    /// Of this workflow
    #[arg(long)]
    workflow: Option<String>,
    /// With this status: queued, running, waiting, needs_decision, blocked, succeeded, failed, timed_out, cancelled, superseded
    #[arg(long)]
    status: Option<String>,
    /// About this subject, such as owner/repo#12 or ENG-45
    #[arg(long)]
    subject: Option<String>,
    /// Started by this event
    #[arg(long)]
    event: Option<String>,
    /// Started at or after this time, such as 2026-11-24T10:00:00Z
    #[arg(long)]
    since: Option<String>,
    /// Started before this time
    #[arg(long)]
    until: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Which run.
#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    target: Target,
    /// The run's id
    id: String,
    /// Go on until the run has ended; exit code 1 unless it succeeded
    #[arg(long, short)]
    follow: bool,
    /// Print the answer as JSON
    #[arg(long, conflicts_with = "follow")]
    json: bool,
}

/// How often a run that is followed is looked at.
const EVERY: Duration = Duration::from_millis(200);

impl Runs {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(cli),
            Self::Show(show) => show.run(cli),
        }
    }
}

impl List {
    fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        let filters = [
            ("workflow", self.workflow.clone()),
            ("status", self.status.clone()),
            ("subject", self.subject.clone()),
            ("event", self.event.clone()),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
        ];
        let runs = Client::of(cli, &self.target)?.list("/api/v1/runs", &filters, self.limit)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&runs)?);
            return Ok(ExitCode::SUCCESS);
        }
        for run in &runs {
            println!("{}", line(run));
        }
        if runs.is_empty() {
            println!("no such run");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        let (client, path) = (Client::of(cli, &self.target)?, format!("/api/v1/runs/{}", self.id));
        let mut run = client.get(&path, &[])?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&run)?);
            return Ok(ExitCode::SUCCESS);
        }
        println!("{}", line(&run));
        let mut shown = print_journal(&run, 0);
        while self.follow && !is_over(&run) {
            std::thread::sleep(EVERY);
            run = client.get(&path, &[])?;
            shown = print_journal(&run, shown);
        }
        let failed = self.follow && text(&run, "status") != "succeeded";
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn is_over(run: &Value) -> bool {
    matches!(text(run, "status"), "succeeded" | "failed" | "timed_out" | "cancelled" | "superseded")
}

/// Prints the journal from the entry of this number on; gives the number of the next.
fn print_journal(run: &Value, from: usize) -> usize {
    let journal = run.get("journal").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for entry in journal.iter().skip(from) {
        println!("  {}", entry_line(entry));
    }
    journal.len()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn line(run: &Value) -> String {
    let (id, at, workflow, subject, status) =
        (text(run, "id"), text(run, "startedAt"), text(run, "workflow"), text(run, "subject"), text(run, "status"));
    let step = run.get("step").and_then(Value::as_str).map_or_else(String::new, |step| format!(" at {step}"));
    let reason = run.get("reason").and_then(Value::as_str).map_or_else(String::new, |reason| format!("  {reason}"));
    format!("{id}  {at}  {workflow:<16} {subject:<24} {status}{step}{reason}")
}

/// An entry of a journal in a line: when, which step, what.
fn entry_line(entry: &Value) -> String {
    let step = text(entry, "step");
    let attempt = entry.get("attempt").and_then(Value::as_u64).unwrap_or_default();
    let what = match text(entry, "entry") {
        "begun" => {
            let millis = entry.get("may_take_ms").and_then(Value::as_u64).unwrap_or_default();
            format!("begun; it may take {:?}", Duration::from_millis(millis))
        }
        "delayed" => format!("{step}: waits until {}", text(entry, "until")),
        "attempted" => format!("{step}: attempt {attempt}"),
        "noted" => format!("{step}: {}", entry.get("note").cloned().unwrap_or_default()),
        "succeeded" if entry.get("assumed").is_some() => format!("{step}: taken as done; nobody knows"),
        "succeeded" => match entry.get("output").filter(|output| !output.is_null()) {
            Some(output) => format!("{step}: done {output}"),
            None => format!("{step}: done"),
        },
        "failed" => {
            let error = entry.pointer("/error/message").and_then(Value::as_str).unwrap_or("-");
            match entry.get("retry_at").and_then(Value::as_str) {
                Some(at) => format!("{step}: attempt {attempt} failed, the next one comes at {at}: {error}"),
                None => format!("{step}: failed for good: {error}"),
            }
        }
        "interrupted" => format!("{step}: the process ended with attempt {attempt} in flight; it is repeated"),
        "supersede_asked" => format!("makes way after the attempt in flight: {}", text(entry, "reason")),
        "parked" => format!("{step}: needs a decision: {}", text(entry, "reason")),
        "blocked" => format!("blocked: {}", text(entry, "reason")),
        "unblocked" => "goes on".to_owned(),
        "ended" => match entry.get("reason").and_then(Value::as_str) {
            Some(reason) => format!("{}: {reason}", text(entry, "status")),
            None => text(entry, "status").to_owned(),
        },
        other => other.to_owned(),
    };
    format!("{}  {what}", text(entry, "at"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_read_as_sentences() {
        let check = |entry: Value, expect: &str| assert_eq!(entry_line(&entry), format!("t  {expect}"));
        check(json!({"at": "t", "entry": "attempted", "step": "a", "attempt": 2}), "a: attempt 2");
        check(json!({"at": "t", "entry": "succeeded", "step": "a", "output": {"x": 1}}), "a: done {\"x\":1}");
        check(json!({"at": "t", "entry": "succeeded", "step": "a", "output": null}), "a: done");
        check(json!({"at": "t", "entry": "succeeded", "step": "a", "assumed": true}), "a: taken as done; nobody knows");
        check(
            json!({"at": "t", "entry": "failed", "step": "a", "attempt": 1, "error": {"message": "no"}}),
            "a: failed for good: no",
        );
        check(json!({"at": "t", "entry": "ended", "status": "superseded", "reason": "by b"}), "superseded: by b");
    }
}
