//! Drives the runs of one workflow: one actor for each, a bulkhead that holds its live runs. Storage is
//! the truth; what is here is a cache of it around a pure core.

pub mod actor;
pub(crate) mod again;
mod asking;
pub mod attempts;
mod callbacks;
mod child;
mod circuits;
pub mod command;
#[cfg(test)]
mod crash_points;
pub mod deaths;
pub mod decide;
#[cfg(test)]
mod doubt_tests;
pub mod failure;
#[cfg(test)]
mod family_tests;
mod live;
pub mod loading;
mod looking;
pub mod messages;
#[cfg(test)]
mod outage_tests;
pub mod outages;
mod outlook;
#[cfg(test)]
mod parallel_tests;
pub mod parameter;
mod poison;
pub mod polling;
pub mod port;
pub mod progress;
mod recovery;
mod redrive;
mod step;
mod step_state;
mod steps;
#[cfg(test)]
pub(crate) mod story;
mod summary;
mod task;
mod telling;
#[cfg(test)]
mod undo_tests;
mod waiting;
