//! What an executor does with what its inside decides, as `actors/src/executor/actor.rs` and `recovery.rs` do it: one
//! decision at a time into the log, effects after their entries, and storage is read again when in doubt.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use pointsman_actors::dispatcher::queue::Order;
use pointsman_actors::executor::decide::{Decision, Execute, Happening, Moment, decide};
use pointsman_actors::executor::outages::Outages;
use pointsman_actors::executor::port::{Outcome, Success};
use pointsman_actors::executor::progress::Progress;
use pointsman_actors::ids::{RunId, WaitId};
use pointsman_actors::wait::desk::Shelves;
use pointsman_actors::wait::record::{Resolution, WaitState};
use serde_json::json;

use crate::process::{Commit, Found, Hint, InHand, Letter, Live, Process, Said, Slot, Task};
use crate::seen::Seen;
use crate::setup::{Setup, WORKFLOW, Word};
use crate::world::{Call, Heard, World};

/// One process at work in its world.
pub struct Executor<'a> {
    /// The model.
    pub setup: &'a Setup,
    /// All there is.
    pub world: &'a mut World,
    /// Which process.
    pub number: usize,
}

impl Executor<'_> {
    fn own(&mut self) -> &mut Process {
        &mut self.world.processes[self.number]
    }

    /// Something happens to a run. One that is not here is read first.
    pub fn take(&mut self, run: usize, task: Task) {
        match self.own().live.get_mut(&run) {
            Some(live) => {
                live.tasks.push_back(task);
                self.work(run);
            }
            None => self.load(run),
        }
    }

    /// Decides about what waits until something must be written down.
    fn work(&mut self, run: usize) {
        loop {
            let (now, setup) = (self.world.now, self.setup);
            let record = Arc::clone(&self.world.runs[run].record);
            let Some(live) = self.own().live.get_mut(&run).filter(|live| live.in_hand.is_none()) else { return };
            let Some(Task { what, word }) = live.tasks.pop_front() else { return };
            if let (Happening::Go, Some((stand, _))) = (&*what, &mut live.told) {
                *stand = None;
            }
            let moment = Moment { now, draining: false, outages: &Outages::default() };
            let decision = decide(&record, &setup.definition, &live.progress, &what, moment);
            if decision.entries.is_empty() {
                if matches!(*what, Happening::Go | Happening::Woke) {
                    live.told = None;
                }
                if decision.refusal.is_none() {
                    self.answer(run, word);
                }
                self.report(run);
                if !matches!(*what, Happening::Woke) {
                    self.end_if_late(run);
                }
            } else {
                let revision = live.progress.revision;
                let text = format!("{:?}{:?}{:?}", decision.entries, decision.waits, decision.executes);
                let decision = Seen::known_by(decision, &text);
                live.in_hand = Some(InHand { decision: decision.clone(), word, answer: None });
                let (is_awaited, is_doubtful) = (true, false);
                self.own().log.push_back(Commit { run, revision, decision, is_awaited, is_doubtful });
                return;
            }
        }
    }

    /// The store has answered.
    pub fn hears(&mut self, run: usize) {
        let Some(live) = self.own().live.get_mut(&run) else { return };
        let Some(InHand { decision, word, answer: Some(answer) }) = live.in_hand.take() else { return };
        match answer {
            Heard::Applied { completed } => {
                self.written(run, &decision, word);
                if completed {
                    self.look_at_waits(run);
                }
            }
            Heard::Stale => self.read_again(run),
            Heard::Unknown => {
                let serial = decision.executes.first().map(|execute| execute.serial);
                self.own().never_left.extend(serial.map(|serial| (run, serial)));
                self.read_again(run);
            }
        }
    }

    fn written(&mut self, run: usize, decision: &Decision, word: Option<Word>) {
        let Some(live) = self.own().live.get_mut(&run) else { return };
        // Steps come one after the other here: there is one attempt of a run at a time.
        let settled = !live.progress.landed(&decision.progress).is_empty();
        live.progress = Arc::new(decision.progress.clone());
        self.own().never_left.remove(&run);
        if settled {
            self.settle(run);
        }
        for execute in &decision.executes {
            self.execute(run, execute);
        }
        self.answer(run, word);
        self.report(run);
        if decision.progress.is_over() {
            self.own().live.remove(&run);
        } else {
            if settled || !decision.waits.is_empty() {
                self.look_at_waits(run);
            }
            self.end_if_late(run);
            self.work(run);
        }
    }

    /// What an operator has said is durable, or nothing had to be.
    fn answer(&mut self, run: usize, word: Option<Word>) {
        if matches!(word, Some(Word::Cancel | Word::Pause)) {
            self.world.runs[run].is_quiet = true;
        }
    }

    fn end_if_late(&mut self, run: usize) {
        let now = self.world.now;
        if let Some(live) = self.own().live.get_mut(&run).filter(|live| live.progress.time_is_up(now)) {
            live.tasks.push_back(Happening::Woke.into());
        }
    }

    fn execute(&mut self, run: usize, execute: &Execute) {
        let Execute { step, serial, key, .. } = execute;
        let step = self.setup.definition.steps.iter().position(|other| other.name == *step).unwrap_or_default();
        let (process, key, serial) = (self.number, key.clone(), *serial);
        self.settle(run);
        self.own().slots.insert(run, Slot { serial, outcome: None });
        let (has_looked, executed, is_awaited) = (!self.setup.heads, false, true);
        self.world.leaves(self.setup, Call { process, run, serial, step, key, has_looked, executed, is_awaited });
    }

    /// Nobody here waits for the attempt any more.
    fn settle(&mut self, run: usize) {
        if let Some(slot) = self.own().slots.remove(&run) {
            let process = self.number;
            let is_its = |call: &Call| (call.process, call.run, call.serial) == (process, run, slot.serial);
            self.world.abandon(self.setup, is_its);
        }
    }

    /// An attempt of this process has given something.
    pub fn attempt_gave(&mut self, run: usize, serial: u32, outcome: Outcome) {
        let Some(slot) = self.own().slots.get_mut(&run).filter(|slot| slot.serial == serial) else { return };
        slot.outcome = Some(Seen::shown(outcome.clone()));
        self.take(run, Happening::Ended(serial, outcome).into());
    }

    /// Tells dispatcher and timer how a run stands, unless they know.
    fn report(&mut self, run: usize) {
        let (now, number, setup) = (self.world.now, self.number, self.setup);
        let World { runs, processes, .. } = &mut *self.world;
        let Process { live, letters, armed, reports, .. } = &mut processes[number];
        let Some(live) = live.get_mut(&run) else { return };
        let mut report = live.report(setup, &runs[run], now);
        let wake = live.progress.wake(now).filter(|wake| *wake > now);
        let before = live.told.replace((Some(report.stand()), wake));
        if before.is_none_or(|(told, _)| told != Some(report.stand())) {
            *reports += 1;
            (live.number, report.number) = (*reports, *reports);
            letters.push_back(Seen::shown(Letter::Reported(report)));
        }
        if before.is_none_or(|(_, told)| told != wake) {
            match wake {
                Some(at) => _ = armed.insert(run, at),
                None => _ = armed.remove(&run),
            }
        }
    }

    /// Tells the dispatcher how all runs stand.
    fn tell_all(&mut self) {
        let (now, number, setup) = (self.world.now, self.number, self.setup);
        let World { runs, processes, .. } = &mut *self.world;
        let process = &mut processes[number];
        if process.loading.is_empty() {
            process.reports += 1;
            let at = (now, process.reports);
            let reports = process.live.iter_mut().map(|(run, live)| live.counted(setup, &runs[*run], at)).collect();
            process.letters.push_back(Seen::shown(Letter::Census(reports)));
        }
    }

    fn read_again(&mut self, run: usize) {
        self.own().live.remove(&run);
        // What is being read may be older than what has led here.
        self.own().loading.insert(run, None);
    }

    fn load(&mut self, run: usize) {
        self.own().loading.entry(run).or_insert(None);
    }

    /// A run is there as it was read.
    pub fn read(&mut self, run: usize) {
        let Some(Some(found)) = self.own().loading.remove(&run) else { return };
        self.adopt(run, found);
        self.look_at_waits(run);
    }

    /// What the store says of a run now.
    pub fn found(&self, run: usize) -> Found {
        let progress = Arc::clone(&self.world.runs[run].progress);
        let answered = progress.open_waits().filter_map(|(_, wait)| self.answered(wait.id)).map(Task::from).collect();
        Found { progress, answered }
    }

    /// Takes up a run where its journal ends.
    fn adopt(&mut self, run: usize, Found { progress, answered }: Found) {
        if self.own().live.contains_key(&run) {
            return;
        }
        if progress.is_over() {
            self.settle(run);
            self.own().never_left.remove(&run);
            let id = self.world.runs[run].record.id;
            return self.own().letters.push_back(Seen::shown(Letter::Gone(id)));
        }
        self.own().live.insert(run, Live::new(progress, answered));
        self.work(run);
        self.report(run);
        self.resume(run);
    }

    /// An attempt that was in flight where the journal ends: at work here, ended here, never made, or in doubt.
    fn resume(&mut self, run: usize) {
        let (now, never_left) = (self.world.now, self.own().never_left.get(&run).copied());
        let Some(live) = self.own().live.get(&run) else { return };
        let time_is_up = live.progress.time_is_up(now);
        let Some(serial) = live.progress.in_flight().next().map(|(_, flying)| flying.serial) else {
            self.settle(run);
            if time_is_up {
                self.take(run, Happening::Woke.into());
            }
            return;
        };
        let slot = self.own().slots.get(&run).filter(|slot| slot.serial == serial).map(|slot| slot.outcome.clone());
        match slot {
            Some(None) if time_is_up => self.take(run, Happening::Woke.into()),
            Some(None) => {}
            Some(Some(outcome)) => self.take(run, Happening::Ended(serial, Outcome::clone(&outcome)).into()),
            None if never_left == Some(serial) => self.take(run, Happening::NeverLeft(serial).into()),
            None => self.take(run, Happening::Recovered(serial).into()),
        }
    }

    /// The store says which runs there are that are not here.
    pub fn look_for_all(&mut self) {
        let known: BTreeSet<usize> = self.own().live.keys().copied().collect();
        let is_missing = |run: &usize| !known.contains(run) && !self.world.runs[*run].progress.is_over();
        let missing = (0..self.world.runs.len()).filter(is_missing).map(|run| (run, self.found(run))).collect();
        let own = self.own();
        own.missed = false;
        own.reading = Some((known, missing));
    }

    /// All that is not over is there as it was read.
    pub fn load_all(&mut self) {
        let Some((known, missing)) = self.own().reading.take() else { return };
        known.into_iter().for_each(|run| self.look_at_waits(run));
        for (run, found) in missing {
            // One that is being read by itself may be older here.
            if !self.own().loading.contains_key(&run) {
                self.adopt(run, found);
            }
        }
        self.own().complete = true;
        self.tell_all();
    }

    /// Somebody says that a commit was of interest.
    pub fn hint(&mut self, hint: Hint) {
        self.own().hints.remove(&hint);
        match hint {
            Hint::Started(run) if self.own().live.contains_key(&run) => {}
            Hint::Started(run) if self.own().complete && !self.own().loading.contains_key(&run) => {
                let progress = Arc::new(Progress::new(&self.world.runs[run].record));
                self.own().live.insert(run, Live::new(progress, VecDeque::new()));
                self.report(run);
                self.resume(run);
            }
            Hint::Started(run) => self.load(run),
            Hint::Called(run) if self.own().live.contains_key(&run) => self.look_at_waits(run),
            Hint::Called(run) => self.load(run),
        }
    }

    /// Asks the store for the waits of a run that are open now.
    fn look_at_waits(&mut self, run: usize) {
        let Some(live) = self.own().live.get(&run) else { return };
        let waits: Vec<WaitId> = live.progress.open_waits().map(|(_, wait)| wait.id).collect();
        self.own().asked.extend(waits.into_iter().map(|wait| (run, wait)));
    }

    /// The store says how a wait is.
    pub fn look(&mut self, run: usize, wait: WaitId) {
        self.own().asked.remove(&(run, wait));
        if let Some(answer) = self.answered(wait) {
            self.take(run, answer.into());
        }
    }

    /// What an event has said of a wait.
    fn answered(&self, wait: WaitId) -> Option<Happening> {
        let Ok(found) = self.world.shelves.copy().wait(wait);
        match found?.state {
            WaitState::Resolved { by: Resolution::Callback(event), .. } => {
                Some(Happening::Called(wait, Resolution::Callback(event), Ok(Success::Done(json!({ "ok": true })))))
            }
            _ => None,
        }
    }

    /// The dispatcher takes what it is told next.
    pub fn dispatch(&mut self) {
        let Some(letter) = self.own().letters.pop_front() else { return };
        let mut queue = self.own().queue.copy();
        let mut orders = match Letter::clone(&letter) {
            Letter::Reported(report) => queue.report(report),
            Letter::Census(reports) => queue.census(WORKFLOW, reports),
            Letter::Gone(run) => queue.gone(run),
        };
        // Whom a newcomer sends away comes first, in any order; those who go on have theirs.
        orders.sort_by_key(|order| match order {
            Order::Supersede(run, _) => (false, Some(*run)),
            Order::Go(..) => (true, None),
        });
        let said: VecDeque<_> = orders.into_iter().map(Said::Told).map(Seen::shown).collect();
        self.own().said.extend(said);
        self.own().queue = Seen::unordered(queue);
    }

    /// The dispatcher asks how all runs stand.
    pub fn ask_all(&mut self) {
        self.own().said.push_back(Seen::shown(Said::ReportAll));
    }

    /// Whether a run has reported since the report that lets it go on.
    fn is_outdated(&mut self, run: RunId, number: u64) -> bool {
        let run = self.world.number_of(run);
        self.own().live.get(&run).is_some_and(|live| live.number != number)
    }

    /// The executor takes what the dispatcher says next.
    pub fn obey(&mut self) {
        let Some(said) = self.own().said.pop_front() else { return };
        let (run, what) = match Said::clone(&said) {
            Said::Told(Order::Go(run, number)) if self.is_outdated(run, number) => return,
            Said::Told(Order::Go(run, _)) => (run, Happening::Go),
            Said::Told(Order::Supersede(run, reason)) => (run, Happening::Superseded(reason)),
            // Otherwise it is told when it is.
            Said::ReportAll if self.own().complete => return self.tell_all(),
            Said::ReportAll => return,
        };
        let run = self.world.number_of(run);
        self.take(run, what.into());
    }
}
