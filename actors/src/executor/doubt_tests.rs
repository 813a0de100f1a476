//! What is not known of an attempt outlives failures, ways on and restarts.

use serde_json::json;

use super::command::Command;
use super::decide::Happening;
use super::failure::ErrorClass;
use super::port::Success;
use super::progress::StepState;
use super::story::{Story, failure};
use crate::run::RunStatus;
use crate::wait::record::{Resolution, WaitState};

const KEYED: &str = r#"steps = [{ name = "a", action = "put", retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } }, { name = "b", action = "look" }]"#;

#[test]
fn done_again_after_a_doubt_a_step_keeps_its_key() {
    let mut story = Story::new(KEYED);
    let first = story.happens(&Happening::Go).unwrap();
    story.fails(1, failure(ErrorClass::Timeout).in_doubt());
    story.after(1_000).happens(&Happening::Go);
    story.fails(2, failure(ErrorClass::NotFound));
    assert_eq!(story.status(), RunStatus::Failed);
    story.redriven();
    let again = story.happens(&Happening::Go).unwrap();
    assert_eq!((again.key.clone(), story.progress.generation), (first.key, 1), "the first may have had its effect");
    story.done(1);
    story.done(1);
    story.happens(&Happening::Told(Command::Restart { step: "a".into() }));
    let meant = story.happens(&Happening::Go).unwrap();
    assert_ne!(meant.key, again.key, "what is known to be done is done once more because somebody wants that");
}

#[test]
fn who_has_called_back_a_step_that_failed_in_doubt_has_called_it_back_when_it_is_done_again() {
    let toml = r#"steps = [{ name = "a", action = "order", deadline = "1m", retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } }]"#;
    let mut story = Story::new(toml);
    let begun = story.now;
    story.happens(&Happening::Go);
    story.fails(1, failure(ErrorClass::Timeout).in_doubt());
    story.after(1_000).happens(&Happening::Go);
    story.fails(2, failure(ErrorClass::NotFound));
    story.after(60_000).redriven();
    story.happens(&Happening::Go);
    let since = |story: &Story| story.shelves.waits().find(|wait| wait.is_open()).unwrap().since;
    assert_eq!(since(&story), begun);
    let waiting = Success::Waiting { keys: vec!["codegen:run:7".into()], output: json!({}) };
    story.happens(&Happening::Ended(story.serial_of("a"), Ok(waiting)));
    story.after(60_000).happens(&Happening::Woke);
    story.after(60_000).redriven();
    story.happens(&Happening::Go);
    assert_eq!(since(&story), story.now, "that one had its answer, and never came");
}

#[test]
fn a_certain_failure_is_done_again_under_another_key() {
    let mut story = Story::new(KEYED);
    let first = story.happens(&Happening::Go).unwrap();
    story.fails(1, failure(ErrorClass::NotFound));
    story.redriven();
    assert_ne!(story.happens(&Happening::Go).unwrap().key, first.key);
}

const BESIDE: &str = r#"
timeout = "10m"
steps = [
  { name = "a", action = "look", needs = [], on_failure = { goto = "z" }, retry = { max_attempts = 1 } },
  { name = "m", action = "make", needs = [], retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } },
  { name = "w", action = "trigger", needs = [], deadline = "5m" },
  { name = "z", action = "look", needs = ["a"] },
]
"#;

impl Story {
    fn serial_of(&self, step: &str) -> u32 {
        self.progress.in_flight().find(|(of, _)| *of == step).unwrap().1.serial
    }
}

/// `m` is unclear, `w` waits to be called back, `a` is at work.
fn beside() -> Story {
    let mut story = Story::new(BESIDE);
    story.happens_at_once(&Happening::Go);
    let lost = Happening::Ended(story.serial_of("m"), Err(failure(ErrorClass::Timeout).in_doubt()));
    story.happens_at_once(&lost);
    let waiting = Success::Waiting { keys: vec!["codegen:run:7".into()], output: json!({}) };
    story.happens_at_once(&Happening::Ended(story.serial_of("w"), Ok(waiting)));
    story
}

#[test]
fn a_way_on_closes_what_waits_and_forgets_no_doubt() {
    let mut story = beside();
    story.happens_at_once(&Happening::Ended(story.serial_of("a"), Err(failure(ErrorClass::NotFound))));
    assert_eq!(story.progress.steps["w"].word(), "skipped");
    let [wait] = story.shelves.waits().collect::<Vec<_>>()[..] else { panic!("one wait") };
    assert!(matches!(wait.state, WaitState::Resolved { by: Resolution::Cancel, .. }), "nobody waits for it any more");
    assert_eq!(story.progress.unclear().count(), 1, "it is still looked for");
    story.happens_at_once(&Happening::Ended(story.serial_of("z"), Ok(Success::Done(json!({})))));
    let look = story.after(5_000).happens(&Happening::Go).unwrap();
    assert!(look.look && look.step == "m");
    story.happens(&Happening::Ended(look.serial, Ok(Success::Done(json!({})))));
    assert_eq!(story.status(), RunStatus::Succeeded);
}

#[test]
fn a_restart_does_again_what_comes_after_and_nothing_beside_it() {
    let mut story = beside();
    story.happens_at_once(&Happening::Ended(story.serial_of("a"), Ok(Success::Done(json!({})))));
    story.happens_at_once(&Happening::Ended(story.serial_of("z"), Ok(Success::Done(json!({})))));
    story.happens(&Happening::Told(Command::Restart { step: "z".into() }));
    assert_eq!(story.progress.generation, 1);
    assert!(matches!(story.progress.steps["w"], StepState::Waiting { .. }), "it is waited for as before");
    assert_eq!(story.progress.unclear().count(), 1, "it is looked for as before");
    assert!(!story.progress.steps.contains_key("z"));
}

#[test]
fn who_made_it_fail_is_remembered_while_it_is_undone() {
    let toml = r#"steps = [
      { name = "a", action = "look", undo = { action = "look" } },
      { name = "b", action = "look", on_failure = "continue", retry = { max_attempts = 1 } },
      { name = "c", action = "look", retry = { max_attempts = 1 } },
    ]"#;
    let mut story = Story::new(toml);
    story.happens(&Happening::Go);
    story.done(1);
    story.done(1);
    story.fails(1, failure(ErrorClass::Internal));
    story.done(1);
    let head = story.progress.head(story.now);
    assert_eq!((head.status, head.poison), (RunStatus::Failed, true), "its only attempt fell");
    assert_eq!(story.progress.culprit.as_deref(), Some("c"));
}
