//! The vocabulary of intake: a delivery, the facts that are taken from it, its verdict, and the
//! event that the log makes of it.
//!
//! The types say how far something has come. A [`Delivery`] is only a request. What the validator
//! returns is authentic. An [`Event`] is in the log; nothing but a store hands one out.

pub mod fate;
mod verdict;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::fate::{Fate, Happened};
pub use self::verdict::Verdict;
use crate::ids::{EventId, RunId};
use crate::time::Timestamp;

/// The name of a source: `github`, `linear`, `codegen`, `claude-code`, or one from the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// A source called `name`.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The request headers that intake may look at: lower-case names, raw values, in the order received.
#[derive(Clone, Debug, Default)]
pub struct Headers(Vec<(Box<str>, Bytes)>);

/// What a request says for one header name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    /// The header is not there.
    Absent,
    /// It is there once, and is visible text.
    Text(&'a str),
    /// It is there more than once, or is not text: nobody can say what it means.
    Ambiguous,
}

impl Headers {
    /// Adds a header; `name` must be lower-case.
    pub fn push(&mut self, name: &str, value: Bytes) {
        self.0.push((Box::from(name), value));
    }

    /// Looks up a lower-case `name`.
    pub fn get(&self, name: &str) -> Header<'_> {
        let mut found = self.0.iter().filter(|(key, _)| &**key == name);
        match (found.next(), found.next()) {
            (None, _) => Header::Absent,
            (Some((_, value)), None) => {
                std::str::from_utf8(value).map_or(Header::Ambiguous, |text| Header::Text(text.trim()))
            }
            (Some(_), Some(_)) => Header::Ambiguous,
        }
    }

    /// The header's text, when it is there exactly once.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Header::Text(text) => Some(text),
            Header::Absent | Header::Ambiguous => None,
        }
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.push(&name.to_ascii_lowercase(), Bytes::copy_from_slice(value.as_bytes()));
        }
        headers
    }
}

/// One HTTP request from a sender, with its whole body, not yet believed.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The source whose path was called.
    pub source: SourceName,
    /// The headers of the request.
    pub headers: Headers,
    /// The raw body, byte for byte as it came.
    pub body: Bytes,
    /// Who called.
    pub peer: Option<IpAddr>,
    /// When the request's head was read.
    pub received_at: Timestamp,
}

/// What is taken from a payload once, and what routes can ask as `facts.<name>`.
///
/// A fact that a payload does not have is absent, never empty text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The event's type as the provider means it: `pull_request`, `issue`, `generation`, `Stop`.
    pub event_type: String,
    /// The action within the type: `opened`, `update`, `complete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What it is about, as people write it: `owner/repo#12`, `ENG-45`, `owner/repo@main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whose turn it takes when work is shared out: the repository or the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fair_key: Option<String>,
    /// The keys by which an open wait recognises its callback, such as `codegen:run:17`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub correlation_keys: Vec<String>,
    /// Login or name of whoever caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Whether the sender is a bot or an app.
    #[serde(skip_serializing_if = "is_false")]
    pub sender_is_bot: bool,
    /// `owner/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Number of the pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pr_number: Option<u64>,
    /// Title of the pull request or issue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Author of the pull request or issue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Whether the pull request is a draft.
    #[serde(skip_serializing_if = "is_false")]
    pub draft: bool,
    /// Whether the pull request was merged.
    #[serde(skip_serializing_if = "is_false")]
    pub merged: bool,
    /// Commit at the head: of the pull request, the push or the workflow run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_sha: Option<String>,
    /// Branch at the head, without `refs/heads/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_ref: Option<String>,
    /// Branch that the pull request goes into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_ref: Option<String>,
    /// Whether the head's branch lives in the same repository, not in a fork.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_repository: Option<bool>,
    /// What orders the heads of one pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_order: Option<HeadOrder>,
    /// Whether the pull request was made by, or for, Codegen.
    #[serde(skip_serializing_if = "is_false")]
    pub is_codegen_pr: bool,
    /// The first Linear ticket that title, body or branch names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_ticket: Option<String>,
    /// All Linear tickets named, first mention first, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub linear_tickets: Vec<String>,
    /// The provider's own id of the issue (Linear: a UUID).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue_id: Option<String>,
    /// Name of the issue's state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Kind of the state: `triage`, `backlog`, `unstarted`, `started`, `completed`, `canceled`, `duplicate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_type: Option<String>,
    /// Linear's priority: 0 none, 1 urgent, 2 high, 3 medium, 4 low.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u64>,
    /// Key of the team (`ENG`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Name of the assignee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Name of the agent that the issue is delegated to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate: Option<String>,
    /// Whether assignee or delegate is Codegen.
    #[serde(skip_serializing_if = "is_false")]
    pub assigned_to_codegen: bool,
    /// The properties that changed, each with its previous value (`null` when it was unset).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub changes: BTreeMap<String, Value>,
    /// How the thing ended, as the provider says it: `success`, `failure`, `timed_out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<String>,
    /// Further facts of one source only, such as `comment_id` or `run_attempt`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, Value>,
}

impl Facts {
    /// The names of all facts, as expressions write them after `facts.`.
    pub const NAMES: [&'static str; 32] = [
        "event_type",
        "action",
        "subject",
        "fair_key",
        "correlation_keys",
        "sender",
        "sender_is_bot",
        "repository",
        "pr_number",
        "title",
        "author",
        "draft",
        "merged",
        "head_sha",
        "head_ref",
        "base_ref",
        "same_repository",
        "head_order",
        "is_codegen_pr",
        "linear_ticket",
        "linear_tickets",
        "issue_id",
        "state",
        "state_type",
        "priority",
        "team",
        "assignee",
        "delegate",
        "assigned_to_codegen",
        "changes",
        "conclusion",
        "more",
    ];
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What orders the heads of one pull request, since GitHub gives no sequence for them: the later
/// `updated_at` wins; on a tie the one whose `before` is the other's `after`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadOrder {
    /// `pull_request.updated_at`, as sent (RFC 3339 in UTC, whole seconds).
    pub updated_at: String,
    /// The head before a push; absent for other actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The head that the event speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What an authentic delivery says: everything that intake needs to know of it.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The JSON text; for a form-encoded hook what stood in its `payload` field.
    pub payload: Bytes,
    /// What was taken from it.
    pub facts: Facts,
    /// The provider's id of this delivery; the same on a redelivery.
    pub delivery_id: String,
    /// Which hook sent it, for sources where one occurrence can come through several.
    pub hook: Option<String>,
    /// What makes two deliveries the same occurrence; absent when the source cannot tell.
    pub fingerprint: Option<Fingerprint>,
    /// Why the source's static configuration ignores it, when it does.
    pub ignored: Option<String>,
    /// The headers that may be stored.
    pub headers: Vec<(String, String)>,
    /// Secrets that were taken out of payload and headers.
    pub redacted: u32,
}

/// The parts that make two deliveries the same occurrence. Order and number matter; what is absent
/// is an empty part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(pub Vec<String>);

/// What is known of an event beside its payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventMeta {
    /// Its id.
    pub id: EventId,
    /// Where it came from.
    pub source: SourceName,
    /// When it was received.
    pub received_at: Timestamp,
    /// The provider's id of the delivery.
    pub delivery_id: String,
    /// Who delivered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// The stored headers.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// What was taken from its payload.
    pub facts: Facts,
    /// Size of the payload in bytes, before compression.
    pub payload_bytes: u64,
    /// Secrets that were taken out of payload and headers before the event was stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redacted: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What is known of it beside its payload.
    pub meta: EventMeta,
    /// What became of it.
    pub verdict: Verdict,
    /// What has happened to it since, oldest first.
    pub history: Vec<Happened>,
    /// The JSON text as it came, but for what was taken out; absent when only a list was asked for.
    pub payload: Option<Bytes>,
}

impl Event {
    /// Verdict and history.
    pub fn fate(&self) -> Fate {
        Fate { verdict: self.verdict.clone(), history: self.history.clone() }
    }

    /// Its status: the first that holds.
    pub fn status(&self) -> &'static str {
        self.fate().status()
    }

    /// The runs that it started, those of replays last.
    pub fn runs(&self) -> Vec<RunId> {
        self.fate().runs()
    }
}

#[cfg(test)]
impl Facts {
    /// Facts of which none is absent.
    pub(crate) fn example() -> Self {
        Self {
            event_type: String::from("x"),
            action: Some(String::from("x")),
            subject: Some(String::from("x")),
            fair_key: Some(String::from("x")),
            correlation_keys: vec![String::from("x")],
            sender: Some(String::from("x")),
            sender_is_bot: true,
            repository: Some(String::from("x")),
            pr_number: Some(1),
            title: Some(String::from("x")),
            author: Some(String::from("x")),
            draft: true,
            merged: true,
            head_sha: Some(String::from("x")),
            head_ref: Some(String::from("x")),
            base_ref: Some(String::from("x")),
            same_repository: Some(true),
            head_order: Some(HeadOrder::default()),
            is_codegen_pr: true,
            linear_ticket: Some(String::from("x")),
            linear_tickets: vec![String::from("x")],
            issue_id: Some(String::from("x")),
            state: Some(String::from("x")),
            state_type: Some(String::from("x")),
            priority: Some(1),
            team: Some(String::from("x")),
            assignee: Some(String::from("x")),
            delegate: Some(String::from("x")),
            assigned_to_codegen: true,
            changes: [(String::from("x"), Value::Null)].into(),
            conclusion: Some(String::from("x")),
            more: [(String::from("x"), Value::Null)].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_comes_twice_is_ambiguous() {
        let headers: Headers = [("X-Once", " a "), ("X-Twice", "a"), ("x-twice", "a")].into_iter().collect();
        assert_eq!(headers.get("x-once"), Header::Text("a"));
        assert_eq!(headers.get("x-twice"), Header::Ambiguous);
        assert_eq!(headers.get("x-none"), Header::Absent);
    }
}
