//! What a run has done is undone when it fails: in which order, by whom it is stopped, and how it goes on.

use std::time::Duration;

use serde_json::json;

use crate::executor::command::Command;
use crate::executor::decide::{Execute, Happening};
use crate::executor::failure::ErrorClass;
use crate::executor::outages::Outages;
use crate::executor::port::{Outcome, Success};
use crate::executor::story::{Story, failure};
use crate::run::{Ruling, RunStatus, Standing, What};

/// Two steps that can be undone, one after the other, and one that fails.
const UNDONE: &str = r#"
timeout = "10m"
steps = [
  { name = "a", action = "look", undo = { action = "tell" } },
  { name = "b", action = "look", undo = { action = "look", retry = { max_attempts = 1 } } },
  { name = "c", action = "look", retry = { max_attempts = 1 } },
]
"#;

/// A run whose third step has just failed; what it does then.
fn failed() -> (Story, Option<String>) {
    let mut story = Story::new(UNDONE);
    story.happens(&Happening::Go);
    story.done(1);
    story.done(1);
    let next = story.fails(1, failure(ErrorClass::Validation));
    (story, next.map(|execute| execute.step))
}

fn end(story: &Story) -> Option<&What> {
    story.journal.last().map(|entry| &entry.what)
}

#[test]
fn what_was_done_last_is_undone_first_and_then_it_ends_as_it_would_have() {
    let (mut story, first) = failed();
    assert_eq!((first.as_deref(), story.status()), (Some("undo/b"), RunStatus::Running));
    let next = story.after(3_600_000).done(1);
    assert_eq!(next.map(|execute| execute.step).as_deref(), Some("undo/a"), "it has the time that it takes");
    assert_eq!(story.done(1), None);
    let Some(What::Ended { status: RunStatus::Failed, reason: Some(reason) }) = end(&story) else { panic!() };
    assert!(reason.starts_with("step `c`"), "{reason}");
}

#[test]
fn a_limit_that_lasts_for_ever_leaves_what_is_to_be_undone_to_an_operator() {
    let (mut story, _) = failed();
    let refused = failure(ErrorClass::RateLimit).retry_after(Duration::from_secs(3_600));
    for attempt in 1..100 {
        story.fails(attempt, refused.clone());
        let Some(wake) = story.progress.wake(story.now) else { break };
        story.now = wake;
        assert!(story.happens(&Happening::Go).is_some(), "attempt {attempt}");
    }
    assert_eq!(story.status(), RunStatus::Stuck, "it does not end with its effects in the world");
}

#[test]
fn what_was_not_done_is_not_undone() {
    let mut story = Story::new(UNDONE);
    story.happens(&Happening::Go);
    story.done(1);
    let next = story.fails(1, failure(ErrorClass::Validation));
    assert_eq!(next.map(|execute| execute.step).as_deref(), Some("undo/a"));
    let mut nothing = Story::new(UNDONE);
    nothing.happens(&Happening::Go);
    assert_eq!(nothing.fails(1, failure(ErrorClass::Validation)), None);
    assert_eq!(nothing.status(), RunStatus::Failed);
}

#[test]
fn what_cannot_be_undone_is_seen_and_goes_on_when_somebody_says_how() {
    let decide = |ruling| Happening::Told(Command::Decide { step: None, ruling });
    let stuck = || {
        let (mut story, _) = failed();
        assert_eq!(story.fails(1, failure(ErrorClass::Validation)), None);
        assert_eq!(story.status(), RunStatus::Stuck);
        let head = story.progress.head(story.now);
        assert_eq!(head.step.as_deref(), Some("undo/b"));
        assert!(head.reason.unwrap().contains("it is being undone because step `c`"));
        assert_eq!(story.progress.standing(&story.definition, story.now, &Outages::default()), Standing::Parked);
        assert_eq!(story.happens(&Happening::Go), None);
        story
    };
    let mut again = stuck();
    again.happens(&decide(Ruling::Repeat));
    assert_eq!(again.happens(&Happening::Go).map(|execute| execute.step).as_deref(), Some("undo/b"));
    let mut left = stuck();
    assert_eq!(
        left.told(Command::Decide { step: None, ruling: Ruling::Fail { reason: "x".into() } }).as_deref(),
        Some("it has failed; have it done again, or take it as done")
    );
    left.happens(&decide(Ruling::Done { output: json!(null) }));
    assert_eq!(left.happens(&Happening::Go).map(|execute| execute.step).as_deref(), Some("undo/a"));
    left.done(1);
    assert_eq!(left.status(), RunStatus::Failed);
}

#[test]
fn a_cancelled_run_and_one_out_of_time_are_undone_and_a_superseded_one_is_not() {
    let begun = || {
        let mut story = Story::new(&UNDONE.replace("10m", "30s"));
        story.happens(&Happening::Go);
        story.done(1);
        story
    };
    let mut cancelled = begun();
    cancelled.happens(&Happening::Told(Command::Cancel { reason: "x".into() }));
    assert_eq!(cancelled.happens(&Happening::Go).map(|execute| execute.step).as_deref(), Some("undo/a"));
    assert_eq!(
        cancelled.told(Command::Cancel { reason: "y".into() }).as_deref(),
        Some("it ends when what it has done is undone; what cannot be undone can be decided about")
    );
    cancelled.happens(&Happening::Superseded("a newer one".into()));
    cancelled.done(1);
    assert!(matches!(end(&cancelled), Some(What::Ended { status: RunStatus::Cancelled, .. })));

    let mut late = begun();
    late.after(30_000).happens(&Happening::Woke);
    assert_eq!(late.happens(&Happening::Go).map(|execute| execute.step).as_deref(), Some("undo/a"));
    late.done(1);
    assert_eq!(late.status(), RunStatus::TimedOut);

    let mut superseded = begun();
    superseded.happens(&Happening::Superseded("a newer one".into()));
    superseded.done(1);
    assert_eq!(superseded.status(), RunStatus::Superseded, "it has no further effect");
}

/// Starts something that calls back, beside something that fails.
const TRIGGERED: &str = r#"
timeout = "10m"
parallelism = 2
steps = [
  { name = "t", action = "trigger", needs = [], deadline = "5m", undo = { action = "put" } },
  { name = "w", action = "wait_for_event", needs = [], deadline = "5m", with = { source = "codegen", event = "generation", key = "codegen:run:1" } },
  { name = "f", action = "look", needs = [], retry = { max_attempts = 1 } },
]
"#;

/// A run of which `t` waits to be called back, or is still at work, and `f` is at work.
fn triggered(answered: bool) -> Story {
    let mut story = Story::new(TRIGGERED);
    story.happens_at_once(&Happening::Go);
    if answered {
        let waiting = Success::Waiting { keys: vec!["codegen:run:7".into()], output: json!({ "id": 7 }) };
        lands(&mut story, "t", Ok(waiting));
    }
    story
}

fn lands(story: &mut Story, step: &str, outcome: Outcome) -> Vec<Execute> {
    let flying = story.progress.in_flight().find(|(of, _)| *of == step).unwrap().1.serial;
    story.happens_at_once(&Happening::Ended(flying, outcome))
}

#[test]
fn what_was_begun_and_has_not_called_back_is_undone() {
    let is_undone = |story: &mut Story, status: RunStatus| {
        let next = story.happens(&Happening::Go);
        assert_eq!(next.map(|execute| execute.step).as_deref(), Some("undo/t"));
        assert_eq!(story.progress.open_waits().count(), 0, "nobody waits for it any more");
        assert_eq!(story.progress.wake(story.now), None, "nor for its deadline");
        story.done(1);
        assert_eq!(story.status(), status);
        story.happens(&Happening::Told(Command::Restart { step: "f".into() }));
        assert!(!story.progress.steps.contains_key("t"), "it is done again");
    };
    let mut failed = triggered(true);
    let next = lands(&mut failed, "f", Err(failure(ErrorClass::Validation)));
    assert_eq!(next.iter().map(|execute| execute.step.as_str()).collect::<Vec<_>>(), ["undo/t"]);
    failed.done(1);
    assert_eq!(failed.status(), RunStatus::Failed);
    let mut cancelled = triggered(true);
    lands(&mut cancelled, "f", Ok(Success::Done(json!({}))));
    cancelled.happens(&Happening::Told(Command::Cancel { reason: "x".into() }));
    is_undone(&mut cancelled, RunStatus::Cancelled);
    let mut late = Story::new(
        r#"
timeout = "6m"
steps = [
  { name = "d", action = "delay", with = { duration = "2m" } },
  { name = "f", action = "look" },
  { name = "t", action = "trigger", deadline = "5m", undo = { action = "put" } },
]
"#,
    );
    late.happens(&Happening::Go);
    late.after(120_000).happens(&Happening::Go);
    late.done(1);
    let waiting = Success::Waiting { keys: vec!["codegen:run:7".into()], output: json!({ "id": 7 }) };
    lands(&mut late, "t", Ok(waiting));
    late.after(240_000).happens(&Happening::Woke);
    is_undone(&mut late, RunStatus::TimedOut);
}

#[test]
fn what_undoes_sees_what_the_attempt_gave() {
    let told = TRIGGERED.replace(
        "undo = { action = \"put\" }",
        "undo = { action = \"put\", with = { text = \"{{ steps.t.status }} {{ steps.t.output.id }}\" } }",
    );
    let mut story = Story::new(&told);
    story.happens_at_once(&Happening::Go);
    let waiting = Success::Waiting { keys: vec!["codegen:run:7".into()], output: json!({ "id": 7 }) };
    lands(&mut story, "t", Ok(waiting));
    let [undo] = &lands(&mut story, "f", Err(failure(ErrorClass::Validation)))[..] else { panic!() };
    assert_eq!(undo.with["text"], "open 7");
}

#[test]
fn what_is_in_doubt_is_not_undone_and_whoever_says_that_it_happened_reads_so() {
    let mut story = triggered(false);
    lands(&mut story, "t", Err(failure(ErrorClass::Timeout).in_doubt()));
    lands(&mut story, "f", Err(failure(ErrorClass::Validation)));
    assert_eq!(story.status(), RunStatus::Failed, "nobody knows whether there is something to undo");
    let decide = |ruling| Happening::Told(Command::Decide { step: None, ruling });
    story.happens(&decide(Ruling::Done { output: json!({}) }));
    assert!(matches!(end(&story), Some(What::Decided { stays: true, .. })));
    let mut open = triggered(false);
    lands(&mut open, "t", Err(failure(ErrorClass::Timeout).in_doubt()));
    open.happens(&decide(Ruling::Done { output: json!({}) }));
    let decided = open.journal.iter().find(|entry| matches!(entry.what, What::Decided { .. }));
    assert!(matches!(decided.unwrap().what, What::Decided { stays: false, .. }), "it can still be undone");
    let undo = lands(&mut open, "f", Err(failure(ErrorClass::Validation)));
    assert_eq!(undo.iter().map(|execute| execute.step.as_str()).collect::<Vec<_>>(), ["undo/t"]);
}

#[test]
fn a_death_while_it_undoes_is_as_any_other() {
    let (mut story, _) = failed();
    story.crash();
    assert_eq!(story.happens(&Happening::Go).map(|execute| execute.step).as_deref(), Some("undo/b"));
    story.done(2);
    story.crash();
    assert_eq!(story.status(), RunStatus::Failed, "what is told once is taken as done");
}

#[test]
fn a_restart_does_again_what_was_undone() {
    let (mut story, _) = failed();
    assert_eq!(
        story.told(Command::Restart { step: "c".into() }).as_deref(),
        Some("an attempt is in flight; cancel the run first, or wait")
    );
    story.done(1);
    story.done(1);
    story.happens(&Happening::Told(Command::Restart { step: "c".into() }));
    assert_eq!(story.happens(&Happening::Go).map(|execute| execute.step).as_deref(), Some("a"));
    story.done(1);
    story.done(1);
    story.done(1);
    assert_eq!(story.status(), RunStatus::Succeeded);
}

#[test]
fn whoever_is_paused_undoes_nothing_before_it_goes_on_unless_it_is_cancelled() {
    let done = || Ok(Success::Done(json!(null)));
    let two_at_once = UNDONE.replace(
        "{ name = \"c\", action = \"look\",",
        "{ name = \"d\", action = \"tell\", needs = [\"b\"] }, { name = \"c\", action = \"look\", needs = [\"b\"],",
    );
    let mut story = Story::new(
        &two_at_once
            .replace("{ name = \"b\", action = \"look\",", "{ name = \"b\", action = \"look\", needs = [\"a\"],"),
    );
    story.happens_at_once(&Happening::Go);
    let land = |story: &mut Story, step: &str, outcome| {
        let flying = story.progress.in_flight().find(|(of, _)| *of == step).unwrap().1.serial;
        story.happens_at_once(&Happening::Ended(flying, outcome))
    };
    land(&mut story, "a", done());
    land(&mut story, "b", done());
    story.happens(&Happening::Told(Command::Pause));
    land(&mut story, "c", Err(failure(ErrorClass::Validation)));
    assert_eq!(land(&mut story, "d", done()), [], "it has failed, and what it has done is undone later");
    assert_eq!(story.progress.standing(&story.definition, story.now, &Outages::default()), Standing::Parked);
    story.happens(&Happening::Told(Command::Resume));
    assert_eq!(story.progress.standing(&story.definition, story.now, &Outages::default()), Standing::Runnable);

    let mut paused = Story::new(UNDONE);
    paused.happens(&Happening::Go);
    paused.done(1);
    paused.fails(1, failure(ErrorClass::ServiceUnavailable));
    paused.happens(&Happening::Told(Command::Pause));
    paused.happens(&Happening::Told(Command::Cancel { reason: "x".into() }));
    assert_eq!(paused.happens(&Happening::Go).map(|execute| execute.step).as_deref(), Some("undo/a"));
}
