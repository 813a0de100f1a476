//! What was promised about runs, each promise a function of the evidence. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::evidence::Evidence;
use super::journal::{Entry, entries, is_over, millis, text, tried};
use super::stories::Told;

/// Milliseconds between the world's look at the clock and the server's that say nothing.
const SLACK: i64 = 250;

/// Attempts of each step in `stories.toml`, those of an undo apart.
const MOST_ATTEMPTS: usize = 4;

/// A promise, and how it was kept.
#[derive(Debug)]
pub struct Checked {
    /// The promise.
    pub promise: &'static str,
    /// How often there was something to hold it against.
    pub looked_at: usize,
    /// What breaks it.
    pub broken: Vec<String>,
}

/// A promise and what holds it against the evidence.
type Promise = (&'static str, fn(&Evidence, &mut Looks));

/// Holds every promise against the evidence.
pub fn check(evidence: &Evidence) -> Vec<Checked> {
    const PROMISES: [Promise; 11] = [
        ("every run ends", every_run_ends),
        ("what is recorded as done is not done again", done_stays_done),
        ("a call follows the record of its attempt", calls_follow_attempts),
        ("no call comes after the outcome of its step", no_call_after_the_outcome),
        ("what must be done once is done at most once", once_at_most_once),
        ("all attempts of a step have one key", one_key),
        ("what carries its key is done once", keyed_once),
        ("timers are never early", timers_never_early),
        ("retries stay within their budget", within_budget),
        ("each wait is resolved once, by whoever was first", waits_resolved_once),
        ("what was done is undone", done_is_undone),
    ];
    let checked = PROMISES.iter().map(|(promise, hold)| {
        let mut looks = Looks::default();
        hold(evidence, &mut looks);
        Checked { promise, looked_at: looks.count, broken: looks.broken }
    });
    checked.collect()
}

/// What was looked at.
#[derive(Default)]
struct Looks {
    count: usize,
    broken: Vec<String>,
}

impl Looks {
    fn look(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.count += 1;
        if !holds {
            self.broken.push(otherwise());
        }
    }
}

fn id(run: &Value) -> &str {
    text(run, "id")
}

fn every_run_ends(evidence: &Evidence, looks: &mut Looks) {
    for run in &evidence.runs {
        let (status, workflow) = (text(run, "status"), text(run, "workflow"));
        let expected: &[&str] = if workflow == "undoes" { &["failed"] } else { &["succeeded", "failed"] };
        looks.look(expected.contains(&status), || {
            let (id, step, reason) = (id(run), &run["step"], &run["reason"]);
            format!("{id} ({workflow}) is {status} at {step}: {reason}")
        });
    }
    for Told { number, workflow, run, .. } in &evidence.told {
        let is_its_own = |run: &Value| text(run, "workflow") == *workflow && run["input"]["number"] == *number;
        let ended = evidence.run(run).is_some_and(|run| is_over(run) && is_its_own(run));
        looks.look(ended, || format!("{run} of story {number} has ended, and is not over"));
    }
}

fn done_stays_done(evidence: &Evidence, looks: &mut Looks) {
    for run in &evidence.runs {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for entry in entries(run) {
            match entry.what() {
                "attempted" | "succeeded" | "delayed" | "waiting" => {
                    looks.look(!done.contains(entry.step()), || format!("{} {} is done again", id(run), entry.step()));
                }
                "restarted" => entry.done_again().for_each(|step| _ = done.remove(step)),
                _ => {}
            }
            if entry.what() == "succeeded" || entry.value("/ruling/decision").is_some_and(|ruling| ruling == "done") {
                done.insert(entry.step());
            }
        }
    }
}

fn calls_follow_attempts(evidence: &Evidence, looks: &mut Looks) {
    let tried = tried(&evidence.runs);
    let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
    for call in &evidence.calls {
        let Some(key) = call.key.as_deref() else { continue };
        let made = calls.entry(key).or_default();
        *made += 1;
        let attempts = tried.get(key);
        looks.look(
            attempts.is_some_and(|tried| tried.attempts >= *made && tried.first_at <= call.at_ms + SLACK),
            || format!("call {} of {key} has no attempt: {attempts:?}", call.number),
        );
    }
    // What only looks carries no key, and is known by the number in its path.
    for run in evidence.runs.iter().filter(|run| text(run, "workflow") == "retries") {
        let path = format!("/look/{}", run["input"]["number"]);
        let calls = evidence.calls.iter().filter(|call| call.path == path).count();
        let attempts = entries(run).filter(|entry| entry.what() == "attempted" && entry.step() == "look").count();
        looks.look(calls <= attempts, || format!("{} looked {calls} times in {attempts} attempts", id(run)));
    }
}

fn no_call_after_the_outcome(evidence: &Evidence, looks: &mut Looks) {
    let tried = tried(&evidence.runs);
    for call in &evidence.calls {
        let done_at = call.key.as_deref().and_then(|key| tried.get(key)?.done_at);
        if let Some(done_at) = done_at {
            looks.look(call.at_ms <= done_at + SLACK, || {
                format!("call {} of {:?} came {} ms after its outcome", call.number, call.key, call.at_ms - done_at)
            });
        }
    }
}

fn once_at_most_once(evidence: &Evidence, looks: &mut Looks) {
    let paid = evidence.calls.iter().filter(|call| call.path.starts_with("/pay/"));
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for call in paid {
        *times.entry(call.path.as_str()).or_default() += usize::from(call.executed);
    }
    let released = evidence.lines.iter().filter(|(file, _)| file.starts_with("release-"));
    for (what, times) in times.into_iter().chain(released.map(|(file, lines)| (file.as_str(), *lines))) {
        looks.look(times <= 1, || format!("{what} was done {times} times"));
    }
}

fn one_key(evidence: &Evidence, looks: &mut Looks) {
    for run in &evidence.runs {
        let mut generation = 0;
        for entry in entries(run) {
            generation = entry.value("/generation").and_then(Value::as_u64).unwrap_or(generation);
            if entry.what() == "attempted" {
                let first = format!("{}/{}", id(run), entry.step());
                let expected = if generation == 0 { first } else { format!("{first}/{generation}") };
                looks.look(entry.text("key") == expected, || format!("{} instead of {expected}", entry.text("key")));
            }
        }
    }
}

fn keyed_once(evidence: &Evidence, looks: &mut Looks) {
    let tried = tried(&evidence.runs);
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    for key in &evidence.things {
        *made.entry(key.as_deref().unwrap_or("(no key)")).or_default() += 1;
    }
    for (key, times) in made {
        looks.look(times == 1 && tried.contains_key(key), || format!("{key} was made {times} times"));
    }
}

fn timers_never_early(evidence: &Evidence, looks: &mut Looks) {
    for run in &evidence.runs {
        let mut until: BTreeMap<&str, i64> = BTreeMap::new();
        for entry in entries(run) {
            match entry.what() {
                "delayed" => _ = entry.millis("/until").map(|time| until.insert(entry.step(), time)),
                "failed" => _ = entry.millis("/retry_at").map(|time| until.insert(entry.step(), time)),
                "attempted" | "succeeded" => {
                    if let Some(until) = until.remove(entry.step()) {
                        let early = until - entry.at();
                        looks.look(early <= 0, || format!("{} {} was {early} ms early", id(run), entry.step()));
                    }
                }
                "restarted" => until.clear(),
                _ => {}
            }
        }
    }
}

/// Whether a failure uses up an attempt: none that was held back by a limit of ours, or whose provider has done nothing and
/// said when to come again.
fn costs(entry: Entry<'_>) -> bool {
    let said = |pointer: &str| entry.value(pointer).cloned().unwrap_or_default();
    let is_told_when = said("/error/class") == "rate_limit" && said("/error/retry_after_ms").as_u64() > Some(0);
    said("/error/unsent") != true && !(is_told_when && said("/error/in_doubt") != true)
}

fn within_budget(evidence: &Evidence, looks: &mut Looks) {
    for run in &evidence.runs {
        let mut failures: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in entries(run) {
            match entry.what() {
                "failed" if !entry.step().starts_with("undo/") && costs(entry) => {
                    let failures = failures.entry(entry.step()).or_default();
                    *failures += 1;
                    let (run, step) = (id(run), entry.step());
                    looks.look(*failures <= MOST_ATTEMPTS, || format!("{run} {step} has failed {failures} times"));
                }
                "restarted" => failures.clear(),
                _ => {}
            }
        }
    }
}

fn waits_resolved_once(evidence: &Evidence, looks: &mut Looks) {
    let mut waits: BTreeMap<&str, &Value> = evidence.waits.iter().map(|wait| (text(wait, "id"), wait)).collect();
    for run in &evidence.runs {
        for entry in entries(run).filter(|entry| entry.what() == "waiting") {
            let wait = entry.value("/wait/id").and_then(Value::as_str).and_then(|id| waits.remove(id));
            let problem = match wait {
                Some(wait) => wrong_with_wait(evidence, run, entry, wait),
                None => Some("is not in the list".to_owned()),
            };
            looks.look(problem.is_none(), || format!("the wait of {}: {}", id(run), problem.unwrap_or_default()));
        }
    }
    for (wait, _) in waits {
        looks.look(false, || format!("{wait} is in no journal"));
    }
}

/// What is wrong with how a wait ended, if anything is.
fn wrong_with_wait(evidence: &Evidence, run: &Value, reserved: Entry<'_>, wait: &Value) -> Option<String> {
    let called = evidence.told.iter().find(|told| told.run == id(run)).and_then(|told| told.called.as_ref());
    let ends = entries(run).filter(|entry| entry.step() == reserved.step() && entry.what() != "waiting");
    let ends: Vec<Entry<'_>> = ends.collect();
    let [end] = ends.as_slice() else { return Some(format!("it has ended {} times", ends.len())) };
    let deadline = millis(wait, "/deadline").unwrap_or_default();
    let became = called.and_then(|called| evidence.callbacks.get(&called.event));
    let completed = became.is_some_and(|event| text(event, "status") == "completed_wait");
    match (text(wait, "status"), text(wait, "resolvedBy"), end.what()) {
        ("resolved", "callback", "succeeded") => {
            let event = text(wait, "event");
            let is_its_own = called.is_none_or(|called| called.event == event) && end.text("event") == event;
            let problem = format!("{event} has called it back, of {called:?}, which became {became:?}");
            (!is_its_own || called.is_some() && !completed).then_some(problem)
        }
        ("resolved", "timeout", "failed") => {
            let resolved = millis(wait, "/resolvedAt").unwrap_or_default();
            let in_time = called.filter(|called| called.at + SLACK < deadline);
            let problem =
                format!("it was {resolved} when its time was up, to be {deadline}, called back by {called:?}");
            (resolved < deadline || end.at() < deadline || in_time.is_some() || completed).then_some(problem)
        }
        (status, by, end) => Some(format!("it is {status} by {by}, and its step has {end}")),
    }
}

fn done_is_undone(evidence: &Evidence, looks: &mut Looks) {
    let made: BTreeMap<&str, usize> =
        evidence.things.iter().zip(1..).filter_map(|(key, number)| Some((key.as_deref()?, number))).collect();
    for run in evidence.runs.iter().filter(|run| text(run, "workflow") == "undoes") {
        let is_done = |step: &str| entries(run).any(|entry| entry.step() == step && entry.what() == "succeeded");
        if is_done("make") {
            let key = format!("{}/make", id(run));
            let taken_away = made.get(key.as_str()).is_some_and(|number| evidence.taken_away.contains(number));
            looks.look(is_done("undo/make") && taken_away, || format!("what {} has made is still there", id(run)));
        }
    }
}

#[cfg(test)]
#[path = "promises_tests.rs"]
mod tests;
