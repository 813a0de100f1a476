//! Owners: two processes hold the same run, one of them is stopped and goes on with what it knew.
//!
//! A journal is only added to by whoever knows all of it: its length is the condition of the commit, and takes the place of a
//! lease. What is not promised here: that an attempt whose entry was durable before its owner was stopped does not leave
//! when that one goes on. Only the provider could refuse it.

use crate::setup::{Budget, Setup, Word, definition};

const ONCE: &str = r#"steps = [{ name = "a", action = "launch", deadline = "1m" }]"#;
const KEYED: &str = r#"steps = [{ name = "a", action = "order", deadline = "1m" }]"#;

const BUDGET: Budget = Budget {
    stops: 2,
    crashes: 0,
    falls: 0,
    recounts: 0,
    doubtful_commits: 0,
    lost_hints: 0,
    words: 1,
    callbacks: 1,
    polls: 0,
    refusals: 0,
    silences: 0,
    ticks: 2,
};

fn model(name: &'static str, toml: &str, words: &'static [Word]) -> Setup {
    Setup {
        name,
        definition: definition(toml),
        orders: vec![1],
        processes: 2,
        slots: 1,
        slow_dispatcher: false,
        strays: true,
        heads: false,
        words,
        budget: BUDGET,
        longest: 12,
    }
}

/// The attempt is made once, and the depth to which a test explores it.
pub fn once() -> (Setup, usize) {
    (model("owners once", ONCE, &[Word::Cancel, Word::Repeat]), 18)
}

/// The attempt may be repeated.
pub fn keyed() -> (Setup, usize) {
    (model("owners keyed", KEYED, &[Word::Cancel]), 18)
}
