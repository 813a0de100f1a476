//! Dead letters on sled: an index over runs and events, kept in the commit that makes one of them a dead letter
//! or takes it out of them.

use pointsman_actors::dead_letter::letter::{Body, Letter, LetterId, LetterQuery, Mark, MarkChange, Place};
use pointsman_actors::event_log::record::Record;
use pointsman_actors::event_log::sealed;
use pointsman_actors::ids::{EventId, RunId};
use pointsman_actors::run::RunHead;
use pointsman_actors::store::{Answer, Counts, Page, StoreError};
use pointsman_actors::time::Timestamp;
use sled::Tree;

use super::batch::BatchError;
use super::open::Trees;
use super::overlay::Overlay;
use super::{Reader, runs, unavailable};

/// How many rows one page looks at before it ends, however few match.
const LOOKED_AT: usize = 10_000;

/// What a batch changes in the index.
pub struct LetterRows(Overlay);

impl LetterRows {
    /// An index in which nothing is changed.
    pub fn new(tree: &Tree) -> Self {
        Self(Overlay::new(tree))
    }

    /// What is changed, if anything is.
    pub fn changed(&self) -> Option<(&Tree, sled::Batch)> {
        self.0.is_changed().then(|| (self.0.tree(), self.0.batch()))
    }

    /// A run or an event was a dead letter since then, or none, and is one since then, or none.
    pub fn moved(
        &mut self,
        id: LetterId,
        (before, after): (Option<Timestamp>, Option<Timestamp>),
        counts: &mut Counts,
    ) -> Result<(), BatchError> {
        if before == after {
            return Ok(());
        }
        if let Some(since) = before {
            let key = key(Place { since, id });
            if let Some(row) = self.0.get(&key)? {
                counts.letter_taken(&mark(&row));
                self.0.remove(key.to_vec());
            }
        }
        if let Some(since) = after {
            self.0.insert(key(Place { since, id }).to_vec(), sealed::seal(&Mark::default())?);
            counts.letter_put();
        }
        Ok(())
    }

    /// Operators want something of a dead letter.
    pub fn mark(&mut self, place: Place, change: &MarkChange, counts: &mut Counts) -> Result<Answer, BatchError> {
        let key = key(place);
        let Some(row) = self.0.get(&key)? else { return Ok(Answer::Stale) };
        self.0.insert(key.to_vec(), sealed::seal(&mark(&row).after(change, counts))?);
        Ok(Answer::Applied)
    }
}

/// What is wanted of one is lost when its row is damaged; that it is a dead letter stands in its key.
fn mark(row: &[u8]) -> Mark {
    sealed::open(row).unwrap_or_default()
}

/// A dead letter's key: since when, then what it is, then its id.
fn key(Place { since, id }: Place) -> [u8; 25] {
    let (kind, id) = match &id {
        LetterId::Run(run) => (0, run.bytes()),
        LetterId::Event(event) => (1, event.bytes()),
    };
    let mut key = [0; 25];
    let whole = since.millis().to_be_bytes().into_iter().chain([kind]).chain(*id);
    key.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    key
}

fn place_of(key: &[u8]) -> Option<Place> {
    let (since, rest) = key.split_first_chunk::<8>()?;
    let (kind, id) = rest.split_first()?;
    let id = *id.first_chunk::<16>()?;
    let id = if *kind == 0 { LetterId::Run(RunId::from_bytes(id)) } else { LetterId::Event(EventId::from_bytes(id)) };
    Some(Place { since: Timestamp::from_millis(i64::from_be_bytes(*since)), id })
}

/// A page of dead letters, newest first.
pub(super) fn page(reader: &Reader<'_>, query: &LetterQuery) -> Result<Page<Letter, Place>, StoreError> {
    let mut page = Page { items: Vec::new(), next: None };
    let least = |until| Place { since: until, id: LetterId::Run(RunId::from_bytes([0; 16])) };
    let upper = [query.before, query.until.map(least)].into_iter().flatten().min();
    let rows = match upper {
        Some(upper) => reader.trees.letters.range(..key(upper)),
        None => reader.trees.letters.iter(),
    };
    for (looked_at, row) in rows.rev().enumerate() {
        let (key, row) = row.map_err(|error| unavailable(&error))?;
        let Some(place) = place_of(&key) else { continue };
        if query.since.is_some_and(|since| place.since < since) {
            return Ok(Page { next: None, ..page });
        }
        if page.items.len() == query.limit || looked_at == LOOKED_AT {
            return Ok(page);
        }
        page.next = Some(place);
        if query.in_range(place) {
            page.items.extend(letter(reader.trees, place, &row)?.filter(|letter| query.matches(letter)));
        }
    }
    Ok(Page { next: None, ..page })
}

/// One dead letter.
pub(super) fn one(reader: &Reader<'_>, id: LetterId) -> Result<Option<Letter>, StoreError> {
    let Some(since) = body(reader.trees, id)?.and_then(|body| dead_since(&body)) else { return Ok(None) };
    let place = Place { since, id };
    let row = reader.trees.letters.get(key(place)).map_err(|error| unavailable(&error))?;
    row.map_or(Ok(None), |row| letter(reader.trees, place, &row))
}

/// Dead letters that are to be redriven, oldest first.
pub(super) fn redrives(
    reader: &Reader<'_>,
    after: Option<Place>,
    limit: usize,
) -> Result<Page<Place, Place>, StoreError> {
    let mut page = Page { items: Vec::new(), next: None };
    let rows = match after {
        Some(after) => reader.trees.letters.range([&key(after)[..], &[0]].concat()..),
        None => reader.trees.letters.iter(),
    };
    for (looked_at, row) in rows.enumerate() {
        if page.items.len() == limit || looked_at == LOOKED_AT {
            return Ok(page);
        }
        let (key, row) = row.map_err(|error| unavailable(&error))?;
        let Some(place) = place_of(&key) else { continue };
        page.next = Some(place);
        page.items.extend(mark(&row).asked_at.map(|_| place));
    }
    Ok(Page { next: None, ..page })
}

/// The dead letter of a row. One that is damaged is named when it is asked for; it does not stop the list.
fn letter(trees: &Trees, place: Place, row: &[u8]) -> Result<Option<Letter>, StoreError> {
    let body = match body(trees, place.id) {
        Ok(body) => body,
        Err(StoreError::Damaged { .. }) => None,
        Err(error) => return Err(error),
    };
    let body = body.filter(|body| dead_since(body) == Some(place.since));
    Ok(body.map(|body| Letter { since: place.since, mark: mark(row), body }))
}

fn body(trees: &Trees, id: LetterId) -> Result<Option<Body>, StoreError> {
    match id {
        LetterId::Run(run) => Ok(runs::summary(&trees.runs, run)?.map(|run| Body::Run(Box::new(run)))),
        LetterId::Event(event) => {
            let row = trees.events.get(event.bytes()).map_err(|error| unavailable(&error))?;
            let opened = row.map(|row| Record::from_bytes(row.to_vec().into()).open_meta()).transpose();
            let opened =
                opened.map_err(|damage| StoreError::Damaged { id: event.to_string(), reason: damage.to_string() });
            Ok(opened?.map(|event| Body::Event(Box::new(event))))
        }
    }
}

fn dead_since(body: &Body) -> Option<Timestamp> {
    match body {
        Body::Run(run) => run.1.dead_since(),
        Body::Event(event) => event.fate().dead_since(),
    }
}

/// Makes the index anew for a log that a version without one has written last. Events could be no dead letters
/// then; what stands there of them stays.
pub(super) fn index(trees: &Trees, counts: &mut Counts) -> sled::Result<()> {
    for key in trees.letters.iter().keys() {
        let key = key?;
        if place_of(&key).is_some_and(|place| matches!(place.id, LetterId::Run(_))) {
            trees.letters.remove(key)?;
        }
    }
    let (mut batch, fresh) = (sled::Batch::default(), sealed::seal(&Mark::default()).unwrap_or_default());
    for row in &trees.runs.heads {
        let (of, head) = row?;
        let dead = sealed::open::<RunHead>(&head).ok().and_then(|head| head.dead_since());
        if let Some((since, run)) = dead.zip(runs::run_of(&of)) {
            batch.insert(&key(Place { since, id: LetterId::Run(run.id) })[..], fresh.as_slice());
        }
    }
    trees.letters.apply_batch(batch)?;
    (counts.dead_letters, counts.redrives) = (0, 0);
    for row in trees.letters.iter().values() {
        counts.dead_letters += 1;
        counts.redrives += u64::from(mark(&row?).asked_at.is_some());
    }
    Ok(())
}

/// Removes what stands in the index of an event whose record was set aside.
pub(super) fn forget_event(trees: &Trees, event: EventId, counts: &mut Counts) -> sled::Result<sled::Batch> {
    let mut batch = sled::Batch::default();
    for row in &trees.letters {
        let (key, row) = row?;
        if place_of(&key).is_some_and(|place| place.id == LetterId::Event(event)) {
            counts.letter_taken(&mark(&row));
            batch.remove(key);
        }
    }
    Ok(batch)
}
