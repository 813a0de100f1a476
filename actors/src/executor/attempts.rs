//! Attempts at work: each a task of its own, so that a fall in one is an outcome and not the end of the
//! executor. What an attempt gave is left in its slot until it is durable; the executor may fall in
//! between and finds it there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::failure::{ErrorClass, Failure};
use super::messages::{AttemptEnded, Executors, TakeDown};
use super::port::{Action, Attempt, Notebook, Outcome, Working};
use crate::ids::RunId;
use crate::mailbox::Door;

/// The attempts of one executor that are not settled, at most one for each run.
pub struct Attempts {
    runtime: Handle,
    slots: HashMap<RunId, Slot>,
    /// How many the process has in flight.
    in_flight: Arc<AtomicUsize>,
}

struct Slot {
    attempt: u32,
    outcome: Arc<Mutex<Option<Outcome>>>,
    abort: AbortHandle,
}

/// How an attempt is.
#[derive(Debug, PartialEq)]
pub enum State {
    /// It is at work.
    AtWork,
    /// It gave this.
    Ended(Outcome),
    /// Nobody here makes it.
    Unknown,
}

impl Attempts {
    /// Attempts that work on `runtime` and are counted in `in_flight`.
    pub fn new(runtime: Handle, in_flight: Arc<AtomicUsize>) -> Self {
        Self { runtime, slots: HashMap::new(), in_flight }
    }

    /// Makes an attempt; when it has ended, `ended` is told.
    pub fn begin(&mut self, action: &Arc<dyn Action>, attempt: Attempt, ended: Door<AttemptEnded>) {
        let (run, number, limit) = (attempt.run, attempt.number, attempt.timeout);
        let work = within(limit, action.execute(attempt));
        let task = self.runtime.spawn(work);
        let abort = task.abort_handle();
        let outcome = Arc::new(Mutex::new(None));
        let left = Arc::clone(&outcome);
        self.runtime.spawn(async move {
            let gave = match task.await {
                Ok(outcome) => outcome,
                Err(error) if error.is_panic() => Err(fell()),
                // Aborted: nobody waits for it.
                Err(_) => return,
            };
            *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(gave);
            // An executor that was given up asks for nothing any more.
            let _ = ended.ask(AttemptEnded { run, attempt: number }).await;
        });
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        if let Some(before) = self.slots.insert(run, Slot { attempt: number, outcome, abort }) {
            before.abort.abort();
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// How this attempt is.
    pub fn state(&self, run: RunId, attempt: u32) -> State {
        match self.slots.get(&run).filter(|slot| slot.attempt == attempt) {
            None => State::Unknown,
            Some(slot) => match &*slot.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(outcome) => State::Ended(outcome.clone()),
                None => State::AtWork,
            },
        }
    }

    /// Its outcome is durable, or nobody wants it any more: it is dropped if it is still at work.
    pub fn settle(&mut self, run: RunId) {
        if let Some(slot) = self.slots.remove(&run) {
            slot.abort.abort();
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Settles those of runs that nobody wants any more.
    pub fn settle_all_but(&mut self, wanted: impl Fn(RunId) -> bool) {
        let unwanted: Vec<RunId> = self.slots.keys().copied().filter(|run| !wanted(*run)).collect();
        unwanted.into_iter().for_each(|run| self.settle(run));
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.settle_all_but(|_| false);
    }
}

async fn within(limit: Duration, work: Working<Outcome>) -> Outcome {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("it was not done within {limit:?}");
        Err(Failure::new(ErrorClass::Timeout, message).in_doubt())
    })
}

fn fell() -> Failure {
    Failure::new(ErrorClass::Internal, "the action fell; the log says where").in_doubt()
}

/// The notebook of an attempt: notes go through the executor of its workflow.
pub fn notebook(executors: Executors, workflow: String, run: RunId, attempt: u32) -> Notebook {
    Notebook::new(Arc::new(move |note| {
        let executor = executors.of(&workflow);
        Box::pin(async move {
            let gone = || Failure::new(ErrorClass::Temporary, "the executor is gone or fell with the note in hand");
            let (reply, taken) = tokio::sync::oneshot::channel();
            let take_down = TakeDown { run, attempt, note, reply };
            executor.map_err(|_| gone())?.take_down.ask(take_down).await.map_err(|_| gone())?;
            taken.await.map_err(|_| gone())?
        })
    }))
}
