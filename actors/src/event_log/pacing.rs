//! When to commit what waits. Pure.
//!
//! A commit costs about the same for one transition as for fifty: a flush, and the wake-ups around
//! it. Committing at once is right as long as little comes in. Under load it makes many small batches
//! and takes from the HTTP workers what it spends on them, so a busy committer lets the next batch
//! grow to the size of the last one before it goes on, but never for longer than [`LONGEST_WAIT`].

use std::time::Duration;

/// Batches up to this size are no load: what comes next is committed at once.
const FEW: usize = 8;

/// How long a batch may be held to let it grow: small beside what a flush under load takes.
pub const LONGEST_WAIT: Duration = Duration::from_millis(1);

/// What to do with what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing waits.
    Rest,
    /// Commit it now.
    Commit,
    /// Let it grow; commit after [`LONGEST_WAIT`] at the latest.
    Hold,
}

/// Decides by how many `waiting` there are and how many the `last` batch had. `held` says that it has
/// been held long enough.
pub fn next(waiting: usize, last: usize, held: bool) -> Step {
    match waiting {
        0 => Step::Rest,
        _ if held || last <= FEW || waiting >= last => Step::Commit,
        _ => Step::Hold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_committer_lets_batches_grow_and_an_idle_one_does_not() {
        let check =
            |waiting, last, held, expect| assert_eq!(next(waiting, last, held), expect, "{waiting} {last} {held}");
        check(0, 40, true, Step::Rest);
        check(1, 0, false, Step::Commit);
        check(1, 8, false, Step::Commit);
        check(1, 9, false, Step::Hold);
        check(9, 9, false, Step::Commit);
        check(1, 500, true, Step::Commit);
    }
}
