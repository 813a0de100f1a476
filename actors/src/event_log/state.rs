//! Whether the log can write, seen from any thread: admission asks before it lets a body in, and
//! readiness says it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::store::StoreError;

/// Whether the log can write, and if not, why.
#[derive(Debug, Default)]
pub struct LogState {
    broken: AtomicBool,
    reason: Mutex<String>,
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

    pub(super) fn cannot_write(&self, error: &StoreError) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(super) fn can_write(&self) {
        self.broken.store(false, Ordering::Relaxed);
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
