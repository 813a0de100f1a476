//! When a circuit opens, and when it closes again. Pure: the clock is an input.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The window rolls in so many parts.
const PARTS: u32 = 10;

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// So many calls must have failed within the window …
    pub threshold: u32,
    /// … and be this share of all of its calls.
    pub failure_rate: f64,
    /// How far back calls count.
    pub window: Duration,
    /// How long nobody calls before one call probes.
    pub open_for: Duration,
}

impl Policy {
    /// Services are called however often they fail: what is disabled is so all the same.
    pub const NEVER: Self =
        Self { threshold: u32::MAX, failure_rate: 1.0, window: Duration::from_secs(60), open_for: Duration::ZERO };
}

/// How a circuit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Condition {
    /// The service is called.
    Closed,
    /// Nobody calls it.
    Open {
        /// Until then.
        until: Timestamp,
    },
    /// One call at a time probes it.
    HalfOpen,
    /// It has said that it will never answer. Nobody calls it until somebody closes the circuit, or it is configured
    /// otherwise.
    Disabled {
        /// The hash of what is configured of it.
        configuration: u64,
    },
}

impl Condition {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
            Self::Disabled { .. } => "disabled",
        }
    }
}

/// How the circuit of a service is, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRecord {
    /// The service.
    pub name: String,
    /// How it is.
    #[serde(flatten)]
    pub condition: Condition,
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// The circuit of one service.
#[derive(Clone, Debug)]
pub struct Circuit {
    policy: Policy,
    condition: Condition,
    /// The calls of the window, by part.
    parts: VecDeque<Part>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    begins: Timestamp,
    calls: u32,
    failures: u32,
}

impl Circuit {
    /// A circuit that is in this condition.
    pub fn new(policy: Policy, condition: Condition) -> Self {
        Self { policy, condition, parts: VecDeque::new() }
    }

    /// How it is.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// How many calls of the window there were at `now`, and how many of them failed.
    pub fn calls(&mut self, now: Timestamp) -> (u32, u32) {
        self.roll(now);
        self.parts.iter().fold((0, 0), |(calls, failures), part| (calls + part.calls, failures + part.failures))
    }

    /// A call has ended. Gives the new condition, if it is another.
    pub fn observe(&mut self, failed: bool, now: Timestamp) -> Option<Condition> {
        match self.condition {
            // A call that was under way when it opened says nothing about now.
            Condition::Open { .. } | Condition::Disabled { .. } => None,
            Condition::HalfOpen if failed => Some(self.open(now)),
            Condition::HalfOpen => Some(self.close()),
            Condition::Closed => {
                self.count(failed, now);
                let (calls, failures) = self.calls(now);
                let opens = failed
                    && failures >= self.policy.threshold
                    && f64::from(failures) >= self.policy.failure_rate * f64::from(calls);
                opens.then(|| self.open(now))
            }
        }
    }

    /// The time has come to `now`. Gives the new condition, if it is another.
    pub fn tick(&mut self, now: Timestamp) -> Option<Condition> {
        match self.condition {
            Condition::Open { until } if until <= now => {
                self.condition = Condition::HalfOpen;
                Some(self.condition)
            }
            _ => None,
        }
    }

    /// Somebody knows that the service is well. Gives the new condition, if it is another.
    pub fn reset(&mut self) -> Option<Condition> {
        let was_closed = self.condition == Condition::Closed;
        let closed = self.close();
        (!was_closed).then_some(closed)
    }

    /// It will never answer as it is configured. Gives the new condition, if it is another.
    pub fn disable(&mut self, configuration: u64) -> Option<Condition> {
        let disabled = Condition::Disabled { configuration };
        self.parts.clear();
        let before = std::mem::replace(&mut self.condition, disabled);
        (before != disabled).then_some(disabled)
    }

    fn open(&mut self, now: Timestamp) -> Condition {
        self.parts.clear();
        self.condition = Condition::Open { until: now.plus(self.policy.open_for) };
        self.condition
    }

    fn close(&mut self) -> Condition {
        self.parts.clear();
        self.condition = Condition::Closed;
        self.condition
    }

    fn count(&mut self, failed: bool, now: Timestamp) {
        self.roll(now);
        let part = self.policy.window / PARTS;
        if self.parts.back().is_none_or(|last| now.since(last.begins) >= part) {
            self.parts.push_back(Part { begins: now, calls: 0, failures: 0 });
        }
        if let Some(last) = self.parts.back_mut() {
            last.calls += 1;
            last.failures += u32::from(failed);
        }
    }

    fn roll(&mut self, now: Timestamp) {
        while self.parts.front().is_some_and(|first| now.since(first.begins) >= self.policy.window) {
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { threshold: 3, failure_rate: 0.5, window: Duration::from_secs(10), open_for: Duration::from_secs(60) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    /// What calls at these seconds make of a closed circuit; negative ones fail.
    fn after(calls: &[i64]) -> Circuit {
        let mut circuit = Circuit::new(POLICY, Condition::Closed);
        for call in calls {
            circuit.observe(*call < 0, at(call.abs()));
        }
        circuit
    }

    #[test]
    fn it_opens_when_enough_fail_and_they_are_a_share_of_all() {
        let check = |calls: &[i64], expect: Condition| assert_eq!(after(calls).condition(), expect, "{calls:?}");
        check(&[-1, -2], Condition::Closed);
        check(&[-1, -2, -3], Condition::Open { until: at(63) });
        check(&[-1, 2, -3, 4, -5], Condition::Open { until: at(65) });
        check(&[1, 1, 1, 1, -2, -3, -4], Condition::Closed);
        check(&[-1, -2, -11], Condition::Closed);
        check(&[-1, -2, -12], Condition::Closed);
        check(&[-2, -3, -11], Condition::Open { until: at(71) });
    }

    #[test]
    fn one_call_probes_and_decides() {
        let mut circuit = after(&[-1, -2, -3]);
        assert_eq!(circuit.observe(true, at(4)), None, "one that was under way");
        assert_eq!(circuit.tick(at(62)), None);
        assert_eq!(circuit.tick(at(63)), Some(Condition::HalfOpen));
        assert_eq!(circuit.observe(true, at(64)), Some(Condition::Open { until: at(124) }));
        assert_eq!(circuit.tick(at(124)), Some(Condition::HalfOpen));
        assert_eq!(circuit.observe(false, at(125)), Some(Condition::Closed));
        assert_eq!(circuit.observe(true, at(126)), None, "what failed before is forgotten");
    }

    #[test]
    fn what_is_disabled_is_so_until_somebody_closes_it() {
        let mut circuit = after(&[-1]);
        let disabled = Condition::Disabled { configuration: 7 };
        assert_eq!(circuit.disable(7), Some(disabled));
        assert_eq!(circuit.disable(7), None);
        assert_eq!((circuit.observe(false, at(2)), circuit.observe(true, at(2))), (None, None));
        assert_eq!((circuit.tick(at(1_000)), circuit.condition()), (None, disabled));
        assert_eq!(circuit.reset(), Some(Condition::Closed));
    }

    #[test]
    fn whoever_knows_better_closes_it() {
        let mut circuit = after(&[-1, -2, -3]);
        assert_eq!(circuit.reset(), Some(Condition::Closed));
        assert_eq!(circuit.reset(), None);
        assert_eq!(circuit.calls(at(4)), (0, 0));
    }
}
