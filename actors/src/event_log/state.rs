//! Whether the log can write, seen from any thread: admission asks before it lets a body in, and
//! readiness says it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::store::StoreError;

/// Whether the log can write, and if not, why; and how long it takes.
#[derive(Debug, Default)]
pub struct LogState {
    broken: AtomicBool,
    reason: Mutex<String>,
    lag_micros: AtomicU64,
}

impl LogState {
    /// Whether a commit would be tried.
    pub fn is_writable(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
    }

    /// Why it cannot write; empty when it can.
    pub fn reason(&self) -> String {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long the last batch took to become durable.
    pub fn lag(&self) -> Duration {
        Duration::from_micros(self.lag_micros.load(Ordering::Relaxed))
    }

    pub(super) fn took(&self, lag: Duration) {
        self.lag_micros.store(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn cannot_write(&self, error: &StoreError) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(super) fn can_write(&self) {
        self.broken.store(false, Ordering::Relaxed);
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
