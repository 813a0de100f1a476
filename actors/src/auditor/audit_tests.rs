//! Runs that stand for a reason are no finding; those that do not are.

use super::*;
use crate::executor::command::Command;
use crate::executor::decide::Happening;
use crate::executor::failure::ErrorClass;
use crate::executor::story::{STEPS, Story, failure};
use crate::run::{Reserved, What};

const GRACE: Duration = Duration::from_secs(60);

/// What an audit finds of this run so many seconds later, with so many slots.
fn audited(story: &Story, seconds: i64, slots: usize) -> Report {
    let now = Timestamp::from_millis(story.now.millis() + seconds * 1_000);
    let mut audit = Audit::new(now, GRACE, slots);
    let head = story.progress.head(story.now);
    let Story { run, progress, definition, .. } = story;
    audit.look(&Stored { run, head: &head, progress, definition: Some(definition) }, &story.outages);
    audit.finish()
}

fn check(story: &Story, seconds: i64, expect: &str) {
    let report = audited(story, seconds, 5);
    let said: Vec<&str> = report.findings.iter().map(|finding| finding.problem.as_str()).collect();
    assert_eq!(report.broken as usize, said.len());
    assert!(
        if expect.is_empty() { said.is_empty() } else { said.iter().any(|said| said.contains(expect)) },
        "{said:?}"
    );
    assert_eq!(report.ready + report.at_work + report.waiting + report.parked, 1, "it is exactly one of these");
}

#[test]
fn a_run_that_could_go_on_does_soon_unless_a_limit_stops_it() {
    let queued = Story::new(STEPS);
    check(&queued, 59, "");
    check(&queued, 61, "it could go on since");
    assert_eq!(audited(&queued, 61, 0).broken, 0, "all slots are in use");
    let mut pausing = Story::new(STEPS);
    pausing.happens(&Happening::Go);
    check(&pausing, 64, "");
    check(&pausing, 66, "although it has begun");
}

#[test]
fn an_attempt_ends_in_its_time() {
    let mut story = Story::new(STEPS);
    story.happens(&Happening::Go);
    story.after(5_000).happens(&Happening::Go);
    check(&story, 89, "");
    check(&story, 91, "its attempt should have ended long ago");
}

#[test]
fn who_waits_for_a_person_or_a_service_may_wait() {
    let mut paused = Story::new(STEPS);
    paused.happens(&Happening::Go);
    paused.happens(&Happening::Told(Command::Pause));
    check(&paused, 1_000_000, "");
    let mut doubtful = Story::new(r#"steps = [{ name = "say", action = "tell", on_doubt = "park" }]"#);
    doubtful.happens(&Happening::Go);
    doubtful.fails(1, failure(ErrorClass::Timeout).in_doubt());
    check(&doubtful, 1_000_000, "");
    let mut held = Story::new(r#"steps = [{ name = "call", action = "look_there" }]"#);
    held.outages = ["codegen".to_owned()].into_iter().collect();
    held.happens(&Happening::Go);
    check(&held, 1_000_000, "");
    held.outages = Outages::default();
    check(&held, 61, "it could go on since");
    let mut blocked = Story::new(STEPS);
    let entry = crate::run::Entry::new(blocked.now, What::Blocked { reason: "x".into() });
    blocked.progress.add(&entry);
    check(&blocked, 1_000_000, "");
}

#[test]
fn a_run_that_a_service_held_could_go_on_since_calls_pass_and_not_before() {
    let mut held = Story::new(r#"steps = [{ name = "call", action = "look_there" }]"#);
    held.outages = ["codegen".to_owned()].into_iter().collect();
    held.happens(&Happening::Go);
    let at = |seconds: i64| Timestamp::from_millis(held.now.millis() + seconds * 1_000);
    let broken = |seconds| {
        let mut audit = Audit::new(at(seconds), GRACE, 5);
        audit.circuits([("codegen".to_owned(), at(3_600))].into());
        let Story { run, progress, definition, .. } = &held;
        let stored = Stored { run, head: &progress.head(held.now), progress, definition: Some(definition) };
        audit.look(&stored, &Outages::default());
        audit.finish().broken
    };
    assert_eq!((broken(3_600), broken(3_659), broken(3_661)), (0, 0, 1));
}

#[test]
fn a_step_that_stands_as_none_can_is_found() {
    let mut lost = Story::new(r#"steps = [{ name = "call", action = "look_there" }]"#);
    lost.happens(&Happening::Go);
    let until = Timestamp::from_millis(i64::MAX);
    let wait = Reserved { id: crate::ids::WaitId::from_bytes([1; 16]), until };
    let output = serde_json::Value::Null;
    let what = What::Waiting { step: "call".into(), attempt: 1, wait, keys: vec![], output, run: None };
    lost.progress.add(&crate::run::Entry::new(lost.now, what));
    check(&lost, 10, "");
    let mut differs = Audit::new(lost.now, GRACE, 5);
    let head = RunHead { revision: 9, ..lost.progress.head(lost.now) };
    let stored = Stored { run: &lost.run, head: &head, progress: &lost.progress, definition: None };
    differs.look(&stored, &Outages::default());
    let report = differs.finish();
    assert_eq!((report.broken, report.parked), (2, 1));
    assert!(report.findings[0].problem.starts_with("lists show it as"), "{report:?}");
    assert!(report.findings[1].problem.starts_with("its definition cannot be executed"), "{report:?}");
}
