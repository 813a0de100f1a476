//! Who goes on next among those that could. Pure.
//!
//! Repositories and teams take turns: who has the fewest at work is first, so that a busy one does not hold
//! up the others. Within one the higher priority is first, but age counts too: each minute of waiting
//! weighs as much as a step of priority, so that nobody waits for ever behind newcomers. Runs that try
//! again something that failed leave some slots to those that try for the first time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::ids::RunId;
use crate::time::Timestamp;

/// Waiting that weighs as much as one step of priority: a run of the lowest priority is overtaken by those
/// of the highest that come within nine times this, and by no others.
const AGING: Duration = Duration::from_secs(60);

/// Of so many slots one is left to first attempts.
const ONE_IN: usize = 4;

/// What decides about the turn of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The run.
    pub run: RunId,
    /// Whose turn it takes: the repository or the team.
    pub fair_key: String,
    /// 1 (last) to 10 (first).
    pub priority: u8,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whether what it would do has failed before.
    pub again: bool,
}

/// The earlier, the sooner: the start, brought forward by the priority.
pub type Rank = (Timestamp, RunId);

impl Turn {
    /// Its place among those of the same key.
    pub fn rank(&self) -> Rank {
        (self.started_at.minus(AGING.saturating_mul(u32::from(self.priority))), self.run)
    }
}

/// The first of a queue: how many of its key are at work, its rank, its key.
type First = (usize, Rank, String);

/// Those that could go on, and those at work.
#[derive(Clone, Debug)]
pub struct Ready {
    slots: usize,
    /// Whether keys take turns.
    fair: bool,
    waiting: HashMap<RunId, Turn>,
    /// By key, first attempts and others apart.
    queues: BTreeMap<(bool, String), BTreeSet<Rank>>,
    /// The first of each queue, by how many of its key are at work.
    firsts: [BTreeSet<First>; 2],
    at_work: HashMap<RunId, (String, bool)>,
    at_work_of: HashMap<String, usize>,
    /// Of those at work, how many try again.
    trying_again: usize,
}

impl Ready {
    /// So many may be at work at once; with `fair` repositories and teams take turns.
    pub fn new(slots: usize, fair: bool) -> Self {
        Self {
            slots,
            fair,
            waiting: HashMap::new(),
            queues: BTreeMap::new(),
            firsts: [BTreeSet::new(), BTreeSet::new()],
            at_work: HashMap::new(),
            at_work_of: HashMap::new(),
            trying_again: 0,
        }
    }

    /// A run could go on.
    pub fn wait(&mut self, mut turn: Turn) {
        self.remove(turn.run);
        if !self.fair {
            turn.fair_key.clear();
        }
        let (again, key, rank, run) = (turn.again, turn.fair_key.clone(), turn.rank(), turn.run);
        self.waiting.insert(run, turn);
        self.change(again, &key, |queue| _ = queue.insert(rank));
    }

    /// A run is at work.
    pub fn work(&mut self, run: RunId, fair_key: &str, again: bool) {
        self.remove(run);
        let key = if self.fair { fair_key.to_owned() } else { String::new() };
        self.at_work.insert(run, (key.clone(), again));
        self.trying_again += usize::from(again);
        self.count(&key, 1);
    }

    /// A run does not wait any more; if it is at work it goes on with that.
    pub fn withdraw(&mut self, run: RunId) {
        if let Some(turn) = self.waiting.remove(&run) {
            let rank = turn.rank();
            self.change(turn.again, &turn.fair_key, |queue| _ = queue.remove(&rank));
        }
    }

    /// Whether a run is at work, or was told to go on.
    pub fn is_at_work(&self, run: RunId) -> bool {
        self.at_work.contains_key(&run)
    }

    /// A run neither waits nor works.
    pub fn remove(&mut self, run: RunId) {
        self.withdraw(run);
        if let Some((key, again)) = self.at_work.remove(&run) {
            self.trying_again -= usize::from(again);
            self.count(&key, -1);
        }
    }

    /// The next one that goes on; it is at work from now on.
    pub fn go_on(&mut self) -> Option<RunId> {
        let left_to_first = self.slots / ONE_IN;
        let [first, again] = self.firsts.each_ref().map(|firsts| firsts.first().cloned());
        let again = again.filter(|_| self.trying_again + left_to_first < self.slots);
        let (_, (_, run), _) =
            [first, again].into_iter().flatten().min().filter(|_| self.at_work.len() < self.slots)?;
        let turn = self.waiting.get(&run)?.clone();
        self.work(run, &turn.fair_key, turn.again);
        Some(run)
    }

    /// How many are at work.
    pub fn at_work(&self) -> usize {
        self.at_work.len()
    }

    /// Whether nobody waits and nobody works.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.at_work.is_empty()
    }

    fn count(&mut self, key: &str, by: isize) {
        let before = self.at_work_of.get(key).copied().unwrap_or_default();
        let after = before.saturating_add_signed(by);
        for again in [false, true] {
            self.take_first(again, key, before);
        }
        if after == 0 {
            self.at_work_of.remove(key);
        } else {
            self.at_work_of.insert(key.to_owned(), after);
        }
        for again in [false, true] {
            self.put_first(again, key, after);
        }
    }

    fn change(&mut self, again: bool, key: &str, change: impl FnOnce(&mut BTreeSet<Rank>)) {
        let at_work = self.at_work_of.get(key).copied().unwrap_or_default();
        self.take_first(again, key, at_work);
        let queue = self.queues.entry((again, key.to_owned())).or_default();
        change(queue);
        if queue.is_empty() {
            self.queues.remove(&(again, key.to_owned()));
        }
        self.put_first(again, key, at_work);
    }

    /// Where the first of a queue stands, and as what.
    fn first(&mut self, again: bool, key: &str, at_work: usize) -> Option<(&mut BTreeSet<First>, First)> {
        let rank = *self.queues.get(&(again, key.to_owned()))?.first()?;
        let [first, others] = &mut self.firsts;
        Some((if again { others } else { first }, (at_work, rank, key.to_owned())))
    }

    fn take_first(&mut self, again: bool, key: &str, at_work: usize) {
        if let Some((firsts, entry)) = self.first(again, key, at_work) {
            firsts.remove(&entry);
        }
    }

    fn put_first(&mut self, again: bool, key: &str, at_work: usize) {
        if let Some((firsts, entry)) = self.first(again, key, at_work) {
            firsts.insert(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(number: u8) -> RunId {
        RunId::from_bytes([number; 16])
    }

    fn turn(number: u8, key: &str, priority: u8, minute: u32) -> Turn {
        let started_at = Timestamp::from_millis(0).plus(Duration::from_secs(60) * minute);
        Turn { run: run(number), fair_key: key.to_owned(), priority, started_at, again: false }
    }

    #[test]
    fn a_busy_key_does_not_hold_up_the_others() {
        let mut ready = Ready::new(2, true);
        (1..=9).for_each(|number| ready.wait(turn(number, "busy", 10, 0)));
        assert_eq!([ready.go_on(), ready.go_on(), ready.go_on()], [Some(run(1)), Some(run(2)), None]);
        ready.wait(turn(20, "idle", 1, 5));
        ready.remove(run(1));
        assert_eq!(ready.go_on(), Some(run(20)), "who has none at work is first, whatever its priority");
        ready.remove(run(20));
        assert_eq!(ready.go_on(), Some(run(3)));
    }

    #[test]
    fn priority_counts_within_a_key_and_age_counts_as_well() {
        let mut ready = Ready::new(1, true);
        ready.wait(turn(1, "k", 1, 0));
        for number in 2..=12 {
            ready.wait(turn(number, "k", 10, u32::from(number)));
        }
        let mut order = Vec::new();
        while let Some(next) = ready.go_on() {
            order.push(next);
            ready.remove(next);
        }
        let place = order.iter().position(|next| *next == run(1));
        assert_eq!(place, Some(7), "those of the next nine minutes overtake it, and no others: {order:?}");
    }

    #[test]
    fn without_fairness_only_priority_and_age_count() {
        let mut ready = Ready::new(2, false);
        ready.wait(turn(1, "a", 9, 0));
        ready.wait(turn(2, "a", 9, 0));
        ready.wait(turn(3, "b", 1, 0));
        assert_eq!([ready.go_on(), ready.go_on()], [Some(run(1)), Some(run(2))]);
    }

    #[test]
    fn first_attempts_find_a_slot_beside_many_that_try_again() {
        let mut ready = Ready::new(4, true);
        for number in 1..=8 {
            ready.wait(Turn { again: true, ..turn(number, "k", 10, 0) });
        }
        assert_eq!((0..4).filter_map(|_| ready.go_on()).count(), 3, "one slot is left to them");
        ready.wait(turn(20, "k", 1, 9));
        assert_eq!(ready.go_on(), Some(run(20)));
        let mut only = Ready::new(1, true);
        only.wait(Turn { again: true, ..turn(1, "k", 5, 0) });
        assert_eq!(only.go_on(), Some(run(1)), "a single slot is everybody's");
    }

    proptest! {
        /// Whatever happens in whatever order: never more at work than slots, nobody twice, and whoever
        /// waits goes on in the end.
        #[test]
        fn slots_hold_and_nobody_is_forgotten(steps in prop::collection::vec((0..20_u8, 0..4_u8), 1..200)) {
            let mut ready = Ready::new(3, true);
            let of = |number: u8, again| Turn { again, ..turn(number, ["a", "b", "c"][usize::from(number % 3)], number % 10 + 1, 0) };
            let mut at_work = BTreeSet::new();
            for (number, what) in steps {
                match what {
                    0 | 1 if !at_work.contains(&run(number)) => ready.wait(of(number, what == 1)),
                    2 => {
                        ready.remove(run(number));
                        at_work.remove(&run(number));
                    }
                    _ => at_work.extend(ready.go_on()),
                }
                prop_assert!(at_work.len() <= 3 && ready.at_work() == at_work.len());
            }
            while !ready.is_empty() {
                at_work.extend(ready.go_on());
                let Some(done) = at_work.pop_first() else { break };
                ready.remove(done);
            }
            prop_assert!(ready.is_empty() && ready.firsts.iter().all(BTreeSet::is_empty) && ready.queues.is_empty());
        }
    }
}
