//! Scenes that once went wrong, each set up exactly and on virtual time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "all of this is a test")]

mod catch_up;
mod polls;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::circuit_breaker::circuit::Policy;
use pointsman_actors::dead_letter::actor::{RedriveMany, RedriveOne};
use pointsman_actors::dead_letter::letter::{LetterId, LetterQuery};
use pointsman_actors::executor::command::Command;
use pointsman_actors::executor::failure::ErrorClass;
use pointsman_actors::run::{Entry, RunStatus, What};
use pointsman_actors::store::Store;
use pointsman_actors::supervisor::Drill;
use tokio::sync::{Notify, oneshot};

use crate::stage::{Ending, Fate, Props, Stage, play, until};

const ONCE: &str = r#"steps = [{ name = "a", action = "send" }]"#;

#[test]
fn an_attempt_that_never_left_is_known_as_long_as_nobody_could_write_that_down() {
    play(async {
        let stage = Stage::set(&[("w", ONCE)], Props::default()).await;
        stage.store.cue(|entry| matches!(entry.what, What::Attempted { .. }), Fate::FailsAndIsThere);
        stage.store.cue(|entry| matches!(entry.what, What::Interrupted { .. }), Fate::Fails);
        let run = stage.start("w", 1).await;
        stage.until(run, "ended").await;
        let expect = ["begun", "a attempted", "a interrupted", "a attempted", "a succeeded", "ended"];
        assert_eq!(stage.words(run).await, expect);
        assert_eq!((stage.store.to_come(), stage.provider.calls("a")), (0, 1));
    });
}

const CIRCUITS: Policy =
    Policy { threshold: 1, failure_rate: 0.5, window: Duration::from_secs(60), open_for: Duration::from_secs(30) };

const TEN_SECONDS: &str = r#"
timeout = "10s"
steps = [{ name = "p", action = "delay", with = { duration = "5s" } }, { name = "a", action = "call", timeout = "9s" }]"#;

#[test]
fn what_is_known_of_an_attempt_comes_before_the_time_that_is_up() {
    play(async {
        let stage = Stage::set(&[("w", TEN_SECONDS)], Props { circuits: Some(CIRCUITS), ..Props::default() }).await;
        let told = Arc::new(Notify::new());
        stage.provider.plan("a", [Ending::When(Arc::clone(&told))]);
        let run = stage.start("w", 1).await;
        stage.until(run, "a attempted").await;
        tokio::time::sleep(Duration::from_millis(4_500)).await;
        stage.store.cue(|entry| entry.what == What::Paused, Fate::Fails);
        stage.tree.executors.tell(run, "w", Command::Pause, None).await.unwrap_err();
        // It ends while the run is read again; when that is there its time is up.
        told.notify_one();
        stage.until(run, "ended").await;
        assert_eq!(
            stage.words(run).await,
            ["begun", "p delayed", "p succeeded", "a attempted", "a succeeded", "ended"]
        );
    });
}

const SLOW_CALL: &str = r#"
timeout = "1h"
steps = [{ name = "a", action = "call", timeout = "30m" }]"#;

#[test]
fn a_probe_that_could_not_be_written_down_makes_room_for_another() {
    play(async {
        let stage = Stage::set(&[("w", SLOW_CALL)], Props { circuits: Some(CIRCUITS), ..Props::default() }).await;
        stage.provider.plan("a", [Ending::Fails(ErrorClass::ServiceUnavailable)]);
        let is_second = |entry: &Entry| matches!(entry.what, What::Attempted { attempt: 2, .. });
        stage.store.cue(is_second, Fate::Fails);
        let run = stage.start("w", 1).await;
        stage.until(run, "ended").await;
        assert_eq!(stage.words(run).await, ["begun", "a attempted", "a held", "a attempted", "a succeeded", "ended"]);
        assert_eq!(stage.store.to_come(), 0);
    });
}

#[test]
fn a_probe_that_is_dropped_makes_room_for_another() {
    play(async {
        let slow_peek = SLOW_CALL.replace("call", "peek");
        let stage = Stage::set(&[("w", &slow_peek)], Props { circuits: Some(CIRCUITS), ..Props::default() }).await;
        let fails = Ending::Fails(ErrorClass::ServiceUnavailable);
        stage.provider.plan("a", [fails, Ending::When(Arc::default())]);
        let (first, second) = (stage.start("w", 1).await, stage.start("w", 2).await);
        until("the probe", async || stage.provider.calls("a") == 2).await;
        let is_first = stage.words(first).await.last().is_some_and(|word| word == "a attempted");
        let (probing, held) = if is_first { (first, second) } else { (second, first) };
        let cancel = Command::Cancel { reason: "said".into() };
        stage.tree.executors.tell(probing, "w", cancel, None).await.unwrap();
        stage.until(held, "ended").await;
        assert_eq!(stage.run(held).await.head.status, RunStatus::Succeeded);
    });
}

const FAILING: &str = r#"steps = [{ name = "a", action = "set", retry = { max_attempts = 1 } }]"#;

#[test]
fn a_dead_letter_that_somebody_has_redriven_is_not_redriven_again() {
    play(async {
        let stage = Stage::set(&[("w", FAILING)], Props::default()).await;
        stage.provider.plan("a", std::iter::repeat_n(Ending::Fails(ErrorClass::NotFound), 9));
        let first = stage.start("w", 1).await;
        stage.until(first, "ended").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = stage.start("w", 2).await;
        stage.until(second, "ended").await;
        let (reply, taken) = oneshot::channel();
        let query = LetterQuery { limit: 9, ..LetterQuery::default() };
        stage.tree.work.dead_letters.many.ask(RedriveMany { query, dry_run: false, reply }).await.unwrap();
        assert_eq!(taken.await.unwrap().unwrap().number(), 2);
        until("the first to be redriven", async || stage.words(first).await.iter().any(|word| word == "restarted"))
            .await;
        // Before it is the turn of the second, somebody redrives that, and it fails again.
        let (reply, done) = oneshot::channel();
        stage.tree.work.dead_letters.one.ask(RedriveOne { id: LetterId::Run(second), by: None, reply }).await.unwrap();
        done.await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(stage.provider.calls("a"), 4);
        assert_eq!(stage.store.counts().redrives, 0);
    });
}

const IN_TURN: &str = r#"
concurrency = { group = "g", key = "k" }
steps = [{ name = "p", action = "delay", with = { duration = "60s" } }, { name = "a", action = "set" }]"#;
const RETRYING: &str =
    r#"steps = [{ name = "x", action = "set", retry = { max_attempts = 2, base_delay = "10s", jitter = 0.0 } }]"#;

#[test]
fn a_queued_run_that_is_being_written_down_is_not_counted_as_one_at_work() {
    play(async {
        let stage = Stage::set(&[("w", IN_TURN), ("x", RETRYING)], Props::default()).await;
        stage.provider.plan("x", [Ending::Fails(ErrorClass::Network)]);
        let first = stage.start("w", 1).await;
        stage.until(first, "p delayed").await;
        let second = stage.start("w", 2).await;
        stage.tree.executors.tell(second, "w", Command::Pause, None).await.unwrap();
        let retrying = stage.start("x", 3).await;
        stage.until(retrying, "x failed").await;
        let written = Arc::new(Notify::new());
        stage.store.cue(|entry| entry.what == What::Resumed, Fate::When(Arc::clone(&written)));
        let executors = stage.tree.executors.clone();
        let resumed = tokio::task::spawn_local(async move { executors.tell(second, "w", Command::Resume, None).await });
        // The dispatcher falls over what it hears at the end of the pause, and counts anew.
        let dispatcher = stage.tree.roster.of("dispatcher")[0].clone();
        dispatcher.rehearse(Drill::NextMessage);
        until("the dispatcher to fall", async || dispatcher.restarts() == 1).await;
        assert_eq!(stage.words(second).await, ["paused"]);
        tokio::time::sleep(Duration::from_secs(5)).await;
        written.notify_one();
        resumed.await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(stage.words(second).await, ["paused", "resumed"], "the first one has the place");
        stage.until(second, "ended").await;
        stage.until(retrying, "ended").await;
    });
}

const PARENT: &str = r#"steps = [
  { name = "p", action = "delay", with = { duration = "60s" } },
  { name = "r", action = "run_workflow", deadline = "3m", with = { workflow = "v" } },
]"#;
const BETWEEN: &str =
    r#"steps = [{ name = "r", action = "run_workflow", deadline = "2m", with = { workflow = "u" } }]"#;

#[test]
fn what_a_run_starts_is_driven_also_when_its_workflow_is_not_in_the_configuration_any_more() {
    let (store, run) = play(async {
        let stage = Stage::set(&[("w", PARENT), ("v", BETWEEN), ("u", ONCE)], Props::default()).await;
        let run = stage.start("w", 1).await;
        stage.until(run, "p delayed").await;
        (Arc::clone(&stage.store), run)
    });
    play(async {
        let stage = Stage::set_on(store, &[("other", ONCE)], Props::default()).await;
        stage.until(run, "ended").await;
        assert_eq!(stage.run(run).await.head.status, RunStatus::Succeeded);
        assert_eq!(stage.provider.calls("a"), 1);
    });
}

const FAILING_PARENT: &str = r#"steps = [
  { name = "a", action = "set", retry = { max_attempts = 1 } },
  { name = "r", action = "run_workflow", deadline = "3m", with = { workflow = "v" } },
]"#;

#[test]
fn what_would_start_a_run_that_nobody_drives_is_not_begun_again() {
    let (store, run) = play(async {
        let stage = Stage::set(&[("w", FAILING_PARENT), ("v", BETWEEN), ("u", ONCE)], Props::default()).await;
        stage.provider.plan("a", [Ending::Fails(ErrorClass::NotFound)]);
        let run = stage.start("w", 1).await;
        stage.until(run, "ended").await;
        (Arc::clone(&stage.store), run)
    });
    play(async {
        let stage = Stage::set_on(Arc::clone(&store), &[("w", ONCE), ("v", ONCE)], Props::default()).await;
        let (reply, redriven) = oneshot::channel();
        stage.tree.work.dead_letters.one.ask(RedriveOne { id: LetterId::Run(run), by: None, reply }).await.unwrap();
        let why = "it may run the workflow `u`, which is not in the configuration any more; put it back";
        assert_eq!(redriven.await.unwrap().unwrap_err().to_string(), why);
        let restart = Command::Restart { step: "a".into() };
        assert_eq!(stage.tree.executors.tell(run, "w", restart, None).await.unwrap_err().to_string(), why);
        assert_eq!(stage.words(run).await.last().unwrap(), "ended");
    });
    play(async {
        let stage = Stage::set_on(store, &[("w", ONCE), ("v", ONCE), ("u", ONCE)], Props::default()).await;
        stage.tree.executors.tell(run, "w", Command::Restart { step: "a".into() }, None).await.unwrap();
        stage.until(run, "ended").await;
        assert_eq!(stage.run(run).await.head.status, RunStatus::Succeeded);
    });
}

#[test]
fn a_probe_whose_executor_falls_before_it_is_written_down_makes_room_for_another() {
    play(async {
        let stage =
            Stage::set(&[("w", SLOW_CALL), ("x", SLOW_CALL)], Props { circuits: Some(CIRCUITS), ..Props::default() })
                .await;
        stage.provider.plan("a", [Ending::Fails(ErrorClass::ServiceUnavailable)]);
        let is_second = |entry: &Entry| matches!(entry.what, What::Attempted { attempt: 2, .. });
        let written = Arc::new(Notify::new());
        stage.store.cue(is_second, Fate::When(Arc::clone(&written)));
        let run = stage.start("w", 1).await;
        until("the probe to be on its way into the journal", async || stage.store.to_come() == 0).await;
        let executor = stage.tree.roster.of("executor").iter().find(|vitals| vitals.instance() == "w").unwrap().clone();
        executor.rehearse(Drill::NextMessage);
        stage.tree.executors.tell(run, "w", Command::Pause, None).await.unwrap_err();
        written.notify_one();
        stage.until(run, "ended").await;
        assert_eq!(stage.run(run).await.head.status, RunStatus::Succeeded);
    });
}
