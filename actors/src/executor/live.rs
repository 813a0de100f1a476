//! A run that is not over, as its executor holds it: what is known of it, what it is about to hear, and how it stands
//! for dispatcher and timer. A part of the door.

use std::collections::VecDeque;
use std::sync::Arc;

use super::decide::Happening;
use super::outages::Outages;
use super::progress::Progress;
use super::task::Task;
use crate::dispatcher::queue::{Report, Stand, Ticket};
use crate::run::{RunRecord, Standing};
use crate::time::Timestamp;
use crate::timer::actor::Arm;
use crate::workflow::definition::Definition;

/// A run that is not over.
pub(super) struct Live {
    pub(super) run: Arc<RunRecord>,
    pub(super) definition: Arc<Definition>,
    pub(super) ticket: Ticket,
    pub(super) progress: Progress,
    /// A decision of it is on its way into the journal.
    pub(super) in_hand: Option<InHand>,
    pub(super) waiting: VecDeque<Task>,
    /// What dispatcher and timer were told last. The dispatcher takes whoever it told to go on for one at work, whatever
    /// it was told before.
    pub(super) told: Option<(Option<Stand>, Option<Timestamp>)>,
    /// The number of the last report. Whoever is told to go on because of an earlier one does not: the dispatcher is about
    /// to hear that he could, and takes his slot for free.
    pub(super) number: u64,
}

/// What others must know of a decision that is on its way.
#[derive(Clone, Copy)]
pub(super) struct InHand {
    /// Whether the run is at work with it.
    pub(super) begins: bool,
}

impl Live {
    /// What it hears of next. When its time is up, an outcome that is known and on its way here comes before all that
    /// would end it for that.
    pub(super) fn next_task(&mut self, now: Timestamp, is_known: impl FnOnce() -> bool) -> Option<Task> {
        if !(self.progress.time_is_up(now) && is_known()) {
            return self.waiting.pop_front();
        }
        let looks_at_clock =
            |task: &Task| matches!(task.happening, Happening::Go | Happening::Woke | Happening::Superseded(_));
        self.waiting.remove(self.waiting.iter().position(|task| !looks_at_clock(task))?)
    }

    pub(super) fn report(&self, now: Timestamp, outages: &Outages) -> Report {
        // Whoever has been told to go on may be at work as soon as that is durable.
        let is_told = || self.waiting.iter().any(|task| matches!(task.happening, Happening::Go));
        // Of one that is over nobody hears again.
        let is_over = self.progress.is_over() && self.in_hand.is_none();
        let is_going = !is_over && (self.in_hand.is_some_and(|in_hand| in_hand.begins) || is_told());
        let standing = if is_going { Standing::Busy } else { self.progress.standing(&self.definition, now, outages) };
        let (again, undoes) = (self.progress.tries_again(), self.progress.is_undoing());
        Report {
            ticket: self.ticket.clone(),
            standing,
            again,
            undoes,
            revision: self.progress.revision,
            number: self.number,
        }
    }

    /// When it must be woken. What is due is no longer waited for.
    pub(super) fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        self.progress.wake(now).filter(|wake| *wake > now)
    }

    /// The same for a census: it is what the dispatcher knows from then on, and the timer, if that has changed: what
    /// was due is waited for again when the clock was set back.
    pub(super) fn counted(&mut self, now: Timestamp, outages: &Outages, number: u64) -> (Report, Option<Arm>) {
        self.number = number;
        let (report, wake) = (self.report(now, outages), self.wake(now));
        let Some((stand, told)) = &mut self.told else { return (report, None) };
        *stand = Some(report.stand());
        let (run, workflow) = (self.ticket.run, self.ticket.workflow.clone());
        let arm = (std::mem::replace(told, wake) != wake).then_some(Arm { run, workflow, at: wake });
        (report, arm)
    }
}
