//! The index of dead letters through restarts, older versions and damage.

use pointsman_actors::dead_letter::letter::{LetterQuery, MarkChange};
use pointsman_actors::event::fate::{Change, RoutingFailure};
use pointsman_actors::run::{RunRecord, RunStatus};

use super::*;
use crate::stores::contract::START;

/// A run that has ended so, and its event.
async fn ended(store: &Arc<dyn Store>, number: u8, status: RunStatus) -> RunRecord {
    let (intake, mut runs) = delivery(number).starting(&["a"]);
    let run = runs.remove(0);
    // A former version does not say when it ended.
    let head = RunHead { status, revision: 1, ..RunHead::queued(START) };
    let end =
        Transition::Advance { run: run.reference(), revision: 0, entries: vec![], head, waits: vec![], starts: vec![] };
    let answers = store.commit(vec![Transition::Intake(Box::new(intake)), end]).await.unwrap();
    assert_eq!(answers, [Answer::Stored, Answer::Applied]);
    run
}

async fn listed(store: &Arc<dyn Store>) -> Vec<LetterId> {
    let all = store.dead_letters(LetterQuery { limit: 9, ..LetterQuery::default() }).await.unwrap();
    all.items.iter().map(|letter| letter.place().id).collect()
}

#[actix::test]
async fn what_is_to_be_redriven_is_known_after_a_restart() {
    let (store, directory) = fresh();
    let run = ended(&store, 1, RunStatus::Failed).await;
    let letter = Place { since: START, id: LetterId::Run(run.id) };
    let ask = Transition::Mark { letter, change: MarkChange::Ask { at: START } };
    assert_eq!(store.commit(vec![ask]).await.unwrap(), [Answer::Applied]);
    drop(store);
    let store = reopen(&directory);
    assert_eq!(store.redrives(None, 9).await.unwrap().items, [letter]);
    assert_eq!((store.counts().dead_letters, store.counts().redrives), (1, 1));
}

#[actix::test]
async fn a_log_of_a_version_without_dead_letters_gets_them() {
    let (store, directory) = fresh();
    let failed = ended(&store, 1, RunStatus::TimedOut).await;
    ended(&store, 2, RunStatus::Succeeded).await;
    drop(store);
    let Ready { trees, .. } = opened(&directory);
    trees.letters.clear().unwrap();
    trees.letters.insert([0; 25], b"of a run that is begun again").unwrap();
    let counts = trees.meta.get("counts").unwrap().unwrap();
    trees.meta.insert("counts", &counts[..19 * 8]).unwrap();
    drop(trees);
    let store = reopen(&directory);
    assert_eq!((listed(&store).await, store.counts().dead_letters), (vec![LetterId::Run(failed.id)], 1));
    // A version that has it does not make it anew.
    commit(&store, &[delivery(3)]).await;
    drop(store);
    let Ready { trees, .. } = opened(&directory);
    trees.letters.clear().unwrap();
    drop(trees);
    assert_eq!(listed(&reopen(&directory)).await, []);
}

#[actix::test]
async fn a_damaged_event_is_no_dead_letter_any_more() {
    let (store, directory) = fresh();
    let (_, ids) = commit(&store, &[delivery(1).pending()]).await;
    let (_, lease) = store.take_pending(1, START, START).await.unwrap().remove(0);
    let failure = RoutingFailure { number: 1, reason: "x".into(), fell: false, is_last: true };
    let dies = Transition::Change { event: ids[0], at: START, change: Change::Failed { lease, failure } };
    assert_eq!(store.commit(vec![dies]).await.unwrap(), [Answer::Applied]);
    let run = ended(&store, 2, RunStatus::Failed).await;
    assert_eq!(listed(&store).await.len(), 2);
    drop(store);
    let Ready { trees, .. } = opened(&directory);
    let mut row = trees.events.get(ids[0].bytes()).unwrap().unwrap().to_vec();
    *row.last_mut().unwrap() ^= 1;
    trees.events.insert(ids[0].bytes(), row).unwrap();
    drop(trees);
    let store = reopen(&directory);
    assert_eq!(listed(&store).await, [LetterId::Run(run.id)], "it does not stop the list");
    assert!(matches!(store.event(ids[0]).await, Err(StoreError::Damaged { .. })));
    commit(&store, &[delivery(3)]).await;
    assert_eq!(store.counts().dead_letters, 1);
}
