//! What is stored of runs has stable names.

use super::*;

#[test]
fn entries_are_flat_and_named() {
    let attempted =
        What::Attempted { step: "a".into(), attempt: 1, key: "k".into(), until: Timestamp::from_millis(9), wait: None };
    let entry = Entry::new(Timestamp::from_millis(5), attempted);
    let stored = serde_json::to_value(&entry).unwrap();
    let expect = serde_json::json!({"at": 5, "entry": "attempted", "step": "a", "attempt": 1, "key": "k", "until": 9});
    assert_eq!(stored, expect);
    assert_eq!(serde_json::from_value::<Entry>(stored).unwrap(), entry);
}

#[test]
fn an_entry_says_who_said_so_and_former_ones_do_not() {
    let paused = Entry { by: Some("ci".into()), ..Entry::new(Timestamp::from_millis(5), What::Paused) };
    let stored = serde_json::to_value(&paused).unwrap();
    assert_eq!(stored, serde_json::json!({"at": 5, "by": "ci", "entry": "paused"}));
    assert_eq!(serde_json::from_value::<Entry>(stored).unwrap(), paused);
    let former = serde_json::from_value::<Entry>(serde_json::json!({"at": 5, "entry": "paused"})).unwrap();
    assert_eq!(former, Entry { by: None, ..paused });
}

#[test]
fn statuses_are_stored_by_their_names() {
    for status in RunStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
}
