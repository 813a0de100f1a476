//! What follows from where a run stands, as long as nothing happens: what it waits for and until when, what is ready, how
//! it stands for others. Pure; a part of [`super::progress`], which folds the journal and asks nothing.

use std::time::Duration;

use super::outages::Outages;
use super::progress::{Flying, Life, Progress, StepState};
use crate::ids::{RunId, WaitId};
use crate::run::{Reserved, Standing};
use crate::time::Timestamp;
use crate::workflow::definition::{Definition, Step};

impl Progress {
    /// Whether its time is up.
    pub fn time_is_up(&self, now: Timestamp) -> bool {
        self.left_at(now) == Some(Duration::ZERO)
    }

    /// When it must be looked at if nothing happens: the end of a pause that is after `now`, or of its time.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        match self.life {
            Life::Over { .. } => return None,
            Life::Queued => return self.begins_at.filter(|at| *at > now),
            Life::Begun | Life::Undoing { .. } => {}
        }
        let pauses = self.steps.values().filter_map(|step| match step {
            StepState::Pausing { until, .. } | StepState::Waiting { until, .. } if !self.paused && *until > now => {
                Some(*until)
            }
            _ => None,
        });
        // Attempts and pauses end by themselves unless the run's time is up first.
        let last = self.steps.values().filter_map(|step| step.active_until(self.paused)).max();
        let runs_out = self.left.map(|left| self.at.plus(left)).filter(|runs_out| Some(*runs_out) <= last);
        // That its time is up changes nothing more when it is to end, or waits for an operator.
        let is_known = (self.leaving.is_some() || self.is_in_doubt()) && self.time_is_up(now);
        pauses.chain(runs_out.filter(|_| !is_known)).min()
    }

    /// The open waits, by step, of those that are not about to learn more of it from an attempt in flight.
    pub fn open_waits(&self) -> impl Iterator<Item = (&String, Reserved)> {
        let is_over = self.is_over();
        let idle = self.steps.iter().filter(|(_, state)| !matches!(state, StepState::Attempting(_)));
        idle.filter_map(move |(step, state)| Some((step, state.wait().filter(|_| !is_over)?)))
    }

    /// The runs that it has started and waits for, wanted or not, each with the step and its wait.
    pub fn children(&self) -> impl Iterator<Item = (&String, RunId, WaitId)> {
        self.steps.iter().filter_map(|(step, state)| match state {
            StepState::Waiting { run: Some(run), tries, .. } | StepState::Unwanted { run, tries, .. } => {
                Some((step, *run, tries.wait?.id))
            }
            _ => None,
        })
    }

    /// Whether something of it is still at work that must come to its end before it ends: an attempt, or a run that it has
    /// started.
    pub fn has_work(&self) -> bool {
        self.in_flight().next().is_some() || self.children().next().is_some()
    }

    /// The attempts in flight, by step.
    pub fn in_flight(&self) -> impl Iterator<Item = (&String, &Flying)> {
        let is_over = self.is_over();
        self.steps.iter().filter_map(move |(step, state)| match state {
            StepState::Attempting(flying) if !is_over => Some((step, flying)),
            _ => None,
        })
    }

    /// Serials of the attempts that are in flight here and no more when the run stands as `after`: their outcome is
    /// durable, or nobody wants them.
    pub fn landed(&self, after: &Self) -> Vec<u32> {
        let is_flying = |serial: &u32| after.in_flight().any(|(_, flying)| flying.serial == *serial);
        self.in_flight().map(|(_, flying)| flying.serial).filter(|serial| !is_flying(serial)).collect()
    }

    /// Whether nothing more will happen, unless it is restarted.
    pub fn is_over(&self) -> bool {
        matches!(self.life, Life::Over { .. })
    }

    /// Whether a step can be begun, or be gone on with, at `now`: all that it needs is settled.
    pub fn is_ready(&self, definition: &Definition, step: &str, (now, outages): (Timestamp, &Outages)) -> bool {
        let settled = |needed: &String| self.steps.get(needed).is_some_and(StepState::is_settled);
        match self.steps.get(step) {
            None => definition.step(step).is_some_and(|step| step.needs.iter().all(settled)),
            Some(StepState::Again(_)) => true,
            Some(StepState::Held { service, .. }) => !outages.include(service),
            Some(StepState::Pausing { until, .. } | StepState::Waiting { until, .. }) => *until <= now,
            Some(_) => false,
        }
    }

    /// How the run stands for others.
    pub fn standing(&self, definition: &Definition, now: Timestamp, outages: &Outages) -> Standing {
        match self.life {
            Life::Over { .. } => return Standing::Over,
            Life::Queued if self.paused => return Standing::Held,
            Life::Queued if self.begins_at.is_some_and(|at| at > now) => return Standing::Settling,
            Life::Queued => return Standing::Queued,
            Life::Begun | Life::Undoing { .. } => {}
        }
        if self.in_flight().next().is_some() {
            return Standing::Busy;
        }
        if self.is_undoing() {
            let next = self.next_undo(definition);
            let could_go_on = next.is_none_or(|step| self.is_ready(definition, &step.name, (now, outages)));
            return if could_go_on && !self.paused { Standing::Runnable } else { Standing::Parked };
        }
        let all_settled = || definition.steps.iter().all(|step| self.is_settled(&step.name));
        let any_ready = || definition.steps.iter().any(|step| self.is_ready(definition, &step.name, (now, outages)));
        // Nothing is begun any more, and an operator's word is waited for.
        if self.leaving.is_none() && self.time_is_up(now) && self.is_in_doubt() {
            return Standing::Parked;
        }
        if self.leaving.is_some() && self.has_work() {
            return Standing::Parked;
        }
        let could_go_on = self.leaving.is_some() || any_ready() || all_settled();
        if could_go_on && !self.paused { Standing::Runnable } else { Standing::Parked }
    }

    /// Whether it is on its way out, and undoes what it has done.
    pub fn is_undoing(&self) -> bool {
        matches!(self.life, Life::Undoing { .. })
    }

    /// The step that undoes something and is next: what was built on something is undone before that.
    pub fn next_undo<'a>(&self, definition: &'a Definition) -> Option<&'a Step> {
        let has_happened = |name: &str| self.steps.get(name).is_some_and(StepState::has_happened);
        let is_done = |name: &str| matches!(self.steps.get(name), Some(StepState::Done { .. }));
        let pending =
            |step: &'a Step| step.undo.as_deref().filter(|undo| has_happened(&step.name) && !is_done(&undo.name));
        let first = definition.steps.iter().rev().find(|step| {
            let after = definition.after(&step.name);
            let mut built_on_it = definition.steps.iter().filter(|later| after.contains(&later.name));
            pending(step).is_some() && !built_on_it.any(|later| pending(later).is_some())
        });
        first.and_then(pending)
    }

    /// Since when it could go on, if it can at `now`.
    pub fn ready_since(&self, now: Timestamp) -> Timestamp {
        let ends = self.steps.values().filter_map(|step| match step {
            StepState::Pausing { until, .. } | StepState::Waiting { until, .. } => Some(*until),
            _ => None,
        });
        ends.chain(self.begins_at).filter(|until| *until <= now).chain([self.at]).max().unwrap_or(self.at)
    }

    /// Whether what it would do next has failed before.
    pub fn tries_again(&self) -> bool {
        self.steps.values().any(|step| !step.is_settled() && step.tries().failures > 0)
    }

    /// Whether it waits for a service to be well.
    pub fn is_held(&self) -> bool {
        self.steps.values().any(|step| matches!(step, StepState::Held { .. }))
    }

    /// Whether it waits for this service to be well.
    pub fn is_held_by(&self, service: &str) -> bool {
        self.steps.values().any(|step| matches!(step, StepState::Held { service: by, .. } if by == service))
    }

    /// The steps of which nobody knows whether their last attempt had its effect, and has looked: each with its number.
    pub fn unclear(&self) -> impl Iterator<Item = (&String, u32)> {
        let unclear = self.steps.iter().filter(|(_, state)| {
            !state.is_settled() && !matches!(state, StepState::InDoubt { .. }) && state.tries().unclear.is_some()
        });
        unclear.map(|(step, state)| (step, state.tries().attempts))
    }

    /// Whether an operator must rule about an attempt.
    pub fn is_in_doubt(&self) -> bool {
        self.steps.values().any(|step| matches!(step, StepState::InDoubt { .. }))
    }

    /// Whether nothing more will happen to a step.
    pub fn is_settled(&self, step: &str) -> bool {
        self.steps.get(step).is_some_and(StepState::is_settled)
    }
}
