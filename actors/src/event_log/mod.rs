//! The event log: one committer for the whole process. Whatever is ready goes into one atomic batch
//! and one flush, then everybody is answered.

pub mod actor;
pub mod pacing;
pub mod record;
pub mod sealed;
pub mod state;
