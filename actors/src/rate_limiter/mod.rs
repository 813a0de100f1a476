//! Holds back traffic that nobody could verify, and verified traffic where an operator limits it.

pub mod actor;
pub mod adaptive;
mod known;
pub mod limits;
pub mod network;
pub mod window;
