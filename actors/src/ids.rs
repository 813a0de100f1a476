//! Identity as a value: ids are made in one place and handed in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::time::Timestamp;

/// The id of an event: `evt_` and a UUIDv7 without hyphens, so that ids sort by arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

/// The id of a run: `run_` and 32 hex digits of a hash of what it is a run of, so that routing
/// the same event twice names the same run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId([u8; 16]);

/// The id of a wait: `wait_` and 32 hex digits of a hash of the run and the place in its journal where it was
/// reserved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitId([u8; 16]);

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind}")]
pub struct NotAnId {
    text: String,
    kind: &'static str,
}

impl EventId {
    /// The sixteen bytes that stores use as a key; they sort by arrival.
    pub fn bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Back from the bytes of a key.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// When the event was received, to the millisecond.
    pub fn at(&self) -> Timestamp {
        let [a, b, c, d, e, f, ..] = *self.bytes();
        Timestamp::from_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// The smallest id that an event received at `at` can have: a bound for range queries.
    pub fn first_at(at: Timestamp) -> Self {
        let millis = u64::try_from(at.millis()).unwrap_or(0);
        let [_, _, prefix @ ..] = millis.to_be_bytes();
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(prefix) {
            *to = from;
        }
        Self(Uuid::from_bytes(bytes))
    }
}

impl RunId {
    /// The id of the run of `workflow` that `route` starts for `event` in this replay generation.
    pub fn derive(workflow: &str, event: EventId, route: &str, generation: u32) -> Self {
        let mut hash = Sha256::new();
        for part in [workflow.as_bytes(), event.bytes(), route.as_bytes()] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.update(generation.to_be_bytes());
        Self(first_16(&hash.finalize()))
    }

    /// The id of the run that `parent` starts with the entry at this place of its journal.
    pub fn child_of(parent: Self, serial: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"child");
        hash.update(parent.0);
        hash.update(serial.to_be_bytes());
        Self(first_16(&hash.finalize()))
    }

    /// The sixteen bytes that stores use as a key.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Back from the bytes of a key.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl WaitId {
    /// The id of the wait that `run` reserves with the entry at this place of its journal.
    pub fn derive(run: RunId, serial: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(run.0);
        hash.update(serial.to_be_bytes());
        Self(first_16(&hash.finalize()))
    }

    /// The sixteen bytes that stores use as a key.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Back from the bytes of a key.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// The first half of a SHA-256 digest: 128 bits, which do not collide by accident.
pub(crate) fn first_16(digest: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(digest) {
        *to = *from;
    }
    half
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{}", self.0.as_simple())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run_{}", Uuid::from_bytes(self.0).as_simple())
    }
}

impl fmt::Display for WaitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wait_{}", Uuid::from_bytes(self.0).as_simple())
    }
}

impl FromStr for EventId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        parse(text, "evt_", "an event id").map(Self)
    }
}

impl FromStr for RunId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        parse(text, "run_", "a run id").map(|uuid| Self(uuid.into_bytes()))
    }
}

impl FromStr for WaitId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        parse(text, "wait_", "a wait id").map(|uuid| Self(uuid.into_bytes()))
    }
}

fn parse(text: &str, prefix: &str, kind: &'static str) -> Result<Uuid, NotAnId> {
    text.strip_prefix(prefix)
        .and_then(|rest| Uuid::try_parse(rest).ok())
        .ok_or_else(|| NotAnId { text: text.chars().take(64).collect(), kind })
}

macro_rules! as_text {
    ($($id:ident),*) => {$(
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(EventId, RunId, WaitId);

/// Where new event ids come from.
pub trait Ids: Send + Sync + 'static {
    /// A new id for an event received at `now`; ids of one process never repeat.
    fn event(&self, now: Timestamp) -> EventId;
}

/// A shared [`Ids`].
pub type SharedIds = Arc<dyn Ids>;

/// UUIDv7 (RFC 9562): 48 bits of milliseconds, then random bits of the operating system.
pub struct RandomIds;

impl Ids for RandomIds {
    fn event(&self, now: Timestamp) -> EventId {
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        let random = *Uuid::new_v4().as_bytes();
        let [.., a, b, c, d, e, f, g, h, i, j] = random;
        EventId(uuid::Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j]).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_sort_by_arrival_and_survive_text() {
        let early = RandomIds.event(Timestamp::from_millis(1_000));
        let late = RandomIds.event(Timestamp::from_millis(2_000));
        assert!(early < late);
        assert!(EventId::first_at(Timestamp::from_millis(2_000)) <= late);
        assert!(early < EventId::first_at(Timestamp::from_millis(2_000)));
        assert_eq!(late.to_string().parse(), Ok(late));
    }

    #[test]
    fn a_run_is_named_by_what_it_is_a_run_of() {
        let event = EventId::first_at(Timestamp::from_millis(5));
        let id = RunId::derive("pr_validation", event, "opened", 0);
        assert_eq!(id, RunId::derive("pr_validation", event, "opened", 0));
        assert_ne!(id, RunId::derive("pr_validation", event, "opened", 1));
        assert_ne!(RunId::derive("ab", event, "c", 0), RunId::derive("a", event, "bc", 0));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_wrong_id_is_named() {
        let error = "run_xyz".parse::<EventId>().unwrap_err();
        assert_eq!(error.to_string(), "`run_xyz` is not an event id");
    }
}
