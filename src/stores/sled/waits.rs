//! Waits and early callbacks on sled.
//!
//! Correlation keys come from outside and are of any length: rows hold their hashes.

use pointsman_actors::event_log::record::Damage;
use pointsman_actors::event_log::sealed;
use pointsman_actors::ids::{RunId, WaitId};
use pointsman_actors::store::{Counts, Page, StoreError, WaitCursor, WaitQuery};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::desk::{Kept, Shelves};
use pointsman_actors::wait::record::WaitRecord;
use sha2::{Digest, Sha256};
use sled::{Batch, Db, Tree};

use super::batch::BatchError;
use super::overlay::Overlay;
use super::unavailable;

/// How many rows one page looks at before it ends, however few match.
const LOOKED_AT: usize = 10_000;

/// How many callbacks one call drops that are kept no longer: more than a call keeps, so that they end.
const DROPPED_AT_ONCE: usize = 32;

/// The trees of waits.
#[derive(Clone)]
pub struct WaitTrees {
    /// Wait → its record.
    pub records: Tree,
    /// When it was reserved, and wait → nothing.
    pub by_time: Tree,
    /// Hash of a key, and wait → nothing.
    pub by_key: Tree,
    /// Hash of a kind, and open wait that has no key yet → nothing.
    pub reserved: Tree,
    /// Hash of a key, when it was received, and event → the callback.
    pub inbox: Tree,
    /// When a callback is kept no longer, and its row of the inbox → nothing.
    pub expiry: Tree,
}

impl WaitTrees {
    /// Opens or creates them.
    pub fn open(db: &Db) -> sled::Result<Self> {
        Ok(Self {
            records: db.open_tree("waits")?,
            by_time: db.open_tree("waits_by_time")?,
            by_key: db.open_tree("waits_by_key")?,
            reserved: db.open_tree("waits_reserved")?,
            inbox: db.open_tree("inbox")?,
            expiry: db.open_tree("inbox_expiry")?,
        })
    }
}

/// The rows that a batch changes.
pub struct WaitRows {
    records: Overlay,
    by_time: Overlay,
    by_key: Overlay,
    reserved: Overlay,
    inbox: Overlay,
    expiry: Overlay,
    /// How many waits the batch has made more, or less, of.
    counts: Counts,
}

impl WaitRows {
    /// Rows of which none is changed, counted in `counts`.
    pub fn new(trees: &WaitTrees, counts: Counts) -> Self {
        let WaitTrees { records, by_time, by_key, reserved, inbox, expiry } = trees;
        let [records, by_time, by_key] = [records, by_time, by_key].map(Overlay::new);
        let [reserved, inbox, expiry] = [reserved, inbox, expiry].map(Overlay::new);
        Self { records, by_time, by_key, reserved, inbox, expiry, counts }
    }

    /// Whether there are waits, or callbacks that are kept: otherwise no event needs to look for any.
    pub fn has_any(&self) -> bool {
        self.counts.open_waits + self.counts.resolved_waits > 0
    }

    /// Takes the numbers of waits over into the counts of the batch.
    pub fn count(&self, counts: &mut Counts) {
        counts.open_waits = self.counts.open_waits;
        counts.resolved_waits = self.counts.resolved_waits;
    }

    /// The trees that are changed, with how.
    pub fn batches(&self) -> Vec<(&Tree, Batch)> {
        let Self { records, by_time, by_key, reserved, inbox, expiry, .. } = self;
        let all = [records, by_time, by_key, reserved, inbox, expiry];
        all.into_iter().filter(|overlay| overlay.is_changed()).map(|each| (each.tree(), each.batch())).collect()
    }

    /// Drops the waits of a run whose journal has so many entries.
    pub fn forget_run(&mut self, run: RunId, revision: u32) -> Result<(), BatchError> {
        if !self.has_any() {
            return Ok(());
        }
        for id in (0..revision).map(|serial| WaitId::derive(run, serial)) {
            let Some(wait) = self.wait(id)? else { continue };
            let place = if wait.is_open() { &mut self.counts.open_waits } else { &mut self.counts.resolved_waits };
            *place = place.saturating_sub(1);
            wait.keys.iter().for_each(|key| self.by_key.remove([hash(key), *id.bytes()].concat()));
            self.reserved.remove([hash(&wait.kind), *id.bytes()].concat());
            self.by_time.remove([&wait.reserved_at.millis().to_be_bytes()[..], id.bytes()].concat());
            self.records.remove(id.bytes().to_vec());
        }
        Ok(())
    }

    /// Drops callbacks that are kept no longer.
    pub fn forget_expired(&mut self, now: Timestamp) -> Result<(), BatchError> {
        for (expiry, _) in self.expiry.rows(&[], &[], DROPPED_AT_ONCE)? {
            let Some((until, row)) = expiry.split_first_chunk::<8>() else { continue };
            if i64::from_be_bytes(*until) > now.millis() {
                break;
            }
            self.inbox.remove(row.to_vec());
            self.expiry.remove(expiry.clone());
        }
        Ok(())
    }

    fn ids(overlay: &Overlay, hash: [u8; 16]) -> Result<Vec<WaitId>, BatchError> {
        let rows = overlay.rows(&hash, &hash, usize::MAX)?;
        Ok(rows.iter().filter_map(|(key, _)| Some(WaitId::from_bytes(*key.last_chunk::<16>()?))).collect())
    }
}

impl Shelves for WaitRows {
    type Error = BatchError;

    /// One that is damaged is not there; whoever asks for it by its id is told.
    fn wait(&mut self, id: WaitId) -> Result<Option<WaitRecord>, BatchError> {
        let row = self.records.get(id.bytes())?;
        Ok(row.and_then(|row| {
            let opened = sealed::open(&row);
            opened.inspect_err(|damage| tracing::error!(wait = %id, %damage, "the record of a wait is damaged")).ok()
        }))
    }

    fn put(&mut self, wait: &WaitRecord) -> Result<(), BatchError> {
        let before = self.wait(wait.id)?;
        self.counts.wait_put(before.as_ref(), wait);
        let id = wait.id.bytes();
        for key in &wait.keys {
            self.by_key.insert([hash(key), *id].concat(), Vec::new());
        }
        let reserved = [hash(&wait.kind), *id].concat();
        if wait.is_reserved() {
            self.reserved.insert(reserved, Vec::new());
        } else if before.is_some_and(|before| before.is_reserved()) {
            self.reserved.remove(reserved);
        }
        self.by_time.insert([&wait.reserved_at.millis().to_be_bytes()[..], id].concat(), Vec::new());
        self.records.insert(id.to_vec(), sealed::seal(wait)?);
        Ok(())
    }

    fn with_key(&mut self, key: &str) -> Result<Vec<WaitId>, BatchError> {
        Self::ids(&self.by_key, hash(key))
    }

    fn is_reserved(&mut self, kind: &str) -> Result<bool, BatchError> {
        let hash = hash(kind);
        Ok(!self.reserved.rows(&hash, &hash, 1)?.is_empty())
    }

    fn keep(&mut self, key: &str, kept: &Kept) -> Result<(), BatchError> {
        let at = kept.callback.received_at.millis().to_be_bytes();
        let row = [&hash(key)[..], &at, kept.event.bytes()].concat();
        self.expiry.insert([&kept.callback.until.millis().to_be_bytes()[..], &row].concat(), Vec::new());
        self.inbox.insert(row, sealed::seal(kept)?);
        Ok(())
    }

    fn kept(&mut self, key: &str, since: Timestamp) -> Result<Vec<Kept>, BatchError> {
        let hash = hash(key);
        let from = [&hash[..], &since.millis().to_be_bytes()].concat();
        let rows = self.inbox.rows(&hash, &from, usize::MAX)?;
        Ok(rows.iter().filter_map(|(_, row)| sealed::open(row).ok()).collect())
    }
}

fn hash(text: &str) -> [u8; 16] {
    let mut first = [0; 16];
    first.iter_mut().zip(Sha256::digest(text)).for_each(|(to, from)| *to = from);
    first
}

/// One wait.
pub fn wait(trees: &WaitTrees, id: WaitId) -> Result<Option<WaitRecord>, StoreError> {
    let row = trees.records.get(id.bytes()).map_err(|error| unavailable(&error))?;
    row.map(|row| sealed::open(&row))
        .transpose()
        .map_err(|damage: Damage| StoreError::Damaged { id: id.to_string(), reason: damage.to_string() })
}

/// A page of waits, newest first.
pub fn page(trees: &WaitTrees, query: &WaitQuery) -> Result<Page<WaitRecord, WaitCursor>, StoreError> {
    let mut page = Page { items: Vec::new(), next: None };
    let rows = match query.before {
        Some((at, id)) => trees.by_time.range(..[&at.millis().to_be_bytes()[..], id.bytes()].concat()),
        None => trees.by_time.iter(),
    };
    for (looked_at, key) in rows.keys().rev().enumerate() {
        let key = key.map_err(|error| unavailable(&error))?;
        if page.items.len() == query.limit || looked_at == LOOKED_AT {
            return Ok(page);
        }
        let Some((at, id)) = key.first_chunk::<8>().zip(key.last_chunk::<16>()) else { continue };
        let (at, id) = (Timestamp::from_millis(i64::from_be_bytes(*at)), WaitId::from_bytes(*id));
        page.next = Some((at, id));
        // A damaged one is named when it is asked for; it does not stop the list.
        if let Ok(Some(found)) = wait(trees, id)
            && query.matches(&found)
        {
            page.items.push(found);
        }
    }
    Ok(Page { next: None, ..page })
}
