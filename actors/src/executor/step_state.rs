//! Where a step stands. Pure; a part of [`super::progress`].

use serde_json::Value as Json;

use super::failure::Failure;
use crate::ids::RunId;
use crate::run::{Reserved, Unclear};
use crate::time::Timestamp;

/// How often a step was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Attempts that were made.
    pub attempts: u32,
    /// Those that failed. A death of the process fails none.
    pub failures: u32,
    /// Those in a row that were held back, by a provider's limit or by others who are at work.
    pub refusals: u32,
    /// Looks in a row that failed, for the last of them.
    pub looks: u32,
    /// Those that failed because the action fell.
    pub falls: u32,
    /// Deaths of the process in a row that it alone was at work at.
    pub deaths: u32,
    /// The wait that is reserved for the callback of any of them.
    pub wait: Option<Reserved>,
    /// Of the last of them nobody knows whether its effect has happened: it is looked for before there is another one.
    pub unclear: Option<Unclear>,
}

/// Where a step stands. One that nothing has happened to yet has no state.
#[derive(Clone, Debug, PartialEq)]
pub enum StepState {
    /// It is attempted again as soon as the run goes on.
    Again(Tries),
    /// An attempt is in flight, or the look for an unclear one; or was when the process ended.
    Attempting(Flying),
    /// It waits for a time.
    Pausing {
        /// Until when.
        until: Timestamp,
        /// For what.
        pause: Pause,
        /// How often it was tried before.
        tries: Tries,
    },
    /// A service that it calls is not well.
    Held {
        /// The service.
        service: String,
        /// How often it was tried before.
        tries: Tries,
    },
    /// It waits for a callback.
    Waiting {
        /// By which keys that is known.
        keys: Vec<String>,
        /// The run that it has started, if it is the end of that which it waits for.
        run: Option<RunId>,
        /// Until when.
        until: Timestamp,
        /// What the attempt gave, if it gave something: whatever undoes it may need that.
        output: Option<Box<Json>>,
        /// How often it was tried, and its wait.
        tries: Tries,
    },
    /// The run that it has started is not wanted any more, and its end is waited for.
    Unwanted {
        /// That run.
        run: RunId,
        /// The step whose failure led past it; without one its time was up.
        past: Option<String>,
        /// Its wait.
        tries: Tries,
    },
    /// Nobody waits for its callback any more: the run is on its way out.
    Abandoned {
        /// What the attempt gave, if it gave something.
        output: Option<Box<Json>>,
        /// How often it was tried.
        tries: Tries,
    },
    /// An attempt is in doubt, and an operator must decide.
    InDoubt {
        /// In words.
        reason: String,
        /// The attempt is the last of these.
        tries: Tries,
    },
    /// It is done.
    Done {
        /// What later steps see.
        output: Json,
    },
    /// Its condition did not hold, or the failure of a step led past it.
    Skipped {
        /// That step.
        past: Option<String>,
    },
    /// It failed for good.
    Failed(Failure),
}

/// An attempt in flight, or the look for one.
#[derive(Clone, Debug, PartialEq)]
pub struct Flying {
    /// Where its entry stands in the journal: no other attempt of the run has the same.
    pub serial: u32,
    /// When it is dropped if it has not ended.
    pub until: Timestamp,
    /// What it wrote down.
    pub notes: Vec<Json>,
    /// It is the last of these.
    pub tries: Tries,
}

/// What a pause is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A step that says so.
    Delay,
    /// The next attempt at a step that failed.
    Retry,
    /// A limit to be lifted that has held the step back.
    Limit,
}

impl StepState {
    /// Whether nothing more will happen to it, and what needs it may go on.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Skipped { .. } | Self::Failed(_))
    }

    /// How often it was tried.
    pub fn tries(&self) -> Tries {
        match self {
            Self::Again(tries)
            | Self::Pausing { tries, .. }
            | Self::Held { tries, .. }
            | Self::Waiting { tries, .. }
            | Self::Unwanted { tries, .. }
            | Self::Abandoned { tries, .. }
            | Self::InDoubt { tries, .. } => *tries,
            Self::Attempting(flying) => flying.tries,
            Self::Done { .. } | Self::Skipped { .. } | Self::Failed(_) => Tries::default(),
        }
    }

    /// Whether it has had an effect that is known of: it is done, or its attempt was answered and only the callback is
    /// waited for. What another run does for it is that run's own.
    pub fn has_happened(&self) -> bool {
        match self {
            Self::Done { .. } => true,
            // A step that does nothing but wait makes no attempt.
            Self::Waiting { run, tries, .. } => run.is_none() && tries.attempts > 0,
            Self::Abandoned { tries, .. } => tries.attempts > 0,
            _ => false,
        }
    }

    /// Nobody waits for its callback any more. What was begun stays begun, and for the end of another run it is waited all
    /// the same.
    pub(super) fn abandon(&mut self) {
        if let Self::Waiting { run: None, output, tries, .. } = self {
            *self = Self::Abandoned { output: output.take(), tries: Tries { wait: None, ..*tries } };
        }
    }

    /// What its attempt gave that is answered and waits for its callback, if it gave something.
    pub fn given(&self) -> Option<&Json> {
        match self {
            Self::Waiting { output, .. } | Self::Abandoned { output, .. } => output.as_deref(),
            _ => None,
        }
    }

    /// The word by which templates see it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Skipped { .. } => "skipped",
            Self::Failed(_) => "failed",
            Self::Again(_)
            | Self::Attempting(_)
            | Self::Pausing { .. }
            | Self::Held { .. }
            | Self::Waiting { .. }
            | Self::Unwanted { .. }
            | Self::Abandoned { .. }
            | Self::InDoubt { .. } => "open",
        }
    }

    /// Until when it uses up time.
    pub(super) fn active_until(&self, paused: bool) -> Option<Timestamp> {
        match self {
            Self::Attempting(flying) => Some(flying.until),
            // No run can help how long a limit lasts, as with a service that is not well.
            Self::Pausing { pause: Pause::Limit, .. } => None,
            Self::Pausing { until, .. } | Self::Waiting { until, .. } if !paused => Some(*until),
            _ => None,
        }
    }

    /// The open wait that it has.
    pub fn wait(&self) -> Option<Reserved> {
        if self.is_settled() { None } else { self.tries().wait }
    }
}
