//! The whole engine under one seed.
//!
//! The real tree of components lives on one thread and on virtual time, with the product's own sources, routes, workflow,
//! actions and store in memory. What stands around it is here, and everything in it follows from the seed (`plan.rs`): pushes to
//! pull requests, the order and number of their deliveries, what services answer (`services.rs`), when the store fails and what
//! is left then (`store.rs`), when the clock is set, a component falls or the process dies (`process.rs`). What must hold at
//! every attempt is in `watched.rs`, what must hold of runs that start others or undo what they did in `families.rs`, what must
//! hold at the end in `rules.rs`. The same seed gives the same trace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is a test"
)]

pub mod deliveries;
pub mod families;
pub mod operator;
pub mod plan;
pub mod process;
pub mod rules;
pub mod services;
pub mod store;
pub mod watched;
pub mod workshop;
pub mod world;

use std::cell::{Cell, RefCell};
use std::sync::{Mutex, Once};
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::plan::Plan;
use crate::process::End;
use crate::store::Disk;
use crate::world::World;

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The seed.
    pub seed: u64,
    /// A hash of all that happened.
    pub hash: u64,
    /// How many lines its trace has.
    pub lines: u64,
    /// Processes that lived.
    pub lives: u32,
    /// Attempts that were made.
    pub attempts: usize,
    /// Virtual time that passed.
    pub took: Duration,
    /// What must not be, and is.
    pub wrong: Option<String>,
}

/// More processes than any plan has ends.
const MOST_LIVES: u32 = 40;

/// Lives through a seed, and shows everything that happens if `shown`.
pub fn simulate(seed: u64, shown: bool) -> Seen {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::of(&mut rng);
    if shown {
        println!("{plan:#?}");
    }
    simulate_plan(seed, (plan, rng), shown)
}

/// Lives through this plan. What is not in it is drawn from `rng`.
pub fn simulate_plan(seed: u64, (plan, rng): (Plan, Rng), shown: bool) -> Seen {
    notice_falls();
    LIVES.set(true);
    FELL.with_borrow_mut(|fell| *fell = None);
    let (world, disk) = (World::new(plan, rng, shown), Disk::default());
    let (mut pause, mut after_death) = (Duration::ZERO, false);
    loop {
        let end = one_process(&world, &disk, (pause, after_death));
        if end == End::AtRest || world.state().wrong.is_some() {
            break;
        }
        if world.state().lives >= MOST_LIVES {
            world.wrong(format!("{MOST_LIVES} processes, and no end"));
            break;
        }
        (pause, after_death) = (Duration::from_millis(100) + world.pause(30_000), end == End::Died);
    }
    LIVES.set(false);
    if let Some(fell) = FELL.take() {
        world.wrong(format!("something fell that nobody asked to: {fell}"));
    }
    if world.state().wrong.is_none() {
        let outside = Builder::new_current_thread().build().unwrap();
        if let Err(what) = outside.block_on(rules::check(&disk, &world)) {
            world.wrong(what);
        }
    }
    let state = world.state();
    Seen {
        seed,
        hash: state.trace.hash(),
        lines: state.trace.lines,
        lives: state.lives,
        attempts: state.ledger.attempts.len(),
        took: state.at(),
        wrong: state.wrong.clone(),
    }
}

/// Lives through all of these on so many threads, otherwise one for each core, and tells of each as it has ended.
pub fn simulate_all(seeds: impl Iterator<Item = u64> + Send, threads: Option<usize>, tell: impl FnMut(Seen) + Send) {
    let (seeds, tell) = (Mutex::new(seeds), Mutex::new(tell));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.unwrap_or(cores) {
            scope.spawn(|| {
                loop {
                    let next = seeds.lock().unwrap().next();
                    let Some(seed) = next else { return };
                    let seen = simulate(seed, false);
                    tell.lock().unwrap()(seen);
                }
            });
        }
    });
}

fn one_process(world: &World, disk: &Disk, (pause, after_death): (Duration, bool)) -> End {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let thread = LocalSet::new();
    let end = thread.block_on(&runtime, async {
        world.begin(pause);
        let end = process::live(world.clone(), disk.clone(), after_death).await;
        world.tell(format_args!("the process has ended: {end:?}"));
        world.state().dead = end != End::AtRest;
        world.end();
        world.cut_off_all().await;
        end
    });
    drop(thread);
    drop(runtime);
    if end != End::AtRest {
        let outside = Builder::new_current_thread().build().unwrap();
        outside.block_on(disk.settle(world));
    }
    end
}

thread_local! {
    /// Whether a seed is lived through on this thread.
    static LIVES: Cell<bool> = const { Cell::new(false) };
    /// What fell on this thread, and was not asked to.
    static FELL: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A rehearsed fall is a panic that is caught, and says nothing that anybody wants to read. Any other fails its seed, also
/// when the supervisor or the task around it has caught it.
fn notice_falls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let said = panic.payload_as_str().unwrap_or_default();
            if said.starts_with("rehearsed fall") {
                return;
            }
            if LIVES.get() {
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                FELL.with_borrow_mut(|fell| _ = fell.get_or_insert(format!("{place}: {said}")));
            } else {
                loud(panic);
            }
        }));
    });
}
