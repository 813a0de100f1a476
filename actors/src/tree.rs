//! The supervision tree: one drawing, one table, one function that starts it.
//!
//! ```text
//! pointsman
//! ├── receiver       on every HTTP worker; asks the three below it, then the log
//! ├── validator      on every HTTP worker
//! ├── deduplicator   on every HTTP worker
//! ├── router         on every HTTP worker
//! ├── backlog        on the work thread; routes what is pending
//! └── event_log      on the committer thread; the only one that writes
//! ```
//!
//! A component asks only components below it in the drawing, which is the order of the table;
//! upward go offers and hints, so that two full mailboxes never wait for each other. A test keeps
//! drawing and table equal; `/metrics/actors` shows the same table live.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_rt::Arbiter;
use tokio::sync::oneshot;

use crate::deduplicator::actor::{Deduplicator, Windows};
use crate::event::SourceName;
use crate::event_log::actor::{EventLog, LogDoor};
use crate::event_log::state::LogState;
use crate::ids::SharedIds;
use crate::mailbox::{Basket, Door, NotTaken};
use crate::receiver::actor::{Admit, Downstream, Receive, Receiver, Shared};
use crate::receiver::admission::{Gate, Limits};
use crate::receiver::tally::Tally;
use crate::router::actor::{CurrentRules, Router};
use crate::router::backlog::{Backlog, RouteBacklog};
use crate::store::Store;
use crate::supervisor::{Escalation, OnGivenUp, RestartPolicy, Roster, Row, Supervisor, Thread};
use crate::time::SharedClock;
use crate::validator::actor::{Sources, Validator};

/// Five falls within a minute: more is not an accident, and restarting would hide it.
const RESTART: RestartPolicy = RestartPolicy { intensity: 5, window: Duration::from_secs(60) };

/// Deliveries that one HTTP worker may have in its hands; [`Limits::requests`] is the bound over all.
const PER_WORKER: usize = 4_096;

/// Transitions that may wait for the committer: twice what all workers can have in their hands at the
/// default limit, so that the gate refuses before the log is full.
const TO_COMMIT: usize = 8_192;

/// The components, in the order in which they may ask each other.
pub static TABLE: [Row; 6] = [
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
    /// How long duplicates are recognised.
    pub windows: Windows,
    /// How much may be in flight.
    pub limits: Limits,
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
    ports: Ports,
    supervisor: Supervisor,
    threads: Threads,
}

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
    /// Starts everything that is not on an HTTP worker, in reading order.
    pub async fn start(ports: Ports) -> Result<Self, NotTaken> {
        let roster = Roster::default();
        let supervisor = Supervisor {
            roster: roster.clone(),
            clock: Arc::clone(&ports.clock),
            on_given_up: Arc::clone(&ports.on_given_up),
        };
        let log_state = Arc::new(LogState::default());
        let threads = Threads::default();
        let log = start_log(&supervisor, &ports, &log_state, &threads).await?;
        let backlog = start_backlog(&supervisor, &ports, &log, &threads).await?;
        let tallies = ports.sources.keys().map(|name| (name.clone(), Tally::default())).collect();
        let gate = Gate::new(ports.limits);
        Ok(Self { roster, gate, log_state, tallies: Arc::new(tallies), log, backlog, ports, supervisor, threads })
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
            log: self.log.clone(),
        };
        let (row, name) = keep(receiver);
        let receiver = self.supervisor.supervise(row, name, Receiver::new(downstream, self.shared()));
        WorkerDoors { admit: receiver.door(), receive: receiver.door() }
    }

    /// Lets nobody in, and waits until all that is inside is durable.
    pub async fn drain(&self) {
        self.gate.drain();
        self.log.drain().await;
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
    ports: &Ports,
    state: &Arc<LogState>,
    threads: &Threads,
) -> Result<LogDoor, NotTaken> {
    let [.., row] = &TABLE;
    let basket = Basket::default();
    let log = EventLog::new(Arc::clone(&ports.store), Arc::clone(state), basket.clone());
    let supervisor = supervisor.clone();
    on_thread_of(row, threads, move || LogDoor::new(supervisor.supervise(row, "", log).basket_door(basket))).await
}

async fn start_backlog(
    supervisor: &Supervisor,
    ports: &Ports,
    log: &LogDoor,
    threads: &Threads,
) -> Result<Door<RouteBacklog>, NotTaken> {
    let [.., row, _] = &TABLE;
    let Ports { store, rules, clock, .. } = ports.clone();
    let backlog = Backlog::new(store, log.clone(), rules, clock);
    let supervisor = supervisor.clone();
    on_thread_of(row, threads, move || supervisor.supervise(row, "", backlog).door()).await
}

/// Runs `start` on a new thread with the name of the row's thread.
async fn on_thread_of<T: Send + 'static>(
    row: &Row,
    threads: &Threads,
    start: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotTaken> {
    let (started, done) = oneshot::channel();
    let arbiter = Arbiter::new();
    tracing::debug!(component = row.component, thread = row.thread.name(), "starting");
    arbiter.spawn_fn(move || {
        let _ = started.send(start());
    });
    threads.lock().unwrap_or_else(PoisonError::into_inner).push(arbiter);
    done.await.map_err(|_| NotTaken::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and threads of the drawing at the head of this file, top to bottom.
    fn drawn() -> Vec<(String, String)> {
        include_str!("tree.rs")
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .filter_map(|line| line.strip_prefix("//! ├── ").or(line.strip_prefix("//! └── ")))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
            .collect()
    }

    #[test]
    fn the_drawing_is_the_table() {
        let drawn = drawn();
        let names: Vec<&str> = drawn.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, TABLE.iter().map(|row| row.component).collect::<Vec<_>>());
        for ((name, text), row) in drawn.iter().zip(&TABLE) {
            let place = match row.thread {
                Thread::HttpWorker => "on every HTTP worker",
                Thread::Committer => "on the committer thread",
                Thread::Work => "on the work thread",
                Thread::Watch => "on the watch thread",
            };
            assert!(text.starts_with(place), "{name} is drawn {text}, and stands {place}");
        }
    }

    #[test]
    fn every_component_has_one_row() {
        for each in &TABLE {
            assert_eq!(row(each.component), Some(each));
            assert!(each.capacity > 0 && each.restart.intensity > 0 && !each.meaning.is_empty());
        }
    }
}
