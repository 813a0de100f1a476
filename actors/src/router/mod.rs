//! Decides which workflows an event starts, before it is committed, so that verdict and runs are in
//! the event's own commit.

pub mod actor;
pub mod backlog;
pub mod patience;
pub mod routes;
pub mod routing;
mod variables;
