//! Attempts at work: each a task of its own, so that a fall in one is an outcome and not the end of the
//! executor. What an attempt gave is left in its slot until it is durable; the executor may fall in
//! between and finds it there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::failure::{ErrorClass, Failure};
use super::messages::{AttemptEnded, Executors, TakeDown};
use super::port::{Action, Answer, Attempt, Inquiry, Notebook, Outcome};
use crate::ids::RunId;
use crate::mailbox::Door;

/// The attempts of one executor that are not settled, at most one for each run.
pub struct Attempts {
    runtime: Handle,
    slots: BTreeMap<(RunId, u32), Slot>,
    in_flight: InFlight,
}

struct Slot {
    outcome: Arc<Mutex<Option<Outcome>>>,
    abort: AbortHandle,
    _flight: Flight,
}

/// How many attempts the process has in flight, from the decision to make one to its settlement.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<AtomicUsize>);

/// One of them, counted as long as it lives.
#[derive(Debug)]
pub struct Flight(InFlight);

impl InFlight {
    /// How many there are.
    pub fn number(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// One more.
    pub fn enter(&self) -> Flight {
        self.0.fetch_add(1, Ordering::SeqCst);
        Flight(self.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is done of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// It is made.
    Execute,
    /// It is looked whether it has happened.
    Look,
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
    pub fn new(runtime: Handle, in_flight: InFlight) -> Self {
        Self { runtime, slots: BTreeMap::new(), in_flight }
    }

    /// Counts an attempt that is about to be written down.
    pub fn announce(&self) -> Flight {
        self.in_flight.enter()
    }

    /// Makes an attempt; when it has ended, `ended` is told.
    pub fn begin(
        &mut self,
        action: &Arc<dyn Action>,
        (job, attempt): (Job, Attempt),
        flight: Flight,
        ended: Door<AttemptEnded>,
    ) {
        let (run, serial, limit) = (attempt.run, attempt.serial, attempt.timeout);
        let action = Arc::clone(action);
        // Already making the future is the action's, and may fall.
        let work = async move {
            match job {
                Job::Execute => action.execute(attempt).await,
                Job::Look => action.look(attempt).await,
            }
        };
        let task = self.runtime.spawn(within(limit, work));
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
            let _ = ended.ask(AttemptEnded { run, serial }).await;
        });
        if let Some(before) = self.slots.insert((run, serial), Slot { outcome, abort, _flight: flight }) {
            before.abort.abort();
        }
    }

    /// Has an action clean up after an attempt of a former process. A fall in it is logged and no more.
    pub fn clean_up(&self, action: &Arc<dyn Action>, notes: Vec<Json>) -> impl Future<Output = ()> + use<> {
        let action = Arc::clone(action);
        let work = self.runtime.spawn(async move { action.clean_up(notes).await });
        async move {
            if work.await.is_err() {
                tracing::error!("an action fell while it cleaned up after an attempt of a former process");
            }
        }
    }

    /// Asks whether what an attempt has begun is done. A fall in that is a question that nobody could be asked.
    pub fn ask(
        &self,
        action: &Arc<dyn Action>,
        inquiry: Inquiry,
        limit: Duration,
    ) -> impl Future<Output = Answer> + use<> {
        let action = Arc::clone(action);
        let work = async move { tokio::time::timeout(limit, action.poll(inquiry)).await };
        let work = self.runtime.spawn(work);
        async move {
            match work.await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(Failure::new(ErrorClass::Timeout, format!("nobody answered within {limit:?}"))),
                Err(_) => Err(fell()),
            }
        }
    }

    /// How this attempt is.
    pub fn state(&self, run: RunId, serial: u32) -> State {
        match self.slots.get(&(run, serial)) {
            None => State::Unknown,
            Some(slot) => match &*slot.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(outcome) => State::Ended(outcome.clone()),
                None => State::AtWork,
            },
        }
    }

    /// Whether an attempt of this run has ended, and its outcome is not durable yet.
    pub fn have_outcome_of(&self, run: RunId) -> bool {
        let mut of_run = self.slots.range((run, 0)..=(run, u32::MAX));
        of_run.any(|(_, slot)| slot.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_some())
    }

    /// Its outcome is durable, or nobody wants it any more: it is dropped if it is still at work.
    pub fn settle(&mut self, run: RunId, serial: u32) {
        if let Some(slot) = self.slots.remove(&(run, serial)) {
            slot.abort.abort();
        }
    }

    /// Settles those of a run that nobody wants any more.
    pub fn settle_of(&mut self, run: RunId, wanted: impl Fn(u32) -> bool) {
        let of_run = self.slots.range((run, 0)..=(run, u32::MAX)).map(|((_, serial), _)| *serial);
        let unwanted: Vec<u32> = of_run.filter(|serial| !wanted(*serial)).collect();
        unwanted.into_iter().for_each(|serial| self.settle(run, serial));
    }

    /// Settles those of runs that nobody wants any more.
    pub fn settle_all_but(&mut self, wanted: impl Fn(RunId) -> bool) {
        let unwanted: Vec<_> = self.slots.keys().copied().filter(|(run, _)| !wanted(*run)).collect();
        unwanted.into_iter().for_each(|(run, serial)| self.settle(run, serial));
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.settle_all_but(|_| false);
    }
}

async fn within(limit: Duration, work: impl Future<Output = Outcome>) -> Outcome {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("it was not done within {limit:?}");
        Err(Failure::new(ErrorClass::Timeout, message).in_doubt())
    })
}

fn fell() -> Failure {
    Failure::new(ErrorClass::Internal, "the action fell; the log says where").in_doubt()
}

/// The notebook of an attempt: notes go through the executor of its workflow.
pub fn notebook(executors: Executors, workflow: String, run: RunId, serial: u32) -> Notebook {
    Notebook::new(Arc::new(move |note| {
        let executor = executors.of(&workflow);
        Box::pin(async move {
            let gone = || Failure::new(ErrorClass::Temporary, "the executor is gone or fell with the note in hand");
            let (reply, taken) = tokio::sync::oneshot::channel();
            let take_down = TakeDown { run, serial, note, reply };
            executor.map_err(|_| gone())?.take_down.ask(take_down).await.map_err(|_| gone())?;
            taken.await.map_err(|_| gone())?
        })
    }))
}
