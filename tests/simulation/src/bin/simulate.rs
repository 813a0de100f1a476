//! Lives through seeds: `simulate [--seeds N] [--from S] [--twice]`, or through one of them with all that happens: `--seed S --trace`.
//! See `scripts/simulate`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pointsman_actors::time::{Clock, SystemClock};
use pointsman_simulation::{Seen, simulate, simulate_all};

/// Lives through the engine's whole life under seeds, each of which decides everything that goes wrong.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only this one, twice: the same must happen both times.
    #[arg(long)]
    seed: Option<u64>,
    /// Shows all that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// All of them twice: the same must happen both times.
    #[arg(long)]
    twice: bool,
    /// On so many threads; otherwise one for each core.
    #[arg(long)]
    threads: Option<usize>,
}

/// So many failures are shown, however many there are.
const MOST_SHOWN: usize = 20;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed, arguments.trace),
        None => many(&arguments),
    }
}

fn one(seed: u64, shown: bool) -> ExitCode {
    let seen = simulate(seed, shown);
    let again = simulate(seed, false);
    println!(
        "seed {seed}: {} lines, hash {:016x}; {} attempts, {} processes, {:?} of virtual time",
        seen.lines, seen.hash, seen.attempts, seen.lives, seen.took
    );
    if seen.hash != again.hash {
        println!("a second time something else happens: hash {:016x}", again.hash);
        return ExitCode::FAILURE;
    }
    match seen.wrong {
        None => ExitCode::SUCCESS,
        Some(what) => {
            println!("WRONG: {what}");
            ExitCode::FAILURE
        }
    }
}

fn seeds(arguments: &Arguments) -> Range<u64> {
    arguments.from..arguments.from.saturating_add(arguments.seeds)
}

/// Those of which something else happens a second time.
fn uneven(arguments: &Arguments, hashes: &BTreeMap<u64, u64>) -> Vec<u64> {
    let mut uneven = Vec::new();
    simulate_all(seeds(arguments), arguments.threads, |seen| {
        if hashes.get(&seen.seed) != Some(&seen.hash) {
            uneven.push(seen.seed);
        }
    });
    uneven.sort_unstable();
    uneven
}

fn many(arguments: &Arguments) -> ExitCode {
    let clock = SystemClock::new();
    let mut hashes = BTreeMap::new();
    let (mut failed, mut attempts, mut lives, mut lived) = (Vec::<Seen>::new(), 0, 0, Duration::ZERO);
    simulate_all(seeds(arguments), arguments.threads, |seen| {
        hashes.insert(seen.seed, seen.hash);
        attempts += seen.attempts;
        lives += seen.lives;
        lived += seen.took;
        if seen.wrong.is_some() {
            failed.push(seen);
        }
    });
    let took = clock.elapsed().as_secs_f64();
    let uneven = if arguments.twice { uneven(arguments, &hashes) } else { Vec::new() };
    failed.sort_by_key(|seen| seen.seed);
    for seen in failed.iter().take(MOST_SHOWN) {
        println!("seed {}: {}", seen.seed, seen.wrong.as_deref().unwrap_or_default());
    }
    for seed in uneven.iter().take(MOST_SHOWN) {
        println!("seed {seed}: a second time something else happens");
    }
    println!(
        "{} seeds in {took:.1} s, {:.0} a second: {attempts} attempts, {lives} processes, {:.0} hours of virtual time; {} failed, {} differ",
        arguments.seeds,
        arguments.seeds as f64 / took,
        lived.as_secs_f64() / 3_600.0,
        failed.len(),
        uneven.len()
    );
    if failed.is_empty() && uneven.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
