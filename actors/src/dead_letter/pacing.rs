//! How fast dead letters are redriven: what was down has just come back. Pure.

use std::time::Duration;

/// Lets one pass at a time, so far apart.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    gap: Duration,
    /// Before this nobody passes.
    next: Duration,
}

impl Pace {
    /// So many a second; at least one.
    pub fn new(per_second: u32) -> Self {
        Self { gap: Duration::from_secs(1) / per_second.max(1), next: Duration::ZERO }
    }

    /// Takes the next turn at `now`, a time that never goes back, and says how long to wait for it.
    pub fn take(&mut self, now: Duration) -> Duration {
        let turn = self.next.max(now);
        self.next = turn + self.gap;
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_so_far_apart_and_those_not_taken_are_not_saved() {
        let mut pace = Pace::new(4);
        let mut take = |now| pace.take(Duration::from_millis(now)).as_millis();
        assert_eq!([take(1_000), take(1_000), take(1_000), take(1_500)], [0, 250, 500, 250]);
        assert_eq!([take(9_000), take(9_000), take(9_100)], [0, 250, 400]);
        assert_eq!(Pace::new(0).take(Duration::ZERO), Duration::ZERO);
    }
}
