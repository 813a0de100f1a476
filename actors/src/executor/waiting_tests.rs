//! Steps that are called back: early, in time, late, never; in doubt; while something else ends the run.

use serde_json::json;

use super::*;
use crate::executor::command::Command;
use crate::executor::decide::Happening;
use crate::executor::port::Outcome;
use crate::executor::story::{Story, failure};
use crate::ids::EventId;
use crate::run::{Ruling, RunStatus, Standing};
use crate::wait::desk::{self, Shelves};
use crate::wait::record::Callback;

const KEY: &str = "codegen:run:17";

/// A trigger, and what follows when it was called back or was not.
const GENERATE: &str = r#"
timeout = "10m"
steps = [
  { name = "generate", action = "trigger", deadline = "1m", on_timeout = { goto = "tell" }, retry = { max_attempts = 2, base_delay = "5s", jitter = 0.0 } },
  { name = "use", action = "look", when = "steps.generate.status == 'done'" },
  { name = "tell", action = "tell" },
]
"#;

impl Story {
    /// An event comes that says so under the key.
    fn call(&mut self, number: i64) -> EventId {
        let event = EventId::first_at(Timestamp::from_millis(1_000_000 + number));
        let callback = Callback {
            source: "codegen".into(),
            event_type: "generation".into(),
            action: Some("complete".into()),
            keys: vec![KEY.into()],
            received_at: self.now,
            until: Timestamp::from_millis(self.now.millis() + 3_600_000),
            awaited: true,
        };
        desk::call(&mut self.shelves, event, &callback).unwrap();
        event
    }

    /// The attempt answers: it has begun what will call back.
    fn triggered(&mut self, attempt: u32) {
        let outcome = Success::Waiting { keys: vec![KEY.into()], output: json!({ "id": 17 }) };
        self.happens(&Happening::Ended(self.serial(attempt), Ok(outcome)));
    }

    fn standing(&self) -> Standing {
        self.progress.standing(&self.definition, self.now, &self.outages)
    }

    /// The executor looks at the wait that is open, and hears what an event said of it.
    fn looks(&mut self, outcome: &Outcome) {
        for (_, wait) in self.progress.clone().open_waits() {
            let state = self.shelves.wait(wait.id).unwrap().unwrap().state;
            if let WaitState::Resolved { by: Resolution::Callback(event), .. } = state {
                self.happens(&Happening::Called(wait.id, Resolution::Callback(event), outcome.clone()));
            }
        }
    }

    fn word(&self, step: &str) -> &'static str {
        self.progress.steps.get(step).map_or("none", StepState::word)
    }

    /// How the only wait ended.
    fn resolved(&self) -> Vec<&'static str> {
        let name = |wait: &WaitRecord| match wait.state {
            WaitState::Open => "open",
            WaitState::Resolved { by, .. } => by.name(),
        };
        self.shelves.waits().map(name).collect()
    }
}

fn done() -> Outcome {
    Ok(Success::Done(json!({ "pr": 5 })))
}

#[test]
fn the_wait_is_reserved_with_the_attempt_and_completed_by_its_callback() {
    let mut story = Story::new(GENERATE);
    assert!(story.happens(&Happening::Go).is_some());
    assert_eq!(story.resolved(), ["open"], "before anything has left");
    story.after(100).triggered(1);
    assert_eq!((story.status(), story.standing()), (RunStatus::Waiting, Standing::Parked));
    let event = story.after(20_000).call(1);
    story.looks(&done());
    assert_eq!(story.word("generate"), "done");
    assert!(
        story.journal.iter().any(|entry| matches!(entry.what, What::Succeeded { event: Some(by), .. } if by == event))
    );
    assert_eq!(story.standing(), Standing::Runnable);
    story.looks(&done());
    assert_eq!(story.resolved(), ["callback"]);
    assert_eq!(story.progress.delayed_ms, 20_000, "waiting is no processing");
}

#[test]
fn a_callback_that_comes_before_the_answer_is_not_lost() {
    let mut story = Story::new(GENERATE);
    story.happens(&Happening::Go);
    story.after(10).call(1);
    story.looks(&done());
    assert!(story.progress.in_flight().next().is_some(), "the attempt ends first");
    story.after(10).triggered(1);
    story.looks(&done());
    assert_eq!((story.word("generate"), story.resolved()), ("done", vec!["callback"]));
}

#[test]
fn nobody_calls_back_and_the_run_goes_on_where_it_is_told() {
    let mut story = Story::new(GENERATE);
    story.happens(&Happening::Go);
    story.triggered(1);
    assert_eq!(story.progress.wake(story.now).unwrap().millis(), 60_000);
    story.after(59_999).happens(&Happening::Woke);
    assert_eq!(story.resolved(), ["open"], "never early");
    story.after(1).happens(&Happening::Woke);
    assert_eq!((story.word("generate"), story.word("use"), story.resolved()), ("failed", "skipped", vec!["timeout"]));
    assert!(story.happens(&Happening::Go).is_some_and(|execute| execute.step == "tell"));
    story.done(1);
    assert_eq!(story.status(), RunStatus::Succeeded);
}

#[test]
fn a_doubt_is_over_when_the_effect_calls_back() {
    let mut story = Story::new(GENERATE);
    story.happens(&Happening::Go);
    story.crash();
    assert_eq!(story.status(), RunStatus::NeedsDecision);
    // A former attempt has left the key with the provider, and whoever looks after it binds it.
    let (_, wait) = story.progress.open_waits().next().unwrap();
    let bind = WaitChange::Bind { wait: wait.id, keys: vec![KEY.into()] };
    desk::change(&mut story.shelves, &[bind], story.now).unwrap();
    story.after(10).call(1);
    story.looks(&done());
    assert_eq!((story.word("generate"), story.status()), ("done", RunStatus::Running));
}

#[test]
fn an_operator_who_repeats_waits_anew_and_one_who_knows_waits_no_more() {
    for (ruling, waits) in
        [(Ruling::Repeat, ["cancel", "open"].as_slice()), (Ruling::Done { output: json!(1) }, &["cancel"])]
    {
        let mut story = Story::new(GENERATE);
        story.happens(&Happening::Go);
        story.after(120_000).crash();
        story.happens(&Happening::Told(Command::Decide { step: None, ruling }));
        story.happens(&Happening::Go);
        let mut resolved = story.resolved();
        resolved.sort_unstable();
        assert_eq!(resolved, waits);
    }
}

#[test]
fn another_attempt_has_the_same_wait_unless_a_callback_said_that_it_failed() {
    let mut story = Story::new(GENERATE);
    story.happens(&Happening::Go);
    story.fails(1, failure(ErrorClass::Network));
    assert_eq!(story.resolved(), ["open"]);
    story.after(5_000).happens(&Happening::Go);
    assert_eq!(story.resolved(), ["open"], "the same");
    story.triggered(2);
    story.call(1);
    story.looks(&Err(failure(ErrorClass::Temporary)));
    assert_eq!((story.word("generate"), story.resolved()), ("failed", vec!["callback"]), "its attempts are used up");

    let mut story = Story::new(GENERATE);
    story.happens(&Happening::Go);
    story.triggered(1);
    story.call(1);
    story.looks(&Err(failure(ErrorClass::Temporary)));
    story.after(5_000).happens(&Happening::Go);
    let mut resolved = story.resolved();
    resolved.sort_unstable();
    assert_eq!(resolved, ["callback", "open"], "a new one");
}

#[test]
fn a_step_that_fails_for_good_gives_its_wait_back() {
    let mut story = Story::new(GENERATE);
    story.happens(&Happening::Go);
    story.fails(1, failure(ErrorClass::Validation));
    assert_eq!((story.status(), story.resolved()), (RunStatus::Failed, vec!["cancel"]));
}

#[test]
fn who_ends_a_run_ends_its_waits() {
    let cancel = || Happening::Told(Command::Cancel { reason: "x".into() });
    let check = |happening: Happening, status, by| {
        let mut story = Story::new(GENERATE);
        story.happens(&Happening::Go);
        story.triggered(1);
        story.happens(&happening);
        assert_eq!((story.status(), story.resolved()), (status, vec![by]));
        story.call(1);
        story.looks(&done());
        assert_eq!((story.status(), story.resolved()), (status, vec![by]), "what comes later is late");
    };
    check(cancel(), RunStatus::Cancelled, "cancel");
    check(Happening::Superseded("x".into()), RunStatus::Superseded, "cancel");
    check(Happening::Told(Command::Restart { step: "generate".into() }), RunStatus::Queued, "cancel");
}

#[test]
fn a_paused_run_is_called_back_and_goes_on_when_it_is_resumed() {
    let mut story = Story::new(GENERATE);
    story.happens(&Happening::Go);
    story.triggered(1);
    story.happens(&Happening::Told(Command::Pause));
    story.after(600_000).happens(&Happening::Woke);
    assert_eq!(story.resolved(), ["open"], "its time stands still");
    story.call(1);
    story.looks(&done());
    assert_eq!((story.status(), story.word("generate")), (RunStatus::Paused, "done"));
    story.happens(&Happening::Told(Command::Resume));
    assert!(story.happens(&Happening::Go).is_some_and(|execute| execute.step == "use"));
}

#[test]
fn a_poll_ends_a_wait_that_nobody_has_called_back() {
    let mut story = Story::new(GENERATE);
    story.happens(&Happening::Go);
    story.triggered(1);
    let (_, wait) = story.progress.open_waits().next().unwrap();
    story.happens(&Happening::Called(wait.id, Resolution::Poll, done()));
    assert_eq!((story.word("generate"), story.resolved()), ("done", vec!["poll"]));
    story.happens(&Happening::Called(wait.id, Resolution::Poll, done()));
    assert_eq!(story.resolved(), ["poll"], "and once");
}

const CHECKED: &str = r#"
timeout = "10m"
steps = [
  { name = "pause", action = "delay", with = { duration = "5s" } },
  { name = "checked", action = "wait_for_event", deadline = "1m", with = { source = "codegen", event = "generation", key = "codegen:run:{{ 10 + 7 }}" } },
]
"#;

#[test]
fn a_step_can_do_nothing_but_wait_also_for_what_came_on_the_way_to_it() {
    let check = |early: bool| {
        let mut story = Story::new(CHECKED);
        story.happens(&Happening::Go);
        if early {
            story.after(100).call(1);
        }
        story.after(5_000).happens(&Happening::Go);
        if !early {
            assert_eq!(story.status(), RunStatus::Waiting);
            story.after(100).call(1);
        }
        story.looks(&done());
        story.happens(&Happening::Go);
        assert_eq!((story.status(), story.resolved()), (RunStatus::Succeeded, vec!["callback"]), "early: {early}");
    };
    check(true);
    check(false);
}

#[test]
fn what_was_said_before_a_restart_is_not_meant_for_it() {
    let mut story = Story::new(CHECKED);
    story.happens(&Happening::Go);
    story.after(100).call(1);
    story.after(100).happens(&Happening::Told(Command::Restart { step: "pause".into() }));
    story.happens(&Happening::Go);
    story.after(5_000).happens(&Happening::Go);
    assert_eq!((story.status(), story.resolved()), (RunStatus::Waiting, vec!["open"]));
}
