//! The whole engine on virtual time, on which a scene is set up exactly: a store that fails or waits at a commit on
//! cue, and actions that end as they are told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pointsman_actors::address_book::actor::Plan as AddressPlan;
use pointsman_actors::catch_up::actor::Plan as CatchUpPlan;
use pointsman_actors::circuit_breaker::circuit::Policy as CircuitPolicy;
use pointsman_actors::current::Current;
use pointsman_actors::deduplicator::actor::Windows;
use pointsman_actors::deduplicator::fingerprint;
use pointsman_actors::dispatcher::actor::Slots;
use pointsman_actors::event::{EventMeta, Facts, SourceName, Verdict};
use pointsman_actors::event_log::record::Sealer;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Action, ActionInfo, Actions, Answer, Attempt, EffectClass, Inquiry, OnDoubt, Outcome, Polling, Success, WaitInfo,
    Working,
};
use pointsman_actors::ids::{Ids, RandomIds, RunId};
use pointsman_actors::receiver::admission::Limits;
use pointsman_actors::retention::policy::Policy as RetentionPolicy;
use pointsman_actors::router::actor::CurrentRules;
use pointsman_actors::router::patience::Patience;
use pointsman_actors::router::routing::Rules;
use pointsman_actors::run::{RunRecord, StoredRun};
use pointsman_actors::store::{Claim, Intake, Store, Transition};
use pointsman_actors::time::{Clock, Timestamp};
use pointsman_actors::tree::{Ports, Tree};
use pointsman_actors::workflow::catalog::Catalog;
use pointsman_actors::workflow::spec::Defaults;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::Instant;

pub use store::{CuedStore, Fate};

mod store;

/// When every scene begins, in milliseconds of the clock.
const EPOCH: i64 = 1_800_000_000_000;

/// So long a scene may take at most to come to what is waited for.
const LONGEST: Duration = Duration::from_secs(600);

/// Plays a scene on a thread of its own time.
pub fn play<T>(scene: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, scene)
}

/// The wall clock of a scene.
struct StageClock(Instant);

impl Clock for StageClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(EPOCH + i64::try_from(self.0.elapsed().as_millis()).unwrap())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

const fn action(name: &'static str, class: EffectClass, services: &'static [&'static str]) -> ActionInfo {
    let on_doubt = if matches!(class, EffectClass::Once) { OnDoubt::Park } else { OnDoubt::Repeat };
    ActionInfo { name, class, on_doubt, parameters: &[], timeout: None, waits: None, services }
}

/// Begins something that calls back, and of which can be asked whether it is done.
static HIRE: ActionInfo = ActionInfo {
    waits: Some(WaitInfo { kind: "codegen:run", source: "codegen", event: "generation", actions: &[] }),
    ..action("hire", EffectClass::Keyed, &["codegen"])
};

/// The first question comes ten to twenty seconds after it was begun.
pub const POLLING: Polling = Polling { first: Duration::from_secs(10), most: Duration::from_secs(60) };

static ACTIONS: [ActionInfo; 4] = [
    action("set", EffectClass::Idempotent, &[]),
    action("send", EffectClass::Once, &[]),
    action("peek", EffectClass::Pure, &["github"]),
    action("call", EffectClass::Idempotent, &["github"]),
];

/// How a call ends.
#[derive(Clone)]
pub enum Ending {
    /// At once, with this failure.
    Fails(ErrorClass),
    /// Well, when it is told to.
    When(Arc<Notify>),
}

/// What actions do, and what was asked of them.
#[derive(Default)]
pub struct Provider {
    /// By step: how the next calls end; then all is fine.
    pub plans: Mutex<HashMap<&'static str, VecDeque<Ending>>>,
    /// The steps that were called, in order.
    pub calls: Mutex<Vec<String>>,
    /// What is answered to those who ask whether something is done; nothing more, and it is at work.
    pub answers: Mutex<VecDeque<Answer>>,
    /// When somebody asked.
    pub asked: Mutex<Vec<Instant>>,
    /// Questions that are at work, and the most that were.
    pub asking: Mutex<(usize, usize)>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Provider {
    /// Calls of `step` end like this, one after the other.
    pub fn plan(&self, step: &'static str, endings: impl IntoIterator<Item = Ending>) {
        locked(&self.plans).entry(step).or_default().extend(endings);
    }

    /// How often `step` was called.
    pub fn calls(&self, step: &str) -> usize {
        locked(&self.calls).iter().filter(|called| *called == step).count()
    }
}

struct Played(&'static ActionInfo, Arc<Provider>);

impl Action for Played {
    fn info(&self) -> &'static ActionInfo {
        self.0
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        locked(&self.1.calls).push(attempt.step.clone());
        let ending = locked(&self.1.plans).get_mut(attempt.step.as_str()).and_then(VecDeque::pop_front);
        let called_back_as = self.0.waits.as_ref().map(|_| format!("codegen:run:{}", attempt.key));
        Box::pin(async move {
            match ending {
                Some(Ending::Fails(class)) => return Err(Failure::new(class, "by plan")),
                Some(Ending::When(told)) => told.notified().await,
                None => {}
            }
            match called_back_as {
                Some(key) => Ok(Success::Waiting { keys: vec![key], output: json!({ "begun": true }) }),
                None => Ok(Success::Done(json!({ "ok": true }))),
            }
        })
    }

    fn polling(&self) -> Option<Polling> {
        self.0.waits.as_ref().map(|_| POLLING)
    }

    fn poll(&self, inquiry: Inquiry) -> Working<Answer> {
        assert_eq!(inquiry.output, json!({ "begun": true }));
        let provider = Arc::clone(&self.1);
        Box::pin(async move {
            locked(&provider.asked).push(Instant::now());
            {
                let (now, most) = &mut *locked(&provider.asking);
                *now += 1;
                *most = (*most).max(*now);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            locked(&provider.asking).0 -= 1;
            let answer = locked(&provider.answers).pop_front();
            answer.unwrap_or(Ok(None))
        })
    }
}

/// One process, and what outlives it.
pub struct Stage {
    pub tree: Tree,
    pub store: Arc<CuedStore>,
    pub provider: Arc<Provider>,
    clock: Arc<StageClock>,
    catalog: Catalog,
}

/// What a scene decides beside its workflows.
#[derive(Clone)]
pub struct Props {
    pub slots: usize,
    pub redrives_per_second: u32,
    pub circuits: Option<CircuitPolicy>,
    pub catch_up: CatchUpPlan,
}

impl Default for Props {
    fn default() -> Self {
        let catch_up = CatchUpPlan::Nothing { why: "it is no part of this" };
        Self { slots: 4, redrives_per_second: 1, circuits: None, catch_up }
    }
}

impl Stage {
    /// A process with these workflows, by name, on an empty store.
    pub async fn set(workflows: &[(&str, &str)], props: Props) -> Self {
        Self::set_on(CuedStore::new(), workflows, props).await
    }

    /// The same on what another one has left.
    pub async fn set_on(store: Arc<CuedStore>, workflows: &[(&str, &str)], props: Props) -> Self {
        let provider = Arc::new(Provider::default());
        let each =
            |info: &'static ActionInfo| (info.name, Arc::new(Played(info, Arc::clone(&provider))) as Arc<dyn Action>);
        let actions: Actions = Arc::new(ACTIONS.iter().chain([&HIRE]).map(each).collect());
        let specs: BTreeMap<_, _> =
            workflows.iter().map(|(name, text)| ((*name).to_owned(), toml::from_str(text).unwrap())).collect();
        let catalog = Catalog::compile(specs, &Defaults::default(), &actions).unwrap();
        let clock = Arc::new(StageClock(Instant::now()));
        let day = Duration::from_secs(24 * 3_600);
        let ports = Ports {
            store: Arc::clone(&store) as Arc<dyn Store>,
            sources: Current::default(),
            rules: CurrentRules::new(Rules::default()),
            catalog: catalog.clone(),
            actions,
            slots: Current::new(Slots { number: props.slots, fair: true }),
            circuits: props.circuits,
            windows: Windows { delivery: 3 * day, occurrence: Some(day) },
            inbox_window: day,
            limits: Limits {
                requests: 64,
                address_requests: 64,
                body_bytes: 1 << 20,
                address_bytes: 1 << 20,
                backlog: 1_000,
            },
            rate_limits: None,
            audit_every: Duration::from_secs(60),
            retention: RetentionPolicy { keep: 30 * day, most: None },
            patience: Patience { attempts: 10 },
            redrives_per_second: props.redrives_per_second,
            address_book: AddressPlan::Nothing,
            catch_up: props.catch_up,
            after_death: false,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ids: Arc::new(RandomIds),
            on_given_up: Arc::new(|_| panic!("a component was given up")),
        };
        let tree = Tree::start_here(ports).await.unwrap();
        Self { tree, store, provider, clock, catalog }
    }

    /// Starts a run, as an event does.
    pub async fn start(&self, workflow: &str, order: i64) -> RunId {
        let (run, intake) = self.intake(workflow, order);
        let id = run.id;
        self.tree.log.commit(Transition::Intake(Box::new(intake))).await.unwrap();
        self.tree.executors.started(vec![run]);
        id
    }

    fn intake(&self, workflow: &str, order: i64) -> (RunRecord, Intake) {
        let definition = self.catalog.get(workflow).unwrap();
        let at = self.clock.now();
        let (id, source) = (RandomIds.event(at), SourceName::new("github"));
        let run = RunRecord {
            id: RunId::derive(workflow, id, "r", 0),
            workflow: workflow.to_owned(),
            definition: definition.hash.clone(),
            event: id,
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
        let delivery = Claim { key: fingerprint::delivery(&source, &id.to_string()), window: Duration::from_secs(60) };
        let meta = EventMeta {
            redacted: 0,
            id,
            source,
            received_at: at,
            delivery_id: id.to_string(),
            peer: None,
            headers: Vec::new(),
            facts: Facts { event_type: "push".into(), ..Facts::default() },
            payload_bytes: 2,
        };
        let verdict = Verdict::Started { runs: vec![run.id], waits: Vec::new() };
        let record = Sealer::new().seal(&meta, &verdict, b"{}").unwrap();
        let runs = vec![run.clone()];
        (run, Intake { id, at, delivery, occurrence: None, record, verdict, runs, callback: None })
    }

    /// A run as it is stored.
    pub async fn run(&self, run: RunId) -> StoredRun {
        self.store.run(run).await.unwrap().unwrap()
    }

    /// What the journal of a run says, a word an entry.
    pub async fn words(&self, run: RunId) -> Vec<String> {
        let word = |entry: Json| match (entry["step"].as_str(), entry["entry"].as_str().unwrap()) {
            (Some(step), word) => format!("{step} {word}"),
            (None, word) => word.to_owned(),
        };
        self.run(run).await.journal.iter().map(|entry| word(serde_json::to_value(entry).unwrap())).collect()
    }

    /// Until the journal of a run ends with this word.
    pub async fn until(&self, run: RunId, last: &str) {
        until(&format!("{run} to come to `{last}`"), async || {
            self.words(run).await.last().is_some_and(|word| word == last)
        })
        .await;
    }
}

/// Lets time pass until this holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < LONGEST, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
