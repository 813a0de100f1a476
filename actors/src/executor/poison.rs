//! Poison: work of which trying it is what does harm. Pure; a part of [`super::decide`].
//!
//! It ends for good as a failure that says so: after a fall in each of its attempts, or after so many deaths of
//! the process in a row at which nothing else was at work. A death among others counts against no one. What must
//! never happen twice is parked in doubt instead, as after any death.

use super::decide::Next;
use super::failure::{ErrorClass, Failure};
use super::port::{EffectClass, OnDoubt};
use super::progress::Tries;
use crate::workflow::definition::Step;

/// Deaths in a row that are no accident any more.
pub const DEATHS: u32 = 3;

/// The last failure of a step that was tried like this before, said as poison if no attempt ended otherwise than
/// in a fall.
pub fn of_falls(before: Tries, failure: Failure) -> Failure {
    if failure.class != ErrorClass::Internal || before.falls != before.failures {
        return failure;
    }
    let message = format!("poison: each of {} attempts fell; {}", before.failures + 1, failure.message);
    Failure { message, ..failure }.poison()
}

impl Next<'_> {
    /// The process died with the attempt in flight, and with no other.
    pub(super) fn died_alone(&mut self, step: &Step, attempt: u32) {
        if step.on_doubt != OnDoubt::Repeat && !step.resumes {
            return self.recovered(step, attempt);
        }
        self.unblock();
        let deaths = self.tries(step).deaths + 1;
        if deaths < DEATHS {
            self.interrupt(step, attempt, true);
        } else {
            let message =
                format!("poison: the process died {deaths} times in a row while nothing but this step was at work");
            match step.class {
                // It may have happened, and looking is perhaps what kills.
                EffectClass::Probe => self.park(step, attempt, message),
                _ => self.give_up(step, attempt, Failure::new(ErrorClass::Internal, message).poison()),
            }
        }
        self.go_on(false);
    }
}

#[cfg(test)]
#[path = "poison_tests.rs"]
mod tests;
