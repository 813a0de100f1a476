//! How much of the limits is left when we are slow ourselves. Pure.
//!
//! The limits go down by half while anything is too slow or too full, and come back bit by bit: the way in which TCP shares a
//! line (RFC 5681), which finds out what is possible without being told.

use std::time::Duration;

use crate::time::Timestamp;

/// When limits are lowered, and how far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    /// The share of the limits that is always left.
    pub floor: f64,
    /// How long the way back takes from the floor to the limits as configured.
    pub recovery: Duration,
    /// The mean answer to a delivery is late from here on.
    pub slow: Duration,
    /// A share of what may wait, in mailboxes and for the log, that is too much.
    pub full: f64,
}

/// What we see of ourselves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// The mean answer to a delivery since the last look.
    pub latency: Duration,
    /// How full the fullest mailbox on a delivery's way is, from 0 to 1.
    pub mailboxes: f64,
    /// How long the log takes to make something durable.
    pub log_lag: Duration,
    /// How much of what may be in flight or wait is used, from 0 to 1.
    pub load: f64,
}

/// How much of the limits is left.
#[derive(Debug)]
pub struct Share {
    share: f64,
    looked_at: Option<Timestamp>,
}

/// How often we look at ourselves.
const EVERY: Duration = Duration::from_secs(1);

impl Default for Share {
    fn default() -> Self {
        Self { share: 1.0, looked_at: None }
    }
}

impl Share {
    /// Whether it is time to look at ourselves.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.looked_at.is_none_or(|looked_at| now.distance(looked_at) >= EVERY)
    }

    /// Takes in what was seen.
    pub fn look(&mut self, adaptive: &Adaptive, seen: &Signals, now: Timestamp) {
        let passed = self.looked_at.map_or(EVERY, |looked_at| now.since(looked_at));
        self.looked_at = Some(now);
        let is_slow = seen.latency >= adaptive.slow || seen.log_lag >= adaptive.slow;
        let is_full = seen.mailboxes >= adaptive.full || seen.load >= adaptive.full;
        let (floor, way) = (adaptive.floor.clamp(0.0, 1.0), adaptive.recovery.max(EVERY).as_secs_f64());
        let back = (1.0 - floor) * passed.as_secs_f64() / way;
        let share = if is_slow || is_full { self.share / 2.0 } else { self.share + back };
        self.share = share.clamp(floor, 1.0);
    }

    /// What is left of `limit`; never nothing.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a limit")]
    pub fn of(&self, limit: u32) -> u32 {
        ((f64::from(limit) * self.share) as u32).max(limit.min(1))
    }

    /// The share itself, from the floor to 1.
    pub fn value(&self) -> f64 {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAPTIVE: Adaptive =
        Adaptive { floor: 0.2, recovery: Duration::from_secs(300), slow: Duration::from_millis(250), full: 0.8 };

    #[test]
    fn limits_fall_fast_to_the_floor_and_come_back_slowly() {
        let (mut share, mut now) = (Share::default(), Timestamp::from_millis(0));
        let mut look = |seen: &Signals, seconds: u64| {
            now = now.plus(Duration::from_secs(seconds));
            assert!(share.is_due(now));
            share.look(&ADAPTIVE, seen, now);
            assert!(!share.is_due(now.plus(Duration::from_millis(999))));
            assert!(share.is_due(now.minus(Duration::from_secs(3_600))), "also when the clock was set back");
            share.of(100)
        };
        let slow = Signals { latency: Duration::from_millis(250), ..Signals::default() };
        assert_eq!([look(&slow, 0), look(&slow, 1), look(&slow, 1), look(&slow, 1)], [50, 25, 20, 20]);
        let quiet = Signals::default();
        assert_eq!([look(&quiet, 150), look(&quiet, 150), look(&quiet, 1_000)], [60, 100, 100]);
    }

    #[test]
    fn each_signal_counts_and_none_below_its_bound() {
        let check = |seen: Signals, expect| {
            let mut share = Share::default();
            share.look(&ADAPTIVE, &seen, Timestamp::from_millis(0));
            assert_eq!(share.value() < 1.0, expect, "{seen:?}");
        };
        let (quiet, late) = (Signals::default(), Duration::from_millis(250));
        check(quiet, false);
        check(Signals { latency: late, ..quiet }, true);
        check(Signals { log_lag: late, ..quiet }, true);
        check(Signals { mailboxes: 0.8, ..quiet }, true);
        check(Signals { load: 0.8, ..quiet }, true);
        let almost = Duration::from_millis(249);
        check(Signals { latency: almost, log_lag: almost, mailboxes: 0.79, load: 0.79 }, false);
    }

    #[test]
    fn something_is_always_let_through() {
        let mut share = Share::default();
        let full = Signals { load: 1.0, ..Signals::default() };
        (0..9).for_each(|at| share.look(&Adaptive { floor: 0.0, ..ADAPTIVE }, &full, Timestamp::from_millis(at)));
        assert_eq!((share.of(5), share.of(0)), (1, 0));
    }
}
