//! Runs that start other runs: what the child is, what its end says, and when it is not wanted any more.

use super::*;
use crate::event::{Facts, SourceName};
use crate::executor::decide::{Moment, decide};
use crate::executor::outages::Outages;
use crate::executor::story::{actions, record};
use crate::ids::WaitId;
use crate::run::{Entry, RunHead, SeenEvent, Standing};
use crate::time::Timestamp;
use crate::workflow::catalog::Catalog;
use crate::workflow::child::Child;
use crate::workflow::spec::Defaults;

const PARENT: &str = r#"steps = [{ name = "r", action = "run_workflow", deadline = "1m", with = { workflow = "v", input = { number = 7, text = "{{ input.text }}" } } }]"#;
const CHILD: &str = r#"
debounce = { key = "k", quiet = "3s" }
steps = [{ name = "x", action = "look", when = "input.number and facts.merged" }, { name = "y", action = "tell" }]"#;

fn family() -> Catalog {
    let specs = [("w", PARENT), ("v", CHILD)].map(|(name, text)| (name.to_owned(), toml::from_str(text).unwrap()));
    Catalog::compile(specs.into(), &Defaults::default(), &actions()).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A parent that has begun, and its child.
fn parent(seen: Option<SeenEvent>) -> (RunRecord, Decision) {
    let family = family();
    let input = [("text".to_owned(), Json::from("t"))].into_iter().collect();
    let subject = Some("o/r#1".to_owned());
    let run = RunRecord { input, subject, priority: 9, generation: 2, seen: seen.map(Box::new), ..record() };
    let moment = Moment { now: at(50), draining: false, outages: &Outages::default() };
    let decision = decide(&run, family.get("w").unwrap(), &Progress::new(&run), &Happening::Go, moment);
    (run, decision)
}

#[test]
fn a_child_is_of_the_same_event_and_pinned_with_its_parent() {
    let family = family();
    let v = family.get("v").unwrap();
    let pinned = Definition::from_content(&family.get("w").unwrap().content, &actions()).unwrap();
    assert_eq!(pinned.steps[0].child, Some(Child::from(v.as_ref())));
    assert_eq!(pinned.hash, family.get("w").unwrap().hash);
    assert!(pinned.reads_event, "what its child reads of the event, it must have");
    let seen = SeenEvent { source: SourceName::new("github"), received_at: at(1), facts: Facts::default() };
    let (run, decision) = parent(Some(seen.clone()));
    let [child] = decision.starts.as_slice() else { panic!("{:?}", decision.starts) };
    let (_, id, wait) = decision.progress.children().next().unwrap();
    let expect = RunRecord {
        id,
        workflow: "v".into(),
        definition: v.hash.clone(),
        input: serde_json::from_value(json!({ "number": 7, "text": "t" })).unwrap(),
        seen: Some(Box::new(seen)),
        started_at: at(50),
        begins_at: Some(at(3_050)),
        parent: Some(Box::new(Parent { run: run.id, workflow: "w".into(), step: "r".into(), wait, above: vec![] })),
        ..run
    };
    assert_eq!(*child, expect);
    assert_eq!(decision.executes, [], "it takes no attempt");
}

#[test]
fn an_attempt_of_a_child_depends_on_its_parent_and_its_end_says_so() {
    let (_, decision) = parent(None);
    let child = &decision.starts[0];
    let wait = child.parent.as_ref().unwrap().wait;
    let family = family();
    let happens = |progress: &Progress, happening: &Happening, now| {
        let moment = Moment { now: at(now), draining: false, outages: &Outages::default() };
        decide(child, family.get("v").unwrap(), progress, happening, moment)
    };
    let begun = happens(&Progress::new(child), &Happening::Go, 4_000);
    let serial = begun.executes[0].serial;
    assert_eq!(begun.waits, [WaitChange::Want { wait, run: child.id }]);
    let ended = happens(&begun.progress, &Happening::Ended(serial, Ok(Success::Done(Json::Null))), 4_010);
    assert!(ended.progress.is_over());
    assert_eq!(ended.waits, [WaitChange::Return { wait, run: child.id }]);
    let head = ended.progress.head(at(4_010));
    assert!(head.child && RunHead { status: RunStatus::Failed, ..head }.dead_since().is_none(), "it is its parent's");
}

#[test]
fn a_child_that_is_not_wanted_any_more_hears_of_it() {
    let (run, decision) = parent(None);
    let child = &decision.starts[0];
    let Some(WaitChange::Reserve(wait)) = decision.waits.first() else { panic!("{:?}", decision.waits) };
    let resolved = |by| WaitRecord { state: WaitState::Resolved { by, at: at(9) }, ..WaitRecord::clone(wait) };
    let heard = |by: Resolution| match hears(child, &resolved(by)) {
        Some(Happening::Told(Command::Cancel { reason })) => Some(reason),
        None => None,
        other => panic!("{other:?}"),
    };
    assert!(hears(child, wait).is_none());
    assert_eq!(heard(Resolution::Run(child.id)), None, "also when it is begun again");
    let parent = run.id;
    let expect = format!("{parent}, which has started it, did not wait any longer for it");
    assert_eq!(heard(Resolution::Timeout), Some(expect));
    let expect = format!("{parent}, which has started it, does not want it any more");
    assert_eq!(heard(Resolution::Cancel), Some(expect));
    let Some(Happening::Superseded(reason)) = hears(child, &resolved(Resolution::Supersede)) else { panic!() };
    assert_eq!(reason, format!("{parent}, which has started it, makes way for a newer run"));
}

#[test]
fn the_first_end_of_a_run_is_what_its_parent_hears() {
    let record = RunRecord { id: RunId::from_bytes([7; 16]), workflow: "v".into(), ..record() };
    let entry = |what| Entry::new(at(1), what);
    let done = What::Succeeded { step: "x".into(), attempt: 1, output: json!(5), assumed: false, event: None };
    let ended = |status, reason: Option<&str>| What::Ended { status, reason: reason.map(str::to_owned) };
    let heard = |journal: Vec<What>| {
        let journal: Vec<Entry> = journal.into_iter().map(entry).collect();
        let head = Progress::of(&record, &journal).head(at(1));
        outcome(&StoredRun { record: record.clone(), head, journal })
    };
    let expect = json!({ "run": record.id, "workflow": "v", "status": "succeeded", "outputs": { "x": 5 } });
    assert_eq!(heard(vec![done, ended(RunStatus::Succeeded, None)]), Ok(Success::Done(expect)));
    let again = What::Restarted { steps: vec!["x".into()], generation: 1 };
    let failed = heard(vec![ended(RunStatus::Failed, Some("no")), again]).unwrap_err();
    let expect = format!("run_failed: {} of `v` ended as failed: no", record.id);
    assert_eq!(failed.to_string(), expect, "although it was begun again");
    assert!(!failed.class.is_retryable());
}

#[test]
fn whoever_ends_tells_the_runs_that_it_has_started() {
    let (run, decision) = parent(None);
    let family = family();
    let definition = family.get("w").unwrap();
    let cancel = Happening::Told(Command::Cancel { reason: "x".into() });
    let moment = Moment { now: at(60), draining: false, outages: &Outages::default() };
    let cancelled = decide(&run, definition, &decision.progress, &cancel, moment);
    assert_eq!(left(definition, &decision.progress, &cancelled), [("v".to_owned(), decision.starts[0].id)]);
    let (leaving, now) = (&cancelled.progress, at(60));
    assert_eq!(leaving.head(now).status, RunStatus::Waiting, "it ends when that has ended");
    assert_eq!(leaving.standing(definition, now, &Outages::default()), Standing::Parked);
    let wait = WaitId::derive(run.id, 1);
    let by = Resolution::Run(decision.starts[0].id);
    let called = Happening::Called(wait, by, Ok(Success::Done(Json::Null)));
    let ended = decide(&run, definition, &decision.progress, &called, moment);
    assert!(ended.progress.is_over());
    assert_eq!(left(definition, &decision.progress, &ended), [], "that one has ended by itself");
}

#[test]
fn nobody_is_wanted_whose_ancestors_are_not() {
    let (parent, decision) = parent(None);
    let child = &decision.starts[0];
    let Some(WaitChange::Reserve(of_child)) = decision.waits.first() else { panic!("{:?}", decision.waits) };
    let own = WaitId::from_bytes([9; 16]);
    let start = Parent { run: child.id, workflow: "v".into(), step: "s".into(), wait: own, above: child.lineage() };
    let grandchild = RunRecord { id: RunId::from_bytes([8; 16]), parent: Some(Box::new(start)), ..child.clone() };
    let wants =
        [WaitChange::Want { wait: own, run: grandchild.id }, WaitChange::Want { wait: of_child.id, run: child.id }];
    assert_eq!(is_wanted(&grandchild), wants);
    assert!(hears(&grandchild, of_child).is_none());
    let state = WaitState::Resolved { by: Resolution::Cancel, at: at(9) };
    let cancelled = WaitRecord { state, ..WaitRecord::clone(of_child) };
    let Some(Happening::Told(Command::Cancel { reason })) = hears(&grandchild, &cancelled) else {
        panic!("it is wanted")
    };
    assert_eq!(reason, format!("{}, far above, does not want what has started it any more", parent.id));
}

#[test]
fn a_doubt_poison_and_a_newer_run_are_told_to_the_parent() {
    let record = RunRecord { id: RunId::from_bytes([7; 16]), workflow: "v".into(), ..record() };
    let heard = |journal: Vec<What>| {
        let journal: Vec<Entry> = journal.into_iter().map(|what| Entry::new(at(1), what)).collect();
        let head = Progress::of(&record, &journal).head(at(1));
        outcome(&StoredRun { record: record.clone(), head, journal })
    };
    let ended = |status| What::Ended { status, reason: None };
    let parked = What::Parked { step: "x".into(), attempt: 1, reason: "x".into() };
    assert!(heard(vec![parked, ended(RunStatus::Cancelled)]).unwrap_err().in_doubt);
    let error = Failure::new(ErrorClass::Internal, "x").poison();
    let fell = What::Failed { step: "x".into(), attempt: 1, error, retry_at: None, unclear: None, fatal: false };
    assert!(heard(vec![fell, ended(RunStatus::Failed)]).unwrap_err().poison);
    assert!(matches!(heard(vec![ended(RunStatus::Superseded)]), Ok(Success::Superseded(_))));
    let (run, decision) = parent(None);
    let (_, child, wait) = decision.progress.children().next().unwrap();
    let doubt = Err(Failure::new(ErrorClass::RunFailed, "x").in_doubt());
    let called = Happening::Called(wait, Resolution::Run(child), doubt);
    let moment = Moment { now: at(60), draining: false, outages: &Outages::default() };
    let parked = decide(&run, family().get("w").unwrap(), &decision.progress, &called, moment);
    assert_eq!(parked.progress.head(at(60)).status, RunStatus::NeedsDecision);
}
