//! What is kept of an event beside what it says: its verdict, and what has happened to it since. Pure.
//!
//! The verdict is what became of it when it was routed. The history has what came after: routing that failed,
//! what operators did, and replays, each of which is a generation of its own.

use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::ids::RunId;
use crate::store::Lease;
use crate::time::Timestamp;

/// How many failures of routing are kept one by one: they say the same again and again.
const MOST_FAILURES: usize = 16;

/// Verdict and history of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What has happened to it since, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Happened>,
}

/// Something that happened to an event, with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Incident,
}

/// What happened to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Incident {
    /// It was routed again, and that failed.
    RoutingFailed {
        /// How often, since it is pending.
        number: u32,
        /// In words.
        reason: String,
        /// Whether the routing itself fell.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fell: bool,
    },
    /// It was a dead letter, and an operator has it routed again.
    Redriven {
        /// How often it was claimed to be routed before.
        attempts: u64,
    },
    /// It is a dead letter, and an operator wants nothing more of it.
    Dismissed {
        /// Why, in words.
        reason: String,
    },
    /// An operator had it routed once more, as if it had come again.
    Replayed {
        /// Part of the ids of its runs; 1 for the first replay.
        generation: u32,
        /// By which the operator knows the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<String>,
        /// The runs that this started.
        runs: Vec<RunId>,
    },
}

/// What is to happen to an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Routing it has failed.
    Failed {
        /// The lease under which it was claimed; under any other nothing happens. Until it ends nobody tries again.
        lease: Lease,
        /// How.
        failure: RoutingFailure,
    },
    /// It is due at once, if it is pending.
    Hurry,
    /// It is routed again, if it is a dead letter.
    Redrive,
    /// Nothing more is wanted of it, if it is a dead letter.
    Dismiss {
        /// Why, in words.
        reason: String,
    },
    /// It starts these runs, if this is its next generation and the request is a new one. One that was never
    /// routed is not replayed.
    Replay {
        /// The generation.
        generation: u32,
        /// By which the operator knows the request.
        request: Option<String>,
        /// The runs.
        runs: Vec<crate::run::RunRecord>,
    },
}

/// How routing failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingFailure {
    /// How often, since it is pending.
    pub number: u32,
    /// In words.
    pub reason: String,
    /// Whether the routing itself fell.
    pub fell: bool,
    /// Whether it is not tried again.
    pub is_last: bool,
}

impl Fate {
    /// Of an event to which nothing has happened since.
    pub fn new(verdict: Verdict) -> Self {
        Self { verdict, history: Vec::new() }
    }

    /// Since when it is a dead letter, if it is one.
    pub fn dead_since(&self) -> Option<Timestamp> {
        match self.verdict {
            Verdict::DeadLettered { since, dismissed: false, .. } => Some(since),
            _ => None,
        }
    }

    /// Its status: the first that holds. What a replay starts is looked at where the verdict itself started
    /// nothing.
    pub fn status(&self) -> &'static str {
        match &self.verdict {
            Verdict::CompletedWait { .. }
            | Verdict::Late { .. }
            | Verdict::Buffered { .. }
            | Verdict::Unrouted { .. }
                if self.replayed().next().is_some() =>
            {
                "started"
            }
            verdict => verdict.status(),
        }
    }

    /// The runs that it started, those of replays last.
    pub fn runs(&self) -> Vec<RunId> {
        let first = match &self.verdict {
            Verdict::Started { runs, .. } => runs.as_slice(),
            _ => &[],
        };
        first.iter().chain(self.replayed()).copied().collect()
    }

    fn replayed(&self) -> impl Iterator<Item = &RunId> {
        let runs = self.history.iter().filter_map(|happened| match &happened.what {
            Incident::Replayed { runs, .. } => Some(runs),
            _ => None,
        });
        runs.flatten()
    }

    /// The generation of its last replay; 0 without one.
    pub fn generation(&self) -> u32 {
        let generation = |happened: &Happened| match happened.what {
            Incident::Replayed { generation, .. } => Some(generation),
            _ => None,
        };
        self.history.iter().rev().find_map(generation).unwrap_or_default()
    }

    /// What this request for a replay has started, if it was followed already.
    pub fn answer_to(&self, wanted: &str) -> Option<&[RunId]> {
        self.history.iter().find_map(|happened| match &happened.what {
            Incident::Replayed { request: Some(request), runs, .. } if request == wanted => Some(runs.as_slice()),
            _ => None,
        })
    }

    /// How often routing it has failed since it is pending.
    pub fn failures(&self) -> u32 {
        let last = self.history.iter().rev().find(|happened| !matches!(happened.what, Incident::Replayed { .. }));
        match last.map(|happened| &happened.what) {
            Some(Incident::RoutingFailed { number, .. }) => *number,
            _ => 0,
        }
    }

    /// The same after a change at `at`; `None` if that cannot be.
    #[must_use]
    pub fn after(mut self, at: Timestamp, change: &Change) -> Option<Self> {
        let what = match (change, &mut self.verdict) {
            (Change::Hurry, Verdict::Pending { .. }) => return Some(self),
            (Change::Failed { lease, failure }, Verdict::Pending { .. }) => {
                return Some(self.failed(at, *lease, failure));
            }
            (Change::Redrive, Verdict::DeadLettered { reason, attempts, waits, .. }) => {
                let attempts = *attempts;
                self.verdict = Verdict::Pending { reason: std::mem::take(reason), waits: std::mem::take(waits) };
                Incident::Redriven { attempts }
            }
            (Change::Dismiss { reason }, Verdict::DeadLettered { dismissed, .. }) if !*dismissed => {
                *dismissed = true;
                Incident::Dismissed { reason: reason.clone() }
            }
            (Change::Replay { .. }, Verdict::Pending { .. } | Verdict::DeadLettered { .. }) => return None,
            (Change::Replay { generation, request, runs }, _) => {
                let is_known = request.as_deref().is_some_and(|request| self.answer_to(request).is_some());
                if is_known || *generation != self.generation() + 1 {
                    return None;
                }
                let runs = runs.iter().map(|run| run.id).collect();
                Incident::Replayed { generation: *generation, request: request.clone(), runs }
            }
            _ => return None,
        };
        self.history.push(Happened { at, what });
        Some(self)
    }

    fn failed(mut self, at: Timestamp, lease: Lease, failure: &RoutingFailure) -> Self {
        let RoutingFailure { number, reason, fell, is_last } = failure.clone();
        self.history.push(Happened { at, what: Incident::RoutingFailed { number, reason: reason.clone(), fell } });
        let is_failure = |happened: &Happened| matches!(happened.what, Incident::RoutingFailed { .. });
        // The first ones and the last ones say most.
        let failures = self.history.iter().filter(|happened| is_failure(happened)).count();
        let tooth = self.history.iter().enumerate().filter(|(_, happened)| is_failure(happened)).nth(MOST_FAILURES / 2);
        if let Some((middle, _)) = tooth.filter(|_| failures > MOST_FAILURES) {
            self.history.remove(middle);
        }
        let waits = self.verdict.waits().to_vec();
        self.verdict = if is_last {
            let poison = self.fell_each_time();
            Verdict::DeadLettered { reason, since: at, poison, attempts: lease.epoch, dismissed: false, waits }
        } else {
            Verdict::Pending { reason, waits }
        };
        self
    }

    /// How often it was claimed to be routed when it was redriven last: its next lease begins there.
    pub fn epoch(&self) -> u64 {
        let attempts = |happened: &Happened| match happened.what {
            Incident::Redriven { attempts } => Some(attempts),
            _ => None,
        };
        self.history.iter().rev().find_map(attempts).unwrap_or_default()
    }

    /// Whether each failure since it is pending was a fall.
    fn fell_each_time(&self) -> bool {
        let since =
            self.history.iter().rev().take_while(|happened| !matches!(happened.what, Incident::Redriven { .. }));
        let mut falls = since.filter_map(|happened| match happened.what {
            Incident::RoutingFailed { fell, .. } => Some(fell),
            _ => None,
        });
        falls.all(|fell| fell)
    }
}

#[cfg(test)]
#[path = "fate_tests.rs"]
mod tests;
