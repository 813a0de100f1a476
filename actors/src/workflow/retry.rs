//! Whether and when a step is tried again. Pure: what is spread by chance is spread by identity, so
//! that the same run gets the same pauses after a restart, and a thousand runs get a thousand.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use sha2::{Digest, Sha256};

use crate::executor::failure::{ErrorClass, Failure};
use crate::ids::RunId;

/// A provider may ask for this long at most; what is longer is tried after this.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Pauses stop growing long before so many failures.
const MOST_GROWTH: u32 = 64;

/// When a step is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all.
    pub max_attempts: u32,
    /// Pause before the second.
    pub base_delay: Duration,
    /// Longest pause.
    pub max_delay: Duration,
    /// Growth of the pause.
    pub multiplier: f64,
    /// Share of the pause that is spread.
    pub jitter: f64,
    /// The failures worth another attempt, if the definition says.
    pub on: Option<Vec<ErrorClass>>,
}

impl RetryPolicy {
    /// The pause before the next attempt after so many failures, this being the last; `None` when there
    /// is no next one. Whoever has refused so often in a row because of a limit is left alone for longer each time, whatever it
    /// says, in the end for an hour.
    pub fn next(&self, failures: u32, refusals: u32, failure: &Failure, spread: f64) -> Option<Duration> {
        let worth = match &self.on {
            Some(classes) => classes.contains(&failure.class),
            None => failure.class.is_retryable(),
        };
        if !worth || failures >= self.max_attempts {
            return None;
        }
        let pause = self.pause(failures, refusals, spread);
        let asked = failure.retry_after_ms.map(Duration::from_millis);
        Some(asked.map_or(pause, |asked| asked.min(LONGEST_RETRY_AFTER).max(pause)))
    }

    /// `base · multiplier^(failures + refusals − 1)` up to the longest, spread by `spread` (0 to 1), never below the base.
    fn pause(&self, failures: u32, refusals: u32, spread: f64) -> Duration {
        let longest = if refusals > 0 { self.max_delay.max(LONGEST_RETRY_AFTER) } else { self.max_delay };
        let mut pauses = ExponentialBackoff {
            current_interval: self.base_delay,
            initial_interval: self.base_delay,
            max_interval: longest.max(self.base_delay),
            multiplier: self.multiplier,
            // Its own chance and elapsed time would make pauses irreproducible.
            randomization_factor: 0.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        let mut pause = self.base_delay;
        for _ in 0..failures.saturating_add(refusals).clamp(1, MOST_GROWTH) {
            pause = pauses.next_backoff().unwrap_or(longest);
        }
        let factor = 1.0 + self.jitter * (spread - 0.5);
        pause.mul_f64(factor.clamp(0.0, 2.0)).max(self.base_delay.min(self.max_delay))
    }
}

/// Where in 0 to 1 an attempt lies: a constant of the attempt, different for each.
pub fn spread(run: RunId, step: &str, attempt: u32) -> f64 {
    let mut hash = Sha256::new();
    hash.update(run.bytes());
    hash.update(step);
    hash.update(attempt.to_be_bytes());
    let digest = hash.finalize();
    let [a, b, ..] = crate::ids::first_16(&digest);
    f64::from(u16::from_be_bytes([a, b])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 4,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(3),
            multiplier: 2.0,
            jitter: 0.1,
            on: None,
        }
    }

    #[test]
    fn pauses_grow_up_to_the_longest_and_end_with_the_budget() {
        let failure = Failure::new(ErrorClass::Network, "x");
        let check = |failures, expect: Option<u64>| {
            let pause = policy().next(failures, 0, &failure, 0.5);
            assert_eq!(pause, expect.map(Duration::from_millis), "{failures}");
        };
        check(1, Some(1_000));
        check(2, Some(2_000));
        check(3, Some(3_000));
        check(4, None);
    }

    #[test]
    fn what_cannot_get_better_is_not_tried_again() {
        let next = |class| policy().next(1, 0, &Failure::new(class, "x"), 0.5).is_some();
        for class in ErrorClass::ALL {
            assert_eq!(next(class), class.is_retryable(), "{class}");
        }
        let only = RetryPolicy { on: Some(vec![ErrorClass::NotFound]), ..policy() };
        assert!(only.next(1, 0, &Failure::new(ErrorClass::NotFound, "x"), 0.5).is_some());
        assert!(only.next(1, 0, &Failure::new(ErrorClass::Network, "x"), 0.5).is_none());
    }

    #[test]
    fn a_provider_is_obeyed_within_reason() {
        let asked = |seconds| {
            let failure = Failure::new(ErrorClass::RateLimit, "x").retry_after(Duration::from_secs(seconds));
            policy().next(1, 0, &failure, 0.5).unwrap().as_secs()
        };
        assert_eq!([asked(0), asked(60), asked(1_000_000)], [1, 60, 3_600]);
    }

    #[test]
    fn whoever_keeps_refusing_is_left_alone_for_an_hour_in_the_end() {
        let refused = Failure::new(ErrorClass::RateLimit, "x").retry_after(Duration::from_secs(2));
        let after = |refusals| policy().next(0, refusals, &refused, 0.5).unwrap().as_secs();
        assert_eq!([1, 2, 3, 4, 10, 20, 200].map(after), [2, 2, 4, 8, 512, 3_600, 3_600]);
    }

    #[test]
    fn the_spread_is_around_the_pause_and_never_below_the_base() {
        let failure = Failure::new(ErrorClass::Network, "x");
        let at = |spread| policy().next(2, 0, &failure, spread).unwrap().as_millis();
        assert_eq!([at(0.0), at(1.0)], [1_900, 2_100]);
        assert_eq!(policy().next(1, 0, &failure, 0.0).unwrap(), Duration::from_secs(1));
    }
}
