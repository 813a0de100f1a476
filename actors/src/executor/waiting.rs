//! How a step waits for its callback: reserved before the attempt leaves, bound when the attempt has learned the
//! key, ended by whoever comes first. Pure; a part of [`super::decide`].
//!
//! Whether a callback or the run was first is decided in the commit: what a decision says of a wait is its
//! condition there, and if somebody was faster the run is read again.

use serde_json::{Map, Value as Json};

use super::decide::Next;
use super::failure::{ErrorClass, Failure};
use super::port::{Outcome, Success};
use super::progress::StepState;
use crate::ids::WaitId;
use crate::run::{Reserved, What};
use crate::time::Timestamp;
use crate::wait::record::{Resolution, WaitChange, WaitRecord, WaitState, kind_of};
use crate::workflow::definition::Step;
use crate::workflow::waits::Waits;

impl Next<'_> {
    /// The wait of the attempt that is about to be made: the one that an earlier attempt has reserved and that
    /// nobody has called back yet, or a new one.
    pub(super) fn reserve(&mut self, step: &Step) -> Option<Reserved> {
        let waits = step.waits.as_ref()?;
        if let Some(before) = self.progress.steps.get(&step.name).and_then(StepState::wait) {
            self.waits.push(WaitChange::Expect(before.id));
            return Some(before);
        }
        // Whoever recognises the key of a former attempt may have called back already.
        let since = self.progress.asked_at(&step.name).unwrap_or(self.now);
        Some(self.open_wait(step, waits, (Vec::new(), waits.kinds.first().cloned().unwrap_or_default()), since))
    }

    /// A step that does nothing but wait.
    pub(super) fn wait_for_event(&mut self, step: &Step, with: &Map<String, Json>) {
        let Some(waits) = &step.waits else { return };
        let key = match with.get("key") {
            Some(Json::String(key)) => key.clone(),
            Some(number) => number.to_string(),
            None => String::new(),
        };
        let (kind, keys) = (kind_of(&key).to_owned(), vec![key]);
        // What came while the run was on its way here is meant as well.
        let wait = self.open_wait(step, waits, (keys.clone(), kind), self.progress.since);
        self.write(What::Waiting { step: step.name.clone(), attempt: 0, wait, keys, output: Json::Null, run: None });
    }

    pub(super) fn open_wait(
        &mut self,
        step: &Step,
        waits: &Waits,
        (keys, kind): (Vec<String>, String),
        since: Timestamp,
    ) -> Reserved {
        let id = WaitId::derive(self.run.id, self.progress.revision);
        let until = self.now.plus(waits.deadline);
        self.waits.push(WaitChange::Reserve(Box::new(WaitRecord {
            id,
            run: self.run.reference(),
            workflow: self.run.workflow.clone(),
            step: step.name.clone(),
            event: self.run.event,
            kind,
            keys,
            topics: waits.topics.clone(),
            since,
            reserved_at: self.now,
            deadline: until,
            state: WaitState::Open,
        })));
        Reserved { id, until }
    }

    /// The attempt has done its part, and says by which keys its callback will be known.
    pub(super) fn bind(&mut self, step: &Step, attempt: u32, keys: &[String], output: Json) {
        let wait = self.progress.steps.get(&step.name).and_then(StepState::wait);
        let Some(wait) = wait.filter(|_| !keys.is_empty()) else {
            let message = "the action waits for a callback that it has not declared, or that has no key";
            return self.give_up(step, attempt, Failure::new(ErrorClass::Internal, message));
        };
        self.waits.push(WaitChange::Bind { wait: wait.id, keys: keys.to_vec() });
        self.write(What::Waiting { step: step.name.clone(), attempt, wait, keys: keys.to_vec(), output, run: None });
    }

    /// A wait was resolved by somebody else. As long as its attempt is in flight that is not looked at: the attempt
    /// ends first, and then it is.
    pub(super) fn called(&mut self, wait: WaitId, by: Resolution, outcome: &Outcome) {
        let found = self.progress.open_waits().find(|(_, open)| open.id == wait).map(|(step, _)| step.clone());
        let Some(step) = found.and_then(|step| self.definition.step(&step)) else { return };
        let attempt = self.tries(step).attempts;
        let event = match by {
            Resolution::Callback(event) => Some(event),
            _ => None,
        };
        if by == Resolution::Poll {
            self.waits.push(WaitChange::Settle { wait, by });
        }
        self.answered = Some(wait);
        if let Some(StepState::Unwanted { past, .. }) = self.progress.steps.get(&step.name).cloned()
            && matches!(outcome, Err(failure) if !failure.in_doubt)
        {
            self.is_rid_of(step, past);
            return self.go_on(false);
        }
        match outcome {
            Ok(Success::Done(output) | Success::Waiting { output, .. }) => {
                let (step, output) = (step.name.clone(), output.clone());
                self.write(What::Succeeded { step, attempt, output, assumed: false, event });
            }
            Ok(Success::Superseded(_) | Success::Absent | Success::InDoubt { .. }) => {
                self.ended(step, attempt, outcome)
            }
            // Of a run that has ended so: doing it again could do something twice.
            Err(failure) if failure.in_doubt => self.park(step, attempt, failure.to_string()),
            Err(failure) => self.retry(step, attempt, failure.clone()),
        }
        self.go_on(false);
    }

    /// Ends the wait of a step whose time is up, if it is.
    pub(super) fn expires(&mut self, step: &Step) -> bool {
        let state = self.progress.steps.get(&step.name);
        let wait = state.and_then(StepState::wait).filter(|wait| wait.until <= self.now);
        let Some((wait, waits)) = wait.zip(step.waits.as_ref()) else { return false };
        // It may find its callback in the commit that binds it.
        if self.waits.iter().any(|change| matches!(change, WaitChange::Bind { wait: bound, .. } if *bound == wait.id)) {
            return true;
        }
        let attempt = state.map(|state| state.tries().attempts).unwrap_or_default();
        let is_run = matches!(state, Some(StepState::Waiting { run: Some(_), .. }));
        self.waits.push(WaitChange::Settle { wait: wait.id, by: Resolution::Timeout });
        if is_run {
            // As with an attempt in flight: what follows waits until nothing of it is at work.
            self.write(What::Unwanted { step: step.name.clone(), past: None });
        } else {
            let message = format!("nobody called back within {:?}", waits.deadline);
            self.fail(step, attempt, Failure::new(ErrorClass::Timeout, message), &waits.on_timeout);
        }
        true
    }

    /// The run that a step had started has ended, which nobody wanted any more.
    fn is_rid_of(&mut self, step: &Step, past: Option<String>) {
        let (None, Some(waits), Some(child)) = (&past, &step.waits, &step.child) else {
            return self.write(What::Skipped { step: step.name.clone(), past, reason: None });
        };
        let message = format!("the run of `{}` had not ended within {:?}", child.workflow, waits.deadline);
        self.fail(step, 0, Failure::new(ErrorClass::Timeout, message), &waits.on_timeout);
    }

    /// The step has ended without its callback. One that came in time all the same is looked at first.
    pub(super) fn needs_no_callback(&mut self, step: &str) {
        if let Some(wait) = self.unanswered(step) {
            self.waits.push(WaitChange::Settle { wait: wait.id, by: Resolution::Cancel });
        }
    }

    /// Nobody waits for the callback of this step any more, whatever it says.
    pub(super) fn close(&mut self, step: &str) {
        if let Some(wait) = self.unanswered(step) {
            self.waits.push(WaitChange::Close(wait.id));
        }
    }

    fn unanswered(&self, step: &str) -> Option<Reserved> {
        let wait = self.progress.steps.get(step).and_then(StepState::wait);
        wait.filter(|wait| self.answered != Some(wait.id))
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
