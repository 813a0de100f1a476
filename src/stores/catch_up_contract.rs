//! What every store promises of catching up.

use std::time::Duration;

use pointsman_actors::catch_up::checkpoint::{Checkpoint, Missed};
use pointsman_actors::store::{Answer, Claim, Transition};

use super::{DELIVERY_WINDOW, START, Shelf, answer, commit, delivery};

pub async fn whether_a_delivery_is_an_event_can_be_asked(store: Shelf) {
    let (_, ids) = commit(&store, &[delivery(1), delivery(2).after(Duration::from_secs(60))]).await;
    let claims: Vec<Claim> = [1, 7, 2].map(|number| delivery(number).intake().delivery).into();
    let at = |span| store.first_events(claims.clone(), START.plus(span));
    assert_eq!(at(Duration::from_secs(60)).await.unwrap(), [Some(ids[0]), None, Some(ids[1])]);
    assert_eq!(at(DELIVERY_WINDOW).await.unwrap(), [None, None, Some(ids[1])], "a claim holds for its window");
    assert_eq!(store.first_events(Vec::new(), START).await.unwrap(), []);
    let again = answer(&store, delivery(7)).await.0;
    assert_eq!(again, Answer::Stored, "whoever asks has claimed nothing");
}

pub async fn the_last_checkpoint_of_a_hook_is_kept(store: Shelf) {
    let missed = |tries| Missed { guid: "guid-1".into(), attempt: 7, first_at: START, tries };
    let checkpoint = |hook: &str, missed: Vec<Missed>| Checkpoint { hook: hook.into(), until: Some(START), missed };
    let keep = |checkpoint| Transition::KeepCheckpoint(checkpoint);
    assert_eq!(store.checkpoints().await.unwrap(), []);
    let [early, other, late] = [
        checkpoint("a/b#1", vec![missed(0)]),
        Checkpoint { until: None, ..checkpoint("app", Vec::new()) },
        checkpoint("a/b#1", vec![missed(1)]),
    ];
    let kept = store.commit(vec![keep(early), keep(other.clone()), keep(late.clone())]).await.unwrap();
    assert_eq!(kept, [Answer::Applied, Answer::Applied, Answer::Applied]);
    assert_eq!(store.checkpoints().await.unwrap(), [late, other]);
}
