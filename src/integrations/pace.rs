//! How many calls a provider takes within a time. Pure: the time is an input, and it is one that never goes back.

use std::collections::VecDeque;
use std::time::Duration;

/// At most so many calls within any span of this length.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    within: Duration,
    /// When the last of them were, oldest first; never more than `most`.
    taken: VecDeque<Duration>,
}

impl Pace {
    /// At most `most` calls within any `within`.
    pub fn new(most: usize, within: Duration) -> Self {
        Self { most, within, taken: VecDeque::with_capacity(most) }
    }

    /// Takes a call at `now`; otherwise how long it is until there may be one.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.reserve(now, Duration::ZERO).map(|_| ())
    }

    /// Takes the next call that there may be, if it may be made within `patience` of `now`, and says when. Otherwise
    /// nothing is taken, and it says how long it is until then.
    pub fn reserve(&mut self, now: Duration, patience: Duration) -> Result<Duration, Duration> {
        let oldest = self.taken.front().filter(|_| self.taken.len() >= self.most);
        let pause = oldest.map_or(Duration::ZERO, |oldest| (*oldest + self.within).saturating_sub(now));
        if pause > patience {
            return Err(pause);
        }
        if self.taken.len() >= self.most {
            self.taken.pop_front();
        }
        self.taken.push_back(now + pause);
        Ok(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_has_a_call_of_his_own() {
        let (mut pace, at) = (Pace::new(2, Duration::from_secs(10)), Duration::from_secs);
        assert_eq!([pace.reserve(at(0), at(5)), pace.reserve(at(4), at(5))], [Ok(at(0)); 2]);
        assert_eq!(pace.reserve(at(4), at(5)), Err(at(6)));
        assert_eq!(pace.reserve(at(6), at(5)), Ok(at(4)), "it is made at 10");
        assert_eq!(pace.reserve(at(11), at(5)), Ok(at(3)), "and this at 14");
        assert_eq!(pace.reserve(at(11), at(5)), Err(at(9)), "the one at 10 counts until 20");
    }

    #[test]
    fn no_span_of_a_minute_has_more_than_ten() {
        let mut pace = Pace::new(10, Duration::from_secs(60));
        let at = Duration::from_secs;
        for second in 0..10 {
            assert_eq!(pace.take(at(second)), Ok(()));
        }
        assert_eq!(pace.take(at(20)), Err(at(40)), "the first was at 0");
        assert_eq!(pace.take(at(59)), Err(at(1)), "asking takes nothing");
        assert_eq!(pace.take(at(60)), Ok(()));
        assert_eq!(pace.take(at(60)), Err(at(1)), "the second was at 1");
        let taken: Vec<u64> = (60..600).filter(|second| pace.take(at(*second)).is_ok()).collect();
        assert!(taken.windows(11).all(|span| span[10] - span[0] >= 60), "{taken:?}");
    }
}
