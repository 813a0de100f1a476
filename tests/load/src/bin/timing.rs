//! Whether the time of a signature's check tells how much of it is right: measured as dudect does (Reparaz, Balasch, Verbauwhede,
//! "Dude, is my code constant time?", 2017).
//!
//! Signatures whose first wrong byte stands at each of the 32 places are checked in an order of chance. Welch's t-test compares
//! those that are wrong from the first byte on with those of which only the last is wrong, over several shares of the fastest
//! measurements, because the slow ones are other people's work; a line is laid through the means of all places. The same is
//! measured of a check that stops at the first wrong byte: if that is not found out, the measurement is worth nothing.

#![allow(clippy::disallowed_methods, reason = "this measures time")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::ensure;
use clap::Parser;
use pointsman::sources::Secret;
use rand::RngExt;

/// Bytes of a signature.
const BYTES: usize = 32;
/// dudect's threshold: a larger |t| is a leak.
const LEAK: f64 = 4.5;
/// The shares of the fastest measurements that are compared.
const SHARES: [f64; 4] = [0.5, 0.75, 0.9, 0.99];
/// What is signed: the shortest body that there is, so that the comparison is as large a part of the time as it gets.
const BODY: &[u8] = b"{}";

#[derive(Parser)]
struct Options {
    /// Checks of each kind
    #[arg(long, default_value_t = 4_000_000)]
    samples: usize,
}

fn main() -> anyhow::Result<ExitCode> {
    let samples = Options::parse().samples;
    ensure!(samples >= 10_000, "give at least 10000 samples");
    let secret = Secret::new("the secret of a sender");
    let ours = measured(&secret, samples, &|secret, code| secret.signs(BODY, code));
    let naive = measured(&secret, samples, &|secret, code| stops_early(&secret.sign(BODY), code));
    let (leaks, is_found) = (report("our check", &ours), report("a check that stops at the first wrong byte", &naive));
    println!(
        "{}",
        match (leaks, is_found) {
            (false, true) => "our check tells nothing of the place of the first wrong byte; one that does is found out",
            (true, _) => "our check tells where the first wrong byte is",
            (false, false) =>
                "nothing was found out, not even of a check that tells; measure longer, on a quieter machine",
        }
    );
    Ok(if !leaks && is_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As nobody should compare.
fn stops_early(right: &[u8], given: &[u8]) -> bool {
    right.len() == given.len() && right.iter().zip(given).all(|(right, given)| black_box(right) == black_box(given))
}

type Check<'a> = &'a dyn Fn(&Secret, &[u8]) -> bool;

/// The place of the first wrong byte, and how many nanoseconds the check took.
fn measured(secret: &Secret, samples: usize, check: Check<'_>) -> Vec<(usize, f64)> {
    let right = secret.sign(BODY);
    // Wrong from that place on to the end: as a guess is.
    let wrong = |place: usize| {
        let mut code = right;
        code.iter_mut().skip(place).for_each(|byte| *byte ^= 0x5a);
        code
    };
    let codes: Vec<[u8; BYTES]> = (0..BYTES).map(wrong).collect();
    let mut chance = rand::rng();
    let mut one = |samples: usize| -> Vec<(usize, f64)> {
        (0..samples)
            .filter_map(|_| {
                let place = chance.random_range(0..BYTES);
                let code = codes.get(place)?;
                let begun = Instant::now();
                let is_right = check(black_box(secret), black_box(code));
                let took = begun.elapsed();
                black_box(is_right);
                Some((place, took.as_secs_f64() * 1e9))
            })
            .collect()
    };
    // Until caches and clocks have settled.
    one(samples / 10);
    one(samples)
}

/// Prints what was measured; whether it leaks.
fn report(what: &str, measured: &[(usize, f64)]) -> bool {
    let mut times: Vec<f64> = measured.iter().map(|(_, time)| *time).collect();
    times.sort_unstable_by(f64::total_cmp);
    println!("{what}: {} checks, median {:.1} ns", times.len(), quantile(&times, 0.5));
    let mut largest: f64 = 0.0;
    for share in SHARES {
        let most = quantile(&times, share);
        let of = |place: usize| {
            let of_place = measured.iter().filter(|(at, time)| *at == place && *time <= most);
            Moments::of(of_place.map(|(_, time)| *time))
        };
        let places: Vec<Moments> = (0..BYTES).map(of).collect();
        let (Some(first), Some(last)) = (places.first(), places.last()) else { continue };
        let t = first.welch(last);
        let (slope, t_of_slope) = line(&places);
        largest = largest.max(t.abs()).max(t_of_slope.abs());
        println!(
            "  fastest {:>3.0} %: wrong from byte 0 on {:.2} ns, only byte 31 wrong {:.2} ns, t = {t:+.2}; per byte {slope:+.4} ns, t = {t_of_slope:+.2}",
            share * 100.0,
            first.mean,
            last.mean,
        );
    }
    println!("  largest |t| = {largest:.2}, a leak from {LEAK} on");
    largest > LEAK
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a place in a list"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted.get((sorted.len() as f64 * share) as usize).or(sorted.last()).copied().unwrap_or_default()
}

/// Number, mean and variance.
#[derive(Clone, Copy, Default)]
struct Moments {
    number: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// By Welford's method, which does not lose what is small beside what is large.
    fn of(times: impl Iterator<Item = f64>) -> Self {
        times.fold(Self::default(), |so_far, time| {
            let number = so_far.number + 1.0;
            let mean = so_far.mean + (time - so_far.mean) / number;
            Self { number, mean, squares: so_far.squares + (time - so_far.mean) * (time - mean) }
        })
    }

    /// The variance of the mean.
    fn error(&self) -> f64 {
        self.squares / (self.number - 1.0).max(1.0) / self.number.max(1.0)
    }

    fn welch(&self, other: &Self) -> f64 {
        (self.mean - other.mean) / (self.error() + other.error()).sqrt()
    }
}

/// The slope of the line through the means by place, each weighing as it is certain; and its t.
#[allow(clippy::cast_precision_loss, reason = "places below 32")]
fn line(places: &[Moments]) -> (f64, f64) {
    let weights: Vec<f64> = places.iter().map(|place| 1.0 / place.error().max(f64::MIN_POSITIVE)).collect();
    let all: f64 = weights.iter().sum();
    let weighted = |of: &dyn Fn(usize, &Moments) -> f64| -> f64 {
        places.iter().zip(&weights).enumerate().map(|(at, (place, weight))| weight * of(at, place)).sum()
    };
    let middle = weighted(&|at, _| at as f64) / all;
    let mean = weighted(&|_, place| place.mean) / all;
    let spread = weighted(&|at, _| (at as f64 - middle).powi(2));
    let slope = weighted(&|at, place| (at as f64 - middle) * (place.mean - mean)) / spread;
    (slope, slope * spread.sqrt())
}
