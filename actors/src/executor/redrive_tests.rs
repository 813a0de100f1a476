//! A redrive begins where it failed, whatever ended the run, and never before a doubt is ruled about.

use serde_json::json;

use crate::executor::command::Command;
use crate::executor::decide::{Happening, Moment, decide};
use crate::executor::failure::ErrorClass;
use crate::executor::port::Success;
use crate::executor::step::tests::{GRAPH, beside_a_doubt};
use crate::executor::story::{STEPS, Story, failure, steps_of};
use crate::run::{Ruling, RunStatus, What};
use crate::time::Timestamp;

impl Story {
    /// A redrive, and why it is refused.
    pub(crate) fn redriven(&mut self) -> Option<String> {
        self.redriven_as_of(self.progress.ended_at.unwrap_or(self.now))
    }

    /// The same, decided on when it had failed at this time.
    fn redriven_as_of(&mut self, since: Timestamp) -> Option<String> {
        let moment = Moment { now: self.now, draining: self.draining, outages: &self.outages };
        let happening = Happening::Told(Command::Redrive { since });
        let refusal = decide(&self.run, &self.definition, &self.progress, &happening, moment).refusal;
        self.happens(&happening);
        refusal
    }

    fn done_again(&self) -> Vec<&str> {
        match &self.journal.last().unwrap().what {
            What::Restarted { steps, .. } => steps.iter().map(String::as_str).collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_failed_run_goes_on_at_the_step_that_failed() {
    let mut story = Story::new(STEPS).at_check();
    assert!(story.redriven().unwrap().contains("it is not over"));
    story.fails(1, failure(ErrorClass::NotFound));
    assert_eq!(story.progress.head(story.now).dead_since(), Some(story.now));
    assert_eq!(story.redriven(), None);
    assert_eq!(story.done_again(), ["check", "say"], "with what comes after it");
    assert_eq!(story.progress.head(story.now).dead_since(), None);
    assert_eq!(steps_of(&story.happens(&Happening::Go)), ["check"]);
    story.done(1);
    story.done(1);
    assert_eq!(story.status(), RunStatus::Succeeded);
    assert_eq!(story.redriven().as_deref(), Some("it is no dead letter: it has succeeded"));
}

#[test]
fn whoever_has_looked_at_an_earlier_failure_redrives_no_later_one() {
    let mut story = Story::new(STEPS).at_check();
    story.fails(1, failure(ErrorClass::NotFound));
    let seen = story.progress.head(story.now).dead_since().unwrap();
    assert_eq!(story.redriven(), None);
    story.after(1).happens(&Happening::Go);
    assert!(story.redriven_as_of(seen).unwrap().contains("it is not over"));
    story.after(1).fails(1, failure(ErrorClass::NotFound));
    assert!(story.redriven_as_of(seen).unwrap().contains("it has failed once more"));
    assert_eq!(story.redriven(), None);
}

#[test]
fn a_failure_that_was_forgiven_stays() {
    let mut story = Story::new(&GRAPH.replace("timeout", "parallelism = 1\ntimeout"));
    story.happens(&Happening::Go);
    story.happens(&Happening::Ended(story.serial(1), Ok(Success::Done(json!({ "ok": true })))));
    story.fails(1, failure(ErrorClass::Network));
    assert_eq!(story.progress.steps["left"].word(), "failed");
    story.fails(1, failure(ErrorClass::NotFound));
    assert_eq!(story.status(), RunStatus::Failed);
    assert_eq!(story.redriven(), None);
    assert_eq!(story.done_again(), ["right", "last"]);
}

#[test]
fn a_run_whose_time_was_up_goes_on_at_what_was_open() {
    let slow = STEPS.replace("action = \"look\"", "action = \"look\", timeout = \"10m\"");
    let mut story = Story::new(&slow).at_check();
    story.after(900_000).happens(&Happening::Woke);
    assert_eq!(story.status(), RunStatus::TimedOut);
    assert_eq!(story.redriven(), None);
    assert_eq!(story.done_again(), ["check"]);
    let retrying =
        STEPS.replace("\"10m\"", "\"1m\"").replace("\"1s\"", "\"2m\"").replace("0.0 }", "0.0, max_delay = \"5m\" }");
    let mut late = Story::new(&retrying).at_check();
    late.fails(1, failure(ErrorClass::Network));
    assert_eq!(late.status(), RunStatus::TimedOut, "the next attempt would come too late");
    assert_eq!(late.redriven(), None);
    assert_eq!(late.done_again(), ["check", "say"]);
}

#[test]
fn a_doubt_is_ruled_about_before_anything_is_done_again() {
    let mut story = beside_a_doubt();
    story.fails(1, failure(ErrorClass::NotFound));
    assert_eq!(story.status(), RunStatus::Failed);
    assert!(story.redriven().unwrap().contains("nobody knows whether `sent` had its effect"));
    let done = Ruling::Done { output: json!({}) };
    story.happens(&Happening::Told(Command::Decide { step: Some("sent".into()), ruling: done }));
    assert_eq!(story.redriven(), None);
    assert_eq!(story.done_again(), ["seen"]);
    assert_eq!(steps_of(&story.happens(&Happening::Go)), ["seen"]);
    story.fails(1, failure(ErrorClass::NotFound));
    assert_eq!(story.status(), RunStatus::Failed);
    // One that an operator says has failed after the end is done again as well.
    let mut both = beside_a_doubt();
    both.fails(1, failure(ErrorClass::NotFound));
    let failed = Ruling::Fail { reason: "it never came".into() };
    both.happens(&Happening::Told(Command::Decide { step: Some("sent".into()), ruling: failed }));
    assert_eq!(both.redriven(), None);
    assert_eq!(both.done_again(), ["sent", "seen"]);
}

#[test]
fn a_dismissed_run_is_no_dead_letter_until_it_fails_again() {
    let mut story = Story::new(STEPS).at_check();
    story.fails(1, failure(ErrorClass::NotFound));
    let dismissed = What::Dismissed { reason: "nobody needs it".into() };
    let entry = crate::run::Entry::new(story.now, dismissed);
    story.progress.add(&entry);
    story.journal.push(entry);
    let head = story.progress.head(story.now);
    assert_eq!((head.status, head.dead_since()), (RunStatus::Failed, None));
    assert_eq!(story.redriven(), None, "it can be begun again all the same");
    story.happens(&Happening::Go);
    story.fails(1, failure(ErrorClass::NotFound));
    assert!(story.progress.head(story.now).dead_since().is_some());
}
