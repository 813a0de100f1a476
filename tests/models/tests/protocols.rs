//! Explores the models as deep as there is time for on every day.

use pointsman_models::explore::explore;
use pointsman_models::setup::Setup;
use pointsman_models::{owners, supersede, waits};

/// Explores a model; with fewer states than these it would not have seen what it is for.
fn check((setup, depth): (Setup, usize), fewest: usize) {
    let seen = explore(setup, depth);
    println!("{seen}");
    assert!(seen.counterexample.is_none(), "{}", seen.counterexample.unwrap_or_default());
    assert!(seen.ends, "{seen}: no way leads to the end of all runs");
    assert!(seen.states > fewest, "{seen}");
}

#[test]
fn a_run_that_waits_once() {
    check(waits::once(), 30_000);
}

#[test]
fn a_run_that_waits_and_may_be_repeated() {
    check(waits::keyed(), 50_000);
}

#[test]
fn a_run_that_only_waits() {
    check(waits::listening(), 40_000);
}

/// Deep enough for every meeting of three runs, not for the end of all of them.
#[test]
fn three_runs_of_a_group() {
    let (setup, depth) = supersede::three();
    let seen = explore(setup, depth);
    println!("{seen}");
    assert!(seen.counterexample.is_none(), "{}", seen.counterexample.unwrap_or_default());
    assert!(seen.states > 60_000, "{seen}");
}

#[test]
fn two_owners_of_a_run_that_waits_once() {
    check(owners::once(), 10_000);
}

#[test]
fn two_owners_of_a_run_that_waits_and_may_be_repeated() {
    check(owners::keyed(), 10_000);
}
