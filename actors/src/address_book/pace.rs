//! When a provider is asked again, and what an operator is told. Pure: what became of asking is the input.

use std::time::Duration;

use crate::executor::failure::{ErrorClass, Failure};

/// First pause after a failure that may pass; it doubles up to the time between two renewals.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// However long a provider asks to wait, it is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3_600);

/// How asking goes.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    pause: Duration,
    /// The kind of failure that was told last.
    told: Option<ErrorClass>,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub struct Next {
    /// How long until it is asked again.
    pub wait: Duration,
    /// What is told: each kind of failure once, and that it is over.
    pub tell: Option<Tell>,
}

/// What an operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// It fails.
    Fails,
    /// It goes again.
    GoesAgain,
}

impl Pace {
    /// Asks `every` so often.
    pub fn new(every: Duration) -> Self {
        Self { every, pause: FIRST_PAUSE, told: None }
    }

    /// What follows when it was asked, and this came of it.
    pub fn after(&mut self, asked: &Result<(), Failure>) -> Next {
        let Err(failure) = asked else {
            self.pause = FIRST_PAUSE;
            return Next { wait: self.every, tell: self.told.take().map(|_| Tell::GoesAgain) };
        };
        let tell = (self.told != Some(failure.class)).then_some(Tell::Fails);
        self.told = Some(failure.class);
        if !failure.class.is_retryable() {
            return Next { wait: self.every, tell };
        }
        let wait = self.pause.min(self.every);
        self.pause = self.pause.saturating_mul(2).min(self.every);
        let asked_for = failure.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
        Next { wait: wait.max(asked_for).min(LONGEST_PAUSE), tell }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn failed(class: ErrorClass) -> Result<(), Failure> {
        Err(Failure::new(class, "x"))
    }

    fn seconds(next: &Next) -> (u64, Option<Tell>) {
        (next.wait.as_secs(), next.tell)
    }

    #[test]
    fn a_failure_that_may_pass_is_tried_again_later_and_later_and_told_once() {
        let mut pace = Pace::new(HOUR);
        assert_eq!(seconds(&pace.after(&Ok(()))), (3_600, None));
        assert_eq!(seconds(&pace.after(&failed(ErrorClass::Network))), (5, Some(Tell::Fails)));
        let waits: Vec<u64> = (0..11).map(|_| pace.after(&failed(ErrorClass::Network)).wait.as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]);
        assert_eq!(seconds(&pace.after(&failed(ErrorClass::Timeout))), (3_600, Some(Tell::Fails)));
        assert_eq!(seconds(&pace.after(&Ok(()))), (3_600, Some(Tell::GoesAgain)));
        assert_eq!(seconds(&pace.after(&failed(ErrorClass::Timeout))), (5, Some(Tell::Fails)));
    }

    #[test]
    fn a_failure_that_stays_waits_for_the_next_time() {
        let mut pace = Pace::new(HOUR);
        assert_eq!(seconds(&pace.after(&failed(ErrorClass::Validation))), (3_600, Some(Tell::Fails)));
        assert_eq!(seconds(&pace.after(&failed(ErrorClass::Validation))), (3_600, None));
    }

    #[test]
    fn a_provider_is_left_alone_for_as_long_as_it_asks_and_a_day_at_most() {
        let limited = |wait| Err(Failure::new(ErrorClass::RateLimit, "x").retry_after(wait));
        assert_eq!(Pace::new(HOUR).after(&limited(HOUR * 2)).wait, HOUR * 2);
        assert_eq!(Pace::new(HOUR).after(&limited(HOUR * 1_000)).wait, LONGEST_PAUSE);
    }
}
