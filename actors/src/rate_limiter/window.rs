//! Counts over a sliding window, by key, in bounded memory. Pure.
//!
//! The count of the window before is weighed by how much of it the sliding window still covers, as if it had come evenly: two
//! numbers for each key, however much comes (blog.cloudflare.com, "How we built rate limiting capable of scaling to millions of
//! domains": 0.003 % of requests were judged otherwise than by an exact count).

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::time::Timestamp;

/// Counts over the last `span`, by key.
#[derive(Debug)]
pub struct Window<K> {
    span: Duration,
    most_keys: usize,
    began: Timestamp,
    current: Counts<K>,
    before: Counts<K>,
}

/// The counts of one fixed window.
#[derive(Debug)]
struct Counts<K> {
    by_key: HashMap<K, u32>,
    /// Of all keys that found no room.
    of_the_rest: u32,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), of_the_rest: 0 }
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    fn get(&self, key: &K, most_keys: usize) -> u32 {
        let of_the_rest = || if self.by_key.len() >= most_keys { self.of_the_rest } else { 0 };
        self.by_key.get(key).copied().unwrap_or_else(of_the_rest)
    }

    fn add(&mut self, key: &K, most_keys: usize) {
        let has_room = self.by_key.len() < most_keys || self.by_key.contains_key(key);
        let count = if has_room { self.by_key.entry(key.clone()).or_default() } else { &mut self.of_the_rest };
        *count = count.saturating_add(1);
    }
}

impl<K: Eq + Hash + Clone> Window<K> {
    /// Over `span`, with counts of their own for `most_keys` keys in each of the two windows that are remembered. Keys beyond
    /// that share one: whoever comes from a million addresses is held back as if they were one.
    pub fn new(span: Duration, most_keys: usize) -> Self {
        let span = span.max(Duration::from_millis(1));
        Self {
            span,
            most_keys,
            began: Timestamp::from_millis(0),
            current: Counts::default(),
            before: Counts::default(),
        }
    }

    /// Counts one more of `key`.
    pub fn add(&mut self, key: &K, now: Timestamp) {
        self.roll(now);
        self.current.add(key, self.most_keys);
    }

    /// How many of `key` came within the last `span`.
    pub fn count(&mut self, key: &K, now: Timestamp) -> u32 {
        self.roll(now);
        let (current, before) = self.of(key);
        current.saturating_add(self.weighed(before, now))
    }

    /// How long until `limit` of `key` allows for one more, if none comes meanwhile; zero when it does already.
    pub fn until_below(&mut self, key: &K, limit: u32, now: Timestamp) -> Duration {
        if self.count(key, now) < limit {
            return Duration::ZERO;
        }
        let (current, before) = self.of(key);
        let until_next = self.until_next(now);
        // Within this window only what came before it gets less.
        match limit.checked_sub(current + 1) {
            Some(room) => until_next.saturating_sub(self.cover(before, room)),
            None => until_next + self.span.saturating_sub(self.cover(current, limit.saturating_sub(1))),
        }
    }

    /// How long until the counts so far begin to weigh less.
    pub fn until_next(&self, now: Timestamp) -> Duration {
        self.span.saturating_sub(now.since(self.began))
    }

    /// The span that it looks at.
    pub fn span(&self) -> Duration {
        self.span
    }

    fn of(&self, key: &K) -> (u32, u32) {
        (self.current.get(key, self.most_keys), self.before.get(key, self.most_keys))
    }

    /// How many of those in the window before still count.
    fn weighed(&self, before: u32, now: Timestamp) -> u32 {
        let weighed = (u128::from(before) * self.until_next(now).as_millis()).div_ceil(self.span.as_millis());
        u32::try_from(weighed).unwrap_or(u32::MAX)
    }

    /// How much of the window before may still be covered for no more than `room` of its `before` to count.
    fn cover(&self, before: u32, room: u32) -> Duration {
        let millis = u128::from(room) * self.span.as_millis() / u128::from(before.max(1));
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)).min(self.span)
    }

    fn roll(&mut self, now: Timestamp) {
        // A clock that was set back would else keep what was counted until it has come there again.
        self.began = self.began.min(now);
        let passed = now.since(self.began);
        if passed < self.span {
            return;
        }
        let current = std::mem::take(&mut self.current);
        self.before = if passed < self.span * 2 { current } else { Counts::default() };
        let whole = passed.as_millis() / self.span.as_millis();
        let spans = self.span.saturating_mul(u32::try_from(whole).unwrap_or(u32::MAX));
        self.began = if whole > u128::from(u32::MAX) { now } else { self.began.plus(spans) };
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
