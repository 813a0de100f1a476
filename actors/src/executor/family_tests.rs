//! A run and those that it has started: whatever ends it, leads past them or does them again waits for their end.

use std::collections::BTreeMap;

use serde_json::json;

use super::command::Command;
use super::decide::{Execute, Happening};
use super::failure::{ErrorClass, Failure};
use super::port::{Outcome, Success};
use super::story::{STEPS, Story, actions, failure};
use crate::ids::{RunId, WaitId};
use crate::run::{Ruling, RunStatus, Standing};
use crate::time::Timestamp;
use crate::wait::desk::{self, Shelves};
use crate::wait::record::{Resolution, WaitChange, WaitState};
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::Definition;
use crate::workflow::spec::Defaults;

/// It has something to undo, and not the time that it lets its child have.
const PARENT: &str = r#"
timeout = "10m"
steps = [
  { name = "first", action = "look", undo = { action = "tell" } },
  { name = "pause", action = "delay", with = { duration = "3m" } },
  { name = "r", action = "run_workflow", deadline = "8m", with = { workflow = "v" } },
]
"#;
/// A failure beside its child leads past that.
const BESIDE: &str = r#"
parallelism = 2
steps = [
  { name = "a", action = "look", needs = [], on_failure = { goto = "z" }, retry = { max_attempts = 1 } },
  { name = "r", action = "run_workflow", needs = [], deadline = "1m", with = { workflow = "v" } },
  { name = "z", action = "tell", needs = ["a"] },
]
"#;
const CHILD: &str = r#"steps = [{ name = "x", action = "tell" }]"#;

impl Story {
    fn with_child(parent: &str) -> Self {
        let specs: BTreeMap<_, _> =
            [("w", parent), ("v", CHILD)].map(|(name, text)| (name.to_owned(), toml::from_str(text).unwrap())).into();
        let family = Catalog::compile(specs, &Defaults::default(), &actions()).unwrap();
        let definition = Definition::from_content(&family.get("w").unwrap().content, &actions()).unwrap();
        Self { definition, ..Self::new(STEPS) }
    }

    fn child(&self) -> (RunId, WaitId) {
        self.progress.children().next().map(|(_, run, wait)| (run, wait)).unwrap()
    }

    /// Whether its child may still begin anything.
    fn wants_its_child(&mut self) -> bool {
        let (run, wait) = self.child();
        self.shelves.wait(wait).unwrap().unwrap().wants(run)
    }

    /// Its child ends so, and it hears of that.
    fn child_ends(&mut self, outcome: Outcome) -> Option<Execute> {
        let (run, wait) = self.child();
        desk::change(&mut self.shelves, &[WaitChange::Return { wait, run }], self.now).unwrap();
        self.happens(&Happening::Called(wait, Resolution::Run(run), outcome))
    }

    fn is_waiting(&self) -> bool {
        let standing = self.progress.standing(&self.definition, self.now, &self.outages);
        (self.status(), standing) == (RunStatus::Waiting, Standing::Parked)
    }
}

fn cancelled() -> Outcome {
    Err(failure(ErrorClass::RunFailed))
}

fn in_doubt() -> Outcome {
    Err(Failure::new(ErrorClass::RunFailed, "x").in_doubt())
}

/// A parent whose child is at work, three minutes after its start.
fn at_child() -> Story {
    let mut story = Story::with_child(PARENT);
    story.happens(&Happening::Go);
    story.done(1);
    story.after(180_000).happens(&Happening::Go);
    assert!(story.wants_its_child());
    story
}

#[test]
fn whoever_is_out_of_time_undoes_nothing_before_its_child_has_ended() {
    let mut story = at_child();
    assert_eq!(story.after(420_000).happens(&Happening::Woke), None);
    assert!(!story.wants_its_child() && story.is_waiting(), "{:?}", story.journal.last());
    for later in [0, 3_600_000] {
        assert_eq!(story.after(later).happens(&Happening::Woke), None);
        assert_eq!(story.happens(&Happening::Go), None);
        assert!(story.is_waiting());
    }
    story.child_ends(cancelled());
    assert_eq!(story.happens(&Happening::Go).map(|execute| execute.step).as_deref(), Some("undo/first"));
    story.done(1);
    assert_eq!(story.status(), RunStatus::TimedOut);
}

#[test]
fn a_step_has_failed_when_the_run_that_took_too_long_has_ended() {
    let slow = PARENT.replace("8m", "5m");
    let late = || {
        let mut story = Story::with_child(&slow);
        story.happens(&Happening::Go);
        story.done(1);
        story.after(180_000).happens(&Happening::Go);
        story.after(299_999).happens(&Happening::Woke);
        assert!(story.wants_its_child(), "never early");
        story.after(1).happens(&Happening::Woke);
        assert!(!story.wants_its_child() && story.is_waiting(), "{:?}", story.journal.last());
        let (_, wait) = story.child();
        let state = story.shelves.wait(wait).unwrap().unwrap().state;
        assert!(matches!(state, WaitState::Resolved { by: Resolution::Timeout, .. }));
        assert_eq!(story.after(60_000).happens(&Happening::Woke), None);
        assert!(story.is_waiting());
        story
    };
    let mut story = late();
    story.child_ends(cancelled());
    assert_eq!(story.happens(&Happening::Go).map(|execute| execute.step).as_deref(), Some("undo/first"));
    story.done(1);
    let reason = story.progress.head(story.now).reason.unwrap();
    assert_eq!(reason, "step `r`: timeout: the run of `v` had not ended within 300s");
    let mut in_time = late();
    in_time.child_ends(Ok(Success::Done(json!({}))));
    in_time.happens(&Happening::Go);
    assert_eq!(in_time.status(), RunStatus::Succeeded, "what was done all the same is not done in vain");
    let mut doubtful = late();
    doubtful.child_ends(in_doubt());
    assert_eq!(doubtful.status(), RunStatus::NeedsDecision);
    assert_eq!(doubtful.happens(&Happening::Go), None);
    let fail = Command::Decide { step: None, ruling: Ruling::Fail { reason: "no".into() } };
    assert_eq!(doubtful.told(fail), None);
    assert!(doubtful.progress.is_undoing());
}

#[test]
fn a_doubt_of_a_child_outlives_the_end_of_the_run_that_has_started_it() {
    let mut story = Story::with_child(&PARENT.replace(", undo = { action = \"tell\" }", ""));
    story.happens(&Happening::Go);
    story.done(1);
    story.after(180_000).happens(&Happening::Go);
    story.after(420_000).happens(&Happening::Woke);
    story.child_ends(in_doubt());
    assert_eq!(story.status(), RunStatus::TimedOut);
    assert!(story.progress.head(story.now).in_doubt);
    let doubt = "nobody knows whether `r` had its effect; decide about that first";
    assert_eq!(story.redriven().as_deref(), Some(doubt));
    assert_eq!(story.told(Command::Restart { step: "r".into() }).as_deref(), Some(doubt));
}

#[test]
fn whoever_is_cancelled_waits_for_its_child_also_past_the_deadline() {
    let mut story = at_child();
    assert_eq!(story.after(1).told(Command::Cancel { reason: "x".into() }), None);
    assert_eq!(story.after(3_600_000).happens(&Happening::Woke), None);
    assert_eq!(story.happens(&Happening::Go), None);
    assert!(story.is_waiting());
    story.child_ends(cancelled());
    story.happens(&Happening::Go);
    story.done(1);
    assert_eq!(story.status(), RunStatus::Cancelled);
}

#[test]
fn a_failure_leads_past_a_run_when_that_has_ended() {
    let beside = || {
        let mut story = Story::with_child(BESIDE);
        story.happens(&Happening::Go);
        let z = story.fails(1, failure(ErrorClass::NotFound));
        assert_eq!(z.map(|execute| execute.step).as_deref(), Some("z"), "what comes next needs it not");
        assert!(!story.wants_its_child());
        story.done(1);
        assert!(story.is_waiting(), "{:?}", story.journal.last());
        story
    };
    let mut story = beside();
    story.child_ends(cancelled());
    assert_eq!((story.status(), story.progress.steps["r"].word()), (RunStatus::Succeeded, "skipped"));
    let mut doubtful = beside();
    doubtful.child_ends(in_doubt());
    assert_eq!(doubtful.status(), RunStatus::NeedsDecision);
}

#[test]
fn nothing_is_done_again_beside_a_child_at_work() {
    let mut story = at_child();
    for step in ["first", "r"] {
        let (run, _) = story.child();
        let refused = story.told(Command::Restart { step: step.into() });
        let why = "has not ended; cancel this run first, or wait";
        assert_eq!(refused, Some(format!("{run}, which its step `r` has started, {why}")));
    }
    story.told(Command::Cancel { reason: "x".into() });
    story.child_ends(cancelled());
    story.happens(&Happening::Go);
    story.done(1);
    assert_eq!(story.told(Command::Restart { step: "r".into() }), None);
}

#[test]
fn a_run_that_makes_way_takes_those_that_it_has_started_with_it_and_nobody_undoes_anything() {
    let mut story = at_child();
    let (run, wait) = story.child();
    assert_eq!(story.happens(&Happening::Superseded("a newer one".into())), None);
    let state = story.shelves.wait(wait).unwrap().unwrap().state;
    assert!(matches!(state, WaitState::Resolved { by: Resolution::Supersede, .. }), "{state:?}");
    assert!(story.is_waiting());
    story.child_ends(Ok(Success::Superseded(format!("{run} makes way"))));
    assert_eq!((story.status(), story.happens(&Happening::Go)), (RunStatus::Superseded, None));
    assert_eq!(story.progress.head(story.now).reason.as_deref(), Some("a newer one"));
}

#[test]
fn a_child_is_told_off_in_time_also_while_an_operator_is_waited_for() {
    let first = r#"{ name = "first", action = "look", undo = { action = "tell" } },"#;
    let sent = r#"{ name = "sent", action = "tell", needs = [], on_doubt = "park" },
        { name = "pause", needs = [],"#;
    let beside = PARENT.replace(first, "").replace(r#"{ name = "pause","#, sent);
    let beside = beside.replace(r#"{ name = "r","#, r#"{ name = "r", needs = ["pause"],"#);
    let mut story = Story::with_child(&beside.replace("timeout", "parallelism = 2\ntimeout"));
    story.happens(&Happening::Go);
    story.crash();
    story.after(180_000).happens(&Happening::Go);
    story.after(420_000).happens(&Happening::Woke);
    assert_eq!((story.status(), story.wants_its_child()), (RunStatus::NeedsDecision, true), "its own time is up");
    assert_eq!(story.progress.wake(story.now).map(Timestamp::millis), Some(660_000));
    story.after(60_000).happens(&Happening::Woke);
    assert_eq!((story.status(), story.wants_its_child()), (RunStatus::NeedsDecision, false));
    assert_eq!(story.after(1).happens(&Happening::Woke), None);
}
