//! Runs that come close together are one: the newest is made when it has become quiet. Pure.
//!
//! Every run says itself from when on it may begin; here is only who makes way. What is known follows from the
//! reports; how long a burst has gone on is forgotten with the process, so that after a crash it may last once more.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::order;
use super::queue::{Order, Ticket};
use crate::ids::RunId;
use crate::time::Timestamp;
use crate::workflow::definition::Burst;

/// The runs that have not begun because newer ones may come.
#[derive(Clone, Debug, Default)]
pub struct Settling {
    /// By workflow and key of the burst.
    bursts: HashMap<(String, String), Vec<Member>>,
    by_run: HashMap<RunId, (String, String)>,
}

#[derive(Clone, Debug)]
struct Member {
    ticket: Ticket,
    burst: Burst,
    /// When the first run of the burst was started.
    since: Timestamp,
    /// Why it was told to make way. It is told again with every report until it has.
    told_off: Option<String>,
}

impl Settling {
    /// A run has not begun yet. Says who makes way: it, or others.
    pub fn report(&mut self, ticket: Ticket, burst: Burst) -> Vec<Order> {
        let key = (ticket.workflow.clone(), burst.key.clone());
        let run = ticket.run;
        let members = self.bursts.entry(key.clone()).or_default();
        if let Some(known) = members.iter().find(|member| member.ticket.run == run) {
            // What may have been lost is said again.
            return known.told_off.clone().map(|reason| Order::Supersede(run, reason)).into_iter().collect();
        }
        self.by_run.insert(run, key);
        let since = ticket.started_at;
        let mut newcomer = Member { ticket, burst, since, told_off: None };
        let mut orders = Vec::new();
        for other in members.iter_mut().filter(|member| member.told_off.is_none()) {
            orders.extend(newcomer.meets(other));
        }
        members.push(newcomer);
        orders
    }

    /// A run is settling no more: it may begin, or is over.
    pub fn remove(&mut self, run: RunId) {
        let Some(key) = self.by_run.remove(&run) else { return };
        let Some(members) = self.bursts.get_mut(&key) else { return };
        members.retain(|member| member.ticket.run != run);
        if members.is_empty() {
            self.bursts.remove(&key);
        }
    }

    /// The workflow of a run that is settling.
    pub fn workflow_of(&self, run: RunId) -> Option<&str> {
        self.by_run.get(&run).map(|(workflow, _)| workflow.as_str())
    }

    /// The runs of a workflow that are settling.
    pub fn of_workflow(&self, workflow: &str) -> impl Iterator<Item = RunId> {
        self.by_run.iter().filter(move |(_, (of, _))| of == workflow).map(|(run, _)| *run)
    }
}

impl Member {
    /// Two runs of a burst come together; the older one makes way, unless that has waited long enough.
    fn meets(&mut self, other: &mut Self) -> Option<Order> {
        if self.told_off.is_some() {
            return None;
        }
        let (older, newer) = match self.compare(other)? {
            Ordering::Less => (self, other),
            Ordering::Greater | Ordering::Equal => (other, self),
        };
        let since = older.since.min(newer.since);
        if newer.ticket.started_at.plus(newer.burst.quiet) > since.plus(newer.burst.at_most) {
            return None;
        }
        newer.since = since;
        let reason = format!("{} came before it was quiet", newer.ticket.run);
        older.told_off = Some(reason.clone());
        Some(Order::Supersede(older.ticket.run, reason))
    }

    /// By what the definition orders runs by; else by their start. `None` when neither is newer.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (&self.ticket.place, &other.ticket.place) {
            (Some(own), Some(others)) => order::compare(&own.order, &others.order),
            _ => {
                let start = |member: &Self| (member.ticket.started_at, member.ticket.run);
                Some(start(self).cmp(&start(other)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value as Json;

    use super::*;
    use crate::workflow::definition::Place;
    use crate::workflow::spec::OnNewer;

    fn run(number: u8) -> RunId {
        RunId::from_bytes([number; 16])
    }

    fn ticket(number: u8, seconds: i64) -> Ticket {
        Ticket {
            run: run(number),
            workflow: "w".into(),
            priority: 5,
            fair_key: String::new(),
            started_at: Timestamp::from_millis(seconds * 1_000),
            place: None,
            burst: None,
        }
    }

    fn burst(key: &str) -> Burst {
        Burst { key: key.into(), quiet: Duration::from_secs(10), at_most: Duration::from_secs(30) }
    }

    fn told_off(orders: &[Order]) -> Vec<RunId> {
        let run = |order: &Order| match order {
            Order::Go(run, _) | Order::Supersede(run, _) => *run,
        };
        orders.iter().map(run).collect()
    }

    #[test]
    fn the_newest_of_a_burst_is_left_and_others_are_told_until_they_are_gone() {
        let mut settling = Settling::default();
        assert_eq!(settling.report(ticket(1, 0), burst("a")), []);
        assert_eq!(settling.report(ticket(9, 1), burst("b")), []);
        assert_eq!(told_off(&settling.report(ticket(2, 5), burst("a"))), [run(1)]);
        assert_eq!(told_off(&settling.report(ticket(1, 0), burst("a"))), [run(1)]);
        assert_eq!(settling.report(ticket(2, 5), burst("a")), []);
        settling.remove(run(1));
        assert_eq!(told_off(&settling.report(ticket(3, 9), burst("a"))), [run(2)]);
        let mut left: Vec<RunId> = settling.of_workflow("w").collect();
        left.sort_unstable();
        assert_eq!((left, settling.workflow_of(run(1))), (vec![run(2), run(3), run(9)], None));
    }

    #[test]
    fn a_burst_ends_when_its_first_has_waited_long_enough() {
        let mut settling = Settling::default();
        settling.report(ticket(1, 0), burst("a"));
        for (number, seconds, expect) in [(2, 9, Some(1)), (3, 18, Some(2)), (4, 27, None), (5, 36, Some(4))] {
            let told = told_off(&settling.report(ticket(number, seconds), burst("a")));
            assert_eq!(told.first().copied(), expect.map(run), "{number}");
            if number == 4 {
                settling.remove(run(3));
            }
        }
    }

    #[test]
    fn a_late_older_one_takes_nobodys_place() {
        let ordered = |number, seconds, order: Option<i64>| {
            let order = order.map_or(Json::Null, Json::from);
            let place = Place {
                group: ("g".into(), "k".into()),
                limit: 1,
                on_newer: OnNewer::Cancel,
                skip_behind: None,
                order,
            };
            Ticket { place: Some(place), ..ticket(number, seconds) }
        };
        let mut settling = Settling::default();
        settling.report(ordered(1, 0, Some(20)), burst("a"));
        assert_eq!(told_off(&settling.report(ordered(2, 1, Some(10)), burst("a"))), [run(2)]);
        assert_eq!(settling.report(ordered(3, 2, None), burst("a")), [], "neither is newer");
        assert_eq!(told_off(&settling.report(ordered(4, 3, Some(30)), burst("a"))), [run(1)]);
    }
}
