//! How a run is, and how it stands for others.

use serde::{Deserialize, Serialize};

/// How a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It has not begun.
    Queued,
    /// An attempt is in flight or about to be.
    Running,
    /// It waits for a time.
    Waiting,
    /// An operator has stopped it for a while.
    Paused,
    /// An attempt is in doubt and an operator must decide.
    NeedsDecision,
    /// Its definition cannot be executed by this process.
    Blocked,
    /// What it did cannot be undone, and an operator must say how to go on.
    Stuck,
    /// Every step is done.
    Succeeded,
    /// A step failed for good.
    Failed,
    /// Its time was up.
    TimedOut,
    /// An operator ended it.
    Cancelled,
    /// A newer run took its place.
    Superseded,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::NeedsDecision,
        Self::Blocked,
        Self::Stuck,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Superseded,
    ];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::NeedsDecision => "needs_decision",
            Self::Blocked => "blocked",
            Self::Stuck => "stuck",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::TimedOut | Self::Cancelled | Self::Superseded)
    }
}

/// How a run stands, as far as others are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not begun.
    Queued,
    /// It has begun and could go on.
    Runnable,
    /// It is at work.
    Busy,
    /// It waits for something else than a slot.
    Parked,
    /// It has not begun, and is not to begin yet: a newer one may still take its place.
    Settling,
    /// It has not begun, and is not to begin now.
    Held,
    /// It is over.
    Over,
}
