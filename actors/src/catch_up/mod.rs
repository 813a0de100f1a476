//! Catching up: asks a provider that never delivers again by itself what it could not deliver, and has it taken in.
//!
//! `missed.rs` reads what the provider says of its attempts, `chase.rs` decides what is gone after and how often,
//! `checkpoint.rs` is what is durable of that, `watched.rs` what can be seen of it. `watch.rs` does it for one hook.

pub mod actor;
pub mod chase;
pub mod checkpoint;
pub mod missed;
pub mod port;
mod watch;
pub mod watched;
