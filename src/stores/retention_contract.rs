//! What every store promises about removal: what is finished goes whole, and nothing else goes.

use pointsman_actors::retention::dossier::{Dossier, Purge, Stretch};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Long after anything in these tests has happened.
const LATE: Timestamp = Timestamp::from_millis(START.millis() + 1_000_000_000);

/// Commits these in one batch.
async fn batch(store: &Shelf, transitions: Vec<Transition>) -> Vec<Answer> {
    store.commit(transitions).await.unwrap()
}

/// The run has ended so, this long after the start.
fn ended(run: &RunRecord, status: RunStatus, after: Duration) -> Transition {
    let at = START.plus(after);
    let entries = vec![entry(What::Begun { may_take_ms: 1 }), Entry::new(at, What::Ended { status, reason: None })];
    let head = RunHead { status, revision: 2, updated_at: at, ..RunHead::queued(START) };
    Transition::Advance { run: run.reference(), revision: 0, entries, head, waits: vec![], starts: vec![] }
}

/// The run, which has ended, is begun again.
fn restarted(run: &RunRecord) -> Transition {
    let again = entry(What::Restarted { steps: Vec::new(), generation: 1 });
    let head = RunHead { revision: 3, ..RunHead::queued(START) };
    Transition::Advance { run: run.reference(), revision: 2, entries: vec![again], head, waits: vec![], starts: vec![] }
}

fn purge(event: EventId) -> Transition {
    Transition::Purge(Purge { event, over_since: LATE })
}

async fn dossiers(store: &Shelf) -> Vec<Dossier> {
    store.dossiers(Stretch::default(), 100).await.unwrap()
}

async fn runs_of(store: &Shelf, event: Option<EventId>) -> usize {
    store.runs(RunQuery { event, limit: 100, ..RunQuery::default() }).await.unwrap().items.len()
}

pub async fn what_is_finished_goes_whole(store: Shelf) {
    let kept = start(&store, &delivery(1), &["a"]).await;
    let before = store.counts();
    let runs = start(&store, &delivery(2).after(MINUTE), &["a", "b"]).await;
    let event = runs[0].event;
    batch(&store, vec![ended(&runs[0], RunStatus::Succeeded, MINUTE * 3), ended(&runs[1], RunStatus::Failed, MINUTE)])
        .await;
    let all = dossiers(&store).await;
    assert_eq!((all[0].event, all[0].over_since), (kept[0].event, None), "a run of it is not over");
    assert_eq!((all[1].event, all[1].over_since), (event, Some(START.plus(MINUTE * 3))), "when the last run ended");
    assert!(all[1].rows >= 5, "event, runs and journals: {}", all[1].rows);

    assert_eq!(batch(&store, vec![purge(event)]).await, [Answer::Applied]);
    assert_eq!(store.event(event).await.unwrap(), None);
    for run in &runs {
        assert_eq!(store.run(run.id).await.unwrap(), None);
    }
    assert_eq!((runs_of(&store, Some(event)).await, runs_of(&store, None).await), (0, 1));
    assert_eq!(dossiers(&store).await.len(), 1);
    assert!(store.run(kept[0].id).await.unwrap().is_some());
    let counts = store.counts();
    assert_eq!((counts.events, counts.bytes), (before.events, before.bytes));
    assert_eq!((counts.purged_events, counts.purged_runs), (1, 2));
    assert_eq!((counts.runs, counts.succeeded, counts.failed, counts.queued), (3, 1, 1, 1), "what they did is counted");
}

pub async fn an_event_without_runs_goes_as_well(store: Shelf) {
    let (_, ids) = commit(&store, &[delivery(1), delivery(2).after(MINUTE)]).await;
    let all = dossiers(&store).await;
    assert_eq!(all[1], Dossier { event: ids[1], over_since: Some(START.plus(MINUTE)), rows: 1 });
    assert_eq!(batch(&store, vec![purge(ids[0]), purge(ids[0])]).await, [Answer::Applied, Answer::Stale]);
    assert_eq!(batch(&store, vec![purge(ids[0])]).await, [Answer::Stale]);
    assert_eq!((store.counts().events, store.counts().purged_events), (1, 1));
    assert!(store.event(ids[1]).await.unwrap().is_some());
}

pub async fn what_is_not_finished_stays(store: Shelf) {
    let (_, pending) = answer(&store, delivery(1).pending()).await;
    let queued = start(&store, &delivery(2), &["a"]).await;
    let half = start(&store, &delivery(3), &["a", "b"]).await;
    let doubtful = start(&store, &delivery(4), &["a"]).await;
    batch(&store, vec![ended(&half[0], RunStatus::Succeeded, MINUTE)]).await;
    let head = RunHead { status: RunStatus::Cancelled, revision: 1, in_doubt: true, ..RunHead::queued(START) };
    let over = entry(What::Ended { status: RunStatus::Cancelled, reason: None });
    let end = Transition::Advance {
        run: doubtful[0].reference(),
        revision: 0,
        entries: vec![over],
        head,
        waits: vec![],
        starts: vec![],
    };
    assert_eq!(batch(&store, vec![end]).await, [Answer::Applied]);
    let before = store.counts();
    assert!(dossiers(&store).await.iter().all(|dossier| dossier.over_since.is_none()));
    for event in [pending, queued[0].event, half[0].event, doubtful[0].event, EventId::first_at(START)] {
        assert_eq!(batch(&store, vec![purge(event)]).await, [Answer::Stale], "{event}");
    }
    assert_eq!(pointsman_actors::store::Counts { commits: before.commits, ..store.counts() }, before);
    assert_eq!((dossiers(&store).await.len(), runs_of(&store, None).await), (4, 4));
    assert_eq!(store.run(half[0].id).await.unwrap().unwrap().journal.len(), 2, "also what is over of it");
    assert_eq!(store.take_pending(9, START, START).await.unwrap().len(), 1);
}

pub async fn what_has_begun_again_stays(store: Shelf) {
    let (first, second) =
        (start(&store, &delivery(1), &["a"]).await.remove(0), start(&store, &delivery(2), &["a"]).await.remove(0));
    batch(&store, vec![ended(&first, RunStatus::Failed, MINUTE), ended(&second, RunStatus::Failed, MINUTE)]).await;
    let earlier = Purge { event: first.event, over_since: START };
    assert_eq!(batch(&store, vec![Transition::Purge(earlier)]).await, [Answer::Stale], "it ended after that");
    let answers = batch(&store, vec![restarted(&first), purge(first.event), purge(second.event), restarted(&second)]);
    assert_eq!(answers.await, [Answer::Applied, Answer::Stale, Answer::Applied, Answer::Stale]);
    let run = store.run(first.id).await.unwrap().unwrap();
    assert_eq!((run.head.status, run.journal.len()), (RunStatus::Queued, 3));
    assert!(store.event(first.event).await.unwrap().is_some());
    assert_eq!((store.run(second.id).await.unwrap(), store.event(second.event).await.unwrap()), (None, None));
    let open = store.open_runs(None, 9).await.unwrap();
    assert_eq!((open.len(), open[0].run.id, store.counts().queued), (1, first.id, 1));
}

pub async fn what_starts_runs_in_the_same_batch_stays(store: Shelf) {
    let (_, event) = answer(&store, delivery(1).pending()).await;
    let (_, lease) = store.take_pending(1, START, START).await.unwrap().remove(0);
    let started = run(event, "a", START);
    let verdict = Verdict::Started { runs: vec![started.id], waits: vec![] };
    let settle = Transition::Settle { event, lease, verdict, runs: vec![started.clone()] };
    assert_eq!(batch(&store, vec![settle, purge(event)]).await, [Answer::Applied, Answer::Stale]);
    assert!(store.event(event).await.unwrap().is_some() && store.run(started.id).await.unwrap().is_some());
}

pub async fn a_delivery_is_recognised_after_its_event_is_gone(store: Shelf) {
    let (_, first) = answer(&store, delivery(1).reporting(7, None)).await;
    assert_eq!(batch(&store, vec![purge(first)]).await, [Answer::Applied]);
    assert_eq!(answer(&store, delivery(1).after(MINUTE)).await.0, Answer::Redelivered { of: first });
    let twin = answer(&store, delivery(2).reporting(7, None).after(MINUTE)).await.0;
    assert_eq!(twin, Answer::Duplicate { of: first });
    let counts = store.counts();
    assert_eq!((counts.events, counts.purged_events, counts.redeliveries), (1, 1, 1));
}

pub async fn dossiers_are_oldest_first_and_in_stretches(store: Shelf) {
    let samples: Vec<Sample> = (0..6).map(|n| delivery(n).after(MINUTE * u32::from(n))).collect();
    let (_, ids) = commit(&store, &samples).await;
    let list = async |after: Option<usize>, before: Option<usize>, limit| {
        let stretch = Stretch { after: after.map(|n| ids[n]), before: before.map(|n| ids[n]) };
        let found = store.dossiers(stretch, limit).await.unwrap();
        found.iter().map(|dossier| ids.iter().position(|id| *id == dossier.event).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 9).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(list(None, None, 2).await, [0, 1]);
    assert_eq!(list(Some(1), None, 2).await, [2, 3]);
    assert_eq!(list(Some(1), Some(4), 9).await, [2, 3]);
    assert_eq!(list(Some(4), Some(1), 9).await, [0; 0]);
    assert_eq!(list(Some(2), Some(2), 9).await, [0; 0]);
    batch(&store, vec![purge(ids[1]), purge(ids[2])]).await;
    assert_eq!(list(Some(1), None, 2).await, [3, 4], "a place stays where it is when what it names is gone");
}

pub async fn lists_go_on_where_what_they_came_to_is_gone(store: Shelf) {
    let mut all = Vec::new();
    for n in 0..6 {
        all.extend(start(&store, &delivery(n).after(MINUTE * u32::from(n)), &["a"]).await);
    }
    let events = async |before| store.events(EventQuery { limit: 2, before, ..EventQuery::default() }).await.unwrap();
    let runs = async |before| store.runs(RunQuery { limit: 2, before, ..RunQuery::default() }).await.unwrap();
    let (event, run) = (events(None).await.next, runs(None).await.next);
    assert_eq!((event, run), (Some(all[4].event), Some(all[4].reference())));
    for n in [3, 4] {
        let over = ended(&all[n], RunStatus::Succeeded, MINUTE);
        assert_eq!(batch(&store, vec![over, purge(all[n].event)]).await, [Answer::Applied, Answer::Applied]);
    }
    let rest: Vec<EventId> = events(event).await.items.iter().map(|event| event.meta.id).collect();
    assert_eq!(rest, [all[2].event, all[1].event]);
    let rest: Vec<RunId> = runs(run).await.items.iter().map(|(run, _)| run.id).collect();
    assert_eq!(rest, [all[2].id, all[1].id]);
}
