//! The life of a run, decision by decision, and through every crash.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::executor::failure::{ErrorClass, Failure};
use crate::executor::port::Success;
use crate::executor::story::{SLOW, STEPS, Story, failure, steps_of};
use crate::run::Standing;

#[test]
fn a_run_goes_from_step_to_step_to_its_end() {
    let mut story = Story::new(STEPS);
    assert_eq!(story.status(), RunStatus::Queued);
    assert_eq!(story.happens(&Happening::Go), None);
    assert_eq!(
        (story.status(), story.progress.head(story.now).wake),
        (RunStatus::Waiting, Some(story.now.plus(Duration::from_secs(5))))
    );
    assert_eq!(story.after(4_999).happens(&Happening::Go), None, "never early");
    assert_eq!(steps_of(&story.after(1).happens(&Happening::Go)), ["check"]);
    assert_eq!(story.happens(&Happening::Go), None, "a second go changes nothing");
    assert_eq!(steps_of(&story.done(1)), ["say"], "the outcome and the next attempt are one decision");
    assert_eq!(story.done(1), None);
    assert_eq!(story.status(), RunStatus::Succeeded);
    assert_eq!(story.progress.delayed_ms, 5_000);
    let before = story.journal.len();
    for happening in [Happening::Go, Happening::Woke, Happening::Recovered(4), Happening::Superseded("x".into())] {
        assert_eq!(story.happens(&happening), None);
    }
    assert_eq!(story.journal.len(), before, "what is over is over");
}

#[test]
fn a_failure_is_tried_again_until_the_budget_is_used_up() {
    let mut story = Story::new(STEPS).at_check();
    assert_eq!(story.fails(1, failure(ErrorClass::Network)), None);
    assert_eq!(story.status(), RunStatus::Waiting);
    assert_eq!(story.done(1), None, "an old attempt changes nothing");
    assert_eq!(steps_of(&story.after(1_000).happens(&Happening::Go)), ["check"]);
    story.fails(2, failure(ErrorClass::Network));
    assert_eq!(steps_of(&story.after(2_000).happens(&Happening::Go)), ["check"]);
    story.fails(3, failure(ErrorClass::Network));
    assert_eq!(story.status(), RunStatus::Failed);
    assert_eq!(story.progress.head(story.now).reason.as_deref(), Some("step `check`: network: x"));
}

#[test]
fn what_cannot_get_better_ends_at_once() {
    let mut story = Story::new(STEPS).at_check();
    story.fails(1, failure(ErrorClass::Authorization));
    assert_eq!(story.status(), RunStatus::Failed);
}

#[test]
fn doubt_is_resolved_by_the_steps_word_alone() {
    let mut pure = Story::new(STEPS).at_check();
    pure.crash();
    let effects = pure.happens(&Happening::Go);
    let Some(Execute { attempt: 2, key, .. }) = &effects else { panic!("{effects:?}") };
    assert_eq!(*key, format!("{}/check", pure.run.id), "the same key for every attempt");
    assert_eq!(pure.progress.steps["check"].tries().failures, 0, "a death of the process uses up no attempt");

    let mut once = Story::new(STEPS).at_say();
    assert_eq!(once.crash(), None, "what must never happen twice is not sent again");
    assert_eq!(once.status(), RunStatus::Succeeded);
    assert!(once.journal.iter().any(|entry| matches!(entry.what, What::Succeeded { assumed: true, .. })));

    let mut broken = Story::new(STEPS).at_say();
    broken.fails(1, failure(ErrorClass::Timeout).in_doubt());
    assert_eq!(broken.status(), RunStatus::Succeeded);

    let mut refused = Story::new(STEPS).at_say();
    refused.fails(1, failure(ErrorClass::Network));
    assert_eq!(refused.status(), RunStatus::Waiting, "what certainly did not happen is tried again");

    let mut parked = Story::new(&STEPS.replace("\"tell\"", "\"tell\", on_doubt = \"park\"")).at_say();
    parked.crash();
    assert_eq!(parked.status(), RunStatus::NeedsDecision);
    assert_eq!(parked.progress.head(parked.now).wake, None, "its time stands still");
}

#[test]
fn a_newer_run_waits_for_the_attempt_in_flight_and_for_nothing_else() {
    let newer = Happening::Superseded("superseded by run_x".into());
    let mut queued = Story::new(STEPS);
    queued.happens(&newer);
    assert_eq!(queued.status(), RunStatus::Superseded);

    let mut waiting = Story::new(STEPS);
    waiting.happens(&Happening::Go);
    waiting.happens(&newer);
    assert_eq!(waiting.status(), RunStatus::Superseded);

    let mut in_flight = Story::new(STEPS).at_check();
    assert_eq!(in_flight.happens(&newer), None);
    assert_eq!(in_flight.status(), RunStatus::Running);
    assert_eq!(in_flight.done(1), None, "no further effect");
    assert_eq!(in_flight.status(), RunStatus::Superseded);

    let mut failing = Story::new(STEPS).at_check();
    failing.happens(&newer);
    failing.fails(1, failure(ErrorClass::Network));
    assert_eq!(failing.status(), RunStatus::Superseded, "and no further attempt");

    let mut crashed = Story::new(STEPS).at_check();
    crashed.happens(&newer);
    crashed.crash();
    assert_eq!(crashed.status(), RunStatus::Superseded);
}

#[test]
fn an_old_head_ends_the_run() {
    let mut story = Story::new(STEPS).at_check();
    story.happens(&Happening::Ended(story.serial(1), Ok(Success::Superseded("the head is now b".into()))));
    assert_eq!(story.status(), RunStatus::Superseded);
    assert_eq!(story.progress.head(story.now).reason.as_deref(), Some("the head is now b"));
}

#[test]
fn time_runs_out_once_and_the_attempt_is_dropped() {
    let mut story = Story::new(SLOW).at_check();
    assert_eq!(story.progress.wake(story.now), Some(story.now.plus(Duration::from_secs(595))));
    assert_eq!(story.after(594_999).happens(&Happening::Woke), None);
    assert_eq!(story.status(), RunStatus::Running, "never early");
    story.after(1).happens(&Happening::Woke);
    assert_eq!(story.progress.in_flight().count(), 0, "and the attempt is dropped");
    assert_eq!(story.status(), RunStatus::TimedOut);
}

#[test]
fn what_is_known_is_written_down_before_time_is_up() {
    let mut late = Story::new(SLOW).at_check();
    assert_eq!(late.after(700_000).done(1), None, "there is no time for another step");
    assert_eq!(late.status(), RunStatus::TimedOut);
    assert_eq!(late.progress.steps["check"].word(), "done");

    let mut last = Story::new(SLOW).at_say();
    last.after(700_000).done(1);
    assert_eq!(last.status(), RunStatus::Succeeded, "what is done is done");

    let mut parked = Story::new(&SLOW.replace("\"tell\"", "\"tell\", on_doubt = \"park\"")).at_say();
    parked.after(700_000).crash();
    assert_eq!(parked.status(), RunStatus::NeedsDecision);
}

#[test]
fn waiting_for_a_turn_uses_up_no_time() {
    let mut story = Story::new(STEPS);
    story.after(3_600_000).happens(&Happening::Go);
    assert_eq!(story.progress.left, Some(Duration::from_secs(600)), "nor does the queue");
    let execute = story.after(3_600_000).happens(&Happening::Go);
    assert_eq!(steps_of(&execute), ["check"], "the pause of five seconds took an hour to be ended");
    assert_eq!((story.progress.left, story.progress.delayed_ms), (Some(Duration::from_secs(595)), 5_000));
    story.after(1_000).fails(1, failure(ErrorClass::Network));
    story.after(3_600_000).happens(&Happening::Go);
    assert_eq!(story.progress.left, Some(Duration::from_secs(593)));
    story.after(3_600_000).crash();
    assert_eq!(story.progress.left, Some(Duration::from_secs(563)), "an attempt counts as long as it may take");
}

#[test]
fn an_attempt_that_would_come_too_late_is_not_waited_for() {
    let mut story = Story::new(STEPS).at_check();
    story.fails(1, failure(ErrorClass::ServiceUnavailable).retry_after(Duration::from_secs(1_800)));
    assert_eq!(story.status(), RunStatus::TimedOut);
    let reason = story.progress.head(story.now).reason.unwrap();
    assert!(reason.contains("service_unavailable: x; the next attempt would come after its time"), "{reason}");
}

#[test]
fn an_attempt_that_never_left_is_made_whatever_its_class() {
    let mut story = Story::new(STEPS).at_say();
    assert_eq!(story.happens(&Happening::NeverLeft(story.serial(1))), None);
    assert_eq!(steps_of(&story.happens(&Happening::Go)), ["say"]);
}

#[test]
fn what_belongs_to_another_attempt_changes_nothing() {
    let mut story = Story::new(STEPS).at_check();
    let of_check = story.serial(1);
    story.done(1);
    let before = story.progress.clone();
    for happening in [
        Happening::Ended(of_check, Ok(Success::Done(json!("of check")))),
        Happening::Noted(of_check, json!({})),
        Happening::Recovered(of_check),
        Happening::NeverLeft(of_check),
    ] {
        assert_eq!(story.happens(&happening), None, "{happening:?}");
    }
    assert_eq!(story.progress, before, "both are the first attempt of their step");
}

#[test]
fn a_process_that_ends_begins_no_attempt() {
    let mut story = Story::new(STEPS).at_check();
    story.draining = true;
    assert_eq!(story.done(1), None);
    assert_eq!(story.progress.standing(&story.definition, story.now, &story.outages), Standing::Runnable);
    story.draining = false;
    assert_eq!(steps_of(&story.happens(&Happening::Go)), ["say"]);
}

#[test]
fn what_a_template_cannot_give_fails_the_step_and_not_the_program() {
    let check = |template: &str, expect: &str| {
        let mut story = Story::new(&STEPS.replace("\"5s\"", &format!("\"{template}\"")));
        story.happens(&Happening::Go);
        assert_eq!(story.status(), RunStatus::Failed);
        let reason = story.progress.head(story.now).reason.unwrap();
        assert!(reason.contains(expect), "{reason}");
    };
    check("{{ input.pause }}", "with.duration: expected a text, found nothing");
    check("{{ 'soon' }}", "with.duration: `soon` is not a span of time");
}

#[test]
fn notes_are_kept_with_the_attempt() {
    let mut story = Story::new(STEPS).at_check();
    story.happens(&Happening::Noted(story.serial(1), json!({"process": 7})));
    assert_eq!(story.progress.in_flight().next().unwrap().1.notes, [json!({"process": 7})]);
    let before = story.journal.len();
    story.happens(&Happening::Noted(99, json!({})));
    assert_eq!(story.journal.len(), before, "of another attempt there is nothing to note");
}

/// The journal is cut after every entry, the process starts again, and the run goes to its end: no step
/// whose outcome was recorded is attempted again, what must happen once is attempted once, and every
/// attempt stands in the journal before its effect.
#[test]
fn every_crash_point_leads_to_the_end() {
    let whole = {
        let mut story = Story::new(STEPS).at_check();
        story.fails(1, failure(ErrorClass::Network));
        story.after(1_000).happens(&Happening::Go);
        story.happens(&Happening::Noted(story.serial(2), json!({})));
        story.done(2);
        story.done(1);
        story.journal
    };
    for cut in 0..=whole.len() {
        let mut story = Story::new(STEPS);
        story.journal = whole[..cut].to_vec();
        story.progress = Progress::of(&story.run, &story.journal);
        story.now = story.journal.last().map_or(Timestamp::default(), |last| last.at);
        let mut in_flight = None;
        if story.progress.in_flight().next().is_some() {
            story.crash();
        }
        for _ in 0..20 {
            if story.progress.is_over() {
                break;
            }
            let effects = match in_flight.take() {
                Some(attempt) => story.done(attempt),
                None => story.after(60_000 / 20).happens(&Happening::Go),
            };
            if let Some(Execute { step, attempt, .. }) = effects {
                let recorded = story.journal.iter().any(|entry| {
                    matches!(&entry.what, What::Attempted { step: s, attempt: a, .. } if *s == step && *a == attempt)
                });
                assert!(recorded, "cut {cut}: an effect without its entry");
                in_flight = Some(attempt);
            }
        }
        assert_eq!(story.status(), RunStatus::Succeeded, "cut {cut}");
        let mut done: Vec<&str> = Vec::new();
        let mut said = 0;
        for entry in &story.journal {
            match &entry.what {
                What::Attempted { step, .. } => {
                    assert!(!done.contains(&step.as_str()), "cut {cut}: {step} again after its outcome");
                    said += u32::from(step == "say");
                }
                What::Succeeded { step, .. } => done.push(step),
                _ => {}
            }
        }
        assert_eq!((done, said), (vec!["pause", "check", "say"], 1), "cut {cut}");
    }
}

#[test]
fn what_our_own_limit_holds_back_uses_up_no_attempt() {
    let mut story = Story::new(
        r#"
timeout = "10m"
steps = [{ name = "check", action = "look", retry = { max_attempts = 1 } }]"#,
    );
    story.happens(&Happening::Go);
    let held_back = failure(ErrorClass::RateLimit).retry_after(Duration::from_secs(60)).unsent();
    for attempt in 1..=3 {
        story.fails(attempt, held_back.clone());
        assert_eq!(story.status(), RunStatus::Waiting);
        assert!(story.after(59_999).happens(&Happening::Go).is_none(), "not before there is room");
        assert!(story.after(1).happens(&Happening::Go).is_some());
    }
    story.fails(4, failure(ErrorClass::RateLimit));
    assert_eq!(story.status(), RunStatus::Failed);
}

#[test]
fn a_limit_may_last_longer_than_a_run() {
    let mut story = Story::new(STEPS).at_check();
    let left = story.progress.left;
    story.fails(1, failure(ErrorClass::RateLimit).retry_after(Duration::from_secs(1_800)));
    assert_eq!(story.status(), RunStatus::Waiting);
    assert_eq!(story.progress.wake(story.now), Some(story.now.plus(Duration::from_secs(1_800))));
    assert!(story.after(1_799_999).happens(&Happening::Go).is_none(), "not before it is lifted");
    assert_eq!(steps_of(&story.after(1).happens(&Happening::Go)), ["check"]);
    assert_eq!(story.progress.left, left, "to wait for that is not its own time");
}

#[test]
fn a_limit_that_is_not_lifted_within_a_day_ends_the_run() {
    let mut story = Story::new(r#"steps = [{ name = "check", action = "look", retry = { max_attempts = 2 } }]"#);
    story.happens(&Happening::Go);
    let began = story.now;
    for attempt in 1..100 {
        story.fails(attempt, failure(ErrorClass::RateLimit).retry_after(Duration::from_secs(3_600)));
        let Some(wake) = story.progress.wake(story.now) else { break };
        story.now = wake;
        assert!(story.happens(&Happening::Go).is_some());
    }
    assert_eq!(story.status(), RunStatus::TimedOut);
    let hours = story.now.since(began).as_secs() / 3_600;
    assert!((22..=24).contains(&hours), "{hours}");
}

#[test]
fn whoever_refuses_again_and_again_is_left_alone_for_longer() {
    let mut story = Story::new(
        r#"steps = [{ name = "check", action = "look", retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } }]"#,
    );
    story.happens(&Happening::Go);
    let refused = failure(ErrorClass::RateLimit).retry_after(Duration::from_secs(3));
    let mut attempt = 0;
    let mut fails = |story: &mut Story, refusal: Failure, expect: u64| {
        attempt += 1;
        story.fails(attempt, refusal);
        let wake = story.progress.wake(story.now).expect("it waits");
        assert_eq!(wake.since(story.now), Duration::from_secs(expect), "after attempt {attempt}");
        story.now = wake;
        assert!(story.happens(&Happening::Go).is_some());
    };
    for expect in [3, 3, 4, 8] {
        fails(&mut story, refused.clone(), expect);
    }
    fails(&mut story, failure(ErrorClass::Network), 1);
    fails(&mut story, refused.clone(), 3);
    fails(&mut story, refused.clone().unsent(), 3);
}
