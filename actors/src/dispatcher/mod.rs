//! Decides which runs go on: all limits live here, derived from how the runs stand and never counted
//! beside it.

pub mod actor;
pub mod order;
pub mod queue;
pub mod ready;
pub mod settling;
