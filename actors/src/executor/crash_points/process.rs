//! What dies with a process: what it knows of runs, its queue, and the outcomes that are on their way to
//! it. What drives is this file; what decides is the product's.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use serde_json::json;

use super::parts;
use super::stories::{EVENT, Input, SOURCE, is_in_parts};
use super::world::{Crash, World};
use crate::dispatcher::queue::{Order, Queue, Report, Stand, Ticket};
use crate::dispatcher::ready::Ready;
use crate::executor::child;
use crate::executor::command::Command;
use crate::executor::decide::{Decision, Happening, Moment, decide};
use crate::executor::outages::Outages;
use crate::executor::polling::{self, Polls};
use crate::executor::port::Outcome;
use crate::executor::progress::{Progress, StepState};
use crate::ids::{EventId, RunId, WaitId};
use crate::run::{Ruling, RunRecord, What};
use crate::time::Timestamp;
use crate::wait::desk;
use crate::wait::record::{Callback, Resolution};

/// The time that never goes back.
fn elapsed(world: &World<'_>) -> Duration {
    world.now.since(Timestamp::default())
}

/// What dies with it.
pub struct Process {
    pub progress: BTreeMap<usize, Progress>,
    pub queue: Queue,
    pub orders: VecDeque<Order>,
    /// What the queue was told last.
    pub told: BTreeMap<usize, Stand>,
    /// The number of each run's last report.
    pub numbers: BTreeMap<usize, u64>,
    /// Outcomes that are on their way, by their time.
    pub flying: Vec<(Timestamp, usize, u32, Outcome)>,
    /// Whom it asks after waits, and answers that are on their way.
    pub polls: Polls,
    pub answers: Vec<(Timestamp, usize, WaitId, Option<Outcome>)>,
    pub recovered: bool,
}

impl Process {
    /// From the start of a process to its rest, or its end.
    pub fn drive(world: &mut World<'_>) -> Result<(), Crash> {
        let queue = Queue::new(Ready::new(2, true), HashSet::new());
        let mut process = Self {
            progress: BTreeMap::new(),
            queue,
            orders: VecDeque::new(),
            told: BTreeMap::new(),
            numbers: BTreeMap::new(),
            flying: Vec::new(),
            polls: Polls::default(),
            answers: Vec::new(),
            recovered: false,
        };
        process.recover(world)?;
        for _ in 0..10_000 {
            if !process.step(world)? {
                return Ok(());
            }
        }
        panic!("{}: it does not come to rest", world.story.name);
    }

    pub fn recover(&mut self, world: &mut World<'_>) -> Result<(), Crash> {
        for number in 0..world.image.len() {
            self.load(world, number);
        }
        let flying = self.progress.values().map(|progress| progress.in_flight().count()).sum::<usize>();
        for number in 0..world.image.len() {
            self.looks(world, number)?;
            let serials: Vec<u32> = self.progress[&number].in_flight().map(|(_, flying)| flying.serial).collect();
            for serial in serials {
                let died_alone = flying == 1;
                let happening = if died_alone { Happening::DiedAlone(serial) } else { Happening::Recovered(serial) };
                self.happens(world, number, &happening)?;
            }
            self.happens(world, number, &Happening::Woke)?;
        }
        self.recovered = true;
        for number in 0..world.image.len() {
            self.report(world, number);
        }
        Ok(())
    }

    pub fn load(&mut self, world: &World<'_>, number: usize) {
        let (record, journal) = &world.image[number];
        self.progress.insert(number, Progress::of(record, journal));
        self.keep_polls(world, number);
    }

    fn keep_polls(&mut self, world: &World<'_>, number: usize) {
        let (run, definition) = (world.image[number].0.id, world.definition_of(number));
        let open = polling::open(run, &self.progress[&number], &definition, world.now);
        self.polls.keep(run, open, elapsed(world));
    }

    /// Asks after a wait, if it is time to.
    fn ask(&mut self, world: &mut World<'_>) -> Result<bool, Crash> {
        let Some((run, wait)) = self.polls.next(elapsed(world), |_| true) else { return Ok(false) };
        let number = world.number_of(run);
        let found = self.progress[&number].open_waits().find(|(_, open)| open.id == wait);
        let step = found.map(|(step, _)| step.clone());
        let answer = step.and_then(|step| world.ask(number, &step));
        world.point()?;
        self.answers.push((world.now.plus(Duration::from_millis(10)), number, wait, answer));
        Ok(true)
    }

    fn answered(&mut self, world: &mut World<'_>, place: usize) -> Result<(), Crash> {
        let (_, number, wait, answer) = self.answers.remove(place);
        world.point()?;
        self.polls.asked(world.image[number].0.id, wait, elapsed(world), None);
        match answer {
            Some(outcome) => self.happens(world, number, &Happening::Called(wait, Resolution::Poll, outcome)),
            None => Ok(()),
        }
    }

    /// The next thing that happens; `false` when there is nothing.
    pub fn step(&mut self, world: &mut World<'_>) -> Result<bool, Crash> {
        if let Some(order) = self.orders.pop_front() {
            let (run, happening) = match order {
                // It has reported since then, and is told again.
                Order::Go(run, number) if self.numbers[&world.number_of(run)] != number => return Ok(true),
                Order::Go(run, _) => (run, Happening::Go),
                Order::Supersede(run, reason) => (run, Happening::Superseded(reason)),
            };
            self.happens(world, world.number_of(run), &happening)?;
            return Ok(true);
        }
        if self.ask(world)? {
            return Ok(true);
        }
        let input = world.inputs.front().map(|(at, _)| Timestamp::from_millis(*at));
        let outcome = self.flying.iter().map(|(at, ..)| *at).min();
        let wake = self.progress.values().filter_map(|progress| progress.wake(world.now)).min();
        let asks = self.polls.wake(elapsed(world)).map(|at| Timestamp::default().plus(at));
        let answer = self.answers.iter().map(|(at, ..)| *at).min();
        let Some(next) = [input, outcome, wake, asks, answer].into_iter().flatten().min() else {
            return self.rule(world);
        };
        world.now = world.now.max(next);
        if input == Some(next) {
            let (_, input) = world.inputs.pop_front().unwrap();
            return self.take_in(world, input).map(|()| true);
        }
        if outcome == Some(next) {
            let place = self.flying.iter().position(|(at, ..)| *at == next).unwrap();
            let (_, number, serial, outcome) = self.flying.remove(place);
            world.point()?;
            self.happens(world, number, &Happening::Ended(serial, outcome))?;
            return Ok(true);
        }
        if answer == Some(next) {
            let place = self.answers.iter().position(|(at, ..)| *at == next).unwrap();
            return self.answered(world, place).map(|()| true);
        }
        if asks == Some(next) {
            return Ok(true);
        }
        let due: Vec<usize> = self.progress.keys().copied().collect();
        for number in due {
            self.happens(world, number, &Happening::Woke)?;
            self.report(world, number);
        }
        Ok(true)
    }

    /// An operator rules about what nobody knows: it was done.
    pub fn rule(&mut self, world: &mut World<'_>) -> Result<bool, Crash> {
        let in_doubt =
            |progress: &Progress| progress.steps.values().any(|state| matches!(state, StepState::InDoubt { .. }));
        let found = self
            .progress
            .iter()
            .find(|(_, progress)| !progress.is_over() && in_doubt(progress))
            .map(|(number, _)| *number);
        let Some(number) = found else { return Ok(false) };
        let ruling = Ruling::Done { output: json!({ "ok": true }) };
        self.happens(world, number, &Happening::Told(Command::Decide { step: None, ruling }))?;
        Ok(true)
    }

    pub fn take_in(&mut self, world: &mut World<'_>, input: Input) -> Result<(), Crash> {
        match input {
            Input::Start(order) => {
                let event = EventId::first_at(Timestamp::from_millis(order + 1));
                let record = RunRecord {
                    id: RunId::derive("w", event, "r", 0),
                    workflow: "w".into(),
                    definition: "d".into(),
                    event,
                    route: "r".into(),
                    generation: 0,
                    priority: 5,
                    subject: None,
                    fair_key: None,
                    input: [("order".to_owned(), order.into())].into_iter().collect(),
                    started_at: world.now,
                    seen: None,
                    parent: None,
                    begins_at: world.begins_at(),
                };
                let number = world.image.len();
                // The sender is answered after the flush, and sends again when it was not.
                world.image.push((record, Vec::new()));
                world.point()?;
                self.load(world, number);
                self.report(world, number);
            }
            Input::Call(number, key) => {
                let event = EventId::first_at(Timestamp::from_millis(number));
                world.inputs.push_front((0, Input::Call(number, key.clone())));
                world.point()?; // the sender sends again when it was not answered
                let callback = Callback {
                    source: SOURCE.into(),
                    event_type: EVENT.into(),
                    action: None,
                    keys: vec![key],
                    received_at: world.now,
                    until: world.now.plus(Duration::from_secs(3_600)),
                    awaited: true,
                };
                if world.events.insert(event) {
                    let Ok(called) = desk::call(&mut world.shelves, event, &callback);
                    world.point()?; // flushed, and nobody was told
                    world.inputs.pop_front();
                    for wait in called.completed {
                        self.looks(world, world.number_of(wait.run))?;
                    }
                } else {
                    world.inputs.pop_front();
                }
            }
            Input::Say(number, command) => {
                let said = |entry: &crate::run::Entry| matches!(entry.what, What::Restarted { .. });
                // Who is not answered looks first whether it was done.
                if matches!(command, Command::Restart { .. }) && world.image[number].1.iter().any(said) {
                    return Ok(());
                }
                world.inputs.push_front((0, Input::Say(number, command.clone())));
                self.happens(world, number, &Happening::Told(command))?;
                world.inputs.pop_front();
            }
        }
        Ok(())
    }

    /// A run hears of its waits that were completed.
    pub fn looks(&mut self, world: &mut World<'_>, number: usize) -> Result<(), Crash> {
        for answer in world.answers(number, &self.progress[&number]) {
            self.happens(world, number, &answer)?;
        }
        Ok(())
    }

    pub fn happens(&mut self, world: &mut World<'_>, number: usize, happening: &Happening) -> Result<(), Crash> {
        let moment = Moment { now: world.now, draining: false, outages: &Outages::default() };
        let progress = &self.progress[&number];
        let definition = world.definition_of(number);
        let decision = decide(&world.image[number].0, &definition, progress, happening, moment);
        let left = child::left(&definition, progress, &decision);
        let Decision { entries, waits, starts, executes, progress, .. } = decision;
        let Ok(holds) = desk::holds(&mut world.shelves, &waits);
        if !holds {
            // A callback was faster: the run is read again, and what it says is looked at first.
            self.load(world, number);
            return self.looks(world, number);
        }
        let (mut looks, mut told) = (false, Vec::new());
        if entries.is_empty() && matches!(happening, Happening::Go | Happening::Woke) {
            self.told.remove(&number);
        }
        if !entries.is_empty() {
            world.point()?; // decided, and not flushed: written or not is the same to whoever comes after
            world.image[number].1.extend(entries.clone());
            let Ok(met) = desk::change(&mut world.shelves, &waits, world.now);
            world.image.extend(starts.iter().map(|run| (run.clone(), Vec::new())));
            let (own, others): (Vec<_>, Vec<_>) =
                met.into_iter().partition(|met| world.number_of(met.wait.run) == number);
            looks = !own.is_empty();
            told = others.into_iter().map(|met| met.wait.run).chain(left.into_iter().map(|(_, run)| run)).collect();
            world.point()?; // flushed
            assert_eq!(Progress::of(&world.image[number].0, &world.image[number].1), progress);
            let landed = self.progress[&number].landed(&progress);
            self.flying.retain(|(_, of, serial, _)| *of != number || !landed.contains(serial));
            looks |= !landed.is_empty();
            self.progress.insert(number, progress);
            self.keep_polls(world, number);
            for run in starts {
                let number = world.number_of(run.id);
                self.load(world, number);
                self.report(world, number);
            }
        }
        for execute in executes {
            let beside = self
                .progress
                .iter()
                .filter(|(other, progress)| **other != number && progress.in_flight().next().is_some());
            let limit = if definition.concurrency.is_some() { 0 } else { 1 };
            assert!(beside.count() <= limit, "{}: too many at work", world.story.name);
            let step = definition.step(&execute.step).map(|step| step.action.as_str());
            if step.is_some_and(is_in_parts) {
                let outcome = parts::work(self, world, number, &execute)?;
                self.flying.push((world.now.plus(Duration::from_millis(10)), number, execute.serial, outcome));
                continue;
            }
            let outcome = if execute.look {
                world.look(number, execute.serial, (&execute.step, &execute.key))
            } else {
                world.call(number, execute.serial, (&execute.step, &execute.key))?
            };
            world.point()?; // the effect has happened, nobody has written down what came of it
            self.flying.push((world.now.plus(Duration::from_millis(10)), number, execute.serial, outcome));
        }
        self.report(world, number);
        if looks {
            self.looks(world, number)?;
        }
        // Whoever is told before it is looked through looks for itself.
        told.retain(|run| self.progress.contains_key(&world.number_of(*run)));
        told.into_iter().try_for_each(|run| self.looks(world, world.number_of(run)))
    }

    pub fn report(&mut self, world: &World<'_>, number: usize) {
        if !self.recovered {
            return;
        }
        let (record, progress) = (&world.image[number].0, &self.progress[&number]);
        let definition = world.definition_of(number);
        let ticket = Ticket {
            run: record.id,
            workflow: record.workflow.clone(),
            priority: record.priority,
            fair_key: String::new(),
            started_at: record.started_at,
            place: definition.place_of(record).unwrap(),
            burst: definition.burst_of(record).unwrap(),
        };
        let standing = progress.standing(&definition, world.now, &Outages::default());
        let (again, undoes) = (progress.tries_again(), progress.is_undoing());
        let last = self.numbers.entry(number).or_default();
        let (revision, next) = (progress.revision, *last + 1);
        let report = Report { ticket, standing, again, undoes, revision, number: next };
        if self.told.insert(number, report.stand()) != Some(report.stand()) {
            *last = next;
            self.orders.extend(self.queue.report(report));
        }
    }
}
