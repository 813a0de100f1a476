//! What every store promises, whatever it stands on. Each adapter runs all of it.

#[path = "catch_up_contract.rs"]
mod catch_up;
#[path = "letters_contract.rs"]
mod letters;
#[path = "retention_contract.rs"]
mod retention;

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::circuit_breaker::circuit::BreakerRecord;
use pointsman_actors::circuit_breaker::circuit::Condition;
use pointsman_actors::deduplicator::fingerprint::{HookKey, Key};
use pointsman_actors::event::{EventMeta, Facts, SourceName, Verdict};
use pointsman_actors::event_log::record::Sealer;
use pointsman_actors::ids::{EventId, Ids, RandomIds, RunId};
use pointsman_actors::run::{Entry, RunHead, RunRecord, RunRef, RunStatus, What};
use pointsman_actors::store::{Answer, Claim, EventQuery, Intake, Lease, Occurrence, RunQuery, Store, Transition};
use pointsman_actors::time::Timestamp;

pub use catch_up::*;
pub use letters::*;
pub use retention::*;

/// Deliveries are recognised for three days, occurrences for five minutes.
pub const DELIVERY_WINDOW: Duration = Duration::from_secs(3 * 24 * 3600);
const OCCURRENCE_WINDOW: Duration = Duration::from_secs(300);

pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// An intake that tests describe in a line.
#[derive(Clone)]
pub struct Sample {
    delivery: u8,
    occurrence: Option<(u8, Option<u64>)>,
    at: Timestamp,
    verdict: Verdict,
    payload: Vec<u8>,
}

pub fn delivery(delivery: u8) -> Sample {
    let verdict = Verdict::Unrouted { reason: "no route".into() };
    Sample { delivery, occurrence: None, at: START, verdict, payload: b"{}".into() }
}

impl Sample {
    pub fn reporting(mut self, occurrence: u8, hook: Option<u64>) -> Self {
        self.occurrence = Some((occurrence, hook));
        self
    }

    pub fn after(mut self, span: Duration) -> Self {
        self.at = START.plus(span);
        self
    }

    pub fn pending(mut self) -> Self {
        self.verdict = Verdict::Pending { reason: "a rule failed".into(), waits: Vec::new() };
        self
    }

    pub fn with_payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.into();
        self
    }

    pub fn intake(&self) -> Intake {
        let meta = EventMeta {
            redacted: 0,
            id: RandomIds.event(self.at),
            source: SourceName::new("github"),
            received_at: self.at,
            delivery_id: format!("guid-{}", self.delivery),
            peer: None,
            headers: Vec::new(),
            facts: Facts {
                event_type: if self.delivery.is_multiple_of(2) { "push" } else { "issues" }.into(),
                title: Some(format!("Title {}", self.delivery)),
                ..Facts::default()
            },
            payload_bytes: 2,
        };
        let claim =
            |kind: u8, key: u8, window| Claim { key: Key([[kind; 8], [key; 8]].concat().try_into().unwrap()), window };
        Intake {
            id: meta.id,
            at: self.at,
            delivery: claim(1, self.delivery, DELIVERY_WINDOW),
            occurrence: self
                .occurrence
                .map(|(key, hook)| Occurrence { claim: claim(2, key, OCCURRENCE_WINDOW), hook: hook.map(HookKey) }),
            record: Sealer::new().seal(&meta, &self.verdict, &self.payload).unwrap(),
            verdict: self.verdict.clone(),
            runs: Vec::new(),
            callback: None,
        }
    }

    /// The same, starting a run of each of these workflows.
    pub fn starting(&self, workflows: &[&str]) -> (Intake, Vec<RunRecord>) {
        let mut intake = self.intake();
        let runs: Vec<RunRecord> = workflows.iter().map(|workflow| run(intake.id, workflow, self.at)).collect();
        intake.verdict = Verdict::Started { runs: runs.iter().map(|run| run.id).collect(), waits: Vec::new() };
        intake.runs = runs.clone();
        (intake, runs)
    }
}

fn run(event: EventId, workflow: &str, started_at: Timestamp) -> RunRecord {
    RunRecord {
        id: RunId::derive(workflow, event, "route", 0),
        workflow: workflow.to_owned(),
        definition: "d".to_owned(),
        event,
        route: "route".to_owned(),
        generation: 0,
        priority: 5,
        subject: Some("o/r#1".to_owned()),
        fair_key: None,
        input: serde_json::Map::new(),
        started_at,
        seen: None,
        parent: None,
        begins_at: None,
    }
}

pub type Shelf = Arc<dyn Store>;

/// Commits one batch and gives the answers and the ids that the events would have.
pub async fn commit(store: &Shelf, samples: &[Sample]) -> (Vec<Answer>, Vec<EventId>) {
    let intakes: Vec<Intake> = samples.iter().map(Sample::intake).collect();
    let ids = intakes.iter().map(|intake| intake.id).collect();
    let transitions = intakes.into_iter().map(|intake| Transition::Intake(Box::new(intake))).collect();
    (store.commit(transitions).await.unwrap(), ids)
}

async fn answer(store: &Shelf, sample: Sample) -> (Answer, EventId) {
    let (mut answers, ids) = commit(store, &[sample]).await;
    (answers.remove(0), ids[0])
}

pub async fn what_is_committed_can_be_read(store: Shelf) {
    let (first, id) = answer(&store, delivery(1)).await;
    assert_eq!(first, Answer::Stored);
    let event = store.event(id).await.unwrap().unwrap();
    assert_eq!((event.meta.delivery_id.as_str(), event.payload.as_deref()), ("guid-1", Some(&b"{}"[..])));
    assert_eq!(event.verdict.status(), "unrouted");
    assert_eq!(store.event(RandomIds.event(START)).await.unwrap(), None);
    assert_eq!(store.counts().events, 1);
}

pub async fn a_delivery_is_one_event(store: Shelf) {
    let (answers, ids) = commit(&store, &[delivery(1), delivery(1), delivery(2)]).await;
    assert_eq!(answers, [Answer::Stored, Answer::Redelivered { of: ids[0] }, Answer::Stored]);
    let again = delivery(1).after(DELIVERY_WINDOW - Duration::from_secs(1));
    assert_eq!(answer(&store, again).await.0, Answer::Redelivered { of: ids[0] });
    assert_eq!((store.counts().events, store.counts().redeliveries), (2, 2));
}

pub async fn a_delivery_is_forgotten_after_its_window(store: Shelf) {
    answer(&store, delivery(1)).await;
    let (late, id) = answer(&store, delivery(1).after(DELIVERY_WINDOW)).await;
    assert_eq!(late, Answer::Stored);
    let again = delivery(1).after(DELIVERY_WINDOW * 2 - Duration::from_secs(1));
    assert_eq!(answer(&store, again).await.0, Answer::Redelivered { of: id });
}

pub async fn an_occurrence_through_another_hook_is_a_duplicate(store: Shelf) {
    let (_, first) = answer(&store, delivery(1).reporting(7, Some(1))).await;
    let (other_hook, id) = answer(&store, delivery(2).reporting(7, Some(2))).await;
    assert_eq!(other_hook, Answer::Duplicate { of: first });
    assert_eq!(store.event(id).await.unwrap().unwrap().verdict, Verdict::Duplicate { of: first });
    let same_hook = answer(&store, delivery(3).reporting(7, Some(1))).await.0;
    assert_eq!(same_hook, Answer::Stored, "two deliveries of one hook are two occurrences");
    let third_hook = answer(&store, delivery(4).reporting(7, Some(3)).after(Duration::from_secs(299))).await.0;
    assert_eq!(third_hook, Answer::Duplicate { of: first }, "the hook of the first event is the one compared with");
    let too_late = answer(&store, delivery(5).reporting(7, Some(2)).after(Duration::from_secs(300))).await.0;
    assert_eq!(too_late, Answer::Stored);
    assert_eq!((store.counts().events, store.counts().duplicates), (5, 2));
}

pub async fn without_hooks_every_repetition_is_a_duplicate(store: Shelf) {
    let samples = [delivery(1).reporting(7, None), delivery(2).reporting(7, None), delivery(2).reporting(7, None)];
    let (answers, ids) = commit(&store, &samples).await;
    let expected = [Answer::Stored, Answer::Duplicate { of: ids[0] }, Answer::Redelivered { of: ids[1] }];
    assert_eq!(answers, expected);
}

pub async fn a_pending_event_is_settled_once(store: Shelf) {
    let (_, id) = answer(&store, delivery(1).pending()).await;
    answer(&store, delivery(2)).await;
    assert_eq!(store.counts().pending, 1);
    let (now, until) = (START, START.plus(Duration::from_secs(60)));
    let taken = store.take_pending(10, now, until).await.unwrap();
    let [(event, lease)] = &taken[..] else { panic!("one event, not {taken:?}") };
    assert_eq!((event.meta.id, event.payload.as_deref()), (id, Some(&b"{}"[..])));
    assert_eq!(store.take_pending(10, now, until).await.unwrap(), [], "it is claimed");
    let (_, second) = store.take_pending(10, until, until.plus(Duration::from_secs(60))).await.unwrap().remove(0);
    let settle = |lease: Lease| Transition::Settle {
        event: id,
        lease,
        verdict: Verdict::Unrouted { reason: "now".into() },
        runs: Vec::new(),
    };
    let answers = store.commit(vec![settle(*lease), settle(second), settle(second)]).await.unwrap();
    assert_eq!(
        answers,
        [Answer::Stale, Answer::Applied, Answer::Stale],
        "an old lease changes nothing, and none does twice"
    );
    assert_eq!(store.event(id).await.unwrap().unwrap().verdict.status(), "unrouted");
    assert_eq!(store.counts().pending, 0);
}

pub async fn a_pending_event_can_stay_pending(store: Shelf) {
    let (_, id) = answer(&store, delivery(1).pending()).await;
    let (_, lease) = store.take_pending(1, START, START).await.unwrap().remove(0);
    let later = START.plus(Duration::from_secs(5));
    let verdict = Verdict::Pending { reason: "still".into(), waits: Vec::new() };
    let settle = Transition::Settle { event: id, lease: Lease { until: later, ..lease }, verdict, runs: Vec::new() };
    assert_eq!(store.commit(vec![settle]).await.unwrap(), [Answer::Applied]);
    assert_eq!(store.take_pending(1, START, START).await.unwrap(), []);
    assert_eq!(store.take_pending(1, later, later).await.unwrap().len(), 1);
    assert_eq!(store.counts().pending, 1);
}

pub async fn lists_are_newest_first_and_go_on(store: Shelf) {
    let samples: Vec<Sample> = (0..10).map(|n| delivery(n).after(Duration::from_secs(u64::from(n)))).collect();
    let (_, mut ids) = commit(&store, &samples).await;
    ids.reverse();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.events(EventQuery { limit: 3, before, ..EventQuery::default() }).await.unwrap();
        seen.extend(page.items.iter().map(|event| event.meta.id));
        assert!(page.items.iter().all(|event| event.payload.is_none()));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
}

pub async fn lists_are_filtered(store: Shelf) {
    let samples: Vec<Sample> = (0..10).map(|n| delivery(n).after(Duration::from_secs(u64::from(n)))).collect();
    commit(&store, &samples).await;
    let list = async |query: EventQuery| {
        let page = store.events(EventQuery { limit: 100, ..query }).await.unwrap();
        page.items.iter().map(|event| event.meta.delivery_id.clone()).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(list(EventQuery { event_type: text("push"), ..EventQuery::default() }).await.len(), 5);
    assert_eq!(list(EventQuery { source: text("linear"), ..EventQuery::default() }).await.len(), 0);
    assert_eq!(list(EventQuery { status: text("unrouted"), ..EventQuery::default() }).await.len(), 10);
    assert_eq!(list(EventQuery { text: text("tITLE 7"), ..EventQuery::default() }).await, ["guid-7"]);
    let since = Some(START.plus(Duration::from_secs(8)));
    assert_eq!(list(EventQuery { since, ..EventQuery::default() }).await, ["guid-9", "guid-8"]);
    let until = Some(START.plus(Duration::from_secs(1)));
    assert_eq!(list(EventQuery { until, ..EventQuery::default() }).await, ["guid-0"]);
}

/// Commits an event that starts a run of each of these workflows.
pub async fn start(store: &Shelf, sample: &Sample, workflows: &[&str]) -> Vec<RunRecord> {
    let (intake, runs) = sample.starting(workflows);
    assert_eq!(store.commit(vec![Transition::Intake(Box::new(intake))]).await.unwrap(), [Answer::Stored]);
    runs
}

pub fn entry(what: What) -> Entry {
    Entry::new(START, what)
}

/// A run's journal grows by `entries`, after which it has this status.
fn advance(run: &RunRecord, revision: u32, entries: Vec<Entry>, status: RunStatus) -> Transition {
    let grown = revision + u32::try_from(entries.len()).unwrap();
    let head = RunHead { status, revision: grown, ..RunHead::queued(START) };
    Transition::Advance { run: run.reference(), revision, entries, head, waits: Vec::new(), starts: vec![] }
}

pub async fn an_event_and_its_runs_are_one_commit(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a", "b"]).await;
    let stored = store.run(runs[0].id).await.unwrap().unwrap();
    assert_eq!((&stored.record, stored.head.status, stored.journal.len()), (&runs[0], RunStatus::Queued, 0));
    assert_eq!((store.counts().runs, store.counts().queued), (2, 2));
    let (again, _) = delivery(1).starting(&["c"]);
    let answers = store.commit(vec![Transition::Intake(Box::new(again))]).await.unwrap();
    assert!(matches!(answers[..], [Answer::Redelivered { .. }]));
    assert_eq!(store.counts().runs, 2, "a redelivery starts nothing");
    assert_eq!(store.run(RunId::from_bytes([9; 16])).await.unwrap(), None);
}

pub async fn a_duplicate_starts_nothing(store: Shelf) {
    answer(&store, delivery(1).reporting(7, None)).await;
    let (twin, runs) = delivery(2).reporting(7, None).starting(&["a"]);
    let answers = store.commit(vec![Transition::Intake(Box::new(twin))]).await.unwrap();
    assert!(matches!(answers[..], [Answer::Duplicate { .. }]));
    assert_eq!((store.run(runs[0].id).await.unwrap(), store.counts().runs), (None, 0));
}

pub async fn routing_twice_starts_a_run_once(store: Shelf) {
    let (_, id) = answer(&store, delivery(1).pending()).await;
    let started = run(id, "a", START);
    for _ in 0..2 {
        let (_, lease) = store.take_pending(1, START, START).await.unwrap().remove(0);
        let verdict = Verdict::Pending { reason: "still".into(), waits: Vec::new() };
        let runs = vec![started.clone(), started.clone()];
        let settle = Transition::Settle { event: id, lease: Lease { until: START, ..lease }, verdict, runs };
        assert_eq!(store.commit(vec![settle]).await.unwrap(), [Answer::Applied]);
    }
    assert_eq!((store.counts().runs, store.open_runs(None, 9).await.unwrap().len()), (1, 1));
}

pub async fn a_journal_grows_at_its_end_only(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a"]).await;
    let begun = || entry(What::Begun { may_take_ms: 60_000 });
    let ended = || entry(What::Ended { status: RunStatus::Succeeded, reason: None });
    let steps = vec![
        advance(&runs[0], 0, vec![begun()], RunStatus::Running),
        advance(&runs[0], 0, vec![begun()], RunStatus::Running),
        advance(&runs[0], 1, vec![ended()], RunStatus::Succeeded),
    ];
    let answers = store.commit(steps).await.unwrap();
    assert_eq!(answers, [Answer::Applied, Answer::Stale, Answer::Applied], "within a batch as well");
    let late = advance(&runs[0], 1, vec![ended()], RunStatus::Failed);
    assert_eq!(store.commit(vec![late]).await.unwrap(), [Answer::Stale]);
    let stored = store.run(runs[0].id).await.unwrap().unwrap();
    assert_eq!((stored.journal, stored.head.status), (vec![begun(), ended()], RunStatus::Succeeded));
    assert_eq!(store.open_runs(None, 9).await.unwrap(), []);
    let counts = store.counts();
    assert_eq!((counts.runs, counts.queued, counts.active, counts.succeeded), (1, 0, 0, 1));
}

pub async fn open_runs_are_listed_by_their_start(store: Shelf) {
    let mut all = Vec::new();
    for n in 0..5 {
        all.extend(start(&store, &delivery(n).after(Duration::from_secs(u64::from(n))), &["a"]).await);
    }
    let over = entry(What::Ended { status: RunStatus::Failed, reason: None });
    store.commit(vec![advance(&all[2], 0, vec![over], RunStatus::Failed)]).await.unwrap();
    let wake = Some(START.plus(Duration::from_secs(9)));
    let begun = entry(What::Begun { may_take_ms: 60_000 });
    let head = RunHead { status: RunStatus::Waiting, revision: 1, wake, ..RunHead::queued(START) };
    let waiting = Transition::Advance {
        run: all[1].reference(),
        revision: 0,
        entries: vec![begun],
        head,
        waits: vec![],
        starts: vec![],
    };
    store.commit(vec![waiting]).await.unwrap();
    let first = store.open_runs(None, 2).await.unwrap();
    let ids = |open: &[pointsman_actors::store::OpenRun]| open.iter().map(|open| open.run.id).collect::<Vec<_>>();
    assert_eq!((ids(&first), first[1].wake, first[0].workflow.as_str()), (vec![all[0].id, all[1].id], wake, "a"));
    let rest = store.open_runs(Some(first[1].run), 9).await.unwrap();
    assert_eq!(ids(&rest), [all[3].id, all[4].id]);
}

pub async fn runs_are_listed_newest_first_and_filtered(store: Shelf) {
    let mut all = Vec::new();
    for n in 0..6 {
        let workflow = if n % 2 == 0 { "even" } else { "odd" };
        all.extend(start(&store, &delivery(n).after(Duration::from_secs(u64::from(n))), &[workflow]).await);
    }
    let over = entry(What::Ended { status: RunStatus::Failed, reason: None });
    store.commit(vec![advance(&all[5], 0, vec![over], RunStatus::Failed)]).await.unwrap();
    let list = async |query: RunQuery| {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let page = store.runs(RunQuery { limit, ..query }).await.unwrap();
        (page.items.iter().map(|(run, _)| run.id).collect::<Vec<_>>(), page.next)
    };
    let expect = |numbers: &[usize]| numbers.iter().map(|n| all[*n].id).collect::<Vec<_>>();
    let (mut seen, mut before) = (Vec::new(), None::<RunRef>);
    loop {
        let (ids, next) = list(RunQuery { limit: 4, before, ..RunQuery::default() }).await;
        seen.extend(ids);
        before = next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, expect(&[5, 4, 3, 2, 1, 0]));
    let odd = RunQuery { workflow: Some("odd".into()), ..RunQuery::default() };
    assert_eq!(list(odd).await.0, expect(&[5, 3, 1]));
    let failed = RunQuery { status: Some(RunStatus::Failed), ..RunQuery::default() };
    assert_eq!(list(failed).await.0, expect(&[5]));
    let of_event = RunQuery { event: Some(all[3].event), ..RunQuery::default() };
    assert_eq!(list(of_event).await.0, expect(&[3]));
    let since = RunQuery { since: Some(all[4].started_at), ..RunQuery::default() };
    assert_eq!(list(since).await.0, expect(&[5, 4]));
    let until = RunQuery { until: Some(all[1].started_at), ..RunQuery::default() };
    assert_eq!(list(until).await.0, expect(&[0]));
    let nobody = RunQuery { subject: Some("o/r#2".into()), ..RunQuery::default() };
    assert_eq!(list(nobody).await.0, []);
}

pub async fn definitions_are_kept(store: Shelf) {
    let keep = || Transition::KeepDefinition { hash: "h".into(), content: "{}".into() };
    assert_eq!(store.definition("h").await.unwrap(), None);
    assert_eq!(store.commit(vec![keep(), keep()]).await.unwrap(), [Answer::Applied, Answer::Applied]);
    assert_eq!(store.definition("h").await.unwrap().as_deref(), Some("{}"));
}

pub async fn the_last_condition_of_a_circuit_is_kept(store: Shelf) {
    let record =
        |name: &str, condition| BreakerRecord { name: name.into(), condition, since: START, reason: "x".into() };
    let open = Condition::Open { until: START };
    let keep = |name, condition| Transition::KeepBreaker(record(name, condition));
    store.commit(vec![keep("a", open), keep("b", open), keep("a", Condition::HalfOpen)]).await.unwrap();
    assert_eq!(store.breakers().await.unwrap(), [record("a", Condition::HalfOpen), record("b", open)]);
}

pub use super::contract_waits::*;

/// Runs the whole contract on the store that `$fresh` opens.
macro_rules! contract {
    ($fresh:expr; $($promise:ident),* $(,)?) => {$(
        #[actix::test]
        async fn $promise() {
            let (store, _keep) = $fresh;
            $crate::stores::contract::$promise(store).await;
        }
    )*};
    ($fresh:expr) => {
        $crate::stores::contract::contract! { $fresh;
            what_is_committed_can_be_read,
            a_delivery_is_one_event,
            a_delivery_is_forgotten_after_its_window,
            an_occurrence_through_another_hook_is_a_duplicate,
            without_hooks_every_repetition_is_a_duplicate,
            a_pending_event_is_settled_once,
            a_pending_event_can_stay_pending,
            lists_are_newest_first_and_go_on,
            lists_are_filtered,
            an_event_and_its_runs_are_one_commit,
            a_duplicate_starts_nothing,
            routing_twice_starts_a_run_once,
            a_journal_grows_at_its_end_only,
            open_runs_are_listed_by_their_start,
            runs_are_listed_newest_first_and_filtered,
            definitions_are_kept,
            the_last_condition_of_a_circuit_is_kept,
            whether_a_delivery_is_an_event_can_be_asked,
            the_last_checkpoint_of_a_hook_is_kept,
            an_event_completes_the_waits_that_it_matches,
            a_run_is_started_with_an_advance_and_its_end_completes_the_wait,
            a_run_that_is_not_wanted_any_more_cannot_go_on,
            a_callback_that_came_early_completes_its_wait_when_that_is_bound,
            what_came_early_within_the_same_batch_is_found_too,
            a_change_of_waits_that_does_not_hold_changes_nothing,
            a_late_callback_says_so_and_a_duplicate_says_nothing,
            a_pending_event_keeps_what_it_completed,
            waits_are_listed_newest_first_and_filtered,
            waits_go_with_their_run_and_what_is_kept_for_runs_stays,
            what_is_finished_goes_whole,
            an_event_without_runs_goes_as_well,
            what_is_not_finished_stays,
            what_has_begun_again_stays,
            what_starts_runs_in_the_same_batch_stays,
            a_delivery_is_recognised_after_its_event_is_gone,
            dossiers_are_oldest_first_and_in_stretches,
            lists_go_on_where_what_they_came_to_is_gone,
            what_failed_for_good_is_listed_newest_first,
            dead_letters_are_filtered,
            a_run_that_is_begun_again_or_dismissed_is_no_dead_letter,
            what_is_to_be_redriven_is_found_oldest_first,
            an_event_that_cannot_be_routed_ends_as_a_dead_letter_and_comes_back,
            an_event_can_be_dismissed_and_hurried,
            each_replay_is_one_generation,
            dead_letters_go_with_their_event,
        }
    };
}
pub(crate) use contract;
