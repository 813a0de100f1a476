//! Workflows as data: how they are written, what is checked before one is accepted, and what a run is
//! pinned to. Nothing here runs anything.

pub mod catalog;
pub mod child;
mod compiler;
pub mod definition;
pub mod graph;
pub mod recipe;
pub mod retry;
pub mod spec;
pub mod waits;
