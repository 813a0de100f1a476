//! A service that is not well: nobody's attempts are used up by it, and everybody goes on when it is back.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::circuit_breaker::circuit::{Circuit, Condition, Policy};
use crate::executor::decide::{Execute, Happening};
use crate::executor::failure::ErrorClass;
use crate::executor::outages::Outages;
use crate::executor::port::{Outcome, Success};
use crate::executor::progress::{Life, StepState};
use crate::executor::story::{Story, failure};
use crate::run::{RunStatus, Standing, What};
use crate::time::Timestamp;

/// A step that calls `codegen` and may be tried three times in all.
const CALLING: &str = r#"
timeout = "2m"
steps = [
  { name = "call", action = "look_there", retry = { max_attempts = 3, base_delay = "5s", jitter = 0.0 } },
  { name = "say", action = "tell" },
]
"#;

fn out() -> Outages {
    ["codegen".to_owned()].into_iter().collect()
}

fn standing(story: &Story) -> Standing {
    story.progress.standing(&story.definition, story.now, &story.outages)
}

#[test]
fn a_step_is_held_while_its_service_is_not_well_and_its_time_stands_still() {
    let mut story = Story::new(CALLING);
    story.outages = out();
    assert_eq!(story.happens(&Happening::Go), None);
    assert_eq!((story.status(), standing(&story)), (RunStatus::Waiting, Standing::Parked));
    assert_eq!(story.progress.head(story.now).reason.as_deref(), Some("the circuit of `codegen` is open"));
    assert_eq!(story.progress.wake(story.now), None);
    let before = story.journal.len();
    assert_eq!(story.after(3_600_000).happens(&Happening::Go), None);
    assert_eq!(story.journal.len(), before, "and says so once");
    story.outages = Outages::default();
    assert_eq!(standing(&story), Standing::Runnable);
    assert_eq!(story.happens(&Happening::Go).unwrap().attempt, 1);
    story.done(1);
    assert_eq!(story.progress.left_at(story.now), Some(Duration::from_secs(120)));
}

#[test]
fn one_step_of_a_run_probes_a_service_and_the_others_wait_for_what_it_says() {
    let mut story = Story::new(
        r#"
parallelism = 3
steps = [
  { name = "a", action = "look_there", needs = [] },
  { name = "b", action = "look_there", needs = [] },
  { name = "c", action = "look", needs = [] },
  { name = "d", action = "look_there", needs = ["c"] },
]
"#,
    );
    let names = |executes: Vec<Execute>| executes.into_iter().map(|execute| execute.step).collect::<Vec<_>>();
    let half_open = || Outages::new(BTreeSet::new(), BTreeSet::from(["codegen".to_owned()]));
    story.outages = out();
    assert_eq!(names(story.happens_at_once(&Happening::Go)), ["c"]);
    let before = story.journal.len();
    story.outages = half_open();
    assert_eq!(names(story.happens_at_once(&Happening::Woke)), ["a"]);
    assert_eq!(story.journal.len(), before + 1, "`b` is held as it was");
    let serial = |story: &Story, step: &str| match &story.progress.steps[step] {
        StepState::Attempting(flying) => flying.serial,
        state => panic!("{state:?}"),
    };
    let ended = |serial| Happening::Ended(serial, Ok(Success::Done(json!({}))));
    // The probe is under way: nobody else is to call.
    story.outages = out();
    let c = serial(&story, "c");
    assert_eq!(names(story.happens_at_once(&ended(c))), [""; 0]);
    // It has ended, and said nothing: another one may pass.
    story.outages = half_open();
    let a = serial(&story, "a");
    assert_eq!(names(story.happens_at_once(&ended(a))), ["b"]);
    story.outages = Outages::default();
    assert_eq!(names(story.happens_at_once(&Happening::Woke)), ["d"]);
}

#[test]
fn an_attempt_that_fails_over_an_outage_is_not_used_up() {
    let mut story = Story::new(CALLING);
    for attempt in 1..=9 {
        assert_eq!(story.happens(&Happening::Go).unwrap().attempt, attempt);
        story.outages = out();
        story.fails(attempt, failure(ErrorClass::ServiceUnavailable));
        assert_eq!(story.status(), RunStatus::Waiting);
        story.outages = Outages::default();
    }
    story.happens(&Happening::Go);
    story.outages = out();
    story.fails(10, failure(ErrorClass::Validation));
    assert_eq!(story.status(), RunStatus::Failed, "what the service says is its word");
}

#[test]
fn what_is_in_doubt_is_no_outage() {
    let mut story = Story::new(r#"steps = [{ name = "generate", action = "trigger", deadline = "1m" }]"#);
    story.happens(&Happening::Go);
    story.outages = out();
    story.fails(1, failure(ErrorClass::Timeout).in_doubt());
    assert_eq!(story.status(), RunStatus::NeedsDecision);
}

/// Runs that all call one service, second by second.
struct Town {
    stories: Vec<Story>,
    circuit: Circuit,
    now: Timestamp,
    opened: usize,
}

impl Town {
    fn outages(&self) -> Outages {
        let open = matches!(self.circuit.condition(), Condition::Open { .. });
        if open { out() } else { Outages::default() }
    }

    fn second(&mut self, is_down: bool) {
        self.now = self.now.plus(Duration::from_secs(1));
        self.circuit.tick(self.now);
        for number in 0..self.stories.len() {
            let outages = self.outages();
            let story = &mut self.stories[number];
            (story.now, story.outages) = (self.now, outages);
            if standing(story) != Standing::Runnable && story.progress.life != Life::Queued {
                continue;
            }
            let mut next = story.happens(&Happening::Go);
            while let Some(execute) = next {
                next = self.call(number, &execute, is_down);
            }
        }
    }
}

impl Town {
    /// An attempt of a run is made and ends at once.
    fn call(&mut self, number: usize, execute: &Execute, is_down: bool) -> Option<Execute> {
        let calls = execute.step == "call";
        let outcome: Outcome =
            if calls && is_down { Err(failure(ErrorClass::ServiceUnavailable)) } else { Ok(Success::Done(json!({}))) };
        if calls && let Some(Condition::Open { .. }) = self.circuit.observe(is_down, self.now) {
            self.opened += 1;
        }
        let outages = self.outages();
        let story = &mut self.stories[number];
        story.outages = outages;
        story.happens(&Happening::Ended(execute.serial, outcome))
    }
}

#[test]
fn an_hour_of_outage_costs_nobody_an_attempt_and_all_finish() {
    let policy =
        Policy { threshold: 5, failure_rate: 0.5, window: Duration::from_secs(60), open_for: Duration::from_secs(60) };
    let stories = (0..200).map(|_| Story::new(CALLING)).collect();
    let circuit = Circuit::new(policy, Condition::Closed);
    let mut town = Town { stories, circuit, now: Timestamp::default(), opened: 0 };
    for _ in 0..3_600 {
        town.second(true);
    }
    assert!((59..=60).contains(&town.opened), "once, and again after each probe: {}", town.opened);
    for _ in 0..130 {
        town.second(false);
    }
    let failed = |story: &Story| story.journal.iter().filter(|entry| matches!(entry.what, What::Failed { .. })).count();
    assert_eq!(town.stories.iter().map(failed).sum::<usize>(), 4, "before it opened, and none after");
    assert!(town.stories.iter().all(|story| story.status() == RunStatus::Succeeded));
}
