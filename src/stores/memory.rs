//! A store in memory: for tests, and for whoever does not mind losing everything with the process.

#[cfg(test)]
mod leases;
mod letters;
mod retention;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pointsman_actors::catch_up::checkpoint::Checkpoint;
use pointsman_actors::circuit_breaker::circuit::BreakerRecord;
use pointsman_actors::dead_letter::letter::{Letter, LetterId, LetterQuery, Mark, Place};
use pointsman_actors::deduplicator::fingerprint::{HookKey, Key};
use pointsman_actors::event::{Event, Verdict};
use pointsman_actors::event_log::record::Record;
use pointsman_actors::ids::{EventId, RunId, WaitId};
use pointsman_actors::retention::dossier::{Dossier, Stretch};
use pointsman_actors::run::{Entry, RunHead, RunRecord, RunRef, StoredRun};
use pointsman_actors::store::{
    Answer, Claim, Counts, Durability, EventQuery, Intake, Later, Lease, OpenRun, Page, RunQuery, Store, StoreError,
    Transition, WaitCursor, WaitQuery,
};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::desk::{self, Called, Met, Shelves};
use pointsman_actors::wait::memory::MemoryShelves;
use pointsman_actors::wait::record::{WaitChange, WaitRecord, WaitRef};

/// The store.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Clone, Default)]
struct State {
    events: BTreeMap<EventId, Record>,
    claims: HashMap<Key, FirstClaim>,
    /// Expired claims are looked for when there are so many.
    claims_to_clean: usize,
    pending: BTreeMap<EventId, Lease>,
    runs: BTreeMap<RunRef, StoredRun>,
    run_ids: HashMap<RunId, RunRef>,
    runs_of_event: HashMap<EventId, Vec<RunRef>>,
    definitions: HashMap<String, String>,
    waits: MemoryShelves,
    breakers: BTreeMap<String, BreakerRecord>,
    checkpoints: BTreeMap<String, Checkpoint>,
    letters: BTreeMap<Place, Mark>,
    counts: Counts,
}

/// Fewer claims than this are not worth a look.
const FEWEST_TO_CLEAN: usize = 65_536;

#[derive(Clone, Copy)]
struct FirstClaim {
    event: EventId,
    at: Timestamp,
    hook: Option<HookKey>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn commit(&self, transitions: Vec<Transition>) -> Later<Vec<Answer>> {
        let mut state = self.state();
        state.counts.commits += 1;
        let answers = transitions.into_iter().map(|transition| state.apply(transition)).collect();
        now(answers)
    }

    fn recover(&self) -> Later<()> {
        now(Ok(()))
    }

    fn event(&self, id: EventId) -> Later<Option<Event>> {
        now(self.state().events.get(&id).map(|record| open(id, record, Record::open)).transpose())
    }

    fn events(&self, query: EventQuery) -> Later<Page<Event, EventId>> {
        now(self.state().page(&query))
    }

    fn take_pending(&self, limit: usize, at: Timestamp, until: Timestamp) -> Later<Vec<(Event, Lease)>> {
        now(self.state().take_pending(limit, at, until))
    }

    fn run(&self, id: RunId) -> Later<Option<StoredRun>> {
        let state = self.state();
        let run = state.run_ids.get(&id).and_then(|reference| state.runs.get(reference));
        now(Ok(run.cloned()))
    }

    fn runs(&self, query: RunQuery) -> Later<Page<(RunRecord, RunHead), RunRef>> {
        now(Ok(self.state().runs_page(&query)))
    }

    fn open_runs(&self, after: Option<RunRef>, limit: usize) -> Later<Vec<OpenRun>> {
        now(Ok(self.state().open_runs(after, limit)))
    }

    fn wait(&self, id: WaitId) -> Later<Option<WaitRecord>> {
        let Ok(found) = self.state().waits.wait(id);
        now(Ok(found))
    }

    fn waits(&self, query: WaitQuery) -> Later<Page<WaitRecord, WaitCursor>> {
        now(Ok(self.state().waits_page(&query)))
    }

    fn breakers(&self) -> Later<Vec<BreakerRecord>> {
        now(Ok(self.state().breakers.values().cloned().collect()))
    }

    fn first_events(&self, claims: Vec<Claim>, at: Timestamp) -> Later<Vec<Option<EventId>>> {
        let state = self.state();
        now(Ok(claims.iter().map(|claim| state.first_of(claim, at).map(|first| first.event)).collect()))
    }

    fn checkpoints(&self) -> Later<Vec<Checkpoint>> {
        now(Ok(self.state().checkpoints.values().cloned().collect()))
    }

    fn definition(&self, hash: &str) -> Later<Option<String>> {
        now(Ok(self.state().definitions.get(hash).cloned()))
    }

    fn dossiers(&self, stretch: Stretch, limit: usize) -> Later<Vec<Dossier>> {
        now(Ok(self.state().dossiers(stretch, limit)))
    }

    fn dead_letters(&self, query: LetterQuery) -> Later<Page<Letter, Place>> {
        now(self.state().letters_page(&query))
    }

    fn dead_letter(&self, id: LetterId) -> Later<Option<Letter>> {
        now(self.state().letter(id))
    }

    fn redrives(&self, after: Option<Place>, limit: usize) -> Later<Page<Place, Place>> {
        now(Ok(self.state().redrives(after, limit)))
    }

    fn counts(&self) -> Counts {
        self.state().counts
    }

    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

fn completed(waits: Vec<WaitRef>, otherwise: Answer) -> Answer {
    if waits.is_empty() { otherwise } else { Answer::Completed { waits } }
}

fn now<T: Send + 'static>(result: Result<T, StoreError>) -> Later<T> {
    Box::pin(std::future::ready(result))
}

fn open(
    id: EventId,
    record: &Record,
    how: fn(&Record) -> Result<Event, pointsman_actors::event_log::record::Damage>,
) -> Result<Event, StoreError> {
    how(record).map_err(|damage| StoreError::Damaged { id: id.to_string(), reason: damage.to_string() })
}

impl State {
    fn apply(&mut self, transition: Transition) -> Result<Answer, StoreError> {
        match transition {
            Transition::Intake(intake) => self.take_in(*intake),
            Transition::Settle { event, lease, verdict, runs } => {
                let answer = self.settle(event, lease, &verdict)?;
                if answer == Answer::Applied {
                    runs.into_iter().for_each(|run| self.start(run));
                }
                Ok(answer)
            }
            Transition::Advance { run, revision, entries, head, waits, starts } => {
                let answer = self.advance((run, revision), entries, head, &waits)?;
                if answer != Answer::Stale {
                    starts.into_iter().for_each(|run| self.start(run));
                }
                Ok(answer)
            }
            Transition::Change { event, at, change } => self.change(event, at, change),
            Transition::Mark { letter, change } => Ok(self.mark(letter, &change)),
            Transition::KeepBreaker(record) => {
                self.breakers.insert(record.name.clone(), record);
                Ok(Answer::Applied)
            }
            Transition::KeepCheckpoint(checkpoint) => {
                self.checkpoints.insert(checkpoint.hook.clone(), checkpoint);
                Ok(Answer::Applied)
            }
            Transition::KeepDefinition { hash, content } => {
                self.definitions.insert(hash, content);
                Ok(Answer::Applied)
            }
            Transition::Purge(purge) => Ok(self.purge(purge)),
        }
    }

    fn start(&mut self, record: RunRecord) {
        if self.run_ids.contains_key(&record.id) {
            return;
        }
        let reference = record.reference();
        self.run_ids.insert(record.id, reference);
        self.runs_of_event.entry(record.event).or_default().push(reference);
        let head = RunHead::of(&record);
        self.runs.insert(reference, StoredRun { record, head, journal: Vec::new() });
        self.counts.run_started();
    }

    fn advance(
        &mut self,
        (run, revision): (RunRef, u32),
        entries: Vec<Entry>,
        head: RunHead,
        waits: &[WaitChange],
    ) -> Result<Answer, StoreError> {
        let Ok(waits_hold) = desk::holds(&mut self.waits, waits);
        let Some(stored) = self.runs.get_mut(&run).filter(|stored| waits_hold && stored.head.revision == revision)
        else {
            return Ok(Answer::Stale);
        };
        self.counts.run_moved(&stored.head, &head, run.started_at);
        let (before, after) = (stored.head.dead_since(), head.dead_since());
        let at = head.updated_at;
        stored.journal.extend(entries);
        stored.head = head;
        self.letter_moved(LetterId::Run(run.id), before, after);
        let Ok(met) = desk::change(&mut self.waits, waits, at);
        for Met { wait, event } in &met {
            if let Some(record) = event.and_then(|event| self.events.get_mut(&event)) {
                *record = record.map_verdict(|verdict| verdict.completing(&[wait.wait])).map_err(broken)?;
            }
        }
        self.count_waits();
        Ok(completed(met.into_iter().map(|met| met.wait).collect(), Answer::Applied))
    }

    fn count_waits(&mut self) {
        (self.counts.open_waits, self.counts.resolved_waits) = self.waits.numbers();
    }

    fn waits_page(&self, query: &WaitQuery) -> Page<WaitRecord, WaitCursor> {
        let mut matching: Vec<&WaitRecord> = self.waits.waits().filter(|wait| query.matches(wait)).collect();
        matching.sort_by_key(|wait| std::cmp::Reverse((wait.reserved_at, wait.id)));
        let items: Vec<WaitRecord> = matching.iter().take(query.limit).map(|wait| WaitRecord::clone(wait)).collect();
        let more = matching.len() > items.len();
        let next = items.last().filter(|_| more).map(|last| (last.reserved_at, last.id));
        Page { items, next }
    }

    fn runs_page(&self, query: &RunQuery) -> Page<(RunRecord, RunHead), RunRef> {
        let mut items = Vec::new();
        for stored in self.runs.values().rev() {
            if !query.matches(&stored.record, &stored.head) {
                continue;
            }
            if items.len() == query.limit {
                let next = items.last().map(|(last, _): &(RunRecord, RunHead)| last.reference());
                return Page { items, next };
            }
            items.push((stored.record.clone(), stored.head.clone()));
        }
        Page { items, next: None }
    }

    fn open_runs(&self, after: Option<RunRef>, limit: usize) -> Vec<OpenRun> {
        let open = self
            .runs
            .iter()
            .filter(|(run, stored)| !stored.head.status.is_end() && after.is_none_or(|after| **run > after));
        open.take(limit).map(|(_, stored)| OpenRun::new(&stored.record, &stored.head)).collect()
    }

    fn take_in(&mut self, intake: Intake) -> Result<Answer, StoreError> {
        if let Some(first) = self.first_of(&intake.delivery, intake.at) {
            self.counts.redeliveries += 1;
            return Ok(Answer::Redelivered { of: first.event });
        }
        let twin = intake.occurrence.and_then(|occurrence| {
            let first = self.first_of(&occurrence.claim, intake.at)?;
            (occurrence.hook.is_none() || occurrence.hook != first.hook).then_some(first.event)
        });
        let hook = intake.occurrence.and_then(|occurrence| occurrence.hook);
        let claim = FirstClaim { event: intake.id, at: intake.at, hook };
        self.claims.insert(intake.delivery.key, claim);
        self.forget_expired(&intake);
        if let Some(of) = twin {
            self.store(intake.id, intake.record.with_verdict(&Verdict::Duplicate { of }).map_err(broken)?);
            self.counts.duplicates += 1;
            return Ok(Answer::Duplicate { of });
        }
        if let Some(occurrence) = intake.occurrence
            && self.first_of(&occurrence.claim, intake.at).is_none()
        {
            self.claims.insert(occurrence.claim.key, claim);
        }
        if matches!(intake.verdict, Verdict::Pending { .. }) {
            self.pending.insert(intake.id, Lease::default());
        }
        intake.runs.into_iter().for_each(|run| self.start(run));
        let mut called = Called::default();
        if let Some(callback) = &intake.callback {
            self.waits.forget_expired(intake.at);
            let Ok(heard) = desk::call(&mut self.waits, intake.id, callback);
            called = heard;
            self.count_waits();
        }
        let changes = called != Called::default();
        let with_waits = || intake.record.map_verdict(|verdict| verdict.called(&called));
        let record = if changes { with_waits().map_err(broken)? } else { intake.record };
        self.store(intake.id, record);
        Ok(completed(called.completed, Answer::Stored))
    }

    fn first_of(&self, claim: &Claim, at: Timestamp) -> Option<FirstClaim> {
        self.claims.get(&claim.key).copied().filter(|first| at.since(first.at) < claim.window)
    }

    /// Claims that hold no more go whenever there are twice as many as there were after the last time.
    fn forget_expired(&mut self, intake: &Intake) {
        if self.claims.len() < self.claims_to_clean {
            return;
        }
        let windows = [Some(intake.delivery), intake.occurrence.map(|occurrence| occurrence.claim)];
        let longest = windows.into_iter().flatten().map(|claim| claim.window).max().unwrap_or_default();
        self.claims.retain(|_, first| intake.at.since(first.at) < longest);
        self.claims_to_clean = (2 * self.claims.len()).max(FEWEST_TO_CLEAN);
    }

    fn store(&mut self, id: EventId, record: Record) {
        self.counts.events += 1;
        self.counts.bytes += u64::try_from(record.bytes().len()).unwrap_or(u64::MAX);
        self.events.insert(id, record);
        self.counts.pending = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
    }

    fn settle(&mut self, event: EventId, lease: Lease, verdict: &Verdict) -> Result<Answer, StoreError> {
        if self.pending.get(&event).is_none_or(|held| held.epoch != lease.epoch) {
            return Ok(Answer::Stale);
        }
        if let Some(record) = self.events.get_mut(&event) {
            let settled = |before: Verdict| verdict.clone().completing(before.waits());
            *record = record.map_verdict(settled).map_err(broken)?;
        }
        if matches!(verdict, Verdict::Pending { .. }) {
            self.pending.insert(event, lease);
        } else {
            self.pending.remove(&event);
        }
        self.counts.pending = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        Ok(Answer::Applied)
    }

    fn take_pending(
        &mut self,
        limit: usize,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Event, Lease)>, StoreError> {
        let due: Vec<EventId> =
            self.pending.iter().filter(|(_, held)| held.until <= at).map(|(id, _)| *id).take(limit).collect();
        let mut taken = Vec::new();
        for id in due {
            let Some((held, record)) = self.pending.get_mut(&id).zip(self.events.get(&id)) else { continue };
            *held = Lease { epoch: held.epoch + 1, until };
            taken.push((open(id, record, Record::open)?, *held));
        }
        Ok(taken)
    }

    fn page(&self, query: &EventQuery) -> Result<Page<Event, EventId>, StoreError> {
        let newest_first = self.events.iter().rev();
        let in_range = newest_first.filter(|(id, _)| query.in_range(**id));
        let mut items = Vec::new();
        for (id, record) in in_range {
            let event = open(*id, record, Record::open_meta)?;
            if !query.matches(&event) {
                continue;
            }
            if items.len() == query.limit {
                let next = items.last().map(|last: &Event| last.meta.id);
                return Ok(Page { items, next });
            }
            items.push(event);
        }
        Ok(Page { items, next: None })
    }
}

fn broken(damage: pointsman_actors::event_log::record::Damage) -> StoreError {
    StoreError::Unavailable(damage.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::stores::contract::contract!((MemoryStore::new() as Arc<dyn Store>, ()));
}
