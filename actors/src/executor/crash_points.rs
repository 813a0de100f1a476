//! Every point at which a process can end, and every pair of them: canonical workflows are driven over a
//! store that knows what is written from what is flushed, against a provider that keeps a ledger. The
//! process ends at the point, what was not flushed is gone, and the next one goes on to the end.
//!
//! Points lie before a write, between write and flush, between flush and effect, and between an effect and
//! the record of its outcome. What drives is this file; what decides is the product's.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::command::Command;
use super::decide::{Decision, Happening, Moment, decide};
use super::failure::{ErrorClass, Failure};
use super::port::{Action, ActionInfo, Actions, Attempt, EffectClass, OnDoubt, Outcome, Success, Working};
use super::progress::{Progress, StepState};
use crate::dispatcher::queue::{Order, Queue, Report, Ticket};
use crate::ids::{EventId, RunId};
use crate::run::{Entry, Ruling, RunRecord, RunStatus, Standing, What};
use crate::time::Timestamp;
use crate::workflow::definition::Definition;
use crate::workflow::spec::Defaults;

struct Nothing(&'static ActionInfo);

impl Action for Nothing {
    fn info(&self) -> &'static ActionInfo {
        self.0
    }

    fn execute(&self, _: Attempt) -> Working<Outcome> {
        unreachable!("the provider of this file answers")
    }
}

const fn action(name: &'static str, class: EffectClass, on_doubt: OnDoubt) -> ActionInfo {
    ActionInfo { name, class, on_doubt, parameters: &[], timeout: None }
}

/// One for each effect class, and two of what must never happen twice.
static ACTIONS: [ActionInfo; 5] = [
    action("look", EffectClass::Pure, OnDoubt::Repeat),
    action("set", EffectClass::Idempotent, OnDoubt::Repeat),
    action("put", EffectClass::Keyed, OnDoubt::Repeat),
    action("tell", EffectClass::Once, OnDoubt::AssumeDone),
    action("send", EffectClass::Once, OnDoubt::Park),
];

/// What the provider does with a call.
#[derive(Clone, Copy)]
enum Plan {
    Fine,
    /// It is not done, and that is certain.
    Refused(ErrorClass),
    /// It is done, and nobody is told.
    Unanswered,
}

/// What happens from outside, at its time.
#[derive(Clone)]
enum Input {
    /// A run is started, with what orders it.
    Start(i64),
    /// An operator says something of the run with this number.
    Say(usize, Command),
}

/// A story and how it must end.
struct Canonical {
    name: &'static str,
    workflow: &'static str,
    /// By step: what the provider does with the first calls; then all is fine.
    plans: &'static [(&'static str, &'static [Plan])],
    inputs: Vec<(i64, Input)>,
    ends: &'static [RunStatus],
}

/// The process has ended.
struct Crash;

/// A call as the provider saw it.
struct Call {
    run: RunId,
    step: String,
    key: String,
    executed: bool,
}

/// What outlives a process.
struct World<'a> {
    story: &'a Canonical,
    definition: Arc<Definition>,
    now: Timestamp,
    /// What is flushed, by the order of the runs' starts.
    image: Vec<(RunRecord, Vec<Entry>)>,
    inputs: VecDeque<(i64, Input)>,
    calls: Vec<Call>,
    points: usize,
    crashes: Vec<usize>,
}

/// What dies with it.
struct Process {
    progress: BTreeMap<usize, Progress>,
    queue: Queue,
    orders: VecDeque<Order>,
    /// What the queue was told last.
    told: BTreeMap<usize, Standing>,
    /// Outcomes that are on their way, by their time.
    flying: Vec<(Timestamp, usize, u32, Outcome)>,
    recovered: bool,
}

fn actions() -> Actions {
    let each = |info: &'static ActionInfo| (info.name, Arc::new(Nothing(info)) as Arc<dyn Action>);
    Arc::new(ACTIONS.iter().map(each).collect())
}

impl<'a> World<'a> {
    fn new(story: &'a Canonical, crashes: &[usize]) -> Self {
        let spec = toml::from_str(story.workflow).unwrap();
        let definition = Definition::compile("w", spec, &Defaults::default(), &actions());
        let definition = Arc::new(definition.unwrap_or_else(|errors| panic!("{}: {errors:?}", story.name)));
        Self {
            story,
            definition,
            now: Timestamp::from_millis(0),
            image: Vec::new(),
            inputs: story.inputs.clone().into(),
            calls: Vec::new(),
            points: 0,
            crashes: crashes.to_vec(),
        }
    }

    /// A place where the process may end.
    fn point(&mut self) -> Result<(), Crash> {
        self.points += 1;
        if self.crashes.contains(&self.points) { Err(Crash) } else { Ok(()) }
    }

    /// Processes follow each other until one comes to rest.
    fn come_to_rest(&mut self) {
        for _ in 0..10 {
            if Process::drive(self).is_ok() {
                return;
            }
            // It takes a moment until the next one is there.
            self.now = self.now.plus(Duration::from_millis(500));
        }
        panic!("{}: more processes than crashes", self.story.name);
    }

    fn number_of(&self, run: RunId) -> usize {
        self.image.iter().position(|(record, _)| record.id == run).unwrap()
    }

    fn call(&mut self, number: usize, serial: u32, (step, key): (&str, &str)) -> Outcome {
        let (record, journal) = &self.image[number];
        let run = record.id;
        let recorded = matches!(journal.get(serial as usize), Some(Entry { what: What::Attempted { step: of, key: with, .. }, .. }) if of == step && with == key);
        assert!(recorded, "{}: a call of {step} without its attempt in the flushed journal", self.story.name);
        let before = self.calls.iter().filter(|call| call.step == step && call.run == run).count();
        let plans = self.story.plans.iter().find(|(of, _)| *of == step).map_or(&[][..], |(_, plans)| plans);
        let plan = plans.get(before).copied().unwrap_or(Plan::Fine);
        let executed = !matches!(plan, Plan::Refused(_));
        self.calls.push(Call { run, step: step.to_owned(), key: key.to_owned(), executed });
        match plan {
            Plan::Fine => Ok(Success::Done(json!({ "ok": true }))),
            Plan::Refused(class) => Err(Failure::new(class, "by plan")),
            Plan::Unanswered => Err(Failure::new(ErrorClass::Timeout, "by plan").in_doubt()),
        }
    }
}

impl Process {
    /// From the start of a process to its rest, or its end.
    fn drive(world: &mut World<'_>) -> Result<(), Crash> {
        let queue = Queue::new(2, HashSet::new());
        let mut process = Self {
            progress: BTreeMap::new(),
            queue,
            orders: VecDeque::new(),
            told: BTreeMap::new(),
            flying: Vec::new(),
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

    fn recover(&mut self, world: &mut World<'_>) -> Result<(), Crash> {
        for number in 0..world.image.len() {
            self.load(world, number);
        }
        for number in 0..world.image.len() {
            let serial = self.progress[&number].in_flight().next().map(|(_, flying)| flying.serial);
            if let Some(serial) = serial {
                self.happens(world, number, &Happening::Recovered(serial))?;
            }
            self.happens(world, number, &Happening::Woke)?;
        }
        self.recovered = true;
        for number in 0..world.image.len() {
            self.report(world, number);
        }
        Ok(())
    }

    fn load(&mut self, world: &World<'_>, number: usize) {
        let (record, journal) = &world.image[number];
        self.progress.insert(number, Progress::of(record.started_at, journal));
    }

    /// The next thing that happens; `false` when there is nothing.
    fn step(&mut self, world: &mut World<'_>) -> Result<bool, Crash> {
        if let Some(order) = self.orders.pop_front() {
            let (run, happening) = match order {
                Order::Go(run) => (run, Happening::Go),
                Order::Supersede(run, reason) => (run, Happening::Superseded(reason)),
            };
            self.happens(world, world.number_of(run), &happening)?;
            return Ok(true);
        }
        let input = world.inputs.front().map(|(at, _)| Timestamp::from_millis(*at));
        let outcome = self.flying.iter().map(|(at, ..)| *at).min();
        let wake = self.progress.values().filter_map(|progress| progress.wake(world.now)).min();
        let Some(next) = [input, outcome, wake].into_iter().flatten().min() else { return self.rule(world) };
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
        let due: Vec<usize> = self.progress.keys().copied().collect();
        for number in due {
            self.happens(world, number, &Happening::Woke)?;
            self.report(world, number);
        }
        Ok(true)
    }

    /// An operator rules about what nobody knows: it was done.
    fn rule(&mut self, world: &mut World<'_>) -> Result<bool, Crash> {
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

    fn take_in(&mut self, world: &mut World<'_>, input: Input) -> Result<(), Crash> {
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
                    input: [("order".to_owned(), order.into())].into_iter().collect(),
                    started_at: world.now,
                };
                let number = world.image.len();
                // The sender is answered after the flush, and sends again when it was not.
                world.image.push((record, Vec::new()));
                world.point()?;
                self.load(world, number);
                self.report(world, number);
            }
            Input::Say(number, command) => {
                let said = |entry: &Entry| matches!(entry.what, What::Restarted { .. });
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

    fn happens(&mut self, world: &mut World<'_>, number: usize, happening: &Happening) -> Result<(), Crash> {
        let moment = Moment { now: world.now, draining: false };
        let progress = &self.progress[&number];
        let decision = decide(&world.image[number].0, &world.definition, progress, happening, moment);
        let Decision { entries, execute, progress, .. } = decision;
        if entries.is_empty() && matches!(happening, Happening::Go | Happening::Woke) {
            self.told.remove(&number);
        }
        if !entries.is_empty() {
            world.point()?; // before the write
            world.point()?; // written, not flushed: to a crash it is the same as not written
            world.image[number].1.extend(entries.clone());
            world.point()?; // flushed
            assert_eq!(Progress::of(world.image[number].0.started_at, &world.image[number].1), progress);
            if entries.iter().any(Entry::settles) {
                self.flying.retain(|(_, of, ..)| *of != number);
            }
            self.progress.insert(number, progress);
        }
        if let Some(execute) = execute {
            let beside = self
                .progress
                .iter()
                .filter(|(other, progress)| **other != number && progress.in_flight().next().is_some());
            let limit = if world.definition.concurrency.is_some() { 0 } else { 1 };
            assert!(beside.count() <= limit, "{}: too many at work", world.story.name);
            let outcome = world.call(number, execute.serial, (&execute.step, &execute.key));
            world.point()?; // the effect has happened, nobody has written down what came of it
            self.flying.push((world.now.plus(Duration::from_millis(10)), number, execute.serial, outcome));
        }
        self.report(world, number);
        Ok(())
    }

    fn report(&mut self, world: &World<'_>, number: usize) {
        if !self.recovered {
            return;
        }
        let (record, progress) = (&world.image[number].0, &self.progress[&number]);
        let ticket = Ticket {
            run: record.id,
            workflow: "w".into(),
            priority: record.priority,
            started_at: record.started_at,
            place: world.definition.place_of(record).unwrap(),
        };
        let standing = progress.standing(&world.definition, world.now);
        if self.told.insert(number, standing) == Some(standing) {
            return;
        }
        let orders = self.queue.report(Report { ticket, standing, revision: progress.revision });
        self.orders.extend(orders);
    }
}

/// What must hold of a world at rest, however often the process ended.
fn check(world: &World<'_>) {
    let name = world.story.name;
    let statuses: Vec<RunStatus> = world
        .image
        .iter()
        .map(|(record, journal)| Progress::of(record.started_at, journal).head(world.now).status)
        .collect();
    assert_eq!(statuses, world.story.ends, "{name} {:?}: {:#?}", world.crashes, world.image);
    for (record, journal) in &world.image {
        let mut settled: HashSet<(u32, &str)> = HashSet::new();
        let mut keys: BTreeMap<(u32, &str), &str> = BTreeMap::new();
        let mut generation = 0;
        for Entry { what, .. } in journal {
            match what {
                What::Restarted { generation: next, .. } => generation = *next,
                What::Attempted { step, key, .. } => {
                    assert!(!settled.contains(&(generation, step)), "{name}: {step} again after its outcome");
                    assert_eq!(keys.entry((generation, step)).or_insert(key), key, "{name}: one key for all attempts");
                }
                What::Succeeded { step, .. } | What::Failed { step, retry_at: None, .. } | What::Skipped { step } => {
                    assert!(settled.insert((generation, step)), "{name}: two outcomes of {step}");
                }
                _ => {}
            }
        }
        for step in world.definition.steps.iter().filter(|step| step.class == EffectClass::Once) {
            let of = |call: &&Call| call.run == record.id && call.step == step.name && call.executed;
            let mut executed: Vec<&str> = world.calls.iter().filter(of).map(|call| call.key.as_str()).collect();
            let all = executed.len();
            executed.dedup();
            assert_eq!(executed.len(), all, "{name} {:?}: `{}` happened twice", world.crashes, step.name);
        }
        let progress = Progress::of(record.started_at, journal);
        let standing = progress.standing(&world.definition, world.now);
        assert_eq!(standing, Standing::Over, "{name} {:?}: it stands still", world.crashes);
    }
}

fn once(inputs: impl IntoIterator<Item = (i64, Command)>) -> Vec<(i64, Input)> {
    let said = inputs.into_iter().map(|(at, command)| (at, Input::Say(0, command)));
    std::iter::once((0, Input::Start(1))).chain(said).collect()
}

fn cancel() -> Command {
    Command::Cancel { reason: "by plan".into() }
}

const SEQUENCE: &str = r#"steps = [{ name = "a", action = "look" }, { name = "p", action = "delay", with = { duration = "5s" } }, { name = "b", action = "set" }, { name = "c", action = "put" }, { name = "d", action = "tell" }]"#;
const RETRY: &str = r#"steps = [{ name = "a", action = "set", retry = { max_attempts = 3, base_delay = "1s", jitter = 0.0 } }, { name = "b", action = "tell", retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } }]"#;
const PARKING: &str = r#"steps = [{ name = "a", action = "send" }, { name = "b", action = "put" }]"#;
const GRAPH: &str = r#"steps = [{ name = "a", action = "look", needs = [] }, { name = "b", action = "set", needs = ["a"] }, { name = "p", action = "delay", needs = ["a"], with = { duration = "2s" } }, { name = "c", action = "tell", needs = ["b", "p"], when = "steps.b.output.ok" }, { name = "n", action = "tell", needs = ["a"], when = "not steps.a.output.ok" }]"#;
const WAYS_ON: &str = r#"steps = [{ name = "a", action = "set", on_failure = "continue", retry = { max_attempts = 1 } }, { name = "b", action = "set", on_failure = { goto = "d" }, retry = { max_attempts = 1 } }, { name = "c", action = "tell" }, { name = "d", action = "tell" }]"#;
const SUPERSEDE: &str = r#"
concurrency = { group = "g", key = "k", on_newer = "cancel", order_by = "input.order" }
steps = [{ name = "a", action = "look" }, { name = "b", action = "set" }]"#;
const IN_TURN: &str = r#"
concurrency = { group = "g", key = "k" }
steps = [{ name = "a", action = "set" }, { name = "b", action = "tell" }]"#;

/// The stories. Times are in milliseconds; an attempt takes ten.
fn stories() -> Vec<Canonical> {
    use RunStatus::{Cancelled, Failed, Succeeded, Superseded};
    const NETWORK: Plan = Plan::Refused(ErrorClass::Network);
    const GONE: Plan = Plan::Refused(ErrorClass::NotFound);
    let story = |name, workflow, inputs, ends| Canonical { name, workflow, plans: &[], inputs, ends };
    let several =
        |orders: &[(i64, i64)]| orders.iter().map(|(at, order)| (*at, Input::Start(*order))).collect::<Vec<_>>();
    vec![
        story("sequence", SEQUENCE, once([]), &[Succeeded]),
        story("graph", GRAPH, once([]), &[Succeeded]),
        Canonical {
            plans: &[("a", &[NETWORK, Plan::Unanswered]), ("b", &[NETWORK])],
            ..story("retry", RETRY, once([]), &[Succeeded])
        },
        Canonical { plans: &[("a", &[NETWORK; 9])], ..story("retries end", RETRY, once([]), &[Failed]) },
        Canonical { plans: &[("b", &[Plan::Unanswered])], ..story("unanswered", RETRY, once([]), &[Succeeded]) },
        story("an operator rules", PARKING, once([]), &[Succeeded]),
        Canonical {
            plans: &[("a", &[Plan::Unanswered])],
            ..story("an operator rules about silence", PARKING, once([]), &[Succeeded])
        },
        Canonical { plans: &[("a", &[GONE]), ("b", &[GONE])], ..story("ways on", WAYS_ON, once([]), &[Succeeded]) },
        story("cancelled in a pause", SEQUENCE, once([(2_000, cancel())]), &[Cancelled]),
        story("cancelled in flight", SEQUENCE, once([(5, cancel())]), &[Cancelled]),
        story("paused and resumed", SEQUENCE, once([(2_000, Command::Pause), (60_000, Command::Resume)]), &[Succeeded]),
        Canonical {
            plans: &[("b", &[GONE, Plan::Fine])],
            ..story("restarted", SEQUENCE, once([(60_000, Command::Restart { step: "b".into() })]), &[Succeeded])
        },
        story("superseded", SUPERSEDE, several(&[(0, 1), (5, 2)]), &[Superseded, Succeeded]),
        story("a late older one", SUPERSEDE, several(&[(0, 2), (5, 1)]), &[Succeeded, Superseded]),
        story("in turn", IN_TURN, several(&[(0, 1), (1, 2), (2, 3)]), &[Succeeded, Succeeded, Succeeded]),
    ]
}

/// How many points a story has when nothing ends early.
fn points(story: &Canonical) -> usize {
    let mut world = World::new(story, &[]);
    world.come_to_rest();
    check(&world);
    world.points
}

#[test]
fn every_point_leads_to_the_same_end() {
    let mut covered = 0;
    for story in stories() {
        for point in 1..=points(&story) {
            let mut world = World::new(&story, &[point]);
            world.come_to_rest();
            check(&world);
            covered += 1;
        }
    }
    println!("{covered} single points");
    assert!(covered > 300, "{covered}");
}

#[test]
fn every_pair_of_points_leads_to_the_same_end() {
    let mut covered = 0;
    for story in stories() {
        // After a crash there are more points than without: a second one may lie anywhere among them.
        let most = 2 * points(&story) + 8;
        for first in 1..=most {
            for second in first + 1..=most {
                let mut world = World::new(&story, &[first, second]);
                world.come_to_rest();
                check(&world);
                covered += 1;
            }
        }
    }
    println!("{covered} pairs");
    assert!(covered > 10_000, "{covered}");
}
