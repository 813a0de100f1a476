//! What can be seen of catching up from any thread.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::chase::{Chase, Settled};
use crate::time::Timestamp;

/// What became of each hook that is watched, since the process started.
#[derive(Clone, Default)]
pub struct Watches(Arc<Mutex<BTreeMap<String, Watched>>>);

/// What became of one hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Looks that came to their end.
    pub looks: u64,
    /// When the last of them did.
    pub last_look: Option<Timestamp>,
    /// Deliveries that were found missing.
    pub missed: u64,
    /// Redeliveries that were asked for.
    pub requested: u64,
    /// Missing ones that are in the log by now.
    pub taken_in: u64,
    /// Those that became too old before they came.
    pub lost: u64,
    /// Those that are missing now.
    pub waiting: usize,
    /// Those of them after which nobody goes any more.
    pub given_up: usize,
    /// Why it does not go on, if it does not.
    pub failing: Option<String>,
}

impl Watches {
    /// All of them, by name.
    pub fn all(&self) -> Vec<(String, Watched)> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.iter().map(|(hook, watched)| (hook.clone(), watched.clone())).collect()
    }

    /// Changes what is seen of a hook.
    pub fn note(&self, hook: &str, change: impl FnOnce(&mut Watched)) {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(hook.to_owned()).or_default());
    }
}

impl Watched {
    /// So it was settled.
    pub fn settled(&mut self, settled: &Settled) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.missed += number(settled.found);
        self.taken_in += number(settled.arrived);
        self.lost += number(settled.lost.len());
    }

    /// So the chase stands.
    pub fn stands(&mut self, chase: &Chase) {
        (self.waiting, self.given_up) = chase.missing();
    }
}
