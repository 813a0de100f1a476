//! Which runs may go on, and which make way. Pure.
//!
//! Every run reports how it stands; what is free follows from that. A run that may not go on beside
//! others holds its place in their group from its first step to its end; whether it holds a slot
//! depends on whether it is at work.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::order;
use super::ready::{Rank, Ready, Turn};
use super::settling::Settling;
use crate::ids::RunId;
use crate::run::Standing;
use crate::time::Timestamp;
use crate::workflow::definition::{Burst, Place};
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
    /// Whose turn it takes: the repository or the team.
    pub fair_key: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whom it must not go on beside.
    pub place: Option<Place>,
    /// With whom it is one until it is quiet.
    pub burst: Option<Burst>,
}

/// Says how a run stands. Reports follow the journal: what is reported is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The run.
    pub ticket: Ticket,
    /// How it stands.
    pub standing: Standing,
    /// Whether what it would do next has failed before.
    pub again: bool,
    /// Whether it is on its way out and undoes what it has done: nobody has it make way any more.
    pub undoes: bool,
    /// At which revision of its journal.
    pub revision: u32,
    /// Which report of its executor it is: each has a larger one than those before.
    pub number: u64,
}

/// The part of a report from which orders follow: how a run stands, and whether it undoes. One that says the same as the
/// last one need not be made.
pub type Stand = (Standing, bool);

impl Report {
    /// What orders follow from.
    pub fn stand(&self) -> Stand {
        (self.standing, self.undoes)
    }
}

/// What a run is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Go on, as the report of this number says that it could. Whoever has reported since then hears again.
    Go(RunId, u64),
    /// Make way, in words.
    Supersede(RunId, String),
}

/// All runs that are not over, in an order of their own: the same reports give the same orders.
///
/// A run that has been told to make way is not told to go on any more, unless it undoes what it has done: that takes
/// its time, and its place is free after it.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Workflows whose runs are not all known yet. Until they are, nobody is told to go on: a run that
    /// has not been heard of may hold a slot, or a place in a group.
    uncounted: HashSet<String>,
    runs: BTreeMap<RunId, Known>,
    /// Those that could go on now, those at work, and those told to go.
    ready: Ready,
    groups: BTreeMap<(String, String), Group>,
    /// Those that have not begun because newer ones may come. Nothing else knows them until then.
    settling: Settling,
}

#[derive(Clone, Debug)]
struct Known {
    ticket: Ticket,
    standing: Standing,
    again: bool,
    undoes: bool,
    /// Reports that are older than this say nothing new.
    revision: u32,
    /// The number of its last report.
    number: u64,
    /// Why it was told to make way. It is told again with every report until it has.
    told_off: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    /// Those that hold a place.
    inside: BTreeSet<RunId>,
    /// Those that wait for one.
    outside: BTreeSet<Rank>,
}

/// One of two runs of a group that come together.
#[derive(Clone, Copy)]
struct Rival<'a> {
    ticket: &'a Ticket,
    place: &'a Place,
    standing: Standing,
    undoes: bool,
    /// Whether it makes way for somebody already.
    leaves: bool,
}

fn rival(known: &Known) -> Option<Rival<'_>> {
    let Known { ticket, standing, undoes, told_off, .. } = known;
    let leaves = told_off.is_some();
    ticket.place.as_ref().map(|place| Rival { ticket, place, standing: *standing, undoes: *undoes, leaves })
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
            OnNewer::Cancel if older.undoes => None,
            OnNewer::Cancel => Some((older.ticket.run, format!("superseded by {}", newer.ticket.run))),
            OnNewer::Skip if newer.waits_behind(older) => None,
            OnNewer::Skip => {
                let (first, second) = if older.was_there_before(newer) { (older, newer) } else { (newer, older) };
                let is_idle = second.standing == Standing::Queued;
                (is_idle && !first.leaves).then(|| (second.ticket.run, format!("{} goes on", first.ticket.run)))
            }
        }
    }

    /// Whether it waits for the other one, which is none of those that it ends for.
    fn waits_behind(self, other: Self) -> bool {
        let behind = self.place.skip_behind.as_ref();
        behind.is_some_and(|workflows| !workflows.contains(&other.ticket.workflow)) && other.was_there_before(self)
    }

    /// Whoever has begun was there before one that has not; else the one that was started earlier.
    fn was_there_before(self, other: Self) -> bool {
        let place = |rival: Self| (rival.standing == Standing::Queued, rival.ticket.started_at, rival.ticket.run);
        place(self) < place(other)
    }
}

impl Ticket {
    fn turn(&self, again: bool) -> Turn {
        let Self { run, priority, started_at, .. } = *self;
        Turn { run, fair_key: self.fair_key.clone(), priority, started_at, again }
    }

    fn rank(&self) -> Rank {
        self.turn(false).rank()
    }
}

impl Queue {
    /// A queue that hands out the slots of `ready`, and goes on when it knows the runs of these workflows.
    pub fn new(ready: Ready, uncounted: HashSet<String>) -> Self {
        Self { uncounted, runs: BTreeMap::new(), ready, groups: BTreeMap::new(), settling: Settling::default() }
    }

    /// Takes in how all runs of a workflow stand. One that is known and not among them is over.
    pub fn census(&mut self, workflow: &str, reports: Vec<Report>) -> Vec<Order> {
        let listed: HashSet<RunId> = reports.iter().map(|report| report.ticket.run).collect();
        let gone = |(run, known): (&RunId, &Known)| {
            (known.ticket.workflow == workflow && !listed.contains(run)).then_some(*run)
        };
        let gone: Vec<RunId> = self.runs.iter().filter_map(gone).collect();
        gone.into_iter().for_each(|run| self.forget(run));
        let gone: Vec<RunId> = self.settling.of_workflow(workflow).filter(|run| !listed.contains(run)).collect();
        gone.into_iter().for_each(|run| self.settling.remove(run));
        let mut orders: Vec<Order> = reports.into_iter().flat_map(|report| self.report(report)).collect();
        orders.extend(self.counted(workflow));
        orders
    }

    fn counted(&mut self, workflow: &str) -> Vec<Order> {
        if self.uncounted.remove(workflow) && self.uncounted.is_empty() {
            let groups: Vec<(String, String)> = self.groups.keys().cloned().collect();
            groups.iter().for_each(|group| self.fill(group));
        }
        self.go()
    }

    /// The workflows whose runs are not all known yet.
    pub fn uncounted(&self) -> impl Iterator<Item = &String> {
        self.uncounted.iter()
    }

    /// Takes in how a run stands at this revision of its journal, and says who is told what.
    pub fn report(&mut self, report: Report) -> Vec<Order> {
        let Report { ticket, standing, again, undoes, revision, number } = report;
        let run = ticket.run;
        if let (Standing::Settling, Some(burst)) = (standing, ticket.burst.clone()) {
            // It may have been told to go on before the clock was set back: what it holds is free.
            self.forget(run);
            let orders = self.settling.report(ticket, burst);
            return orders.into_iter().chain(self.go()).collect();
        }
        self.settling.remove(run);
        let known = self.runs.get(&run).map(|known| (known.revision, known.told_off.clone()));
        match known {
            Some((later, _)) if later > revision => self.heard_late(run, number),
            _ if matches!(standing, Standing::Over | Standing::Held) => self.gone(run),
            Some((_, told_off)) => {
                let told_off = told_off.filter(|_| !undoes);
                self.keep(Known { ticket, standing, again, undoes, revision, number, told_off: told_off.clone() });
                // What may have been lost is said again.
                let said_again = told_off.map(|reason| Order::Supersede(run, reason));
                said_again.into_iter().chain(self.go()).collect()
            }
            None => {
                let making_way = self.make_way(&ticket, (standing, undoes));
                self.keep(Known { ticket, standing, again, undoes, revision, number, told_off: None });
                let told_off: Vec<Order> =
                    making_way.into_iter().map(|(run, reason)| self.tell_off(run, reason)).collect();
                told_off.into_iter().chain(self.go()).collect()
            }
        }
    }

    /// A report that says nothing new. Whoever was told to go on by an earlier one does not, and is told again.
    fn heard_late(&mut self, run: RunId, number: u64) -> Vec<Order> {
        let Some(known) = self.runs.get_mut(&run) else { return Vec::new() };
        known.number = number;
        let is_told = self.ready.is_at_work(run) && known.standing != Standing::Busy;
        if is_told { vec![Order::Go(run, number)] } else { Vec::new() }
    }

    fn number_of(&self, run: RunId) -> u64 {
        self.runs.get(&run).map(|known| known.number).unwrap_or_default()
    }

    fn tell_off(&mut self, run: RunId, reason: String) -> Order {
        if let Some(known) = self.runs.get_mut(&run) {
            known.told_off = Some(reason.clone());
            self.ready.withdraw(run);
        }
        Order::Supersede(run, reason)
    }

    /// A run will not be heard of again: it is over, or nobody can tell how it stands.
    pub fn gone(&mut self, run: RunId) -> Vec<Order> {
        self.settling.remove(run);
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
        self.ready.remove(run);
        let Some(place) = known.ticket.place else { return };
        let Some(group) = self.groups.get_mut(&place.group) else { return };
        group.inside.remove(&run);
        group.outside.remove(&rank);
        self.fill(&place.group);
    }

    /// Gives free places of a group to those that wait for one.
    fn fill(&mut self, name: &(String, String)) {
        let Some(group) = self.groups.get_mut(name) else { return };
        while self.uncounted.is_empty() {
            let known = |rank: &Rank| self.runs.get(&rank.1).and_then(rival);
            let waits = |own: &Rank| {
                let behind = |other: &Rank| known(own).zip(known(other)).is_some_and(|(own, it)| own.waits_behind(it));
                group.outside.iter().any(|other| other != own && behind(other))
            };
            // Whoever waits behind others is not before them by its priority either.
            let Some(rank) = group.outside.iter().find(|rank| !waits(rank)).copied() else { break };
            let next = rank.1;
            let Some(known) = self.runs.get(&next) else { break };
            if known.ticket.place.as_ref().is_none_or(|place| group.inside.len() >= place.limit) {
                break;
            }
            group.outside.remove(&rank);
            group.inside.insert(next);
            if known.told_off.is_none() {
                self.ready.wait(known.ticket.turn(known.again));
            }
        }
        if group.inside.is_empty() && group.outside.is_empty() {
            self.groups.remove(name);
        }
    }

    /// The workflow of a run that is known.
    pub fn workflow_of(&self, run: RunId) -> Option<&str> {
        let known = self.runs.get(&run).map(|known| known.ticket.workflow.as_str());
        known.or_else(|| self.settling.workflow_of(run))
    }

    /// How many are known, and how many of them are at work.
    pub fn sizes(&self) -> (usize, usize) {
        (self.runs.len(), self.ready.at_work())
    }

    fn keep(&mut self, known: Known) {
        let (run, rank, goes_on) = (known.ticket.run, known.ticket.rank(), known.told_off.is_none());
        let has_place = match &known.ticket.place {
            None => true,
            Some(place) => {
                let group = self.groups.entry(place.group.clone()).or_default();
                // Whoever has begun has one; others get one if there is one left, and that is not known before
                // all who have begun are.
                let has_one = known.standing != Standing::Queued || group.inside.contains(&run);
                if has_one || (self.uncounted.is_empty() && group.inside.len() < place.limit) {
                    group.inside.insert(run);
                    group.outside.remove(&rank);
                    true
                } else {
                    group.outside.insert(rank);
                    false
                }
            }
        };
        match known.standing {
            Standing::Busy => self.ready.work(run, &known.ticket.fair_key, known.again),
            Standing::Queued | Standing::Runnable if goes_on && has_place => {
                self.ready.wait(known.ticket.turn(known.again));
            }
            _ => self.ready.remove(run),
        }
        self.runs.insert(run, known);
    }

    /// Who makes way when this run comes into its group, and why: it, or others.
    fn make_way(&self, new: &Ticket, (standing, undoes): Stand) -> Vec<(RunId, String)> {
        let Some(place) = &new.place else { return Vec::new() };
        let Some(group) = self.groups.get(&place.group) else { return Vec::new() };
        let newcomer = Rival { ticket: new, place, standing, undoes, leaves: false };
        let others = group.inside.iter().copied().chain(group.outside.iter().map(|rank| rank.1));
        let others = others.filter_map(|run| self.runs.get(&run));
        others.filter_map(|other| rival(other).and_then(|other| newcomer.meets(other))).collect()
    }

    fn go(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        while self.uncounted.is_empty() {
            let Some(run) = self.ready.go_on() else { break };
            orders.push(Order::Go(run, self.number_of(run)));
        }
        orders
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
