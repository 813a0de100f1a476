//! Waits: one run that is called back, polled, runs out of time, is cancelled, paused and decided about, while the
//! process ends, commits are doubtful and hints are lost, in any order.

use crate::setup::{Budget, Setup, Word, definition};

/// Triggered once; in doubt an operator must decide.
const ONCE: &str = r#"steps = [{ name = "a", action = "launch", deadline = "1m" }, { name = "b", action = "set" }]"#;
/// Triggered again in doubt, and after a refusal.
const KEYED: &str = r#"steps = [{ name = "a", action = "order", deadline = "1m", retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } }, { name = "b", action = "set" }]"#;
/// Begun by nobody here; what comes on the way to it is meant as well.
const LISTENING: &str = r#"steps = [{ name = "p", action = "delay", with = { duration = "5s" } }, { name = "a", action = "wait_for_event", deadline = "1m", with = { source = "codegen", event = "generation", key = "codegen:run:x" } }, { name = "b", action = "send" }]"#;

/// What may go wrong with any of them.
const BUDGET: Budget = Budget {
    crashes: 1,
    falls: 1,
    doubtful_commits: 1,
    lost_hints: 1,
    words: 2,
    callbacks: 2,
    polls: 1,
    refusals: 1,
    silences: 1,
    ticks: 3,
    stops: 0,
    recounts: 0,
};

fn model(name: &'static str, toml: &str, words: &'static [Word], budget: Budget) -> Setup {
    Setup {
        name,
        definition: definition(toml),
        orders: vec![1],
        processes: 1,
        slots: 1,
        slow_dispatcher: false,
        strays: true,
        heads: false,
        words,
        budget,
        longest: 24,
    }
}

/// The attempt is made once, and the depth to which a test explores it.
pub fn once() -> (Setup, usize) {
    use Word::{Cancel, Done, Fail, Pause, Repeat, Resume};
    (model("wait once", ONCE, &[Cancel, Pause, Resume, Repeat, Done, Fail], BUDGET), 14)
}

/// The attempt may be repeated.
pub fn keyed() -> (Setup, usize) {
    use Word::{Cancel, Pause, Restart, Resume};
    (model("wait keyed", KEYED, &[Cancel, Pause, Resume, Restart], BUDGET), 14)
}

/// There is none.
pub fn listening() -> (Setup, usize) {
    use Word::{Cancel, Done, Pause, Resume};
    (model("wait listening", LISTENING, &[Cancel, Pause, Resume, Done], BUDGET), 14)
}
