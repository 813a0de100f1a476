//! As many seeds as there is time for on every day, and those that once found something.
#![allow(clippy::panic, reason = "all of this is a test")]

use pointsman_simulation::{Seen, simulate, simulate_all};

/// Seeds of every day.
const SEEDS: u64 = 1_200;

/// Seeds that failed once, with what they found.
const FOUND: &str = include_str!("../seeds.txt");

/// Seeds that are lived through twice.
const TWICE: u64 = 20;

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
    for seed in 1..=TWICE {
        assert_eq!(simulate(seed, false).hash, simulate(seed, false).hash, "seed {seed}");
    }
}
