//! Each promise sees what breaks it.

use pointsman_sandbox::Call;
use serde_json::json;

use super::super::stories::Called;
use super::*;

/// A time so many milliseconds after a certain one, as the API shows it.
fn at(millis: u32) -> String {
    format!("2026-01-05T10:00:{:02}.{:03}Z", millis / 1_000, millis % 1_000)
}

/// The same as a number.
fn ms(millis: u32) -> i64 {
    1_767_607_200_000 + i64::from(millis)
}

/// An entry of a journal with further fields.
fn entry(millis: u32, what: &str, step: &str, more: Value) -> Value {
    let mut entry = json!({ "at": at(millis), "entry": what, "step": step });
    if let (Some(entry), Value::Object(more)) = (entry.as_object_mut(), more) {
        entry.extend(more);
    }
    entry
}

fn attempted(millis: u32, step: &str) -> Value {
    entry(millis, "attempted", step, json!({ "key": format!("run_1/{step}") }))
}

fn done(millis: u32, step: &str) -> Value {
    entry(millis, "succeeded", step, json!({}))
}

fn call(number: u64, millis: u32, path: &str, step: &str) -> Call {
    Call {
        number,
        at_ms: ms(millis),
        service: "echo".into(),
        method: "POST".into(),
        path: path.into(),
        key: Some(format!("run_1/{step}")),
        headers: Vec::new(),
        body: Value::Null,
        status: Some(200),
        executed: true,
    }
}

/// The evidence of one run.
fn of(workflow: &str, journal: &[Value]) -> Evidence {
    let run = json!({
        "id": "run_1", "workflow": workflow, "status": if workflow == "undoes" { "failed" } else { "succeeded" },
        "input": { "number": 7 }, "journal": journal,
    });
    Evidence { runs: vec![run], ..Evidence::default() }
}

/// Which promise is broken, and how often; nothing else may be.
fn breaks(evidence: &Evidence, expect: &[(&str, usize)]) {
    let broken: Vec<_> = check(evidence).into_iter().filter(|checked| !checked.broken.is_empty()).collect();
    let found: Vec<_> = broken.iter().map(|checked| (checked.promise, checked.broken.len())).collect();
    assert_eq!(found, expect, "{broken:#?}");
}

#[test]
fn a_run_that_is_not_over_is_named_with_where_it_stands() {
    let mut evidence = of("waits", &[]);
    breaks(&evidence, &[]);
    evidence.runs[0]["status"] = "waiting".into();
    evidence.runs[0]["step"] = "answered".into();
    breaks(&evidence, &[("every run ends", 1)]);
    assert!(check(&evidence)[0].broken[0].contains("run_1 (waits) is waiting at \"answered\""));
}

#[test]
fn what_is_done_is_done_again_only_by_a_restart() {
    let restarted = entry(2, "restarted", "", json!({ "steps": ["a"], "generation": 1 }));
    let again = entry(3, "attempted", "a", json!({ "key": "run_1/a/1" }));
    breaks(&of("once", &[attempted(0, "a"), done(1, "a"), restarted.clone(), again.clone(), done(4, "a")]), &[]);
    let promise = "what is recorded as done is not done again";
    breaks(&of("once", &[attempted(0, "a"), done(1, "a"), attempted(3, "a")]), &[(promise, 1)]);
    let key = "all attempts of a step have one key";
    breaks(&of("once", &[attempted(0, "a"), done(1, "a"), restarted, attempted(3, "a")]), &[(key, 1)]);
}

#[test]
fn calls_stand_between_their_attempt_and_its_outcome() {
    let journal = [attempted(1_000, "a"), done(2_000, "a")];
    let made = |calls: &[u32]| {
        let calls = (1..).zip(calls).map(|(number, millis)| call(number, *millis, "/x", "a")).collect();
        Evidence { calls, ..of("once", &journal) }
    };
    breaks(&made(&[1_500]), &[]);
    breaks(&made(&[500]), &[("a call follows the record of its attempt", 1)]);
    breaks(&made(&[1_400, 1_500]), &[("a call follows the record of its attempt", 1)]);
    breaks(&made(&[2_500]), &[("no call comes after the outcome of its step", 1)]);
}

#[test]
fn what_is_done_twice_is_seen() {
    let journal = [attempted(0, "pay"), attempted(100, "pay"), done(200, "pay")];
    let calls = vec![call(1, 50, "/pay/7", "pay"), call(2, 150, "/pay/7", "pay")];
    let mut evidence = Evidence { calls, ..of("once", &journal) };
    breaks(&evidence, &[("what must be done once is done at most once", 1)]);
    evidence.calls[0].executed = false;
    breaks(&evidence, &[]);
    evidence.lines = [("release-7".to_owned(), 2), ("build-7".to_owned(), 2)].into();
    breaks(&evidence, &[("what must be done once is done at most once", 1)]);
    let key = Some("run_1/pay".to_owned());
    let things = |things: &[&Option<String>]| things.iter().map(|key| (*key).clone()).collect();
    breaks(&Evidence { things: things(&[&key]), ..of("once", &journal) }, &[]);
    let promise = "what carries its key is done once";
    breaks(&Evidence { things: things(&[&key, &key]), ..of("once", &journal) }, &[(promise, 1)]);
    breaks(&Evidence { things: things(&[&None]), ..of("once", &journal) }, &[(promise, 1)]);
}

#[test]
fn timers_that_are_early_are_seen() {
    let delayed = entry(0, "delayed", "a", json!({ "until": at(300) }));
    let failed = entry(400, "failed", "b", json!({ "retry_at": at(900) }));
    breaks(&of("timers", &[delayed.clone(), done(300, "a"), failed.clone(), attempted(900, "b")]), &[]);
    breaks(&of("timers", &[delayed, done(299, "a")]), &[("timers are never early", 1)]);
    breaks(&of("timers", &[failed, attempted(899, "b")]), &[("timers are never early", 1)]);
}

#[test]
fn a_budget_that_is_overdrawn_is_seen() {
    let failures = |count: u32| -> Vec<Value> { (0..count).map(|at| entry(at, "failed", "a", json!({}))).collect() };
    breaks(&of("retries", &failures(4)), &[]);
    breaks(&of("retries", &failures(5)), &[("retries stay within their budget", 1)]);
    let told_when =
        |at| entry(at, "failed", "a", json!({ "error": { "class": "rate_limit", "retry_after_ms": 1_000 } }));
    breaks(&of("retries", &(0..9).map(told_when).collect::<Vec<_>>()), &[]);
    let in_doubt = json!({ "error": { "class": "rate_limit", "retry_after_ms": 1_000, "in_doubt": true } });
    let in_doubt: Vec<Value> = (0..5).map(|at| entry(at, "failed", "a", in_doubt.clone())).collect();
    breaks(&of("retries", &in_doubt), &[("retries stay within their budget", 1)]);
}

/// A run that has waited until a second has passed, its wait resolved in this way, and its callback at that time.
fn waited(by: &str, end: Value, called_at: u32) -> Evidence {
    let waiting = entry(0, "waiting", "answered", json!({ "wait": { "id": "wait_1", "until": at(1_000) } }));
    let event = if by == "callback" { json!("evt_1") } else { Value::Null };
    let wait = json!({
        "id": "wait_1", "status": "resolved", "resolvedBy": by, "resolvedAt": end["at"], "deadline": at(1_000),
        "event": event,
    });
    let became = if by == "callback" { "completed_wait" } else { "late" };
    let called = Some(Called { event: "evt_1".into(), at: ms(called_at) });
    Evidence {
        waits: vec![wait],
        callbacks: [("evt_1".to_owned(), json!({ "status": became }))].into(),
        told: vec![Told { number: 7, workflow: "waits", run: "run_1".into(), called }],
        ..of("waits", &[waiting, end])
    }
}

#[test]
fn a_wait_that_ends_twice_too_early_or_by_another_is_seen() {
    let answered = || entry(500, "succeeded", "answered", json!({ "event": "evt_1" }));
    let gave_up = |millis| entry(millis, "failed", "answered", json!({}));
    let broken = [("each wait is resolved once, by whoever was first", 1)];
    breaks(&waited("callback", answered(), 500), &[]);
    breaks(&waited("timeout", gave_up(1_000), 1_500), &[]);
    breaks(&waited("timeout", gave_up(999), 1_500), &broken);
    breaks(&waited("timeout", gave_up(1_000), 500), &broken);
    breaks(&waited("cancel", gave_up(1_000), 1_500), &broken);
    breaks(&waited("callback", entry(500, "succeeded", "answered", json!({ "event": "evt_2" })), 500), &broken);
    let mut twice = waited("timeout", gave_up(1_000), 1_500);
    twice.runs[0]["journal"].as_array_mut().unwrap().push(gave_up(1_100));
    breaks(&twice, &broken);
    let mut lost = waited("callback", answered(), 500);
    lost.callbacks.insert("evt_1".into(), json!({ "status": "buffered" }));
    breaks(&lost, &broken);
    let mut orphan = waited("callback", answered(), 500);
    orphan.runs[0]["journal"] = json!([]);
    breaks(&orphan, &broken);
}

#[test]
fn what_was_made_and_is_still_there_is_seen() {
    let journal = [attempted(0, "make"), done(1, "make"), attempted(2, "undo/make"), done(3, "undo/make")];
    let mut evidence = Evidence { things: vec![Some("run_1/make".into())], ..of("undoes", &journal) };
    breaks(&evidence, &[("what was done is undone", 1)]);
    evidence.taken_away.insert(1);
    breaks(&evidence, &[]);
}
