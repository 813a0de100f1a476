//! Tells runs that their time has come. Every time is absolute and durable before anybody waits for it;
//! this is only who looks at the clock.

pub mod actor;
pub mod schedule;
