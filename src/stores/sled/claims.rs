//! First claims of dedup keys, kept where writing and looking up stay cheap however many there are.
//!
//! Random keys in one tree get slower as it grows, because every write lands in another leaf. So
//! claims are written in segments of a fixed number, one after the other, each with a filter in
//! memory: a write is always at the end, a look-up reads the tree only where a filter says "maybe",
//! and what has expired is a range. The filter of a full segment is stored, so that a start reads a
//! few filters instead of all keys.

use std::collections::HashMap;
use std::time::Duration;

use pointsman_actors::deduplicator::fingerprint::{HookKey, Key};
use pointsman_actors::ids::EventId;
use pointsman_actors::store::Claim;
use pointsman_actors::time::Timestamp;
use sled::{Batch, Tree};

use super::filter::Filter;

/// Claims in a segment: its filter is 128 KiB, and a start scans one segment that is not full.
pub const SEGMENT: usize = 65_536;

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

impl FirstClaim {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.event.bytes().to_vec();
        bytes.extend_from_slice(&self.at.millis().to_be_bytes());
        if let Some(HookKey(hook)) = self.hook {
            bytes.extend_from_slice(&hook.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (event, rest) = bytes.split_first_chunk::<16>()?;
        let (at, hook) = rest.split_first_chunk::<8>()?;
        Some(Self {
            event: EventId::from_bytes(*event),
            at: Timestamp::from_millis(i64::from_be_bytes(*at)),
            hook: hook.first_chunk::<8>().map(|hook| HookKey(u64::from_be_bytes(*hook))),
        })
    }
}

struct Segment {
    number: u32,
    newest: Timestamp,
    len: usize,
    filter: Filter,
}

impl Segment {
    fn new(number: u32) -> Self {
        Self { number, newest: Timestamp::default(), len: 0, filter: Filter::for_keys(SEGMENT) }
    }

    fn key(&self, key: &Key) -> [u8; 20] {
        let mut bytes = [0; 20];
        let whole = self.number.to_be_bytes().into_iter().chain(key.0);
        bytes.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        bytes
    }

    /// As it is stored when it is full: the newest time in it, then the filter's bits.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.newest.millis().to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.filter.to_bytes());
        bytes
    }

    fn from_bytes(number: u32, bytes: &[u8]) -> Option<Self> {
        let (newest, bits) = bytes.split_first_chunk::<8>()?;
        let newest = Timestamp::from_millis(i64::from_be_bytes(*newest));
        Some(Self { number, newest, len: SEGMENT, filter: Filter::from_bytes(bits)? })
    }

    /// From the claims themselves: the segment that is being filled, or one whose filter is damaged.
    fn scan(number: u32, claims: &Tree) -> sled::Result<Self> {
        let mut segment = Self::new(number);
        for row in claims.scan_prefix(number.to_be_bytes()) {
            let (key, value) = row?;
            let Some(key) = key.last_chunk::<16>() else { continue };
            let at = FirstClaim::from_bytes(&value).map_or(Timestamp::default(), |first| first.at);
            segment.note(&Key(*key), at);
        }
        Ok(segment)
    }

    fn note(&mut self, key: &Key, at: Timestamp) {
        self.filter.add(key);
        self.len += 1;
        self.newest = self.newest.max(at);
    }
}

/// All claims that have not expired.
pub struct Claims {
    claims: Tree,
    filters: Tree,
    /// Oldest first; the last one is being filled.
    segments: Vec<Segment>,
    /// How long claims are kept: the longest window that is asked for.
    keep: Duration,
}

/// The claims of a batch that is being built: what it adds is seen by what comes later in it, and
/// becomes part of [`Claims`] only when it was committed.
#[derive(Default)]
pub struct Draft {
    /// Changes of the tree of claims.
    pub claims: Batch,
    /// Changes of the tree of filters.
    pub filters: Batch,
    added: HashMap<Key, FirstClaim>,
    order: Vec<Key>,
}

impl Claims {
    /// Opens the claims in these two trees.
    pub fn open(claims: Tree, filters: Tree, keep: Duration) -> sled::Result<Self> {
        let mut segments = Vec::new();
        for row in &filters {
            let (number, bytes) = row?;
            let Some(number) = number.first_chunk::<4>().map(|number| u32::from_be_bytes(*number)) else { continue };
            let stored = Segment::from_bytes(number, &bytes);
            segments.push(stored.map_or_else(|| Segment::scan(number, &claims), Ok)?);
        }
        let filling = segments.last().map_or(0, |last| last.number + 1);
        segments.push(Segment::scan(filling, &claims)?);
        Ok(Self { claims, filters, segments, keep })
    }

    /// Who claimed this key first, if the claim still holds at `at`.
    pub fn first(&self, draft: &Draft, claim: &Claim, at: Timestamp) -> sled::Result<Option<FirstClaim>> {
        let holds = |first: &FirstClaim| at.since(first.at) < claim.window;
        if let Some(first) = draft.added.get(&claim.key).filter(|first| holds(first)) {
            return Ok(Some(*first));
        }
        let recent = self
            .segments
            .iter()
            .rev()
            .take_while(|segment| at.since(segment.newest) < claim.window || segment.len == 0);
        for segment in recent.filter(|segment| segment.filter.may_hold(&claim.key)) {
            let found = self.claims.get(segment.key(&claim.key))?;
            if let Some(first) = found.as_deref().and_then(FirstClaim::from_bytes).filter(holds) {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    /// Claims a key in a draft.
    pub fn claim(&self, draft: &mut Draft, key: Key, first: FirstClaim) {
        if let Some(filling) = self.segments.last() {
            draft.claims.insert(&filling.key(&key)[..], first.to_bytes());
            draft.added.insert(key, first);
            draft.order.push(key);
        }
    }

    /// Completes a draft: closes the segment if it is full with it, and removes some of what has
    /// expired, so that each batch cleans up about as much as it adds.
    pub fn complete(&self, draft: &mut Draft, now: Timestamp) -> sled::Result<()> {
        let Some(filling) = self.segments.last() else { return Ok(()) };
        if filling.len + draft.order.len() >= SEGMENT {
            draft.filters.insert(&filling.number.to_be_bytes(), self.with(draft).to_bytes());
        }
        let Some(oldest) = self.segments.first().filter(|oldest| self.is_expired(oldest, now)) else { return Ok(()) };
        let mut left = 2 * draft.order.len() + 1;
        for row in self.claims.scan_prefix(oldest.number.to_be_bytes()) {
            if left == 0 {
                return Ok(());
            }
            draft.claims.remove(row?.0);
            left -= 1;
        }
        draft.filters.remove(&oldest.number.to_be_bytes());
        Ok(())
    }

    /// Takes over a draft that was committed.
    pub fn committed(&mut self, draft: &Draft, now: Timestamp) -> sled::Result<()> {
        if let Some(filling) = self.segments.last_mut() {
            for key in &draft.order {
                filling.note(key, draft.added.get(key).map_or(now, |first| first.at));
            }
            if filling.len >= SEGMENT {
                let next = filling.number + 1;
                self.segments.push(Segment::new(next));
            }
        }
        let gone = match self.segments.first() {
            Some(oldest) if self.is_expired(oldest, now) => !self.filters.contains_key(oldest.number.to_be_bytes())?,
            _ => false,
        };
        if gone {
            self.segments.remove(0);
        }
        Ok(())
    }

    fn with(&self, draft: &Draft) -> Segment {
        let mut whole = Segment::new(0);
        if let Some(filling) = self.segments.last() {
            whole.number = filling.number;
            whole.newest = filling.newest;
            whole.filter = filling.filter.clone();
        }
        for key in &draft.order {
            whole.note(key, draft.added.get(key).map_or(whole.newest, |first| first.at));
        }
        whole
    }

    fn is_expired(&self, segment: &Segment, now: Timestamp) -> bool {
        segment.len >= SEGMENT && now.since(segment.newest) > self.keep
    }
}
