//! Limits hold, the first go first, and the newer take the place of the older.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn run(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

fn ticket(number: u8, priority: u8) -> Ticket {
    Ticket {
        run: run(number),
        workflow: "w".into(),
        priority,
        fair_key: String::new(),
        started_at: Timestamp::from_millis(i64::from(number)),
        place: None,
        burst: None,
    }
}

fn placed(number: u8, on_newer: OnNewer, order: Json) -> Ticket {
    let place = Place { group: ("g".into(), "k".into()), limit: 1, on_newer, skip_behind: None, order };
    Ticket { place: Some(place), ..ticket(number, 5) }
}

/// A queue that knows all there is.
fn queue(slots: usize) -> Queue {
    Queue::new(Ready::new(slots, true), HashSet::new())
}

impl Queue {
    fn told(&mut self, ticket: Ticket, standing: Standing, revision: u32) -> Vec<Order> {
        self.report(Report { ticket, standing, again: false, undoes: false, revision, number: 0 })
    }
}

fn gone(orders: &[Order]) -> Vec<RunId> {
    orders.iter().filter_map(|order| if let Order::Go(run, _) = order { Some(*run) } else { None }).collect()
}

fn told_off(orders: &[Order]) -> Vec<RunId> {
    orders.iter().filter_map(|order| if let Order::Supersede(run, _) = order { Some(*run) } else { None }).collect()
}

#[test]
fn slots_are_those_of_runs_at_work_and_priority_comes_first() {
    let mut queue = queue(1);
    assert_eq!(gone(&queue.told(ticket(1, 5), Standing::Queued, 0)), [run(1)]);
    assert_eq!(gone(&queue.told(ticket(2, 5), Standing::Queued, 0)), []);
    assert_eq!(gone(&queue.told(ticket(3, 9), Standing::Queued, 0)), []);
    assert_eq!(gone(&queue.told(ticket(1, 5), Standing::Busy, 2)), []);
    assert_eq!(gone(&queue.told(ticket(1, 5), Standing::Parked, 3)), [run(3)], "one that waits holds no slot");
    assert_eq!(gone(&queue.told(ticket(1, 5), Standing::Runnable, 3)), []);
    assert_eq!(gone(&queue.told(ticket(3, 9), Standing::Over, 9)), [run(1)], "the older of equals");
    assert_eq!(gone(&queue.told(ticket(1, 5), Standing::Busy, 1)), [run(1)], "an old report says nothing new");
    assert_eq!(gone(&queue.told(ticket(1, 5), Standing::Over, 5)), [run(2)]);
}

#[test]
fn a_group_lets_one_in_from_its_first_step_to_its_end() {
    let mut queue = queue(8);
    let queued = |number| placed(number, OnNewer::Queue, json!(number));
    assert_eq!(gone(&queue.told(queued(1), Standing::Queued, 0)), [run(1)]);
    assert_eq!(queue.told(queued(2), Standing::Queued, 0), []);
    assert_eq!(queue.told(queued(1), Standing::Parked, 2), [], "one that waits keeps its place");
    assert_eq!(gone(&queue.told(queued(1), Standing::Over, 3)), [run(2)]);
}

#[test]
fn a_newer_run_takes_the_place_of_an_older_one_by_the_declared_order() {
    let cancel = |number, order| placed(number, OnNewer::Cancel, order);
    let mut queue = queue(8);
    queue.told(cancel(1, json!(10)), Standing::Queued, 0);
    queue.told(cancel(1, json!(10)), Standing::Busy, 2);
    let orders = queue.told(cancel(2, json!(20)), Standing::Queued, 0);
    assert_eq!((told_off(&orders), gone(&orders)), (vec![run(1)], vec![]), "it waits for the attempt in flight");
    let again = queue.told(cancel(1, json!(10)), Standing::Busy, 3);
    assert_eq!(told_off(&again), [run(1)], "what may have been lost is said again");
    let late = queue.told(cancel(3, json!(15)), Standing::Queued, 0);
    assert_eq!(told_off(&late), [run(1), run(3)], "a late older one supersedes nobody that is newer");
    queue.told(cancel(3, json!(15)), Standing::Over, 1);
    assert_eq!(gone(&queue.told(cancel(1, json!(10)), Standing::Over, 4)), [run(2)]);
    let tie = queue.told(cancel(4, json!(20)), Standing::Queued, 0);
    assert_eq!((told_off(&tie), gone(&tie)), (vec![], vec![]), "without an order nobody makes way, and one waits");
}

#[test]
fn a_run_that_undoes_keeps_its_place_until_it_has() {
    let cancel = |number| placed(number, OnNewer::Cancel, json!(number));
    let undoing =
        |standing, revision| Report { ticket: cancel(1), standing, again: true, undoes: true, revision, number: 0 };
    let mut first = queue(8);
    first.report(undoing(Standing::Parked, 5));
    assert_eq!(first.told(cancel(2), Standing::Queued, 0), [], "the newer one waits");
    assert_eq!(gone(&first.report(undoing(Standing::Runnable, 5))), [run(1)]);
    assert_eq!(gone(&first.told(cancel(1), Standing::Over, 9)), [run(2)]);
    let mut told = queue(8);
    told.told(cancel(1), Standing::Busy, 2);
    assert_eq!(told_off(&told.told(cancel(2), Standing::Queued, 0)), [run(1)]);
    let orders = told.report(undoing(Standing::Runnable, 4));
    assert_eq!(orders, [Order::Go(run(1), 0)], "it was about to end in another way when it was told");
    let mut after_a_restart = Queue::new(Ready::new(8, true), ["w".to_owned()].into());
    let newer =
        Report { ticket: cancel(2), standing: Standing::Queued, again: false, undoes: false, revision: 0, number: 0 };
    assert_eq!(gone(&after_a_restart.census("w", vec![newer, undoing(Standing::Runnable, 4)])), [run(1)]);
}

#[test]
fn a_run_that_is_to_be_skipped_makes_way_for_the_one_that_goes_on() {
    let mut queue = queue(8);
    queue.told(placed(1, OnNewer::Skip, json!(1)), Standing::Busy, 2);
    assert_eq!(told_off(&queue.told(placed(2, OnNewer::Skip, json!(2)), Standing::Queued, 0)), [run(2)]);
}

#[test]
fn a_run_that_ends_for_some_waits_behind_others() {
    let skip = |number: u8, order: i32| {
        let mut ticket = placed(number, OnNewer::Skip, json!(order));
        ticket.place.as_mut().unwrap().skip_behind = Some(["w".to_owned()].into());
        ticket
    };
    let other =
        |number, order: i32| Ticket { workflow: "other".into(), ..placed(number, OnNewer::Cancel, json!(order)) };
    for standing in [Standing::Queued, Standing::Busy, Standing::Parked] {
        let mut queue = queue(8);
        queue.told(other(1, 1), standing, 0);
        assert_eq!(queue.told(skip(2, 2), Standing::Queued, 0), [], "{standing:?}");
        assert_eq!(told_off(&queue.told(skip(3, 3), Standing::Queued, 0)), [run(3)], "behind another one of its own");
        assert_eq!(queue.told(skip(3, 3), Standing::Over, 1), []);
        assert_eq!(gone(&queue.told(other(1, 1), Standing::Over, 9)), [run(2)]);
        assert_eq!(told_off(&queue.told(other(4, 1), Standing::Queued, 0)), [run(4)], "a late older one");
        assert_eq!(queue.told(other(4, 1), Standing::Over, 1), []);
        assert_eq!(told_off(&queue.told(other(5, 5), Standing::Queued, 0)), [run(2)], "a newer one");
    }
}

#[test]
fn nobody_ends_for_a_run_that_makes_way() {
    let task = |number: u8| {
        let mut task = placed(number, OnNewer::Skip, json!(number));
        task.place.as_mut().unwrap().skip_behind = Some(["w".to_owned()].into());
        task
    };
    let mut queue = queue(8);
    queue.told(task(1), Standing::Busy, 0);
    assert_eq!(told_off(&queue.told(task(2), Standing::Queued, 0)), [run(2)], "1 goes on");
    queue.told(task(2), Standing::Over, 1);
    let other = Ticket { workflow: "other".into(), ..placed(3, OnNewer::Cancel, json!(3)) };
    assert_eq!(told_off(&queue.told(other.clone(), Standing::Queued, 0)), [run(1)]);
    assert_eq!(queue.told(task(4), Standing::Queued, 0), [], "1 does not any more, and behind 3 it waits");
    assert_eq!(gone(&queue.told(task(1), Standing::Over, 2)), [run(3)]);
    assert_eq!(gone(&queue.told(other, Standing::Over, 2)), [run(4)]);
}

#[test]
fn a_priority_is_no_way_around_those_that_a_run_waits_behind() {
    let mut queue = queue(8);
    queue.told(placed(1, OnNewer::Queue, json!(1)), Standing::Busy, 0);
    let ended = Ticket { workflow: "other".into(), priority: 1, ..placed(2, OnNewer::Queue, json!(2)) };
    queue.told(ended, Standing::Queued, 0);
    let mut task = Ticket { priority: 10, ..placed(3, OnNewer::Skip, json!(3)) };
    task.place.as_mut().unwrap().skip_behind = Some([].into());
    queue.told(task, Standing::Queued, 0);
    assert_eq!(gone(&queue.told(placed(1, OnNewer::Queue, json!(1)), Standing::Over, 9)), [run(2)]);
}

#[test]
fn a_late_older_run_never_takes_the_place_of_a_newer_one() {
    let skip = |number, order: i32| placed(number, OnNewer::Skip, json!(order));
    for standing in [Standing::Queued, Standing::Busy, Standing::Parked] {
        let mut queue = queue(0);
        queue.told(skip(1, 20), standing, 0);
        assert_eq!(told_off(&queue.told(skip(2, 10), Standing::Queued, 0)), [run(2)], "{standing:?}");
    }
    let mut after_a_restart = queue(8);
    after_a_restart.told(skip(2, 20), Standing::Queued, 0);
    assert_eq!(told_off(&after_a_restart.told(skip(1, 10), Standing::Busy, 4)), [run(2)], "who has begun goes on");
}

#[test]
fn what_is_lost_or_gone_frees_its_slot_for_others_at_once() {
    let mut queue = queue(1);
    queue.told(ticket(1, 5), Standing::Busy, 2);
    assert_eq!(queue.told(ticket(2, 5), Standing::Queued, 0), []);
    assert_eq!(gone(&queue.gone(run(1))), [run(2)]);
    let other = Ticket { workflow: "other".into(), ..ticket(3, 5) };
    assert_eq!(queue.told(other, Standing::Queued, 0), []);
    assert_eq!(gone(&queue.lost("w")), [run(3)]);
}

#[test]
fn who_is_held_gives_its_place_away_and_comes_back_as_a_newcomer() {
    let mut queue = queue(8);
    let cancel = |number, order: i32| placed(number, OnNewer::Cancel, json!(order));
    queue.told(cancel(1, 10), Standing::Queued, 0);
    assert_eq!(queue.told(cancel(1, 10), Standing::Held, 1), []);
    assert_eq!(gone(&queue.told(cancel(2, 20), Standing::Queued, 0)), [run(2)], "nobody waits for it");
    let back = queue.told(cancel(1, 10), Standing::Queued, 2);
    assert_eq!((told_off(&back), gone(&back)), (vec![run(1)], vec![]), "and the newer one was first");
}

#[test]
fn nobody_goes_on_before_all_are_known() {
    let mut queue = Queue::new(Ready::new(1, true), ["w", "other"].map(str::to_owned).into());
    assert_eq!(queue.told(ticket(1, 9), Standing::Queued, 0), []);
    let report = |ticket, standing| Report { ticket, standing, again: false, undoes: false, revision: 3, number: 0 };
    assert_eq!(queue.census("w", vec![report(ticket(1, 9), Standing::Queued)]), []);
    let other = Ticket { workflow: "other".into(), ..ticket(2, 1) };
    assert_eq!(queue.census("other", vec![report(other.clone(), Standing::Busy)]), [], "it holds the one slot");
    assert_eq!(gone(&queue.told(other, Standing::Over, 9)), [run(1)]);
    assert_eq!(queue.census("w", Vec::new()), [], "what is not listed any more is over");
    assert_eq!(queue.sizes(), (0, 0));
}

#[test]
fn who_has_begun_keeps_its_place_in_whatever_order_runs_become_known() {
    let in_turn = |number| placed(number, OnNewer::Queue, json!(number));
    let report = |ticket, standing| Report { ticket, standing, again: false, undoes: false, revision: 1, number: 0 };
    let begun = || report(in_turn(2), Standing::Runnable);
    let mut queue = Queue::new(Ready::new(8, true), ["w".to_owned()].into());
    let orders = queue.census("w", vec![report(in_turn(1), Standing::Queued), begun()]);
    assert_eq!(gone(&orders), [run(2)], "one of the same workflow waits");
    assert_eq!(gone(&queue.told(in_turn(2), Standing::Over, 9)), [run(1)]);
    let mut queue = Queue::new(Ready::new(8, true), ["w", "other"].map(str::to_owned).into());
    let other = Ticket { workflow: "other".into(), ..in_turn(1) };
    assert_eq!(queue.census("other", vec![report(other, Standing::Queued)]), []);
    assert_eq!(gone(&queue.census("w", vec![begun()])), [run(2)], "and so does one of another workflow");
    assert_eq!(gone(&queue.told(in_turn(2), Standing::Over, 9)), [run(1)]);
}

#[test]
fn one_that_nobody_can_tell_of_holds_up_none() {
    let mut queue = Queue::new(Ready::new(1, true), ["w", "other"].map(str::to_owned).into());
    queue.census(
        "w",
        vec![Report {
            ticket: ticket(1, 5),
            standing: Standing::Queued,
            again: false,
            undoes: false,
            revision: 0,
            number: 0,
        }],
    );
    assert_eq!(gone(&queue.lost("other")), [run(1)]);
}

proptest! {
    /// Whatever is reported in whatever order: never more at work than there are slots, never two of a
    /// group inside, and when all is reported over, nothing is left.
    #[test]
    fn limits_hold(steps in prop::collection::vec((0..12_u8, 0..5_u8), 1..200)) {
        let mut queue = queue(3);
        let mut revision = 0;
        let of = |number: u8| if number < 6 { placed(number, OnNewer::Queue, json!(number)) } else { ticket(number, number) };
        let mut at_work: HashSet<RunId> = HashSet::new();
        for (number, what) in steps {
            revision += 1;
            let told = at_work.contains(&run(number));
            // A run is at work only when it was told to go.
            let standing = match what {
                0 => Standing::Over,
                1 if told => Standing::Busy,
                2 if told => Standing::Parked,
                _ if told => Standing::Runnable,
                _ => Standing::Queued,
            };
            if standing != Standing::Busy {
                at_work.remove(&run(number));
            }
            let orders = queue.told(of(number), standing, revision);
            at_work.extend(gone(&orders));
            prop_assert!(at_work.len() <= 3);
            prop_assert!(queue.groups.values().all(|group| group.inside.len() <= 1));
        }
        for number in 0..12 {
            queue.told(of(number), Standing::Over, u32::MAX);
        }
        prop_assert_eq!(queue.sizes(), (0, 0));
        prop_assert!(queue.ready.is_empty() && queue.groups.is_empty());
    }
}

#[test]
fn a_run_that_settles_again_gives_back_what_it_was_given() {
    let mut queue = queue(1);
    let settling = Ticket {
        burst: Some(Burst { key: "k".into(), quiet: Duration::from_secs(1), at_most: Duration::from_secs(10) }),
        ..ticket(1, 5)
    };
    let run = settling.run;
    assert_eq!(gone(&queue.told(settling.clone(), Standing::Queued, 0)), [run]);
    assert_eq!(gone(&queue.told(ticket(2, 5), Standing::Queued, 0)), []);
    // The clock was set back before it came to begin.
    assert_eq!(gone(&queue.told(settling.clone(), Standing::Settling, 0)), [ticket(2, 5).run]);
    assert_eq!(gone(&queue.told(ticket(2, 5), Standing::Over, 1)), []);
    assert_eq!(gone(&queue.told(settling, Standing::Queued, 0)), [run]);
}

#[test]
fn whoever_is_told_to_go_on_is_told_by_which_report() {
    let mut queue = queue(1);
    let report = |run, standing, revision, number| {
        let ticket = ticket(run, 5);
        Report { ticket, standing, again: false, undoes: false, revision, number }
    };
    assert_eq!(queue.report(report(1, Standing::Runnable, 3, 7)), [Order::Go(run(1), 7)]);
    assert_eq!(queue.report(report(2, Standing::Queued, 0, 1)), []);
    // Made before it heard of that, and heard after: the slot is free for others, so that it must not go on by the former word.
    assert_eq!(queue.report(report(1, Standing::Runnable, 3, 8)), [Order::Go(run(1), 8)]);
    assert_eq!(queue.report(report(1, Standing::Busy, 4, 9)), []);
    assert_eq!(queue.report(report(1, Standing::Parked, 5, 10)), [Order::Go(run(2), 1)]);
    assert_eq!(queue.report(report(2, Standing::Queued, 0, 2)), [Order::Go(run(2), 2)]);
    assert_eq!(queue.report(report(1, Standing::Runnable, 6, 11)), []);
}

#[test]
fn whoever_reports_late_is_told_once_more() {
    let mut queue = queue(1);
    let report = |standing, revision, number| Report {
        ticket: ticket(1, 5),
        standing,
        again: false,
        undoes: false,
        revision,
        number,
    };
    assert_eq!(queue.report(report(Standing::Runnable, 3, 7)), [Order::Go(run(1), 7)]);
    assert_eq!(queue.report(report(Standing::Parked, 2, 8)), [Order::Go(run(1), 8)], "that word would be void now");
    assert_eq!(queue.report(report(Standing::Busy, 4, 9)), []);
    assert_eq!(queue.report(report(Standing::Parked, 3, 10)), []);
}
