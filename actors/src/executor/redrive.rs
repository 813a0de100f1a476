//! A dead letter is done again from where it failed. Pure; a part of [`super::decide`].

use super::decide::Next;
use super::progress::{Life, StepState};
use crate::run::RunStatus;
use crate::time::Timestamp;
use crate::workflow::spec::OnFailure;

impl Next<'_> {
    /// Restarts the run at the steps that it failed at, or, when its time was up, at those that were open. What
    /// failed and was forgiven stays as it is.
    pub(super) fn redrive(&mut self, since: Timestamp) {
        match &self.progress.life {
            Life::Over { status: RunStatus::Failed | RunStatus::TimedOut, .. } if !self.is_dead_since(since) => {
                return self
                    .refuse("somebody has begun it again since, and it has failed once more; look at that first");
            }
            Life::Over { status: RunStatus::Failed | RunStatus::TimedOut, .. } => {}
            Life::Over { status, .. } => return self.refuse(format!("it is no dead letter: it has {}", status.name())),
            Life::Queued | Life::Begun | Life::Undoing { .. } => {
                return self.refuse("it is no dead letter: it is not over");
            }
        }
        let definition = self.definition;
        let names = definition.steps.iter().map(|step| &step.name);
        let in_doubt = |name: &&String| matches!(self.progress.steps.get(name), Some(StepState::InDoubt { .. }));
        if let Some(doubtful) = names.clone().find(in_doubt) {
            return self.refuse(format!("nobody knows whether `{doubtful}` had its effect; decide about that first"));
        }
        let failed = |step: &&String| {
            let is_forgiven = definition.step(step).is_some_and(|step| step.on_failure != OnFailure::Fail);
            let has_failed = matches!(self.progress.steps.get(step), Some(StepState::Failed(_)));
            let ends_it = self.progress.fatal.contains(*step) || self.progress.culprit.as_ref() == Some(*step);
            has_failed && (!is_forgiven || ends_it)
        };
        let failed: Vec<&str> = names.filter(failed).map(String::as_str).collect();
        self.do_again(&failed);
    }

    /// Heads of former versions do not say when the run ended, but when anything happened to it last.
    fn is_dead_since(&self, since: Timestamp) -> bool {
        self.progress.ended_at == Some(since) || self.progress.at == since
    }
}

#[cfg(test)]
#[path = "redrive_tests.rs"]
mod tests;
