//! Steps that form a graph: conditions, ways on after a failure, and doubt in one branch beside another.

use serde_json::json;

use super::*;
use crate::executor::decide::Happening;
use crate::executor::story::{Story, failure, steps_of};
use crate::run::Standing;

/// `look`, then `look` and `tell` side by side, then `tell`; the second look may fail.
pub(crate) const GRAPH: &str = r#"
timeout = "10m"
steps = [
  { name = "first", action = "look", needs = [] },
  { name = "left", action = "look", needs = ["first"], on_failure = "continue", retry = { max_attempts = 1 } },
  { name = "right", action = "tell", needs = ["first"], when = "steps.first.output.ok" },
  { name = "last", action = "tell", needs = ["left", "right"], when = "steps.left.status == 'done' or steps.left.error.class == 'network'" },
]
"#;

#[test]
fn a_graph_is_gone_through_by_what_steps_need() {
    let mut story = Story::new(GRAPH);
    assert_eq!(steps_of(&story.happens(&Happening::Go)), ["first"]);
    let output = json!({ "ok": false });
    let next = story.happens(&Happening::Ended(story.serial(1), Ok(Success::Done(output))));
    assert_eq!(steps_of(&next), ["left"]);
    let next = story.fails(1, failure(ErrorClass::Network));
    assert_eq!(steps_of(&next), ["last"], "the right one is skipped, and the left one's failure is not the end");
    assert_eq!(story.progress.steps["right"].word(), "skipped");
    story.done(1);
    assert_eq!(story.status(), RunStatus::Succeeded);
}

/// One branch may be in doubt while the other is at work.
const DOUBTFUL: &str = r#"
timeout = "10m"
steps = [
  { name = "sent", action = "tell", needs = [], on_doubt = "park" },
  { name = "pause", action = "delay", needs = [], with = { duration = "1s" } },
  { name = "seen", action = "look", needs = ["pause"], timeout = "10m", retry = { max_attempts = 1 } },
]
"#;

/// `sent` is in doubt, `seen` is in flight.
pub(crate) fn beside_a_doubt() -> Story {
    let mut story = Story::new(DOUBTFUL);
    story.happens(&Happening::Go);
    story.crash();
    let pause = story.happens(&Happening::Go);
    assert!(pause.is_none() && story.progress.is_in_doubt());
    assert_eq!(steps_of(&story.after(1_000).happens(&Happening::Go)), ["seen"]);
    story
}

#[test]
fn a_doubt_outlives_the_end_of_the_run_and_is_never_repeated_by_itself() {
    let mut story = beside_a_doubt();
    story.fails(1, failure(ErrorClass::NotFound));
    assert_eq!(story.status(), RunStatus::Failed);
    assert!(story.progress.is_in_doubt(), "nobody has ruled about it");

    let mut late = beside_a_doubt();
    late.after(700_000).happens(&Happening::Woke);
    assert_eq!(late.status(), RunStatus::NeedsDecision, "its time is up, but it does not end in doubt");
    assert_eq!(
        late.progress.standing(&late.definition, late.now, &late.outages),
        Standing::Parked,
        "and nobody asks it to go on"
    );
    assert_eq!(late.happens(&Happening::Go), None);
}

#[test]
fn a_failure_can_lead_to_a_later_step() {
    let toml = r#"steps = [
      { name = "try", action = "look", on_failure = { goto = "sorry" }, retry = { max_attempts = 1 } },
      { name = "praise", action = "tell" },
      { name = "sorry", action = "tell", when = "steps.try.status == 'failed'" },
    ]"#;
    let mut story = Story::new(toml);
    story.happens(&Happening::Go);
    assert_eq!(steps_of(&story.fails(1, failure(ErrorClass::NotFound))), ["sorry"]);
    assert_eq!(story.progress.steps["praise"].word(), "skipped");
    story.done(1);
    assert_eq!(story.status(), RunStatus::Succeeded);
    let mut well = Story::new(toml);
    well.happens(&Happening::Go);
    assert_eq!(steps_of(&well.done(1)), ["praise"]);
    well.done(1);
    assert_eq!((well.status(), well.progress.steps["sorry"].word()), (RunStatus::Succeeded, "skipped"));
}

#[test]
fn a_failure_can_be_told_of_before_the_run_fails() {
    let toml = r#"steps = [
      { name = "try", action = "look", on_failure = { fail_after = "sorry" }, retry = { max_attempts = 1 } },
      { name = "praise", action = "tell" },
      { name = "sorry", action = "tell", when = "steps.try.status == 'failed'" },
    ]"#;
    let mut story = Story::new(toml);
    story.happens(&Happening::Go);
    assert_eq!(steps_of(&story.fails(1, failure(ErrorClass::NotFound))), ["sorry"]);
    story.done(1);
    let Some(What::Ended { status, reason }) = story.journal.last().map(|entry| entry.what.clone()) else { panic!() };
    assert_eq!((status, reason.unwrap().starts_with("step `try`: ")), (RunStatus::Failed, true));
    assert_eq!(story.redriven(), None);
    let again = story.journal.last().unwrap().what.clone();
    let What::Restarted { steps, .. } = again else { panic!("{again:?}") };
    assert_eq!(steps, ["try", "praise", "sorry"], "what had failed is done again, not what told of it");
    story.happens(&Happening::Go);
    assert_eq!(steps_of(&story.done(1)), ["praise"]);
    story.done(1);
    assert_eq!(story.status(), RunStatus::Succeeded, "the former failure is forgotten");
}

#[test]
fn what_is_not_configured_is_passed_over_if_the_workflow_says_so() {
    let toml = r#"steps = [
      { name = "first", action = "offline", optional = true, when = "'x' == 'x'" },
      { name = "tell", action = "tell" },
    ]"#;
    let mut story = Story::new(toml);
    assert_eq!(steps_of(&story.happens(&Happening::Go)), ["tell"]);
    let reason = Some("nobody has connected it".to_owned());
    let skipped = What::Skipped { step: "first".into(), past: None, reason };
    assert!(story.journal.iter().any(|entry| entry.what == skipped), "{:?}", story.journal);
    story.done(1);
    assert_eq!(story.status(), RunStatus::Succeeded);
}
