//! Shelves in memory: ordered maps, so that two with the same content are equal.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use super::desk::{Kept, Shelves};
use super::record::WaitRecord;
use crate::ids::{EventId, RunId, WaitId};
use crate::time::Timestamp;

/// Waits and early callbacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemoryShelves {
    waits: BTreeMap<WaitId, WaitRecord>,
    open: u64,
    by_key: BTreeMap<String, BTreeSet<WaitId>>,
    /// Open waits without a key, by kind.
    reserved: BTreeMap<String, BTreeSet<WaitId>>,
    inbox: BTreeMap<String, BTreeMap<(Timestamp, EventId), Kept>>,
    /// When callbacks are kept no longer, with their keys.
    expiry: BTreeSet<(Timestamp, String, Timestamp, EventId)>,
}

impl MemoryShelves {
    /// All waits, in the order of their ids.
    pub fn waits(&self) -> impl DoubleEndedIterator<Item = &WaitRecord> {
        self.waits.values()
    }

    /// How many waits are open, and how many are not.
    pub fn numbers(&self) -> (u64, u64) {
        (self.open, self.waits.len() as u64 - self.open)
    }

    /// Drops the waits of a run whose journal has so many entries.
    pub fn forget_run(&mut self, run: RunId, revision: u32) {
        for id in (0..revision).map(|serial| WaitId::derive(run, serial)) {
            let Some(wait) = self.waits.remove(&id) else { continue };
            self.open -= u64::from(wait.is_open());
            for index in [&mut self.by_key, &mut self.reserved] {
                index.values_mut().for_each(|waits| _ = waits.remove(&id));
                index.retain(|_, waits| !waits.is_empty());
            }
        }
    }

    /// Drops what is kept no longer at `now`.
    pub fn forget_expired(&mut self, now: Timestamp) {
        while self.expiry.first().is_some_and(|(until, ..)| *until <= now) {
            let Some((_, key, received_at, event)) = self.expiry.pop_first() else { return };
            let Some(kept) = self.inbox.get_mut(&key) else { continue };
            kept.remove(&(received_at, event));
            if kept.is_empty() {
                self.inbox.remove(&key);
            }
        }
    }
}

impl Shelves for MemoryShelves {
    type Error = Infallible;

    fn wait(&mut self, id: WaitId) -> Result<Option<WaitRecord>, Infallible> {
        Ok(self.waits.get(&id).cloned())
    }

    fn put(&mut self, wait: &WaitRecord) -> Result<(), Infallible> {
        for key in &wait.keys {
            self.by_key.entry(key.clone()).or_default().insert(wait.id);
        }
        let reserved = self.reserved.entry(wait.kind.clone()).or_default();
        if wait.is_reserved() {
            reserved.insert(wait.id);
        } else {
            reserved.remove(&wait.id);
        }
        self.reserved.retain(|_, waits| !waits.is_empty());
        let was_open = self.waits.insert(wait.id, wait.clone()).is_some_and(|before| before.is_open());
        self.open = self.open - u64::from(was_open) + u64::from(wait.is_open());
        Ok(())
    }

    fn with_key(&mut self, key: &str) -> Result<Vec<WaitId>, Infallible> {
        Ok(self.by_key.get(key).into_iter().flatten().copied().collect())
    }

    fn is_reserved(&mut self, kind: &str) -> Result<bool, Infallible> {
        Ok(self.reserved.contains_key(kind))
    }

    fn keep(&mut self, key: &str, kept: &Kept) -> Result<(), Infallible> {
        let Kept { event, callback } = kept;
        self.inbox.entry(key.to_owned()).or_default().insert((callback.received_at, *event), kept.clone());
        self.expiry.insert((callback.until, key.to_owned(), callback.received_at, *event));
        Ok(())
    }

    fn kept(&mut self, key: &str, since: Timestamp) -> Result<Vec<Kept>, Infallible> {
        let of_key = self.inbox.get(key).into_iter().flatten();
        Ok(of_key.filter(|((received_at, _), _)| *received_at >= since).map(|(_, kept)| kept.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::record::Callback;

    #[test]
    fn what_is_kept_is_dropped_when_its_time_is_over() {
        let mut shelves = MemoryShelves::default();
        for (number, until) in [(1, 10), (2, 20)] {
            let at = Timestamp::from_millis(number);
            let callback = Callback {
                source: "s".into(),
                event_type: "e".into(),
                action: None,
                keys: vec!["a:b:1".into()],
                received_at: at,
                until: Timestamp::from_millis(until),
                awaited: true,
            };
            shelves.keep("a:b:1", &Kept { event: EventId::first_at(at), callback }).unwrap();
        }
        shelves.forget_expired(Timestamp::from_millis(10));
        let kept = shelves.kept("a:b:1", Timestamp::default()).unwrap();
        assert_eq!(kept.iter().map(|kept| kept.callback.until.millis()).collect::<Vec<_>>(), [20]);
        shelves.forget_expired(Timestamp::from_millis(20));
        assert_eq!(shelves, MemoryShelves::default());
    }
}
