//! What does harm when it is tried ends, by its own rule; what was only near it goes on.

use super::*;
use crate::executor::decide::Happening;
use crate::executor::story::{STEPS, Story, failure, steps_of};
use crate::run::RunStatus;

/// The budget allows far more than three.
const MANY: &str = r#"
timeout = "10m"
steps = [
  { name = "check", action = "look", retry = { max_attempts = 9, base_delay = "1s", multiplier = 1.0, jitter = 0.0 } },
  { name = "say", action = "tell" },
]
"#;

impl Story {
    /// The process dies with nothing else in flight, and the next one finds what is in the journal.
    fn dies_alone(&mut self) {
        let serial = self.progress.in_flight().next().expect("something is in flight").1.serial;
        self.happens(&Happening::DiedAlone(serial));
    }

    fn goes(&mut self) {
        assert_eq!(steps_of(&self.after(1_000).happens(&Happening::Go)), ["check"]);
    }
}

fn fall() -> Failure {
    Failure::new(ErrorClass::Internal, "the action fell").in_doubt()
}

fn attempting() -> Story {
    let mut story = Story::new(MANY);
    story.goes();
    story
}

#[test]
fn three_deaths_in_a_row_while_it_was_alone_are_its_end() {
    let mut story = attempting();
    for _ in 0..2 {
        story.dies_alone();
        assert_eq!(story.status(), RunStatus::Running, "it is tried again, and no attempt is used up");
        story.goes();
    }
    story.dies_alone();
    let head = story.progress.head(story.now);
    assert_eq!((head.status, head.poison, head.dead_since()), (RunStatus::Failed, true, Some(story.now)));
    let reason = head.reason.unwrap();
    assert!(reason.contains("`check`: internal: poison: the process died 3 times in a row"), "{reason}");
}

#[test]
fn deaths_among_others_count_against_no_one_and_an_outcome_begins_anew() {
    let mut story = attempting();
    for _ in 0..9 {
        story.crash();
        story.goes();
    }
    story.dies_alone();
    story.goes();
    story.crash();
    story.goes();
    story.dies_alone();
    story.goes();
    story.fails(13, failure(ErrorClass::Network));
    for _ in 0..2 {
        story.goes();
        story.dies_alone();
    }
    assert_eq!(story.status(), RunStatus::Running, "an outcome was between them");
    story.goes();
    story.dies_alone();
    assert_eq!(story.status(), RunStatus::Failed);
}

#[test]
fn what_must_not_happen_twice_is_in_doubt_as_after_any_death() {
    let mut parked = Story::new(&STEPS.replace("\"tell\"", "\"tell\", on_doubt = \"park\"")).at_say();
    parked.dies_alone();
    assert_eq!(parked.status(), RunStatus::NeedsDecision);
    let mut assumed = Story::new(STEPS).at_say();
    assumed.dies_alone();
    assert_eq!(assumed.status(), RunStatus::Succeeded);
}

#[test]
fn a_fall_in_each_attempt_is_poison_and_one_among_others_is_not() {
    let ends = |failures: [Failure; 3]| {
        let mut story = Story::new(STEPS).at_check();
        for (number, failed) in (1..).zip(failures) {
            story.fails(number, failed);
            story.after(60_000).happens(&Happening::Go);
        }
        story.progress.head(story.now)
    };
    let head = ends([fall(), fall(), fall()]);
    assert_eq!((head.status, head.poison), (RunStatus::Failed, true));
    assert_eq!(
        head.reason.as_deref(),
        Some("step `check`: internal: poison: each of 3 attempts fell; the action fell")
    );
    let network = || failure(ErrorClass::Network);
    assert!(!ends([network(), fall(), fall()]).poison);
    assert!(!ends([fall(), fall(), network()]).poison);
}

#[test]
fn a_run_that_is_to_end_ends_whatever_it_died_of() {
    let mut story = attempting();
    story.happens(&Happening::Superseded("by a newer one".into()));
    story.dies_alone();
    assert_eq!(story.status(), RunStatus::Superseded);
}
