//! Lives through seeds: `simulate [--seeds N] [--from S]`, or through one of them with all that happens: `--seed S --trace`.
//! See `scripts/simulate`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use pointsman_actors::time::{Clock, SystemClock};
use pointsman_simulation::{Seen, simulate};

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

fn many(arguments: &Arguments) -> ExitCode {
    let (clock, cores) = (SystemClock::new(), std::thread::available_parallelism().map_or(1, usize::from));
    let (next, end) = (AtomicU64::new(arguments.from), arguments.from.saturating_add(arguments.seeds));
    let (failed, sums) = (Mutex::new(Vec::<Seen>::new()), Mutex::new((0_u64, 0_u64, 0_u64, 0_u64)));
    std::thread::scope(|threads| {
        for _ in 0..arguments.threads.unwrap_or(cores) {
            threads.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end) {
                    let seen = simulate(seed, false);
                    let mut sums = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sums.0 += 1;
                    sums.1 += seen.attempts as u64;
                    sums.2 += u64::from(seen.lives);
                    sums.3 += seen.took.as_secs();
                    if seen.wrong.is_some() {
                        failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(seen);
                    }
                }
            });
        }
    });
    let took = clock.elapsed().as_secs_f64();
    let (seeds, attempts, lives, virtual_seconds) = *sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.sort_by_key(|seen| seen.seed);
    for seen in failed.iter().take(MOST_SHOWN) {
        println!("seed {}: {}", seen.seed, seen.wrong.as_deref().unwrap_or_default());
    }
    println!(
        "{seeds} seeds in {took:.1} s, {:.0} a second: {attempts} attempts, {lives} processes, {:.0} hours of virtual time; {} failed",
        seeds as f64 / took,
        virtual_seconds as f64 / 3_600.0,
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
