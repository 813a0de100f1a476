//! What goes, and when. Pure: the age and the number that are allowed, the time, and what a page of the
//! log holds, give what goes of it and where to look next.
//!
//! A [`Walk`] goes through the log from its oldest event on and never turns round: what has to stay is
//! passed over, and not looked at again before the next walk begins at the oldest event. By then all that
//! lies behind is what was passed over, so a walk costs as much as there is old that cannot go.

use std::time::Duration;

use super::dossier::{Dossier, Purge, Stretch};
use crate::ids::EventId;
use crate::time::Timestamp;

/// How long what is finished is kept, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// An event goes when nothing has happened to it and its runs for so long.
    pub keep: Duration,
    /// When there are more events than this, the oldest that are finished go, however young they are.
    pub most: Option<u64>,
}

/// A walk begins so many times within the time that things are kept …
const WALKS: u32 = 32;

/// … but so often at least.
const LONGEST_LAP: Duration = Duration::from_secs(3_600);

/// While there are too many events, the next walk begins after this, doubled with every one in vain.
const SHORTEST_LAP: Duration = Duration::from_secs(10);

/// Most rows that go at once: a store holds its locks while it removes them, and readers wait. One
/// dossier may have more, and goes whole.
const MOST_ROWS: usize = 2_048;

/// A walk through the log.
pub struct Walk {
    policy: Policy,
    /// It has come to this event.
    after: Option<EventId>,
    began: Timestamp,
    /// Whether it has come to the end of what may go. It goes on when that moves.
    at_end: bool,
    /// Whether anything of it went.
    found: bool,
    /// Walks in a row that found nothing although there were too many events.
    in_vain: u32,
}

impl Policy {
    /// From one walk to the next, and so much later than allowed something may go.
    fn lap(&self) -> Duration {
        (self.keep / WALKS).min(LONGEST_LAP)
    }

    /// Events before this may be old enough. They are looked at a lap later than that, so that of most
    /// their runs, which end after the event came, are old enough by then too.
    fn horizon(&self, now: Timestamp) -> EventId {
        EventId::first_at(now.minus(self.keep).minus(self.lap()))
    }

    /// How many events are too many.
    fn excess(&self, events: u64) -> u64 {
        self.most.map_or(0, |most| events.saturating_sub(most))
    }
}

impl Walk {
    /// A walk that begins with the first look.
    pub fn new(policy: Policy) -> Self {
        Self { policy, after: None, began: Timestamp::default(), at_end: true, found: true, in_vain: 0 }
    }

    /// The stretch to look at now, when there are so many `events`.
    pub fn stretch(&mut self, now: Timestamp, events: u64) -> Stretch {
        let excess = self.policy.excess(events);
        // A clock that was set back begins anew.
        if self.at_end && (now < self.began || now.since(self.began) >= self.pause(excess)) {
            self.in_vain = if excess == 0 { 0 } else { self.in_vain.saturating_add(u32::from(!self.found)) };
            (self.after, self.began, self.at_end, self.found) = (None, now, false, false);
        }
        Stretch { after: self.after, before: (excess == 0).then(|| self.policy.horizon(now)) }
    }

    /// How long after its begin the next walk begins.
    fn pause(&self, excess: u64) -> Duration {
        let lap = self.policy.lap();
        if excess == 0 { lap } else { lap.min(SHORTEST_LAP.saturating_mul(1 << self.in_vain.min(16))) }
    }

    /// What goes of a page of that stretch, the oldest first. An empty page is the end of it.
    pub fn judge(&mut self, page: &[Dossier], now: Timestamp, events: u64) -> Vec<Purge> {
        self.at_end |= page.is_empty();
        let (mut excess, mut rows, horizon) = (self.policy.excess(events), 0, self.policy.horizon(now));
        let mut going = Vec::new();
        for dossier in page {
            let is_young = excess == 0 && dossier.event >= horizon;
            if is_young || rows >= MOST_ROWS {
                break;
            }
            self.after = Some(dossier.event);
            let Some(over_since) = dossier.over_since.filter(|since| *since <= now) else { continue };
            if excess > 0 || now.since(over_since) >= self.policy.keep {
                excess = excess.saturating_sub(1);
                rows += dossier.rows;
                going.push(Purge { event: dossier.event, over_since });
            }
        }
        if !going.is_empty() {
            (self.found, self.in_vain) = (true, 0);
        }
        going
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
