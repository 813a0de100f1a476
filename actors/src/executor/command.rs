//! What operators say of a run, and what follows. Pure; a part of [`super::decide`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::child;
use super::decide::Next;
use super::failure::{ErrorClass, Failure};
use super::port::EffectClass;
use super::progress::StepState;
use crate::run::{Ruling, RunStatus, What};
use crate::time::Timestamp;
use crate::workflow::definition::{Step, UNDO};
use crate::workflow::spec::OnFailure;

/// What an operator says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// End it. After the answer no new attempt starts.
    Cancel {
        /// Why, in words.
        reason: String,
    },
    /// Begin nothing until it is resumed. After the answer no new attempt starts.
    Pause,
    /// Go on.
    Resume,
    /// Do it again from this step on; what came before keeps its output.
    Restart {
        /// The step.
        step: String,
    },
    /// Do again what it failed at, if it is still the dead letter that somebody has looked at.
    Redrive {
        /// Since when that is one.
        since: Timestamp,
    },
    /// Rule about an attempt in doubt.
    Decide {
        /// The step; it need not be named if it is the only one in doubt.
        step: Option<String>,
        /// How.
        ruling: Ruling,
    },
}

impl Next<'_> {
    /// Follows a command, or says why not.
    pub(super) fn obey(&mut self, command: &Command) {
        let is_over = self.progress.is_over();
        match command {
            Command::Restart { step } => self.restart(step),
            Command::Redrive { since } => self.redrive(*since),
            // Also of a run that is over: it cannot be restarted before.
            Command::Decide { step, ruling } => self.rule(step.as_deref(), ruling),
            _ if is_over => self.refuse("it is over; only a restart can begin it again"),
            Command::Cancel { reason } => self.cancel(reason),
            Command::Pause if !self.progress.paused => self.write(What::Paused),
            Command::Resume if self.progress.paused => self.write(What::Resumed),
            // It is so already.
            Command::Pause | Command::Resume => {}
        }
    }

    pub(super) fn refuse(&mut self, reason: impl Into<String>) {
        self.refusal = Some(reason.into());
    }

    /// What changes nothing outside is dropped at once; of anything else the outcome is waited for. How it ends is said
    /// once: one that ends already is at most let go on to its end.
    fn cancel(&mut self, reason: &str) {
        let ends_already = self.progress.is_undoing() || self.progress.leaving.is_some();
        if ends_already && self.progress.paused {
            self.write(What::Resumed);
            return self.go_on(false);
        }
        if self.progress.is_undoing() {
            return self.refuse("it ends when what it has done is undone; what cannot be undone can be decided about");
        }
        let reason = match &self.progress.leaving {
            Some((RunStatus::Cancelled, first)) => first.clone(),
            Some((status, _)) => {
                let why = format!("it ends as {} already, as soon as what is at work for it has ended", status.name());
                return self.refuse(why);
            }
            None => reason.to_owned(),
        };
        let class = |step: &String| self.definition.step(step).map(|step| step.class);
        let changes_nothing = self.progress.in_flight().all(|(step, _)| class(step) == Some(EffectClass::Pure));
        if changes_nothing && self.progress.children().next().is_none() {
            self.end_at_once(RunStatus::Cancelled, Some(reason));
        } else {
            self.end(RunStatus::Cancelled, Some(reason));
        }
    }

    fn rule(&mut self, wanted: Option<&str>, ruling: &Ruling) {
        let doubtful: Vec<String> = self
            .progress
            .steps
            .iter()
            .filter(|(step, state)| match state {
                StepState::InDoubt { .. } => true,
                // What cannot be undone is tried again, or left.
                StepState::Failed(_) => step.starts_with(UNDO) && self.progress.is_undoing(),
                _ => false,
            })
            .map(|(step, _)| step.clone())
            .collect();
        let step = match (wanted, doubtful.as_slice()) {
            (Some(wanted), all) if all.iter().any(|step| step == wanted) => wanted.to_owned(),
            (Some(wanted), _) => return self.refuse(format!("the step `{wanted}` is not in doubt")),
            (None, [only]) => only.clone(),
            (None, []) => return self.refuse("no step is in doubt"),
            (None, several) => {
                return self.refuse(format!("name the step; there are {} in doubt", several.join(", ")));
            }
        };
        let Some(of) = self.definition.step(&step) else { return };
        if matches!(ruling, Ruling::Fail { .. }) && self.progress.in_flight().next().is_some() {
            return self.refuse("an attempt of another step is in flight; say it again when that has ended");
        }
        let has_failed = matches!(self.progress.steps.get(&step), Some(StepState::Failed(_)));
        if has_failed && matches!(ruling, Ruling::Fail { .. }) {
            return self.refuse("it has failed; have it done again, or take it as done");
        }
        let attempt = self.tries(of).attempts;
        self.close(&step);
        self.answered = self.progress.steps.get(&step).and_then(StepState::wait).map(|wait| wait.id);
        let stays = self.progress.is_over() && of.undo.is_some() && matches!(ruling, Ruling::Done { .. });
        self.write(What::Decided { step, attempt, ruling: ruling.clone(), stays });
        if let Ruling::Fail { reason } = ruling {
            let message = format!("an operator says that it failed: {reason}");
            self.give_up(of, attempt, Failure::new(ErrorClass::Validation, message));
        }
        self.go_on(false);
    }

    fn restart(&mut self, step: &str) {
        let definition = self.definition;
        let Some(from) = definition.step(step) else {
            let names: Vec<&str> = definition.steps.iter().map(|step| step.name.as_str()).collect();
            return self.refuse(format!("there is no step `{step}`; there are {}", names.join(", ")));
        };
        if !self.progress.is_over() && self.progress.in_flight().next().is_some() {
            return self.refuse("an attempt is in flight; cancel the run first, or wait");
        }
        let child = self.progress.children().next().map(|(step, run, _)| (step.clone(), run));
        if let Some((step, run)) = child.filter(|_| !self.progress.is_over()) {
            let why = "has not ended; cancel this run first, or wait";
            return self.refuse(format!("{run}, which its step `{step}` has started, {why}"));
        }
        if self.progress.is_undoing() {
            return self.refuse("what it has done is being undone; wait, or decide about what cannot be");
        }
        let missing = from.needs.iter().find(|needed| match self.progress.steps.get(needed) {
            Some(StepState::Failed(_)) => {
                let fails_at_once = |step: &Step| step.on_failure == OnFailure::Fail;
                self.progress.fatal.contains(*needed) || definition.step(needed).is_some_and(fails_at_once)
            }
            state => state.is_none_or(|state| !state.is_settled()),
        });
        if let Some(missing) = missing {
            return self
                .refuse(format!("the step `{missing}`, which comes before it, is not done; restart from there"));
        }
        self.do_again(&[step]);
    }

    /// These steps are done again with all that comes after them, in another generation. With them comes what was
    /// undone, what is left from the life before, and what their failure had led past.
    pub(super) fn do_again(&mut self, from: &[&str]) {
        let definition = self.definition;
        let undone = definition.steps.iter().filter(|each| {
            let undo = each.undo.as_deref().and_then(|undo| self.progress.steps.get(&undo.name));
            matches!(undo, Some(StepState::Done { .. }))
        });
        let from: BTreeSet<&str> = undone.map(|each| each.name.as_str()).chain(from.iter().copied()).collect();
        let after: BTreeSet<String> = from.iter().flat_map(|each| definition.after(each)).collect();
        let comes_again = |name: &String| from.contains(name.as_str()) || after.contains(name);
        let names = || definition.steps.iter().map(|step| step.name.clone());
        let is_in_doubt = |name: &String| matches!(self.progress.steps.get(name), Some(StepState::InDoubt { .. }));
        let unclear = self.progress.unclear().map(|(name, _)| name.clone()).find(comes_again);
        if let Some(unclear) = unclear {
            return self.refuse(format!("it is being looked whether `{unclear}` had its effect; wait"));
        }
        if let Some(doubtful) = names().find(|name| comes_again(name) && is_in_doubt(name)) {
            return self.refuse(format!("nobody knows whether `{doubtful}` had its effect; decide about that first"));
        }
        // What goes on beside it goes on, and of what ended with the run only what nobody has a doubt about begins anew.
        let is_over = self.progress.is_over();
        let again = |name: &String| match self.progress.steps.get(name) {
            _ if comes_again(name) => true,
            Some(StepState::Skipped { past: Some(past) }) => comes_again(past),
            Some(state) => is_over && !state.is_settled() && !is_in_doubt(name),
            None => false,
        };
        let undos = definition.steps.iter().filter_map(|step| step.undo.as_deref()).map(|undo| undo.name.clone());
        let undos = undos.filter(|undo| self.progress.steps.contains_key(undo));
        let steps: Vec<String> = names().filter(again).chain(undos).collect();
        steps.iter().for_each(|step| self.close(step));
        // Whoever has started it may give it up at this moment.
        self.waits.extend(child::is_wanted(self.run));
        self.write(What::Restarted { steps, generation: self.progress.generation + 1 });
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
