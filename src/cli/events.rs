//! `pointsman events`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::print::{say, say_lines};
use super::replay::{new_request, outcome};
use super::{Cli, Target, at_least_one};

/// Looks at events.
#[derive(Subcommand)]
pub enum Events {
    /// List events, newest first
    List(List),
    /// Show one event with its verdict, history, facts and payload
    Show(Show),
    /// Route an event now if it was never routed; otherwise replay it
    Retry(Retry),
}

/// Which events.
#[derive(Args)]
pub struct List {
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
    /// With this status: ignored, duplicate, dead_lettered, pending, started, completed_wait, late, buffered, unrouted
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
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Which event.
#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    target: Target,
    /// The event's id
    id: String,
}

/// An event to be routed now, or once more.
#[derive(Args)]
pub struct Retry {
    #[command(flatten)]
    target: Target,
    /// The event's id
    id: String,
    /// Names the request: a replay that this name has started already is not started again [default: a new name]
    #[arg(long)]
    request_id: Option<String>,
}

impl Events {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(cli),
            Self::Show(show) => {
                let event = Client::of(cli, &show.target)?.get(&format!("/api/v1/events/{}", show.id), &[])?;
                say_lines(serde_json::to_string_pretty(&event)?);
                Ok(ExitCode::SUCCESS)
            }
            Self::Retry(Retry { target, id, request_id }) => {
                let body = json!({ "request_id": request_id.clone().unwrap_or_else(new_request) });
                let told = Client::of(cli, target)?.post(&format!("/api/v1/events/{id}/retry"), &body)?;
                say(outcome(&told));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl List {
    fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        let filters = [
            ("source", self.source.clone()),
            ("type", self.event_type.clone()),
            ("action", self.action.clone()),
            ("status", self.status.clone()),
            ("subject", self.subject.clone()),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
            ("q", self.query.clone()),
        ];
        let events = Client::of(cli, &self.target)?.list("/api/v1/events", &filters, self.limit)?;
        if self.json {
            say_lines(serde_json::to_string_pretty(&events)?);
            return Ok(ExitCode::SUCCESS);
        }
        for event in &events {
            say(line(event));
        }
        if events.is_empty() {
            say("no such event");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("-");
    let kind = match event.get("action").and_then(Value::as_str) {
        Some(action) => format!("{}.{action}", text("type")),
        None => text("type").to_owned(),
    };
    let reason = event.pointer("/verdict/reason").or_else(|| event.pointer("/verdict/of")).and_then(Value::as_str);
    let reason = reason.map_or_else(String::new, |reason| format!("  {reason}"));
    let (id, at, source, subject, status) =
        (text("id"), text("receivedAt"), text("source"), text("subject"), text("status"));
    format!("{id}  {at}  {source:<11} {kind:<28} {subject:<24} {status}{reason}")
}
