//! What may happen to an event after its verdict, and what may not.

use super::*;
use crate::ids::EventId;
use crate::run::RunRecord;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn pending() -> Fate {
    Fate::new(Verdict::Pending { reason: "the router fell".into(), waits: Vec::new() })
}

fn failed(number: u32, fell: bool, is_last: bool) -> Change {
    let failure = RoutingFailure { number, reason: format!("failure {number}"), fell, is_last };
    Change::Failed { lease: Lease { epoch: u64::from(number) + 2, until: at(0) }, failure }
}

fn replay(generation: u32, request: Option<&str>) -> Change {
    let event = EventId::first_at(at(1));
    let run = RunRecord {
        id: RunId::derive("w", event, "r", generation),
        workflow: "w".into(),
        definition: "d".into(),
        event,
        route: "r".into(),
        generation,
        priority: 5,
        subject: None,
        fair_key: None,
        input: serde_json::Map::new(),
        started_at: at(1),
        seen: None,
        parent: None,
        begins_at: None,
    };
    Change::Replay { generation, request: request.map(str::to_owned), runs: vec![run] }
}

fn after(fate: Fate, changes: &[Change]) -> Fate {
    (1..).zip(changes).fold(fate, |fate, (second, change)| fate.after(at(second), change).expect("it can be"))
}

#[test]
fn an_event_dies_of_its_last_failure_and_can_be_redriven() {
    let dead = after(pending(), &[failed(1, false, false), failed(2, true, true)]);
    assert_eq!((dead.status(), dead.dead_since(), dead.failures()), ("dead_lettered", Some(at(2)), 2));
    let Verdict::DeadLettered { reason, poison: false, attempts: 4, .. } = &dead.verdict else { panic!("{dead:?}") };
    assert_eq!(reason, "failure 2");
    let again = after(dead, &[Change::Redrive]);
    assert_eq!((again.status(), again.dead_since(), again.failures()), ("pending", None, 0), "it counts anew");
    assert_eq!(again.epoch(), 4, "but no lease of its former life fits");
    let poison = after(again, &[failed(1, true, false), failed(2, true, true)]);
    assert!(matches!(poison.verdict, Verdict::DeadLettered { poison: true, .. }), "{poison:?}");
    assert_eq!(poison.history.len(), 5, "nothing is forgotten");
}

#[test]
fn one_that_is_dismissed_is_no_dead_letter_and_can_still_be_redriven() {
    let dismiss = Change::Dismiss { reason: "nobody needs it".into() };
    let gone = after(pending(), &[failed(1, false, true), dismiss.clone()]);
    assert_eq!((gone.status(), gone.dead_since()), ("dead_lettered", None));
    assert_eq!(gone.clone().after(at(9), &dismiss), None);
    assert_eq!(after(gone, &[Change::Redrive]).status(), "pending");
}

#[test]
fn what_cannot_be_changes_nothing() {
    let unrouted = || Fate::new(Verdict::Unrouted { reason: "no route".into() });
    let dead = || after(pending(), &[failed(1, false, true)]);
    let check = |fate: Fate, change: Change| assert_eq!(fate.clone().after(at(9), &change), None, "{fate:?}");
    for change in [failed(1, false, false), Change::Hurry, Change::Redrive, Change::Dismiss { reason: "x".into() }] {
        check(unrouted(), change);
    }
    for change in [failed(2, false, false), Change::Hurry, replay(1, None)] {
        check(dead(), change);
    }
    for change in [Change::Redrive, replay(1, None)] {
        check(pending(), change);
    }
}

#[test]
fn each_replay_is_a_generation_and_a_request_is_followed_once() {
    let mut fate = Fate::new(Verdict::Unrouted { reason: "no route".into() });
    assert_eq!((fate.generation(), fate.clone().after(at(1), &replay(2, None))), (0, None));
    fate = after(fate, &[replay(1, Some("r1"))]);
    assert_eq!((fate.status(), fate.generation(), fate.runs().len()), ("started", 1, 1));
    assert_eq!(fate.clone().after(at(1), &replay(1, None)), None, "this generation is there");
    assert_eq!(fate.clone().after(at(1), &replay(2, Some("r1"))), None, "this request was followed");
    assert_eq!(fate.answer_to("r1"), Some(&fate.runs()[..]));
    fate = after(fate, &[replay(2, Some("r2")), replay(3, None)]);
    assert_eq!((fate.generation(), fate.runs().len()), (3, 3));
}

#[test]
fn the_first_status_that_holds_is_shown() {
    let check = |verdict: Verdict, expect: &str| {
        let replayed = after(Fate::new(verdict), &[replay(1, None)]);
        assert_eq!((replayed.status(), replayed.runs().len()), (expect, 1));
    };
    check(Verdict::Ignored { reason: "x".into() }, "ignored");
    check(Verdict::Duplicate { of: EventId::first_at(at(0)) }, "duplicate");
    check(Verdict::Buffered { until: at(9) }, "started");
    check(Verdict::Started { runs: vec![], waits: vec![] }, "started");
}

#[test]
fn a_long_row_of_failures_is_kept_short_and_counted_whole() {
    let fate = (1..=100).fold(pending(), |fate, n| after(fate, &[failed(n, false, false)]));
    let number = |happened: &Happened| match happened.what {
        Incident::RoutingFailed { number, .. } => number,
        _ => panic!("{happened:?}"),
    };
    let kept: Vec<u32> = fate.history.iter().map(number).collect();
    assert_eq!(kept.len(), MOST_FAILURES);
    assert_eq!((kept[0], kept[7], kept[8], kept[15], fate.failures()), (1, 8, 93, 100, 100));
}
