//! How long an event is tried to be routed that cannot be, and when it is a dead letter. Pure.

use std::time::Duration;

use crate::event::fate::{Change, RoutingFailure};
use crate::store::Lease;
use crate::time::Timestamp;

/// An event that stays pending is tried again after this, doubled with every attempt …
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How often it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Attempts, the one at intake apart; at least one is made.
    pub attempts: u32,
}

impl Patience {
    /// What becomes of an event that could not be routed at `now`, after so many `earlier` failures. The lease is
    /// the one under which it was claimed.
    pub fn after_failure(self, earlier: u32, (now, lease): (Timestamp, Lease), reason: String, fell: bool) -> Change {
        let number = earlier.saturating_add(1);
        let until = now.plus(pause(earlier));
        let failure = RoutingFailure { number, reason, fell, is_last: number >= self.attempts };
        Change::Failed { lease: Lease { until, ..lease }, failure }
    }
}

fn pause(earlier: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << earlier.min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        assert_eq!([0, 1, 2, 5, 6, 99].map(|earlier| pause(earlier).as_secs()), [10, 20, 40, 320, 600, 600]);
    }

    #[test]
    fn the_last_attempt_is_the_end() {
        let last = |attempts, earlier| {
            let lease = Lease { epoch: 7, until: Timestamp::default() };
            let change =
                Patience { attempts }.after_failure(earlier, (Timestamp::from_millis(1), lease), "x".into(), false);
            let Change::Failed { lease, failure } = change else { panic!("{change:?}") };
            assert_eq!((lease.epoch, failure.number), (7, earlier + 1));
            failure.is_last
        };
        assert_eq!([0, 1, 2, 3].map(|earlier| last(3, earlier)), [false, false, true, true]);
        assert!(last(0, 0));
    }
}
