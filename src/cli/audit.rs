//! `pointsman audit`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::print::{say, say_lines};
use super::runs::text;
use super::{Cli, Target, at_least_one};

/// Looks at what operators did.
#[derive(Subcommand)]
pub enum Audit {
    /// List what operators did, newest first
    List(List),
}

/// Which of it.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    target: Target,
    /// By the holder of the token with this name
    #[arg(long)]
    operator: Option<String>,
    /// What names this, such as the id of a run
    #[arg(long)]
    about: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        let Self::List(List { target, operator, about, limit, json }) = self;
        let filters = [("operator", operator.clone()), ("about", about.clone())];
        let records = Client::of(cli, target)?.list("/api/v1/audit", &filters, *limit)?;
        if *json {
            say_lines(serde_json::to_string_pretty(&records)?);
            return Ok(ExitCode::SUCCESS);
        }
        records.iter().for_each(|record| say(line(record)));
        if records.is_empty() {
            say("nothing of that is in the trail");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(record: &Value) -> String {
    let [id, at, operator, from, action, status, error] =
        ["id", "at", "operator", "from", "action", "status", "error"].map(|name| text(record, name));
    let body = record.get("body").filter(|body| !body.is_null()).map(|body| format!(" {body}")).unwrap_or_default();
    let why = if record.get("error").is_some_and(Value::is_string) { format!(" ({error})") } else { String::new() };
    format!("{id}  {at}  {operator} from {from}  {action}{body}  {status}{why}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deed_is_a_line() {
        let mut record = json!({
            "id": "7", "at": "t", "operator": "ci", "from": "192.0.2.1", "action": "POST /x", "status": "done", "body": null,
            "error": null,
        });
        assert_eq!(line(&record), "7  t  ci from 192.0.2.1  POST /x  done");
        (record["status"], record["error"]) = (json!("refused"), json!("not_possible"));
        record["body"] = json!({ "reason": "y" });
        assert_eq!(line(&record), "7  t  ci from 192.0.2.1  POST /x {\"reason\":\"y\"}  refused (not_possible)");
    }
}
