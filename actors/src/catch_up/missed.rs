//! Which deliveries failed, from the pages in which a provider lists its attempts. Pure.
//!
//! Rule: docs.github.com, "Handling failed webhook deliveries": attempts are listed newest first, those of one
//! delivery have one GUID, and the last three days are kept. Any attempt that went well settles its delivery,
//! wherever it stands.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::time::Timestamp;

/// Attempts may be listed a while after they were made: so far before what is settled a walk goes all the same.
pub const OVERLAP: Duration = Duration::from_secs(15 * 60);

/// An attempt to deliver something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its own number.
    pub id: u64,
    /// Which delivery it was an attempt at.
    pub guid: String,
    /// When it was made, by the provider's clock.
    pub at: Timestamp,
    /// Whether somebody had asked for it; false for the first attempt at a delivery.
    pub redelivery: bool,
    /// Whether it went well.
    pub delivered: bool,
}

/// A walk through the attempts, from the newest one back.
#[derive(Debug)]
pub struct Walk {
    from: Timestamp,
    cursor: Option<String>,
    groups: HashMap<String, Group>,
    newest: Option<Timestamp>,
}

/// The attempts at one delivery.
#[derive(Debug)]
struct Group {
    last: (Timestamp, u64),
    first_at: Option<Timestamp>,
    delivered: bool,
}

/// What a walk came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Deliveries of which no attempt went well, the oldest first.
    pub failed: Vec<Failed>,
    /// Those of which one did.
    pub delivered: HashSet<String>,
    /// When the newest attempt was made.
    pub newest: Option<Timestamp>,
}

/// A delivery of which no attempt went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which.
    pub guid: String,
    /// The newest attempt at it.
    pub attempt: u64,
    /// When the first attempt was made; absent when that lies beyond the walk.
    pub first_at: Option<Timestamp>,
}

impl Walk {
    /// A walk back to what is settled until `settled`, and not further than `horizon`.
    pub fn new(settled: Option<Timestamp>, horizon: Timestamp) -> Self {
        let from = settled.map_or(horizon, |settled| settled.minus(OVERLAP).max(horizon));
        Self { from, cursor: None, groups: HashMap::new(), newest: None }
    }

    /// Where it goes on.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Takes in a page, behind which `next` is. Says whether that must be looked at, too.
    pub fn take(&mut self, page: Vec<Attempt>, next: Option<String>) -> bool {
        let reached = page.last().is_some_and(|oldest| oldest.at < self.from);
        page.into_iter().for_each(|attempt| self.note(attempt));
        self.cursor = next.filter(|_| !reached);
        self.cursor.is_some()
    }

    fn note(&mut self, attempt: Attempt) {
        let Attempt { id, guid, at, redelivery, delivered } = attempt;
        self.newest = self.newest.max(Some(at));
        let group =
            self.groups.entry(guid).or_insert_with(|| Group { last: (at, id), first_at: None, delivered: false });
        group.last = group.last.max((at, id));
        group.delivered |= delivered;
        if !redelivery {
            group.first_at = Some(at);
        }
    }

    /// What it came to.
    pub fn finish(self) -> Walked {
        let mut walked = Walked { newest: self.newest, ..Walked::default() };
        for (guid, Group { last: (_, attempt), first_at, delivered }) in self.groups {
            if delivered {
                walked.delivered.insert(guid);
            } else {
                walked.failed.push(Failed { guid, attempt, first_at });
            }
        }
        walked.failed.sort_by_key(|failed| (failed.first_at, failed.attempt));
        walked
    }
}
