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
        if let Some(oldest) = self.taken.front().filter(|_| self.taken.len() >= self.most) {
            let free_at = *oldest + self.within;
            if now < free_at {
                return Err(free_at.saturating_sub(now));
            }
            self.taken.pop_front();
        }
        self.taken.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
