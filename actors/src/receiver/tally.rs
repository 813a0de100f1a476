//! Counts every request exactly, by source and by what became of it, and how long the answers took.
//!
//! `requests = events + redeliveries + refusals` holds of these numbers for every source at rest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::current::Current;
use crate::event::SourceName;
use crate::refusal::Refusal;

/// The counts of every source. Clones share them.
#[derive(Clone, Default)]
pub struct Tallies(Current<BTreeMap<SourceName, Arc<Tally>>>);

impl Tallies {
    /// Counts for these sources as well. What was counted stays, also of a source that is there no more.
    pub fn enter<'a>(&self, sources: impl Iterator<Item = &'a SourceName>) {
        let mut tallies = BTreeMap::clone(&self.0.get());
        for source in sources {
            tallies.entry(source.clone()).or_default();
        }
        self.0.replace(tallies);
    }

    /// The counts of a source.
    pub fn of(&self, source: &SourceName) -> Option<Arc<Tally>> {
        self.0.get().get(source).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<(SourceName, Arc<Tally>)> {
        self.0.get().iter().map(|(source, tally)| (source.clone(), Arc::clone(tally))).collect()
    }
}

/// What became of a delivery that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new event.
    Accepted,
    /// A new event that the source's configuration ignores.
    Ignored,
    /// A new event with the verdict `duplicate`.
    Duplicate,
    /// An event already; nothing new was stored.
    Redelivered,
}

/// The counts of one source since the process started.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: AtomicU64,
    ignored: AtomicU64,
    duplicates: AtomicU64,
    redelivered: AtomicU64,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    latency: Latency,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// All requests that were answered.
    pub requests: u64,
    /// New events.
    pub accepted: u64,
    /// New events that the source's configuration ignores.
    pub ignored: u64,
    /// New events with the verdict `duplicate`.
    pub duplicates: u64,
    /// Deliveries that were an event already.
    pub redelivered: u64,
    /// Refusals by their code.
    pub refused: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts an accepted delivery that took `took` from its head to its answer.
    pub fn count(&self, outcome: Outcome, took: Duration) {
        let counter = match outcome {
            Outcome::Accepted => &self.accepted,
            Outcome::Ignored => &self.ignored,
            Outcome::Duplicate => &self.duplicates,
            Outcome::Redelivered => &self.redelivered,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.latency.record(took);
    }

    /// Counts a refusal.
    pub fn refuse(&self, refusal: Refusal) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(refusal.code()).or_default() += 1;
    }

    /// The counts now.
    pub fn counted(&self) -> Counted {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (accepted, ignored) = (load(&self.accepted), load(&self.ignored));
        let (duplicates, redelivered) = (load(&self.duplicates), load(&self.redelivered));
        let requests = accepted + ignored + duplicates + redelivered + refused.values().sum::<u64>();
        Counted { requests, accepted, ignored, duplicates, redelivered, refused }
    }

    /// How long accepted deliveries took.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }
}

/// A histogram of durations: one bucket for every power of two of microseconds.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; 32],
    total_micros: AtomicU64,
}

impl Latency {
    fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = usize::try_from(u64::BITS - micros.leading_zeros()).unwrap_or(usize::MAX);
        if let Some(bucket) = self.buckets.get(bucket.min(self.buckets.len() - 1)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.total_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many there were, and how many microseconds they took together.
    pub fn totals(&self) -> (u64, u64) {
        let count = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum();
        (count, self.total_micros.load(Ordering::Relaxed))
    }

    /// The mean, in milliseconds.
    #[allow(clippy::cast_precision_loss, reason = "a mean to show")]
    pub fn mean_ms(&self) -> f64 {
        let (count, micros) = self.totals();
        if count == 0 { 0.0 } else { micros as f64 / count as f64 / 1000.0 }
    }

    /// An upper bound of the given quantile (0 to 1), in milliseconds: the end of its bucket.
    #[allow(clippy::cast_precision_loss, reason = "a quantile to show")]
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        let counts = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        let wanted = counts.iter().sum::<u64>() as f64 * quantile;
        let mut seen = 0;
        for (bucket, count) in (0..).zip(counts) {
            seen += count;
            if count > 0 && seen as f64 >= wanted {
                return (1_u64 << bucket) as f64 / 1000.0;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stays_when_the_sources_change() {
        let (tallies, [kept, gone, new]) = (Tallies::default(), ["kept", "gone", "new"].map(SourceName::new));
        tallies.enter([&kept, &gone].into_iter());
        for source in [&kept, &gone] {
            tallies.of(source).unwrap().refuse(Refusal::NotJson);
        }
        tallies.enter([&kept, &new].into_iter());
        let requests = |(source, tally): (SourceName, Arc<Tally>)| (source, tally.counted().requests);
        let counted: Vec<_> = tallies.all().into_iter().map(requests).collect();
        assert_eq!(counted, [(gone, 1), (kept, 1), (new, 0)]);
    }

    #[test]
    fn requests_are_the_sum_of_what_became_of_them() {
        let tally = Tally::default();
        let took = Duration::from_millis(1);
        for outcome in
            [Outcome::Accepted, Outcome::Accepted, Outcome::Ignored, Outcome::Duplicate, Outcome::Redelivered]
        {
            tally.count(outcome, took);
        }
        tally.refuse(Refusal::NotJson);
        tally.refuse(Refusal::NotJson);
        tally.refuse(Refusal::BadHeader("x-github-event"));
        let counted = tally.counted();
        assert_eq!((counted.requests, counted.accepted, counted.redelivered), (8, 2, 1));
        assert_eq!(counted.refused, [("bad_header", 1), ("invalid_json", 2)].into());
    }

    #[test]
    fn quantiles_are_upper_bounds() {
        let latency = Latency::default();
        for micros in 1..=100 {
            latency.record(Duration::from_micros(micros));
        }
        assert!((latency.mean_ms() - 0.0505).abs() < 1e-9);
        assert!((0.050..=0.100).contains(&latency.quantile_ms(0.5)), "{}", latency.quantile_ms(0.5));
        assert!((0.099..=0.200).contains(&latency.quantile_ms(0.99)), "{}", latency.quantile_ms(0.99));
    }
}
