//! What happens to an event after its verdict, in a batch.

use pointsman_actors::dead_letter::letter::LetterId;
use pointsman_actors::event::fate::Change;
use pointsman_actors::event::{Fate, Verdict};
use pointsman_actors::event_log::record::Record;
use pointsman_actors::ids::EventId;
use pointsman_actors::store::{Answer, Lease};
use pointsman_actors::time::Timestamp;

use super::{BatchBuilder, BatchError};

impl BatchBuilder<'_> {
    /// Changes the fate of an event, if that can be, with its places among the pending ones and the dead letters.
    pub(super) fn change(&mut self, event: EventId, at: Timestamp, change: &Change) -> Result<Answer, BatchError> {
        let held = self.lease(event)?;
        if matches!(change, Change::Failed { lease, .. } if held.is_none_or(|held| held.epoch != lease.epoch)) {
            return Ok(Answer::Stale);
        }
        let Some(record) = self.record(event)? else { return Ok(Answer::Stale) };
        // What is damaged is named by whoever reads it; the others of the batch go on.
        let Ok(before) = record.fate() else { return Ok(Answer::Stale) };
        let Some(after) = before.clone().after(at, change) else { return Ok(Answer::Stale) };
        let Ok(changed) = record.with_fate(&after) else { return Ok(Answer::Stale) };
        self.replace(event, &record, changed);
        self.hold(event, held, change, &after);
        self.letters.moved(LetterId::Event(event), (before.dead_since(), after.dead_since()), &mut self.counts)?;
        match change {
            Change::Redrive => self.counts.redriven += 1,
            Change::Dismiss { .. } => self.counts.dismissed += 1,
            Change::Replay { runs, .. } => self.start(runs)?,
            Change::Failed { .. } | Change::Hurry => {}
        }
        Ok(Answer::Applied)
    }

    /// Its place among the pending events.
    fn hold(&mut self, event: EventId, held: Option<Lease>, change: &Change, after: &Fate) {
        let is_pending = matches!(after.verdict, Verdict::Pending { .. });
        let lease = held.unwrap_or_default();
        let lease = match change {
            Change::Failed { lease, .. } => *lease,
            Change::Hurry => Lease { until: Timestamp::default(), ..lease },
            // A lease of its former life must not fit.
            Change::Redrive => Lease { epoch: after.epoch(), until: Timestamp::default() },
            Change::Dismiss { .. } | Change::Replay { .. } => lease,
        };
        match (held.is_some(), is_pending) {
            (false, false) => return,
            (false, true) => self.counts.pending += 1,
            (true, false) => self.counts.pending = self.counts.pending.saturating_sub(1),
            (true, true) => {}
        }
        self.set_lease(event, is_pending.then_some(lease));
    }

    pub(super) fn record(&self, event: EventId) -> Result<Option<Record>, BatchError> {
        Ok(match self.records.get(&event) {
            Some(record) => Some(record.clone()),
            None => self.trees.events.get(event.bytes())?.map(|row| Record::from_bytes(row.to_vec().into())),
        })
    }

    pub(super) fn replace(&mut self, event: EventId, before: &Record, after: Record) {
        self.counts.bytes += after.bytes().len() as u64;
        self.counts.bytes -= before.bytes().len() as u64;
        self.events.insert(&event.bytes()[..], &after.bytes()[..]);
        self.records.insert(event, after);
    }
}
