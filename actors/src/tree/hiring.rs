//! Starts executors: all of them when the tree starts, and those of new workflows when a configuration brings some.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_rt::ArbiterHandle;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use crate::executor::actor::{Executor, Shared};
use crate::executor::attempts::{Attempts, InFlight};
use crate::executor::messages::ExecutorDoors;
use crate::mailbox::NotTaken;
use crate::supervisor::{Row, Supervisor};
use crate::workflow::catalog::Catalog;

/// What an executor is started with.
#[derive(Clone)]
pub(super) struct Hiring {
    pub(super) supervisor: Supervisor,
    pub(super) row: &'static Row,
    pub(super) shared: Shared,
    /// Where attempts are made.
    pub(super) attempts: Handle,
    pub(super) in_flight: InFlight,
    /// The thread of the executors; the caller's when there is none.
    pub(super) thread: Option<ArbiterHandle>,
}

impl Hiring {
    /// Starts the executor of a workflow, on whose thread this must be called.
    pub(super) fn hire(&self, workflow: &str) {
        let missed = Arc::new(Notify::new());
        let attempts = Attempts::new(self.attempts.clone(), self.in_flight.clone());
        let executor = Executor::new(workflow, self.shared.clone(), attempts, Arc::clone(&missed));
        let mailbox = self.supervisor.supervise(self.row, workflow, executor);
        let doors = ExecutorDoors {
            started: mailbox.door(),
            told: mailbox.door(),
            wake: mailbox.door(),
            ended: mailbox.door(),
            take_down: mailbox.door(),
            control: mailbox.door(),
            called: mailbox.door(),
            circuit: mailbox.door(),
            report: mailbox.door(),
            missed,
        };
        self.shared.executors.enter(workflow, doors);
    }

    /// Has runs of these workflows driven: their definitions are at hand, and each has an executor. Those of workflows that
    /// are there no more stay, for the runs that they have.
    pub(super) async fn hire_for(&self, catalog: &Catalog) -> Result<(), NotTaken> {
        self.shared.definitions.add(catalog);
        let known = self.shared.executors.workflows();
        let names = catalog.all().map(|definition| definition.name.clone());
        let new: BTreeSet<String> = names.filter(|name| !known.contains(name)).collect();
        let hiring = self.clone();
        let start = move || new.iter().for_each(|workflow| hiring.hire(workflow));
        let Some(thread) = &self.thread else {
            start();
            return Ok(());
        };
        let (started, done) = oneshot::channel();
        thread.spawn_fn(move || {
            start();
            let _ = started.send(());
        });
        done.await.map_err(|_| NotTaken::Closed)
    }
}
