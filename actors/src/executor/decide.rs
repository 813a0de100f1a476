//! What happens next in a run. Pure: where it stands, what happened and the time give the entries that
//! are added to its journal and the attempt that is made once these are durable.
//!
//! Effects follow their entries, never the other way round: an attempt is in the journal before it
//! leaves the process, and a crash between the two makes it in doubt, not lost.
//!
//! Here is the life of the run as a whole; `step.rs` has that of a step, `waiting.rs` how it waits for a callback,
//! `child.rs` how it starts other runs, `command.rs` what operators say.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::child;
use super::command::Command;
use super::outages::Outages;
use super::port::Outcome;
use super::progress::{Life, Progress, StepState};
use crate::ids::{RunId, WaitId};
use crate::run::{Entry, Reserved, RunRecord, RunStatus, What};
use crate::time::Timestamp;
use crate::wait::record::{Resolution, WaitChange};
use crate::workflow::definition::{Definition, Step};

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
    /// The same, and nothing else was in flight when that process died.
    DiedAlone(u32),
    /// The attempt with this serial is in the journal but was never made.
    NeverLeft(u32),
    /// A wait was resolved by an event or the end of a run, or is by a poll, and this is what that says.
    Called(WaitId, Resolution, Outcome),
    /// An operator says so.
    Told(Command),
}

/// An attempt that is made once its entry is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Execute {
    /// The step.
    pub step: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Whether its effect is only looked for.
    pub look: bool,
    /// Where its entry stands in the journal.
    pub serial: u32,
    /// The same for every attempt of the step, until the run is restarted.
    pub key: String,
    /// What the step hands over.
    pub with: Map<String, Json>,
    /// When it is dropped if it has not ended.
    pub until: Timestamp,
}

/// What follows from a happening.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What is added to the journal; nothing when nothing changes. An attempt that
    /// [is not in flight](Progress::landed) after it is dropped.
    pub entries: Vec<Entry>,
    /// What it does with waits, in the same commit.
    pub waits: Vec<WaitChange>,
    /// The runs that are started with it.
    pub starts: Vec<RunRecord>,
    /// The attempts that are made then.
    pub executes: Vec<Execute>,
    /// Why an operator's command cannot be followed, in words. Nothing is changed then.
    pub refusal: Option<String>,
    /// Where the run stands then.
    pub progress: Progress,
}

impl Decision {
    /// Notes who said what it follows from: that is its first entry, the others follow by themselves.
    pub fn said_by(&mut self, operator: Option<&str>) {
        if let Some(first) = self.entries.first_mut() {
            first.by = operator.map(str::to_owned);
        }
    }

    /// Whether the run is at work with it, or takes its place among others: it leaves the queue, or an attempt is made.
    pub fn begins(&self) -> bool {
        !self.executes.is_empty() || self.entries.iter().any(|entry| matches!(entry.what, What::Begun { .. }))
    }
}

/// The key of a step, the same for each of its attempts until it is done again; also then, as long as nobody knows whether
/// one of them had its effect.
pub fn step_key(run: RunId, step: &str, generation: u32) -> String {
    if generation == 0 { format!("{run}/{step}") } else { format!("{run}/{step}/{generation}") }
}

/// When something happens.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time.
    pub now: Timestamp,
    /// Whether the process is about to end: then no further attempt is begun.
    pub draining: bool,
    /// The services that nobody is to call.
    pub outages: &'a Outages,
}

/// Decides what follows from `happening`.
pub fn decide(
    run: &RunRecord,
    definition: &Definition,
    progress: &Progress,
    happening: &Happening,
    moment: Moment<'_>,
) -> Decision {
    let Moment { now, draining, outages } = moment;
    let (entries, waits, starts, answered) = (Vec::new(), Vec::new(), Vec::new(), None);
    let (executes, refusal, progress) = (Vec::new(), None, progress.clone());
    let mut next =
        Next { run, definition, now, draining, outages, entries, waits, starts, answered, executes, refusal, progress };
    next.follow(happening);
    let Next { entries, waits, starts, executes, refusal, progress, .. } = next;
    Decision { entries, waits, starts, executes, refusal, progress }
}

/// A decision in the making.
pub(super) struct Next<'a> {
    pub(super) run: &'a RunRecord,
    pub(super) definition: &'a Definition,
    pub(super) now: Timestamp,
    pub(super) draining: bool,
    pub(super) outages: &'a Outages,
    pub(super) entries: Vec<Entry>,
    pub(super) waits: Vec<WaitChange>,
    pub(super) starts: Vec<RunRecord>,
    /// A wait that is resolved already, by what this is about.
    pub(super) answered: Option<WaitId>,
    pub(super) executes: Vec<Execute>,
    pub(super) refusal: Option<String>,
    pub(super) progress: Progress,
}

impl<'a> Next<'a> {
    /// The life of a run. What is not listed changes nothing: a late answer, a stale timer, a second go.
    fn follow(&mut self, happening: &Happening) {
        match happening {
            // What is known of an attempt is written down first, however late it comes.
            Happening::Ended(serial, outcome) => self.of_attempt(*serial, |next, step, attempt| {
                next.ended(step, attempt, outcome);
            }),
            Happening::Recovered(serial) => self.of_attempt(*serial, Self::recovered),
            Happening::DiedAlone(serial) => self.of_attempt(*serial, Self::died_alone),
            Happening::NeverLeft(serial) => self.of_attempt(*serial, Self::interrupted),
            Happening::Noted(serial, note) => self.of_attempt(*serial, |next, step, attempt| {
                next.write(What::Noted { step: step.name.clone(), attempt, note: note.clone() });
            }),
            Happening::Told(command) => self.obey(command),
            _ if self.progress.is_over() => {}
            Happening::Called(wait, by, outcome) => self.called(*wait, *by, outcome),
            // It is on its way out.
            Happening::Superseded(_) if self.progress.is_undoing() => {}
            Happening::Superseded(reason) => self.end(RunStatus::Superseded, Some(reason.clone())),
            _ if self.progress.time_is_up(self.now) && self.is_active() => self.time_out(),
            // Whoever says so may not know yet that it is settling.
            Happening::Go if self.progress.life == Life::Queued && self.progress.wake(self.now).is_some() => {}
            Happening::Go if self.progress.life == Life::Queued && !self.progress.paused => {
                let may_take_ms = u64::try_from(self.definition.timeout.as_millis()).unwrap_or(u64::MAX);
                self.write(What::Begun { may_take_ms });
                self.go_on(true);
            }
            Happening::Go => self.go_on(true),
            // A wait that nobody called back needs no slot to end.
            Happening::Woke => self.go_on(false),
        }
    }

    /// Hands an attempt in flight to `then`; one that is not in flight any more changes nothing.
    fn of_attempt(&mut self, serial: u32, then: impl FnOnce(&mut Self, &'a Step, u32)) {
        if self.progress.is_over() {
            return;
        }
        let found = self.progress.in_flight().find(|(_, flying)| flying.serial == serial);
        let found = found.and_then(|(step, flying)| Some((self.definition.step(step)?, flying.tries.attempts)));
        if let Some((step, attempt)) = found {
            then(self, step, attempt);
        }
    }

    /// Whether something uses up its time: then its end comes when that is up, and not before something
    /// is begun.
    fn is_active(&self) -> bool {
        let paused = self.progress.paused;
        self.progress.steps.values().any(|state| match state {
            StepState::Attempting(_) => true,
            StepState::Pausing { .. } | StepState::Waiting { .. } => !paused,
            _ => false,
        })
    }

    /// What can be done now: the steps that are ready, as many at once as the definition says, or the end. Without a slot
    /// only what needs none.
    pub(super) fn go_on(&mut self, has_slot: bool) {
        if self.progress.is_over() {
            return;
        }
        let at_work = self.progress.in_flight().next().is_some();
        if !at_work {
            self.unblock();
        }
        if let Some((status, reason)) = self.progress.leaving.clone() {
            self.end(status, Some(reason));
        }
        if self.progress.is_over() || self.progress.paused || self.progress.life == Life::Queued {
            return;
        }
        if self.progress.is_undoing() {
            return self.undo(has_slot);
        }
        // Whoever is at work has a slot.
        self.begin_what_is_ready(has_slot || at_work);
        if !self.progress.is_over() && !self.progress.is_undoing() && self.all_settled() {
            self.end_of_all();
        }
    }

    fn begin_what_is_ready(&mut self, has_slot: bool) {
        let definition = self.definition;
        let mut cannot = BTreeSet::new();
        while self.progress.leaving.is_none() && !self.progress.is_over() {
            let has_room = has_slot && self.progress.in_flight().count() < definition.parallelism;
            let next = definition.steps.iter().find(|step| {
                let is_ready = self.progress.is_ready(definition, &step.name, (self.now, self.outages));
                is_ready && (has_room || !self.needs_slot(step)) && !cannot.contains(step.name.as_str())
            });
            let Some(step) = next else { return };
            if self.progress.time_is_up(self.now) {
                return self.time_out();
            }
            let before = self.entries.len();
            self.begin(step);
            if self.progress.is_undoing() {
                return self.undo(has_slot);
            }
            if self.entries.len() == before {
                cannot.insert(step.name.as_str());
            }
        }
    }

    /// It ends so, as soon as the attempts in flight and the runs that it has started have ended. If it is to end already,
    /// the first word stands: somebody was told so, or a dead letter is owed.
    pub(super) fn end(&mut self, status: RunStatus, reason: Option<String>) {
        let first = self.progress.leaving.clone();
        if self.progress.has_work() && first.is_some() {
            return;
        }
        let (status, reason) = first.map_or((status, reason), |(status, reason)| (status, Some(reason)));
        if !self.progress.has_work() {
            return self.end_at_once(status, reason);
        }
        // The runs that it has started are not wanted any more from now on.
        let children = self.progress.children().map(|(_, _, wait)| wait);
        let tell = if status == RunStatus::Superseded { WaitChange::MakeWay } else { WaitChange::Close };
        self.waits.extend(children.filter(|wait| self.answered != Some(*wait)).map(tell));
        let reason = reason.unwrap_or_default();
        match status {
            RunStatus::Cancelled => self.write(What::CancelAsked { reason }),
            RunStatus::Superseded => self.write(What::SupersedeAsked { reason }),
            status => self.write(What::EndAsked { status, reason }),
        }
    }

    /// Its time is up. What becomes of an attempt in flight is its step's word, as whenever nobody knows
    /// what became of it; one that an operator must rule about keeps the run from ending.
    fn time_out(&mut self) {
        let flying = self.progress.in_flight().map(|(step, flying)| (step.clone(), flying.tries.attempts));
        for (step, attempt) in flying.collect::<Vec<_>>() {
            if let Some(step) = self.definition.step(&step) {
                self.doubt(step, attempt, "the run's time was up before the attempt had ended");
            }
        }
        if let Some((status, reason)) = self.progress.leaving.clone() {
            return self.end(status, Some(reason));
        }
        if self.progress.is_in_doubt() {
            return self.tell_off_the_late();
        }
        if self.all_settled() {
            return self.end_of_all();
        }
        // A callback that was first is looked at first, and so is the end of a run; whoever is unwanted has heard so.
        let is_unwanted = |step: &String| matches!(self.progress.steps.get(step), Some(StepState::Unwanted { .. }));
        let open = self.progress.open_waits().filter(|(step, _)| !is_unwanted(step));
        let settle = |(_, wait): (_, Reserved)| WaitChange::Settle { wait: wait.id, by: Resolution::Timeout };
        self.waits.extend(open.map(settle));
        let reason = format!("it took longer than {:?}", self.definition.timeout);
        if self.progress.has_work() {
            return self.write(What::EndAsked { status: RunStatus::TimedOut, reason });
        }
        self.finish(RunStatus::TimedOut, Some(reason));
    }

    /// Runs that it has started have no more time than their steps say, also while an operator is waited for.
    fn tell_off_the_late(&mut self) {
        let definition = self.definition;
        for step in &definition.steps {
            if matches!(self.progress.steps.get(&step.name), Some(StepState::Waiting { run: Some(_), .. })) {
                self.expires(step);
            }
        }
    }

    /// Nothing is left to be done: it has succeeded, unless a step has failed that only had to be told of.
    fn end_of_all(&mut self) {
        let failed = self.definition.steps.iter().find_map(|step| match self.progress.steps.get(&step.name) {
            Some(StepState::Failed(failure)) if self.progress.fatal.contains(&step.name) => {
                Some(format!("step `{}`: {failure}", step.name))
            }
            _ => None,
        });
        match failed {
            Some(reason) => self.end(RunStatus::Failed, Some(reason)),
            None => self.end(RunStatus::Succeeded, None),
        }
    }

    fn all_settled(&self) -> bool {
        self.definition.steps.iter().all(|step| self.progress.is_settled(&step.name))
    }

    pub(super) fn unblock(&mut self) {
        if self.progress.blocked.is_some() {
            self.write(What::Unblocked);
        }
    }

    /// The run is over, and waits for nothing any more.
    pub(super) fn end_at_once(&mut self, status: RunStatus, reason: Option<String>) {
        let open = self.progress.steps.values().filter_map(StepState::wait);
        let open = open.filter(|wait| self.answered != Some(wait.id));
        self.waits.extend(open.map(|wait| WaitChange::Close(wait.id)));
        self.finish(status, reason);
    }

    /// It is over, or first undoes what it has done. A run that makes way for a newer one has no further effect.
    fn finish(&mut self, status: RunStatus, reason: Option<String>) {
        let unclear = self.progress.unclear().map(|(step, attempt)| (step.clone(), attempt));
        for (step, attempt) in unclear.collect::<Vec<_>>() {
            let reason = "the run ended before anybody had looked whether the attempt had its effect".to_owned();
            self.write(What::Parked { step, attempt, reason });
        }
        let fails = matches!(status, RunStatus::Failed | RunStatus::TimedOut | RunStatus::Cancelled);
        let undoes = fails && !self.progress.is_undoing() && self.progress.next_undo(self.definition).is_some();
        if !undoes {
            return self.write(What::Ended { status, reason });
        }
        // Only what changes nothing outside is in flight when somebody ends the run at once.
        let flying = self.progress.in_flight().map(|(step, flying)| (step.clone(), flying.tries.attempts));
        for (step, attempt) in flying.collect::<Vec<_>>() {
            self.write(What::Interrupted { step, attempt, alone: false, look_at: None });
        }
        self.write(What::Undoing { status, reason });
    }

    /// Undoes what is next, or ends.
    fn undo(&mut self, has_slot: bool) {
        if self.progress.in_flight().next().is_some() {
            return;
        }
        while let Life::Undoing { status, reason } = self.progress.life.clone() {
            let Some(step) = self.progress.next_undo(self.definition) else {
                return self.write(What::Ended { status, reason });
            };
            let is_ready = self.progress.is_ready(self.definition, &step.name, (self.now, self.outages));
            let before = self.entries.len();
            if is_ready && has_slot {
                self.begin(step);
            }
            if !self.executes.is_empty() || self.entries.len() == before {
                return;
            }
        }
    }

    pub(super) fn write(&mut self, what: What) {
        if matches!(what, What::Ended { .. }) {
            self.waits.extend(child::returns(self.run));
        }
        let entry = Entry::new(self.now, what);
        self.progress.add(&entry);
        self.entries.push(entry);
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
