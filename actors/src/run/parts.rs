//! What entries of a journal are made of.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::ids::WaitId;
use crate::time::Timestamp;

/// What follows when the effect of an attempt is looked for, and has not happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unclear {
    /// Another attempt.
    Repeat,
    /// It was the last one: the step has failed.
    Fail,
}

/// A wait of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// Its id.
    pub id: WaitId,
    /// Until when it may be called back.
    pub until: Timestamp,
}

/// How an operator rules about an attempt of which nobody knows whether its effect happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Ruling {
    /// Do it again.
    Repeat,
    /// It was done, with this output.
    Done {
        /// What later steps see.
        #[serde(default)]
        output: Json,
    },
    /// It failed.
    Fail {
        /// Why, in words.
        reason: String,
    },
}
