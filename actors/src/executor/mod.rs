//! Drives the runs of one workflow: one actor for each, a bulkhead that holds its live runs. Storage is
//! the truth; what is here is a cache of it around a pure core.

pub mod actor;
pub mod attempts;
pub mod command;
#[cfg(test)]
mod crash_points;
pub mod decide;
pub mod failure;
pub mod loading;
pub mod messages;
pub mod parameter;
pub mod port;
pub mod progress;
mod recovery;
mod step;
mod task;
mod telling;
