//! Attempts of which nobody knows whether their effect has happened, and whose action can see it: it is looked for before
//! there is another one. Pure; a part of [`super::decide`].

use serde_json::{Map, Value as Json};

use super::decide::{Execute, Next, step_key};
use super::failure::{ErrorClass, Failure};
use super::port::{EffectClass, OnDoubt, Outcome, Success};
use super::progress::Tries;
use crate::run::{Unclear, What};
use crate::workflow::definition::Step;
use crate::workflow::retry;

impl Next<'_> {
    /// Whether what is in flight is the look for an attempt.
    pub(super) fn is_looking(&self, step: &Step) -> bool {
        self.unclear(step).is_some()
    }

    fn unclear(&self, step: &Step) -> Option<Unclear> {
        self.tries(step).unclear
    }

    /// Whether an attempt that failed so is looked for.
    pub(super) fn is_unclear(&self, step: &Step, failure: &Failure) -> bool {
        failure.in_doubt && step.class == EffectClass::Probe && step.on_doubt == OnDoubt::Repeat
    }

    /// Nobody knows what became of what is in flight: an attempt is repeated, or looked for when its effect can be seen; a
    /// look is repeated at once.
    pub(super) fn interrupt(&mut self, step: &Step, attempt: u32, alone: bool) {
        let look_at = match (self.is_looking(step), step.class) {
            (true, _) => Some(self.now),
            (false, EffectClass::Probe) => Some(self.now.plus(step.settles)),
            (false, _) => None,
        };
        self.write(What::Interrupted { step: step.name.clone(), attempt, alone, look_at });
    }

    /// An attempt has failed, and may have had its effect: that is looked for when it can be seen and another attempt would
    /// be made, also when there will be none.
    pub(super) fn look_after(&mut self, step: &Step, attempt: u32, failure: Failure) {
        let failures = self.tries(step).failures + 1;
        let pause = step.retry.next(failures, 0, &failure, retry::spread(self.run.id, &step.name, attempt));
        let unclear = Some(if pause.is_some() { Unclear::Repeat } else { Unclear::Fail });
        let retry_at = Some(self.now.plus(pause.unwrap_or_default().max(step.settles)));
        self.write(What::Failed { step: step.name.clone(), attempt, error: failure, retry_at, unclear, fatal: false });
    }

    /// The last attempt is looked for when its effect can be seen, if it was made just now.
    pub(super) fn look_later(&mut self, step: &Step) {
        let (attempt, at_soonest) = (self.tries(step).attempts, self.now.plus(step.settles));
        self.write(What::WillLook { step: step.name.clone(), attempt, at_soonest });
    }

    /// Looks whether the last attempt had its effect.
    pub(super) fn look(&mut self, step: &Step, with: Map<String, Json>) {
        let attempt = self.tries(step).attempts;
        let key = step_key(self.run.id, &step.name, self.progress.key_generation(&step.name));
        let (name, serial, until) = (step.name.clone(), self.progress.revision, self.now.plus(step.timeout));
        self.write(What::Looking { step: name.clone(), attempt, until });
        self.executes.push(Execute { step: name, attempt, look: true, serial, key, with, until });
    }

    /// It was looked.
    pub(super) fn looked(&mut self, step: &Step, attempt: u32, outcome: &Outcome) {
        let (name, unclear) = (step.name.clone(), self.unclear(step));
        match outcome {
            Ok(Success::Absent) => {
                self.write(What::Absent { step: name, attempt });
                if unclear == Some(Unclear::Fail) {
                    self.give_up(step, attempt, none_has_happened(self.tries(step)));
                }
            }
            Ok(Success::Done(output)) => self.done(step, attempt, output.clone(), false),
            Ok(Success::Waiting { keys, output }) => self.bind(step, attempt, keys, output.clone()),
            Ok(Success::Superseded(reason)) => self.superseded(step, attempt, reason),
            Ok(Success::InDoubt { why, .. }) => self.park(step, attempt, why.clone()),
            Err(failure) => self.look_again(step, attempt, failure),
        }
    }

    /// A look has failed. It is repeated as an attempt would be; in the end an operator must say what nobody could see.
    fn look_again(&mut self, step: &Step, attempt: u32, failure: &Failure) {
        if let Some(service) = self.outage_of(step, failure) {
            let service = service.to_owned();
            return self.hold(step, &service, Some((attempt, failure.clone())), None);
        }
        let tries = self.tries(step);
        let (looks, refusals) = (tries.looks + failure.costs(), failure.refusals(tries.refusals));
        match step.retry.next(looks, refusals, failure, retry::spread(self.run.id, &step.name, looks + refusals)) {
            Some(pause) if !self.is_limited_for_too_long(failure, pause) => {
                let (retry_at, unclear) = (Some(self.now.plus(pause)), self.unclear(step));
                let error = Failure { in_doubt: false, ..failure.clone() };
                self.write(What::Failed { step: step.name.clone(), attempt, error, retry_at, unclear, fatal: false });
            }
            _ => self.park(step, attempt, format!("it could not be seen whether it has happened: {failure}")),
        }
    }
}

/// The last attempt that was to be made ended in doubt, and has not happened.
fn none_has_happened(tries: Tries) -> Failure {
    if tries.falls == tries.failures {
        let message = format!("poison: each of {} attempts fell, and none has happened", tries.failures);
        return Failure::new(ErrorClass::Internal, message).poison();
    }
    Failure::new(ErrorClass::Temporary, "it was not answered, and has not happened: that was looked for")
}

#[cfg(test)]
#[path = "looking_tests.rs"]
mod tests;
