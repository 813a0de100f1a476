//! A run as tests drive it, decision by decision: its journal is flushed at once, and what it does with waits holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};

use super::decide::{Execute, Happening, Moment, decide};
use super::failure::{ErrorClass, Failure};
use super::outages::Outages;
use super::port::{
    Accepts, Action, ActionInfo, Actions, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, WaitInfo, Working,
};
use super::progress::Progress;
use crate::ids::{EventId, RunId};
use crate::run::{Entry, RunRecord, RunStatus, What};
use crate::time::Timestamp;
use crate::wait::desk;
use crate::wait::memory::MemoryShelves;
use crate::workflow::child::Children;
use crate::workflow::definition::Definition;
use crate::workflow::spec::Defaults;

struct Nothing(&'static ActionInfo);

impl Action for Nothing {
    fn info(&self) -> &'static ActionInfo {
        self.0
    }

    fn unavailable(&self) -> Option<String> {
        (self.0.name == OFFLINE.name).then(|| "nobody has connected it".to_owned())
    }

    fn execute(&self, _: Attempt) -> Working<Outcome> {
        unreachable!("nothing is executed here")
    }
}

static LOOK: ActionInfo = ActionInfo {
    name: "look",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[],
    timeout: None,
    waits: None,
    services: &[],
};
/// The same, at a service.
static LOOK_THERE: ActionInfo = ActionInfo {
    name: "look_there",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[],
    timeout: None,
    waits: None,
    services: &["codegen"],
};
/// Starts something that calls back.
static TRIGGER: ActionInfo = ActionInfo {
    name: "trigger",
    class: EffectClass::Once,
    on_doubt: OnDoubt::Park,
    parameters: &[],
    timeout: None,
    waits: Some(WaitInfo {
        kind: "codegen:run",
        source: "codegen",
        event: "generation",
        actions: &["complete", "failed"],
    }),
    services: &["codegen"],
};
/// Makes something that can be seen afterwards.
static MAKE: ActionInfo = ActionInfo {
    name: "make",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[],
    timeout: None,
    waits: None,
    services: &["codegen"],
};
/// Whoever gets it recognises its key.
static PUT: ActionInfo = ActionInfo {
    name: "put",
    class: EffectClass::Keyed,
    on_doubt: OnDoubt::Repeat,
    parameters: &[Parameter { name: "text", accepts: Accepts::Text, default: Some("-") }],
    timeout: None,
    waits: None,
    services: &[],
};
/// The same, and it calls back.
static ORDER: ActionInfo = ActionInfo {
    name: "order",
    class: EffectClass::Keyed,
    on_doubt: OnDoubt::Repeat,
    parameters: &[],
    timeout: None,
    waits: Some(WaitInfo { kind: "codegen:run", source: "codegen", event: "generation", actions: &[] }),
    services: &[],
};
/// Nobody has connected what it calls.
static OFFLINE: ActionInfo = ActionInfo {
    name: "offline",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[],
    timeout: None,
    waits: None,
    services: &[],
};
static TELL: ActionInfo = ActionInfo {
    name: "tell",
    class: EffectClass::Once,
    on_doubt: OnDoubt::AssumeDone,
    parameters: &[],
    timeout: None,
    waits: None,
    services: &[],
};

pub(crate) const STEPS: &str = r#"
timeout = "10m"
steps = [
  { name = "pause", action = "delay", with = { duration = "5s" } },
  { name = "check", action = "look", retry = { max_attempts = 3, base_delay = "1s", jitter = 0.0 } },
  { name = "say", action = "tell" },
]
"#;

pub(crate) fn actions() -> Actions {
    let all: [&'static ActionInfo; 8] = [&LOOK, &LOOK_THERE, &MAKE, &OFFLINE, &ORDER, &PUT, &TELL, &TRIGGER];
    Arc::new(
        all.map(|info| (info.name, Arc::new(Nothing(info)) as Arc<dyn Action>)).into_iter().collect::<BTreeMap<_, _>>(),
    )
}

fn definition(toml: &str) -> Definition {
    let children = Children::new();
    Definition::compile("w", toml::from_str(toml).unwrap(), &Defaults::default(), (&actions(), &children)).unwrap()
}

pub(crate) fn record() -> RunRecord {
    let event = EventId::first_at(Timestamp::from_millis(1));
    RunRecord {
        id: RunId::derive("w", event, "r", 0),
        workflow: "w".into(),
        definition: "d".into(),
        event,
        route: "r".into(),
        generation: 0,
        priority: 5,
        subject: None,
        fair_key: None,
        input: Map::new(),
        started_at: Timestamp::from_millis(0),
        seen: None,
        parent: None,
        begins_at: None,
    }
}

/// A run as a test drives it.
pub(crate) struct Story {
    pub(crate) definition: Definition,
    pub(crate) run: RunRecord,
    pub(crate) progress: Progress,
    pub(crate) journal: Vec<Entry>,
    pub(crate) now: Timestamp,
    pub(crate) draining: bool,
    pub(crate) shelves: MemoryShelves,
    pub(crate) outages: Outages,
}

impl Story {
    pub(crate) fn new(toml: &str) -> Self {
        let run = record();
        let progress = Progress::new(&run);
        Self {
            definition: definition(toml),
            run,
            progress,
            journal: Vec::new(),
            now: Timestamp::default(),
            draining: false,
            shelves: MemoryShelves::default(),
            outages: Outages::default(),
        }
    }

    /// What happens, and the attempt that follows, if any.
    pub(crate) fn happens(&mut self, happening: &Happening) -> Option<Execute> {
        let mut executes = self.happens_at_once(happening).into_iter();
        let first = executes.next();
        assert_eq!(executes.next(), None, "one at a time");
        first
    }

    /// What happens, and the attempts that follow; the fold of the journal must be what was decided on.
    pub(crate) fn happens_at_once(&mut self, happening: &Happening) -> Vec<Execute> {
        let moment = Moment { now: self.now, draining: self.draining, outages: &self.outages };
        let decision = decide(&self.run, &self.definition, &self.progress, happening, moment);
        assert!(desk::holds(&mut self.shelves, &decision.waits).unwrap(), "somebody was faster: {:?}", decision.waits);
        desk::change(&mut self.shelves, &decision.waits, self.now).unwrap();
        self.journal.extend(decision.entries.clone());
        assert_eq!(Progress::of(&self.run, &self.journal), decision.progress);
        self.progress = decision.progress;
        decision.executes
    }

    pub(crate) fn after(&mut self, millis: u64) -> &mut Self {
        self.now = self.now.plus(Duration::from_millis(millis));
        self
    }

    pub(crate) fn done(&mut self, attempt: u32) -> Option<Execute> {
        self.happens(&Happening::Ended(self.serial(attempt), Ok(Success::Done(json!({})))))
    }

    pub(crate) fn fails(&mut self, attempt: u32, failure: Failure) -> Option<Execute> {
        self.happens(&Happening::Ended(self.serial(attempt), Err(failure)))
    }

    /// The serial of the last attempt of this number.
    pub(crate) fn serial(&self, number: u32) -> u32 {
        let is_it = |entry: &Entry| matches!(entry.what, What::Attempted { attempt, .. } if attempt == number);
        u32::try_from(self.journal.iter().rposition(is_it).unwrap()).unwrap()
    }

    /// The process ends, and the next one finds what is in the journal.
    pub(crate) fn crash(&mut self) -> Option<Execute> {
        let serial = self.progress.in_flight().next().expect("something is in flight").1.serial;
        self.happens(&Happening::Recovered(serial))
    }

    pub(crate) fn status(&self) -> RunStatus {
        self.progress.head(self.now).status
    }

    /// Until the attempt at `check` is in flight.
    pub(crate) fn at_check(mut self) -> Self {
        self.happens(&Happening::Go);
        let effects = self.after(5_000).happens(&Happening::Go);
        assert_eq!(steps_of(&effects), ["check"]);
        self
    }

    /// Until the attempt at `say` is in flight.
    pub(crate) fn at_say(self) -> Self {
        let mut story = self.at_check();
        assert_eq!(steps_of(&story.done(1)), ["say"]);
        story
    }
}

pub(crate) fn steps_of(execute: &Option<Execute>) -> Vec<&str> {
    execute.iter().map(|execute| execute.step.as_str()).collect()
}

pub(crate) fn failure(class: ErrorClass) -> Failure {
    Failure::new(class, "x")
}

/// Its attempts may take longer than the run.
pub(crate) const SLOW: &str = r#"
timeout = "10m"
steps = [
  { name = "pause", action = "delay", with = { duration = "5s" } },
  { name = "check", action = "look", timeout = "10m", retry = { max_attempts = 3, base_delay = "1s", jitter = 0.0 } },
  { name = "say", action = "tell", timeout = "10m" },
]
"#;
