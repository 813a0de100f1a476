//! Adapters of the store port. One contract suite runs on each of them.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod contract_waits;
pub mod memory;
pub mod sled;
