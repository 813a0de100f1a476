//! Nothing is done again before the doubts of all that was started for it are ruled about.

use std::collections::BTreeMap;

use super::*;
use crate::executor::story::record;
use crate::ids::WaitId;
use crate::run::{Reserved, Ruling, RunStatus};
use crate::time::Timestamp;

fn id(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

/// A run with this journal.
fn run(number: u8, journal: &[What]) -> (RunId, StoredRun) {
    let at = Timestamp::from_millis(1);
    let record = RunRecord { id: id(number), ..record() };
    let journal: Vec<Entry> = journal.iter().map(|what| Entry::new(at, what.clone())).collect();
    let head = Progress::of(&record, &journal).head(at);
    (record.id, StoredRun { record, head, journal })
}

fn starts(step: &str, child: u8) -> What {
    let wait = Reserved { id: WaitId::from_bytes([child; 16]), until: Timestamp::from_millis(9) };
    What::Waiting {
        step: step.into(),
        attempt: 0,
        wait,
        keys: vec![],
        output: serde_json::Value::Null,
        run: Some(id(child)),
    }
}

#[actix::test]
async fn a_doubt_far_below_is_ruled_about_first() {
    let parked = What::Parked { step: "x".into(), attempt: 1, reason: "x".into() };
    let ended = || What::Ended { status: RunStatus::Cancelled, reason: None };
    let ruling = Ruling::Done { output: serde_json::Value::Null };
    let ruled = What::Decided { step: "x".into(), attempt: 1, ruling, stays: false };
    let check = async |leaf: &[What]| {
        let all: BTreeMap<RunId, StoredRun> = [run(2, &[starts("s", 3), ended()]), run(3, leaf)].into();
        let parent = [starts("r", 2), starts("other", 4)].map(|what| Entry::new(Timestamp::default(), what));
        let found = |run: RunId| -> Later<Option<StoredRun>> {
            let found = all.get(&run).cloned();
            Box::pin(async move { Ok(found) })
        };
        below(found, started(&parent, |step| step == "r")).await.unwrap()
    };
    let why = check(&[parked.clone(), ended()]).await.unwrap();
    assert!(why.starts_with(&format!("nobody knows whether an attempt of {}", id(3))), "{why}");
    assert!(why.contains(&format!("`pointsman runs decide {} …`", id(3))), "{why}");
    let why = check(std::slice::from_ref(&parked)).await.unwrap();
    assert!(why.contains("decide about that first"), "also while it waits for that: {why}");
    assert_eq!(check(&[parked, ended(), ruled]).await, None);
    let begun = What::Begun { may_take_ms: 9 };
    let why = check(&[begun]).await.unwrap();
    assert_eq!(why, format!("{}, which was started by it, has not ended; cancel that first, or wait", id(3)));
    assert_eq!(check(&[ended()]).await, None);
}
