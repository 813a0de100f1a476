//! What is stored of runs has stable names.

use super::*;

#[test]
fn entries_are_flat_and_named() {
    let entry = Entry {
        at: Timestamp::from_millis(5),
        what: What::Attempted {
            step: "a".into(),
            attempt: 1,
            key: "k".into(),
            until: Timestamp::from_millis(9),
            wait: None,
        },
    };
    let stored = serde_json::to_value(&entry).unwrap();
    let expect = serde_json::json!({"at": 5, "entry": "attempted", "step": "a", "attempt": 1, "key": "k", "until": 9});
    assert_eq!(stored, expect);
    assert_eq!(serde_json::from_value::<Entry>(stored).unwrap(), entry);
}

#[test]
fn statuses_are_stored_by_their_names() {
    for status in RunStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
}
