//! The engine of pointsman: components, ports, vocabulary.
//!
//! Start at [`tree`], which draws and starts everything. Each component is a folder: `actor.rs` is
//! the door (takes a message, asks the inside, carries out the effects), the other files are the
//! inside (synchronous, no clock, no I/O), `port.rs` is what it needs from the outside.
//!
//! What this crate never does: speak HTTP, open a database, call a provider, read the environment.

pub mod address_book;
pub mod auditor;
pub mod catch_up;
pub mod circuit_breaker;
pub mod current;
pub mod dead_letter;
pub mod deduplicator;
pub mod dispatcher;
pub mod event;
pub mod event_log;
pub mod executor;
pub mod expression;
pub mod ids;
pub mod mailbox;
pub mod rate_limiter;
pub mod receiver;
pub mod refusal;
pub mod retention;
pub mod router;
pub mod run;
pub mod store;
pub mod supervisor;
pub mod time;
pub mod timer;
pub mod tree;
pub mod validator;
pub mod wait;
pub mod workflow;
