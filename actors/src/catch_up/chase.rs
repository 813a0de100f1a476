//! What is gone after, when again, and when no more. Pure: the clock is an input.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::checkpoint::{Checkpoint, Missed};
use super::missed::{Walk, Walked};
use crate::time::Timestamp;

/// The provider keeps its attempts, and sends them again, for three days (docs.github.com, "Redelivering webhooks").
const KEPT: Duration = Duration::from_secs(3 * 24 * 3_600);

/// Two clocks that are apart by this much agree on what is too old: the log forgets a delivery by ours, the provider
/// says by its own when it was first attempted.
const MARGIN: Duration = Duration::from_secs(10 * 60);

/// Times that a delivery is tried to be got. With pauses that double this takes most of a day.
pub const MOST_TRIES: u32 = 10;

/// After so many the operator is told that something is wrong with it.
pub const TELL_AFTER: u32 = 3;

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);

/// The chase after what one hook could not deliver.
#[derive(Debug)]
pub struct Chase {
    checkpoint: Checkpoint,
    every: Duration,
    reach: Duration,
    /// Until when what was asked for is given time to come. Not durable: whoever starts asks at once.
    pauses: HashMap<String, Timestamp>,
}

/// What settling came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Deliveries that were found missing.
    pub found: usize,
    /// Those that were missing and are in the log.
    pub arrived: usize,
    /// Those that are too old to be got any more.
    pub lost: Vec<Missed>,
}

impl Chase {
    /// Goes on after `checkpoint`, with a look `every` so often, of a log that recognises deliveries for `window`.
    pub fn new(mut checkpoint: Checkpoint, every: Duration, window: Duration) -> Self {
        for missed in &mut checkpoint.missed {
            // Whoever starts the process may have mended what was in the way: one more try.
            missed.tries = missed.tries.min(MOST_TRIES - 1);
        }
        // What the log would not recognise any more could be taken in twice.
        let reach = window.min(KEPT).saturating_sub(MARGIN);
        Self { checkpoint, every, reach, pauses: HashMap::new() }
    }

    /// What is to be durable.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The walk that is to be done.
    pub fn walk(&self, now: Timestamp) -> Walk {
        Walk::new(self.checkpoint.until, now.minus(self.reach))
    }

    /// The deliveries of which it must be known whether they are in the log.
    pub fn suspects(&self, walked: &Walked) -> Vec<String> {
        let failed = walked.failed.iter().map(|failed| &failed.guid);
        let all: HashSet<&String> = failed.chain(self.checkpoint.missed.iter().map(|missed| &missed.guid)).collect();
        all.into_iter().cloned().collect()
    }

    /// Takes in what a walk came to, when it is known which of the suspects are in the log.
    pub fn settle(&mut self, walked: Walked, in_log: &HashSet<String>, now: Timestamp) -> Settled {
        let mut settled = Settled::default();
        let horizon = now.minus(self.reach);
        let mut missed: Vec<Missed> = Vec::new();
        for each in std::mem::take(&mut self.checkpoint.missed) {
            if in_log.contains(&each.guid) {
                settled.arrived += 1;
            } else if walked.delivered.contains(&each.guid) {
                // Whoever has it, it is not this log; it was delivered.
            } else if each.first_at <= horizon {
                settled.lost.push(each);
            } else {
                missed.push(each);
            }
        }
        let known: HashMap<String, usize> = missed.iter().map(|each| each.guid.clone()).zip(0..).collect();
        for failed in walked.failed {
            if let Some(each) = known.get(&failed.guid).and_then(|place| missed.get_mut(*place)) {
                each.attempt = each.attempt.max(failed.attempt);
                continue;
            }
            // One whose first attempt is not in sight is too old, or was judged by an earlier walk.
            let first_at = failed.first_at.filter(|first_at| *first_at > horizon);
            let Some(first_at) = first_at.filter(|_| !in_log.contains(&failed.guid)) else { continue };
            settled.found += 1;
            missed.push(Missed { guid: failed.guid, attempt: failed.attempt, first_at, tries: 0 });
        }
        missed.sort_by_key(|missed| (missed.first_at, missed.attempt));
        self.checkpoint.until = self.checkpoint.until.max(walked.newest);
        self.checkpoint.missed = missed;
        self.pauses.retain(|guid, until| *until > now && !in_log.contains(guid));
        settled
    }

    /// What is to be got now, the oldest first.
    pub fn due(&self, now: Timestamp) -> Vec<Missed> {
        let is_due = |missed: &&Missed| {
            missed.tries < MOST_TRIES && self.pauses.get(&missed.guid).is_none_or(|until| *until <= now)
        };
        self.checkpoint.missed.iter().filter(is_due).cloned().collect()
    }

    /// It was tried to get this one. Gives how often by now.
    pub fn tried(&mut self, guid: &str, now: Timestamp) -> u32 {
        let Some(missed) = self.checkpoint.missed.iter_mut().find(|missed| missed.guid == guid) else { return 0 };
        missed.tries = missed.tries.saturating_add(1);
        self.pauses.insert(guid.to_owned(), now.plus(pause(self.every, missed.tries)));
        missed.tries
    }

    /// This one is in the log.
    pub fn taken_in(&mut self, guid: &str) {
        self.checkpoint.missed.retain(|missed| missed.guid != guid);
        self.pauses.remove(guid);
    }

    /// How many are missing, and after how many of these nobody goes any more.
    pub fn missing(&self) -> (usize, usize) {
        let given_up = self.checkpoint.missed.iter().filter(|missed| missed.tries >= MOST_TRIES).count();
        (self.checkpoint.missed.len(), given_up)
    }
}

/// How long what was asked for is given to come: two looks at first, and twice as long each time.
fn pause(every: Duration, tries: u32) -> Duration {
    every.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST_PAUSE)
}

#[cfg(test)]
#[path = "chase_tests.rs"]
mod tests;
