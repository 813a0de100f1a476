//! Which times come next. Pure: the clock is an input.

use std::collections::{BTreeSet, HashMap};

use crate::ids::RunId;
use crate::time::Timestamp;

/// The next time of each run, with the workflow that is told.
#[derive(Debug, Default)]
pub struct Schedule {
    by_time: BTreeSet<(Timestamp, RunId)>,
    by_run: HashMap<RunId, (Timestamp, String)>,
}

/// A time that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The time.
    pub at: Timestamp,
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
}

impl Schedule {
    /// Sets the next time of a run, instead of the one that it had; `None` for none.
    pub fn set(&mut self, run: RunId, workflow: &str, at: Option<Timestamp>) {
        if let Some((before, _)) = self.by_run.remove(&run) {
            self.by_time.remove(&(before, run));
        }
        if let Some(at) = at {
            self.by_time.insert((at, run));
            self.by_run.insert(run, (at, workflow.to_owned()));
        }
    }

    /// Sets the next time of a run that has none.
    pub fn set_if_new(&mut self, run: RunId, workflow: &str, at: Timestamp) {
        if !self.by_run.contains_key(&run) {
            self.set(run, workflow, Some(at));
        }
    }

    /// Takes out what is due at `now`, in the order of the times.
    pub fn due(&mut self, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some((at, run)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, run));
            if let Some((_, workflow)) = self.by_run.remove(&run) {
                due.push(Due { at, run, workflow });
            }
        }
        due
    }

    /// The next time.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// How many runs have one.
    pub fn len(&self) -> usize {
        self.by_run.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.by_run.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u8) -> RunId {
        RunId::from_bytes([number; 16])
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn told(schedule: &mut Schedule, now: i64) -> Vec<RunId> {
        schedule.due(at(now)).into_iter().map(|due| due.run).collect()
    }

    #[test]
    fn times_come_in_their_order_never_early_and_once() {
        let mut schedule = Schedule::default();
        for (number, time) in [(1, 30), (2, 10), (3, 20)] {
            schedule.set(run(number), "w", Some(at(time)));
        }
        assert_eq!(told(&mut schedule, 9), []);
        assert_eq!(told(&mut schedule, 20), [run(2), run(3)]);
        assert_eq!(told(&mut schedule, 20), []);
        assert_eq!(schedule.next(), Some(at(30)));
    }

    #[test]
    fn a_new_time_replaces_the_old_one() {
        let mut schedule = Schedule::default();
        schedule.set(run(1), "w", Some(at(10)));
        schedule.set(run(1), "w", Some(at(50)));
        schedule.set(run(2), "w", Some(at(10)));
        schedule.set(run(2), "w", None);
        assert_eq!((told(&mut schedule, 49), schedule.len()), (vec![], 1));
        assert_eq!(told(&mut schedule, 50), [run(1)]);
        assert!(schedule.is_empty());
    }
}
