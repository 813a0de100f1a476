//! Waits and callbacks in every order.

use super::*;
use crate::ids::RunId;
use crate::run::RunRef;
use crate::wait::memory::MemoryShelves;
use crate::wait::record::Topic;

const KEY: &str = "codegen:run:17";

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn event(number: i64) -> EventId {
    EventId::first_at(at(number))
}

fn wait(number: u8, keys: &[&str]) -> WaitRecord {
    let run = RunRef { started_at: at(50), id: RunId::from_bytes([number; 16]) };
    WaitRecord {
        id: WaitId::derive(run.id, 1),
        run,
        workflow: "w".into(),
        step: "s".into(),
        event: event(1),
        kind: "codegen:run".into(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        topics: vec![Topic { source: "codegen".into(), event: "generation".into(), actions: vec!["complete".into()] }],
        since: at(100),
        reserved_at: at(100),
        deadline: at(10_000),
        state: WaitState::Open,
    }
}

fn callback(received_at: i64) -> Callback {
    Callback {
        source: "codegen".into(),
        event_type: "generation".into(),
        action: Some("complete".into()),
        keys: vec![KEY.into()],
        received_at: at(received_at),
        until: at(received_at + 1_000),
        awaited: false,
    }
}

fn reserve(wait: WaitRecord) -> WaitChange {
    WaitChange::Reserve(Box::new(wait))
}

fn bind(wait: &WaitRecord) -> WaitChange {
    WaitChange::Bind { wait: wait.id, keys: vec![KEY.into()] }
}

/// Makes a change, if it holds.
fn make(shelves: &mut MemoryShelves, changes: &[WaitChange], now: i64) -> Option<Vec<Met>> {
    let holds = holds(shelves, changes).unwrap();
    holds.then(|| change(shelves, changes, at(now)).unwrap())
}

fn state(shelves: &mut MemoryShelves, wait: &WaitRecord) -> WaitState {
    shelves.wait(wait.id).unwrap().unwrap().state
}

fn by(event: EventId, millis: i64) -> WaitState {
    WaitState::Resolved { by: Resolution::Callback(event), at: at(millis) }
}

#[test]
fn learning_the_key_and_the_callback_commute() {
    let wait = wait(7, &[]);
    let mut bound_first = MemoryShelves::default();
    make(&mut bound_first, &[reserve(wait.clone())], 100).unwrap();
    assert_eq!(make(&mut bound_first, &[bind(&wait)], 110), Some(vec![]));
    let called = call(&mut bound_first, event(2), &callback(120)).unwrap();
    assert_eq!(called, Called { completed: vec![wait.reference()], ..Called::default() });
    assert_eq!(state(&mut bound_first, &wait), by(event(2), 120));

    let mut called_first = MemoryShelves::default();
    make(&mut called_first, &[reserve(wait.clone())], 100).unwrap();
    let called = call(&mut called_first, event(2), &callback(120)).unwrap();
    assert_eq!(called, Called { kept_until: Some(at(1_120)), ..Called::default() }, "kept for the reservation");
    let early = make(&mut called_first, &[bind(&wait)], 130).unwrap();
    assert_eq!(early, [Met { wait: wait.reference(), event: Some(event(2)) }]);
    assert_eq!(state(&mut called_first, &wait), by(event(2), 130));
}

#[test]
fn a_wait_is_resolved_once() {
    let wait = wait(7, &[KEY]);
    let mut shelves = MemoryShelves::default();
    make(&mut shelves, &[reserve(wait.clone())], 100).unwrap();
    assert_eq!(make(&mut shelves, &[reserve(wait.clone())], 100), None, "nor reserved twice");
    call(&mut shelves, event(2), &callback(120)).unwrap();
    let before = shelves.clone();
    let timeout = WaitChange::Settle { wait: wait.id, by: Resolution::Timeout };
    assert_eq!(make(&mut shelves, &[timeout], 130), None);
    assert_eq!(make(&mut shelves, &[WaitChange::Expect(wait.id)], 130), None);
    assert_eq!(make(&mut shelves, &[WaitChange::Close(wait.id)], 130), Some(vec![]));
    assert_eq!(shelves, before);
    let again = call(&mut shelves, event(3), &callback(140)).unwrap();
    assert_eq!((again.completed, again.late), (vec![], vec![wait.id]));
    assert_eq!(shelves, before);
}

#[test]
fn a_callback_completes_all_that_wait_for_it_now_and_soon() {
    let mut shelves = MemoryShelves::default();
    let (first, second, third) = (wait(1, &[KEY, "codegen:run:g"]), wait(2, &[KEY]), wait(3, &[KEY]));
    make(&mut shelves, &[reserve(first.clone()), reserve(second.clone())], 100).unwrap();
    let awaited = Callback { awaited: true, keys: vec![KEY.into(), "codegen:run:g".into()], ..callback(120) };
    let called = call(&mut shelves, event(2), &awaited).unwrap();
    assert_eq!(called.completed.len(), 2, "each once, whatever keys it has");
    assert_eq!((called.late, called.kept_until), (vec![], Some(at(1_120))));
    let early = make(&mut shelves, &[reserve(third.clone())], 200).unwrap();
    assert_eq!(early, [Met { wait: third.reference(), event: Some(event(2)) }]);
}

#[test]
fn only_what_can_be_its_answer_completes_a_wait() {
    let check = |callback: Callback, event: EventId, expect: bool| {
        let mut shelves = MemoryShelves::default();
        make(&mut shelves, &[reserve(wait(7, &[KEY]))], 100).unwrap();
        assert_eq!(call(&mut shelves, event, &callback).unwrap().completed.len(), usize::from(expect), "{callback:?}");
        let mut early = MemoryShelves::default();
        call(&mut early, event, &Callback { awaited: true, ..callback.clone() }).unwrap();
        let found = make(&mut early, &[reserve(wait(7, &[KEY]))], 200).unwrap();
        assert_eq!(found.len(), usize::from(expect), "{callback:?}, early");
    };
    check(callback(120), event(2), true);
    check(callback(100), event(2), true);
    check(callback(99), event(2), false);
    check(callback(120), event(1), false);
    check(Callback { action: Some("failed".into()), ..callback(120) }, event(2), false);
    check(Callback { source: "github".into(), ..callback(120) }, event(2), false);
    check(Callback { keys: vec!["codegen:run:18".into()], ..callback(120) }, event(2), false);
}

#[test]
fn what_nobody_could_want_is_not_kept_and_what_is_kept_ends() {
    let mut shelves = MemoryShelves::default();
    assert_eq!(call(&mut shelves, event(2), &callback(120)).unwrap(), Called::default());
    let reserved = wait(7, &[]);
    make(&mut shelves, &[reserve(reserved.clone())], 100).unwrap();
    let other = Callback { keys: vec!["claude:session:1".into()], ..callback(120) };
    assert_eq!(call(&mut shelves, event(3), &other).unwrap(), Called::default(), "of another kind");
    call(&mut shelves, event(2), &callback(120)).unwrap();
    assert_eq!(make(&mut shelves, &[bind(&reserved)], 1_120), Some(vec![]), "its time is over");
    assert!(shelves.wait(reserved.id).unwrap().unwrap().is_open());
}

#[test]
fn the_earliest_callback_counts_and_late_is_said_for_a_while_only() {
    let mut shelves = MemoryShelves::default();
    for (number, received_at) in [(3, 140), (2, 120)] {
        call(&mut shelves, event(number), &Callback { awaited: true, ..callback(received_at) }).unwrap();
    }
    let waits = wait(7, &[KEY]);
    make(&mut shelves, &[reserve(waits.clone())], 200).unwrap();
    assert_eq!(state(&mut shelves, &waits), by(event(2), 200));
    assert_eq!(call(&mut shelves, event(4), &callback(1_199)).unwrap().late, [waits.id]);
    assert_eq!(call(&mut shelves, event(5), &callback(1_200)).unwrap().late, []);
}
