//! What a store counts. Every number is durable, and part of the commit that it counts.

use serde::Serialize;

use crate::run::{RunHead, RunStatus};
use crate::time::Timestamp;
use crate::wait::record::WaitRecord;

/// What the store has counted. Every number is durable and part of the commit that it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Events in the log.
    pub events: u64,
    /// Deliveries that were an event already.
    pub redeliveries: u64,
    /// Events that were stored with the verdict `duplicate`.
    pub duplicates: u64,
    /// Events that wait to be routed.
    pub pending: u64,
    /// Bytes of all records of events.
    pub bytes: u64,
    /// Records that were found damaged and set aside.
    pub damaged: u64,
    /// Batches that were committed.
    pub commits: u64,
    /// Runs that were started.
    pub runs: u64,
    /// Runs that have not begun.
    pub queued: u64,
    /// Runs that have begun and are not over.
    pub active: u64,
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed or ran out of time.
    pub failed: u64,
    /// Runs that were superseded or cancelled.
    pub dropped: u64,
    /// Milliseconds from start to end of all runs that succeeded or failed, declared delays apart.
    pub run_ms: u64,
    /// Milliseconds that these spent in declared delays.
    pub delayed_ms: u64,
    /// Waits that can be resolved.
    pub open_waits: u64,
    /// Waits that were resolved.
    pub resolved_waits: u64,
    /// Events that were removed because they were old or too many.
    pub purged_events: u64,
    /// Runs that were removed with them. They stay counted by how they ended.
    pub purged_runs: u64,
    /// Runs and events that failed for good, and of which something may still be wanted.
    pub dead_letters: u64,
    /// Those of them that wait to be redriven.
    pub redrives: u64,
    /// Dead letters that were begun again.
    pub redriven: u64,
    /// Dead letters of which nothing more was wanted.
    pub dismissed: u64,
}

impl Counts {
    /// A run was started.
    pub fn run_started(&mut self) {
        self.runs += 1;
        self.queued += 1;
    }

    /// A run went from one status to another.
    pub fn run_moved(&mut self, from: &RunHead, to: &RunHead, started_at: Timestamp) {
        let place = self.of(from.status);
        *place = place.saturating_sub(1);
        *self.of(to.status) += 1;
        self.letter_of_run_moved(from, to);
        if from.status.is_end() && to.status.is_end() {
            // A word about one that is over makes it no longer.
            return;
        }
        // A run that is begun again is no longer one that has ended.
        let (took, delayed) = time_taken(from, started_at);
        self.run_ms = self.run_ms.saturating_sub(took);
        self.delayed_ms = self.delayed_ms.saturating_sub(delayed);
        let (took, delayed) = time_taken(to, started_at);
        self.run_ms = self.run_ms.saturating_add(took);
        self.delayed_ms = self.delayed_ms.saturating_add(delayed);
    }

    /// A wait was put in place of what was there before.
    pub fn wait_put(&mut self, before: Option<&WaitRecord>, after: &WaitRecord) {
        if let Some(before) = before {
            let place = if before.is_open() { &mut self.open_waits } else { &mut self.resolved_waits };
            *place = place.saturating_sub(1);
        }
        *if after.is_open() { &mut self.open_waits } else { &mut self.resolved_waits } += 1;
    }

    /// An event with a record of so many bytes was removed with so many runs.
    pub fn purged(&mut self, bytes: usize, runs: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.purged_events += 1;
        self.purged_runs += u64::try_from(runs).unwrap_or(u64::MAX);
    }

    fn of(&mut self, status: RunStatus) -> &mut u64 {
        match status {
            RunStatus::Queued => &mut self.queued,
            RunStatus::Running
            | RunStatus::Waiting
            | RunStatus::Paused
            | RunStatus::NeedsDecision
            | RunStatus::Blocked
            | RunStatus::Stuck => &mut self.active,
            RunStatus::Succeeded => &mut self.succeeded,
            RunStatus::Failed | RunStatus::TimedOut => &mut self.failed,
            RunStatus::Cancelled | RunStatus::Superseded => &mut self.dropped,
        }
    }
}

/// Milliseconds that a run took that has succeeded or failed, declared delays apart, and those of them.
fn time_taken(head: &RunHead, started_at: Timestamp) -> (u64, u64) {
    if !matches!(head.status, RunStatus::Succeeded | RunStatus::Failed | RunStatus::TimedOut) {
        return (0, 0);
    }
    let took = u64::try_from(head.updated_at.since(started_at).as_millis()).unwrap_or(u64::MAX);
    (took.saturating_sub(head.delayed_ms), head.delayed_ms)
}
