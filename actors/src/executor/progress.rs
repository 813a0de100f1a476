//! Where a run stands: its journal, folded. Running and recovering use the same fold, so that what a
//! process knows of a run is what the next one will know.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::run::{Entry, RunHead, RunStatus, Standing, What};
use crate::time::Timestamp;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Number of entries in its journal.
    pub revision: u32,
    /// How much of its time was left at the last entry, once it has begun. Attempts and declared pauses
    /// use it up; waiting for a turn, or for a person, does not.
    pub left: Option<Duration>,
    /// What the steps that are done gave, by step.
    pub outputs: Map<String, Json>,
    /// Number of the last attempt at the step that it is at.
    pub attempts: u32,
    /// How many of them failed.
    pub failures: u32,
    /// Why a newer run takes its place once the attempt in flight has ended.
    pub superseded: Option<String>,
    /// Why its definition cannot be executed.
    pub blocked: Option<String>,
    /// Milliseconds spent in declared delays.
    pub delayed_ms: u64,
    /// When its last entry was written.
    pub at: Timestamp,
}

/// What a run is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// It has not begun.
    Queued,
    /// It could go on.
    Ready,
    /// An attempt is in flight, or was when the process ended.
    Attempting {
        /// The step.
        step: String,
        /// Its number.
        attempt: u32,
        /// Where its entry stands in the journal: no other attempt of the run has the same.
        serial: u32,
        /// When it is dropped if it has not ended.
        until: Timestamp,
        /// What it wrote down.
        notes: Vec<Json>,
    },
    /// It pauses.
    Waiting {
        /// The step.
        step: String,
        /// Until when.
        until: Timestamp,
        /// For what.
        pause: Pause,
    },
    /// An attempt is in doubt.
    NeedsDecision {
        /// The step.
        step: String,
        /// In words.
        reason: String,
    },
    /// It is over.
    Ended {
        /// How.
        status: RunStatus,
        /// Why, in words.
        reason: Option<String>,
    },
}

/// What a pause is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A step that says so.
    Delay,
    /// The next attempt at a step that failed.
    Retry,
}

impl Progress {
    /// Of a run that was started at this time.
    pub fn new(started_at: Timestamp) -> Self {
        Self {
            phase: Phase::Queued,
            revision: 0,
            left: None,
            outputs: Map::new(),
            attempts: 0,
            failures: 0,
            superseded: None,
            blocked: None,
            delayed_ms: 0,
            at: started_at,
        }
    }

    /// Of a run with this journal.
    pub fn of(started_at: Timestamp, journal: &[Entry]) -> Self {
        let mut progress = Self::new(started_at);
        for entry in journal {
            progress.add(entry);
        }
        progress
    }

    /// Folds one more entry in.
    pub fn add(&mut self, entry: &Entry) {
        self.spend(entry.at);
        let serial = self.revision;
        self.revision += 1;
        match &entry.what {
            What::Begun { may_take_ms } => {
                self.left = Some(Duration::from_millis(*may_take_ms));
                self.phase = Phase::Ready;
            }
            What::Attempted { step, attempt, until, .. } => {
                self.attempts = *attempt;
                let (step, notes) = (step.clone(), Vec::new());
                self.phase = Phase::Attempting { step, attempt: *attempt, serial, until: *until, notes };
            }
            What::Noted { note, .. } => {
                if let Phase::Attempting { notes, .. } = &mut self.phase {
                    notes.push(note.clone());
                }
            }
            What::Succeeded { step, output, .. } => self.done(step, output),
            What::Failed { step, retry_at, .. } => {
                self.failures += 1;
                self.phase = match retry_at {
                    Some(until) => Phase::Waiting { step: step.clone(), until: *until, pause: Pause::Retry },
                    None => Phase::Ready,
                };
            }
            What::Interrupted { .. } => self.phase = Phase::Ready,
            What::Delayed { step, until } => {
                self.phase = Phase::Waiting { step: step.clone(), until: *until, pause: Pause::Delay };
            }
            What::SupersedeAsked { reason } => self.superseded = Some(reason.clone()),
            What::Parked { step, reason, .. } => {
                self.phase = Phase::NeedsDecision { step: step.clone(), reason: reason.clone() };
            }
            What::Blocked { reason } => self.blocked = Some(reason.clone()),
            What::Unblocked => self.blocked = None,
            What::Ended { status, reason } => {
                self.phase = Phase::Ended { status: *status, reason: reason.clone() };
            }
        }
    }

    /// What has passed of its time between the last entry and `now`. A pause counts up to its end, an
    /// attempt up to when it is dropped, however late anybody finds out.
    fn spent(&self, now: Timestamp) -> Duration {
        match &self.phase {
            Phase::Attempting { until, .. } | Phase::Waiting { until, .. } => now.min(*until).since(self.at),
            _ => Duration::ZERO,
        }
    }

    fn spend(&mut self, now: Timestamp) {
        let spent = self.spent(now);
        self.left = self.left_at(now);
        if let Phase::Waiting { pause: Pause::Delay, .. } = self.phase {
            self.delayed_ms = self.delayed_ms.saturating_add(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX));
        }
        self.at = now;
    }

    /// How much of its time is left; `None` as long as it does not run.
    pub fn left_at(&self, now: Timestamp) -> Option<Duration> {
        self.left.map(|left| left.saturating_sub(self.spent(now)))
    }

    /// Whether its time is up.
    pub fn time_is_up(&self, now: Timestamp) -> bool {
        self.left_at(now) == Some(Duration::ZERO)
    }

    /// When it must be looked at if nothing happens: the end of a pause, or of its time.
    pub fn wake(&self) -> Option<Timestamp> {
        let runs_out = self.left.map(|left| self.at.plus(left));
        match &self.phase {
            Phase::Waiting { until, .. } => Some(runs_out.map_or(*until, |runs_out| runs_out.min(*until))),
            // An attempt ends by itself unless the run's time is up first.
            Phase::Attempting { until, .. } => runs_out.filter(|runs_out| runs_out <= until),
            _ => None,
        }
    }

    fn done(&mut self, step: &str, output: &Json) {
        self.outputs.insert(step.to_owned(), output.clone());
        self.attempts = 0;
        self.failures = 0;
        self.phase = Phase::Ready;
    }

    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// How the run stands for others.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match &self.phase {
            Phase::Queued => Standing::Queued,
            Phase::Ready => Standing::Runnable,
            Phase::Attempting { .. } => Standing::Busy,
            Phase::Waiting { until, .. } if *until <= now => Standing::Runnable,
            Phase::Waiting { .. } | Phase::NeedsDecision { .. } => Standing::Parked,
            Phase::Ended { .. } => Standing::Over,
        }
    }

    /// The sum that is stored beside the journal.
    pub fn head(&self, updated_at: Timestamp) -> RunHead {
        let (status, step, reason) = self.shown();
        let wake = self.wake();
        RunHead { status, revision: self.revision, step, reason, wake, updated_at, delayed_ms: self.delayed_ms }
    }

    fn shown(&self) -> (RunStatus, Option<String>, Option<String>) {
        if let (Some(reason), false) = (&self.blocked, self.is_over()) {
            return (RunStatus::Blocked, None, Some(reason.clone()));
        }
        match &self.phase {
            Phase::Queued => (RunStatus::Queued, None, None),
            Phase::Ready => (RunStatus::Running, None, None),
            Phase::Attempting { step, .. } => (RunStatus::Running, Some(step.clone()), None),
            Phase::Waiting { step, .. } => (RunStatus::Waiting, Some(step.clone()), None),
            Phase::NeedsDecision { step, reason } => {
                (RunStatus::NeedsDecision, Some(step.clone()), Some(reason.clone()))
            }
            Phase::Ended { status, reason } => (*status, None, reason.clone()),
        }
    }
}
