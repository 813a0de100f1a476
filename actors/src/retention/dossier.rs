//! What retention sees of a store: each event together with its runs, which stay or go as one.
//!
//! A part of the vocabulary of [`crate::store`]; nothing is decided here.

use crate::ids::EventId;
use crate::time::Timestamp;

/// An event with all runs that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dossier {
    /// The event.
    pub event: EventId,
    /// Since when nothing more happens to it: when it was received or, if that is later, when the last
    /// entry of its runs was written, or until when it is kept for runs that come to wait for it. Absent while something may: it is pending, a run is not over, an
    /// attempt is in doubt. Absent as well when a record of it is damaged or of a newer version: that is
    /// for people to decide about.
    pub over_since: Option<Timestamp>,
    /// Rows that go with it.
    pub rows: usize,
}

/// Asks for an event to be removed with all its runs. Nothing happens unless the event is there and not
/// pending, and all its runs are over since this time at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The event.
    pub event: EventId,
    /// What [`Dossier::over_since`] said when it was looked at. What has begun again since then stays.
    pub over_since: Timestamp,
}

/// A stretch of the log: the events between two that are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Only those younger than this one.
    pub after: Option<EventId>,
    /// Only those older than this one.
    pub before: Option<EventId>,
}

impl Stretch {
    /// Whether no event can lie in it.
    pub fn is_empty(&self) -> bool {
        self.after.zip(self.before).is_some_and(|(after, before)| after >= before)
    }
}
