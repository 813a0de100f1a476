//! What outlives every process: the store, the provider, the time. And what must hold of each change of it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::executor::decide::Decision;
use pointsman_actors::executor::port::EffectClass;
use pointsman_actors::executor::progress::Progress;
use pointsman_actors::ids::{EventId, RunId};
use pointsman_actors::run::{Entry, Ruling, RunRecord, RunStatus, What};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::desk::{self, Shelves};
use pointsman_actors::wait::memory::MemoryShelves;
use pointsman_actors::wait::record::{Callback, WaitState};

use crate::process::Process;
use crate::rules;
use crate::seen::{Seen, print};
use crate::setup::{Budget, EVENT, LISTENED, SOURCE, Setup, WORKFLOW};

/// A state of the model.
#[allow(clippy::derived_hash_with_manual_eq, reason = "states are equal when what is hashed of them is")]
#[derive(Clone, Debug, Hash)]
pub struct World {
    /// The time.
    pub now: Timestamp,
    /// The runs that have come, in the order of their coming.
    pub runs: Vec<Run>,
    /// What orders those that have not.
    pub to_come: Vec<i64>,
    /// Waits, and callbacks that are kept.
    pub shelves: Seen<MemoryShelves>,
    /// The events in the log that call back.
    pub events: Vec<Seen<(EventId, Callback)>>,
    /// Requests that are on their way, at work, or astray.
    pub calls: Vec<Call>,
    /// Those who share the store.
    pub processes: Vec<Process>,
    /// What may still happen.
    pub left: Budget,
    /// The order of the run that had the last effect.
    pub last_effect: Option<i64>,
    /// Whether one that was stopped has gone on.
    pub is_shared: bool,
    /// The rule that was broken on the way here.
    pub broken: Option<&'static str>,
}

/// A run, as far as it is durable, and what the provider has of it.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it was started with.
    pub record: Arc<RunRecord>,
    /// Its journal.
    pub journal: Arc<Vec<Entry>>,
    print: u64,
    /// Its journal, folded.
    pub progress: Arc<Progress>,
    /// What the provider has begun, by key.
    pub jobs: BTreeMap<String, u8>,
    /// Whether an operator was answered that no attempt will be begun.
    pub is_quiet: bool,
}

/// A request to the provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Who sent it.
    pub process: usize,
    /// For which run.
    pub run: usize,
    /// For which attempt.
    pub serial: u32,
    /// The step's place in the workflow.
    pub step: usize,
    /// The key that it carries.
    pub key: String,
    /// Whether the action has seen that no newer order is there.
    pub has_looked: bool,
    /// Whether the effect has happened.
    pub executed: bool,
    /// Whether its sender waits for the answer.
    pub is_awaited: bool,
}

/// What the store says to an addition to a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    /// It is there, and perhaps a wait of it has found its callback.
    Applied {
        /// Whether one has.
        completed: bool,
    },
    /// A condition did not hold.
    Stale,
    /// Nobody knows.
    Unknown,
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        print(self) == print(other)
    }
}

impl Hash for Run {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.record.id, self.print, &self.jobs, self.is_quiet).hash(hasher);
    }
}

impl Run {
    fn new(order: i64, at: Timestamp) -> Self {
        let event = EventId::first_at(Timestamp::from_millis(order));
        let record = RunRecord {
            id: RunId::derive(WORKFLOW, event, "r", 0),
            workflow: WORKFLOW.into(),
            definition: "d".into(),
            event,
            route: "r".into(),
            generation: 0,
            priority: 5,
            subject: None,
            fair_key: None,
            input: [("order".to_owned(), order.into())].into_iter().collect(),
            started_at: at,
            seen: None,
            parent: None,
            begins_at: None,
        };
        let progress = Arc::new(Progress::new(&record));
        Self {
            record: Arc::new(record),
            journal: Arc::default(),
            print: 0,
            progress,
            jobs: BTreeMap::new(),
            is_quiet: false,
        }
    }

    /// What orders it.
    pub fn order(&self) -> i64 {
        self.record.input.get("order").and_then(serde_json::Value::as_i64).unwrap_or_default()
    }

    fn extend(&mut self, entries: &[Entry]) {
        let mut progress = Progress::clone(&self.progress);
        entries.iter().for_each(|entry| progress.add(entry));
        self.progress = Arc::new(progress);
        Arc::make_mut(&mut self.journal).extend_from_slice(entries);
        self.print = print(&format!("{}{entries:?}", self.print));
    }
}

impl World {
    /// Before anything has happened.
    pub fn new(setup: &Setup) -> Self {
        let mut processes: Vec<Process> = (0..setup.processes).map(|_| Process::new(setup)).collect();
        processes[0].start(setup);
        Self {
            now: Timestamp::default(),
            runs: Vec::new(),
            to_come: setup.orders.clone(),
            shelves: Seen::of(MemoryShelves::default()),
            events: Vec::new(),
            calls: Vec::new(),
            processes,
            left: setup.budget,
            last_effect: None,
            is_shared: false,
            broken: None,
        }
    }

    /// A rule does not hold. The first one that does not is remembered.
    pub fn breaks(&mut self, rule: &'static str) {
        self.broken.get_or_insert(rule);
    }

    /// A run comes: durable with its event. Each comes at a time of its own.
    pub fn arrive(&mut self, order: i64) -> usize {
        self.to_come.retain(|other| *other != order);
        self.now = self.now.plus(Duration::from_millis(1));
        self.runs.push(Run::new(order, self.now));
        self.runs.len() - 1
    }

    /// The number of a run.
    pub fn number_of(&self, run: RunId) -> usize {
        self.runs.iter().position(|other| other.record.id == run).unwrap_or_else(|| panic!("{run} has not come"))
    }

    /// The commit of what a run has decided: the conditions of the store, and what every change must keep.
    pub fn advance(&mut self, setup: &Setup, number: usize, revision: u32, decision: &Decision) -> Heard {
        let mut shelves = self.shelves.copy();
        let Ok(holds) = desk::holds(&mut shelves, &decision.waits);
        if !holds || self.runs[number].progress.revision != revision {
            return Heard::Stale;
        }
        let at = decision.entries.last().map_or(self.now, |last| last.at);
        let Ok(early) = desk::change(&mut shelves, &decision.waits, at);
        self.put_shelves(shelves);
        for entry in &decision.entries {
            self.may_follow(setup, number, &entry.what);
        }
        let run = &mut self.runs[number];
        run.extend(&decision.entries);
        if *run.progress != decision.progress {
            self.breaks(rules::FOLD);
        }
        if !has_one_outcome_each(&self.runs[number].journal) {
            self.breaks(rules::ONE_OUTCOME);
        }
        Heard::Applied { completed: !early.is_empty() }
    }

    /// What must hold when this is added to a journal.
    fn may_follow(&mut self, setup: &Setup, number: usize, what: &What) {
        match what {
            What::Attempted { step, wait, .. } => {
                let run = &self.runs[number];
                let is_superseded = matches!(run.progress.leaving, Some((RunStatus::Superseded, _)));
                let waits = setup.definition.step(step).is_some_and(|step| step.waits.is_some());
                let mut shelves = self.shelves.copy();
                let is_reserved = wait.is_some_and(|wait| matches!(shelves.wait(wait.id), Ok(Some(_))));
                if run.is_quiet {
                    self.breaks(rules::SILENT);
                }
                if is_superseded {
                    self.breaks(rules::MAKES_WAY);
                }
                if waits && !is_reserved {
                    self.breaks(rules::INTENT);
                }
            }
            What::Resumed | What::Restarted { .. } => self.runs[number].is_quiet = false,
            _ => {}
        }
    }

    /// Waits change: what is resolved stays as it is, and nobody waits for what is in the log.
    pub fn put_shelves(&mut self, shelves: MemoryShelves) {
        let mut after = shelves.clone();
        for before in self.shelves.copy().waits().filter(|wait| !wait.is_open()) {
            let Ok(now) = after.wait(before.id);
            if now.is_none_or(|now| now.state != before.state) {
                self.breaks(rules::RESOLVED_ONCE);
            }
        }
        let is_called = |wait: &&_| rules::is_called(&self.events, wait);
        if shelves.waits().filter(|wait| wait.state == WaitState::Open).any(|wait| is_called(&wait)) {
            self.breaks(rules::DELIVERED);
        }
        self.shelves = Seen::of(shelves);
    }

    /// An event comes that calls back under this key; the runs whose waits it completes.
    pub fn call_back(&mut self, key: &str) -> Vec<RunId> {
        let event = EventId::first_at(Timestamp::from_millis(1_000 + self.events.len() as i64));
        let callback = Callback {
            source: SOURCE.into(),
            event_type: EVENT.into(),
            action: None,
            keys: vec![key.to_owned()],
            received_at: self.now,
            until: self.now.plus(Duration::from_secs(3_600)),
            awaited: true,
        };
        let mut shelves = self.shelves.copy();
        let Ok(called) = desk::call(&mut shelves, event, &callback);
        self.events.push(Seen::shown((event, callback)));
        self.put_shelves(shelves);
        called.completed.into_iter().map(|wait| wait.run).collect()
    }

    /// A request leaves a process: what it is about must be durable by then.
    pub fn leaves(&mut self, setup: &Setup, call: Call) {
        let run = &self.runs[call.run];
        let step = &setup.definition.steps[call.step];
        let entry = run.journal.get(call.serial as usize).map(|entry| &entry.what);
        let reserved = match entry {
            Some(What::Attempted { step: of, key, wait, .. }) if *of == step.name && *key == call.key => Some(*wait),
            _ => None,
        };
        let mut shelves = self.shelves.copy();
        let is_intended = reserved.is_some_and(|wait| match wait {
            None => step.waits.is_none(),
            Some(wait) => matches!(shelves.wait(wait.id), Ok(Some(_))),
        });
        // One that was stopped may go on with what was written down before.
        let is_quiet = run.is_quiet && self.processes.len() == 1;
        let is_superseded = matches!(run.progress.leaving, Some((RunStatus::Superseded, _))) || run.progress.is_over();
        let beside = self.calls.iter().filter(|other| other.is_awaited && other.run != call.run).count();
        if !is_intended {
            self.breaks(rules::INTENT);
        }
        if is_quiet {
            self.breaks(rules::SILENT);
        }
        if is_superseded && self.processes.len() == 1 {
            self.breaks(rules::MAKES_WAY);
        }
        if beside >= setup.slots {
            self.breaks(rules::SLOTS);
        }
        if beside > 0 && setup.definition.concurrency.is_some() {
            self.breaks(rules::BESIDE);
        }
        self.calls.push(call);
    }

    /// The provider does what it was asked. It begins nothing again under a key that it knows.
    pub fn execute(&mut self, setup: &Setup, number: usize) {
        self.calls[number].executed = true;
        let Call { run, step, ref key, .. } = self.calls[number];
        let key = key.clone();
        let run = &mut self.runs[run];
        let (order, step) = (run.order(), &setup.definition.steps[step]);
        let times = run.jobs.entry(key).or_default();
        *times = times.saturating_add(1);
        let again = |entry: &&Entry| matches!(&entry.what, What::Decided { ruling: Ruling::Repeat, .. });
        let allowed = 1 + run.journal.iter().filter(again).count();
        let too_often = step.class == EffectClass::Once && usize::from(*times) > allowed;
        self.last_effect = Some(order);
        if too_often {
            self.breaks(rules::ONCE);
        }
    }

    /// Nobody waits for the answer to a call any more.
    pub fn abandon(&mut self, setup: &Setup, of: impl Fn(&Call) -> bool) {
        self.calls.iter_mut().filter(|call| of(call)).for_each(|call| call.is_awaited = false);
        self.calls.retain(|call| call.is_awaited || (setup.strays && !call.executed));
    }

    /// The keys that may be called back: those of what the provider has begun, and what steps only wait for.
    pub fn callable(&self, setup: &Setup) -> Vec<String> {
        let begun = self.runs.iter().flat_map(|run| run.jobs.keys()).map(|key| format!("codegen:run:{key}"));
        let waits_only = setup.definition.steps.iter().any(|step| step.is_engines_own());
        begun.chain(waits_only.then(|| LISTENED.to_owned())).collect()
    }
}

/// Whether each step has at most one outcome in each generation.
fn has_one_outcome_each(journal: &[Entry]) -> bool {
    let (mut generation, mut settled) = (0, Vec::new());
    journal.iter().all(|entry| match &entry.what {
        What::Restarted { generation: next, .. } => {
            generation = *next;
            true
        }
        What::Succeeded { step, .. }
        | What::Failed { step, retry_at: None, .. }
        | What::Skipped { step, .. }
        | What::Decided { step, ruling: Ruling::Done { .. }, .. } => {
            let is_first = !settled.contains(&(generation, step));
            settled.push((generation, step));
            is_first
        }
        _ => true,
    })
}
