//! Which runs may go on, and which make way. Pure.
//!
//! Every run reports how it stands; what is free follows from that. A run that may not go on beside
//! others holds its place in their group from its first step to its end; whether it holds a slot
//! depends on whether it is at work.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, HashMap, HashSet};

use super::order;
use crate::ids::RunId;
use crate::time::Timestamp;
use crate::workflow::definition::Place;
use crate::workflow::spec::OnNewer;

/// What is known of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// 1 (last) to 10 (first).
    pub priority: u8,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whom it must not go on beside.
    pub place: Option<Place>,
}

/// How a run stands, as far as others are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not begun.
    Queued,
    /// It has begun and could go on.
    Runnable,
    /// It is at work.
    Busy,
    /// It waits for something else than a slot.
    Parked,
    /// It is over.
    Over,
}

/// Says how a run stands. Reports follow the journal: what is reported is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The run.
    pub ticket: Ticket,
    /// How it stands.
    pub standing: Standing,
    /// At which revision of its journal.
    pub revision: u32,
}

/// What a run is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Go(RunId),
    /// Make way, in words.
    Supersede(RunId, String),
}

/// All runs that are not over.
///
/// A run that has been told to make way is not told to go on any more.
#[derive(Debug)]
pub struct Queue {
    /// Runs that may be at work at once.
    slots: usize,
    /// Workflows whose runs are not all known yet. Until they are, nobody is told to go on: a run that
    /// has not been heard of may hold a slot, or a place in a group.
    uncounted: HashSet<String>,
    runs: HashMap<RunId, Known>,
    /// Those that could go on now, first to go first.
    ready: BTreeSet<Rank>,
    /// Those at work, and those told to go.
    busy: HashSet<RunId>,
    groups: HashMap<(String, String), Group>,
}

#[derive(Debug)]
struct Known {
    ticket: Ticket,
    standing: Standing,
    /// Reports that are older than this say nothing new.
    revision: u32,
    /// Why it was told to make way. It is told again with every report until it has.
    told_off: Option<String>,
}

#[derive(Debug, Default)]
struct Group {
    /// Those that hold a place.
    inside: HashSet<RunId>,
    /// Those that wait for one.
    outside: BTreeSet<Rank>,
}

/// First to go first: by priority, then by age.
type Rank = (Reverse<u8>, Timestamp, RunId);

impl Ticket {
    fn rank(&self) -> Rank {
        (Reverse(self.priority), self.started_at, self.run)
    }
}

impl Queue {
    /// A queue for so many runs at work at once, which goes on when it knows the runs of these workflows.
    pub fn new(slots: usize, uncounted: HashSet<String>) -> Self {
        let (ready, busy) = (BTreeSet::new(), HashSet::new());
        Self { slots, uncounted, runs: HashMap::new(), ready, busy, groups: HashMap::new() }
    }

    /// Takes in how all runs of a workflow stand. One that is known and not among them is over.
    pub fn census(&mut self, workflow: &str, reports: Vec<Report>) -> Vec<Order> {
        let listed: HashSet<RunId> = reports.iter().map(|report| report.ticket.run).collect();
        let gone = |(run, known): (&RunId, &Known)| {
            (known.ticket.workflow == workflow && !listed.contains(run)).then_some(*run)
        };
        let gone: Vec<RunId> = self.runs.iter().filter_map(gone).collect();
        gone.into_iter().for_each(|run| self.forget(run));
        let mut orders: Vec<Order> = reports.into_iter().flat_map(|report| self.report(report)).collect();
        orders.extend(self.counted(workflow));
        orders
    }

    /// The runs of this workflow are known, or nobody can tell of them any more.
    pub fn counted(&mut self, workflow: &str) -> Vec<Order> {
        self.uncounted.remove(workflow);
        self.go()
    }

    /// The workflows whose runs are not all known yet.
    pub fn uncounted(&self) -> impl Iterator<Item = &String> {
        self.uncounted.iter()
    }

    /// Takes in how a run stands at this revision of its journal, and says who is told what.
    pub fn report(&mut self, report: Report) -> Vec<Order> {
        let Report { ticket, standing, revision } = report;
        let mut orders = Vec::new();
        let run = ticket.run;
        if self.runs.get(&run).is_some_and(|known| known.revision > revision) {
            return orders;
        }
        if standing == Standing::Over {
            self.forget(run);
        } else {
            let told_off = self.runs.get(&run).map(|known| known.told_off.clone());
            let newcomer = if told_off.is_none() { self.make_way(&ticket, standing) } else { Vec::new() };
            self.keep(ticket, standing, (revision, told_off.flatten()));
            for (run, reason) in newcomer {
                if let Some(known) = self.runs.get_mut(&run) {
                    known.told_off = Some(reason.clone());
                    self.ready.remove(&known.ticket.rank());
                    orders.push(Order::Supersede(run, reason));
                }
            }
            let told_off = self.runs.get(&run).and_then(|known| known.told_off.clone());
            if let Some(reason) = told_off.filter(|_| orders.is_empty()) {
                orders.push(Order::Supersede(run, reason));
            }
        }
        orders.extend(self.go());
        orders
    }

    /// Forgets a run; its place and its slot are free.
    pub fn forget(&mut self, run: RunId) {
        let Some(known) = self.runs.remove(&run) else { return };
        let rank = known.ticket.rank();
        self.ready.remove(&rank);
        self.busy.remove(&run);
        let Some(place) = known.ticket.place else { return };
        let Some(group) = self.groups.get_mut(&place.group) else { return };
        group.inside.remove(&run);
        group.outside.remove(&rank);
        while group.inside.len() < place.limit {
            let Some(next) = group.outside.pop_first() else { break };
            group.inside.insert(next.2);
            if self.runs.get(&next.2).is_some_and(|known| known.told_off.is_none()) {
                self.ready.insert(next);
            }
        }
        if group.inside.is_empty() && group.outside.is_empty() {
            self.groups.remove(&place.group);
        }
    }

    /// The workflow of a run that is known.
    pub fn workflow_of(&self, run: RunId) -> Option<&str> {
        self.runs.get(&run).map(|known| known.ticket.workflow.as_str())
    }

    /// How many are known, and how many of them are at work.
    pub fn sizes(&self) -> (usize, usize) {
        (self.runs.len(), self.busy.len())
    }

    fn keep(&mut self, ticket: Ticket, standing: Standing, (revision, told_off): (u32, Option<String>)) {
        let (run, rank) = (ticket.run, ticket.rank());
        self.ready.remove(&rank);
        self.busy.remove(&run);
        let goes_on = told_off.is_none();
        match standing {
            Standing::Busy => _ = self.busy.insert(run),
            Standing::Runnable if goes_on => _ = self.ready.insert(rank),
            Standing::Queued | Standing::Runnable | Standing::Parked | Standing::Over => {}
        }
        match &ticket.place {
            None if standing == Standing::Queued => _ = self.ready.insert(rank),
            None => {}
            Some(place) => {
                let group = self.groups.entry(place.group.clone()).or_default();
                if standing != Standing::Queued {
                    group.inside.insert(run);
                    group.outside.remove(&rank);
                } else if group.inside.contains(&run) || group.inside.len() < place.limit {
                    group.inside.insert(run);
                    if goes_on {
                        self.ready.insert(rank);
                    }
                } else {
                    group.outside.insert(rank);
                }
            }
        }
        self.runs.insert(run, Known { ticket, standing, revision, told_off });
    }

    /// Who makes way when this run comes into its group: it, or others.
    fn make_way(&self, new: &Ticket, standing: Standing) -> Vec<(RunId, String)> {
        let Some(place) = &new.place else { return Vec::new() };
        let Some(group) = self.groups.get(&place.group) else { return Vec::new() };
        let others = group.inside.iter().copied().chain(group.outside.iter().map(|rank| rank.2));
        let mut making_way = Vec::new();
        for other in others.filter_map(|run| self.runs.get(&run)) {
            let Some(theirs) = &other.ticket.place else { continue };
            let (older, newer) = match order::compare(&place.order, &theirs.order) {
                Some(Ordering::Greater) => (other.ticket.run, (new, place, standing)),
                Some(Ordering::Less) => (new.run, (&other.ticket, theirs, other.standing)),
                _ => continue,
            };
            let (ticket, place, standing) = newer;
            match place.on_newer {
                OnNewer::Queue => {}
                OnNewer::Cancel => making_way.push((older, format!("superseded by {}", ticket.run))),
                OnNewer::Skip if standing == Standing::Queued => {
                    making_way.push((ticket.run, format!("{older} goes on")));
                }
                OnNewer::Skip => {}
            }
        }
        making_way
    }

    fn go(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        while self.uncounted.is_empty() && self.busy.len() < self.slots {
            let Some((_, _, run)) = self.ready.pop_first() else { break };
            self.busy.insert(run);
            orders.push(Order::Go(run));
        }
        orders
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
