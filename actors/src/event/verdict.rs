//! What became of an event. Pure.

use serde::{Deserialize, Serialize};

use crate::ids::{EventId, RunId, WaitId};
use crate::time::Timestamp;
use crate::wait::desk::Called;

/// What became of an event, kept with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Verdict {
    /// The source's static configuration leaves this event out.
    Ignored {
        /// Which setting did, in words.
        reason: String,
    },
    /// The same occurrence is already in the log.
    Duplicate {
        /// The first event of this occurrence.
        of: EventId,
    },
    /// Routing failed for good: it is not tried again before an operator says so.
    DeadLettered {
        /// What went wrong last, in words.
        reason: String,
        /// Since when.
        since: Timestamp,
        /// Whether the routing itself fell each time.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        poison: bool,
        /// How often it was claimed to be routed, in its whole life.
        attempts: u64,
        /// Whether an operator wants nothing more of it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dismissed: bool,
        /// The waits that it completed all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waits: Vec<WaitId>,
    },
    /// Routing failed; it is tried again later.
    Pending {
        /// What went wrong, in words.
        reason: String,
        /// The waits that it completed all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waits: Vec<WaitId>,
    },
    /// It started runs.
    Started {
        /// The runs, in the order of their routes.
        runs: Vec<RunId>,
        /// The waits that it completed beside that.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waits: Vec<WaitId>,
    },
    /// Runs were waiting for it.
    CompletedWait {
        /// Their waits.
        waits: Vec<WaitId>,
    },
    /// Runs had been waiting for it, and wait no more.
    Late {
        /// Their waits.
        waits: Vec<WaitId>,
    },
    /// It is kept for runs that come to wait for it.
    Buffered {
        /// Until then.
        until: Timestamp,
    },
    /// No route wanted it.
    Unrouted {
        /// Why, in words.
        reason: String,
    },
}

impl Verdict {
    /// The stable names of all verdicts.
    pub const STATUSES: [&'static str; 9] = [
        "ignored",
        "duplicate",
        "dead_lettered",
        "pending",
        "started",
        "completed_wait",
        "late",
        "buffered",
        "unrouted",
    ];

    /// The stable name of the verdict: the event's `status`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Ignored { .. } => "ignored",
            Self::Duplicate { .. } => "duplicate",
            Self::DeadLettered { .. } => "dead_lettered",
            Self::Pending { .. } => "pending",
            Self::Started { .. } => "started",
            Self::CompletedWait { .. } => "completed_wait",
            Self::Late { .. } => "late",
            Self::Buffered { .. } => "buffered",
            Self::Unrouted { .. } => "unrouted",
        }
    }

    /// The waits that the event completed.
    pub fn waits(&self) -> &[WaitId] {
        match self {
            Self::DeadLettered { waits, .. }
            | Self::Pending { waits, .. }
            | Self::Started { waits, .. }
            | Self::CompletedWait { waits } => waits,
            _ => &[],
        }
    }

    /// The same, of an event that did this to waits.
    #[must_use]
    pub fn called(self, called: &Called) -> Self {
        let completed: Vec<WaitId> = called.completed.iter().map(|wait| wait.wait).collect();
        if !completed.is_empty() {
            return self.completing(&completed);
        }
        match (self, called.kept_until) {
            (Self::Unrouted { .. }, _) if !called.late.is_empty() => Self::Late { waits: called.late.clone() },
            (Self::Unrouted { .. }, Some(until)) => Self::Buffered { until },
            (other, _) => other,
        }
    }

    /// The same, of an event that completed these waits as well.
    #[must_use]
    pub fn completing(self, completed: &[WaitId]) -> Self {
        if completed.is_empty() {
            return self;
        }
        let with = |mut waits: Vec<WaitId>| {
            completed.iter().for_each(|wait| {
                if !waits.contains(wait) {
                    waits.push(*wait);
                }
            });
            waits
        };
        match self {
            // Neither is looked at by waits.
            same @ (Self::Ignored { .. } | Self::Duplicate { .. }) => same,
            Self::DeadLettered { reason, since, poison, attempts, dismissed, waits } => {
                Self::DeadLettered { reason, since, poison, attempts, dismissed, waits: with(waits) }
            }
            Self::Pending { reason, waits } => Self::Pending { reason, waits: with(waits) },
            Self::Started { runs, waits } => Self::Started { runs, waits: with(waits) },
            Self::CompletedWait { waits } => Self::CompletedWait { waits: with(waits) },
            Self::Late { .. } | Self::Buffered { .. } | Self::Unrouted { .. } => {
                Self::CompletedWait { waits: completed.to_vec() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::record::WaitRef;

    #[test]
    fn a_verdict_is_stored_with_its_status() {
        let verdict = Verdict::Unrouted { reason: "no route".into() };
        let stored = serde_json::to_value(&verdict).unwrap();
        assert_eq!(stored, serde_json::json!({"status": "unrouted", "reason": "no route"}));
    }

    #[test]
    fn a_verdict_says_first_what_it_started_then_what_it_completed() {
        let (run, waits) = (RunId::from_bytes([1; 16]), [2, 3].map(|number| WaitId::from_bytes([number; 16])));
        let completed = [WaitRef { wait: waits[0], run, workflow: "w".into() }];
        let until = Some(Timestamp::from_millis(9));
        let check = |verdict: Verdict, called: Called, status: &str, of: &[WaitId]| {
            let verdict = verdict.called(&called);
            assert_eq!((verdict.status(), verdict.waits()), (status, of));
            let later = verdict.clone().completing(&waits[1..]);
            let all: Vec<WaitId> = of.iter().chain(&waits[1..]).copied().collect();
            let names_them = !matches!(verdict, Verdict::Ignored { .. });
            assert_eq!(later.waits(), if names_them { all } else { vec![] });
        };
        let unrouted = || Verdict::Unrouted { reason: "x".into() };
        let started = || Verdict::Started { runs: vec![run], waits: vec![] };
        let all = || Called { completed: completed.to_vec(), late: vec![waits[1]], kept_until: until };
        let late = || Called { completed: vec![], ..all() };
        check(unrouted(), Called::default(), "unrouted", &[]);
        check(unrouted(), all(), "completed_wait", &waits[..1]);
        check(unrouted(), late(), "late", &[]);
        check(unrouted(), Called { late: vec![], ..late() }, "buffered", &[]);
        check(started(), all(), "started", &waits[..1]);
        check(started(), late(), "started", &[]);
        check(Verdict::Pending { reason: "x".into(), waits: vec![] }, all(), "pending", &waits[..1]);
        check(Verdict::Ignored { reason: "x".into() }, Called::default(), "ignored", &[]);
    }
}
