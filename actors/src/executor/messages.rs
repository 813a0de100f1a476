//! What executors are told, and where they are found: there is one for each workflow.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use actix::Message;
use serde_json::Value as Json;
use tokio::sync::{Notify, oneshot};

use super::command::Command;
use super::failure::Failure;
use crate::dispatcher::queue::Order;
use crate::ids::RunId;
use crate::mailbox::{Door, NotTaken};
use crate::run::RunRecord;
use crate::wait::record::WaitRef;

/// Runs were started and are durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RunsStarted(pub Vec<RunRecord>);

/// What the dispatcher says to a run.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct Told(pub Order);

/// A time of a run has come.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct Wake(pub RunId);

/// An attempt has ended; its outcome lies where it was left.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AttemptEnded {
    /// The run.
    pub run: RunId,
    /// Serial of the attempt.
    pub serial: u32,
}

/// Writes a note of an attempt into the journal; the reply comes when it is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TakeDown {
    /// The run.
    pub run: RunId,
    /// Serial of the attempt.
    pub serial: u32,
    /// The note.
    pub note: Json,
    /// Told when it is durable.
    pub reply: oneshot::Sender<Result<(), Failure>>,
}

/// An operator says something of a run. The reply comes when it is durable, or with the reason why it
/// cannot be followed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Control {
    /// The run.
    pub run: RunId,
    /// What is said.
    pub command: Command,
    /// Who says so, by name.
    pub by: Option<String>,
    /// Told what became of it.
    pub reply: oneshot::Sender<Result<(), Refused>>,
}

/// A wait of a run was completed, or one that another run has for it; the store knows by what.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CalledBack(pub RunId);

/// A service may be called again, perhaps.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CircuitMoved(pub String);

/// Why an operator's command was not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As the run stands it cannot be.
    #[error("{0}")]
    NotPossible(String),
    /// The store does not work, or the executor fell with it in hand. It may have been followed.
    #[error("{0}")]
    Unknown(String),
}

/// Asks for a census of the live runs: the dispatcher does not know them.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct ReportAll;

/// The ways into one executor.
#[derive(Clone)]
pub struct ExecutorDoors {
    /// Runs that were started.
    pub started: Door<RunsStarted>,
    /// Words of the dispatcher.
    pub told: Door<Told>,
    /// Times that have come.
    pub wake: Door<Wake>,
    /// Attempts that have ended.
    pub ended: Door<AttemptEnded>,
    /// Notes of attempts.
    pub take_down: Door<TakeDown>,
    /// Words of operators.
    pub control: Door<Control>,
    /// Waits that were completed.
    pub called: Door<CalledBack>,
    /// Services that may be called again.
    pub circuit: Door<CircuitMoved>,
    /// Reports.
    pub report: Door<ReportAll>,
    /// Has the executor look for runs in storage that it was not told of.
    pub missed: Arc<Notify>,
}

/// The executors of a process, by workflow.
#[derive(Clone, Default)]
pub struct Executors(Arc<RwLock<BTreeMap<String, ExecutorDoors>>>);

impl Executors {
    /// Enters the executor of a workflow.
    pub fn enter(&self, workflow: &str, doors: ExecutorDoors) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(workflow.to_owned(), doors);
    }

    /// The executor of a workflow.
    pub fn of(&self, workflow: &str) -> Result<ExecutorDoors, NotTaken> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(workflow).cloned().ok_or(NotTaken::Closed)
    }

    /// Has the executor of a run follow a command of an operator with this name; what it answers is durable.
    pub async fn tell(&self, run: RunId, workflow: &str, command: Command, by: Option<String>) -> Result<(), Refused> {
        let Ok(executor) = self.of(workflow) else {
            let why = format!("the workflow `{workflow}` is not in the configuration any more; put it back");
            return Err(Refused::NotPossible(why));
        };
        let fell = || {
            Refused::Unknown("the executor fell with this in hand; look at the run before you say it again".to_owned())
        };
        let (reply, answered) = oneshot::channel();
        executor.control.ask(Control { run, command, by, reply }).await.map_err(|_| fell())?;
        answered.await.map_err(|_| fell())?
    }

    /// Has all of them look for runs in storage that nobody told them of.
    pub fn look_again(&self) {
        for executor in self.0.read().unwrap_or_else(PoisonError::into_inner).values() {
            executor.missed.notify_one();
        }
    }

    /// The workflows that have one.
    pub fn workflows(&self) -> HashSet<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Tells all of them that a service may be called again. One that has no room looks at all its runs.
    pub fn circuit_moved(&self, service: &str) {
        for executor in self.0.read().unwrap_or_else(PoisonError::into_inner).values() {
            if executor.circuit.offer(CircuitMoved(service.to_owned())) == Err(NotTaken::Full) {
                executor.missed.notify_one();
            }
        }
    }

    /// Tells of waits that were completed. An executor that has no room finds them in storage.
    pub fn called(&self, waits: Vec<WaitRef>) {
        self.look(waits.into_iter().map(|wait| (wait.workflow, wait.run)).collect());
    }

    /// Has runs look at their waits, and at their parents', each in its workflow. An executor that has no room looks at
    /// all of its own.
    pub fn look(&self, runs: Vec<(String, RunId)>) {
        for (workflow, run) in runs {
            let Ok(executor) = self.of(&workflow) else { continue };
            if executor.called.offer(CalledBack(run)).is_err() {
                executor.missed.notify_one();
            }
        }
    }

    /// Tells of runs that are durable now. An executor that has no room finds them in storage.
    pub fn started(&self, runs: Vec<RunRecord>) {
        let mut by_workflow: BTreeMap<String, Vec<RunRecord>> = BTreeMap::new();
        for run in runs {
            by_workflow.entry(run.workflow.clone()).or_default().push(run);
        }
        for (workflow, runs) in by_workflow {
            let Ok(executor) = self.of(&workflow) else { continue };
            if executor.started.offer(RunsStarted(runs)).is_err() {
                executor.missed.notify_one();
            }
        }
    }
}
