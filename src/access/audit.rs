//! What is written down of what operators do: a line before it is done, and one when it is known what became of it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use pointsman_actors::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Longest body that is kept; of a longer one its length is.
const LONGEST_BODY: usize = 4 << 10;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// When it was asked for.
    pub at: Timestamp,
    /// The name of the operator's token.
    pub operator: String,
    /// Where it came from, if that is known.
    pub from: Option<IpAddr>,
    /// Method and path of the request.
    pub action: String,
    /// What else it says: its body.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub body: Json,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it was answered.
    pub at: Timestamp,
    /// Status of the answer.
    pub status: u16,
    /// The code of the error, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A line of the trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// Before it is done.
    Asked {
        /// Its number; each is larger than all before it.
        id: u64,
        /// What is asked for.
        #[serde(flatten)]
        deed: Deed,
    },
    /// When it is done, or was refused.
    Answered {
        /// The number of what was asked for.
        id: u64,
        /// What became of it.
        #[serde(flatten)]
        outcome: Outcome,
    },
}

/// What an operator asked for, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number.
    pub id: u64,
    /// What was asked for.
    pub deed: Deed,
    /// What became of it; nobody knows when the process ended in between.
    pub outcome: Option<Outcome>,
}

impl Record {
    /// In a word: `done`, `refused`, or `unknown`.
    pub fn status(&self) -> &'static str {
        match &self.outcome {
            Some(Outcome { status: 200..=299, .. }) => "done",
            Some(_) => "refused",
            None => "unknown",
        }
    }
}

/// Which records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Of this operator.
    pub operator: Option<String>,
    /// Whose action or body names this, such as the id of a run.
    pub about: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Only those before this one.
    pub before: Option<u64>,
}

impl Query {
    fn matches(&self, record: &Record) -> bool {
        let Deed { operator, action, body, .. } = &record.deed;
        let names = |about: &String| action.contains(about.as_str()) || body.to_string().contains(about.as_str());
        self.operator.as_ref().is_none_or(|wanted| wanted == operator)
            && self.about.as_ref().is_none_or(names)
            && self.before.is_none_or(|before| record.id < before)
    }
}

/// A body as it is kept.
pub fn kept(body: &[u8]) -> Json {
    match body.len() {
        0 => Json::Null,
        1..=LONGEST_BODY => serde_json::from_slice(body).unwrap_or_else(|_| length_of(body)),
        _ => length_of(body),
    }
}

fn length_of(body: &[u8]) -> Json {
    format!("{} bytes", body.len()).into()
}

/// The records that these lines make up, newest first, and whether there are more. A line that cannot be read is passed over:
/// it was being written when the process ended.
pub fn select(lines: &str, query: &Query) -> (Vec<Record>, bool) {
    let mut records: BTreeMap<u64, Record> = BTreeMap::new();
    for line in lines.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        match line {
            Line::Asked { id, deed } => _ = records.insert(id, Record { id, deed, outcome: None }),
            // What it is the answer to may be gone.
            Line::Answered { id, outcome } => {
                records.get_mut(&id).into_iter().for_each(|record| record.outcome = Some(outcome.clone()));
            }
        }
    }
    let mut found = records.into_values().rev().filter(|record| query.matches(record));
    let page = found.by_ref().take(query.limit).collect();
    (page, found.next().is_some())
}

/// The largest number among these lines.
pub fn last(lines: &str) -> u64 {
    let number = |line: Line| match line {
        Line::Asked { id, .. } | Line::Answered { id, .. } => id,
    };
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).map(number).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(id: u64, operator: &str, action: &str, body: Json) -> Line {
        let at = Timestamp::from_millis(1_000);
        let deed = Deed { at, operator: operator.into(), from: None, action: action.into(), body };
        Line::Asked { id, deed }
    }

    fn answered(id: u64, status: u16) -> Line {
        Line::Answered { id, outcome: Outcome { at: Timestamp::from_millis(2_000), status, error: None } }
    }

    fn written(lines: &[Line]) -> String {
        lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
    }

    #[test]
    fn records_are_what_was_asked_for_with_what_became_of_it() {
        let lines = written(&[
            answered(3, 200),
            asked(4, "ci", "POST /runs/run_1/cancel", Json::Null),
            asked(5, "admin", "POST /redrive", json!({ "id": "run_2" })),
            answered(5, 409),
            answered(4, 200),
            asked(6, "ci", "POST /runs/run_2/pause", Json::Null),
        ]) + "{\"line\":\"asked\",\"id\":7";
        let check = |query: Query, expect: &[(u64, &str)], more: bool| {
            let (records, is_more) = select(&lines, &query);
            let found: Vec<(u64, &str)> = records.iter().map(|record| (record.id, record.status())).collect();
            assert_eq!((found.as_slice(), is_more), (expect, more), "{query:?}");
        };
        let all = Query { limit: 10, ..Query::default() };
        check(all.clone(), &[(6, "unknown"), (5, "refused"), (4, "done")], false);
        check(Query { limit: 2, ..Query::default() }, &[(6, "unknown"), (5, "refused")], true);
        check(Query { before: Some(5), ..all.clone() }, &[(4, "done")], false);
        check(Query { operator: Some("ci".into()), ..all.clone() }, &[(6, "unknown"), (4, "done")], false);
        check(Query { about: Some("run_2".into()), ..all }, &[(6, "unknown"), (5, "refused")], false);
        assert_eq!(last(&lines), 6);
        assert_eq!(last(""), 0);
    }

    #[test]
    fn a_line_reads_as_it_is_written() {
        let line = asked(1, "ci", "POST /x", json!({ "reason": "y" }));
        let text =
            r#"{"line":"asked","id":1,"at":1000,"operator":"ci","from":null,"action":"POST /x","body":{"reason":"y"}}"#;
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
        assert_eq!(serde_json::from_str::<Line>(text).unwrap(), line);
        let text = r#"{"line":"answered","id":1,"at":2000,"status":200}"#;
        assert_eq!(serde_json::to_string(&answered(1, 200)).unwrap(), text);
        assert_eq!(serde_json::from_str::<Line>(text).unwrap(), answered(1, 200));
    }

    #[test]
    fn a_long_body_is_not_kept() {
        assert_eq!(kept(b""), Json::Null);
        assert_eq!(kept(br#"{"a":1}"#), json!({ "a": 1 }));
        assert_eq!(kept(b"{"), json!("1 bytes"));
        let long = format!("\"{}\"", "x".repeat(LONGEST_BODY));
        assert_eq!(kept(long.as_bytes()), json!("4098 bytes"));
    }
}
