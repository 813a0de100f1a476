//! What the store in memory does for retention.

use pointsman_actors::dead_letter::letter::LetterId;
use pointsman_actors::ids::EventId;
use pointsman_actors::retention::dossier::{Dossier, Purge, Stretch};
use pointsman_actors::run::{RunHead, RunRef, StoredRun};
use pointsman_actors::store::Answer;
use pointsman_actors::time::Timestamp;

use super::State;

impl State {
    /// Events with their runs, oldest first.
    pub(super) fn dossiers(&self, stretch: Stretch, limit: usize) -> Vec<Dossier> {
        if stretch.is_empty() {
            return Vec::new();
        }
        let after = stretch.after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let before = stretch.before.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.events.range((after, before)).take(limit).map(|(event, _)| self.dossier(*event)).collect()
    }

    fn dossier(&self, event: EventId) -> Dossier {
        let runs = self.runs_of(event);
        let rows = 1 + runs.len() + runs.iter().filter_map(|run| self.runs.get(run)).map(rows_of).sum::<usize>();
        Dossier { event, over_since: self.over_since(event, runs), rows }
    }

    /// An event goes with all its runs, if none of them has begun again.
    pub(super) fn purge(&mut self, purge: Purge) -> Answer {
        let Purge { event, over_since } = purge;
        let still_over = self.over_since(event, self.runs_of(event)).is_some_and(|since| since <= over_since);
        let Some(record) = self.events.get(&event).filter(|_| still_over) else { return Answer::Stale };
        let runs = self.runs_of_event.remove(&event).unwrap_or_default();
        let (bytes, dead_since) = (record.bytes().len(), record.fate().ok().and_then(|fate| fate.dead_since()));
        self.counts.purged(bytes, runs.len());
        self.letter_moved(LetterId::Event(event), dead_since, None);
        self.events.remove(&event);
        for run in runs {
            let head = self.runs.remove(&run).map(|run| run.head);
            self.letter_moved(LetterId::Run(run.id), head.as_ref().and_then(RunHead::dead_since), None);
            self.run_ids.remove(&run.id);
            self.waits.forget_run(run.id, head.map_or(0, |head| head.revision));
        }
        self.count_waits();
        Answer::Applied
    }

    fn runs_of(&self, event: EventId) -> &[RunRef] {
        self.runs_of_event.get(&event).map(Vec::as_slice).unwrap_or_default()
    }

    fn over_since(&self, event: EventId, runs: &[RunRef]) -> Option<Timestamp> {
        if self.pending.contains_key(&event) {
            return None;
        }
        let ends = runs.iter().map(|run| self.runs.get(run)?.head.over_since());
        let wanted = self.events.get(&event)?.wanted_until().ok()?.unwrap_or_default();
        ends.chain([Some(event.at()), Some(wanted)]).collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

fn rows_of(run: &StoredRun) -> usize {
    run.journal.len()
}
