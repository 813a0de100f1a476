//! What operators say is followed at once or refused with the reason, and never half.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::executor::decide::{Execute, Happening, Moment, decide};
use crate::executor::progress::StepState;
use crate::executor::step::tests::beside_a_doubt;
use crate::executor::story::{SLOW, STEPS, Story, failure, steps_of};
use crate::run::Standing;

impl Story {
    /// What an operator says, and why it is not followed.
    pub(crate) fn told(&mut self, command: Command) -> Option<String> {
        let moment = Moment { now: self.now, draining: self.draining, outages: &self.outages };
        let happening = Happening::Told(command.clone());
        let decision = decide(&self.run, &self.definition, &self.progress, &happening, moment);
        assert!(decision.refusal.is_none() || decision.entries.is_empty(), "what is refused changes nothing");
        self.happens(&happening);
        decision.refusal
    }
}

fn cancel() -> Command {
    Command::Cancel { reason: "not needed".into() }
}

#[test]
fn what_is_cancelled_begins_nothing_more() {
    let mut queued = Story::new(STEPS);
    assert_eq!(queued.told(cancel()), None);
    assert_eq!(queued.status(), RunStatus::Cancelled);
    let mut waiting = Story::new(STEPS);
    waiting.happens(&Happening::Go);
    waiting.told(cancel());
    assert_eq!(waiting.status(), RunStatus::Cancelled);
    let mut pure = Story::new(STEPS).at_check();
    pure.told(cancel());
    assert_eq!(pure.status(), RunStatus::Cancelled, "what changes nothing outside is dropped");
    let mut telling = Story::new(STEPS).at_say();
    telling.told(cancel());
    assert_eq!(telling.status(), RunStatus::Running, "of an effect the outcome is waited for");
    assert_eq!(telling.told(cancel()), None, "saying it again changes nothing");
    assert_eq!(telling.fails(1, failure(ErrorClass::Network)), None, "and nothing is tried again");
    assert_eq!(
        (telling.status(), telling.progress.head(telling.now).reason.as_deref()),
        (RunStatus::Cancelled, Some("not needed"))
    );
    assert!(telling.told(cancel()).unwrap().contains("it is over"));
}

#[test]
fn what_is_paused_stands_still_until_it_is_resumed() {
    let mut story = Story::new(STEPS).at_check();
    assert_eq!(story.told(Command::Pause), None);
    assert_eq!(story.told(Command::Pause), None);
    assert_eq!(story.status(), RunStatus::Running, "the attempt in flight ends");
    assert_eq!(story.done(1), None, "and nothing follows");
    assert_eq!(
        (story.status(), story.progress.standing(&story.definition, story.now, &story.outages)),
        (RunStatus::Paused, Standing::Parked)
    );
    assert_eq!(story.after(7_200_000).happens(&Happening::Go), None);
    assert_eq!(story.progress.left_at(story.now), Some(Duration::from_secs(595)), "its time stands still");
    assert_eq!(story.told(Command::Resume), None);
    assert_eq!(story.progress.standing(&story.definition, story.now, &story.outages), Standing::Runnable);
    assert_eq!(steps_of(&story.happens(&Happening::Go)), ["say"]);
    let mut queued = Story::new(STEPS);
    queued.told(Command::Pause);
    assert_eq!((queued.status(), queued.happens(&Happening::Go)), (RunStatus::Paused, None));
}

#[test]
fn doubt_is_ruled_about_by_an_operator() {
    let in_doubt = || {
        let mut story = Story::new(&STEPS.replace("\"tell\"", "\"tell\", on_doubt = \"park\"")).at_say();
        story.crash();
        story
    };
    let rule = |ruling| Command::Decide { step: None, ruling };
    let mut again = in_doubt();
    assert_eq!(again.told(rule(Ruling::Repeat)), None);
    let Some(Execute { attempt: 2, key, .. }) = again.happens(&Happening::Go) else { panic!("made again") };
    assert_eq!(key, format!("{}/say", again.run.id), "with the same key");
    let mut done = in_doubt();
    assert_eq!(done.told(rule(Ruling::Done { output: json!({"id": 7}) })), None);
    assert_eq!(
        (done.status(), &done.progress.steps["say"]),
        (RunStatus::Succeeded, &StepState::Done { output: json!({"id": 7}) })
    );
    let mut failed = in_doubt();
    failed.told(rule(Ruling::Fail { reason: "it never came".into() }));
    assert_eq!(failed.status(), RunStatus::Failed);
    assert!(
        failed.progress.head(failed.now).reason.unwrap().contains("an operator says that it failed: it never came")
    );
    let mut other = in_doubt();
    let wrong = Command::Decide { step: Some("check".into()), ruling: Ruling::Repeat };
    assert_eq!(other.told(wrong).unwrap(), "the step `check` is not in doubt");
    assert_eq!(Story::new(STEPS).told(rule(Ruling::Repeat)).unwrap(), "no step is in doubt");
}

#[test]
fn a_restart_is_a_new_generation_that_keeps_what_came_before() {
    let mut story = Story::new(STEPS).at_check();
    assert!(story.told(Command::Restart { step: "check".into() }).unwrap().contains("in flight"));
    story.fails(1, failure(ErrorClass::NotFound));
    assert_eq!(story.status(), RunStatus::Failed);
    assert!(story.told(Command::Restart { step: "say".into() }).unwrap().contains("restart from there"));
    assert!(story.told(Command::Restart { step: "sing".into() }).unwrap().contains("there are pause, check, say"));
    let old = story.journal.clone();
    assert_eq!(story.told(Command::Restart { step: "check".into() }), None);
    assert_eq!(story.journal[..old.len()], old, "what happened stands as it is");
    assert_eq!((story.status(), story.progress.left), (RunStatus::Queued, None));
    let Some(Execute { attempt: 1, key, step, .. }) = story.happens(&Happening::Go) else { panic!("begins again") };
    assert_eq!((step.as_str(), key), ("check", format!("{}/check/1", story.run.id)));
    assert_eq!(story.done(1).map(|next| next.step).as_deref(), Some("say"), "the pause is not made again");
    story.done(1);
    assert_eq!(story.status(), RunStatus::Succeeded);
}

#[test]
fn what_timed_out_with_an_attempt_in_flight_can_be_restarted() {
    let mut story = Story::new(SLOW).at_check();
    story.after(600_000).happens(&Happening::Woke);
    assert_eq!(story.status(), RunStatus::TimedOut);
    assert_eq!(story.done(1), None, "what comes late changes nothing");
    story.told(Command::Restart { step: "check".into() });
    assert_eq!(steps_of(&story.happens(&Happening::Go)), ["check"]);
}

#[test]
fn a_ruling_does_not_cut_off_what_is_in_flight() {
    let fail = || Command::Decide { step: None, ruling: Ruling::Fail { reason: "no".into() } };
    let mut story = beside_a_doubt();
    assert!(story.told(fail()).unwrap().contains("in flight"));
    assert_eq!(story.progress.in_flight().count(), 1);
    story.done(1);
    assert_eq!(story.status(), RunStatus::NeedsDecision);
    assert_eq!(story.told(fail()), None);
    assert_eq!(story.status(), RunStatus::Failed);
}

#[test]
fn what_is_in_doubt_is_ruled_about_before_it_is_done_again() {
    let mut story = beside_a_doubt();
    story.fails(1, failure(ErrorClass::NotFound));
    let refused = story.told(Command::Restart { step: "sent".into() }).unwrap();
    assert!(refused.contains("nobody knows whether `sent` had its effect"), "{refused}");
    assert_eq!(story.told(Command::Restart { step: "seen".into() }), None);
    assert!(story.progress.is_in_doubt(), "a restart of another step leaves it as it is");
    let mut over = beside_a_doubt();
    over.fails(1, failure(ErrorClass::NotFound));
    let done = Command::Decide { step: None, ruling: Ruling::Done { output: json!({}) } };
    assert_eq!(over.told(done), None, "also when the run is over");
    assert_eq!((over.status(), over.progress.steps["sent"].word()), (RunStatus::Failed, "done"));
}

#[test]
fn what_a_failure_led_past_comes_again_with_it() {
    let toml = r#"parallelism = 1
    steps = [
      { name = "a", action = "look", needs = [], on_failure = { goto = "z" }, retry = { max_attempts = 1 } },
      { name = "x", action = "tell", needs = [] },
      { name = "z", action = "tell", needs = ["a"] },
    ]"#;
    let mut story = Story::new(toml);
    story.happens(&Happening::Go);
    assert_eq!(steps_of(&story.fails(1, failure(ErrorClass::NotFound))), ["z"]);
    story.done(1);
    assert_eq!((story.status(), story.progress.steps["x"].word()), (RunStatus::Succeeded, "skipped"));
    story.told(Command::Restart { step: "a".into() });
    assert!(!story.progress.steps.contains_key("x"), "it is open again");
}
