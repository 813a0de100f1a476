//! Runs on sled: their rows in a batch, and how they are read.
//!
//! A run's rows begin with the time of its start, so that what is worked on lies together at the end of
//! each tree; only one small row per run stands where its id hashes to.

pub mod removal;

use std::collections::{HashMap, HashSet};

use pointsman_actors::dead_letter::letter::LetterId;
use pointsman_actors::event_log::record::Damage;
use pointsman_actors::event_log::sealed;
use pointsman_actors::ids::{EventId, RunId};
use pointsman_actors::run::{Entry, RunHead, RunRecord, RunRef, StoredRun};
use pointsman_actors::store::{Answer, Counts, OpenRun, Page, RunQuery, StoreError};
use pointsman_actors::time::Timestamp;
use sled::{Batch, Db, Tree};

use super::batch::BatchError;
use super::letters::LetterRows;
use super::unavailable;

/// How many rows one page looks at before it ends, however few match.
const LOOKED_AT: usize = 10_000;

/// The trees of runs.
#[derive(Clone)]
pub struct RunTrees {
    /// Run → what it was started with.
    pub records: Tree,
    /// Run → the sum of its journal.
    pub heads: Tree,
    /// Run and number → entry of its journal.
    pub journal: Tree,
    /// Id of a run → when it was started.
    pub ids: Tree,
    /// Run that is not over → nothing.
    pub open: Tree,
    /// Event and run → when the run was started.
    pub of_event: Tree,
    /// Hash → content of a definition.
    pub definitions: Tree,
}

impl RunTrees {
    /// Opens or creates them.
    pub fn open(db: &Db) -> sled::Result<Self> {
        Ok(Self {
            records: db.open_tree("runs")?,
            heads: db.open_tree("run_heads")?,
            journal: db.open_tree("run_journal")?,
            ids: db.open_tree("run_ids")?,
            open: db.open_tree("runs_open")?,
            of_event: db.open_tree("runs_of_event")?,
            definitions: db.open_tree("definitions")?,
        })
    }

    /// All of them, in the order of [`RunRows::batches`].
    pub fn all(&self) -> [&Tree; 7] {
        let Self { records, heads, journal, ids, open, of_event, definitions } = self;
        [records, heads, journal, ids, open, of_event, definitions]
    }
}

/// The rows that a batch adds.
#[derive(Default)]
pub struct RunRows {
    records: Batch,
    heads: Batch,
    journal: Batch,
    ids: Batch,
    open: Batch,
    of_event: Batch,
    definitions: Batch,
    /// Heads that this batch has changed: what comes later in it must see them.
    changed: HashMap<RunRef, RunHead>,
    /// Runs that this batch has started.
    started: HashSet<RunId>,
    /// The events that have started them.
    started_by: HashSet<EventId>,
    /// Runs that this batch has removed.
    gone: HashSet<RunRef>,
    touched: bool,
}

impl RunRows {
    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        !self.touched
    }

    /// The rows, in the order of [`RunTrees::all`].
    pub fn batches(&self) -> [&Batch; 7] {
        let Self { records, heads, journal, ids, open, of_event, definitions, .. } = self;
        [records, heads, journal, ids, open, of_event, definitions]
    }

    /// Adds a run, unless it was started before.
    pub fn start(&mut self, trees: &RunTrees, record: &RunRecord, counts: &mut Counts) -> Result<(), BatchError> {
        if self.started.contains(&record.id) || trees.ids.contains_key(record.id.bytes())? {
            return Ok(());
        }
        self.touched = true;
        self.started.insert(record.id);
        self.started_by.insert(record.event);
        let (run, key) = (record.reference(), key(record.reference()));
        let head = RunHead::of(record);
        self.records.insert(&key[..], sealed::seal(record)?);
        self.heads.insert(&key[..], sealed::seal(&head)?);
        self.ids.insert(&record.id.bytes()[..], &record.started_at.millis().to_be_bytes()[..]);
        self.open.insert(&key[..], &[][..]);
        let of_event = [&record.event.bytes()[..], &key[..]].concat();
        self.of_event.insert(of_event, &[][..]);
        self.changed.insert(run, head);
        counts.run_started();
        Ok(())
    }

    /// Adds to a run's journal, if it is as long as expected.
    pub fn advance(
        &mut self,
        trees: &RunTrees,
        run: RunRef,
        (revision, entries, head): (u32, &[Entry], RunHead),
        (counts, letters): (&mut Counts, &mut LetterRows),
    ) -> Result<Answer, BatchError> {
        let before = match self.head(trees, run) {
            Ok(before) => before.filter(|before| before.revision == revision),
            // It is found again, and named, by whoever reads the run; the others of the batch go on.
            Err(BatchError::Record(_)) => None,
            Err(error) => return Err(error),
        };
        let Some(before) = before else { return Ok(Answer::Stale) };
        self.touched = true;
        let key = key(run);
        for (number, entry) in (revision..).zip(entries) {
            self.journal.insert(journal_key(run, number), sealed::seal(entry)?);
        }
        self.heads.insert(&key[..], sealed::seal(&head)?);
        if head.status.is_end() {
            self.open.remove(&key[..]);
        } else if before.status.is_end() {
            self.open.insert(&key[..], &[][..]);
        }
        counts.run_moved(&before, &head, run.started_at);
        letters.moved(LetterId::Run(run.id), (before.dead_since(), head.dead_since()), counts)?;
        self.changed.insert(run, head);
        Ok(Answer::Applied)
    }

    /// Keeps a definition.
    pub fn keep_definition(&mut self, hash: &str, content: &str) -> Result<Answer, BatchError> {
        self.touched = true;
        self.definitions.insert(hash.as_bytes(), sealed::seal(&content)?);
        Ok(Answer::Applied)
    }

    fn head(&self, trees: &RunTrees, run: RunRef) -> Result<Option<RunHead>, BatchError> {
        if self.gone.contains(&run) {
            return Ok(None);
        }
        if let Some(head) = self.changed.get(&run) {
            return Ok(Some(head.clone()));
        }
        Ok(trees.heads.get(key(run))?.map(|row| sealed::open(&row)).transpose()?)
    }
}

/// A run's key: when it was started, then its id.
fn key(run: RunRef) -> [u8; 24] {
    let mut key = [0; 24];
    let whole = run.started_at.millis().to_be_bytes().into_iter().chain(*run.id.bytes());
    key.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    key
}

pub(super) fn run_of(key: &[u8]) -> Option<RunRef> {
    let (at, rest) = key.split_first_chunk::<8>()?;
    let started_at = Timestamp::from_millis(i64::from_be_bytes(*at));
    Some(RunRef { started_at, id: RunId::from_bytes(*rest.first_chunk::<16>()?) })
}

fn journal_key(run: RunRef, number: u32) -> Vec<u8> {
    [&key(run)[..], &number.to_be_bytes()[..]].concat()
}

/// One run with its journal.
pub fn run(trees: &RunTrees, id: RunId) -> Result<Option<StoredRun>, StoreError> {
    let Some(run) = reference(trees, id)? else { return Ok(None) };
    let Some((record, head)) = both(trees, run)? else { return Ok(None) };
    let rows = trees.journal.scan_prefix(key(run)).values();
    let journal = rows
        .map(|row| sealed::open(&row.map_err(|error| unavailable(&error))?).map_err(|damage| damaged(id, &damage)))
        .collect::<Result<Vec<Entry>, _>>()?;
    // It may have been removed meanwhile, and then the journal is not whole.
    if !trees.ids.contains_key(id.bytes()).map_err(|error| unavailable(&error))? {
        return Ok(None);
    }
    Ok(Some(StoredRun { record, head, journal }))
}

/// One run without its journal.
pub(super) fn summary(trees: &RunTrees, id: RunId) -> Result<Option<(RunRecord, RunHead)>, StoreError> {
    reference(trees, id)?.map_or(Ok(None), |run| both(trees, run))
}

fn reference(trees: &RunTrees, id: RunId) -> Result<Option<RunRef>, StoreError> {
    let started = trees.ids.get(id.bytes()).map_err(|error| unavailable(&error))?;
    let started = started.as_deref().and_then(|row| row.first_chunk::<8>().copied());
    Ok(started.map(|millis| RunRef { started_at: Timestamp::from_millis(i64::from_be_bytes(millis)), id }))
}

fn both(trees: &RunTrees, run: RunRef) -> Result<Option<(RunRecord, RunHead)>, StoreError> {
    let (record, head) = (trees.records.get(key(run)), trees.heads.get(key(run)));
    let record = record.map_err(|error| unavailable(&error))?;
    let head = head.map_err(|error| unavailable(&error))?;
    let Some((record, head)) = record.zip(head) else { return Ok(None) };
    let record = sealed::open(&record).map_err(|damage| damaged(run.id, &damage))?;
    let head = sealed::open(&head).map_err(|damage| damaged(run.id, &damage))?;
    Ok(Some((record, head)))
}

/// A page of runs, newest first.
pub fn page(trees: &RunTrees, query: &RunQuery) -> Result<Page<(RunRecord, RunHead), RunRef>, StoreError> {
    let mut page = Page { items: Vec::new(), next: None };
    for (looked_at, run) in candidates(trees, query).enumerate() {
        let run = run?;
        if query.since.is_some_and(|since| run.started_at < since) {
            return Ok(Page { next: None, ..page });
        }
        if page.items.len() == query.limit || looked_at == LOOKED_AT {
            return Ok(page);
        }
        page.next = Some(run);
        // A damaged run is named when it is asked for; it does not stop the list.
        let Ok(Some((record, head))) = both(trees, run) else { continue };
        if query.matches(&record, &head) {
            page.items.push((record, head));
        }
    }
    Ok(Page { next: None, ..page })
}

type Runs<'a> = Box<dyn Iterator<Item = Result<RunRef, StoreError>> + 'a>;

/// The runs that may match, newest first: those of the event, or all of the time.
fn candidates<'a>(trees: &'a RunTrees, query: &RunQuery) -> Runs<'a> {
    let found = |row: sled::Result<sled::IVec>, skip: usize| {
        let key = row.map_err(|error| unavailable(&error))?;
        key.get(skip..).and_then(run_of).ok_or_else(|| StoreError::Unavailable("a key is not a run's".to_owned()))
    };
    let upper = query.until.map(|until| RunRef { started_at: until, id: RunId::from_bytes([0; 16]) });
    let upper = [query.before, upper].into_iter().flatten().min();
    match (query.event, upper) {
        (Some(event), upper) => {
            let before = move |run: &Result<RunRef, StoreError>| {
                run.as_ref().map_or(true, |run| upper.is_none_or(|upper| *run < upper))
            };
            let rows = trees.of_event.scan_prefix(event.bytes()).keys().rev();
            Box::new(rows.map(move |row| found(row, 16)).filter(before))
        }
        (None, Some(upper)) => Box::new(trees.records.range(..key(upper)).keys().rev().map(move |row| found(row, 0))),
        (None, None) => Box::new(trees.records.iter().keys().rev().map(move |row| found(row, 0))),
    }
}

/// Runs that are not over, in the order of their start.
pub fn open_runs(trees: &RunTrees, after: Option<RunRef>, limit: usize) -> Result<Vec<OpenRun>, StoreError> {
    let rows = match after {
        Some(after) => {
            let past = [&key(after)[..], &[0]].concat();
            trees.open.range(past..)
        }
        None => trees.open.iter(),
    };
    let mut open = Vec::new();
    for row in rows.keys() {
        if open.len() == limit {
            break;
        }
        let key = row.map_err(|error| unavailable(&error))?;
        let Some(run) = run_of(&key) else { continue };
        match both(trees, run) {
            Ok(Some((record, head))) => open.push(OpenRun::new(&record, &head)),
            Ok(None) => {}
            Err(StoreError::Damaged { id, reason }) => {
                tracing::error!(run = %id, reason, "the record of a run is damaged; it cannot go on, restore it from a backup");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(open)
}

/// The content of a definition.
pub fn definition(trees: &RunTrees, hash: &str) -> Result<Option<String>, StoreError> {
    let row = trees.definitions.get(hash.as_bytes()).map_err(|error| unavailable(&error))?;
    let opened = row.map(|row| sealed::open(&row)).transpose();
    opened.map_err(|damage| StoreError::Damaged { id: format!("definition {hash}"), reason: damage.to_string() })
}

fn damaged(id: RunId, damage: &Damage) -> StoreError {
    StoreError::Damaged { id: id.to_string(), reason: damage.to_string() }
}
