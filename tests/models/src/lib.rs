//! The engine's protocols, explored over all interleavings up to a depth by a model checker.
//!
//! What decides in these models is the product's: `decide`, the fold of the journal, the desk of waits, the queue and
//! its orders. What stands around it is here, with each of its messages as a step of its own: the store that flushes
//! (`world.rs`), the doors of executor, dispatcher and timer (`process.rs`, `executor.rs`), the provider and all that
//! misbehaves (`model.rs`). What must hold is in `rules.rs`. The models themselves are `waits.rs`, `supersede.rs` and `owners.rs`.
//!
//! A test explores each of them far enough for every day; `scripts/explore` goes deeper.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is a test"
)]

pub mod executor;
pub mod explore;
pub mod model;
pub mod owners;
pub mod process;
pub mod rules;
pub mod seen;
pub mod setup;
pub mod supersede;
pub mod waits;
pub mod world;

/// All models, each with how deep a test explores it.
pub fn models() -> Vec<(setup::Setup, usize)> {
    let mut all = supersede::variants();
    all.extend(vec![
        waits::once(),
        waits::keyed(),
        waits::listening(),
        supersede::two(),
        supersede::three(),
        owners::once(),
        owners::keyed(),
    ]);
    all
}
