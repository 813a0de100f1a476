//! The form in which an event is stored, the same bytes in every store.
//!
//! ```text
//! format 2:  2 │ crc32 of the rest │ verdict length │ meta length │ verdict │ meta │ payload
//!           u8 │ u32               │ u32            │ u32         │ JSON    │ JSON │ zstd frame
//! format 1:  1 │ crc32 of the rest │ meta length │ meta with "verdict" in it │ payload
//!           u8 │ u32               │ u32         │ JSON                      │ zstd frame
//! ```
//!
//! Numbers are little-endian. The verdict, with the event's history in it, stands apart so that a store
//! can replace it (a duplicate, a pending event that was routed) without reading the rest. A record of an
//! older format is read as if it were new; it is never rewritten for its own sake. Meta and verdict are
//! JSON, so that fields can be added without a new format and a record can be read with bare hands.

use std::io::Read;

use bytes::Bytes;
use serde::Deserialize;

use crate::event::{Event, EventMeta, Fate, Verdict};
use crate::time::Timestamp;

/// The format that is written.
pub const FORMAT: u8 = 2;

/// zstd's fastest level: an event must cost the sender little, and JSON shrinks to a tenth even so.
const LEVEL: i32 = 1;

/// Payloads above this are refused long before (`max_body`); it bounds what a damaged frame can unfold to.
const LARGEST_PAYLOAD: u64 = 256 << 20;

/// An encoded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record(Bytes);

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is shorter than its own lengths say.
    #[error("it is cut off")]
    CutOff,
    /// Its checksum does not match.
    #[error("its checksum does not match")]
    Checksum,
    /// It was written by a newer version.
    #[error("format {0} is newer than this version can read")]
    NewerFormat(u8),
    /// A part of it does not decode.
    #[error("its {part} does not decode: {reason}")]
    Undecodable {
        /// Which part.
        part: &'static str,
        /// What the decoder said.
        reason: String,
    },
}

impl Damage {
    /// Whether its bytes are not those that were written. Otherwise another version may read it.
    pub fn is_certain(&self) -> bool {
        matches!(self, Self::CutOff | Self::Checksum)
    }
}

/// Encodes events. Keeps the compressor's working memory between them.
pub struct Sealer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl Default for Sealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Sealer {
    /// A sealer that compresses payloads.
    pub fn new() -> Self {
        Self { compressor: zstd::bulk::Compressor::new(LEVEL).ok() }
    }

    /// Encodes an event.
    pub fn seal(&mut self, meta: &EventMeta, verdict: &Verdict, payload: &[u8]) -> Result<Record, Damage> {
        let compressed = match &mut self.compressor {
            Some(compressor) => compressor.compress(payload),
            None => zstd::bulk::compress(payload, LEVEL),
        }
        .map_err(|error| undecodable("payload", &error))?;
        let meta = serde_json::to_vec(meta).map_err(|error| undecodable("meta", &error))?;
        let verdict = serde_json::to_vec(verdict).map_err(|error| undecodable("verdict", &error))?;
        Ok(assemble(&verdict, &meta, &compressed))
    }
}

impl Record {
    /// Bytes that a store has read back.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The same event with another verdict.
    pub fn with_verdict(&self, verdict: &Verdict) -> Result<Self, Damage> {
        self.map_verdict(|_| verdict.clone())
    }

    /// The same event with the verdict that `change` makes of the one that it has.
    pub fn map_verdict(&self, change: impl FnOnce(Verdict) -> Verdict) -> Result<Self, Damage> {
        let Fate { verdict, history } = self.fate()?;
        self.with_fate(&Fate { verdict: change(verdict), history })
    }

    /// The same event with another verdict and history.
    pub fn with_fate(&self, fate: &Fate) -> Result<Self, Damage> {
        let parts = self.parts()?;
        let fate = serde_json::to_vec(fate).map_err(|error| undecodable("verdict", &error))?;
        Ok(assemble(&fate, &parts.meta, &parts.payload))
    }

    /// What became of the event, and what has happened to it since.
    pub fn fate(&self) -> Result<Fate, Damage> {
        self.parts()?.fate()
    }

    /// Until when runs may come to wait for the event, if it is kept for them.
    pub fn wanted_until(&self) -> Result<Option<Timestamp>, Damage> {
        Ok(match self.fate()?.verdict {
            Verdict::Buffered { until } => Some(until),
            _ => None,
        })
    }

    /// Decodes all but the payload.
    pub fn open_meta(&self) -> Result<Event, Damage> {
        self.parts()?.decode(false)
    }

    /// Decodes the whole event.
    pub fn open(&self) -> Result<Event, Damage> {
        self.parts()?.decode(true)
    }

    fn parts(&self) -> Result<Parts, Damage> {
        let mut rest = self.0.clone();
        let format = take(&mut rest, 1)?.first().copied().unwrap_or_default();
        let checksum = take_u32(&mut rest)?;
        match format {
            1 | 2 if crc32fast::hash(&rest) != checksum => Err(Damage::Checksum),
            1 => Parts::of_format_1(rest),
            2 => Parts::of_format_2(rest),
            newer => Err(Damage::NewerFormat(newer)),
        }
    }
}

/// Whether these stored bytes are a record that this version reads.
pub fn check(stored: &[u8]) -> Result<(), Damage> {
    let (format, rest) = stored.split_first().ok_or(Damage::CutOff)?;
    let (checksum, rest) = rest.split_first_chunk::<4>().ok_or(Damage::CutOff)?;
    match *format {
        1 | 2 if crc32fast::hash(rest) != u32::from_le_bytes(*checksum) => Err(Damage::Checksum),
        1 | 2 => Ok(()),
        newer => Err(Damage::NewerFormat(newer)),
    }
}

/// A record taken apart, whatever its format was.
struct Parts {
    verdict: Bytes,
    meta: Bytes,
    payload: Bytes,
}

impl Parts {
    fn of_format_2(mut rest: Bytes) -> Result<Self, Damage> {
        let (verdict, meta) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
        let verdict = take(&mut rest, verdict as usize)?;
        let meta = take(&mut rest, meta as usize)?;
        Ok(Self { verdict, meta, payload: rest })
    }

    fn of_format_1(mut rest: Bytes) -> Result<Self, Damage> {
        #[derive(Deserialize)]
        struct WithVerdict<'a> {
            #[serde(borrow)]
            verdict: &'a serde_json::value::RawValue,
        }
        let meta = take_u32(&mut rest)?;
        let meta = take(&mut rest, meta as usize)?;
        let verdict = serde_json::from_slice::<WithVerdict<'_>>(&meta).map_err(|error| undecodable("meta", &error))?;
        let verdict = meta.slice_ref(verdict.verdict.get().as_bytes());
        Ok(Self { verdict, meta, payload: rest })
    }

    fn decode(&self, with_payload: bool) -> Result<Event, Damage> {
        let meta = serde_json::from_slice(&self.meta).map_err(|error| undecodable("meta", &error))?;
        let payload = if with_payload { Some(decompress(&self.payload)?) } else { None };
        let Fate { verdict, history } = self.fate()?;
        Ok(Event { meta, verdict, history, payload })
    }

    fn fate(&self) -> Result<Fate, Damage> {
        serde_json::from_slice(&self.verdict).map_err(|error| undecodable("verdict", &error))
    }
}

fn decompress(frame: &[u8]) -> Result<Bytes, Damage> {
    let mut payload = Vec::new();
    let decoder = zstd::Decoder::new(frame).map_err(|error| undecodable("payload", &error))?;
    decoder.take(LARGEST_PAYLOAD).read_to_end(&mut payload).map_err(|error| undecodable("payload", &error))?;
    Ok(payload.into())
}

fn assemble(verdict: &[u8], meta: &[u8], payload: &[u8]) -> Record {
    let mut body = Vec::with_capacity(13 + verdict.len() + meta.len() + payload.len());
    body.extend_from_slice(&[FORMAT, 0, 0, 0, 0]);
    for length in [verdict.len(), meta.len()] {
        body.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }
    for part in [verdict, meta, payload] {
        body.extend_from_slice(part);
    }
    if let Some((head, rest)) = body.split_at_mut_checked(5) {
        let checksum = crc32fast::hash(rest).to_le_bytes();
        for (to, from) in head.iter_mut().skip(1).zip(checksum) {
            *to = from;
        }
    }
    Record(body.into())
}

fn take(from: &mut Bytes, length: usize) -> Result<Bytes, Damage> {
    if from.len() < length { Err(Damage::CutOff) } else { Ok(from.split_to(length)) }
}

fn take_u32(from: &mut Bytes) -> Result<u32, Damage> {
    let bytes = take(from, 4)?;
    <[u8; 4]>::try_from(&bytes[..]).map(u32::from_le_bytes).map_err(|_| Damage::CutOff)
}

fn undecodable(part: &'static str, reason: &dyn std::fmt::Display) -> Damage {
    Damage::Undecodable { part, reason: reason.to_string() }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
