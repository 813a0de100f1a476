//! What removal leaves behind on sled, and what becomes of what is damaged.

use pointsman_actors::retention::dossier::{Purge, Stretch};
use pointsman_actors::run::{Entry, RunRecord, RunStatus, What};

use super::*;
use crate::stores::contract::Sample;

/// A run of one step that has ended, and its event.
async fn over(store: &Arc<dyn Store>, sample: Sample) -> RunRecord {
    let (intake, mut runs) = sample.starting(&["a"]);
    let run = runs.remove(0);
    let at = run.started_at;
    let entry = |what| Entry::new(at, what);
    let entries =
        vec![entry(What::Begun { may_take_ms: 1 }), entry(What::Ended { status: RunStatus::Succeeded, reason: None })];
    let head = RunHead { status: RunStatus::Succeeded, revision: 2, ..RunHead::queued(at) };
    let end = Transition::Advance { run: run.reference(), revision: 0, entries, head, waits: vec![], starts: vec![] };
    let answers = store.commit(vec![Transition::Intake(Box::new(intake)), end]).await.unwrap();
    assert_eq!(answers, [Answer::Stored, Answer::Applied]);
    run
}

fn purge(run: &RunRecord) -> Transition {
    Transition::Purge(Purge { event: run.event, over_since: run.started_at })
}

/// Rows of events and runs.
fn rows(trees: &Trees) -> usize {
    let of_runs = trees.runs.all().into_iter().map(sled::Tree::len).sum::<usize>();
    trees.events.len() + trees.pending.len() + of_runs
}

#[actix::test]
async fn nothing_is_left_of_what_is_gone_also_after_a_restart() {
    let (store, directory) = fresh();
    let (first, second) = (over(&store, delivery(1)).await, over(&store, delivery(2)).await);
    let bytes = store.counts().bytes;
    assert_eq!(store.commit(vec![purge(&first)]).await.unwrap(), [Answer::Applied]);
    drop(store);
    let Ready { trees, .. } = opened(&directory);
    assert_eq!(rows(&trees), 7, "event, record, head, id, place with the event, two entries");
    drop(trees);

    let store = reopen(&directory);
    let counts = store.counts();
    assert_eq!((counts.events, counts.purged_events, counts.purged_runs, counts.succeeded), (1, 1, 1, 2));
    assert!(counts.bytes < bytes);
    assert_eq!((store.event(first.event).await, store.run(first.id).await), (Ok(None), Ok(None)));
    assert_eq!(store.commit(vec![purge(&second), purge(&first)]).await.unwrap(), [Answer::Applied, Answer::Stale]);
    assert_eq!((store.counts().events, store.counts().bytes), (0, 0));
    assert_eq!(commit(&store, &[delivery(1)]).await.0, [Answer::Redelivered { of: first.event }]);
    drop(store);
    let Ready { trees, .. } = opened(&directory);
    assert_eq!(rows(&trees), 0);
}

#[actix::test]
async fn what_is_damaged_stays_and_holds_up_nothing() {
    let (store, directory) = fresh();
    let mut runs = Vec::new();
    for n in 0..5 {
        runs.push(over(&store, delivery(n)).await);
    }
    runs.sort_by_key(|run| run.event);
    drop(store);
    let Ready { trees, .. } = opened(&directory);
    let break_first = |tree: &sled::Tree, prefix: &[u8]| {
        let (key, row) = tree.scan_prefix(prefix).next().unwrap().unwrap();
        let mut row = row.to_vec();
        *row.last_mut().unwrap() ^= 1;
        tree.insert(key, row).unwrap();
    };
    let key = |run: &RunRecord| [&run.started_at.millis().to_be_bytes()[..], run.id.bytes()].concat();
    break_first(&trees.events, runs[0].event.bytes());
    break_first(&trees.runs.heads, &key(&runs[1]));
    break_first(&trees.runs.records, &key(&runs[2]));
    break_first(&trees.runs.journal, &key(&runs[3]));
    drop(trees);

    let store = reopen(&directory);
    let answers = store.commit(vec![purge(&runs[0]), purge(&runs[1])]).await.unwrap();
    assert_eq!(answers, [Answer::Stale, Answer::Stale], "before anybody has looked");
    let seen = store.dossiers(Stretch::default(), 9).await.unwrap();
    let may_go: Vec<EventId> = seen.iter().filter(|of| of.over_since.is_some()).map(|of| of.event).collect();
    assert_eq!((seen.len(), may_go), (5, vec![runs[4].event]));
    let answers = store.commit(vec![purge(&runs[0]), purge(&runs[4])]).await.unwrap();
    assert_eq!(answers, [Answer::Stale, Answer::Applied]);
    assert!(
        matches!(store.event(runs[0].event).await, Err(StoreError::Damaged { .. })),
        "it was set aside, and is named"
    );
    assert_eq!((store.counts().damaged, store.counts().purged_events), (1, 1));
    for run in &runs[1..4] {
        assert!(store.event(run.event).await.unwrap().is_some());
        assert!(matches!(store.run(run.id).await, Err(StoreError::Damaged { .. })));
    }
}

#[actix::test]
async fn runs_of_an_event_stay_while_one_more_begins_in_the_batch() {
    let (store, directory) = fresh();
    let run = over(&store, delivery(1)).await;
    drop(store);
    let Ready { trees, .. } = opened(&directory);
    let (mut rows, mut counts) = (runs::RunRows::default(), Counts::default());
    let going = Purge { event: run.event, over_since: run.started_at };
    let another = RunRecord { id: RunId::derive("a", run.event, "route", 1), generation: 1, ..run };
    rows.start(&trees.runs, &another, &mut counts).unwrap();
    assert_eq!(rows.remove_of(&trees.runs, going).unwrap(), None);
    assert_eq!(runs::RunRows::default().remove_of(&trees.runs, going).unwrap().map(|runs| runs.len()), Some(1));
}
