//! How the tree comes to rest when the process ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Threads, Tree};
use crate::executor::attempts::InFlight;

/// How often a tree that comes to rest looks whether it has.
const REST: Duration = Duration::from_millis(5);

/// How runs come to rest when the process ends.
#[derive(Clone, Default)]
pub(super) struct Ending {
    pub(super) draining: Arc<AtomicBool>,
    pub(super) in_flight: InFlight,
}

impl Tree {
    /// Lets nobody in, begins no further attempt, and waits until those inside are answered, attempts in
    /// flight have ended and all that is inside is durable. What does not end in time is in doubt, and
    /// resolved by the next start.
    pub async fn drain(&self, patience: Duration) {
        self.gate.drain();
        self.ending.draining.store(true, Ordering::SeqCst);
        let at_rest = async {
            while self.gate.requests() > 0 || self.ending.in_flight.number() > 0 {
                tokio::time::sleep(REST).await;
            }
        };
        if tokio::time::timeout(patience, at_rest).await.is_err() {
            tracing::warn!(
                requests = self.gate.requests(),
                attempts = self.ending.in_flight.number(),
                "not all ended within the grace period; attempts that did not are in doubt and resolved by the next start"
            );
        }
        self.log.drain().await;
    }

    /// Attempts that are not settled.
    pub fn attempts_in_flight(&self) -> usize {
        self.ending.in_flight.number()
    }

    /// Ends the tree's threads and with them its components; blocks until they have ended.
    pub fn end_threads(&self) {
        let Threads::Own(threads) = &self.threads else { return };
        let threads = std::mem::take(&mut *threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in &threads {
            thread.stop();
        }
        for thread in threads {
            let _ = thread.join();
        }
    }
}
