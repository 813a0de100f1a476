//! Runs of an event that go together: looked at while nobody waits, removed in a batch.

use pointsman_actors::event_log::sealed;
use pointsman_actors::ids::EventId;
use pointsman_actors::retention::dossier::Purge;
use pointsman_actors::run::{Entry, RunHead, RunRecord, RunRef};
use pointsman_actors::time::Timestamp;

use super::{RunRows, RunTrees, journal_key, key, run_of};
use crate::stores::sled::batch::BatchError;

/// Runs of an event that are all over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Over {
    /// Since when.
    pub since: Timestamp,
    /// The rows that they have.
    pub rows: usize,
}

/// Rows of a run beside its journal: record, head, id, and its place with the event.
const ROWS: usize = 4;

/// Looks at the runs of an event; `None` while one is not over. All that would go with them is read, so that
/// what is damaged is found here, and is at hand when it is removed.
pub fn look(trees: &RunTrees, event: EventId) -> Result<Option<Over>, BatchError> {
    let mut over = Over::default();
    for run in runs_of(trees, event)? {
        let Some(head) = trees.heads.get(key(run))? else { return Ok(None) };
        let head: RunHead = sealed::open(&head)?;
        let Some(since) = head.over_since() else { return Ok(None) };
        let Some(record) = trees.records.get(key(run))? else { return Ok(None) };
        sealed::open::<RunRecord>(&record)?;
        for entry in trees.journal.scan_prefix(key(run)).values() {
            sealed::open::<Entry>(&entry?)?;
            over.rows += 1;
        }
        over.rows += ROWS;
        over.since = over.since.max(since);
    }
    Ok(Some(over))
}

fn runs_of(trees: &RunTrees, event: EventId) -> sled::Result<Vec<RunRef>> {
    let keys = trees.of_event.scan_prefix(event.bytes()).keys();
    keys.filter_map(|key| key.map(|key| key.get(event.bytes().len()..).and_then(run_of)).transpose()).collect()
}

impl RunRows {
    /// Removes all runs of an event, if all are over since then and none begins in this batch. Gives
    /// them with their heads; `None` if they stay.
    pub fn remove_of(&mut self, trees: &RunTrees, purge: Purge) -> Result<Option<Vec<(RunRef, RunHead)>>, BatchError> {
        let Purge { event, over_since } = purge;
        if self.started_by.contains(&event) {
            return Ok(None);
        }
        let mut over = Vec::new();
        for run in runs_of(trees, event)? {
            let head = match self.head(trees, run) {
                Ok(head) => head,
                // It is named by whoever reads the run; the others of the batch go on.
                Err(BatchError::Record(_)) => None,
                Err(error) => return Err(error),
            };
            let Some(head) = head.filter(|head| head.over_since().is_some_and(|since| since <= over_since)) else {
                return Ok(None);
            };
            over.push((run, head));
        }
        for (run, head) in &over {
            self.remove(event, *run, head.revision);
        }
        Ok(Some(over))
    }

    fn remove(&mut self, event: EventId, run: RunRef, revision: u32) {
        self.touched = true;
        self.gone.insert(run);
        let key = key(run);
        self.records.remove(&key[..]);
        self.heads.remove(&key[..]);
        (0..revision).for_each(|number| self.journal.remove(journal_key(run, number)));
        self.ids.remove(&run.id.bytes()[..]);
        self.of_event.remove([&event.bytes()[..], &key[..]].concat());
    }
}
