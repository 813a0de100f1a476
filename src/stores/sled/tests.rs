//! The contract on sled, and what only a durable store can promise.

#[path = "letters_tests.rs"]
mod letters;
#[path = "retention_tests.rs"]
mod retention;

use tempfile::TempDir;

use super::*;
use crate::stores::contract::{DELIVERY_WINDOW, commit, delivery};

fn fresh() -> (Arc<dyn Store>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (reopen(&directory), directory)
}

fn reopen(directory: &TempDir) -> Arc<dyn Store> {
    open::wait_until_released(directory.path());
    SledStore::open(directory.path(), DELIVERY_WINDOW).unwrap()
}

crate::stores::contract::contract!(fresh());

#[actix::test]
async fn what_was_answered_is_there_after_a_restart() {
    let (store, directory) = fresh();
    let (answers, ids) = commit(&store, &[delivery(1)]).await;
    assert_eq!(answers, [Answer::Stored]);
    drop(store);
    let store = reopen(&directory);
    let (answers, _) = commit(&store, &[delivery(1), delivery(2)]).await;
    assert_eq!(answers, [Answer::Redelivered { of: ids[0] }, Answer::Stored]);
    assert_eq!((store.counts().events, store.counts().redeliveries), (2, 1));
}

#[actix::test]
async fn a_checkpoint_is_there_after_a_restart_and_a_damaged_one_is_as_none() {
    let (store, directory) = fresh();
    let checkpoint = Checkpoint { hook: "app".into(), until: Some(Timestamp::from_millis(7)), missed: Vec::new() };
    store.commit(vec![Transition::KeepCheckpoint(checkpoint.clone())]).await.unwrap();
    drop(store);
    let store = reopen(&directory);
    assert_eq!(store.checkpoints().await.unwrap(), [checkpoint]);
    drop(store);
    let Ready { trees, claims_kept } = opened(&directory);
    trees.checkpoints.insert("app", "nonsense").unwrap();
    trees.db.flush().unwrap();
    drop((trees, claims_kept));
    assert_eq!(reopen(&directory).checkpoints().await.unwrap(), []);
}

#[actix::test]
async fn many_segments_are_found_again_and_expire() {
    let (store, directory) = fresh();
    drop(store);
    let Ready { trees, mut claims_kept } = opened(&directory);
    let day = Duration::from_secs(24 * 3600);
    let at = |n: u32| Timestamp::default().plus(day * 30).plus(Duration::from_secs(u64::from(n)));
    let first = |n: u32| FirstClaim { event: EventId::first_at(at(n)), at: at(n), hook: None };
    let total = 3 * claims::SEGMENT as u32 + 4096;
    for chunk in 0..total / 4096 {
        let mut draft = Draft::default();
        for n in chunk * 4096..(chunk + 1) * 4096 {
            claims_kept.claim(&mut draft, numbered_key(n), first(n));
        }
        write(&trees, &mut claims_kept, draft, at(chunk * 4096));
    }
    assert_eq!((trees.filters.len(), trees.blocks.len(), trees.recent.len()), (3, 3 * 1024, 1));
    drop((trees, claims_kept));

    let Ready { trees, mut claims_kept } = opened(&directory);
    let wanted = |n| Claim { key: numbered_key(n), window: DELIVERY_WINDOW };
    for n in [0, 1, 70_000, 140_000, total - 1] {
        let found = claims_kept.first(&Draft::default(), &wanted(n), at(total)).unwrap();
        assert_eq!(found, Some(first(n)), "{n}");
    }
    assert_eq!(claims_kept.first(&Draft::default(), &wanted(total), at(total)).unwrap(), None);
    assert_eq!(claims_kept.first(&Draft::default(), &wanted(0), at(0).plus(DELIVERY_WINDOW)).unwrap(), None);

    let later = at(total).plus(day * 4);
    for n in 0..4 {
        let mut draft = Draft::default();
        claims_kept.claim(&mut draft, numbered_key(total + n), FirstClaim { at: later, ..first(0) });
        write(&trees, &mut claims_kept, draft, later);
    }
    assert_eq!((trees.filters.len(), trees.blocks.len()), (0, 0), "one expired segment goes with each batch");
    drop((trees, claims_kept));
    let Ready { trees: _trees, claims_kept } = opened(&directory);
    assert!(claims_kept.first(&Draft::default(), &wanted(total), later).unwrap().is_some());
}

#[actix::test]
async fn a_damaged_filter_is_made_again_from_its_blocks() {
    let (store, directory) = fresh();
    drop(store);
    let Ready { trees, mut claims_kept } = opened(&directory);
    let at = Timestamp::default().plus(DELIVERY_WINDOW);
    let mut draft = Draft::default();
    for n in 0..claims::SEGMENT as u32 {
        claims_kept.claim(&mut draft, numbered_key(n), FirstClaim { event: EventId::first_at(at), at, hook: None });
    }
    write(&trees, &mut claims_kept, draft, at);
    trees.filters.insert(0_u32.to_be_bytes(), b"not a filter").unwrap();
    drop((trees, claims_kept));
    let Ready { trees: _trees, claims_kept } = opened(&directory);
    let wanted = Claim { key: numbered_key(7), window: DELIVERY_WINDOW };
    assert!(claims_kept.first(&Draft::default(), &wanted, at).unwrap().is_some());
}

fn opened(directory: &TempDir) -> Ready {
    open::wait_until_released(directory.path());
    let open::Opened { trees, claims, .. } = open::open(directory.path(), DELIVERY_WINDOW).unwrap();
    Ready { trees, claims_kept: claims }
}

use super::claims::{Draft, FirstClaim};
use pointsman_actors::deduplicator::fingerprint::Key;
use pointsman_actors::store::Claim;

struct Ready {
    trees: Trees,
    claims_kept: Claims,
}

fn numbered_key(number: u32) -> Key {
    use sha2::{Digest, Sha256};
    Key(Sha256::digest(number.to_be_bytes())[..16].try_into().unwrap())
}

fn write(trees: &Trees, claims: &mut Claims, mut draft: Draft, now: Timestamp) {
    claims.complete(&mut draft, now);
    trees.blocks.apply_batch(draft.blocks.clone()).unwrap();
    trees.filters.apply_batch(draft.filters.clone()).unwrap();
    trees.recent.apply_batch(draft.recent.clone()).unwrap();
    claims.committed(draft);
}

#[actix::test]
async fn a_damaged_record_is_named_and_set_aside_and_the_rest_goes_on() {
    let (store, directory) = fresh();
    let (_, ids) = commit(&store, &[delivery(1), delivery(2), delivery(3)]).await;
    drop(store);
    let Ready { trees, .. } = opened(&directory);
    let mut row = trees.events.get(ids[1].bytes()).unwrap().unwrap().to_vec();
    row[20] ^= 1;
    trees.events.insert(ids[1].bytes(), row).unwrap();
    drop(trees);

    let store = reopen(&directory);
    let damaged = store.event(ids[1]).await.unwrap_err();
    assert!(matches!(&damaged, StoreError::Damaged { id, .. } if *id == ids[1].to_string()), "{damaged}");
    let page = store.events(EventQuery { limit: 10, ..EventQuery::default() }).await.unwrap();
    assert_eq!(page.items.len(), 2);
    commit(&store, &[delivery(4)]).await;
    assert_eq!(store.counts().damaged, 1);
    assert!(
        matches!(store.event(ids[1]).await, Err(StoreError::Damaged { .. })),
        "it is still named when it lies aside"
    );
}

#[test]
fn a_directory_in_use_is_refused() {
    let (_store, directory) = fresh();
    let error = SledStore::open(directory.path(), DELIVERY_WINDOW).err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
}

#[actix::test]
async fn damaged_files_never_lose_anything_in_silence() {
    let (store, directory) = fresh();
    for round in 0..16 {
        let samples: Vec<_> = (0..16).map(|n| delivery(round * 16 + n).with_payload(&noise(16 << 10))).collect();
        commit(&store, &samples).await;
    }
    drop(store);
    let file = directory.path().join("log/db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle / 2..middle].iter_mut().for_each(|byte| *byte ^= 0x55);
    std::fs::write(&file, bytes).unwrap();
    // Whether a damaged byte matters is sled's affair; that nobody is told of a loss is ours.
    match SledStore::open(directory.path(), DELIVERY_WINDOW) {
        Err(error) => assert!(error.to_string().contains("restore it from a backup"), "{error}"),
        Ok(store) => {
            let page = store.events(EventQuery { limit: 1_000, ..EventQuery::default() }).await.unwrap();
            assert_eq!(page.items.len(), 256);
        }
    }
}

#[actix::test]
async fn a_log_that_has_lost_commits_is_refused() {
    let (store, directory) = fresh();
    commit(&store, &[delivery(1)]).await;
    drop(store);
    let earlier = directory.path().join("earlier");
    std::process::Command::new("cp").arg("-r").arg(directory.path().join("log")).arg(&earlier).status().unwrap();
    let store = reopen(&directory);
    commit(&store, &[delivery(2)]).await;
    drop(store);
    std::fs::remove_dir_all(directory.path().join("log")).unwrap();
    std::fs::rename(earlier, directory.path().join("log")).unwrap();
    let error = SledStore::open(directory.path(), DELIVERY_WINDOW).err().unwrap().to_string();
    assert!(error.contains("it holds 1 commits, but 2 were acknowledged") && error.contains("log.mark"), "{error}");
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(length)
    .collect()
}
