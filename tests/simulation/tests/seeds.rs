//! As many seeds as there is time for on every day, and those that once found something.
#![allow(clippy::panic, reason = "all of this is a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use pointsman_simulation::plan::{Moment, Plan};
use pointsman_simulation::{Seen, simulate_all, simulate_plan};

/// Seeds of every day.
const SEEDS: u64 = 1_200;

/// Seeds that failed once, with what they found.
const FOUND: &str = include_str!("../seeds.txt");

/// Seeds that are lived through twice.
const TWICE: u64 = 200;

fn seeds_that_failed_once() -> impl Iterator<Item = u64> {
    let lines = FOUND.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let seed = line.split_whitespace().next().and_then(|word| word.parse().ok());
        seed.unwrap_or_else(|| panic!("seeds.txt: `{line}` does not begin with a seed"))
    })
}

#[test]
fn whatever_a_seed_brings_the_promises_hold() {
    let mut seen = Vec::new();
    simulate_all((1..=SEEDS).chain(seeds_that_failed_once()), None, |this| seen.push(this));
    let wrong: Vec<String> =
        seen.iter().filter_map(|seen| Some(format!("seed {}: {}", seen.seed, seen.wrong.as_ref()?))).collect();
    assert!(wrong.is_empty(), "look with scripts/simulate --seed S --trace\n{}", wrong.join("\n"));
    let sum = |number: fn(&Seen) -> u64| seen.iter().map(number).sum::<u64>();
    let (attempts, lives) = (sum(|seen| seen.attempts as u64), sum(|seen| u64::from(seen.lives)));
    println!("{} seeds, {attempts} attempts, {lives} processes", seen.len());
    // Otherwise hardly anything would have happened in them.
    assert!(attempts > 10 * SEEDS && lives > SEEDS * 3 / 2, "{attempts} attempts, {lives} processes");
}

#[test]
fn a_seed_brings_the_same_every_time() {
    let hashes = || {
        let mut hashes = BTreeMap::new();
        simulate_all(1..=TWICE, None, |seen| _ = hashes.insert(seen.seed, seen.hash));
        hashes
    };
    let (first, second) = (hashes(), hashes());
    let uneven: Vec<_> = first.iter().filter(|(seed, hash)| second.get(seed) != Some(hash)).collect();
    assert!(uneven.is_empty() && first.len() as u64 == TWICE, "look with scripts/simulate --seed S: {uneven:?}");
}

/// The census after a store that failed tells the dispatcher how runs stand, and must tell the timer too: when the clock was set
/// back while a run waited for a slot, its time is to come again.
#[test]
fn a_clock_that_is_set_back_leaves_nobody_without_a_time() {
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    for seed in 1..=10 {
        let moments = vec![(second * 7, Moment::Jump(-60_000)), (second * 7, Moment::Cut)];
        let plan = Plan::still(&[Duration::ZERO, Duration::from_millis(40)], moments, minute * 10);
        let seen = simulate_plan(seed, (plan, Rng::with_seed(seed)), false);
        assert_eq!(seen.wrong, None, "seed {seed}");
    }
}
