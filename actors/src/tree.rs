//! The supervision tree: one drawing, one table, one function that starts it.
//!
//! ```text
//! pointsman
//! ├── receiver       on every HTTP worker; asks the three below it, then the log
//! ├── validator      on every HTTP worker
//! ├── deduplicator   on every HTTP worker
//! ├── router         on every HTTP worker
//! ├── backlog        on the work thread; routes what is pending
//! ├── executor       on the work thread, one for each workflow; drives its runs, asks the three below it
//! ├── dispatcher     on the work thread; says which runs go on
//! ├── timer          on the work thread; says when a time has come
//! ├── retention      on the work thread; has removed what is finished and old
//! └── event_log      on the committer thread; the only one that writes
//! ```
//!
//! A component asks only components below it in the drawing, which is the order of the table;
//! upward go offers and hints, so that two full mailboxes never wait for each other. A test keeps
//! drawing and table equal; `/metrics/actors` shows the same table live.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_rt::Arbiter;
use tokio::sync::{Notify, oneshot};

use crate::deduplicator::actor::{Deduplicator, Windows};
use crate::dispatcher::actor::{Dispatcher, Lost, Slots};
use crate::event::SourceName;
use crate::event_log::actor::{EventLog, LogDoor};
use crate::event_log::state::LogState;
use crate::executor::actor::{self as executor, Executor};
use crate::executor::attempts::{Attempts, InFlight};
use crate::executor::loading::{Definitions, workflows_with_open_runs};
use crate::executor::messages::{ExecutorDoors, Executors};
use crate::executor::port::Actions;
use crate::ids::SharedIds;
use crate::mailbox::{Basket, Door, NotTaken};
use crate::receiver::actor::{Admit, Downstream, Receive, Receiver, Shared};
use crate::receiver::admission::{Gate, Limits};
use crate::receiver::tally::Tally;
use crate::retention::actor::{LookNow, Retention};
use crate::retention::policy::Policy;
use crate::router::actor::{CurrentRules, Router};
use crate::router::backlog::{Backlog, RouteBacklog};
use crate::store::{Store, StoreError, Transition};
use crate::supervisor::{Escalation, OnGivenUp, RestartPolicy, Roster, Row, Supervisor, Thread};
use crate::time::SharedClock;
use crate::timer::actor::Timer;
use crate::validator::actor::{Sources, Validator};
use crate::workflow::catalog::Catalog;

/// Five falls within a minute: more is not an accident, and restarting would hide it.
const RESTART: RestartPolicy = RestartPolicy { intensity: 5, window: Duration::from_secs(60) };

/// Deliveries that one HTTP worker may have in its hands; [`Limits::requests`] is the bound over all.
const PER_WORKER: usize = 4_096;

/// Transitions that may wait for the committer: twice what all workers can have in their hands at the
/// default limit, so that the gate refuses before the log is full.
const TO_COMMIT: usize = 8_192;

/// Messages that may wait for an executor, the dispatcher or the timer: a few for each run at work.
/// Whoever finds no room waits, tells again, or leaves it to storage.
const PER_EXECUTOR: usize = 16_384;

/// The components, in the order in which they may ask each other.
pub static TABLE: [Row; 10] = [
    Row {
        component: "receiver",
        thread: Thread::HttpWorker,
        capacity: PER_WORKER,
        restart: RESTART,
        escalation: Escalation::Unready,
        meaning: "this HTTP worker answers 503, and no more deliveries are sent here",
    },
    Row {
        component: "validator",
        thread: Thread::HttpWorker,
        capacity: PER_WORKER,
        restart: RESTART,
        escalation: Escalation::Unready,
        meaning: "this HTTP worker answers 503, and no more deliveries are sent here",
    },
    Row {
        component: "deduplicator",
        thread: Thread::HttpWorker,
        capacity: PER_WORKER,
        restart: RESTART,
        escalation: Escalation::Unready,
        meaning: "this HTTP worker answers 503, and no more deliveries are sent here",
    },
    Row {
        component: "router",
        thread: Thread::HttpWorker,
        capacity: PER_WORKER,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "events of this HTTP worker are stored as pending and routed by the backlog",
    },
    Row {
        component: "backlog",
        thread: Thread::Work,
        capacity: 16,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "pending events stay pending until the next start",
    },
    Row {
        component: "executor",
        thread: Thread::Work,
        capacity: PER_EXECUTOR,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "runs of this workflow stand still until the next start; the other workflows go on",
    },
    Row {
        component: "dispatcher",
        thread: Thread::Work,
        capacity: PER_EXECUTOR,
        restart: RESTART,
        escalation: Escalation::Halt,
        meaning: "no run can go on: the process ends, so that whoever supervises it starts it again",
    },
    Row {
        component: "timer",
        thread: Thread::Work,
        capacity: PER_EXECUTOR,
        restart: RESTART,
        escalation: Escalation::Halt,
        meaning: "no pause would end: the process ends, so that whoever supervises it starts it again",
    },
    Row {
        component: "retention",
        thread: Thread::Work,
        capacity: 16,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "what is old is kept until the next start, so the log grows; everything else goes on",
    },
    Row {
        component: "event_log",
        thread: Thread::Committer,
        capacity: TO_COMMIT,
        restart: RESTART,
        escalation: Escalation::Halt,
        meaning: "nothing can be made durable: the process ends, so that whoever supervises it starts it again",
    },
];

/// The row of a component.
pub fn row(component: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.component == component)
}

/// What the tree needs from outside.
#[derive(Clone)]
pub struct Ports {
    /// Durable storage.
    pub store: Arc<dyn Store>,
    /// The sources that are on.
    pub sources: Sources,
    /// Routes and workflows.
    pub rules: CurrentRules,
    /// What runs are pinned to.
    pub catalog: Catalog,
    /// What steps can do.
    pub actions: Actions,
    /// Runs that may be at work at once.
    pub slots: Slots,
    /// How long duplicates are recognised.
    pub windows: Windows,
    /// How much may be in flight.
    pub limits: Limits,
    /// What goes when it is finished.
    pub retention: Policy,
    /// Where `now` comes from.
    pub clock: SharedClock,
    /// Where ids come from.
    pub ids: SharedIds,
    /// Told when a component is given up.
    pub on_given_up: OnGivenUp,
}

/// The running tree.
#[derive(Clone)]
pub struct Tree {
    /// Every supervised instance.
    pub roster: Roster,
    /// What is in flight.
    pub gate: Arc<Gate>,
    /// Whether the log can write.
    pub log_state: Arc<LogState>,
    /// The counts of every source.
    pub tallies: Arc<HashMap<SourceName, Tally>>,
    /// The way into the log.
    pub log: LogDoor,
    /// Asks for pending events to be routed now.
    pub backlog: Door<RouteBacklog>,
    /// Asks to look at once whether anything is old.
    pub retention: Door<LookNow>,
    /// The executors, by workflow.
    pub executors: Executors,
    ports: Ports,
    supervisor: Supervisor,
    threads: Threads,
    ending: Ending,
}

/// How runs come to rest when the process ends.
#[derive(Clone, Default)]
struct Ending {
    draining: Arc<AtomicBool>,
    in_flight: InFlight,
}

/// Why the tree does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A component ended at once.
    #[error("a component did not start: {0}")]
    Component(#[from] NotTaken),
    /// The store did not do what starting needs.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a tree that comes to rest looks whether it has.
const REST: Duration = Duration::from_millis(5);

/// The threads that the tree has started.
type Threads = Arc<Mutex<Vec<Arbiter>>>;

/// The doors of one HTTP worker.
#[derive(Clone)]
pub struct WorkerDoors {
    /// Lets requests in.
    pub admit: Door<Admit>,
    /// Takes deliveries.
    pub receive: Door<Receive>,
}

impl Tree {
    /// Starts everything that is not on an HTTP worker, from the bottom of the drawing to its top.
    pub async fn start(ports: Ports) -> Result<Self, StartError> {
        let roster = Roster::default();
        let supervisor = Supervisor {
            roster: roster.clone(),
            clock: Arc::clone(&ports.clock),
            on_given_up: Arc::clone(&ports.on_given_up),
        };
        let (log_state, threads, ending) = (Arc::new(LogState::default()), Threads::default(), Ending::default());
        let executors = Executors::default();
        let log = start_log(&supervisor, (&ports, &executors), &log_state, &threads).await?;
        keep_definitions(&ports, &log).await?;
        let start = StartWork {
            workflows: workflows(&ports).await?,
            supervisor: supervisor.clone(),
            attempts: on_new_thread(&threads, tokio::runtime::Handle::current).await?,
            executors: executors.clone(),
            log: log.clone(),
            ending: ending.clone(),
            ports: ports.clone(),
        };
        let (backlog, retention) = on_new_thread(&threads, move || start.start()).await?;
        let tallies = Arc::new(ports.sources.keys().map(|name| (name.clone(), Tally::default())).collect());
        let gate = Gate::new(ports.limits);
        Ok(Self {
            roster,
            gate,
            log_state,
            tallies,
            log,
            backlog,
            retention,
            executors,
            ports,
            supervisor,
            threads,
            ending,
        })
    }

    /// Starts the components of HTTP worker `number`, on whose thread this must be called.
    pub fn start_worker(&self, number: usize) -> WorkerDoors {
        let [receiver, validator, deduplicator, router, ..] = &TABLE;
        let instance = number.to_string();
        let keep = |row| (row, instance.clone());
        let (row, name) = keep(router);
        let router = self.supervisor.supervise(row, name, Router::new(self.ports.rules.clone()));
        let (row, name) = keep(deduplicator);
        let deduplicator = self.supervisor.supervise(row, name, Deduplicator::new(self.ports.windows));
        let (row, name) = keep(validator);
        let validator = self.supervisor.supervise(row, name, Validator::new(Arc::clone(&self.ports.sources)));
        let downstream = Downstream {
            validator: validator.door(),
            deduplicator: deduplicator.door(),
            router: router.door(),
            executors: self.executors.clone(),
            log: self.log.clone(),
        };
        let (row, name) = keep(receiver);
        let receiver = self.supervisor.supervise(row, name, Receiver::new(downstream, self.shared()));
        WorkerDoors { admit: receiver.door(), receive: receiver.door() }
    }

    /// Lets nobody in, begins no further attempt, and waits until those inside are answered, attempts in
    /// flight have ended and all that is inside is durable. What does not end in time is in doubt, and
    /// resolved by the next start.
    pub async fn drain(&self, patience: Duration) {
        self.gate.drain();
        self.ending.draining.store(true, Ordering::SeqCst);
        let at_rest = async {
            while self.gate.requests() > 0 || self.ending.in_flight.number() > 0 {
                tokio::time::sleep(REST).await;
            }
        };
        if tokio::time::timeout(patience, at_rest).await.is_err() {
            tracing::warn!(
                requests = self.gate.requests(),
                attempts = self.ending.in_flight.number(),
                "not all ended within the grace period; attempts that did not are in doubt and resolved by the next start"
            );
        }
        self.log.drain().await;
    }

    /// Attempts that are not settled.
    pub fn attempts_in_flight(&self) -> usize {
        self.ending.in_flight.number()
    }

    /// Ends the tree's threads and with them its components; blocks until they have ended.
    pub fn end_threads(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in &threads {
            thread.stop();
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn shared(&self) -> Shared {
        Shared {
            gate: Arc::clone(&self.gate),
            log_state: Arc::clone(&self.log_state),
            store: Arc::clone(&self.ports.store),
            sources: Arc::clone(&self.ports.sources),
            clock: Arc::clone(&self.ports.clock),
            ids: Arc::clone(&self.ports.ids),
        }
    }
}

async fn start_log(
    supervisor: &Supervisor,
    (ports, executors): (&Ports, &Executors),
    state: &Arc<LogState>,
    threads: &Threads,
) -> Result<LogDoor, NotTaken> {
    let [.., row] = &TABLE;
    let basket = Basket::default();
    let executors = executors.clone();
    let after_doubt = Arc::new(move || executors.look_again());
    let log = EventLog::new(Arc::clone(&ports.store), Arc::clone(state), basket.clone(), after_doubt);
    let supervisor = supervisor.clone();
    on_new_thread(threads, move || LogDoor::new(supervisor.supervise(row, "", log).basket_door(basket))).await
}

/// Every run is pinned to a definition, so that is durable before anything can be started.
async fn keep_definitions(ports: &Ports, log: &LogDoor) -> Result<(), StoreError> {
    for definition in ports.catalog.all() {
        if ports.store.definition(&definition.hash).await?.is_none() {
            let (hash, content) = (definition.hash.clone(), definition.content.clone());
            log.commit(Transition::KeepDefinition { hash, content }).await?;
        }
    }
    Ok(())
}

/// The workflows of the configuration, and those that are in it no more but have open runs.
async fn workflows(ports: &Ports) -> Result<BTreeSet<String>, StoreError> {
    let mut workflows: BTreeSet<String> = ports.catalog.all().map(|definition| definition.name.clone()).collect();
    workflows.extend(workflows_with_open_runs(ports.store.as_ref()).await?);
    Ok(workflows)
}

/// Starts what lives on the work thread.
struct StartWork {
    workflows: BTreeSet<String>,
    supervisor: Supervisor,
    /// Where attempts are made.
    attempts: tokio::runtime::Handle,
    executors: Executors,
    log: LogDoor,
    ending: Ending,
    ports: Ports,
}

impl StartWork {
    fn start(self) -> (Door<RouteBacklog>, Door<LookNow>) {
        let [_, _, _, _, backlog, executor, dispatcher, timer, retention, _] = &TABLE;
        let Ports { store, rules, clock, slots, retention: policy, .. } = self.ports.clone();
        let times = Timer::new(Arc::clone(&store), self.executors.clone(), Arc::clone(&clock));
        let times = self.supervisor.supervise(timer, "", times);
        let queue = Dispatcher::new(slots, self.executors.clone(), Arc::clone(&self.ending.draining));
        // It starts when this function has returned: then it finds all executors.
        let queue = self.supervisor.supervise(dispatcher, "", queue);
        let lost: Door<Lost> = queue.door();
        let told = Arc::clone(&self.supervisor.on_given_up);
        let on_given_up: OnGivenUp = Arc::new(move |executor| {
            // One that has no room finds out when it tells the executor something.
            let _ = lost.offer(Lost(executor.instance().to_owned()));
            told(executor);
        });
        let supervisor = Supervisor { on_given_up, ..self.supervisor.clone() };
        let shared = executor::Shared {
            store: Arc::clone(&store),
            log: self.log.clone(),
            dispatcher: queue.door(),
            counter: queue.door(),
            gone: queue.door(),
            timer: times.door(),
            executors: self.executors.clone(),
            actions: Arc::clone(&self.ports.actions),
            definitions: Definitions::of(&self.ports.catalog),
            clock: Arc::clone(&clock),
            draining: Arc::clone(&self.ending.draining),
        };
        for workflow in &self.workflows {
            self.start_executor((&supervisor, executor), workflow, shared.clone());
        }
        let draining = Arc::clone(&self.ending.draining);
        let old = Retention::new(policy, Arc::clone(&store), self.log.clone(), Arc::clone(&clock), draining);
        let old = self.supervisor.supervise(retention, "", old);
        let pending = Backlog::new(store, self.log, rules, self.executors, clock);
        (self.supervisor.supervise(backlog, "", pending).door(), old.door())
    }

    fn start_executor(&self, (supervisor, row): (&Supervisor, &'static Row), workflow: &str, shared: executor::Shared) {
        let missed = Arc::new(Notify::new());
        let attempts = Attempts::new(self.attempts.clone(), self.ending.in_flight.clone());
        let executor = Executor::new(workflow, shared, attempts, Arc::clone(&missed));
        let mailbox = supervisor.supervise(row, workflow, executor);
        let doors = ExecutorDoors {
            started: mailbox.door(),
            told: mailbox.door(),
            wake: mailbox.door(),
            ended: mailbox.door(),
            take_down: mailbox.door(),
            control: mailbox.door(),
            report: mailbox.door(),
            missed,
        };
        self.executors.enter(workflow, doors);
    }
}

/// Runs `start` on a new thread of the tree.
async fn on_new_thread<T: Send + 'static>(
    threads: &Threads,
    start: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotTaken> {
    let (started, done) = oneshot::channel();
    let arbiter = Arbiter::new();
    arbiter.spawn_fn(move || {
        let _ = started.send(start());
    });
    threads.lock().unwrap_or_else(PoisonError::into_inner).push(arbiter);
    done.await.map_err(|_| NotTaken::Closed)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
