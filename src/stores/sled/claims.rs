//! First claims of dedup keys, kept where writing and looking up stay cheap however many there are.
//!
//! Keys are hashes. Written one by one, each would land in another leaf of a tree: the leaves are
//! evicted by the events that stream past them and read back, and the tree gets slower as it grows. So
//! nothing here is written where it hashes to. What is claimed goes into the segment that is being
//! filled: a table in memory, made durable by one row a batch, in the order of arrival. A full segment
//! is written once, as blocks sorted by key, with a filter that stays in memory; then its rows are
//! removed. A look-up reads one block, and only of segments whose filter says "maybe". What has expired
//! is a whole segment.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use pointsman_actors::deduplicator::fingerprint::{HookKey, Key};
use pointsman_actors::ids::EventId;
use pointsman_actors::store::Claim;
use pointsman_actors::time::Timestamp;
use sled::{Batch, Tree};

use super::filter::Filter;

/// Claims in a segment: a table of a few megabytes, a filter of 128 KiB, blocks written within some
/// milliseconds.
pub const SEGMENT: usize = 65_536;

/// Blocks of a full segment, picked by the first bits of a key: about 64 claims or 3 KiB in each.
const BLOCKS: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 10;

/// Bytes of a claim as it is stored: key, event, time, whether there is a hook, hook.
const ENTRY: usize = 16 + 16 + 8 + 1 + 8;

/// Who claimed a key first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstClaim {
    /// The event.
    pub event: EventId,
    /// When.
    pub at: Timestamp,
    /// Through which hook.
    pub hook: Option<HookKey>,
}

fn encode(key: &Key, first: &FirstClaim, into: &mut Vec<u8>) {
    into.extend_from_slice(&key.0);
    into.extend_from_slice(first.event.bytes());
    into.extend_from_slice(&first.at.millis().to_be_bytes());
    into.push(u8::from(first.hook.is_some()));
    into.extend_from_slice(&first.hook.map_or(0, |HookKey(hook)| hook).to_be_bytes());
}

fn decode(entries: &[u8]) -> impl Iterator<Item = (Key, FirstClaim)> + '_ {
    let (entries, _) = entries.as_chunks::<ENTRY>();
    entries.iter().filter_map(|entry| {
        let (key, rest) = entry.split_first_chunk::<16>()?;
        let (event, rest) = rest.split_first_chunk::<16>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (has_hook, hook) = rest.split_first()?;
        let hook = u64::from_be_bytes(*hook.first_chunk::<8>()?);
        let first = FirstClaim {
            event: EventId::from_bytes(*event),
            at: Timestamp::from_millis(i64::from_be_bytes(*at)),
            hook: (*has_hook == 1).then_some(HookKey(hook)),
        };
        Some((Key(*key), first))
    })
}

fn block_of(key: &Key) -> u16 {
    let [a, b, ..] = key.0;
    u16::from_be_bytes([a, b]) >> (16 - BLOCK_BITS)
}

/// The row of a segment: the segment's number, then the block's or the batch's.
fn row(segment: u32, within: u32) -> [u8; 8] {
    ((u64::from(segment) << 32) | u64::from(within)).to_be_bytes()
}

/// A full segment.
struct Full {
    number: u32,
    newest: Timestamp,
    filter: Filter,
}

impl Full {
    fn of(number: u32, entries: impl Iterator<Item = (Key, FirstClaim)>) -> Self {
        let mut full = Self { number, newest: Timestamp::default(), filter: Filter::for_keys(SEGMENT) };
        for (key, first) in entries {
            full.filter.add(&key);
            full.newest = full.newest.max(first.at);
        }
        full
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.newest.millis().to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.filter.to_bytes());
        bytes
    }

    fn from_bytes(number: u32, bytes: &[u8]) -> Option<Self> {
        let (newest, bits) = bytes.split_first_chunk::<8>()?;
        let newest = Timestamp::from_millis(i64::from_be_bytes(*newest));
        Some(Self { number, newest, filter: Filter::from_bytes(bits)? })
    }

    /// From its blocks, when its stored filter is damaged.
    fn read_again(number: u32, blocks: &Tree) -> sled::Result<Self> {
        let rows = blocks.scan_prefix(number.to_be_bytes()).values().collect::<sled::Result<Vec<_>>>()?;
        Ok(Self::of(number, rows.iter().flat_map(|row| decode(row))))
    }
}

/// The segment that is being filled.
struct Filling {
    number: u32,
    entries: HashMap<Key, FirstClaim>,
    rows: u32,
}

/// All claims that have not expired.
pub struct Claims {
    blocks: Tree,
    /// Oldest first.
    full: Vec<Full>,
    filling: Filling,
    /// How long claims are kept: the longest window that is asked for.
    keep: Duration,
}

/// The claims of a batch that is being built: what it adds is seen by what comes later in it, and
/// becomes part of [`Claims`] only when it was committed.
#[derive(Default)]
pub struct Draft {
    /// Changes of the tree of blocks.
    pub blocks: Batch,
    /// Changes of the tree of filters.
    pub filters: Batch,
    /// Changes of the tree of rows.
    pub recent: Batch,
    added: HashMap<Key, FirstClaim>,
    filled: Option<Full>,
    expired: bool,
}

impl Claims {
    /// Opens the claims in these trees.
    pub fn open(blocks: Tree, filters: &Tree, recent: &Tree, keep: Duration) -> sled::Result<Self> {
        let mut full = Vec::new();
        for stored in filters {
            let (number, bytes) = stored?;
            let Some(number) = number.first_chunk::<4>().map(|number| u32::from_be_bytes(*number)) else { continue };
            full.push(Full::from_bytes(number, &bytes).map_or_else(|| Full::read_again(number, &blocks), Ok)?);
        }
        let mut filling = Filling { number: 0, entries: HashMap::new(), rows: 0 };
        filling.number = full.last().map_or(0, |last: &Full| last.number + 1);
        for stored in recent {
            let (place, entries) = stored?;
            if let Some(place) = place.first_chunk::<8>().map(|place| u64::from_be_bytes(*place)) {
                // All segments may have expired; the rows still know which one is being filled.
                filling.number = u32::try_from(place >> 32).unwrap_or(filling.number);
                filling.rows = u32::try_from(place & u64::from(u32::MAX)).unwrap_or(0) + 1;
                filling.entries.extend(decode(&entries));
            }
        }
        Ok(Self { blocks, full, filling, keep })
    }

    /// Who claimed this key first, if the claim still holds at `at`.
    pub fn first(&self, draft: &Draft, claim: &Claim, at: Timestamp) -> sled::Result<Option<FirstClaim>> {
        let holds = |first: &FirstClaim| at.since(first.at) < claim.window;
        let recent = draft.added.get(&claim.key).or_else(|| self.filling.entries.get(&claim.key));
        if let Some(first) = recent.filter(|first| holds(first)) {
            return Ok(Some(*first));
        }
        let in_window = self.full.iter().rev().take_while(|segment| at.since(segment.newest) < claim.window);
        for segment in in_window.filter(|segment| segment.filter.may_hold(&claim.key)) {
            let block = self.blocks.get(row(segment.number, block_of(&claim.key).into()))?;
            let found = block.as_deref().and_then(|block| decode(block).find(|(key, _)| *key == claim.key));
            if let Some((_, first)) = found.filter(|(_, first)| holds(first)) {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    /// Claims a key in a draft.
    pub fn claim(&self, draft: &mut Draft, key: Key, first: FirstClaim) {
        draft.added.insert(key, first);
    }

    /// Completes a draft: its row, or the whole segment if it is full with it; and the removal of the
    /// oldest segment if that has expired.
    pub fn complete(&self, draft: &mut Draft, now: Timestamp) {
        if draft.added.is_empty() {
            return;
        }
        if self.filling.entries.len() + draft.added.len() >= SEGMENT {
            self.write_segment(draft);
        } else {
            let mut entries = Vec::with_capacity(draft.added.len() * ENTRY);
            draft.added.iter().for_each(|(key, first)| encode(key, first, &mut entries));
            draft.recent.insert(&row(self.filling.number, self.filling.rows)[..], entries);
        }
        if let Some(oldest) = self.full.first().filter(|oldest| now.since(oldest.newest) > self.keep) {
            draft.expired = true;
            draft.filters.remove(&oldest.number.to_be_bytes());
            (0..BLOCKS as u32).for_each(|block| draft.blocks.remove(&row(oldest.number, block)[..]));
        }
    }

    fn write_segment(&self, draft: &mut Draft) {
        let all = || self.filling.entries.iter().chain(&draft.added).map(|(key, first)| (*key, *first));
        let mut blocks = BTreeMap::<u16, Vec<u8>>::new();
        // A key that expired and was claimed again is in both; the later claim, of the draft, stays.
        let sorted: BTreeMap<Key, FirstClaim> = all().collect();
        sorted.iter().for_each(|(key, first)| encode(key, first, blocks.entry(block_of(key)).or_default()));
        for (block, entries) in blocks {
            draft.blocks.insert(&row(self.filling.number, block.into())[..], entries);
        }
        let full = Full::of(self.filling.number, all());
        draft.filters.insert(&full.number.to_be_bytes(), full.to_bytes());
        (0..self.filling.rows).for_each(|batch| draft.recent.remove(&row(self.filling.number, batch)[..]));
        draft.filled = Some(full);
    }

    /// Takes over a draft that was committed.
    pub fn committed(&mut self, draft: Draft) {
        if draft.expired && !self.full.is_empty() {
            self.full.remove(0);
        }
        match draft.filled {
            Some(full) => {
                self.filling = Filling { number: full.number + 1, entries: HashMap::new(), rows: 0 };
                self.full.push(full);
            }
            None => {
                self.filling.rows += u32::from(!draft.added.is_empty());
                self.filling.entries.extend(draft.added);
            }
        }
    }
}
