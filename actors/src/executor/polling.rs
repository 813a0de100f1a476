//! Who is asked next whether what a run waits for is done. Pure: the time is an input, and it is one that never goes
//! back, since nothing of this outlives the process: whoever takes up runs asks again, not everybody at once.
//!
//! Asking changes nothing, so nothing of it is written down; only an answer is, as the end of the wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::port::Polling;
use super::progress::{Progress, StepState};
use crate::ids::{RunId, WaitId};
use crate::time::Timestamp;
use crate::workflow::definition::Definition;
use crate::workflow::retry::{LONGEST_RETRY_AFTER, spread};

/// Most questions that an executor has at work at once, however many of its runs wait.
pub const MOST_AT_WORK: usize = 4;

/// A wait that is asked after.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// The wait.
    pub wait: WaitId,
    /// How often.
    pub polling: Polling,
    /// The services that are called for it.
    pub services: &'static [&'static str],
    /// How long after now at first.
    pub first_in: Duration,
}

/// The waits of a run that are asked after, at `now`. A paused run asks nobody.
///
/// The first question comes a pause after the wait began, or at once if that was long ago, and then up to a pause later: a
/// thousand runs that are taken up together ask one after the other.
pub fn open(run: RunId, progress: &Progress, definition: &Definition, now: Timestamp) -> Vec<Open> {
    let of_step = |(name, state): (&String, &StepState)| {
        let StepState::Waiting { until, run: None, .. } = state else { return None };
        let step = definition.step(name)?;
        let waits = step.waits.as_ref()?;
        let polling = waits.polling?;
        let asked_first = until.minus(waits.deadline).plus(polling.first);
        let spread_by = polling.first.mul_f64(spread(run, name, 0)).as_millis();
        let first_in = asked_first.since(now) + Duration::from_millis(u64::try_from(spread_by).unwrap_or_default());
        Some(Open { wait: state.wait()?.id, polling, services: step.services, first_in })
    };
    if progress.paused { Vec::new() } else { progress.steps.iter().filter_map(of_step).collect() }
}

/// The waits of an executor's runs that are asked after.
#[derive(Debug, Default)]
pub struct Polls {
    by_wait: BTreeMap<(RunId, WaitId), Poll>,
    by_time: BTreeSet<(Duration, RunId, WaitId)>,
    at_work: usize,
}

#[derive(Debug)]
struct Poll {
    polling: Polling,
    services: &'static [&'static str],
    asked: u32,
    /// When it is asked next; nothing while it is.
    due: Option<Duration>,
}

impl Polls {
    /// From now on these waits of a run are asked after, and no others. Those that were already keep their time. Says
    /// whether something is new.
    pub fn keep(&mut self, run: RunId, open: Vec<Open>, now: Duration) -> bool {
        let of_run = (run, WaitId::from_bytes([0; 16]))..=(run, WaitId::from_bytes([u8::MAX; 16]));
        let known = self.by_wait.range(of_run).map(|((_, wait), _)| *wait);
        let gone: Vec<WaitId> = known.filter(|wait| open.iter().all(|open| open.wait != *wait)).collect();
        for wait in gone {
            if let Some(Poll { due: Some(due), .. }) = self.by_wait.remove(&(run, wait)) {
                self.by_time.remove(&(due, run, wait));
            }
        }
        let mut is_new = false;
        for Open { wait, polling, services, first_in } in open {
            if !self.by_wait.contains_key(&(run, wait)) {
                let due = Some(now + first_in);
                self.by_time.insert((now + first_in, run, wait));
                self.by_wait.insert((run, wait), Poll { polling, services, asked: 0, due });
                is_new = true;
            }
        }
        is_new
    }

    /// The next wait that is to be asked after now, if there is one whose services may be called, and room for it. It is at
    /// work then, until [it was asked](Self::asked).
    pub fn next(&mut self, now: Duration, may_call: impl Fn(&[&str]) -> bool) -> Option<(RunId, WaitId)> {
        if self.at_work >= MOST_AT_WORK {
            return None;
        }
        let may_ask = |poll: &Poll| may_call(poll.services);
        let mut due = self.by_time.iter().take_while(|(due, ..)| *due <= now);
        let (due, run, wait) =
            due.find(|(_, run, wait)| self.by_wait.get(&(*run, *wait)).is_some_and(may_ask)).copied()?;
        self.by_time.remove(&(due, run, wait));
        if let Some(poll) = self.by_wait.get_mut(&(run, wait)) {
            poll.due = None;
        }
        self.at_work += 1;
        Some((run, wait))
    }

    /// It was asked, and will be again unless that was the end of the wait: after a pause that grows, and not before the
    /// provider wants to be asked.
    pub fn asked(&mut self, run: RunId, wait: WaitId, now: Duration, retry_after: Option<Duration>) {
        self.at_work = self.at_work.saturating_sub(1);
        let Some(poll) = self.by_wait.get_mut(&(run, wait)).filter(|poll| poll.due.is_none()) else { return };
        poll.asked = poll.asked.saturating_add(1);
        let Polling { first, most } = poll.polling;
        let growth = 1_u32.checked_shl(poll.asked).unwrap_or(u32::MAX);
        let pause = first.saturating_mul(growth).min(most.max(first));
        let due = now + retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER).max(pause);
        poll.due = Some(due);
        self.by_time.insert((due, run, wait));
    }

    /// When somebody is to be asked next, after now. Of those who are due already it is the end of another question, or of
    /// an outage, that makes room.
    pub fn wake(&self, now: Duration) -> Option<Duration> {
        let mut later = self
            .by_time
            .range((now + Duration::from_nanos(1), RunId::from_bytes([0; 16]), WaitId::from_bytes([0; 16]))..);
        later.next().map(|(due, ..)| *due)
    }
}

#[cfg(test)]
#[path = "polling_tests.rs"]
mod tests;
