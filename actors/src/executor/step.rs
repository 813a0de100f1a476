//! The life of a step: begun, attempted, tried again, in doubt, done. Pure; a part of [`super::decide`].

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::child;
use super::decide::{Execute, Next, step_key};
use super::failure::{ErrorClass, Failure};
use super::outages::culprit;
use super::poison;
use super::port::{OnDoubt, Outcome, Success};
use super::progress::{Pause, StepState, Tries};
use crate::run::{RunStatus, Unclear, What};
use crate::time::parse_span;
use crate::workflow::definition::{DELAY, RUN_WORKFLOW, Step, WAIT_FOR_EVENT};
use crate::workflow::retry;
use crate::workflow::spec::OnFailure;

/// Limits hold a run back for so long at most, however long it may take itself: no provider's window is longer than an hour, and
/// one that has limited us for a day has run out of something that waiting does not bring back.
const LONGEST_LIMITED: Duration = Duration::from_secs(24 * 3_600);

impl Next<'_> {
    /// Whether going on with a step that is ready takes a slot.
    pub(super) fn needs_slot(&self, step: &Step) -> bool {
        match self.progress.steps.get(&step.name) {
            None => !step.is_engines_own(),
            Some(StepState::Waiting { .. }) => false,
            Some(_) => true,
        }
    }

    /// Begins a step that is ready, or goes on with it.
    pub(super) fn begin(&mut self, step: &Step) {
        let state = self.progress.steps.get(&step.name).cloned();
        let is_unclear = state.as_ref().is_some_and(|state| state.tries().unclear.is_some());
        let held_by = match &state {
            Some(StepState::Held { service, .. }) => Some(service.clone()),
            _ => None,
        };
        if let Some(StepState::Pausing { pause: Pause::Delay, .. }) = state {
            return self.done(step, 0, Json::Null, false);
        }
        if self.expires(step) {
            return;
        }
        let seen = self.seen();
        match state.map_or_else(|| step.holds(self.run, &seen), |_| Ok(true)) {
            Ok(true) => {}
            Ok(false) => return self.skip(step, None),
            Err(error) => return self.give_up(step, 0, Failure::new(ErrorClass::Validation, error.to_string())),
        }
        if let Some(reason) = step.dispensable.clone().filter(|_| !self.progress.steps.contains_key(&step.name)) {
            return self.skip(step, Some(reason));
        }
        match step.with(self.run, &seen) {
            Err(error) => self.give_up(step, 0, Failure::new(ErrorClass::Validation, error.to_string())),
            Ok(with) if step.action == DELAY => self.delay(step, &with),
            Ok(with) if step.action == WAIT_FOR_EVENT && step.waits.is_some() => self.wait_for_event(step, &with),
            Ok(with) if step.action == RUN_WORKFLOW && step.child.is_some() => self.run_workflow(step, with),
            Ok(_) if step.is_engines_own() => {
                let message = format!("`{}` does not say what it needs", step.action);
                self.give_up(step, 0, Failure::new(ErrorClass::Internal, message));
            }
            Ok(with) if !self.draining => match self.outage_before(step) {
                Some(service) if held_by.as_deref() == Some(service) => {}
                Some(service) => self.hold(step, service, None, None),
                // How long ago the attempt was, nobody remembers.
                None if is_unclear && held_by.is_some() => self.look_later(step),
                None if is_unclear => self.look(step, with),
                None => self.attempt(step, with),
            },
            Ok(_) => {}
        }
    }

    fn skip(&mut self, step: &Step, reason: Option<String>) {
        self.write(What::Skipped { step: step.name.clone(), past: None, reason });
    }

    /// What templates see of the steps so far.
    fn seen(&self) -> Map<String, Json> {
        let seen = |state: &StepState| match state {
            StepState::Done { output } => json!({ "status": state.word(), "output": output }),
            StepState::Failed(failure) => json!({ "status": state.word(), "error": failure }),
            // Only what undoes it sees it so.
            StepState::Abandoned { output: Some(output), .. } => json!({ "status": state.word(), "output": output }),
            _ => json!({ "status": state.word() }),
        };
        self.progress.steps.iter().map(|(step, state)| (step.clone(), seen(state))).collect()
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

    pub(super) fn tries(&self, step: &Step) -> Tries {
        self.progress.steps.get(&step.name).map(StepState::tries).unwrap_or_default()
    }

    fn attempt(&mut self, step: &Step, with: Map<String, Json>) {
        let tries = self.tries(step);
        let key = step_key(self.run.id, &step.name, self.progress.key_generation(&step.name));
        let (name, attempt) = (step.name.clone(), tries.attempts + 1);
        let (serial, until) = (self.progress.revision, self.now.plus(step.timeout));
        let wait = self.reserve(step);
        if !self.progress.is_undoing() {
            self.waits.extend(child::is_wanted(self.run));
        }
        self.write(What::Attempted { step: name.clone(), attempt, key: key.clone(), until, wait });
        self.executes.push(Execute { step: name, attempt, look: false, serial, key, with, until });
    }

    /// Nobody calls this service now. An attempt that failed over it was none.
    pub(super) fn hold(
        &mut self,
        step: &Step,
        service: &str,
        failed: Option<(u32, Failure)>,
        unclear: Option<Unclear>,
    ) {
        let (attempt, error) = failed.map_or((0, None), |(attempt, failure)| (attempt, Some(failure)));
        let (step, service) = (step.name.clone(), service.to_owned());
        self.write(What::Held { step, service, attempt, error, unclear });
    }

    /// The service that keeps a step from being attempted: nobody is to call it, or only one is, and does already.
    fn outage_before(&self, step: &Step) -> Option<&'static str> {
        let of = |execute: &Execute| self.definition.step(&execute.step).map_or(&[][..], |step| step.services);
        let is_called = |service: &&str| self.executes.iter().any(|execute| of(execute).contains(service));
        let mut probed = step.services.iter().copied().filter(|service| self.outages.let_one_pass(service));
        self.outages.of(step.services).or_else(|| probed.find(is_called))
    }

    /// The service that an attempt has failed over, when nobody is to call it any more.
    pub(super) fn outage_of<'a>(&self, step: &Step, failure: &'a Failure) -> Option<&'a str> {
        let service = culprit(step.services, failure).filter(|service| self.outages.include(service));
        service.filter(|_| failure.class.is_outage())
    }

    /// An attempt has ended.
    pub(super) fn ended(&mut self, step: &Step, attempt: u32, outcome: &Outcome) {
        match outcome {
            _ if self.is_looking(step) => self.looked(step, attempt, outcome),
            Ok(Success::Done(output)) => self.done(step, attempt, output.clone(), false),
            Ok(Success::Waiting { keys, output }) => self.bind(step, attempt, keys, output.clone()),
            Ok(Success::Superseded(reason)) => self.superseded(step, attempt, reason),
            Ok(Success::Absent) => {
                let message = "the action says that it was looked for, and nobody has looked";
                self.give_up(step, attempt, Failure::new(ErrorClass::Internal, message));
            }
            Ok(Success::InDoubt { output, why }) => self.in_part(step, attempt, output, why),
            Err(failure) if step.resumes => self.failed(step, attempt, failure),
            Err(failure) => match step.on_doubt {
                OnDoubt::AssumeDone if failure.in_doubt => self.assume_done(step, attempt, &failure.to_string()),
                OnDoubt::Park if failure.in_doubt => self.park(step, attempt, failure.to_string()),
                OnDoubt::AssumeDone | OnDoubt::Park | OnDoubt::Repeat => self.failed(step, attempt, failure),
            },
        }
        self.go_on(true);
    }

    /// An attempt has failed, and what is in doubt of it nobody need rule about.
    fn failed(&mut self, step: &Step, attempt: u32, failure: &Failure) {
        match self.outage_of(step, failure) {
            Some(service) => {
                let unclear = self.is_unclear(step, failure).then_some(Unclear::Repeat);
                self.hold(step, service, Some((attempt, failure.clone())), unclear);
            }
            None if self.is_unclear(step, failure) => self.look_after(step, attempt, failure.clone()),
            None => self.retry(step, attempt, failure.clone()),
        }
    }

    /// Nobody knows whether a part of it has happened, and the rest has.
    fn in_part(&mut self, step: &Step, attempt: u32, output: &Json, why: &str) {
        match step.on_doubt {
            OnDoubt::AssumeDone => self.done(step, attempt, output.clone(), true),
            OnDoubt::Park => self.park(step, attempt, why.to_owned()),
            OnDoubt::Repeat => self.retry(step, attempt, Failure::new(ErrorClass::Temporary, why).in_doubt()),
        }
    }

    /// The process ended with the attempt in flight.
    pub(super) fn recovered(&mut self, step: &Step, attempt: u32) {
        self.unblock();
        self.doubt(step, attempt, "the process ended before the attempt did");
        self.go_on(false);
    }

    /// Nobody knows whether the effect of the attempt happened. Its class and the step's `on_doubt`
    /// decide, and nothing else; of what goes on from its notes the next attempt says first what is in doubt.
    pub(super) fn doubt(&mut self, step: &Step, attempt: u32, why: &str) {
        match step.on_doubt {
            _ if step.resumes => self.interrupt(step, attempt, false),
            OnDoubt::Repeat => self.interrupt(step, attempt, false),
            OnDoubt::AssumeDone => self.assume_done(step, attempt, why),
            OnDoubt::Park => self.park(step, attempt, why.to_owned()),
        }
    }

    /// The attempt never left, and is made again.
    pub(super) fn interrupted(&mut self, step: &Step, attempt: u32) {
        let look_at = self.is_looking(step).then_some(self.now);
        self.write(What::Interrupted { step: step.name.clone(), attempt, alone: false, look_at });
        self.go_on(false);
    }

    pub(super) fn superseded(&mut self, step: &Step, attempt: u32, reason: &str) {
        self.done(step, attempt, json!({ "superseded": reason }), false);
        // On its way out it ends as somebody has said before.
        if !self.progress.is_undoing() && self.progress.leaving.is_none() {
            self.end(RunStatus::Superseded, Some(reason.to_owned()));
        }
    }

    pub(super) fn done(&mut self, step: &Step, attempt: u32, output: Json, assumed: bool) {
        self.close(&step.name);
        self.write(What::Succeeded { step: step.name.clone(), attempt, output, assumed, event: None });
    }

    fn assume_done(&mut self, step: &Step, attempt: u32, doubt: &str) {
        self.done(step, attempt, json!({ "assumed": doubt }), true);
    }

    pub(super) fn park(&mut self, step: &Step, attempt: u32, reason: String) {
        self.write(What::Parked { step: step.name.clone(), attempt, reason });
    }

    pub(super) fn retry(&mut self, step: &Step, attempt: u32, failure: Failure) {
        let tries = self.tries(step);
        let spread = retry::spread(self.run.id, &step.name, attempt);
        let failures = tries.failures + failure.costs();
        match step.retry.next(failures, failure.refusals(tries.refusals), &failure, spread) {
            // A run that is to end ends now.
            Some(_) if self.progress.leaving.is_some() => self.give_up(step, attempt, failure),
            // What could not be undone is an operator's, as after any other failure.
            Some(pause) if self.comes_too_late(&failure, pause) && self.progress.is_undoing() => {
                self.give_up(step, attempt, failure);
            }
            Some(pause) if self.comes_too_late(&failure, pause) && step.on_failure == OnFailure::Fail => {
                let reason = format!("step `{}`: {failure}; the next attempt would come after its time", step.name);
                self.needs_no_callback(&step.name);
                self.write(What::Failed {
                    fatal: false,
                    step: step.name.clone(),
                    attempt,
                    error: failure,
                    retry_at: None,
                    unclear: None,
                });
                self.end(RunStatus::TimedOut, Some(reason));
            }
            Some(pause) if self.comes_too_late(&failure, pause) => self.give_up(step, attempt, failure),
            Some(pause) => {
                let retry_at = Some(self.now.plus(pause));
                self.write(What::Failed {
                    step: step.name.clone(),
                    attempt,
                    error: failure,
                    retry_at,
                    unclear: None,
                    fatal: false,
                });
            }
            None => self.give_up(step, attempt, poison::of_falls(tries, failure)),
        }
    }

    fn comes_too_late(&self, failure: &Failure, pause: Duration) -> bool {
        let is_over = failure.costs() > 0 && self.progress.left_at(self.now).is_some_and(|left| left <= pause);
        is_over || self.is_limited_for_too_long(failure, pause)
    }

    /// Whether a limit would hold the run back for longer than any.
    pub(super) fn is_limited_for_too_long(&self, failure: &Failure, pause: Duration) -> bool {
        failure.costs() == 0 && self.progress.limited.saturating_add(pause) > LONGEST_LIMITED
    }

    /// The step has failed for good; what becomes of the run is the definition's word.
    pub(super) fn give_up(&mut self, step: &Step, attempt: u32, failure: Failure) {
        self.needs_no_callback(&step.name);
        self.fail(step, attempt, failure, &step.on_failure);
    }

    /// The step has failed, and the run goes on like this.
    pub(super) fn fail(&mut self, step: &Step, attempt: u32, failure: Failure, then: &OnFailure) {
        let reason = format!("step `{}`: {failure}", step.name);
        let (retry_at, unclear, fatal) = (None, None, matches!(then, OnFailure::FailAfter(_)));
        self.write(What::Failed { step: step.name.clone(), attempt, error: failure, retry_at, unclear, fatal });
        if self.progress.leaving.is_some() || self.progress.is_over() || self.progress.is_undoing() {
            return;
        }
        match then {
            OnFailure::Fail => self.end(RunStatus::Failed, Some(reason)),
            OnFailure::Continue => {}
            OnFailure::Goto(target) | OnFailure::FailAfter(target) => self.go_to(step, target),
        }
    }

    /// Skips what is not done and does not come after `target`, so that this is next. What is in doubt
    /// stays so.
    fn go_to(&mut self, from: &Step, target: &str) {
        let after = self.definition.after(target);
        // What is at work beside it comes to its end, and what may have had its effect is looked for.
        let is_open = |name: &String| match self.progress.steps.get(name) {
            Some(StepState::InDoubt { .. } | StepState::Attempting(_) | StepState::Unwanted { .. }) => false,
            Some(state) => !state.is_settled() && state.tries().unclear.is_none(),
            None => true,
        };
        let names = self.definition.steps.iter().map(|step| step.name.clone());
        let left_out: Vec<String> =
            names.filter(|name| name != target && !after.contains(name) && is_open(name)).collect();
        for step in left_out {
            self.close(&step);
            let (past, runs) = (Some(from.name.clone()), self.progress.children().any(|(of, ..)| *of == step));
            self.write(if runs { What::Unwanted { step, past } } else { What::Skipped { step, past, reason: None } });
        }
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
pub(crate) mod tests;
