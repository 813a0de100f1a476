//! Adapters of the store port. One contract suite runs on each of them.

#[cfg(test)]
mod contract;
pub mod memory;
pub mod sled;
