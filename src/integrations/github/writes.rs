//! When a write may go. GitHub asks for writes one after the other, a second apart (docs.github.com/rest, "Best practices for
//! using the REST API"); whoever does not heed that meets its secondary limits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use tokio::sync::MutexGuard;

use crate::integrations::pace::Pace;

/// Whose turn comes within this waits for it; any other comes back later, and holds no slot until then.
const PATIENCE: Duration = Duration::from_secs(2);

/// The writes of a credential.
pub(super) struct Writes {
    /// Those that are to go, as soon as they might.
    admitted: Mutex<Pace>,
    /// Those that have gone; held by the one that is under way.
    gone: tokio::sync::Mutex<Pace>,
}

/// One write may go, after this pause. As long as it is kept no other one may.
pub(super) struct Turn<'a> {
    /// How long it is until then.
    pub pause: Duration,
    _under_way: MutexGuard<'a, Pace>,
}

impl Writes {
    /// So far apart.
    pub fn new(interval: Duration) -> Self {
        let pace = || Pace::new(1, interval);
        Self { admitted: Mutex::new(pace()), gone: tokio::sync::Mutex::new(pace()) }
    }

    /// Waits until no other write is under way, unless too many are to go before; `now` says the time.
    pub async fn turn(&self, what: &str, now: impl Fn() -> Duration) -> Result<Turn<'_>, Failure> {
        let admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner).reserve(now(), PATIENCE);
        admitted.map_err(|pause| {
            let message = format!("{what}: not sent, other writes to GitHub go before");
            Failure::new(ErrorClass::RateLimit, message).retry_after(pause).unsent()
        })?;
        // The one before may have taken its time.
        let mut gone = self.gone.lock().await;
        let pause = gone.reserve(now(), Duration::MAX).unwrap_or_default();
        Ok(Turn { pause, _under_way: gone })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn writes_go_apart_and_one_after_the_other_and_nobody_waits_for_long() {
        let (writes, at) = (Writes::new(Duration::from_secs(1)), Duration::from_millis);
        let turn = |ms: u64| writes.turn("x", move || at(ms)).now_or_never();
        let pause = |ms: u64| turn(ms).unwrap().map(|turn| turn.pause);
        let first = turn(0).unwrap().unwrap();
        assert_eq!(first.pause, at(0));
        assert!(turn(100).is_none(), "one is under way");
        drop(first);
        // The one that was dropped while it waited has had its place, and was not sent.
        assert_eq!(pause(100), Ok(at(900)));
        let refused = pause(100).unwrap_err();
        assert_eq!((refused.class, refused.retry_after_ms, refused.unsent), (ErrorClass::RateLimit, Some(2_900), true));
        assert_eq!(pause(5_000), Ok(at(0)));
        assert_eq!([pause(5_000), pause(6_500)], [Ok(at(1_000)), Ok(at(500))]);
    }

    #[test]
    fn without_an_interval_nobody_waits() {
        let writes = Writes::new(Duration::ZERO);
        for _ in 0..9 {
            let turn = writes.turn("x", || Duration::ZERO).now_or_never().unwrap();
            assert_eq!(turn.unwrap().pause, Duration::ZERO);
        }
    }
}
