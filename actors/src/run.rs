//! The vocabulary of runs: what is stored of one, and what its journal says.
//!
//! A run is three things in storage: its [`RunRecord`], which never changes; its journal, to which
//! [`Entry`]s are only added; and its [`RunHead`], the sum of the journal that lists and timers need.

mod parts;
mod status;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

pub use self::parts::{Reserved, Ruling, Unclear};
pub use self::status::{RunStatus, Standing};
use crate::event::{Facts, SourceName};
use crate::executor::failure::Failure;
use crate::ids::{EventId, RunId, WaitId};
use crate::time::Timestamp;

/// What a run was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// The workflow.
    pub workflow: String,
    /// Hash of the definition that it executes, whatever is loaded later.
    pub definition: String,
    /// The event that started it.
    pub event: EventId,
    /// The route that did.
    pub route: String,
    /// 0 for the event's first routing; each replay has the next.
    #[serde(default)]
    pub generation: u32,
    /// 1 (last) to 10 (first).
    pub priority: u8,
    /// What it is about: `owner/repo#12`, `ENG-45`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whose turn it takes when work is shared out: the repository or the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fair_key: Option<String>,
    /// What it was given.
    pub input: Map<String, Json>,
    /// The event, as far as templates see it; only if its definition reads that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Box<SeenEvent>>,
    /// When it was started.
    pub started_at: Timestamp,
    /// It begins then at the soonest: until then a newer one may take its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins_at: Option<Timestamp>,
    /// The run that has started it and waits for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Parent>>,
}

/// The run that has started another one, and waits for its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parent {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The step that waits.
    pub step: String,
    /// The wait. Once it is resolved otherwise than by the end, nobody wants that any more.
    pub wait: WaitId,
    /// What the parent's own parent waits for, and so on up: when one of these is not wanted, this is not either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Ancestor>,
}

/// A run that is waited for, further up in a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// The wait.
    pub wait: WaitId,
    /// The run that it waits for.
    pub run: RunId,
}

impl RunRecord {
    /// What must be wanted so that this run is: it and those above it, the nearest first; none if nobody has started it.
    pub fn lineage(&self) -> Vec<Ancestor> {
        let Some(parent) = &self.parent else { return Vec::new() };
        let own = Ancestor { wait: parent.wait, run: self.id };
        [own].into_iter().chain(parent.above.iter().copied()).collect()
    }
}

/// An event as the templates of a run see it: as `event` and `facts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenEvent {
    /// The source.
    pub source: SourceName,
    /// When it was received.
    pub received_at: Timestamp,
    /// What was taken from its payload.
    pub facts: Facts,
}

/// Names a run to a store: stores keep runs in the order of their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunRef {
    /// When it was started.
    pub started_at: Timestamp,
    /// Its id.
    pub id: RunId,
}

impl RunRecord {
    /// Its name in a store.
    pub fn reference(&self) -> RunRef {
        RunRef { started_at: self.started_at, id: self.id }
    }
}

/// The sum of a run's journal, replaced with every addition to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHead {
    /// How it is.
    pub status: RunStatus,
    /// Number of entries in its journal.
    pub revision: u32,
    /// The step that it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why it is so, in words, when it is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it must be looked at next: the end of a pause, or of its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<Timestamp>,
    /// When the journal last grew.
    pub updated_at: Timestamp,
    /// Milliseconds that it spent in declared delays.
    #[serde(default)]
    pub delayed_ms: u64,
    /// Whether an operator must rule about an attempt of it. That outlives its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
    /// When it ended, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Whether an operator wants nothing more of it, although it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dismissed: bool,
    /// Whether it failed because trying it is what does harm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub poison: bool,
    /// Whether another run has started it: what becomes of a failure is that one's affair.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub child: bool,
}

impl RunHead {
    /// The head of a run that was just started.
    pub fn of(run: &RunRecord) -> Self {
        Self { wake: run.begins_at, child: run.parent.is_some(), ..Self::queued(run.started_at) }
    }

    /// The head of a run that was started at this time.
    pub fn queued(at: Timestamp) -> Self {
        Self {
            status: RunStatus::Queued,
            revision: 0,
            step: None,
            reason: None,
            wake: None,
            updated_at: at,
            delayed_ms: 0,
            in_doubt: false,
            ended_at: None,
            dismissed: false,
            poison: false,
            child: false,
        }
    }

    /// Since when it is a dead letter: it failed for good, no other run has started it, nobody has restarted it, and
    /// nobody has dismissed it.
    pub fn dead_since(&self) -> Option<Timestamp> {
        let failed = matches!(self.status, RunStatus::Failed | RunStatus::TimedOut);
        // Heads of former versions do not say when the run ended; then nothing has happened since.
        (failed && !self.dismissed && !self.child).then(|| self.ended_at.unwrap_or(self.updated_at))
    }

    /// Whether an attempt of it is in flight, as far as the journal knows.
    pub fn is_in_flight(&self) -> bool {
        self.status == RunStatus::Running && self.step.is_some()
    }

    /// Since when nothing more happens to it, unless somebody restarts it; `None` while something may.
    pub fn over_since(&self) -> Option<Timestamp> {
        (self.status.is_end() && !self.in_doubt).then_some(self.updated_at)
    }
}

/// Something that happened to a run, with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// The operator who said so, where one did. What former versions wrote does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

impl Entry {
    /// Something that happened by itself.
    pub fn new(at: Timestamp, what: What) -> Self {
        Self { at, by: None, what }
    }
}

/// What an entry of a journal says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum What {
    /// The run left the queue.
    Begun {
        /// How many milliseconds it may take. What it waits for its turn, or for a person, does not count.
        may_take_ms: u64,
    },
    /// An attempt was about to leave the process. Written before its effect.
    Attempted {
        /// The step.
        step: String,
        /// 1 for the first.
        attempt: u32,
        /// The same for every attempt of the step.
        key: String,
        /// When it is dropped if it has not ended.
        until: Timestamp,
        /// The wait that is reserved for its callback.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait: Option<Reserved>,
    },
    /// The attempt in flight wrote something down.
    Noted {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// What it wrote.
        note: Json,
    },
    /// A step is done.
    Succeeded {
        /// The step.
        step: String,
        /// The attempt; 0 for a delay.
        attempt: u32,
        /// What later steps see.
        output: Json,
        /// Whether nobody knows and it was taken as done.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        assumed: bool,
        /// The event that called back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<EventId>,
    },
    /// The attempt did its part, and a callback is waited for, or the end of a run.
    Waiting {
        /// The step.
        step: String,
        /// The attempt; 0 for a step that only waits.
        attempt: u32,
        /// The wait.
        wait: Reserved,
        /// By which keys its callback is known.
        keys: Vec<String>,
        /// What the attempt gave.
        #[serde(default, skip_serializing_if = "Json::is_null")]
        output: Json,
        /// The run that was started with it, if it is the end of that which is waited for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
    },
    /// An attempt failed.
    Failed {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// Why.
        error: Failure,
        /// When the next one comes; without it there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
        /// Whether its effect may have happened, and is looked for before there is another attempt, if there is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unclear: Option<Unclear>,
        /// Whether the run fails of it, when what tells of it is done.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fatal: bool,
    },
    /// The process ended with the attempt in flight, or it never left: it will be repeated, or first looked for. Former
    /// versions said this also where there is [`What::WillLook`] now.
    Interrupted {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// Whether the process died while nothing else was at work.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alone: bool,
        /// When it is looked whether its effect has happened; without it nobody looks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        look_at: Option<Timestamp>,
    },
    /// The service that a step was held for may be called again, and of its last attempt nobody knows whether it had its
    /// effect: before there is another one that is looked for.
    WillLook {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// When.
        at_soonest: Timestamp,
    },
    /// It is looked whether the effect of an attempt has happened.
    Looking {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// When that is dropped if it has not ended.
        until: Timestamp,
    },
    /// The attempt was looked for, and its effect has not happened.
    Absent {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
    },
    /// A service that the step calls is not well: it goes on when that may be called again, and nothing of its
    /// budget is used up.
    Held {
        /// The step.
        step: String,
        /// The service.
        service: String,
        /// The attempt that failed over it; 0 when none was made.
        #[serde(default, skip_serializing_if = "is_zero")]
        attempt: u32,
        /// Why that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
        /// Whether its effect may have happened, and is looked for before there is another attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unclear: Option<Unclear>,
    },
    /// A delay began.
    Delayed {
        /// The step.
        step: String,
        /// When it ends.
        until: Timestamp,
    },
    /// Its condition does not hold, what it calls is not configured, or a failure leads past it.
    Skipped {
        /// The step.
        step: String,
        /// The step whose failure leads past it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        past: Option<String>,
        /// What is not configured.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The run that a step has started is not wanted any more, as its time is up or a failure leads past the step: it is
    /// cancelled, and what becomes of the step follows when it has ended.
    Unwanted {
        /// The step.
        step: String,
        /// The step whose failure leads past it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        past: Option<String>,
    },
    /// A newer run takes its place as soon as the attempts in flight have ended.
    SupersedeAsked {
        /// By what, in words.
        reason: String,
    },
    /// An operator ends it as soon as the attempts in flight have ended.
    CancelAsked {
        /// In words.
        reason: String,
    },
    /// It ends so as soon as the attempts in flight have ended.
    EndAsked {
        /// How.
        status: RunStatus,
        /// In words.
        reason: String,
    },
    /// An operator stopped it for a while: no attempt is begun, and its time stands still.
    Paused,
    /// It goes on.
    Resumed,
    /// An operator said what became of an attempt in doubt.
    Decided {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// What.
        ruling: Ruling,
        /// Whether the run was over, and what would have undone the step has not: what it did stays.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stays: bool,
    },
    /// An operator has it done again from a step on. What happened stands as it is; what is not done again
    /// keeps its output.
    Restarted {
        /// The steps that are done again.
        steps: Vec<String>,
        /// Part of the keys of their attempts, so that nobody takes them for the former ones.
        generation: u32,
    },
    /// An attempt is in doubt, and an operator must decide.
    Parked {
        /// The step.
        step: String,
        /// The attempt.
        attempt: u32,
        /// Why, in words.
        reason: String,
    },
    /// Its definition cannot be executed by this process.
    Blocked {
        /// Why, in words.
        reason: String,
    },
    /// Its definition can be executed again.
    Unblocked,
    /// It failed, and an operator wants nothing more of it.
    Dismissed {
        /// Why, in words.
        reason: String,
    },
    /// It ends so, when what it has done is undone.
    Undoing {
        /// How.
        status: RunStatus,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is over.
    Ended {
        /// How.
        status: RunStatus,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// All that is stored of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// What it was started with.
    pub record: RunRecord,
    /// The sum of its journal.
    pub head: RunHead,
    /// Its journal.
    pub journal: Vec<Entry>,
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
