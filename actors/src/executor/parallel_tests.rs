//! Steps that are at work side by side: how many, what ends them, and what a crash leaves of them.

use serde_json::json;

use super::command::Command;
use super::decide::{Execute, Happening};
use super::failure::ErrorClass;
use super::port::Success;
use super::story::{Story, failure};
use crate::run::{RunStatus, Standing, What};

const FAN: &str = r#"
timeout = "10m"
parallelism = 3
steps = [
  { name = "a", action = "look", needs = [] },
  { name = "b", action = "look", needs = [], retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } },
  { name = "c", action = "tell", needs = [] },
  { name = "d", action = "look", needs = [] },
  { name = "e", action = "tell", needs = ["a", "b", "c", "d"] },
]
"#;

fn names(executes: &[Execute]) -> Vec<&str> {
    executes.iter().map(|execute| execute.step.as_str()).collect()
}

impl Story {
    /// The attempt at this step ends well.
    fn lands(&mut self, step: &str) -> Vec<Execute> {
        let serial = self.progress.in_flight().find(|(of, _)| *of == step).unwrap().1.serial;
        self.happens_at_once(&Happening::Ended(serial, Ok(Success::Done(json!({})))))
    }

    /// It fails so.
    fn breaks(&mut self, step: &str, class: ErrorClass) -> Vec<Execute> {
        let serial = self.progress.in_flight().find(|(of, _)| *of == step).unwrap().1.serial;
        self.happens_at_once(&Happening::Ended(serial, Err(failure(class))))
    }
}

fn begun() -> Story {
    let mut story = Story::new(FAN);
    assert_eq!(names(&story.happens_at_once(&Happening::Go)), ["a", "b", "c"], "no more than three");
    story
}

#[test]
fn what_is_ready_is_begun_as_far_as_there_is_room() {
    let mut story = begun();
    assert_eq!(names(&story.lands("b")), ["d"]);
    assert_eq!(story.progress.standing(&story.definition, story.now, &story.outages), Standing::Busy);
    for step in ["a", "d"] {
        assert_eq!(names(&story.lands(step)), [""; 0]);
    }
    assert_eq!(names(&story.lands("c")), ["e"], "what needs all of them comes last");
    story.lands("e");
    assert_eq!(story.status(), RunStatus::Succeeded);
}

#[test]
fn without_needs_steps_come_one_after_the_other() {
    let mut story = Story::new(r#"steps = [{ name = "a", action = "look" }, { name = "b", action = "look" }]"#);
    assert_eq!(story.definition.parallelism, 1);
    assert_eq!(names(&story.happens_at_once(&Happening::Go)), ["a"]);
    let graph = Story::new(r#"steps = [{ name = "a", action = "look", needs = [] }]"#);
    assert_eq!(graph.definition.parallelism, 4);
}

#[test]
fn whoever_is_at_work_goes_on_with_a_retry_without_another_slot() {
    let mut story = begun();
    assert_eq!(names(&story.breaks("b", ErrorClass::Network)), ["d"]);
    story.lands("d");
    assert_eq!(names(&story.after(1_000).happens_at_once(&Happening::Woke)), ["b"]);
}

#[test]
fn a_failure_waits_for_what_is_at_work_beside_it() {
    let mut story = begun();
    assert_eq!(names(&story.breaks("a", ErrorClass::NotFound)), [""; 0]);
    let asked =
        |story: &Story| matches!(&story.journal.last().unwrap().what, What::EndAsked { status: RunStatus::Failed, .. });
    assert!(asked(&story));
    assert_eq!(names(&story.breaks("b", ErrorClass::Network)), [""; 0], "and nothing is tried again");
    story.happens(&Happening::Told(Command::Cancel { reason: "x".into() }));
    assert_eq!(names(&story.lands("c")), [""; 0]);
    let head = story.progress.head(story.now);
    let reason = format!("step `a`: {}", failure(ErrorClass::NotFound));
    assert_eq!((head.status, head.reason), (RunStatus::Failed, Some(reason)), "the first reason stands");
}

#[test]
fn each_attempt_of_a_former_process_is_resolved_by_its_own_class() {
    let mut story = begun();
    let serials: Vec<u32> = story.progress.in_flight().map(|(_, flying)| flying.serial).collect();
    let again: Vec<Execute> =
        serials.into_iter().flat_map(|serial| story.happens_at_once(&Happening::Recovered(serial))).collect();
    assert_eq!(names(&again), ["a", "b", "d"], "as long as one is at work they have a slot");
    assert_eq!(story.progress.steps["c"].word(), "done", "assumed");
    assert_eq!(story.progress.in_flight().count(), 3);
}

#[test]
fn a_way_on_leaves_what_is_at_work_to_end() {
    let toml = FAN
        .replace(
            "\"a\", action = \"look\", needs = []",
            "\"a\", action = \"look\", needs = [], on_failure = { goto = \"e\" }",
        )
        .replace("needs = [\"a\", \"b\", \"c\", \"d\"]", "needs = [\"a\"]");
    let mut story = Story::new(&toml);
    story.happens_at_once(&Happening::Go);
    assert_eq!(names(&story.breaks("a", ErrorClass::NotFound)), ["e"]);
    let words = ["b", "c", "d"].map(|step| story.progress.steps[step].word());
    assert_eq!(words, ["open", "open", "skipped"]);
    for step in ["b", "c", "e"] {
        story.lands(step);
    }
    assert_eq!(story.status(), RunStatus::Succeeded);
}

#[test]
fn all_that_changes_nothing_is_dropped_by_a_cancel_and_anything_else_is_waited_for() {
    let cancel = Happening::Told(Command::Cancel { reason: "x".into() });
    let mut story = begun();
    story.happens(&cancel);
    assert_eq!(story.status(), RunStatus::Running);
    for step in ["a", "b"] {
        story.lands(step);
    }
    assert_eq!(story.status(), RunStatus::Running, "`c` may be telling somebody");
    story.lands("c");
    assert_eq!(story.status(), RunStatus::Cancelled);
    let mut pure = begun();
    pure.lands("c");
    pure.happens(&cancel);
    assert_eq!(pure.status(), RunStatus::Cancelled);
}

/// What has been done is undone, unless the run makes way.
const UNDONE_FAN: &str = r#"
timeout = "10m"
parallelism = 3
steps = [
  { name = "first", action = "look", needs = [], undo = { action = "tell" } },
  { name = "a", action = "look", needs = ["first"], retry = { max_attempts = 1 } },
  { name = "c", action = "tell", needs = ["first"] },
]
"#;

/// `a` and `c` are at work.
fn undone_fan() -> Story {
    let mut story = Story::new(UNDONE_FAN);
    story.happens_at_once(&Happening::Go);
    assert_eq!(names(&story.lands("first")), ["a", "c"]);
    story
}

#[test]
fn how_a_run_ends_is_said_once() {
    let cancel = || Command::Cancel { reason: "x".into() };
    let mut superseded = undone_fan();
    superseded.happens(&Happening::Superseded("a newer one".into()));
    superseded.lands("c");
    let refused = superseded.told(cancel()).unwrap();
    assert!(refused.starts_with("it ends as superseded already"), "{refused}");
    assert_eq!(names(&superseded.lands("a")), [""; 0], "it has no further effect");
    assert_eq!(superseded.status(), RunStatus::Superseded);
    let mut failing = undone_fan();
    failing.breaks("c", ErrorClass::NotFound);
    let refused = failing.told(cancel()).unwrap();
    assert!(refused.starts_with("it ends as failed already"), "{refused}");
    assert_eq!(names(&failing.lands("a")), ["undo/first"]);
    failing.lands("undo/first");
    assert_eq!(failing.status(), RunStatus::Failed, "and is a dead letter");
    let mut cancelled = undone_fan();
    assert_eq!(cancelled.told(cancel()), None);
    cancelled.lands("a");
    let serial = cancelled.progress.in_flight().next().unwrap().1.serial;
    let makes_way = Happening::Ended(serial, Ok(Success::Superseded("a newer head".into())));
    assert_eq!(names(&cancelled.happens_at_once(&makes_way)), ["undo/first"], "somebody was told that it is undone");
    cancelled.lands("undo/first");
    assert_eq!(cancelled.status(), RunStatus::Cancelled);
}

#[test]
fn whoever_cancels_what_fails_and_is_paused_lets_it_go_on_to_its_end() {
    let mut story = undone_fan();
    assert_eq!(story.told(Command::Pause), None);
    story.breaks("a", ErrorClass::NotFound);
    assert_eq!(story.told(Command::Cancel { reason: "x".into() }), None);
    assert!(!story.progress.paused, "{:?}", story.journal.last());
    assert_eq!(names(&story.lands("c")), ["undo/first"]);
    story.lands("undo/first");
    assert_eq!(story.status(), RunStatus::Failed);
    let mut undoing = undone_fan();
    undoing.breaks("a", ErrorClass::NotFound);
    assert_eq!(undoing.told(Command::Pause), None);
    undoing.lands("c");
    assert_eq!((undoing.status(), undoing.happens(&Happening::Go)), (RunStatus::Paused, None));
    assert_eq!(undoing.told(Command::Cancel { reason: "x".into() }), None);
    assert_eq!(names(&undoing.happens_at_once(&Happening::Go)), ["undo/first"]);
}
