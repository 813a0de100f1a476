//! Which runs may go on, and which make way. Pure.
//!
//! Every run reports how it stands; what is free follows from that. A run that may not go on beside
//! others holds its place in their group from its first step to its end; whether it holds a slot
//! depends on whether it is at work.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, HashMap, HashSet};

use super::order;
use crate::ids::RunId;
use crate::run::Standing;
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

/// One of two runs of a group that come together.
#[derive(Clone, Copy)]
struct Rival<'a> {
    ticket: &'a Ticket,
    place: &'a Place,
    standing: Standing,
}

fn rival(known: &Known) -> Option<Rival<'_>> {
    known.ticket.place.as_ref().map(|place| Rival { ticket: &known.ticket, place, standing: known.standing })
}

impl Rival<'_> {
    /// Which of the two makes way, and why. The newer one's definition decides.
    fn meets(self, other: Self) -> Option<(RunId, String)> {
        let (older, newer) = match order::compare(&self.place.order, &other.place.order)? {
            Ordering::Greater => (other, self),
            Ordering::Less => (self, other),
            Ordering::Equal => return None,
        };
        match newer.place.on_newer {
            OnNewer::Queue => None,
            OnNewer::Cancel => Some((older.ticket.run, format!("superseded by {}", newer.ticket.run))),
            OnNewer::Skip => {
                let (first, second) = if older.was_there_before(newer) { (older, newer) } else { (newer, older) };
                let is_idle = second.standing == Standing::Queued;
                is_idle.then(|| (second.ticket.run, format!("{} goes on", first.ticket.run)))
            }
        }
    }

    /// Whoever has begun was there before one that has not; else the one that was started earlier.
    fn was_there_before(self, other: Self) -> bool {
        let place = |rival: Self| (rival.standing == Standing::Queued, rival.ticket.started_at, rival.ticket.run);
        place(self) < place(other)
    }
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

    fn counted(&mut self, workflow: &str) -> Vec<Order> {
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
        let run = ticket.run;
        let known = self.runs.get(&run).map(|known| (known.revision, known.told_off.clone()));
        match known {
            Some((later, _)) if later > revision => Vec::new(),
            _ if standing == Standing::Over => self.gone(run),
            Some((_, told_off)) => {
                self.keep(ticket, standing, (revision, told_off.clone()));
                // What may have been lost is said again.
                let again = told_off.map(|reason| Order::Supersede(run, reason));
                again.into_iter().chain(self.go()).collect()
            }
            None => {
                let making_way = self.make_way(&ticket, standing);
                self.keep(ticket, standing, (revision, None));
                let told_off: Vec<Order> =
                    making_way.into_iter().map(|(run, reason)| self.tell_off(run, reason)).collect();
                told_off.into_iter().chain(self.go()).collect()
            }
        }
    }

    fn tell_off(&mut self, run: RunId, reason: String) -> Order {
        if let Some(known) = self.runs.get_mut(&run) {
            known.told_off = Some(reason.clone());
            self.ready.remove(&known.ticket.rank());
        }
        Order::Supersede(run, reason)
    }

    /// A run will not be heard of again: it is over, or nobody can tell how it stands.
    pub fn gone(&mut self, run: RunId) -> Vec<Order> {
        self.forget(run);
        self.go()
    }

    /// The runs of a workflow will not be heard of again: nobody drives them any more.
    pub fn lost(&mut self, workflow: &str) -> Vec<Order> {
        self.census(workflow, Vec::new())
    }

    /// Forgets a run; its place and its slot are free.
    fn forget(&mut self, run: RunId) {
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

    /// Who makes way when this run comes into its group, and why: it, or others.
    fn make_way(&self, new: &Ticket, standing: Standing) -> Vec<(RunId, String)> {
        let Some(place) = &new.place else { return Vec::new() };
        let Some(group) = self.groups.get(&place.group) else { return Vec::new() };
        let newcomer = Rival { ticket: new, place, standing };
        let others = group.inside.iter().copied().chain(group.outside.iter().map(|rank| rank.2));
        let others = others.filter_map(|run| self.runs.get(&run));
        others.filter_map(|other| rival(other).and_then(|other| newcomer.meets(other))).collect()
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
