//! The vocabulary of waits: what is waited for, what calls back, and how a wait ends.

use serde::{Deserialize, Serialize};

use crate::ids::{EventId, RunId, WaitId};
use crate::run::RunRef;
use crate::time::Timestamp;

/// A run's promise to go on when it is called back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WaitRecord {
    /// Its id.
    pub id: WaitId,
    /// The run that waits.
    pub run: RunRef,
    /// The run's workflow, whose executor is told.
    pub workflow: String,
    /// The step that waits.
    pub step: String,
    /// The event that started the run; no run is called back by that.
    pub event: EventId,
    /// Which kind of key it will be bound to, such as `codegen:run`: as long as a wait of this kind has none,
    /// callbacks of the kind are kept for it.
    pub kind: String,
    /// The keys that callbacks are known by; none until they are learned.
    pub keys: Vec<String>,
    /// What counts as its callback.
    pub topics: Vec<Topic>,
    /// What was received before cannot be an answer to it.
    pub since: Timestamp,
    /// When it was reserved.
    pub reserved_at: Timestamp,
    /// Until when it may be called back.
    pub deadline: Timestamp,
    /// How it is.
    #[serde(flatten)]
    pub state: WaitState,
}

/// How a wait is. It is resolved once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum WaitState {
    /// It can be resolved.
    Open,
    /// It was.
    Resolved {
        /// By what.
        by: Resolution,
        /// When.
        at: Timestamp,
    },
}

/// What resolves a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// This event called back.
    Callback(EventId),
    /// This run, which was started with it, has ended.
    Run(RunId),
    /// The run asked, and was told.
    Poll,
    /// Its deadline passed.
    Timeout,
    /// The run needs it no more.
    Cancel,
    /// The run makes way for a newer one.
    Supersede,
}

impl Resolution {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Callback(_) => "callback",
            Self::Run(_) => "run",
            Self::Poll => "poll",
            Self::Timeout => "timeout",
            Self::Cancel => "cancel",
            Self::Supersede => "supersede",
        }
    }
}

/// Events that count as a callback, whatever they are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Topic {
    /// The source.
    pub source: String,
    /// The event's type.
    pub event: String,
    /// Its actions; none for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
}

impl Topic {
    /// Whether an event of this kind counts.
    pub fn covers(&self, source: &str, event: &str, action: Option<&str>) -> bool {
        self.source == source
            && self.event == event
            && (self.actions.is_empty() || action.is_some_and(|action| self.actions.iter().any(|each| each == action)))
    }
}

/// An event, as far as waits are concerned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Callback {
    /// Its source.
    pub source: String,
    /// Its type.
    pub event_type: String,
    /// Its action.
    pub action: Option<String>,
    /// The keys that it names.
    pub keys: Vec<String>,
    /// When it was received.
    pub received_at: Timestamp,
    /// Until when it is kept for waits that come later.
    pub until: Timestamp,
    /// Whether a definition could wait for it. Otherwise it is kept only for a reservation without a key.
    pub awaited: bool,
}

/// Names a wait to whoever must be told of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WaitRef {
    /// The wait.
    pub wait: WaitId,
    /// Its run.
    pub run: RunId,
    /// The run's workflow.
    pub workflow: String,
}

/// What a run does with its waits, in the commit of its journal's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitChange {
    /// A wait begins. It may have its keys, and find its callback there already.
    Reserve(Box<WaitRecord>),
    /// Nothing; but it must be open.
    Expect(WaitId),
    /// Its keys are known. It may find its callback there already.
    Bind {
        /// The wait.
        wait: WaitId,
        /// The keys.
        keys: Vec<String>,
    },
    /// It is resolved; it must be open.
    Settle {
        /// The wait.
        wait: WaitId,
        /// By what.
        by: Resolution,
    },
    /// It is needed no more: cancelled if it is open.
    Close(WaitId),
    /// The same, as its run makes way for a newer one: what was started with it has no further effect either.
    MakeWay(WaitId),
    /// Nothing; but this run, which was started with it, must still be wanted: the wait is open, or the run was what
    /// resolved it.
    Want {
        /// The wait.
        wait: WaitId,
        /// The run.
        run: RunId,
    },
    /// This run, which was started with it, has ended: resolved if it is open, and its run is told in any case.
    Return {
        /// The wait.
        wait: WaitId,
        /// The run.
        run: RunId,
    },
}

impl WaitRecord {
    /// Whether it can still be resolved.
    pub fn is_open(&self) -> bool {
        self.state == WaitState::Open
    }

    /// Whether `run`, which was started with it, is what it waits for, or has waited for to the end.
    pub fn wants(&self, run: RunId) -> bool {
        self.is_open() || matches!(self.state, WaitState::Resolved { by: Resolution::Run(by), .. } if by == run)
    }

    /// Whether it is open and its key is not known yet.
    pub fn is_reserved(&self) -> bool {
        self.is_open() && self.keys.is_empty()
    }

    /// Its name for whoever must be told.
    pub fn reference(&self) -> WaitRef {
        WaitRef { wait: self.id, run: self.run.id, workflow: self.workflow.clone() }
    }

    /// Whether `callback`, which is `event`, is one of its own, its key apart.
    pub fn accepts(&self, event: EventId, callback: &Callback) -> bool {
        let Callback { source, event_type, action, received_at, .. } = callback;
        event != self.event
            && *received_at >= self.since
            && self.topics.iter().any(|topic| topic.covers(source, event_type, action.as_deref()))
    }
}

/// The kind of a key: `codegen:run` of `codegen:run:17`.
pub fn kind_of(key: &str) -> &str {
    match key.match_indices(':').nth(1) {
        Some((end, _)) => key.get(..end).unwrap_or(key),
        None => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_the_first_two_parts_of_a_key() {
        for (key, kind) in
            [("codegen:run:17", "codegen:run"), ("github:pr:o/r#1:x", "github:pr"), ("a:b", "a:b"), ("", "")]
        {
            assert_eq!(kind_of(key), kind);
        }
    }

    #[test]
    fn a_topic_without_actions_covers_any() {
        let topic = |actions: &[&str]| Topic {
            source: "github".into(),
            event: "check_run".into(),
            actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        };
        assert!(topic(&[]).covers("github", "check_run", None));
        assert!(topic(&["completed"]).covers("github", "check_run", Some("completed")));
        assert!(!topic(&["completed"]).covers("github", "check_run", Some("created")));
        assert!(!topic(&["completed"]).covers("github", "check_run", None));
        assert!(!topic(&[]).covers("linear", "check_run", None));
    }
}
