//! What is durable of catching up: how far a hook's attempts are settled, and what of it is still missing.
//!
//! A part of the vocabulary of [`crate::store`]; nothing is decided here.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How far the attempts of a hook are settled. Whatever was attempted before is in the log, went well elsewhere, is
/// too old, or stands in `missed`: both are one record, so that nothing falls between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The hook.
    pub hook: String,
    /// The newest attempt that was seen, by the provider's clock; absent before any was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What has failed and is not in the log yet, the oldest first.
    #[serde(default)]
    pub missed: Vec<Missed>,
}

/// A delivery that has failed and is not in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Which.
    pub guid: String,
    /// The newest attempt at it that is known.
    pub attempt: u64,
    /// When the first attempt was made.
    pub first_at: Timestamp,
    /// How often it was tried to get it.
    #[serde(default)]
    pub tries: u32,
}
