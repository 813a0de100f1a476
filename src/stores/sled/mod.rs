//! The embedded store: sled 0.34, everything in one directory.
//!
//! Writing happens on a thread of its own, one batch after the other, each flushed before its
//! answer. Reading happens on blocking threads. What sled is known to do is handled here and nowhere
//! else: after a full disk every call fails until the database is opened anew, so all handles stand
//! behind one lock and can be replaced; a damaged file makes it panic when it opens, and a damaged
//! record is found by the record's own checksum, named, and set aside.

mod batch;
mod claims;
mod dossiers;
mod filter;
mod letters;
mod open;
mod overlay;
mod read;
mod runs;
mod sync;
mod waits;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use pointsman_actors::catch_up::checkpoint::Checkpoint;
use pointsman_actors::circuit_breaker::circuit::BreakerRecord;
use pointsman_actors::dead_letter::letter::{Letter, LetterId, LetterQuery, Place};
use pointsman_actors::event::Event;
use pointsman_actors::ids::{EventId, RunId, WaitId};
use pointsman_actors::retention::dossier::{Dossier, Stretch};
use pointsman_actors::run::{RunHead, RunRecord, RunRef, StoredRun};
use pointsman_actors::store::{
    Answer, Claim, Counts, Durability, EventQuery, Later, Lease, OpenRun, Page, RunQuery, Store, StoreError,
    Transition, WaitCursor, WaitQuery,
};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::record::WaitRecord;
use tokio::sync::oneshot;

use batch::{Applied, BatchBuilder, BatchError};
use claims::{Claims, Draft};
pub use open::OpenError;
use open::{Mark, Opened, Trees, open};
use sync::Sync;

/// The store.
pub struct SledStore {
    /// Absent only while the store is dropped: without a sender the writing thread ends.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What the writing thread and the readers share.
struct Shared {
    /// Absent while the database is closed after a failure.
    trees: RwLock<Option<Trees>>,
    counts: Mutex<Counts>,
}

/// What a read works on.
struct Reader<'a> {
    trees: &'a Trees,
    /// Where damaged records are reported.
    jobs: &'a mpsc::Sender<Job>,
}

enum Job {
    Commit(Vec<Transition>, oneshot::Sender<Result<Vec<Answer>, StoreError>>),
    Recover(oneshot::Sender<Result<(), StoreError>>),
    FirstEvents((Vec<Claim>, Timestamp), oneshot::Sender<Result<Vec<Option<EventId>>, StoreError>>),
    TakePending(TakePending, oneshot::Sender<Result<Vec<(Event, Lease)>, StoreError>>),
    SetAside(EventId),
}

/// Which pending events to claim.
#[derive(Clone, Copy)]
struct TakePending {
    limit: usize,
    now: Timestamp,
    until: Timestamp,
}

impl SledStore {
    /// Opens or creates the store in `directory`. Dedup claims are kept for `keep_claims`, the longest
    /// window that is asked for.
    pub fn open(directory: &Path, keep_claims: Duration) -> Result<Arc<Self>, OpenError> {
        let Opened { trees, claims, counts, mark, sync } = open(directory, keep_claims)?;
        let (jobs, inbox) = mpsc::channel();
        let shared = Arc::new(Shared { trees: RwLock::new(Some(trees)), counts: Mutex::new(counts) });
        let writer = Writer {
            directory: directory.to_owned(),
            keep_claims,
            kept: Some(Kept { claims, mark, sync }),
            shared: Arc::clone(&shared),
        };
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.work(&inbox))
            .map_err(|error| OpenError::NotWritable { path: directory.to_owned(), reason: error.to_string() })?;
        Ok(Arc::new(Self { jobs: Some(jobs), writer: Some(writer), shared }))
    }

    fn job<T: Send + 'static>(&self, job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job) -> Later<T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job(reply)).is_ok());
        Box::pin(async move {
            let gone = || StoreError::Unavailable("its thread has ended".to_owned());
            if !sent {
                return Err(gone());
            }
            answer.await.map_err(|_| gone())?
        })
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Later<T> {
        let (shared, jobs) = (Arc::clone(&self.shared), self.jobs.clone());
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || {
                let trees = shared.trees.read().unwrap_or_else(PoisonError::into_inner);
                let reader = trees.as_ref().zip(jobs.as_ref()).map(|(trees, jobs)| Reader { trees, jobs });
                reader.map_or_else(|| Err(closed()), |reader| read(&reader))
            });
            read.await.unwrap_or_else(|_| Err(StoreError::Unavailable("reading fell".to_owned())))
        })
    }
}

impl Drop for SledStore {
    /// Waits until the writing thread has let go of the database, so that it can be opened again.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Store for SledStore {
    fn commit(&self, transitions: Vec<Transition>) -> Later<Vec<Answer>> {
        self.job(|reply| Job::Commit(transitions, reply))
    }

    fn recover(&self) -> Later<()> {
        self.job(Job::Recover)
    }

    fn event(&self, id: EventId) -> Later<Option<Event>> {
        self.read(move |reader| read::event(reader, id))
    }

    fn events(&self, query: EventQuery) -> Later<Page<Event, EventId>> {
        self.read(move |reader| read::events(reader, &query))
    }

    fn take_pending(&self, limit: usize, now: Timestamp, until: Timestamp) -> Later<Vec<(Event, Lease)>> {
        self.job(|reply| Job::TakePending(TakePending { limit, now, until }, reply))
    }

    fn run(&self, id: RunId) -> Later<Option<StoredRun>> {
        self.read(move |reader| runs::run(&reader.trees.runs, id))
    }

    fn runs(&self, query: RunQuery) -> Later<Page<(RunRecord, RunHead), RunRef>> {
        self.read(move |reader| runs::page(&reader.trees.runs, &query))
    }

    fn open_runs(&self, after: Option<RunRef>, limit: usize) -> Later<Vec<OpenRun>> {
        self.read(move |reader| runs::open_runs(&reader.trees.runs, after, limit))
    }

    fn wait(&self, id: WaitId) -> Later<Option<WaitRecord>> {
        self.read(move |reader| waits::wait(&reader.trees.waits, id))
    }

    fn waits(&self, query: WaitQuery) -> Later<Page<WaitRecord, WaitCursor>> {
        self.read(move |reader| waits::page(&reader.trees.waits, &query))
    }

    fn breakers(&self) -> Later<Vec<BreakerRecord>> {
        self.read(|reader| read::breakers(reader.trees))
    }

    fn first_events(&self, claims: Vec<Claim>, at: Timestamp) -> Later<Vec<Option<EventId>>> {
        // The newest claims are in the memory of the thread that writes.
        self.job(|reply| Job::FirstEvents((claims, at), reply))
    }

    fn checkpoints(&self) -> Later<Vec<Checkpoint>> {
        self.read(|reader| read::checkpoints(reader.trees))
    }

    fn definition(&self, hash: &str) -> Later<Option<String>> {
        let hash = hash.to_owned();
        self.read(move |reader| runs::definition(&reader.trees.runs, &hash))
    }

    fn dossiers(&self, stretch: Stretch, limit: usize) -> Later<Vec<Dossier>> {
        self.read(move |reader| dossiers::dossiers(reader, stretch, limit))
    }

    fn dead_letters(&self, query: LetterQuery) -> Later<Page<Letter, Place>> {
        self.read(move |reader| letters::page(reader, &query))
    }

    fn dead_letter(&self, id: LetterId) -> Later<Option<Letter>> {
        self.read(move |reader| letters::one(reader, id))
    }

    fn redrives(&self, after: Option<Place>, limit: usize) -> Later<Page<Place, Place>> {
        self.read(move |reader| letters::redrives(reader, after, limit))
    }

    fn counts(&self) -> Counts {
        *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn name(&self) -> &'static str {
        "sled"
    }
}

impl Reader<'_> {
    /// Has a damaged record moved out of the way.
    fn set_aside(&self, id: EventId) {
        let _ = self.jobs.send(Job::SetAside(id));
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database is closed after a failure and is being opened again".to_owned())
}

fn unavailable(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// The thread that writes.
struct Writer {
    directory: PathBuf,
    keep_claims: Duration,
    /// Absent while the database is closed.
    kept: Option<Kept>,
    shared: Arc<Shared>,
}

/// What the writer keeps of an open database.
struct Kept {
    claims: Claims,
    mark: Mark,
    sync: Sync,
}

impl Writer {
    fn work(mut self, inbox: &mpsc::Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            match job {
                Job::Commit(transitions, reply) => {
                    let _ = reply.send(self.guarded(|writer| writer.commit(transitions)));
                }
                Job::Recover(reply) => {
                    let _ = reply.send(self.guarded(Self::recover));
                }
                Job::FirstEvents((claims, at), reply) => {
                    let found = self.guarded(|writer| writer.first_events(&claims, at));
                    self.reopen_after(&found);
                    let _ = reply.send(found);
                }
                Job::TakePending(which, reply) => {
                    let taken = self.guarded(|writer| writer.take_pending(which));
                    self.reopen_after(&taken);
                    let _ = reply.send(taken);
                }
                Job::SetAside(id) => {
                    let done = self.guarded(|writer| writer.set_aside(id));
                    self.reopen_after(&done);
                }
            }
        }
        self.close();
    }

    /// After any failure, or a panic inside sled, the database is closed: its state in memory can no
    /// longer be trusted, what was flushed can.
    fn guarded<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let result = catch_unwind(AssertUnwindSafe(|| write(self)))
            .unwrap_or_else(|_| Err(StoreError::Unavailable("sled fell".to_owned())));
        if result.is_err() {
            self.close();
        }
        result
    }

    /// A failed commit is recovered from by whoever asked for it. After anything else nobody else would.
    fn reopen_after<T>(&mut self, done: &Result<T, StoreError>) {
        if done.is_err() {
            let _ = self.guarded(Self::recover);
        }
    }

    fn close(&mut self) {
        self.kept = None;
        let trees = self.shared.trees.write().unwrap_or_else(PoisonError::into_inner).take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(trees)));
        open::wait_until_released(&self.directory);
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        self.close();
        let Opened { trees, claims, counts, mark, mut sync } =
            open(&self.directory, self.keep_claims).map_err(|error| unavailable(&error))?;
        trees.meta.insert("recovered", b"1").map_err(|error| unavailable(&error))?;
        trees.db.flush().map_err(|error| unavailable(&error))?;
        sync.sync().map_err(|error| unavailable(&error))?;
        *self.shared.trees.write().unwrap_or_else(PoisonError::into_inner) = Some(trees);
        *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        self.kept = Some(Kept { claims, mark, sync });
        Ok(())
    }

    fn trees(&self) -> Result<Trees, StoreError> {
        self.shared.trees.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)
    }

    fn commit(&mut self, transitions: Vec<Transition>) -> Result<Vec<Answer>, StoreError> {
        let trees = self.trees()?;
        let Kept { claims, mark, sync } = self.kept.as_mut().ok_or_else(closed)?;
        let counts = *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = BatchBuilder::new(&trees, claims, counts).apply(transitions);
        let Applied { answers, counts, draft } = applied.map_err(|error: BatchError| unavailable(&error))?;
        trees.db.flush().map_err(|error| unavailable(&error))?;
        sync.sync().map_err(|error| unavailable(&error))?;
        mark.set(counts.commits);
        claims.committed(draft);
        *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        Ok(answers)
    }

    fn first_events(&mut self, claims: &[Claim], at: Timestamp) -> Result<Vec<Option<EventId>>, StoreError> {
        let Kept { claims: known, .. } = self.kept.as_ref().ok_or_else(closed)?;
        let draft = Draft::default();
        let first = claims.iter().map(|claim| known.first(&draft, claim, at));
        first.map(|first| Ok(first.map_err(|error| unavailable(&error))?.map(|first| first.event))).collect()
    }

    fn take_pending(&mut self, which: TakePending) -> Result<Vec<(Event, Lease)>, StoreError> {
        let trees = self.trees()?;
        let mut damaged = Vec::new();
        let taken = read::due_pending(&trees, which.limit, which.now, &mut damaged)?;
        for id in damaged {
            self.set_aside(id)?;
        }
        let mut claimed = sled::Batch::default();
        let taken: Vec<_> = taken
            .into_iter()
            .map(|(event, held)| {
                let lease = Lease { epoch: held.epoch + 1, until: which.until };
                claimed.insert(&event.meta.id.bytes()[..], &batch::lease_to_bytes(lease)[..]);
                (event, lease)
            })
            .collect();
        if !taken.is_empty() {
            trees.pending.apply_batch(claimed).map_err(|error| unavailable(&error))?;
            trees.db.flush().map_err(|error| unavailable(&error))?;
        }
        Ok(taken)
    }

    fn set_aside(&mut self, id: EventId) -> Result<(), StoreError> {
        let trees = self.trees()?;
        let mut counts = *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !batch::set_aside(&trees, id, &mut counts).map_err(|error| unavailable(&error))? {
            return Ok(());
        }
        trees.db.flush().map_err(|error| unavailable(&error))?;
        *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        tracing::error!(event = %id, "a damaged record was set aside; restore it from a backup");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
