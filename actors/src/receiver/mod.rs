//! Takes deliveries in: admission before the body, then straight through to the log.

pub mod actor;
pub mod admission;
pub mod lane;
pub mod messages;
pub mod readers;
pub mod tally;
