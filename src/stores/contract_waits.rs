//! What every store promises of waits and the events that complete them.

use std::time::Duration;

use pointsman_actors::event::Verdict;
use pointsman_actors::ids::{EventId, RunId, WaitId};
use pointsman_actors::retention::dossier::{Purge, Stretch};
use pointsman_actors::run::{RunHead, RunRecord, RunStatus, What};
use pointsman_actors::store::{Answer, Intake, Lease, RunQuery, Transition, WaitQuery};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::record::{Callback, Resolution, Topic, WaitChange, WaitRecord, WaitState};

use super::contract::{START, Sample, Shelf, delivery, entry, start};

const KEY: &str = "codegen:run:17";
const HOUR: Duration = Duration::from_secs(3_600);

fn wait(run: &RunRecord, serial: u32, keys: &[&str]) -> WaitRecord {
    WaitRecord {
        id: WaitId::derive(run.id, serial),
        run: run.reference(),
        workflow: run.workflow.clone(),
        step: "s".into(),
        event: run.event,
        kind: "codegen:run".into(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        topics: vec![Topic { source: "github".into(), event: "push".into(), actions: Vec::new() }],
        since: START,
        reserved_at: START,
        deadline: START.plus(HOUR),
        state: WaitState::Open,
    }
}

fn reserve(wait: &WaitRecord) -> WaitChange {
    WaitChange::Reserve(Box::new(wait.clone()))
}

fn bind(wait: &WaitRecord, key: &str) -> WaitChange {
    WaitChange::Bind { wait: wait.id, keys: vec![key.into()] }
}

/// A run's journal grows by an entry, and its waits change.
fn advance(run: &RunRecord, revision: u32, waits: Vec<WaitChange>) -> Transition {
    let head = RunHead { status: RunStatus::Waiting, revision: revision + 1, ..RunHead::queued(START) };
    let entries = vec![entry(What::Begun { may_take_ms: 60_000 })];
    Transition::Advance { run: run.reference(), revision, entries, head, waits, starts: vec![] }
}

/// An event that says so under these keys.
fn says(sample: &Sample, keys: &[&str], awaited: bool) -> Intake {
    let intake = sample.intake();
    let callback = Callback {
        source: "github".into(),
        event_type: "push".into(),
        action: None,
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        received_at: intake.at,
        until: intake.at.plus(HOUR),
        awaited,
    };
    Intake { callback: Some(callback), ..intake }
}

async fn commit(store: &Shelf, transitions: Vec<Transition>) -> Vec<Answer> {
    store.commit(transitions).await.unwrap()
}

async fn take_in(store: &Shelf, intake: Intake) -> (Answer, EventId) {
    let id = intake.id;
    (commit(store, vec![Transition::Intake(Box::new(intake))]).await.remove(0), id)
}

async fn verdict(store: &Shelf, event: EventId) -> Verdict {
    store.event(event).await.unwrap().unwrap().verdict
}

async fn state(store: &Shelf, wait: &WaitRecord) -> WaitState {
    store.wait(wait.id).await.unwrap().unwrap().state
}

fn by(event: EventId, at: Timestamp) -> WaitState {
    WaitState::Resolved { by: Resolution::Callback(event), at }
}

fn completed(waits: &[&WaitRecord]) -> Answer {
    Answer::Completed { waits: waits.iter().map(|wait| wait.reference()).collect() }
}

fn numbers(store: &Shelf) -> (u64, u64) {
    (store.counts().open_waits, store.counts().resolved_waits)
}

pub async fn an_event_completes_the_waits_that_it_matches(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a", "b", "c"]).await;
    let (first, second) = (wait(&runs[0], 0, &[KEY]), wait(&runs[1], 0, &[KEY, "codegen:run:x"]));
    let other = wait(&runs[2], 0, &["codegen:run:18"]);
    let reserved = [&first, &second, &other].into_iter().zip(&runs);
    let reserved = reserved.map(|(wait, run)| advance(run, 0, vec![reserve(wait)])).collect();
    assert_eq!(commit(&store, reserved).await, [Answer::Applied, Answer::Applied, Answer::Applied]);
    let (answer, event) = take_in(&store, says(&delivery(2), &["codegen:run:x", KEY], false)).await;
    let Answer::Completed { mut waits } = answer else { panic!("{answer:?}") };
    waits.sort_by_key(|wait| wait.wait);
    let mut expect = vec![first.reference(), second.reference()];
    expect.sort_by_key(|wait| wait.wait);
    assert_eq!(waits, expect);
    let Verdict::CompletedWait { mut waits } = verdict(&store, event).await else { panic!("not completed") };
    waits.sort();
    assert_eq!(waits, expect.iter().map(|wait| wait.wait).collect::<Vec<_>>());
    assert_eq!(state(&store, &first).await, by(event, START));
    assert_eq!((state(&store, &other).await, numbers(&store)), (WaitState::Open, (1, 2)));
    assert_eq!(take_in(&store, says(&delivery(2), &[KEY], false)).await.0, Answer::Redelivered { of: event });
}

pub async fn a_callback_that_came_early_completes_its_wait_when_that_is_bound(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a"]).await;
    let reserved = wait(&runs[0], 0, &[]);
    commit(&store, vec![advance(&runs[0], 0, vec![reserve(&reserved)])]).await;
    let (answer, unwanted) = take_in(&store, says(&delivery(2), &["claude:session:1"], false)).await;
    assert_eq!((answer, verdict(&store, unwanted).await.status()), (Answer::Stored, "unrouted"));
    let (answer, event) = take_in(&store, says(&delivery(4), &[KEY], false)).await;
    let until = START.plus(HOUR);
    assert_eq!((answer, verdict(&store, event).await), (Answer::Stored, Verdict::Buffered { until }));
    let bound = commit(&store, vec![advance(&runs[0], 1, vec![bind(&reserved, KEY)])]).await;
    assert_eq!(bound, [completed(&[&reserved])]);
    assert_eq!(verdict(&store, event).await, Verdict::CompletedWait { waits: vec![reserved.id] });
    assert_eq!((state(&store, &reserved).await, numbers(&store)), (by(event, START), (0, 1)));
}

pub async fn what_came_early_within_the_same_batch_is_found_too(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a", "b"]).await;
    let (first, second) = (wait(&runs[0], 0, &[KEY]), wait(&runs[1], 0, &[]));
    let event = says(&delivery(2), &[KEY], true);
    let id = event.id;
    let batch = vec![
        advance(&runs[1], 0, vec![reserve(&second)]),
        Transition::Intake(Box::new(event)),
        advance(&runs[0], 0, vec![reserve(&first)]),
        advance(&runs[1], 1, vec![bind(&second, KEY)]),
    ];
    let answers = commit(&store, batch).await;
    assert_eq!(answers, [Answer::Applied, Answer::Stored, completed(&[&first]), completed(&[&second])]);
    assert_eq!(verdict(&store, id).await, Verdict::CompletedWait { waits: vec![first.id, second.id] });
    let bytes = store.counts().bytes;
    assert!(bytes > 0 && bytes < 10_000, "{bytes}");
}

pub async fn a_change_of_waits_that_does_not_hold_changes_nothing(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a"]).await;
    let waits = wait(&runs[0], 0, &[KEY]);
    commit(&store, vec![advance(&runs[0], 0, vec![reserve(&waits)])]).await;
    let (_, event) = take_in(&store, says(&delivery(2), &[KEY], false)).await;
    let settle = |by| vec![WaitChange::Settle { wait: waits.id, by }];
    let tried = vec![
        advance(&runs[0], 1, settle(Resolution::Timeout)),
        advance(&runs[0], 1, vec![WaitChange::Expect(waits.id)]),
        advance(&runs[0], 1, vec![reserve(&waits)]),
        advance(&runs[0], 7, vec![WaitChange::Close(waits.id)]),
        advance(&runs[0], 1, vec![WaitChange::Close(waits.id)]),
    ];
    let answers = commit(&store, tried).await;
    assert_eq!(answers, [Answer::Stale, Answer::Stale, Answer::Stale, Answer::Stale, Answer::Applied]);
    assert_eq!(state(&store, &waits).await, by(event, START));
    assert_eq!(store.run(runs[0].id).await.unwrap().unwrap().journal.len(), 2);
}

pub async fn a_late_callback_says_so_and_a_duplicate_says_nothing(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a"]).await;
    let waits = wait(&runs[0], 0, &[KEY]);
    let timeout = WaitChange::Settle { wait: waits.id, by: Resolution::Timeout };
    let both = vec![advance(&runs[0], 0, vec![reserve(&waits)]), advance(&runs[0], 1, vec![timeout])];
    assert_eq!(commit(&store, both).await, [Answer::Applied, Answer::Applied]);
    let (_, late) = take_in(&store, says(&delivery(2).reporting(7, None), &[KEY], false)).await;
    assert_eq!(verdict(&store, late).await, Verdict::Late { waits: vec![waits.id] });
    let other = wait(&runs[0], 5, &[KEY]);
    commit(&store, vec![advance(&runs[0], 2, vec![reserve(&other)])]).await;
    let (twin, _) = take_in(&store, says(&delivery(4).reporting(7, None), &[KEY], false)).await;
    assert_eq!((twin, state(&store, &other).await), (Answer::Duplicate { of: late }, WaitState::Open));
}

pub async fn a_pending_event_keeps_what_it_completed(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a"]).await;
    let waits = wait(&runs[0], 0, &[KEY]);
    commit(&store, vec![advance(&runs[0], 0, vec![reserve(&waits)])]).await;
    let (answer, event) = take_in(&store, says(&delivery(2).pending(), &[KEY], false)).await;
    assert_eq!((answer, verdict(&store, event).await.status()), (completed(&[&waits]), "pending"));
    let (_, lease) = store.take_pending(1, START, START).await.unwrap().remove(0);
    let verdict_now = Verdict::Unrouted { reason: "now".into() };
    let settle = Transition::Settle { event, lease: Lease { ..lease }, verdict: verdict_now, runs: Vec::new() };
    assert_eq!(commit(&store, vec![settle]).await, [Answer::Applied]);
    assert_eq!(verdict(&store, event).await, Verdict::CompletedWait { waits: vec![waits.id] });
}

pub async fn waits_are_listed_newest_first_and_filtered(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a", "b"]).await;
    let mut all = Vec::new();
    for number in 0..5_u32 {
        let reserved_at = START.plus(Duration::from_secs(u64::from(number)));
        let key = format!("codegen:run:{number}");
        let run = &runs[usize::from(number == 4)];
        let each = WaitRecord { reserved_at, ..wait(run, number, &[&key]) };
        commit(&store, vec![advance(run, if number == 4 { 0 } else { number }, vec![reserve(&each)])]).await;
        all.push(each);
    }
    commit(&store, vec![advance(&runs[0], 4, vec![WaitChange::Close(all[1].id)])]).await;
    let list = async |query: WaitQuery| {
        let page = store.waits(WaitQuery { limit: query.limit.max(2), ..query }).await.unwrap();
        (page.items.iter().map(|wait| wait.id).collect::<Vec<_>>(), page.next)
    };
    let expect = |numbers: &[usize]| numbers.iter().map(|number| all[*number].id).collect::<Vec<_>>();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let (ids, next) = list(WaitQuery { before, ..WaitQuery::default() }).await;
        seen.extend(ids);
        before = next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, expect(&[4, 3, 2, 1, 0]));
    let check = async |query: WaitQuery, numbers: &[usize]| {
        assert_eq!(list(WaitQuery { limit: 9, ..query }).await.0, expect(numbers));
    };
    check(WaitQuery { open: Some(false), ..WaitQuery::default() }, &[1]).await;
    check(WaitQuery { open: Some(true), ..WaitQuery::default() }, &[4, 3, 2, 0]).await;
    check(WaitQuery { run: Some(runs[1].id), ..WaitQuery::default() }, &[4]).await;
    check(WaitQuery { key: Some("codegen:run:2".into()), ..WaitQuery::default() }, &[2]).await;
    assert_eq!(store.wait(WaitId::from_bytes([1; 16])).await.unwrap(), None);
}

pub async fn waits_go_with_their_run_and_what_is_kept_for_runs_stays(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a"]).await;
    let (own, other) = (wait(&runs[0], 0, &[KEY]), wait(&runs[0], 1, &[]));
    let over = RunHead { status: RunStatus::Failed, revision: 3, ..RunHead::queued(START) };
    let ended = What::Ended { status: RunStatus::Failed, reason: None };
    let end = Transition::Advance {
        run: runs[0].reference(),
        revision: 2,
        entries: vec![entry(ended)],
        head: over,
        waits: vec![WaitChange::Close(own.id), WaitChange::Close(other.id)],
        starts: vec![],
    };
    let (first, second) = (vec![reserve(&own)], vec![reserve(&other)]);
    commit(&store, vec![advance(&runs[0], 0, first), advance(&runs[0], 1, second), end]).await;
    let (_, kept) = take_in(&store, says(&delivery(2), &["codegen:run:soon"], true)).await;
    let dossiers = store.dossiers(Stretch::default(), 9).await.unwrap();
    let over_since = |event| dossiers.iter().find(|dossier| dossier.event == event).unwrap().over_since;
    assert_eq!(over_since(kept), Some(START.plus(HOUR)), "it is wanted until then");
    let purge = Purge { event: runs[0].event, over_since: over_since(runs[0].event).unwrap() };
    assert_eq!(numbers(&store), (0, 2));
    assert_eq!(commit(&store, vec![Transition::Purge(purge)]).await, [Answer::Applied]);
    assert_eq!((store.wait(own.id).await.unwrap(), numbers(&store)), (None, (0, 0)));
    let listed = store.waits(WaitQuery { limit: 9, ..WaitQuery::default() }).await.unwrap();
    assert_eq!(listed.items, []);
    let (answer, event) = take_in(&store, says(&delivery(4), &[KEY], false)).await;
    assert_eq!((answer, verdict(&store, event).await.status()), (Answer::Stored, "unrouted"));
}

pub async fn a_run_is_started_with_an_advance_and_its_end_completes_the_wait(store: Shelf) {
    let runs = start(&store, &delivery(1), &["parent"]).await;
    let (parent, wait) = (&runs[0], WaitRecord { topics: Vec::new(), ..wait(&runs[0], 0, &["pointsman:run:x"]) });
    let child = RunRecord { id: RunId::child_of(parent.id, 0), workflow: "child".into(), ..parent.clone() };
    let starting = |revision| match advance(parent, revision, vec![reserve(&wait)]) {
        Transition::Advance { run, revision, entries, head, waits, .. } => {
            Transition::Advance { run, revision, entries, head, waits, starts: vec![child.clone()] }
        }
        other => other,
    };
    assert_eq!(commit(&store, vec![starting(7)]).await, [Answer::Stale]);
    assert_eq!(store.run(child.id).await.unwrap(), None, "with nothing else");
    let before = store.counts();
    assert_eq!(commit(&store, vec![starting(0)]).await, [Answer::Applied]);
    assert_eq!(store.run(child.id).await.unwrap().unwrap().record, child);
    assert_eq!(store.counts().runs, before.runs + 1);
    let open = store.open_runs(None, 9).await.unwrap();
    assert!(open.iter().any(|open| open.run == child.reference() && open.workflow == "child"));
    let of_event = RunQuery { event: Some(parent.event), limit: 9, ..RunQuery::default() };
    assert_eq!(store.runs(of_event).await.unwrap().items.len(), 2, "it is of the same event");
    let want = || WaitChange::Want { wait: wait.id, run: child.id };
    let end = WaitChange::Return { wait: wait.id, run: child.id };
    assert_eq!(commit(&store, vec![advance(&child, 0, vec![want()])]).await, [Answer::Applied]);
    let ended = commit(&store, vec![advance(&child, 1, vec![end.clone()])]).await;
    assert_eq!(ended, [completed(&[&wait])]);
    let resolved = WaitState::Resolved { by: Resolution::Run(child.id), at: START };
    assert_eq!((state(&store, &wait).await, numbers(&store)), (resolved, (0, 1)));
    let again = commit(&store, vec![advance(&child, 2, vec![want()]), advance(&child, 3, vec![end])]).await;
    assert_eq!(again, [Answer::Applied, Answer::Applied], "one that is begun again is wanted, and tells nobody");
}

pub async fn a_run_that_is_not_wanted_any_more_cannot_go_on(store: Shelf) {
    let runs = start(&store, &delivery(1), &["parent", "child"]).await;
    let wait = wait(&runs[0], 0, &["pointsman:run:x"]);
    let child = runs[1].id;
    let close = WaitChange::Close(wait.id);
    commit(&store, vec![advance(&runs[0], 0, vec![reserve(&wait)]), advance(&runs[0], 1, vec![close])]).await;
    let want = WaitChange::Want { wait: wait.id, run: child };
    let end = WaitChange::Return { wait: wait.id, run: child };
    assert_eq!(commit(&store, vec![advance(&runs[1], 0, vec![want])]).await, [Answer::Stale]);
    let ended = commit(&store, vec![advance(&runs[1], 0, vec![end])]).await;
    assert_eq!(ended, [completed(&[&wait])], "whoever does not want it may wait until it is over");
    let cancelled = WaitState::Resolved { by: Resolution::Cancel, at: START };
    assert_eq!(state(&store, &wait).await, cancelled);
}
