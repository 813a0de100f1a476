//! What outlives a process: the flushed journals, the provider's ledger, the clock; and what must hold of
//! them in the end.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::parts;
use super::process::Process;
use super::stories::{Canonical, Input, Plan, SEEN_AFTER, actions, is_in_parts};
use crate::executor::child;
use crate::executor::decide::Happening;
use crate::executor::failure::{ErrorClass, Failure};
use crate::executor::outages::Outages;
use crate::executor::port::{EffectClass, Outcome, Success};
use crate::executor::progress::Progress;
use crate::ids::{EventId, RunId};
use crate::run::{Entry, Ruling, RunRecord, RunStatus, Standing, StoredRun, What};
use crate::time::Timestamp;
use crate::wait::desk::Shelves;
use crate::wait::memory::MemoryShelves;
use crate::wait::record::{Resolution, WaitRecord, WaitState};
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::{Definition, Step};
use crate::workflow::spec::Defaults;

/// The process has ended.
pub struct Crash;

/// A call as the provider saw it.
pub struct Call {
    pub run: RunId,
    pub step: String,
    pub key: String,
    pub executed: bool,
    pub at: Timestamp,
    pub plan: Plan,
}

/// What outlives a process.
pub struct World<'a> {
    pub story: &'a Canonical,
    definition: Arc<Definition>,
    /// What its runs start.
    child: Option<Arc<Definition>>,
    pub now: Timestamp,
    /// What is flushed, by the order of the runs' starts.
    pub image: Vec<(RunRecord, Vec<Entry>)>,
    /// The waits, and the callbacks that are kept.
    pub shelves: MemoryShelves,
    /// The events that are in the log.
    pub events: BTreeSet<EventId>,
    pub inputs: VecDeque<(i64, Input)>,
    pub calls: Vec<Call>,
    pub points: usize,
    /// How many of the crashes have come.
    pub fired: usize,
    pub crashes: Vec<usize>,
}

impl<'a> World<'a> {
    pub fn new(story: &'a Canonical, crashes: &[usize]) -> Self {
        let workflows = [("w", Some(story.workflow)), ("v", story.child)];
        let specs =
            workflows.iter().filter_map(|(name, text)| Some(((*name).to_owned(), toml::from_str((*text)?).unwrap())));
        let catalog = Catalog::compile(specs.collect(), &Defaults::default(), &actions());
        let catalog = catalog.unwrap_or_else(|errors| panic!("{}: {errors:?}", story.name));
        Self {
            story,
            definition: Arc::clone(catalog.get("w").unwrap()),
            child: catalog.get("v").cloned(),
            now: Timestamp::from_millis(0),
            image: Vec::new(),
            shelves: MemoryShelves::default(),
            events: BTreeSet::new(),
            inputs: story.inputs.clone().into(),
            calls: Vec::new(),
            points: 0,
            fired: 0,
            crashes: crashes.to_vec(),
        }
    }

    /// A place where the process may end.
    pub fn point(&mut self) -> Result<(), Crash> {
        self.points += 1;
        let ends = self.crashes.contains(&self.points);
        self.fired += usize::from(ends);
        if ends { Err(Crash) } else { Ok(()) }
    }

    /// Processes follow each other until one comes to rest.
    pub fn come_to_rest(&mut self) {
        for _ in 0..10 {
            if Process::drive(self).is_ok() {
                return;
            }
            // It takes a moment until the next one is there.
            self.now = self.now.plus(Duration::from_millis(500));
        }
        panic!("{}: more processes than crashes", self.story.name);
    }

    /// When a run that is started now begins at the soonest.
    pub fn begins_at(&self) -> Option<Timestamp> {
        self.definition.debounce.as_ref().map(|debounce| self.now.plus(debounce.quiet))
    }

    /// What the run with this number is a run of.
    pub fn definition_of(&self, number: usize) -> Arc<Definition> {
        let (record, _) = &self.image[number];
        Arc::clone(if record.parent.is_some() { self.child.as_ref().unwrap() } else { &self.definition })
    }

    pub fn number_of(&self, run: RunId) -> usize {
        self.image.iter().position(|(record, _)| record.id == run).unwrap()
    }

    pub fn call(&mut self, number: usize, serial: u32, (step, key): (&str, &str)) -> Result<Outcome, Crash> {
        let (record, journal) = &self.image[number];
        let run = record.id;
        let recorded = matches!(journal.get(serial as usize), Some(Entry { what: What::Attempted { step: of, key: with, .. }, .. }) if of == step && with == key);
        assert!(recorded, "{}: a call of {step} without its attempt in the flushed journal", self.story.name);
        let before = self.calls.iter().filter(|call| call.step == step && call.run == run).count();
        let plan = self.plan_of(step, before);
        let executed = !matches!(plan, Plan::Refused(_) | Plan::Lost);
        let known = self.calls.iter().any(|call| call.key == key && call.executed);
        self.calls.push(Call { run, step: step.to_owned(), key: key.to_owned(), executed, at: self.now, plan });
        let waits = self.definition_of(number).step(step).is_some_and(|step| step.waits.is_some());
        let own = format!("codegen:run:{key}");
        if waits {
            let reserved = self.shelves.waits().any(|wait| wait.run.id == run && wait.step == step && wait.is_open());
            assert!(reserved, "{}: {step} was called without an open wait", self.story.name);
        }
        let calls_back = match plan {
            Plan::CallsBack(after) | Plan::CallsBackUnanswered(after) => Some(after),
            Plan::CallsBackSinceRestart(after) => key.ends_with("/1").then_some(after),
            Plan::EndsAndCallsBack(after, later) => Some(after + later),
            Plan::Fine | Plan::Refused(_) | Plan::Unanswered | Plan::Lost | Plan::Kills => None,
            Plan::FineSinceRestart => None,
            Plan::Ends(_) | Plan::EndsBadly(_) | Plan::EndsUnanswered(_) | Plan::CallsBackWhenAsked(_) => None,
        };
        if let Some(after) = calls_back {
            // Whoever recognises the key begins nothing again.
            if !known {
                self.schedule(self.now.millis() + after, Input::Call(100 + self.calls.len() as i64, own.clone()));
            }
        }
        Ok(match plan {
            Plan::Kills => return Err(Crash),
            Plan::Refused(class) => Err(Failure::new(class, "by plan")),
            Plan::Unanswered | Plan::Lost | Plan::CallsBackUnanswered(_) | Plan::EndsUnanswered(_) => {
                Err(Failure::new(ErrorClass::Timeout, "by plan").in_doubt())
            }
            _ if waits => Ok(Success::Waiting { keys: vec![own], output: json!({}) }),
            _ => Ok(Success::Done(json!({ "ok": true }))),
        })
    }

    /// What the provider does with a call of this step, or of this part of one, when there were so many before.
    pub fn plan_of(&self, step: &str, before: usize) -> Plan {
        let plans = self.story.plans.iter().find(|(of, _)| *of == step).map_or(&[][..], |(_, plans)| plans);
        plans.get(before).copied().unwrap_or(Plan::Fine)
    }

    /// Whether what has this key is there. What was done just now cannot be seen yet.
    pub fn look(&self, number: usize, serial: u32, (step, key): (&str, &str)) -> Outcome {
        let (_, journal) = &self.image[number];
        let recorded = matches!(journal.get(serial as usize), Some(Entry { what: What::Looking { step: of, .. }, .. }) if of == step);
        assert!(recorded, "{}: a look for {step} that is not in the flushed journal", self.story.name);
        let seen = |call: &Call| call.key == key && call.executed && call.at.millis() + SEEN_AFTER <= self.now.millis();
        match (self.calls.iter().any(seen), self.definition_of(number).step(step).unwrap().waits.is_some()) {
            (false, _) => Ok(Success::Absent),
            (true, true) => Ok(Success::Waiting { keys: vec![format!("codegen:run:{key}")], output: json!({}) }),
            (true, false) => Ok(Success::Done(json!({ "ok": true }))),
        }
    }

    /// What is said to whoever asks whether what this step of the run has begun is done.
    pub fn ask(&mut self, number: usize, step: &str) -> Option<Outcome> {
        let run = self.image[number].0.id;
        let begun = |call: &&Call| call.run == run && call.step == step && call.executed;
        let call = self.calls.iter().rfind(begun)?;
        let (after, outcome) = match call.plan {
            Plan::Ends(after)
            | Plan::EndsUnanswered(after)
            | Plan::EndsAndCallsBack(after, _)
            | Plan::CallsBackWhenAsked(after) => (after, Ok(Success::Done(json!({ "ok": true })))),
            Plan::EndsBadly(after) => (after, Err(Failure::new(ErrorClass::RunFailed, "by plan"))),
            _ => return None,
        };
        if self.now.millis() < call.at.millis() + after {
            return None;
        }
        if let Plan::CallsBackWhenAsked(_) = call.plan {
            let key = format!("codegen:run:{}", call.key);
            self.schedule(self.now.millis() + 5, Input::Call(100, key));
        }
        Some(outcome)
    }

    fn schedule(&mut self, at: i64, input: Input) {
        let place = self.inputs.iter().position(|(other, _)| *other > at).unwrap_or(self.inputs.len());
        self.inputs.insert(place, (at, input));
    }

    /// What the run with this number would hear of its waits, and of its parent's.
    pub fn answers(&mut self, number: usize, progress: &Progress) -> Vec<Happening> {
        let mut answers = Vec::new();
        for (_, wait) in progress.open_waits() {
            let Ok(Some(found)) = self.shelves.wait(wait.id) else { continue };
            let WaitState::Resolved { by, .. } = found.state else { continue };
            let child = progress.children().find(|(.., of)| *of == wait.id).map(|(_, run, _)| run);
            let (by, outcome) = match (by, child) {
                (Resolution::Callback(_), _) => (by, Ok(Success::Done(json!({ "ok": true })))),
                (Resolution::Run(run), _) => (by, self.outcome_of(run)),
                (_, Some(run)) if self.is_over(run) => (Resolution::Run(run), self.outcome_of(run)),
                _ => continue,
            };
            answers.push(Happening::Called(wait.id, by, outcome));
        }
        let record = self.image[number].0.clone();
        if !progress.is_over() && progress.leaving.is_none() {
            for above in record.lineage() {
                let Ok(Some(wait)) = self.shelves.wait(above.wait) else { panic!("the wait of a parent is gone") };
                answers.extend(child::hears(&record, &wait));
            }
        }
        answers
    }

    fn is_over(&self, run: RunId) -> bool {
        let (record, journal) = &self.image[self.number_of(run)];
        Progress::of(record, journal).is_over()
    }

    fn outcome_of(&self, run: RunId) -> Outcome {
        let (record, journal) = self.image[self.number_of(run)].clone();
        let head = Progress::of(&record, &journal).head(self.now);
        child::outcome(&StoredRun { record, head, journal })
    }
}

/// What must hold of a world at rest, however often the process ended.
pub fn check(world: &World<'_>) {
    let name = world.story.name;
    let statuses: Vec<RunStatus> =
        world.image.iter().map(|(record, journal)| Progress::of(record, journal).head(world.now).status).collect();
    assert_eq!(statuses, world.story.ends, "{name} {:?}: {:#?}", world.crashes, world.image);
    for wait in world.shelves.waits() {
        assert!(!wait.is_open(), "{name} {:?}: a wait is left open: {wait:#?}", world.crashes);
    }
    for (number, (record, journal)) in world.image.iter().enumerate() {
        let definition = world.definition_of(number);
        if let Some(parent) = &record.parent {
            let starts =
                |entry: &&Entry| matches!(&entry.what, What::Waiting { run: Some(run), .. } if *run == record.id);
            let (_, of_parent) = &world.image[world.number_of(parent.run)];
            assert_eq!(of_parent.iter().filter(starts).count(), 1, "{name}: a run whose parent does not know of it");
            let ends = |journal: &[Entry]| match journal.last() {
                Some(Entry { at, what: What::Ended { status, .. }, .. }) => (*at, *status),
                _ => panic!("{name}: it has not ended"),
            };
            let ((ended, _), (parent_ended, how)) = (ends(journal), ends(of_parent));
            assert!(ended <= parent_ended, "{name} {:?}: {how:?} before its child", world.crashes);
        }
        let used = journal.iter().filter_map(|entry| match &entry.what {
            What::Succeeded { step, event: Some(event), .. } => Some((step, event)),
            _ => None,
        });
        for (step, event) in used {
            let by = |wait: &&WaitRecord| matches!(wait.state, WaitState::Resolved { by: Resolution::Callback(by), .. } if by == *event);
            let own = world.shelves.waits().filter(by).filter(|wait| wait.run.id == record.id && wait.step == *step);
            assert_eq!(own.count(), 1, "{name}: {step} was called back by what its wait does not know");
        }
        let mut settled: HashSet<(u32, &str)> = HashSet::new();
        let mut keys: BTreeMap<(u32, &str), &str> = BTreeMap::new();
        let mut generation = 0;
        for Entry { what, .. } in journal {
            match what {
                What::Restarted { generation: next, .. } => generation = *next,
                What::Attempted { step, key, .. } => {
                    assert!(!settled.contains(&(generation, step)), "{name}: {step} again after its outcome");
                    assert_eq!(keys.entry((generation, step)).or_insert(key), key, "{name}: one key for all attempts");
                }
                What::Succeeded { step, .. }
                | What::Failed { step, retry_at: None, .. }
                | What::Skipped { step, .. }
                | What::Decided { step, ruling: Ruling::Done { .. }, .. } => {
                    assert!(settled.insert((generation, step)), "{name}: two outcomes of {step}");
                }
                _ => {}
            }
        }
        for entry in journal {
            let What::Succeeded { step, output, .. } = &entry.what else { continue };
            if definition.step(step).is_some_and(|step| is_in_parts(&step.action)) {
                parts::check(world, record.id, step, output);
            }
        }
        for step in &definition.steps {
            let Some(undo) = &step.undo else { continue };
            let happened = |name: &str| {
                journal.iter().any(|entry| matches!(&entry.what, What::Succeeded { step, .. } if step == name))
            };
            let over = matches!(journal.last(), Some(Entry { what: What::Ended { status, .. }, .. }) if *status != RunStatus::Succeeded && *status != RunStatus::Superseded);
            assert!(
                !over || happened(&step.name) == happened(&undo.name),
                "{name} {:?}: `{}` is left, or undone for nothing",
                world.crashes,
                step.name
            );
        }
        let undos = definition.steps.iter().filter_map(|step| step.undo.as_deref());
        let not_twice = |step: &&Step| matches!(step.class, EffectClass::Once | EffectClass::Probe);
        for step in definition.steps.iter().chain(undos).filter(not_twice) {
            let of = |call: &&Call| call.run == record.id && call.step == step.name && call.executed;
            let executed: Vec<&str> = world.calls.iter().filter(of).map(|call| call.key.as_str()).collect();
            let distinct: BTreeSet<&str> = executed.iter().copied().collect();
            assert_eq!(distinct.len(), executed.len(), "{name} {:?}: `{}` happened twice", world.crashes, step.name);
        }
        let progress = Progress::of(record, journal);
        let standing = progress.standing(&definition, world.now, &Outages::default());
        assert_eq!(standing, Standing::Over, "{name} {:?}: it stands still", world.crashes);
    }
}
