//! Attempts that are looked for: when, how often, and what follows.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::executor::command::Command;
use crate::executor::decide::Happening;
use crate::executor::outages::Outages;
use crate::executor::progress::{Progress, StepState};
use crate::executor::story::{Story, failure};
use crate::run::{Ruling, RunStatus, Standing};

const MAKING: &str = r#"
timeout = "10m"
steps = [
  { name = "make", action = "make", retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } },
  { name = "say", action = "tell" },
]
"#;

/// Made once, and nobody knows whether it is there.
fn unclear() -> Story {
    let mut story = Story::new(MAKING);
    assert!(!story.happens(&Happening::Go).unwrap().look);
    assert_eq!(story.fails(1, failure(ErrorClass::Network).in_doubt()), None);
    story
}

/// The look begins.
fn looks(story: &mut Story) -> Execute {
    let look = story.happens(&Happening::Go).unwrap();
    assert!(look.look && look.step == "make" && look.key.ends_with("/make"), "{look:?}");
    look
}

/// The look begins when the service is well again, and what was made last can be seen.
fn looks_after_outage(story: &mut Story) -> Execute {
    assert_eq!(story.happens(&Happening::Go), None);
    assert_eq!(story.progress.wake(story.now), Some(story.now.plus(Duration::from_secs(5))));
    looks(story.after(5_000))
}

fn standing(story: &Story) -> Standing {
    story.progress.standing(&story.definition, story.now, &story.outages)
}

#[test]
fn it_is_looked_for_when_it_can_be_seen() {
    let mut story = unclear();
    assert_eq!(
        story.progress.wake(story.now),
        Some(story.now.plus(Duration::from_secs(5))),
        "not after the pause of 1 s"
    );
    let reason = "nobody knows whether its effect has happened; it is looked for";
    assert_eq!(story.progress.head(story.now).reason.as_deref(), Some(reason));
    let look = looks(story.after(5_000));
    let say = story.happens(&Happening::Ended(look.serial, Ok(Success::Done(json!({ "id": 7 }))))).unwrap();
    assert_eq!(say.step, "say");
    assert_eq!(story.progress.steps["make"], StepState::Done { output: json!({ "id": 7 }) });
}

#[test]
fn what_has_not_happened_is_attempted_again_or_has_failed() {
    let mut story = unclear();
    let look = looks(story.after(5_000));
    let again = story.happens(&Happening::Ended(look.serial, Ok(Success::Absent))).unwrap();
    assert_eq!((again.attempt, again.look, again.key), (2, false, look.key));
    story.fails(2, failure(ErrorClass::Network).in_doubt());
    assert_eq!(story.status(), RunStatus::Waiting, "it was the last one, and may have happened");
    let look = looks(story.after(5_000));
    story.happens(&Happening::Ended(look.serial, Ok(Success::Absent)));
    let head = story.progress.head(story.now);
    let reason = "step `make`: temporary: it was not answered, and has not happened: that was looked for";
    assert_eq!((head.status, head.reason.as_deref()), (RunStatus::Failed, Some(reason)));
}

#[test]
fn a_certain_failure_is_not_looked_for() {
    let mut story = Story::new(MAKING);
    story.happens(&Happening::Go);
    story.fails(1, failure(ErrorClass::Network));
    assert!(!story.after(1_000).happens(&Happening::Go).unwrap().look);
}

#[test]
fn a_death_in_the_attempt_or_in_the_look_leads_to_a_look() {
    let mut story = Story::new(MAKING);
    let made = story.happens(&Happening::Go).unwrap();
    story.happens(&Happening::Recovered(made.serial));
    assert_eq!(standing(&story), Standing::Parked, "not before it can be seen");
    for happening in [Happening::Recovered, Happening::NeverLeft, Happening::DiedAlone] {
        let look = looks(story.after(5_000));
        story.happens(&happening(look.serial));
        assert_eq!(standing(&story), Standing::Runnable, "it has settled");
    }
    let look = looks(&mut story);
    let again = story.happens(&Happening::Ended(look.serial, Ok(Success::Absent))).unwrap();
    assert_eq!((again.attempt, again.look), (2, false), "a death is no failure");
}

#[test]
fn who_dies_of_it_three_times_is_not_looked_for_again() {
    let mut story = Story::new(MAKING);
    let made = story.happens(&Happening::Go).unwrap();
    story.happens(&Happening::DiedAlone(made.serial));
    let look = looks(story.after(5_000));
    story.happens(&Happening::DiedAlone(look.serial));
    let look = looks(&mut story);
    story.happens(&Happening::DiedAlone(look.serial));
    let head = story.progress.head(story.now);
    assert_eq!(head.status, RunStatus::NeedsDecision, "it may have happened");
    assert!(head.reason.unwrap().starts_with("poison: the process died 3 times in a row"));
}

#[test]
fn what_nobody_could_see_an_operator_must_say() {
    let mut story = unclear();
    let look = looks(story.after(5_000));
    story.happens(&Happening::Ended(look.serial, Err(failure(ErrorClass::Validation))));
    let head = story.progress.head(story.now);
    assert_eq!(head.status, RunStatus::NeedsDecision);
    assert!(head.reason.unwrap().starts_with("it could not be seen whether it has happened: validation"));
    let ruling = Ruling::Repeat;
    story.happens(&Happening::Told(Command::Decide { step: None, ruling }));
    let again = story.happens(&Happening::Go).unwrap();
    assert!(!again.look, "an operator says so");
}

#[test]
fn a_limit_that_holds_back_the_look_leaves_nothing_to_an_operator() {
    let mut story = unclear();
    let refused = failure(ErrorClass::RateLimit).retry_after(Duration::from_secs(60));
    for _ in 0..5 {
        let look = looks(story.after(60_000));
        story.happens(&Happening::Ended(look.serial, Err(refused.clone())));
        assert_eq!(story.status(), RunStatus::Waiting);
    }
    looks(story.after(60_000));
}

#[test]
fn a_limit_that_holds_back_the_look_for_a_day_leaves_it_to_an_operator() {
    let mut story = unclear();
    let refused = failure(ErrorClass::RateLimit).retry_after(Duration::from_secs(3_600));
    story.after(5_000);
    for _ in 0..100 {
        let look = looks(&mut story);
        story.happens(&Happening::Ended(look.serial, Err(refused.clone())));
        let Some(wake) = story.progress.wake(story.now) else { break };
        story.now = wake;
    }
    assert_eq!(story.status(), RunStatus::NeedsDecision);
}

#[test]
fn an_outage_holds_the_look_and_does_not_forget_it() {
    let mut story = unclear();
    story.outages = ["codegen".to_owned()].into_iter().collect();
    assert_eq!(story.after(5_000).happens(&Happening::Go), None);
    assert_eq!(story.progress.head(story.now).reason.as_deref(), Some("the circuit of `codegen` is open"));
    story.outages = Outages::default();
    let look = looks_after_outage(&mut story);
    story.outages = ["codegen".to_owned()].into_iter().collect();
    story.happens(&Happening::Ended(look.serial, Err(failure(ErrorClass::ServiceUnavailable))));
    story.outages = Outages::default();
    let look = looks_after_outage(&mut story);
    story.happens(&Happening::Ended(look.serial, Ok(Success::Done(json!(1)))));
    assert_eq!(story.progress.steps["make"], StepState::Done { output: json!(1) });
}

#[test]
fn an_attempt_in_doubt_that_an_outage_ends_is_looked_for() {
    let mut story = Story::new(MAKING);
    story.happens(&Happening::Go);
    story.outages = ["codegen".to_owned()].into_iter().collect();
    story.fails(1, failure(ErrorClass::Timeout).in_doubt());
    story.outages = Outages::default();
    looks_after_outage(&mut story);
    let place = story.journal.iter().position(|entry| matches!(entry.what, What::WillLook { .. })).unwrap();
    assert!(!story.journal.iter().any(|entry| matches!(entry.what, What::Interrupted { .. })), "nothing was");
    // What former versions wrote means the same.
    let What::WillLook { step, attempt, at_soonest } = story.journal[place].what.clone() else { unreachable!() };
    let mut former = story.journal.clone();
    former[place].what = What::Interrupted { step, attempt, alone: false, look_at: Some(at_soonest) };
    assert_eq!(Progress::of(&story.run, &former), story.progress);
}

#[test]
fn nothing_that_is_unclear_is_forgotten_with_the_run() {
    let mut story = unclear();
    let restart = story.happens(&Happening::Told(Command::Restart { step: "make".into() }));
    assert_eq!((restart, story.progress.generation), (None, 0), "it is being looked for");
    story.happens(&Happening::Told(Command::Cancel { reason: "x".into() }));
    let head = story.progress.head(story.now);
    assert_eq!((head.status, head.in_doubt), (RunStatus::Cancelled, true));
}

#[test]
fn a_step_may_have_doubts_parked_instead() {
    let mut story = Story::new(&MAKING.replace("action = \"make\"", "action = \"make\", on_doubt = \"park\""));
    story.happens(&Happening::Go);
    story.fails(1, failure(ErrorClass::Network).in_doubt());
    assert_eq!(story.status(), RunStatus::NeedsDecision);
}
