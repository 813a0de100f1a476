//! What can happen next in a world, as the model checker asks it.

use std::sync::Arc;

use pointsman_actors::executor::decide::Happening;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::Success;
use pointsman_actors::executor::progress::StepState;
use pointsman_actors::ids::WaitId;
use pointsman_actors::wait::record::Resolution;
use serde_json::json;
use stateright::{Model, Property};

use crate::executor::Executor;
use crate::process::{Hint, Power, Process, Task};
use crate::rules;
use crate::seen::Seen;
use crate::setup::{Setup, Word};
use crate::world::{Heard, World};

/// Something that can happen. A process is named by its number, and so is a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// An event starts a run with this order; this process takes it in.
    Arrive(usize, i64),
    /// The first commit in the log of a process is made.
    Flush(usize),
    /// Its executor hears that nobody knows whether it will be.
    Doubt(usize),
    /// It was not.
    Drop(usize),
    /// The executor hears of the commit for a run.
    Hear(usize, usize),
    /// A run is read …
    Read(usize, usize),
    /// … and here.
    Load(usize, usize),
    /// All runs are read that are not here …
    ReadAll(usize),
    /// … and here.
    LoadAll(usize),
    /// The store says how a wait is.
    Look(usize, usize, WaitId),
    /// The executor is told of a commit of somebody else.
    Tell(usize, Hint),
    /// It has no room for that, and looks for all.
    Miss(usize, Hint),
    /// The timer wakes a run.
    Wake(usize, usize),
    /// The dispatcher takes what it is told.
    Dispatch(usize),
    /// The executor takes what the dispatcher says.
    Obey(usize),
    /// The dispatcher asks how all runs stand.
    Count(usize),
    /// The action asks for the newest order before its effect.
    Ask(usize),
    /// A request has its effect.
    Execute(usize),
    /// Its sender is answered.
    Reply(usize, Reply),
    /// An event comes that calls back under the key with this number; this process takes it in.
    CallBack(usize, usize),
    /// A run has asked about its wait, and is told that it is done.
    Poll(usize, usize),
    /// An operator says something of a run.
    Say(usize, usize, Word),
    /// Time passes until something is due.
    Tick,
    /// A process ends.
    Crash(usize),
    /// A process starts.
    Start(usize),
    /// It is stopped.
    Stop(usize),
    /// It goes on.
    Continue(usize),
    /// Its executor falls.
    Fall(usize),
    /// Its dispatcher falls.
    Recount(usize),
}

/// What the sender of a request hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was done.
    Fine,
    /// It was not done, and that is certain.
    Refused,
    /// Nothing.
    Silence,
}

/// A setup, as the model checker takes it.
pub struct Explored(pub Arc<Setup>);

impl Model for Explored {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::new(&self.0);
        // One run alone may as well be there at once.
        if let [only] = self.0.orders.as_slice() {
            world.arrive(*only);
        }
        vec![world]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        if world.broken.is_some() || world.runs.iter().any(|run| run.journal.len() >= self.0.longest) {
            return;
        }
        for (number, process) in world.processes.iter().enumerate() {
            match process.power {
                Power::On => self.of_process(world, (number, process), moves),
                Power::Stopped => moves.push(Move::Continue(number)),
                Power::Off if number == 0 || !world.processes[number - 1].is_on() => moves.push(Move::Start(number)),
                Power::Off => {}
            }
        }
        self.of_provider(world, moves);
        if world.left.ticks > 0 && next_time(world).is_some() {
            moves.push(Move::Tick);
        }
    }

    fn next_state(&self, world: &World, step: Move) -> Option<World> {
        let mut next = world.clone();
        self.make(&mut next, step);
        if !self.0.slow_dispatcher {
            for number in 0..next.processes.len() {
                self.dispatch_at_once(&mut next, number);
            }
        }
        if let Some(rule) = rules::broken_at_rest(&self.0, &next) {
            next.breaks(rule);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! always {
            ($($rule:ident),*) => { vec![$(Property::<Self>::always(rules::$rule, |_, world| world.broken != Some(rules::$rule))),*] };
        }
        let mut properties = always!(
            INTENT,
            RESOLVED_ONCE,
            ONE_OUTCOME,
            ONCE,
            DELIVERED,
            SILENT,
            NO_SILENT_STOP,
            FOLD,
            SLOTS,
            MAKES_WAY,
            BESIDE,
            NEWEST
        );
        // A model in which nothing comes to its end would prove nothing.
        properties.push(Property::sometimes(COMES_TO_REST, |_, world: &World| {
            rules::is_at_rest(world) && world.to_come.is_empty() && world.runs.iter().all(|run| run.progress.is_over())
        }));
        properties
    }
}

/// Some way leads to the end of all runs.
pub const COMES_TO_REST: &str = "all runs come to their end";

impl Explored {
    fn of_process(&self, world: &World, (number, process): (usize, &Process), moves: &mut Vec<Move>) {
        let left = &world.left;
        if !process.log.is_empty() {
            moves.push(Move::Flush(number));
            let first = &process.log[0];
            moves.extend(first.is_doubtful.then_some(Move::Drop(number)));
            moves.extend((first.is_awaited && left.doubtful_commits > 0).then_some(Move::Doubt(number)));
        }
        let is_answered = |run: &&usize| process.live[run].in_hand.as_ref().is_some_and(|hand| hand.answer.is_some());
        moves.extend(process.live.keys().filter(is_answered).map(|run| Move::Hear(number, *run)));
        if process.has_caught_up() {
            let unread = process.loading.iter().filter(|(_, found)| found.is_none());
            moves.extend(unread.map(|(run, _)| Move::Read(number, *run)));
            moves.extend((process.missed && process.reading.is_none()).then_some(Move::ReadAll(number)));
        }
        let is_read = process.loading.iter().filter(|(_, found)| found.is_some());
        moves.extend(is_read.map(|(run, _)| Move::Load(number, *run)));
        moves.extend(process.reading.is_some().then_some(Move::LoadAll(number)));
        moves.extend(process.asked.iter().map(|(run, wait)| Move::Look(number, *run, *wait)));
        moves.extend(process.hints.iter().map(|hint| Move::Tell(number, *hint)));
        if left.lost_hints > 0 {
            moves.extend(process.hints.iter().map(|hint| Move::Miss(number, *hint)));
        }
        let is_due = process.armed.iter().filter(|(_, at)| **at <= world.now);
        moves.extend(is_due.map(|(run, _)| Move::Wake(number, *run)));
        if self.0.slow_dispatcher {
            moves.extend((!process.letters.is_empty()).then_some(Move::Dispatch(number)));
            moves.extend((!process.said.is_empty()).then_some(Move::Obey(number)));
        }
        let is_uncounted = process.queue.uncounted().next().is_some();
        if is_uncounted && process.said.is_empty() && process.letters.is_empty() {
            moves.push(Move::Count(number));
        }
        moves.extend(world.to_come.iter().map(|order| Move::Arrive(number, *order)));
        if left.callbacks > 0 {
            moves.extend((0..world.callable(&self.0).len()).map(|key| Move::CallBack(number, key)));
        }
        for (run, live) in &process.live {
            let is_in_doubt = live.progress.is_in_doubt();
            let is_waiting = live.progress.steps.values().any(|state| matches!(state, StepState::Waiting { .. }));
            if left.polls > 0 && is_waiting && !world.runs[*run].jobs.is_empty() {
                moves.push(Move::Poll(number, *run));
            }
            let fits = |word: &&Word| match word {
                Word::Cancel | Word::Restart => true,
                Word::Pause => !live.progress.paused,
                Word::Resume => live.progress.paused,
                Word::Repeat | Word::Done | Word::Fail => is_in_doubt,
            };
            if left.words > 0 && live.tasks.len() < 2 {
                moves.extend(self.0.words.iter().filter(fits).map(|word| Move::Say(number, *run, *word)));
            }
        }
        let may = |times: u8, step: Move| (times > 0).then_some(step);
        moves.extend(may(left.crashes, Move::Crash(number)));
        moves.extend(may(left.stops, Move::Stop(number)));
        moves.extend(may(left.falls, Move::Fall(number)));
        moves.extend(may(left.recounts, Move::Recount(number)));
    }

    fn of_provider(&self, world: &World, moves: &mut Vec<Move>) {
        for (number, call) in world.calls.iter().enumerate() {
            let is_heard = call.is_awaited && world.processes[call.process].is_on();
            if !call.has_looked {
                moves.extend(is_heard.then_some(Move::Ask(number)));
            } else if !call.executed {
                moves.push(Move::Execute(number));
                if is_heard && world.left.refusals > 0 {
                    moves.push(Move::Reply(number, Reply::Refused));
                }
            } else if is_heard {
                moves.push(Move::Reply(number, Reply::Fine));
            }
            if is_heard && world.left.silences > 0 {
                moves.push(Move::Reply(number, Reply::Silence));
            }
        }
    }

    fn make(&self, world: &mut World, step: Move) {
        let setup = &*self.0;
        match step {
            Move::Arrive(process, order) => {
                let run = world.arrive(order);
                world.processes[process].hints.insert(Hint::Started(run));
            }
            Move::Flush(process) => self.commit(world, process),
            Move::Doubt(process) => {
                spend(&mut world.left.doubtful_commits);
                self.doubt(world, process);
            }
            Move::Drop(process) => _ = world.processes[process].log.pop_front(),
            Move::Hear(number, run) => Executor { setup, world, number }.hears(run),
            Move::Read(number, run) => {
                let found = Executor { setup, world, number }.found(run);
                world.processes[number].loading.insert(run, Some(found));
            }
            Move::Load(number, run) => Executor { setup, world, number }.read(run),
            Move::ReadAll(number) => Executor { setup, world, number }.look_for_all(),
            Move::LoadAll(number) => Executor { setup, world, number }.load_all(),
            Move::Look(number, run, wait) => Executor { setup, world, number }.look(run, wait),
            Move::Tell(number, hint) => Executor { setup, world, number }.hint(hint),
            Move::Miss(process, hint) => {
                spend(&mut world.left.lost_hints);
                world.processes[process].hints.remove(&hint);
                world.processes[process].missed = true;
            }
            Move::Wake(number, run) => {
                world.processes[number].armed.remove(&run);
                Executor { setup, world, number }.take(run, Happening::Woke.into());
            }
            Move::Dispatch(number) => Executor { setup, world, number }.dispatch(),
            Move::Obey(number) => Executor { setup, world, number }.obey(),
            Move::Count(number) => Executor { setup, world, number }.ask_all(),
            Move::Ask(call) => self.ask(world, call),
            Move::Execute(call) => {
                world.execute(setup, call);
                world.abandon(setup, |_| false);
            }
            Move::Reply(call, reply) => self.reply(world, call, reply),
            Move::CallBack(process, key) => {
                spend(&mut world.left.callbacks);
                let key = world.callable(setup)[key].clone();
                for run in world.call_back(&key) {
                    let run = world.number_of(run);
                    world.processes[process].hints.insert(Hint::Called(run));
                }
            }
            Move::Poll(number, run) => {
                spend(&mut world.left.polls);
                let wait = world.processes[number].live[&run].progress.open_waits().next().map(|(_, wait)| wait.id);
                let done = |wait| Happening::Called(wait, Resolution::Poll, Ok(Success::Done(json!({ "ok": true }))));
                if let Some(wait) = wait {
                    Executor { setup, world, number }.take(run, done(wait).into());
                }
            }
            Move::Say(number, run, word) => {
                spend(&mut world.left.words);
                let what = Seen::shown(Happening::Told(word.command(&setup.definition)));
                Executor { setup, world, number }.take(run, Task { what, word: Some(word) });
            }
            Move::Tick => {
                spend(&mut world.left.ticks);
                world.now = next_time(world).unwrap_or(world.now);
            }
            Move::Crash(process) => {
                spend(&mut world.left.crashes);
                world.processes[process] = Process::new(setup);
                world.abandon(setup, |call| call.process == process);
            }
            Move::Start(process) => world.processes[process].start(setup),
            Move::Stop(process) => {
                spend(&mut world.left.stops);
                world.processes[process].power = Power::Stopped;
            }
            Move::Continue(process) => {
                world.processes[process].power = Power::On;
                world.is_shared = true;
            }
            Move::Fall(process) => {
                spend(&mut world.left.falls);
                world.processes[process].fall();
            }
            Move::Recount(process) => {
                spend(&mut world.left.recounts);
                world.processes[process].queue = Process::uncounted(setup);
            }
        }
    }

    /// The first commit of a process is made.
    fn commit(&self, world: &mut World, process: usize) {
        let Some(commit) = world.processes[process].log.pop_front() else { return };
        let answer = world.advance(&self.0, commit.run, commit.revision, &commit.decision);
        if commit.is_awaited {
            self.answer(world, (process, commit.run), answer);
        }
    }

    fn doubt(&self, world: &mut World, process: usize) {
        let Some(commit) = world.processes[process].log.front_mut() else { return };
        (commit.is_awaited, commit.is_doubtful) = (false, true);
        let run = commit.run;
        self.answer(world, (process, run), Heard::Unknown);
    }

    fn answer(&self, world: &mut World, (process, run): (usize, usize), answer: Heard) {
        let live = world.processes[process].live.get_mut(&run);
        if let Some(in_hand) = live.and_then(|live| live.in_hand.as_mut()) {
            in_hand.answer = Some(answer);
        }
    }

    fn ask(&self, world: &mut World, number: usize) {
        let call = world.calls[number].clone();
        let newest = world.runs.iter().map(crate::world::Run::order).max();
        if newest > Some(world.runs[call.run].order()) {
            world.calls.remove(number);
            let gave = Ok(Success::Superseded("a newer one is there".into()));
            Executor { setup: &self.0, world, number: call.process }.attempt_gave(call.run, call.serial, gave);
        } else {
            world.calls[number].has_looked = true;
        }
    }

    fn reply(&self, world: &mut World, number: usize, reply: Reply) {
        let call = world.calls[number].clone();
        let waits = self.0.definition.steps[call.step].waits.is_some();
        let done = json!({ "ok": true });
        let gave = match reply {
            Reply::Fine if waits => {
                Ok(Success::Waiting { keys: vec![format!("codegen:run:{}", call.key)], output: done })
            }
            Reply::Fine => Ok(Success::Done(done)),
            Reply::Refused => {
                spend(&mut world.left.refusals);
                world.calls.remove(number);
                Err(Failure::new(ErrorClass::Network, "refused"))
            }
            Reply::Silence => {
                spend(&mut world.left.silences);
                Err(Failure::new(ErrorClass::Timeout, "no answer").in_doubt())
            }
        };
        let (process, run, serial) = (call.process, call.run, call.serial);
        world.abandon(&self.0, |other| (other.process, other.run, other.serial) == (process, run, serial));
        Executor { setup: &self.0, world, number: process }.attempt_gave(run, serial, gave);
    }

    fn dispatch_at_once(&self, world: &mut World, number: usize) {
        let setup = &*self.0;
        while world.processes[number].is_on() {
            if !world.processes[number].letters.is_empty() {
                Executor { setup, world, number }.dispatch();
            } else if !world.processes[number].said.is_empty() {
                Executor { setup, world, number }.obey();
            } else {
                return;
            }
        }
    }
}

fn spend(times: &mut u8) {
    *times = times.saturating_sub(1);
}

/// The next point at which something is due.
fn next_time(world: &World) -> Option<pointsman_actors::time::Timestamp> {
    world.runs.iter().filter_map(|run| run.progress.wake(world.now)).filter(|at| *at > world.now).min()
}
