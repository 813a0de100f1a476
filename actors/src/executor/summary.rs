//! The sum of a run's journal that is stored beside it: what lists show and timers need. Pure.

use super::progress::{Life, Progress, StepState};
use crate::run::{RunHead, RunStatus};
use crate::time::Timestamp;
use crate::workflow::definition::UNDO;

impl Progress {
    /// The sum that is stored beside the journal.
    pub fn head(&self, updated_at: Timestamp) -> RunHead {
        let (status, step, reason) = self.shown();
        let (wake, in_doubt) = (self.wake(Timestamp::default()), self.is_in_doubt());
        let (revision, delayed_ms) = (self.revision, self.delayed_ms);
        let (ended_at, dismissed, child) = (self.ended_at, self.dismissed, self.child);
        let culprit = self.culprit.as_ref().and_then(|step| self.steps.get(step));
        let poison = self.is_over() && matches!(culprit, Some(StepState::Failed(failure)) if failure.poison);
        RunHead {
            status,
            revision,
            step,
            reason,
            wake,
            updated_at,
            delayed_ms,
            in_doubt,
            ended_at,
            dismissed,
            poison,
            child,
        }
    }

    fn shown(&self) -> (RunStatus, Option<String>, Option<String>) {
        if let Life::Over { status, reason } = &self.life {
            return (*status, None, reason.clone());
        }
        if let Some(reason) = &self.blocked {
            return (RunStatus::Blocked, None, Some(reason.clone()));
        }
        if let Some((step, _)) = self.in_flight().next() {
            return (RunStatus::Running, Some(step.clone()), None);
        }
        let first = |wanted: fn(&StepState) -> bool| self.steps.iter().find(|(_, state)| wanted(state));
        if let Life::Undoing { reason, .. } = &self.life
            && let Some((step, StepState::Failed(failure))) =
                self.steps.iter().find(|(step, state)| step.starts_with(UNDO) && matches!(state, StepState::Failed(_)))
        {
            let why = reason.as_deref().unwrap_or("it was to end");
            return (
                RunStatus::Stuck,
                Some(step.clone()),
                Some(format!("{failure}; it is being undone because {why}")),
            );
        }
        let doubt = first(|state| matches!(state, StepState::InDoubt { .. }));
        let pause = first(|state| {
            matches!(
                state,
                StepState::Pausing { .. }
                    | StepState::Held { .. }
                    | StepState::Waiting { .. }
                    | StepState::Unwanted { .. }
            )
        });
        match (self.paused, &self.life, doubt, pause) {
            (true, ..) => (RunStatus::Paused, None, None),
            (_, Life::Queued, ..) => (RunStatus::Queued, None, None),
            (_, _, Some((step, StepState::InDoubt { reason, .. })), _) => {
                (RunStatus::NeedsDecision, Some(step.clone()), Some(reason.clone()))
            }
            (_, _, _, Some((step, StepState::Waiting { run: Some(run), .. }))) => {
                (RunStatus::Waiting, Some(step.clone()), Some(format!("for the end of {run}")))
            }
            (_, _, _, Some((step, StepState::Unwanted { run, .. }))) => {
                let why = format!("for the end of {run}, which it does not want any more");
                (RunStatus::Waiting, Some(step.clone()), Some(why))
            }
            (_, _, _, Some((step, StepState::Waiting { keys, .. }))) => {
                (RunStatus::Waiting, Some(step.clone()), Some(format!("to be called back as {}", keys.join(" or "))))
            }
            (_, _, _, Some((step, StepState::Held { service, .. }))) => {
                (RunStatus::Waiting, Some(step.clone()), Some(format!("the circuit of `{service}` is open")))
            }
            (_, _, _, Some((step, state))) if state.tries().unclear.is_some() => {
                let why = "nobody knows whether its effect has happened; it is looked for";
                (RunStatus::Waiting, Some(step.clone()), Some(why.to_owned()))
            }
            (_, _, _, Some((step, _))) => (RunStatus::Waiting, Some(step.clone()), None),
            _ => (RunStatus::Running, None, None),
        }
    }
}
