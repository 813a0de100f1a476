//! What happens next in a run. Pure: where it stands, what happened and the time give the entries that
//! are added to its journal and the attempt that is made once these are durable.
//!
//! Effects follow their entries, never the other way round: an attempt is in the journal before it
//! leaves the process, and a crash between the two makes it in doubt, not lost.

use serde_json::{Map, Value as Json};

use super::failure::{ErrorClass, Failure};
use super::port::{OnDoubt, Outcome, Success};
use super::progress::{Pause, Phase, Progress};
use crate::ids::RunId;
use crate::run::{Entry, RunRecord, RunStatus, What};
use crate::time::{Timestamp, parse_span};
use crate::workflow::definition::{DELAY, Definition, Step};
use crate::workflow::retry;

/// Something that happens to a run.
#[derive(Clone, Debug)]
pub enum Happening {
    /// It may go on: a slot is free, and nobody that it must not go on beside is at work.
    Go,
    /// The attempt with this serial has ended.
    Ended(u32, Outcome),
    /// The attempt with this serial wrote something down.
    Noted(u32, Json),
    /// A time has come: the end of a pause, or of the run.
    Woke,
    /// A newer run takes its place, in words.
    Superseded(String),
    /// Nobody knows of the attempt with this serial any more: a former process ended with it in flight,
    /// and what it left behind was cleaned up.
    Recovered(u32),
    /// The attempt with this serial is in the journal but was never made.
    NeverLeft(u32),
}

/// An attempt that is made once its entry is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Execute {
    /// The step.
    pub step: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Where its entry stands in the journal.
    pub serial: u32,
    /// The same for every attempt of the step.
    pub key: String,
    /// What the step hands over.
    pub with: Map<String, Json>,
}

/// What follows from a happening.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What is added to the journal; nothing when nothing changes. An entry that settles the attempt in
    /// flight drops it if it is still at work.
    pub entries: Vec<Entry>,
    /// The attempt that is made then.
    pub execute: Option<Execute>,
    /// Where the run stands then.
    pub progress: Progress,
}

/// The key of a step, the same for each of its attempts.
pub fn step_key(run: RunId, step: &str) -> String {
    format!("{run}/{step}")
}

/// When something happens.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// Whether the process is about to end: then no further attempt is begun.
    pub draining: bool,
}

/// Decides what follows from `happening`.
pub fn decide(
    run: &RunRecord,
    definition: &Definition,
    progress: &Progress,
    happening: &Happening,
    moment: Moment,
) -> Decision {
    let Moment { now, draining } = moment;
    let mut next =
        Next { run, definition, now, draining, entries: Vec::new(), execute: None, progress: progress.clone() };
    next.follow(happening);
    let Next { entries, execute, progress, .. } = next;
    Decision { entries, execute, progress }
}

struct Next<'a> {
    run: &'a RunRecord,
    definition: &'a Definition,
    now: Timestamp,
    draining: bool,
    entries: Vec<Entry>,
    execute: Option<Execute>,
    progress: Progress,
}

impl Next<'_> {
    /// The life of a run. What is not listed changes nothing: a late answer, a stale timer, a second go.
    fn follow(&mut self, happening: &Happening) {
        let phase = self.progress.phase.clone();
        match (phase, happening) {
            (Phase::Ended { .. }, _) => {}
            // What is known of an attempt is written down first, however late it comes.
            (Phase::Attempting { step, attempt, serial, .. }, Happening::Ended(of, outcome)) if serial == *of => {
                self.ended(step, attempt, outcome);
            }
            (Phase::Attempting { step, attempt, serial, .. }, Happening::Recovered(of)) if serial == *of => {
                self.recovered(step, attempt);
            }
            (Phase::Attempting { step, attempt, serial, .. }, Happening::NeverLeft(of)) if serial == *of => {
                self.interrupted(step, attempt);
            }
            (Phase::Attempting { step, attempt, serial, .. }, Happening::Noted(of, note)) if serial == *of => {
                self.write(What::Noted { step, attempt, note: note.clone() });
            }
            (Phase::Attempting { .. } | Phase::Waiting { .. }, _) if self.progress.time_is_up(self.now) => {
                self.time_out();
            }
            (Phase::Queued, Happening::Go) => {
                let may_take_ms = u64::try_from(self.definition.timeout.as_millis()).unwrap_or(u64::MAX);
                self.write(What::Begun { may_take_ms });
                self.go_on(true);
            }
            (Phase::Ready, Happening::Go) => self.go_on(true),
            (Phase::Waiting { step, until, pause }, Happening::Go) if until <= self.now => {
                if pause == Pause::Delay {
                    self.write(What::Succeeded { step, attempt: 0, output: Json::Null, assumed: false });
                }
                self.go_on(true);
            }
            (Phase::Attempting { .. }, Happening::Superseded(reason)) if self.progress.superseded.is_none() => {
                self.write(What::SupersedeAsked { reason: reason.clone() });
            }
            (
                Phase::Queued | Phase::Ready | Phase::Waiting { .. } | Phase::NeedsDecision { .. },
                Happening::Superseded(reason),
            ) => self.end(RunStatus::Superseded, Some(reason.clone())),
            (_, _) => {}
        }
    }

    fn time_out(&mut self) {
        let reason = format!("it took longer than {:?}", self.definition.timeout);
        self.end(RunStatus::TimedOut, Some(reason));
    }

    fn unblock(&mut self) {
        if self.progress.blocked.is_some() {
            self.write(What::Unblocked);
        }
    }

    /// The next step: begun if the run holds a slot or needs none, left for later otherwise.
    fn go_on(&mut self, has_slot: bool) {
        self.unblock();
        if let Some(reason) = self.progress.superseded.clone() {
            self.end(RunStatus::Superseded, Some(reason));
            return;
        }
        let definition = self.definition;
        let Some(step) = definition.steps.iter().find(|step| !self.progress.outputs.contains_key(&step.name)) else {
            self.end(RunStatus::Succeeded, None);
            return;
        };
        if self.progress.time_is_up(self.now) {
            self.time_out();
            return;
        }
        match step.with(self.run, &self.progress.outputs) {
            Err(error) => self.give_up(step, 0, Failure::new(ErrorClass::Validation, error.to_string())),
            Ok(with) if step.action == DELAY => self.delay(step, &with),
            Ok(with) if has_slot && !self.draining => self.attempt(step, with),
            Ok(_) => {}
        }
    }

    fn delay(&mut self, step: &Step, with: &Map<String, Json>) {
        let text = with.get("duration").and_then(Json::as_str).unwrap_or_default();
        match parse_span(text) {
            Some(span) => self.write(What::Delayed { step: step.name.clone(), until: self.now.plus(span) }),
            None => {
                let message = format!("with.duration: `{text}` is not a span of time");
                self.give_up(step, 0, Failure::new(ErrorClass::Validation, message));
            }
        }
    }

    fn attempt(&mut self, step: &Step, with: Map<String, Json>) {
        let (name, attempt, key) = (step.name.clone(), self.progress.attempts + 1, step_key(self.run.id, &step.name));
        let (serial, until) = (self.progress.revision, self.now.plus(step.timeout));
        self.write(What::Attempted { step: name.clone(), attempt, key: key.clone(), until });
        self.execute = Some(Execute { step: name, attempt, serial, key, with });
    }

    fn ended(&mut self, step: String, attempt: u32, outcome: &Outcome) {
        match outcome {
            Ok(Success::Done(output)) => {
                self.write(What::Succeeded { step, attempt, output: output.clone(), assumed: false });
                self.go_on(true);
            }
            Ok(Success::Superseded(reason)) => {
                let output = serde_json::json!({ "superseded": reason });
                self.write(What::Succeeded { step, attempt, output, assumed: false });
                self.end(RunStatus::Superseded, Some(reason.clone()));
            }
            Err(failure) => self.failed(&step, attempt, failure),
        }
    }

    fn failed(&mut self, step: &str, attempt: u32, failure: &Failure) {
        let Some(step) = self.definition.step(step) else { return };
        match step.on_doubt {
            OnDoubt::AssumeDone if failure.in_doubt => self.assume_done(step, attempt, &failure.to_string()),
            OnDoubt::Park if failure.in_doubt => self.park(step, attempt, failure.to_string()),
            OnDoubt::AssumeDone | OnDoubt::Park | OnDoubt::Repeat => self.retry(step, attempt, failure.clone()),
        }
    }

    fn retry(&mut self, step: &Step, attempt: u32, failure: Failure) {
        let failures = self.progress.failures + 1;
        let spread = retry::spread(self.run.id, &step.name, attempt);
        match step.retry.next(failures, &failure, spread) {
            // A run that is to make way for a newer one makes way now.
            Some(_) if self.progress.superseded.is_some() => self.give_up(step, attempt, failure),
            Some(pause) if self.progress.left_at(self.now).is_some_and(|left| left <= pause) => {
                let reason = format!("step `{}`: {failure}; the next attempt would come after its time", step.name);
                self.write(What::Failed { step: step.name.clone(), attempt, error: failure, retry_at: None });
                self.end(RunStatus::TimedOut, Some(reason));
            }
            Some(pause) => {
                let retry_at = Some(self.now.plus(pause));
                self.write(What::Failed { step: step.name.clone(), attempt, error: failure, retry_at });
            }
            None => self.give_up(step, attempt, failure),
        }
    }

    fn give_up(&mut self, step: &Step, attempt: u32, failure: Failure) {
        let reason = format!("step `{}`: {failure}", step.name);
        self.write(What::Failed { step: step.name.clone(), attempt, error: failure, retry_at: None });
        match self.progress.superseded.clone() {
            Some(superseded) => self.end(RunStatus::Superseded, Some(superseded)),
            None => self.end(RunStatus::Failed, Some(reason)),
        }
    }

    /// Nobody knows whether the effect of the attempt happened. Its class and the step's `on_doubt`
    /// decide, and nothing else.
    fn recovered(&mut self, step: String, attempt: u32) {
        let Some(of) = self.definition.step(&step) else { return };
        let doubt = "the process ended before the attempt did";
        match of.on_doubt {
            OnDoubt::Repeat => self.interrupted(step, attempt),
            OnDoubt::AssumeDone => self.assume_done(of, attempt, doubt),
            OnDoubt::Park => self.park(of, attempt, doubt.to_owned()),
        }
    }

    fn interrupted(&mut self, step: String, attempt: u32) {
        self.write(What::Interrupted { step, attempt });
        if let Some(reason) = self.progress.superseded.clone() {
            self.end(RunStatus::Superseded, Some(reason));
        }
    }

    fn assume_done(&mut self, step: &Step, attempt: u32, doubt: &str) {
        let output = serde_json::json!({ "assumed": doubt });
        self.write(What::Succeeded { step: step.name.clone(), attempt, output, assumed: true });
        self.go_on(false);
    }

    fn park(&mut self, step: &Step, attempt: u32, reason: String) {
        self.write(What::Parked { step: step.name.clone(), attempt, reason });
        if let Some(superseded) = self.progress.superseded.clone() {
            self.end(RunStatus::Superseded, Some(superseded));
        }
    }

    fn end(&mut self, status: RunStatus, reason: Option<String>) {
        self.write(What::Ended { status, reason });
    }

    fn write(&mut self, what: What) {
        let entry = Entry { at: self.now, what };
        self.progress.add(&entry);
        self.entries.push(entry);
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
