//! How a run stands by what is stored of it, and whether that can be. Pure.
//!
//! A run that is not over is exactly one of: about to go on, at work until a time, waiting until a time,
//! queued behind a limit, parked for a reason. What is none of these, or has been for too long, is a finding.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;

use crate::executor::outages::Outages;
use crate::executor::progress::{Progress, StepState};
use crate::ids::RunId;
use crate::run::{RunHead, RunRecord, Standing};
use crate::time::Timestamp;
use crate::workflow::definition::Definition;

/// So many findings are shown, however many there are.
const MOST_SHOWN: usize = 20;

/// A run that does not stand as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// What is wrong, in words.
    pub problem: String,
}

/// What an audit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Runs that are not over.
    pub runs: u64,
    /// Those that could go on: next, or as soon as a limit allows.
    pub ready: u64,
    /// Those at work.
    pub at_work: u64,
    /// Those that wait for a time or a callback.
    pub waiting: u64,
    /// Those that wait for a person, a service or a definition.
    pub parked: u64,
    /// Those that do not stand as they should.
    pub broken: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

/// An audit that is under way.
pub struct Audit {
    now: Timestamp,
    /// What may be late by so much is not late.
    grace: Duration,
    slots: usize,
    report: Report,
    /// Those that could go on and have not for longer than the grace, with their place.
    idle: Vec<(Finding, Option<Room>)>,
    /// How many hold a place in each group.
    inside: HashMap<(String, String), usize>,
    /// Since when calls of each service pass, or do not.
    moved: BTreeMap<String, Timestamp>,
}

/// A group, and how many may have a place in it.
type Room = ((String, String), usize);

/// A run, as it is stored.
pub struct Stored<'a> {
    /// What it was started with.
    pub run: &'a RunRecord,
    /// The sum of its journal, as lists show it.
    pub head: &'a RunHead,
    /// The sum of its journal, recomputed.
    pub progress: &'a Progress,
    /// What it is pinned to, if that can be executed.
    pub definition: Option<&'a Definition>,
}

impl Audit {
    /// An audit at `now`, of runs of which so many may be at work at once.
    pub fn new(now: Timestamp, grace: Duration, slots: usize) -> Self {
        let (report, idle, inside, moved) = Default::default();
        Self { now, grace, slots, report, idle, inside, moved }
    }

    /// Since when calls of each service pass, or do not: a run that a service held could not go on before.
    pub fn circuits(&mut self, moved: BTreeMap<String, Timestamp>) {
        self.moved = moved;
    }

    /// Looks at one run.
    pub fn look(&mut self, stored: &Stored<'_>, outages: &Outages) {
        let Stored { run, head, progress, definition } = stored;
        self.report.runs += 1;
        let recomputed = progress.head(head.updated_at);
        if (recomputed.status, recomputed.revision) != (head.status, head.revision) {
            self.find(
                run,
                format!("lists show it as {}, its journal says {}", head.status.name(), recomputed.status.name()),
            );
        }
        if progress.blocked.is_some() {
            self.report.parked += 1;
            return;
        }
        let Some(definition) = definition else {
            self.report.parked += 1;
            return self.find(run, "its definition cannot be executed, and it does not say so".to_owned());
        };
        let place = definition.place_of(run).ok().flatten().map(|place| (place.group, place.limit));
        let standing = progress.standing(definition, self.now, outages);
        if !matches!(standing, Standing::Queued | Standing::Settling | Standing::Held)
            && let Some((group, _)) = &place
        {
            *self.inside.entry(group.clone()).or_default() += 1;
        }
        match standing {
            Standing::Over => self.find(run, "it is over, and is listed as open".to_owned()),
            Standing::Busy => self.at_work(run, progress),
            Standing::Queued | Standing::Runnable => self.ready(run, progress, place),
            Standing::Settling => self.waits(run, progress.wake(Timestamp::default())),
            Standing::Held => self.report.parked += 1,
            Standing::Parked => self.parked(run, progress),
        }
    }

    /// Everything was looked at.
    pub fn finish(mut self) -> Report {
        let has_slots = usize::try_from(self.report.at_work).unwrap_or(usize::MAX) < self.slots;
        for (finding, place) in std::mem::take(&mut self.idle) {
            let has_place = place.is_none_or(|(group, limit)| {
                self.inside.get(&group).copied().unwrap_or_default() < limit || finding.problem.ends_with(BEGUN)
            });
            if has_slots && has_place {
                self.add(finding);
            }
        }
        self.report
    }

    fn at_work(&mut self, run: &RunRecord, progress: &Progress) {
        self.report.at_work += 1;
        let until = progress.in_flight().map(|(_, flying)| flying.until).min();
        if until.is_some_and(|until| until.plus(self.grace) < self.now) {
            self.find(run, "its attempt should have ended long ago".to_owned());
        }
    }

    fn ready(&mut self, run: &RunRecord, progress: &Progress, place: Option<Room>) {
        self.report.ready += 1;
        let held = progress.steps.values().filter_map(|state| match state {
            StepState::Held { service, .. } => self.moved.get(service).copied(),
            _ => None,
        });
        let since = held.chain([progress.ready_since(self.now)]).max().unwrap_or_default();
        if since.plus(self.grace) < self.now {
            let begun = if progress.left.is_some() || progress.is_undoing() { BEGUN } else { "" };
            let problem = format!("it could go on since {since}, and does not{begun}");
            self.idle.push((finding(run, problem), place));
        }
    }

    fn waits(&mut self, run: &RunRecord, until: Option<Timestamp>) {
        self.report.waiting += 1;
        if until.is_none() {
            self.find(run, "it waits, and for no time".to_owned());
        }
    }

    fn parked(&mut self, run: &RunRecord, progress: &Progress) {
        let has_time = progress.wake(self.now).is_some();
        let held = progress.steps.values().any(|state| matches!(state, StepState::Held { .. }));
        let failed =
            progress.is_undoing() && progress.steps.values().any(|state| matches!(state, StepState::Failed(_)));
        // Runs that it has started are looked at themselves.
        let runs = progress.children().next().is_some();
        match (has_time, progress.paused || progress.is_in_doubt() || held || failed || runs) {
            (true, _) => self.report.waiting += 1,
            (false, true) => self.report.parked += 1,
            (false, false) => {
                self.report.parked += 1;
                self.find(run, "it waits for nothing".to_owned());
            }
        }
    }

    fn find(&mut self, run: &RunRecord, problem: String) {
        self.add(finding(run, problem));
    }

    fn add(&mut self, finding: Finding) {
        self.report.broken += 1;
        if self.report.findings.len() < MOST_SHOWN {
            self.report.findings.push(finding);
        }
    }
}

/// Said of a run that has its place already.
const BEGUN: &str = ", although it has begun";

fn finding(run: &RunRecord, problem: String) -> Finding {
    Finding { run: run.id, workflow: run.workflow.clone(), problem }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
