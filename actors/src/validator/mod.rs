//! Proves that a delivery is authentic and reads what it says.

pub mod actor;
pub mod port;
