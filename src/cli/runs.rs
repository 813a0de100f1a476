//! `pointsman runs`

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::print::{say, say_lines};
use super::{Cli, Target, at_least_one, given};

/// Looks at runs.
#[derive(Subcommand)]
pub enum Runs {
    /// List runs, newest first
    List(List),
    /// Show one run, step by step
    Show(Show),
    /// End a run; of an effect in flight the outcome is waited for
    Cancel(Cancel),
    /// Begin nothing more of a run until it is resumed
    Pause(One),
    /// Go on with a run that was paused
    Resume(One),
    /// Do a run again from a step on; earlier steps keep their output
    Restart(Restart),
    /// Say what became of an attempt of which nobody knows
    Decide(Decide),
}

/// One run.
#[derive(Args)]
pub struct One {
    #[command(flatten)]
    target: Target,
    /// The run's id
    id: String,
}

/// A run to be ended.
#[derive(Args)]
pub struct Cancel {
    #[command(flatten)]
    run: One,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

/// A run to be done again.
#[derive(Args)]
pub struct Restart {
    #[command(flatten)]
    run: One,
    /// The step from which on
    #[arg(long)]
    step: String,
}

/// What became of an attempt in doubt.
#[derive(Args)]
pub struct Decide {
    #[command(flatten)]
    run: One,
    /// What to do about it
    #[arg(value_parser = ["repeat", "done", "fail"])]
    decision: String,
    /// The step, if several are in doubt
    #[arg(long)]
    step: Option<String>,
    /// What later steps see of it, as JSON; with `done`
    #[arg(long, value_name = "JSON", value_parser = as_json)]
    output: Option<Value>,
    /// Why; with `fail`
    #[arg(long)]
    reason: Option<String>,
}

fn as_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl One {
    fn tell(&self, cli: &Cli, verb: &str, body: &Value) -> anyhow::Result<ExitCode> {
        let told = Client::of(cli, &self.target)?.post(&format!("/api/v1/runs/{}/{verb}", self.id), body)?;
        say(line(&told));
        Ok(ExitCode::SUCCESS)
    }
}

/// Which runs.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    target: Target,
    /// Of this workflow
    #[arg(long)]
    workflow: Option<String>,
    /// With this status: queued, running, waiting, paused, needs_decision, blocked, stuck, succeeded, failed, timed_out, cancelled, superseded
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
            Self::Cancel(Cancel { run, reason }) => run.tell(cli, "cancel", &given(&[("reason", json!(reason))])),
            Self::Pause(run) => run.tell(cli, "pause", &given(&[])),
            Self::Resume(run) => run.tell(cli, "resume", &given(&[])),
            Self::Restart(Restart { run, step }) => run.tell(cli, "restart", &given(&[("step", json!(step))])),
            Self::Decide(Decide { run, decision, step, output, reason }) => {
                let body = [
                    ("decision", json!(decision)),
                    ("step", json!(step)),
                    ("output", json!(output)),
                    ("reason", json!(reason)),
                ];
                run.tell(cli, "decide", &given(&body))
            }
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
            say_lines(serde_json::to_string_pretty(&runs)?);
            return Ok(ExitCode::SUCCESS);
        }
        for run in &runs {
            say(line(run));
        }
        if runs.is_empty() {
            say("no such run");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        let (client, path) = (Client::of(cli, &self.target)?, format!("/api/v1/runs/{}", self.id));
        let mut run = client.get(&path, &[])?;
        if self.json {
            say_lines(serde_json::to_string_pretty(&run)?);
            return Ok(ExitCode::SUCCESS);
        }
        say(line(&run));
        if let Some(parent) = run.get("parent").filter(|parent| !parent.is_null()) {
            let (step, workflow) = (text(parent, "step"), text(parent, "workflow"));
            say(format_args!("  started by the step `{step}` of {}, a run of `{workflow}`", text(parent, "run")));
        }
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
        say(format_args!("  {}", entry_line(entry)));
    }
    journal.len()
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn line(run: &Value) -> String {
    let (id, at, workflow, subject, status) =
        (text(run, "id"), text(run, "startedAt"), text(run, "workflow"), text(run, "subject"), text(run, "status"));
    let step = run.get("step").and_then(Value::as_str).map_or_else(String::new, |step| format!(" at {step}"));
    let reason = run.get("reason").and_then(Value::as_str).map_or_else(String::new, |reason| format!("  {reason}"));
    let doubt = if run.get("inDoubt") == Some(&json!(true)) { "  (an attempt of it is in doubt)" } else { "" };
    format!("{id}  {at}  {workflow:<16} {subject:<24} {status}{step}{reason}{doubt}")
}

/// An entry of a journal in a line: when, which step, what.
pub(super) fn entry_line(entry: &Value) -> String {
    let step = text(entry, "step");
    let attempt = entry.get("attempt").and_then(Value::as_u64).unwrap_or_default();
    let what = match text(entry, "entry") {
        "begun" => {
            let millis = entry.get("may_take_ms").and_then(Value::as_u64).unwrap_or_default();
            format!("begun; it may take {:?}", Duration::from_millis(millis))
        }
        "delayed" => format!("{step}: waits until {}", text(entry, "until")),
        "waiting" => {
            let keys = entry.get("keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let keys = keys.collect::<Vec<_>>().join(" or ");
            let until = entry.pointer("/wait/until").and_then(Value::as_str).unwrap_or("-");
            match entry.get("run").and_then(Value::as_str) {
                Some(run) => format!("{step}: has started {run}, and waits until {until} for its end"),
                None => format!("{step}: waits until {until} to be called back as {keys}"),
            }
        }
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
                Some(at) if entry.get("unclear").is_some() => {
                    format!(
                        "{step}: attempt {attempt} failed, and may have had its effect; that is looked for at {at}: {error}"
                    )
                }
                Some(at) => format!("{step}: attempt {attempt} failed, the next one comes at {at}: {error}"),
                None => format!("{step}: failed for good: {error}"),
            }
        }
        "interrupted" if entry.get("alone").is_some() => {
            format!("{step}: the process died with attempt {attempt} in flight and nothing else; it is repeated")
        }
        "interrupted" if entry.get("look_at").is_some() => {
            format!(
                "{step}: attempt {attempt} may have had its effect; that is looked for at {}",
                text(entry, "look_at")
            )
        }
        "will_look" => {
            format!(
                "{step}: its service is well again; at {} it is looked whether attempt {attempt} had its effect",
                text(entry, "at_soonest")
            )
        }
        "looking" => format!("{step}: looks whether attempt {attempt} had its effect"),
        "absent" => format!("{step}: attempt {attempt} had no effect"),
        "interrupted" => format!("{step}: attempt {attempt} was cut off; it may be made again"),
        "supersede_asked" => format!("makes way when what is in flight has ended: {}", text(entry, "reason")),
        "skipped" => format!("{step}: skipped"),
        "end_asked" => {
            format!("is to be {} when what is in flight has ended: {}", text(entry, "status"), text(entry, "reason"))
        }
        "cancel_asked" => format!("is to be cancelled when what is in flight has ended: {}", text(entry, "reason")),
        "paused" => "paused".to_owned(),
        "resumed" => "resumed".to_owned(),
        "decided" => {
            let ruling = entry.pointer("/ruling/decision").and_then(Value::as_str).unwrap_or("-");
            let stays = if entry.get("stays").is_some() { "; the run is over, and nothing undoes it" } else { "" };
            format!("{step}: an operator decides about attempt {attempt}: {ruling}{stays}")
        }
        "restarted" => {
            let steps = entry.get("steps").and_then(Value::as_array).into_iter().flatten();
            let steps: Vec<&str> = steps.filter_map(Value::as_str).collect();
            format!("restarted; done again: {}", steps.join(", "))
        }
        "parked" => format!("{step}: needs a decision: {}", text(entry, "reason")),
        "undoing" => format!("undoes what it has done, then it is {}", text(entry, "status")),
        "held" => format!("{step}: waits until {} is well", text(entry, "service")),
        "dismissed" => format!("dismissed: {}", text(entry, "reason")),
        "routing_failed" => {
            let number = entry.get("number").and_then(Value::as_u64).unwrap_or_default();
            format!("attempt {number} to route it failed: {}", text(entry, "reason"))
        }
        "redriven" => "redriven: it is routed again".to_owned(),
        "replayed" => {
            let generation = entry.get("generation").and_then(Value::as_u64).unwrap_or_default();
            format!("replayed, generation {generation}")
        }
        "blocked" => format!("blocked: {}", text(entry, "reason")),
        "unblocked" => "goes on".to_owned(),
        "ended" => match entry.get("reason").and_then(Value::as_str) {
            Some(reason) => format!("{}: {reason}", text(entry, "status")),
            None => text(entry, "status").to_owned(),
        },
        other => other.to_owned(),
    };
    let by = entry.get("by").and_then(Value::as_str).map_or_else(String::new, |by| format!(" (by {by})"));
    format!("{}  {what}{by}", text(entry, "at"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_as_sentences() {
        let check = |entry: Value, expect: &str| assert_eq!(entry_line(&entry), format!("t  {expect}"));
        check(json!({"at": "t", "entry": "attempted", "step": "a", "attempt": 2}), "a: attempt 2");
        check(json!({"at": "t", "entry": "dismissed", "reason": "x"}), "dismissed: x");
        check(json!({"at": "t", "entry": "paused", "by": "ci"}), "paused (by ci)");
        let failed = json!({"at": "t", "entry": "routing_failed", "number": 3, "reason": "x"});
        check(failed, "attempt 3 to route it failed: x");
        let waiting = json!({"at": "t", "entry": "waiting", "step": "a", "keys": ["x:y:1"], "wait": {"until": "u"}});
        check(waiting, "a: waits until u to be called back as x:y:1");
        let parent = json!({"at": "t", "entry": "waiting", "step": "a", "run": "run_1", "wait": {"until": "u"}});
        check(parent, "a: has started run_1, and waits until u for its end");
        check(json!({"at": "t", "entry": "succeeded", "step": "a", "output": {"x": 1}}), "a: done {\"x\":1}");
        check(json!({"at": "t", "entry": "succeeded", "step": "a", "output": null}), "a: done");
        check(json!({"at": "t", "entry": "succeeded", "step": "a", "assumed": true}), "a: taken as done; nobody knows");
        check(
            json!({"at": "t", "entry": "failed", "step": "a", "attempt": 1, "error": {"message": "no"}}),
            "a: failed for good: no",
        );
        let decided = json!({"at": "t", "entry": "decided", "step": "a", "attempt": 1, "ruling": {"decision": "done"}, "stays": true});
        check(decided, "a: an operator decides about attempt 1: done; the run is over, and nothing undoes it");
        let held = json!({"at": "t", "entry": "will_look", "step": "a", "attempt": 1, "at_soonest": "u"});
        check(held, "a: its service is well again; at u it is looked whether attempt 1 had its effect");
        check(json!({"at": "t", "entry": "ended", "status": "superseded", "reason": "by b"}), "superseded: by b");
    }
}
