//! `pointsman dead-letters`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::print::{say, say_lines};
use super::runs::{entry_line, text};
use super::{Cli, Target, at_least_one, given};

/// What failed for good.
#[derive(Subcommand)]
pub enum DeadLetters {
    /// List them, newest first
    List(List),
    /// Show one with its history
    Show(One),
    /// Have one done again from where it failed, or many, a few a second
    Redrive(Redrive),
    /// Want nothing more of one
    Dismiss(Dismiss),
}

/// One of them.
#[derive(Args)]
pub struct One {
    #[command(flatten)]
    target: Target,
    /// Its id: that of a run or of an event
    id: String,
}

/// One of which nothing more is wanted.
#[derive(Args)]
pub struct Dismiss {
    #[command(flatten)]
    letter: One,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

/// Which of them.
#[derive(Args, Default)]
pub struct Filter {
    /// Only runs, or only events
    #[arg(long, value_parser = ["run", "event"])]
    kind: Option<String>,
    /// Runs of this workflow
    #[arg(long)]
    workflow: Option<String>,
    /// Events of this source
    #[arg(long)]
    source: Option<String>,
    /// With this status: failed, timed_out, dead_lettered
    #[arg(long)]
    status: Option<String>,
    /// About this subject, such as owner/repo#12 or ENG-45
    #[arg(long)]
    subject: Option<String>,
    /// Only poison, of which each attempt fell or killed the process
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    poison: Option<bool>,
    /// Whose reason contains this text
    #[arg(long, short)]
    query: Option<String>,
    /// Dead since this time or later, such as 2026-11-24T10:00:00Z
    #[arg(long)]
    since: Option<String>,
    /// Dead before this time
    #[arg(long)]
    until: Option<String>,
}

/// A list of them.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// What is done again.
#[derive(Args)]
#[command(override_usage = "pointsman dead-letters redrive [OPTIONS] <ID | --all>")]
pub struct Redrive {
    #[command(flatten)]
    target: Target,
    /// The id of one, which is done again at once
    #[arg(required_unless_present = "all", conflicts_with_all = ["all", "dry_run", "limit", "Filter"])]
    id: Option<String>,
    /// All that the filter leaves
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// At most so many, the newest ones
    #[arg(long, default_value_t = 1_000, value_parser = at_least_one)]
    limit: usize,
    /// Only say which and how many they would be; nothing is done
    #[arg(long)]
    dry_run: bool,
}

impl Filter {
    fn fields(&self) -> [(&'static str, Option<String>); 9] {
        [
            ("kind", self.kind.clone()),
            ("workflow", self.workflow.clone()),
            ("source", self.source.clone()),
            ("status", self.status.clone()),
            ("subject", self.subject.clone()),
            ("poison", self.poison.map(|poison| poison.to_string())),
            ("q", self.query.clone()),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
        ]
    }

    fn body(&self) -> Value {
        let fields = self.fields().map(|(name, value)| match name {
            "poison" => (name, json!(self.poison)),
            _ => (name, json!(value)),
        });
        given(&fields)
    }
}

impl DeadLetters {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(cli)?,
            Self::Show(One { target, id }) => {
                let letter = Client::of(cli, target)?.get(&format!("/api/v1/dead-letters/{id}"), &[])?;
                say(line(&letter));
                let history = letter.get("history").and_then(Value::as_array).into_iter().flatten();
                history.for_each(|entry| say(format_args!("  {}", entry_line(entry))));
            }
            Self::Redrive(redrive) => redrive.run(cli)?,
            Self::Dismiss(Dismiss { letter: One { target, id }, reason }) => {
                let body = given(&[("reason", json!(reason))]);
                Client::of(cli, target)?.post(&format!("/api/v1/dead-letters/{id}/dismiss"), &body)?;
                say(format_args!("{id}  dismissed"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(&self, cli: &Cli) -> anyhow::Result<()> {
        let letters = Client::of(cli, &self.target)?.list("/api/v1/dead-letters", &self.filter.fields(), self.limit)?;
        if self.json {
            say_lines(serde_json::to_string_pretty(&letters)?);
            return Ok(());
        }
        letters.iter().for_each(|letter| say(line(letter)));
        if letters.is_empty() {
            say("no such dead letter");
        }
        Ok(())
    }
}

impl Redrive {
    fn run(&self, cli: &Cli) -> anyhow::Result<()> {
        let client = Client::of(cli, &self.target)?;
        if let Some(id) = &self.id {
            client.post("/api/v1/dead-letters/redrive", &json!({ "id": id }))?;
            say(format_args!("{id}  redriven"));
            return Ok(());
        }
        let body = json!({ "filter": self.filter.body(), "dry_run": self.dry_run, "limit": self.limit });
        let told = client.post("/api/v1/dead-letters/redrive", &body)?;
        let items = |name: &str| told.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        items("items").iter().for_each(|letter| say(line(letter)));
        for refused in items("refused") {
            say(format_args!("{}  not redriven: {}", text(&refused, "id"), text(&refused, "reason")));
        }
        say(self.outcome(&told));
        Ok(())
    }

    /// What an answer about many comes to, in a sentence.
    fn outcome(&self, told: &Value) -> String {
        let count = |name: &str| told.get(name).and_then(Value::as_array).map_or(0, Vec::len);
        let (taken, before) = (count("items"), count("alreadyTaken"));
        let more = if told.get("more") == Some(&json!(true)) { "; there are more, older ones" } else { "" };
        if self.dry_run {
            format!("dry run, nothing was done: {taken} would be redriven, {before} wait for it already{more}")
        } else {
            format!("{taken} taken, to be redriven a few a second; {before} waited for it already{more}")
        }
    }
}

fn line(letter: &Value) -> String {
    let of = letter.get("workflow").or_else(|| letter.get("source")).and_then(Value::as_str).unwrap_or("-");
    let (id, since, subject, status) =
        (text(letter, "id"), text(letter, "since"), text(letter, "subject"), text(letter, "status"));
    let asked = match letter.get("redriveAskedAt").and_then(Value::as_str) {
        Some(_) => "  (to be redriven)".to_owned(),
        None => match letter.get("redriveRefused").and_then(Value::as_str) {
            Some(why) => format!("  (not redriven: {why})"),
            None => String::new(),
        },
    };
    format!("{id}  {since}  {of:<16} {subject:<24} {status}  {}{asked}", text(letter, "reason"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn a_dry_run_says_that_nothing_was_done() {
        let redrive = |dry_run| Redrive {
            target: Target { url: None, token: None },
            id: None,
            all: true,
            filter: Filter::default(),
            limit: 2,
            dry_run,
        };
        let mut told = json!({ "items": [{}, {}], "alreadyTaken": [{}], "refused": [], "more": false });
        let would = "dry run, nothing was done: 2 would be redriven, 1 wait for it already";
        assert_eq!(redrive(true).outcome(&told), would);
        told["more"] = json!(true);
        assert_eq!(redrive(true).outcome(&told), format!("{would}; there are more, older ones"));
        let taken = "2 taken, to be redriven a few a second; 1 waited for it already; there are more, older ones";
        assert_eq!(redrive(false).outcome(&told), taken);
    }

    #[test]
    fn what_does_not_go_with_one_is_refused_and_not_passed_over() {
        let parse = |more: &[&str]| {
            let line = [&["pointsman", "dead-letters", "redrive"], more].concat();
            Cli::try_parse_from(line).map(|_| ()).map_err(|error| error.kind())
        };
        for more in [&["--dry-run"][..], &["--all"], &["--workflow", "w"], &["--poison"], &["--limit", "5"]] {
            assert_eq!(parse(&[&["run_1"], more].concat()), Err(ErrorKind::ArgumentConflict), "{more:?}");
        }
        assert_eq!(parse(&["--dry-run"]), Err(ErrorKind::MissingRequiredArgument));
        assert_eq!(parse(&["run_1"]), Ok(()));
        assert_eq!(parse(&["--all", "--dry-run", "--workflow", "w", "--limit", "5"]), Ok(()));
    }

    #[test]
    fn a_dead_letter_is_a_line() {
        let mut letter = json!({
            "id": "run_1", "since": "t", "workflow": "w", "subject": "o/r#1", "status": "failed", "reason": "x",
        });
        let padded = format!("run_1  t  {:<16} {:<24} failed  x", "w", "o/r#1");
        assert_eq!(line(&letter), padded);
        letter["redriveRefused"] = json!("in doubt");
        assert_eq!(line(&letter), format!("{padded}  (not redriven: in doubt)"));
        letter["redriveAskedAt"] = json!("t");
        assert_eq!(line(&letter), format!("{padded}  (to be redriven)"));
    }
}
