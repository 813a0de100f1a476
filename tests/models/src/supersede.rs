//! Making way: runs of one group come in any order, with attempts in flight, crashes and dispatchers that count anew.
//!
//! A request does not reach the provider here after its sender has given it up or is gone: nobody could keep such a
//! one from being the last.

use crate::setup::{Budget, Setup, definition};

const TWO_STEPS: &str = r#"
concurrency = { group = "g", key = "k", on_newer = "cancel", order_by = "input.order" }
steps = [{ name = "a", action = "set" }, { name = "b", action = "set" }]"#;
const ONE_STEP: &str = r#"
concurrency = { group = "g", key = "k", on_newer = "cancel", order_by = "input.order" }
steps = [{ name = "a", action = "set" }]"#;

const BUDGET: Budget = Budget {
    crashes: 1,
    falls: 1,
    recounts: 1,
    lost_hints: 1,
    silences: 1,
    stops: 0,
    doubtful_commits: 0,
    words: 0,
    callbacks: 0,
    polls: 0,
    refusals: 0,
    ticks: 1,
};

fn model(name: &'static str, toml: &str, orders: &[i64], budget: Budget) -> Setup {
    Setup {
        name,
        definition: definition(toml),
        orders: orders.to_vec(),
        processes: 1,
        slots: 2,
        slow_dispatcher: true,
        strays: false,
        heads: true,
        words: &[],
        budget,
        longest: 16,
    }
}

/// Variants.
pub fn variants() -> Vec<(Setup, usize)> {
    let none = Budget::default();
    let crash = Budget { crashes: 1, ..none };
    let fall = Budget { falls: 1, recounts: 1, ..none };
    let all = Budget { falls: 1, recounts: 1, crashes: 1, silences: 1, lost_hints: 1, ticks: 1, ..none };
    let eager = |setup: Setup| Setup { slow_dispatcher: false, ..setup };
    vec![
        (model("v two none", TWO_STEPS, &[1, 2], none), 60),
        (model("v two crash", TWO_STEPS, &[1, 2], crash), 60),
        (model("v two one fall", ONE_STEP, &[1, 2], fall), 60),
        (model("v two one crash", ONE_STEP, &[1, 2], Budget { crashes: 1, recounts: 1, ..none }), 60),
        (eager(model("v eager two all", TWO_STEPS, &[1, 2], all)), 60),
        (eager(model("v eager three crash", ONE_STEP, &[1, 2, 3], crash)), 60),
        (model("v three none", ONE_STEP, &[1, 2, 3], none), 60),
    ]
}

/// Two runs of two steps, and the depth to which a test explores it.
pub fn two() -> (Setup, usize) {
    (model("supersede two", TWO_STEPS, &[1, 2], BUDGET), 14)
}

/// Three runs of one step.
pub fn three() -> (Setup, usize) {
    (model("supersede three", ONE_STEP, &[1, 2, 3], Budget { falls: 0, lost_hints: 0, ..BUDGET }), 14)
}
