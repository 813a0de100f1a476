//! The part of the tree that lives on the work thread: what drives runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actix_rt::Arbiter;

use super::ending::Ending;
use super::hiring::Hiring;
use super::{Ports, TABLE};
use crate::address_book::actor::{AddressBook, RenewNow};
use crate::auditor::actor::{Auditor, Findings, Tools};
use crate::catch_up::actor::{self as catch_up, CatchUp};
use crate::catch_up::watched::Watches;
use crate::circuit_breaker::actor::{self as circuit_breaker, Breakers, CircuitBreaker, Doors};
use crate::circuit_breaker::board::Board;
use crate::circuit_breaker::circuit::{Condition, Policy};
use crate::dead_letter::actor::{self as dead_letter, DeadLetterDoors, DeadLetters};
use crate::dispatcher::actor::{Dispatcher, Lost, SlotsChanged};
use crate::event_log::actor::LogDoor;
use crate::executor::actor as executor;
use crate::executor::deaths::Suspect;
use crate::executor::loading::{Definitions, look_through_open_runs, run_by};
use crate::executor::messages::Executors;
use crate::mailbox::Door;
use crate::receiver::messages::Receivers;
use crate::receiver::tally::Tallies;
use crate::retention::actor::{LookNow, Retention};
use crate::router::backlog::{Backlog, Retry, RouteBacklog};
use crate::store::StoreError;
use crate::supervisor::{OnGivenUp, Row, Supervisor};
use crate::timer::actor::Timer;

/// Starts what lives on the work thread.
pub(super) struct StartWork {
    pub(super) workflows: BTreeSet<String>,
    /// The attempt that was alone in flight when the former process died.
    pub(super) suspect: Option<Suspect>,
    pub(super) supervisor: Supervisor,
    /// Where attempts are made.
    pub(super) attempts: tokio::runtime::Handle,
    pub(super) executors: Executors,
    pub(super) log: LogDoor,
    /// How circuits were left.
    pub(super) board: Board,
    pub(super) ending: Ending,
    pub(super) receivers: Receivers,
    pub(super) tallies: Tallies,
    pub(super) watches: Watches,
    pub(super) ports: Ports,
}

/// What can be asked of it.
#[derive(Clone)]
pub struct Work {
    /// Asks for pending events to be routed now.
    pub backlog: Door<RouteBacklog>,
    /// Has an event routed now, or replayed.
    pub retry: Door<Retry>,
    /// What can be done about dead letters.
    pub dead_letters: DeadLetterDoors,
    /// Asks to look at once whether anything is old.
    pub retention: Door<LookNow>,
    /// The circuit breakers, by service.
    pub breakers: Breakers,
    /// What the last audit of the runs came to.
    pub findings: Findings,
    /// Asks to look at once what could not be delivered.
    pub catch_up: Door<catch_up::LookNow>,
    /// Asks at once from where a provider delivers.
    pub address_book: Door<RenewNow>,
    pub(super) hiring: Hiring,
    pub(super) slots_changed: Door<SlotsChanged>,
}

impl StartWork {
    pub(super) fn start(self) -> Work {
        let [
            catch_up,
            address_book,
            _,
            _,
            _,
            _,
            _,
            dead_letter,
            backlog,
            executor,
            dispatcher,
            timer,
            circuit_breaker,
            auditor,
            retention,
            _,
        ] = &TABLE;
        let breakers = self.start_breakers(circuit_breaker);
        let Ports { store, rules, clock, retention: policy, .. } = self.ports.clone();
        let times = Timer::new(Arc::clone(&store), self.executors.clone(), Arc::clone(&clock));
        let times = self.supervisor.supervise(timer, "", times);
        let queue =
            Dispatcher::new(self.ports.slots.clone(), self.executors.clone(), Arc::clone(&self.ending.draining));
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
        let definitions = Definitions::of(&self.ports.catalog);
        let shared = executor::Shared {
            store: Arc::clone(&store),
            log: self.log.clone(),
            dispatcher: queue.door(),
            counter: queue.door(),
            gone: queue.door(),
            timer: times.door(),
            all_times: times.door(),
            breakers: breakers.clone(),
            executors: self.executors.clone(),
            actions: Arc::clone(&self.ports.actions),
            definitions: definitions.clone(),
            clock: Arc::clone(&clock),
            draining: Arc::clone(&self.ending.draining),
            suspect: self.suspect,
        };
        let hiring = Hiring {
            supervisor,
            row: executor,
            shared,
            attempts: self.attempts.clone(),
            in_flight: self.ending.in_flight.clone(),
            thread: Arbiter::try_current(),
        };
        self.workflows.iter().for_each(|workflow| hiring.hire(workflow));
        let findings = Findings::default();
        let tools = Tools {
            store: Arc::clone(&store),
            definitions,
            actions: Arc::clone(&self.ports.actions),
            board: breakers.board.clone(),
            clock: Arc::clone(&clock),
            slots: self.ports.slots.clone(),
            every: self.ports.audit_every,
            findings: findings.clone(),
        };
        self.supervisor.supervise(auditor, "", Auditor::new(tools));
        let draining = Arc::clone(&self.ending.draining);
        let old = Retention::new(policy, Arc::clone(&store), self.log.clone(), Arc::clone(&clock), draining);
        let retention = self.supervisor.supervise(retention, "", old).door();
        let (written, patience) = ((store, self.log.clone()), self.ports.patience);
        let pending = Backlog::new(written, rules, self.executors.clone(), clock, patience);
        let pending = self.supervisor.supervise(backlog, "", pending);
        let dead_letters = self.start_dead_letters(dead_letter, pending.door());
        let catch_up = self.start_catch_up(catch_up);
        let addresses = AddressBook::new(self.ports.address_book.clone(), Arc::clone(&self.ending.draining));
        let address_book = self.supervisor.supervise(address_book, "", addresses).door();
        Work {
            backlog: pending.door(),
            retry: pending.door(),
            dead_letters,
            retention,
            breakers,
            findings,
            catch_up,
            address_book,
            hiring,
            slots_changed: queue.door(),
        }
    }

    fn start_catch_up(&self, row: &'static Row) -> Door<catch_up::LookNow> {
        let Ports { store, clock, windows, catch_up: plan, .. } = &self.ports;
        let tools = catch_up::Tools {
            store: Arc::clone(store),
            log: self.log.clone(),
            receivers: self.receivers.clone(),
            tallies: self.tallies.clone(),
            window: windows.delivery,
            clock: Arc::clone(clock),
            draining: Arc::clone(&self.ending.draining),
            watches: self.watches.clone(),
        };
        self.supervisor.supervise(row, "", CatchUp::new(plan.clone(), tools)).door()
    }

    fn start_dead_letters(&self, row: &'static Row, backlog: Door<RouteBacklog>) -> DeadLetterDoors {
        let Ports { store, clock, redrives_per_second, .. } = &self.ports;
        let letters = DeadLetters::new(dead_letter::Shared {
            store: Arc::clone(store),
            log: self.log.clone(),
            executors: self.executors.clone(),
            backlog,
            clock: Arc::clone(clock),
            draining: Arc::clone(&self.ending.draining),
            per_second: *redrives_per_second,
        });
        let mailbox = self.supervisor.supervise(row, "", letters);
        DeadLetterDoors { one: mailbox.door(), many: mailbox.door(), dismiss: mailbox.door() }
    }

    /// One for each service that an action calls, with the hash of what is configured of it. When no circuit is to open
    /// there are those only that may be disabled.
    fn start_breakers(&self, row: &'static Row) -> Breakers {
        let Ports { circuits, actions, clock, .. } = &self.ports;
        let services = actions.values().filter(|_| circuits.is_some()).flat_map(|action| action.info().services);
        let mut services: BTreeMap<String, u64> = services.map(|service| ((*service).to_owned(), 0)).collect();
        let parts = actions.values().flat_map(|action| action.parts());
        services.extend(parts.map(|part| (part.service, part.configuration)));
        let policy = circuits.unwrap_or(Policy::NEVER);
        let (board, executors) = (self.board.clone(), self.executors.clone());
        let told = Arc::clone(&self.supervisor.on_given_up);
        let forget = (board.clone(), executors.clone());
        let on_given_up: OnGivenUp = Arc::new(move |breaker| {
            let (board, executors) = &forget;
            board.forget(breaker.instance());
            executors.circuit_moved(breaker.instance());
            told(breaker);
        });
        let supervisor = Supervisor { on_given_up, ..self.supervisor.clone() };
        let shared = circuit_breaker::Shared {
            policy,
            board: board.clone(),
            log: self.log.clone(),
            executors,
            clock: Arc::clone(clock),
        };
        let start = |(service, configuration): (String, u64)| {
            let breaker = CircuitBreaker::new(&service, configuration, shared.clone());
            let mailbox = supervisor.supervise(row, &service, breaker);
            let (observe, reset, disable, count) = (mailbox.door(), mailbox.door(), mailbox.door(), mailbox.door());
            (service, Doors { observe, reset, disable, count })
        };
        Breakers::new(services.into_iter().map(start).collect(), board)
    }
}

/// How circuits were left.
pub(super) async fn board(ports: &Ports) -> Result<Board, StoreError> {
    let board = Board::default();
    // Those that opened when circuits still did stop nobody any more.
    let counts = |condition| ports.circuits.is_some() || matches!(condition, Condition::Disabled { .. });
    let left = ports.store.breakers().await?.into_iter().filter(|record| counts(record.condition));
    left.for_each(|record| board.show(record));
    Ok(board)
}

/// The workflows of the configuration, and those that are in it no more but have open runs, or are started by such;
/// and the attempt that was alone in flight.
pub(super) async fn workflows(ports: &Ports) -> Result<(BTreeSet<String>, Option<Suspect>), StoreError> {
    let mut workflows: BTreeSet<String> = ports.catalog.all().map(|definition| definition.name.clone()).collect();
    let (store, definitions) = (ports.store.as_ref(), Definitions::of(&ports.catalog));
    let found = look_through_open_runs(store).await?;
    workflows.extend(found.workflows);
    workflows.extend(run_by(store, &definitions, &ports.actions, found.definitions).await?);
    Ok((workflows, found.alone))
}
