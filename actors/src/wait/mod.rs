//! Waits: promises that a run goes on when it is called back. Each is a record of its own, beside the run's
//! journal, so that the event that calls back can resolve it in its own commit.
//!
//! `record.rs` has the words, `desk.rs` what every store does with them, `memory.rs` how one in memory keeps
//! them. None of them knows a clock, or a run's steps.

pub mod desk;
pub mod memory;
pub mod record;
