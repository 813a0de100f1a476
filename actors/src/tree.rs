//! The supervision tree: one drawing, one table, one function that starts it.
//!
//! ```text
//! pointsman
//! ├── catch_up       on the work thread; gets what a provider could not deliver
//! ├── address_book   on the work thread; asks from where a provider delivers
//! ├── receiver       on every HTTP worker; asks the four below it, then the log
//! ├── rate_limiter   on every HTTP worker; says who is held back
//! ├── validator      on every HTTP worker
//! ├── deduplicator   on every HTTP worker
//! ├── router         on every HTTP worker
//! ├── dead_letter    on the work thread; has what failed for good done again
//! ├── backlog        on the work thread; routes what is pending
//! ├── executor       on the work thread, one for each workflow; drives its runs, asks the four below it
//! ├── dispatcher     on the work thread; says which runs go on
//! ├── timer          on the work thread; says when a time has come
//! ├── circuit_breaker on the work thread, one for each service; says whether it may be called
//! ├── auditor        on the work thread; looks whether every run stands for a reason
//! ├── retention      on the work thread; has removed what is finished and old
//! └── event_log      on the committer thread; the only one that writes
//! ```
//!
//! A component asks only components below it in the drawing, which is the order of the table;
//! upward go offers and hints, so that two full mailboxes never wait for each other. A test keeps
//! drawing and table equal; `/metrics/actors` shows the same table live.

mod ending;
mod gauge;
mod hiring;
mod replacing;
mod table;
mod work;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_rt::Arbiter;
use tokio::sync::oneshot;

use self::ending::Ending;
use self::gauge::Sight;
pub use self::replacing::Replacement;
pub use self::table::{TABLE, row};
pub use self::work::Work;
use self::work::{StartWork, board, workflows};
use crate::address_book::actor::Plan as AddressPlan;
use crate::catch_up::actor::Plan as CatchUpPlan;
use crate::catch_up::watched::Watches;
use crate::circuit_breaker::circuit::Policy;
use crate::current::Current;
use crate::deduplicator::actor::{Deduplicator, Windows};
use crate::dispatcher::actor::Slots;
use crate::event_log::actor::{EventLog, LogDoor};
use crate::event_log::state::LogState;
use crate::executor::messages::Executors;
use crate::executor::port::Actions;
use crate::ids::SharedIds;
use crate::mailbox::{Basket, Door, Mailbox, NotTaken};
use crate::rate_limiter::actor::{Gauge, RateLimiter, RateLimits, Unverified};
use crate::rate_limiter::limits::Policy as RatePolicy;
use crate::receiver::actor::{Admit, Downstream, Receive, Receiver, Shared};
use crate::receiver::admission::{Gate, Limits};
use crate::receiver::lane::{Lane, Lanes};
use crate::receiver::messages::Receivers;
use crate::receiver::tally::Tallies;
use crate::retention::policy::Policy as RetentionPolicy;
use crate::router::actor::{CurrentRules, Router};
use crate::router::patience::Patience;
use crate::store::{Store, StoreError, Transition};
use crate::supervisor::{OnGivenUp, Roster, Supervisor};
use crate::time::SharedClock;
use crate::validator::actor::{Sources, Validator};
use crate::workflow::catalog::Catalog;

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
    pub slots: Current<Slots>,
    /// When circuits open; without it none does.
    pub circuits: Option<Policy>,
    /// How long duplicates are recognised.
    pub windows: Windows,
    /// How long an event is kept for runs that come to wait for it.
    pub inbox_window: Duration,
    /// How much may be in flight.
    pub limits: Limits,
    /// How often whom nobody could verify may come; without it as often as it likes.
    pub rate_limits: Option<RatePolicy>,
    /// From one audit of the runs to the next.
    pub audit_every: Duration,
    /// What goes when it is finished.
    pub retention: RetentionPolicy,
    /// How often a pending event is tried to be routed.
    pub patience: Patience,
    /// Dead letters that are redriven a second, when many are.
    pub redrives_per_second: u32,
    /// The hooks that are caught up with.
    pub catch_up: CatchUpPlan,
    /// The provider whose addresses are kept up to date.
    pub address_book: AddressPlan,
    /// Whether the former process on this store ended without being asked to.
    pub after_death: bool,
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
    /// Who is held back; absent when nobody is.
    pub rate_limits: Option<RateLimits>,
    /// Whether the log can write.
    pub log_state: Arc<LogState>,
    /// The counts of every source.
    pub tallies: Tallies,
    /// The way into the log.
    pub log: LogDoor,
    /// The executors, by workflow.
    pub executors: Executors,
    /// What is on the work thread.
    pub work: Work,
    /// How the hooks stand that are caught up with.
    pub watches: Watches,
    gauge: Gauge,
    lanes: Lanes,
    receivers: Receivers,
    ports: Ports,
    supervisor: Supervisor,
    threads: Threads,
    ending: Ending,
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

/// Where a tree lives.
#[derive(Clone)]
enum Threads {
    /// On threads that it has started.
    Own(Arc<Mutex<Vec<Arbiter>>>),
    /// On the thread of whoever started it.
    Callers,
}

impl Default for Threads {
    fn default() -> Self {
        Self::Own(Arc::default())
    }
}

/// The doors of one HTTP worker.
#[derive(Clone)]
pub struct WorkerDoors {
    /// Lets requests in.
    pub admit: Door<Admit>,
    /// Takes deliveries.
    pub receive: Door<Receive>,
    /// Where those go one after the other who are held back unless they prove who they are.
    pub lane: Lane,
    /// Told of requests that could not be verified; absent when nobody is held back.
    pub unverified: Option<Door<Unverified>>,
}

impl Tree {
    /// Starts everything that is not on an HTTP worker, from the bottom of the drawing to its top.
    pub async fn start(ports: Ports) -> Result<Self, StartError> {
        Self::start_on(Threads::default(), ports).await
    }

    /// The same with all of it on the caller's thread, which must be able to spawn local tasks: what happens
    /// there happens in an order that can be repeated.
    pub async fn start_here(ports: Ports) -> Result<Self, StartError> {
        Self::start_on(Threads::Callers, ports).await
    }

    async fn start_on(threads: Threads, ports: Ports) -> Result<Self, StartError> {
        let roster = Roster::default();
        let supervisor = Supervisor {
            roster: roster.clone(),
            clock: Arc::clone(&ports.clock),
            on_given_up: Arc::clone(&ports.on_given_up),
        };
        let (log_state, ending) = (Arc::new(LogState::default()), Ending::default());
        let executors = Executors::default();
        let log = start_log(&supervisor, (&ports, &executors), &log_state, &threads).await?;
        keep_definitions(&ports.catalog, (&ports.store, &log)).await?;
        let (workflows, suspect) = workflows(&ports).await?;
        let tallies = Tallies::default();
        tallies.enter(ports.sources.get().keys());
        let (receivers, watches) = (Receivers::default(), Watches::default());
        let start = StartWork {
            receivers: receivers.clone(),
            tallies: tallies.clone(),
            watches: watches.clone(),
            workflows,
            suspect: suspect.filter(|_| ports.after_death),
            supervisor: supervisor.clone(),
            attempts: on_new_thread(&threads, tokio::runtime::Handle::current).await?,
            executors: executors.clone(),
            log: log.clone(),
            board: board(&ports).await?,
            ending: ending.clone(),
            ports: ports.clone(),
        };
        let work = on_new_thread(&threads, move || start.start()).await?;
        let gate = Gate::new(ports.limits);
        let sight = Sight {
            roster: roster.clone(),
            log_state: Arc::clone(&log_state),
            tallies: tallies.clone(),
            gate: Arc::clone(&gate),
            store: Arc::clone(&ports.store),
        };
        Ok(Self {
            roster,
            gate,
            rate_limits: ports.rate_limits.clone().map(RateLimits::new),
            gauge: gauge::of(sight),
            lanes: Lanes::default(),
            log_state,
            tallies,
            log,
            executors,
            work,
            watches,
            receivers,
            ports,
            supervisor,
            threads,
            ending,
        })
    }

    /// Starts the components of HTTP worker `number`, on whose thread this must be called.
    pub fn start_worker(&self, number: usize) -> WorkerDoors {
        let [_, _, receiver, rate_limiter, validator, deduplicator, router, ..] = &TABLE;
        let instance = number.to_string();
        let keep = |row| (row, instance.clone());
        let (row, name) = keep(router);
        let router = self.supervisor.supervise(row, name, Router::new(self.ports.rules.clone()));
        let (row, name) = keep(deduplicator);
        let deduplicator = self.supervisor.supervise(row, name, Deduplicator::new(self.ports.windows));
        let (row, name) = keep(validator);
        let validator = self.supervisor.supervise(row, name, Validator::new(self.ports.sources.clone()));
        let limiter = self.rate_limits.clone().map(|limits| {
            let (row, name) = keep(rate_limiter);
            let limiter = RateLimiter::new(limits, Arc::clone(&self.gauge), Arc::clone(&self.ports.clock));
            self.supervisor.supervise(row, name, limiter)
        });
        let downstream = Downstream {
            rate_limiter: limiter.as_ref().map(Mailbox::door),
            validator: validator.door(),
            reader: validator.door(),
            deduplicator: deduplicator.door(),
            router: router.door(),
            executors: self.executors.clone(),
            log: self.log.clone(),
        };
        let (row, name) = keep(receiver);
        let receiver = self.supervisor.supervise(row, name, Receiver::new(downstream, self.shared()));
        self.receivers.enter(receiver.door());
        let unverified = limiter.as_ref().map(Mailbox::door);
        WorkerDoors { admit: receiver.door(), receive: receiver.door(), lane: self.lanes.lane(), unverified }
    }

    fn shared(&self) -> Shared {
        Shared {
            gate: Arc::clone(&self.gate),
            rate_limits: self.rate_limits.clone(),
            log_state: Arc::clone(&self.log_state),
            store: Arc::clone(&self.ports.store),
            clock: Arc::clone(&self.ports.clock),
            ids: Arc::clone(&self.ports.ids),
            inbox_window: self.ports.inbox_window,
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
async fn keep_definitions(catalog: &Catalog, (store, log): (&Arc<dyn Store>, &LogDoor)) -> Result<(), StoreError> {
    for definition in catalog.all() {
        if store.definition(&definition.hash).await?.is_none() {
            let (hash, content) = (definition.hash.clone(), definition.content.clone());
            log.commit(Transition::KeepDefinition { hash, content }).await?;
        }
    }
    Ok(())
}

/// Runs `start` on a new thread of the tree, if it has any.
async fn on_new_thread<T: Send + 'static>(
    threads: &Threads,
    start: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotTaken> {
    let Threads::Own(threads) = threads else { return Ok(start()) };
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
