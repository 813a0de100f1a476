//! Claims on pending events over all interleavings, on the store's own rules: two that route them take, settle, are
//! stopped, go on with what they had claimed, and die, while time passes.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::event::Verdict;
use pointsman_actors::ids::{EventId, RunId};
use pointsman_actors::run::RunRecord;
use pointsman_actors::store::{Answer, Lease, Transition};
use pointsman_actors::time::Timestamp;
use stateright::{Checker, HasDiscoveries, Model, Property};

use super::State;
use crate::stores::contract::{START, delivery};

/// How long a claim holds.
const CLAIM: Duration = Duration::from_secs(60);

/// How deep is looked, and how many states there are at least.
const DEPTH: usize = 14;
const FEWEST: usize = 10_000;

const SETTLED_ONCE: &str = "an event is settled once, and has its runs once";
const OLD_CHANGES_NOTHING: &str = "an old claim changes nothing";
const CLAIMED_BY_ONE: &str = "what is claimed is nobody else's until its time is over";
const NOTHING_IS_LOST: &str = "what is not settled can be claimed again";
const ALL_SETTLED: &str = "all are settled, one of them after its first claim had passed";

#[derive(Clone)]
struct World {
    store: Arc<State>,
    now: Timestamp,
    workers: [Worker; 2],
    /// What each event has been through: its newest epoch, and how often it was settled.
    seen: Vec<(EventId, u64, u8)>,
    left: Left,
    broken: Option<&'static str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Worker {
    is_stopped: bool,
    claims: Vec<(EventId, u64, Timestamp)>,
}

/// How often what may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    stops: u8,
    deaths: u8,
    failures: u8,
    ticks: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// Claims so many.
    Take(usize, usize),
    /// The first that it has claimed is routed.
    Settle(usize),
    /// Its routing fails again: it is left for later.
    Leave(usize),
    Stop(usize),
    Continue(usize),
    /// It forgets what it had claimed.
    Die(usize),
    /// Time passes until a claim is over.
    Tick,
}

impl World {
    fn shown(&self) -> String {
        let pending: Vec<_> = self.store.pending.iter().collect();
        let runs: Vec<_> = self.store.runs.keys().collect();
        format!("{pending:?}{runs:?}{:?}{:?}{:?}{:?}{:?}", self.now, self.workers, self.seen, self.left, self.broken)
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.shown() == other.shown()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let mut own = DefaultHasher::new();
        self.shown().hash(&mut own);
        hasher.write_u64(own.finish());
    }
}

struct Claims;

impl Model for Claims {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        let mut store = State::default();
        let intakes = [1, 2].map(|number| delivery(number).pending().intake());
        let seen = intakes.iter().map(|intake| (intake.id, 0, 0)).collect();
        for intake in intakes {
            assert_eq!(store.apply(Transition::Intake(Box::new(intake))), Ok(Answer::Stored));
        }
        let left = Left { stops: 2, deaths: 1, failures: 1, ticks: 3 };
        vec![World { store: Arc::new(store), now: START, workers: Default::default(), seen, left, broken: None }]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        if world.broken.is_some() {
            return;
        }
        for (number, worker) in world.workers.iter().enumerate() {
            if worker.is_stopped {
                moves.push(Move::Continue(number));
                continue;
            }
            let has_any = !worker.claims.is_empty();
            moves.extend((!has_any).then_some([1, 2].map(|limit| Move::Take(number, limit))).into_iter().flatten());
            moves.extend(has_any.then_some(Move::Settle(number)));
            moves.extend((has_any && world.left.failures > 0).then_some(Move::Leave(number)));
            moves.extend((has_any && world.left.stops > 0).then_some(Move::Stop(number)));
            moves.extend((has_any && world.left.deaths > 0).then_some(Move::Die(number)));
        }
        moves.extend((world.left.ticks > 0 && next_time(world).is_some()).then_some(Move::Tick));
    }

    fn next_state(&self, world: &World, step: Move) -> Option<World> {
        let mut next = world.clone();
        match step {
            Move::Take(worker, limit) => next.take(worker, limit),
            Move::Settle(worker) => next.settle(worker, false),
            Move::Leave(worker) => {
                next.left.failures -= 1;
                next.settle(worker, true);
            }
            Move::Stop(worker) => {
                next.left.stops -= 1;
                next.workers[worker].is_stopped = true;
            }
            Move::Continue(worker) => next.workers[worker].is_stopped = false,
            Move::Die(worker) => {
                next.left.deaths -= 1;
                next.workers[worker].claims.clear();
            }
            Move::Tick => {
                next.left.ticks -= 1;
                next.now = next_time(world)?;
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! always {
            ($($rule:ident),*) => { vec![$(Property::<Self>::always($rule, |_, world| world.broken != Some($rule))),*] };
        }
        let mut properties = always!(SETTLED_ONCE, OLD_CHANGES_NOTHING, CLAIMED_BY_ONE, NOTHING_IS_LOST);
        properties.push(Property::sometimes(ALL_SETTLED, |_, world: &World| {
            world.seen.iter().all(|(.., settled)| *settled == 1) && world.seen.iter().any(|(_, epoch, _)| *epoch > 1)
        }));
        properties
    }
}

fn next_time(world: &World) -> Option<Timestamp> {
    world.store.pending.values().map(|lease| lease.until).filter(|until| *until > world.now).min()
}

impl World {
    fn breaks(&mut self, rule: &'static str) {
        self.broken.get_or_insert(rule);
    }

    fn take(&mut self, worker: usize, limit: usize) {
        let due = self.store.pending.values().filter(|lease| lease.until <= self.now).count();
        let taken = Arc::make_mut(&mut self.store).take_pending(limit, self.now, self.now.plus(CLAIM)).unwrap();
        if taken.len() != due.min(limit) {
            self.breaks(NOTHING_IS_LOST);
        }
        for (event, lease) in taken {
            let id = event.meta.id;
            let others = self.workers.iter().flat_map(|other| &other.claims);
            let is_theirs = others.clone().any(|(of, _, until)| *of == id && *until > self.now);
            let known = self.seen.iter_mut().find(|(of, ..)| *of == id).unwrap();
            let grows = lease.epoch > known.1;
            known.1 = lease.epoch;
            if is_theirs || !grows {
                self.breaks(CLAIMED_BY_ONE);
            }
            self.workers[worker].claims.push((id, lease.epoch, lease.until));
        }
    }

    /// The first that a worker has claimed is routed, or left for later.
    fn settle(&mut self, worker: usize, is_left: bool) {
        let (event, epoch, until) = self.workers[worker].claims.remove(0);
        let run = run_of(event);
        let verdict = if is_left {
            Verdict::Pending { reason: "a rule fails".into(), waits: Vec::new() }
        } else {
            Verdict::Started { runs: vec![run.id], waits: Vec::new() }
        };
        let runs = if is_left { Vec::new() } else { vec![run] };
        let before = format!("{:?}{:?}", self.store.pending, self.store.runs.keys());
        let settle = Transition::Settle { event, lease: Lease { epoch, until }, verdict, runs };
        let answer = Arc::make_mut(&mut self.store).apply(settle).unwrap();
        let changed = before != format!("{:?}{:?}", self.store.pending, self.store.runs.keys());
        let known = self.seen.iter_mut().find(|(of, ..)| *of == event).unwrap();
        let is_old = known.1 != epoch || known.2 > 0;
        known.2 += u8::from(answer == Answer::Applied && !is_left);
        let settled = known.2;
        let runs = self.store.runs.values().filter(|stored| stored.record.event == event).count();
        if is_old && (answer != Answer::Stale || changed) {
            self.breaks(OLD_CHANGES_NOTHING);
        }
        if settled > 1 || runs != usize::from(settled) {
            self.breaks(SETTLED_ONCE);
        }
        if !is_old && answer != Answer::Applied || (settled == 0) != self.store.pending.contains_key(&event) {
            self.breaks(NOTHING_IS_LOST);
        }
    }
}

/// Routing gives the same run each time.
fn run_of(event: EventId) -> RunRecord {
    let (_, mut runs) = delivery(1).starting(&["w"]);
    let id = RunId::derive("w", event, "route", 0);
    RunRecord { id, event, ..runs.remove(0) }
}

#[test]
fn claims_hold_in_every_order() {
    let checker = Claims.checker().target_max_depth(DEPTH).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("leases: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    for property in Claims.properties() {
        let found = checker.discovery(property.name).map(|path| path.into_actions());
        assert_eq!(found.is_some(), property.name == ALL_SETTLED, "{}: {found:?}", property.name);
    }
    assert!(checker.unique_state_count() > FEWEST, "{}", checker.unique_state_count());
}
