//! What failed for good: listed with its reason, done again one by one or many at a bounded rate, or dismissed.

pub mod actor;
pub mod letter;
mod pacing;
pub mod selection;
