//! Steps that wait and are asked after, each scene set up exactly and on virtual time.

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::circuit_breaker::circuit::Policy;
use pointsman_actors::executor::command::Command;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{Answer, Success};
use pointsman_actors::run::RunStatus;
use pointsman_actors::supervisor::Drill;
use serde_json::json;
use tokio::time::Instant;

use crate::stage::{POLLING, Props, Stage, play, until};

const HIRED: &str = r#"
timeout = "3h"
steps = [{ name = "a", action = "hire", deadline = "2h" }]"#;

fn done() -> Answer {
    Ok(Some(Ok(Success::Done(json!({ "pr": 5 })))))
}

fn trouble(class: ErrorClass) -> Failure {
    Failure::new(class, "by plan")
}

impl Stage {
    fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.provider.answers.lock().unwrap().extend(answers);
    }

    /// The whole seconds between the questions, and before the first since `begin`.
    fn pauses(&self, begin: Instant) -> Vec<u64> {
        let asked = self.provider.asked.lock().unwrap().clone();
        let before = std::iter::once(begin).chain(asked.iter().copied());
        before.zip(&asked).map(|(before, asked)| asked.duration_since(before).as_secs()).collect()
    }
}

#[test]
fn it_is_asked_less_and_less_often_until_it_is_done() {
    play(async {
        let stage = Stage::set(&[("w", HIRED)], Props::default()).await;
        stage.answers([Ok(None), Ok(None), Ok(None), Ok(None), done()]);
        let (begin, run) = (Instant::now(), stage.start("w", 1).await);
        stage.until(run, "ended").await;
        assert_eq!(stage.words(run).await, ["begun", "a attempted", "a waiting", "a succeeded", "ended"]);
        let pauses = stage.pauses(begin);
        assert!((10..=20).contains(&pauses[0]), "{pauses:?}");
        assert_eq!(pauses[1..], [20, 40, 60, 60]);
    });
}

#[test]
fn an_answer_that_it_has_failed_fails_the_attempt() {
    play(async {
        let stage = Stage::set(&[("w", HIRED)], Props::default()).await;
        stage.answers([Ok(Some(Err(trouble(ErrorClass::RunFailed))))]);
        let run = stage.start("w", 1).await;
        stage.until(run, "ended").await;
        let head = stage.run(run).await.head;
        assert_eq!((head.status, head.reason.as_deref()), (RunStatus::Failed, Some("step `a`: run_failed: by plan")));
    });
}

#[test]
fn a_question_that_nobody_answers_changes_nothing_and_is_asked_again_when_the_provider_wants() {
    play(async {
        let stage = Stage::set(&[("w", HIRED)], Props::default()).await;
        let slow_down = trouble(ErrorClass::RateLimit).retry_after(Duration::from_secs(300));
        stage.answers([Err(trouble(ErrorClass::Network)), Err(slow_down), done()]);
        let (begin, run) = (Instant::now(), stage.start("w", 1).await);
        stage.until(run, "ended").await;
        assert_eq!(stage.words(run).await, ["begun", "a attempted", "a waiting", "a succeeded", "ended"]);
        assert_eq!(stage.pauses(begin)[1..], [20, 300]);
    });
}

#[test]
fn many_that_wait_are_asked_after_a_few_at_a_time_also_after_a_restart() {
    play(async {
        let stage = Stage::set(&[("w", HIRED)], Props::default()).await;
        let mut runs = Vec::new();
        for order in 0..40 {
            runs.push(stage.start("w", order).await);
        }
        for run in &runs {
            stage.until(*run, "a waiting").await;
        }
        let store = Arc::clone(&stage.store);
        let stage = Stage::set_on(store, &[("w", HIRED)], Props::default()).await;
        stage.answers(std::iter::repeat_with(done).take(40));
        let begin = Instant::now();
        for run in runs {
            stage.until(run, "ended").await;
        }
        assert!(begin.elapsed() < Duration::from_secs(25), "soon again: {:?}", begin.elapsed());
        let (_, most) = *stage.provider.asking.lock().unwrap();
        assert!((2..=4).contains(&most), "{most} at once");
        let asked = stage.provider.asked.lock().unwrap().clone();
        let at_once = asked.iter().filter(|at| at.duration_since(asked[0]) < Duration::from_secs(2)).count();
        assert!(at_once < 25, "not everybody at once: {at_once} of {}", asked.len());
    });
}

const CIRCUITS: Policy =
    Policy { threshold: 1, failure_rate: 0.5, window: Duration::from_secs(60), open_for: Duration::from_secs(300) };

#[test]
fn nobody_is_asked_while_the_circuit_is_open_and_a_question_may_be_the_probe() {
    play(async {
        let stage = Stage::set(&[("w", HIRED)], Props { circuits: Some(CIRCUITS), ..Props::default() }).await;
        stage.answers([Err(trouble(ErrorClass::ServiceUnavailable)), Ok(None), done()]);
        let (begin, run) = (Instant::now(), stage.start("w", 1).await);
        stage.until(run, "ended").await;
        let pauses = stage.pauses(begin);
        assert_eq!((pauses.len(), pauses[1]), (3, 300), "it opened, and the next question probed it: {pauses:?}");
    });
}

#[test]
fn a_paused_run_asks_nobody_and_one_that_is_resumed_asks_soon() {
    play(async {
        let stage = Stage::set(&[("w", HIRED)], Props::default()).await;
        let run = stage.start("w", 1).await;
        stage.until(run, "a waiting").await;
        stage.tree.executors.tell(run, "w", Command::Pause, None).await.unwrap();
        tokio::time::sleep(Duration::from_secs(900)).await;
        assert!(stage.provider.asked.lock().unwrap().is_empty(), "it asked");
        stage.answers([done()]);
        let begin = Instant::now();
        stage.tree.executors.tell(run, "w", Command::Resume, None).await.unwrap();
        stage.until(run, "ended").await;
        assert!(begin.elapsed() <= POLLING.first + Duration::from_secs(1), "{:?}", begin.elapsed());
    });
}

#[test]
fn a_run_that_is_cancelled_while_it_is_asked_after_stays_so() {
    play(async {
        let stage = Stage::set(&[("w", HIRED)], Props::default()).await;
        stage.answers([done()]);
        let run = stage.start("w", 1).await;
        until("a question", async || stage.provider.asking.lock().unwrap().0 == 1).await;
        stage.tree.executors.tell(run, "w", Command::Cancel { reason: "said".into() }, None).await.unwrap();
        tokio::time::sleep(Duration::from_secs(900)).await;
        assert_eq!(stage.run(run).await.head.status, RunStatus::Cancelled);
        assert_eq!(stage.provider.asked.lock().unwrap().len(), 1);
    });
}

#[test]
fn an_executor_that_falls_while_it_asks_asks_again() {
    play(async {
        let stage = Stage::set(&[("w", HIRED)], Props::default()).await;
        let run = stage.start("w", 1).await;
        until("a question", async || stage.provider.asking.lock().unwrap().0 == 1).await;
        let executor = stage.tree.roster.of("executor").iter().find(|vitals| vitals.instance() == "w").unwrap().clone();
        executor.rehearse(Drill::NextMessage);
        stage.tree.executors.tell(run, "w", Command::Resume, None).await.unwrap_err();
        until("it to be back", async || executor.restarts() == 1).await;
        stage.answers([Ok(None), done()]);
        stage.until(run, "ended").await;
        assert_eq!(stage.words(run).await, ["begun", "a attempted", "a waiting", "a succeeded", "ended"]);
        assert_eq!(stage.run(run).await.head.status, RunStatus::Succeeded);
    });
}
