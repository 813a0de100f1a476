//! The product's store in memory, at whose commits something happens on cue.

use std::sync::{Arc, Mutex, PoisonError};

use pointsman::stores::memory::MemoryStore;
use pointsman_actors::catch_up::checkpoint::Checkpoint;
use pointsman_actors::circuit_breaker::circuit::BreakerRecord;
use pointsman_actors::dead_letter::letter::{Letter, LetterId, LetterQuery, Place};
use pointsman_actors::event::Event;
use pointsman_actors::ids::{EventId, RunId, WaitId};
use pointsman_actors::retention::dossier::{Dossier, Stretch};
use pointsman_actors::run::{Entry, RunHead, RunRecord, RunRef, StoredRun};
use pointsman_actors::store::{
    Answer, Claim, Counts, Durability, EventQuery, Later, Lease, OpenRun, Page, RunQuery, Store, StoreError,
    Transition, WaitCursor, WaitQuery,
};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::record::WaitRecord;
use tokio::sync::Notify;

/// What becomes of a commit on cue.
#[derive(Clone)]
pub enum Fate {
    /// Nobody is told that it is there.
    FailsAndIsThere,
    /// It is not there.
    Fails,
    /// It comes when it is told to.
    When(Arc<Notify>),
}

type Cue = (Box<dyn Fn(&Entry) -> bool + Send>, Fate);

/// The store.
pub struct CuedStore {
    inner: Arc<MemoryStore>,
    cues: Mutex<Vec<Cue>>,
}

impl CuedStore {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { inner: MemoryStore::new(), cues: Mutex::default() })
    }

    /// The next commit that adds such an entry to a journal has this fate.
    pub fn cue(&self, entry: impl Fn(&Entry) -> bool + Send + 'static, fate: Fate) {
        self.cues().push((Box::new(entry), fate));
    }

    /// How many cues have not come yet.
    pub fn to_come(&self) -> usize {
        self.cues().len()
    }

    fn cues(&self) -> std::sync::MutexGuard<'_, Vec<Cue>> {
        self.cues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate_of(&self, transitions: &[Transition]) -> Option<Fate> {
        let entries = transitions.iter().filter_map(|transition| match transition {
            Transition::Advance { entries, .. } => Some(entries),
            _ => None,
        });
        let entries: Vec<&Entry> = entries.flatten().collect();
        let mut cues = self.cues();
        let place = cues.iter().position(|(is_such, _)| entries.iter().any(|entry| is_such(entry)))?;
        Some(cues.remove(place).1)
    }
}

impl Store for CuedStore {
    fn commit(&self, transitions: Vec<Transition>) -> Later<Vec<Answer>> {
        let (inner, fate) = (Arc::clone(&self.inner), self.fate_of(&transitions));
        let failed = || Err(StoreError::Unavailable("on cue".to_owned()));
        Box::pin(async move {
            match fate {
                Some(Fate::Fails) => return failed(),
                Some(Fate::FailsAndIsThere) => return inner.commit(transitions).await.and_then(|_| failed()),
                Some(Fate::When(told)) => told.notified().await,
                None => {}
            }
            inner.commit(transitions).await
        })
    }

    fn recover(&self) -> Later<()> {
        self.inner.recover()
    }

    fn event(&self, id: EventId) -> Later<Option<Event>> {
        self.inner.event(id)
    }

    fn events(&self, query: EventQuery) -> Later<Page<Event, EventId>> {
        self.inner.events(query)
    }

    fn take_pending(&self, limit: usize, now: Timestamp, until: Timestamp) -> Later<Vec<(Event, Lease)>> {
        self.inner.take_pending(limit, now, until)
    }

    fn run(&self, id: RunId) -> Later<Option<StoredRun>> {
        self.inner.run(id)
    }

    fn runs(&self, query: RunQuery) -> Later<Page<(RunRecord, RunHead), RunRef>> {
        self.inner.runs(query)
    }

    fn open_runs(&self, after: Option<RunRef>, limit: usize) -> Later<Vec<OpenRun>> {
        self.inner.open_runs(after, limit)
    }

    fn wait(&self, id: WaitId) -> Later<Option<WaitRecord>> {
        self.inner.wait(id)
    }

    fn waits(&self, query: WaitQuery) -> Later<Page<WaitRecord, WaitCursor>> {
        self.inner.waits(query)
    }

    fn breakers(&self) -> Later<Vec<BreakerRecord>> {
        self.inner.breakers()
    }

    fn first_events(&self, claims: Vec<Claim>, at: Timestamp) -> Later<Vec<Option<EventId>>> {
        self.inner.first_events(claims, at)
    }

    fn checkpoints(&self) -> Later<Vec<Checkpoint>> {
        self.inner.checkpoints()
    }

    fn definition(&self, hash: &str) -> Later<Option<String>> {
        self.inner.definition(hash)
    }

    fn dossiers(&self, stretch: Stretch, limit: usize) -> Later<Vec<Dossier>> {
        self.inner.dossiers(stretch, limit)
    }

    fn dead_letters(&self, query: LetterQuery) -> Later<Page<Letter, Place>> {
        self.inner.dead_letters(query)
    }

    fn dead_letter(&self, id: LetterId) -> Later<Option<Letter>> {
        self.inner.dead_letter(id)
    }

    fn redrives(&self, after: Option<Place>, limit: usize) -> Later<Page<Place, Place>> {
        self.inner.redrives(after, limit)
    }

    fn counts(&self) -> Counts {
        self.inner.counts()
    }

    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn name(&self) -> &'static str {
        "cued"
    }
}
