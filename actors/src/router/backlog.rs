//! Routes what was stored as pending: events whose routing failed, at start-up and from time to time; and
//! what operators want routed now, or once more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use tokio::sync::{Mutex, Notify, oneshot};

use super::actor::CurrentRules;
use super::patience::Patience;
use super::routing::{FIRST_ROUTING, Routed, route_again};
use crate::event::fate::Change;
use crate::event::{Event, Verdict};
use crate::event_log::actor::LogDoor;
use crate::executor::messages::Executors;
use crate::ids::{EventId, RunId};
use crate::mailbox::Letter;
use crate::store::{Answer, Lease, Store, StoreError, Transition};
use crate::time::{SharedClock, Timestamp};

/// How many pending events are taken at a time.
const BATCH: usize = 64;

/// How often the backlog is looked at when nobody asks.
const EVERY: Duration = Duration::from_secs(5);

/// How long nobody else routes an event that was taken: far longer than routing a batch takes.
const LEASE: Duration = Duration::from_secs(60);

/// How often a replay is begun anew because another one was faster.
const RACES: usize = 8;

/// Asks to look at the backlog now, because the rules have changed or something is due.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RouteBacklog;

/// Asks for an event to be routed now if it was never routed, and to be replayed otherwise.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retry {
    /// The event.
    pub event: EventId,
    /// By which the operator knows the request: one that was followed is not followed again.
    pub request: Option<String>,
    /// Whether it is only said what would happen.
    pub dry_run: bool,
    /// Told what has become of it.
    pub reply: oneshot::Sender<Result<Retried, StoreError>>,
}

/// What has become of a retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// There is no such event.
    NotThere,
    /// It was never routed before, and was now, or would be; its verdict says more.
    Routed,
    /// It has started these runs as another generation.
    Replayed {
        /// The generation.
        generation: u32,
        /// The runs.
        runs: Vec<RunId>,
    },
    /// This request was followed before, and has started these runs.
    Repeated {
        /// The runs.
        runs: Vec<RunId>,
    },
    /// It would start runs of these workflows.
    Would {
        /// The workflows, once for each run.
        workflows: Vec<String>,
    },
    /// It starts nothing, and nothing was changed.
    Nothing {
        /// Why, in words.
        reason: String,
    },
}

/// The actor that routes pending events.
pub struct Backlog {
    work: Arc<Work>,
}

struct Work {
    store: Arc<dyn Store>,
    log: LogDoor,
    rules: CurrentRules,
    executors: Executors,
    clock: SharedClock,
    patience: Patience,
    asked: Notify,
    /// Held by who takes pending events: a retry finds its own.
    taking: Mutex<()>,
}

impl Backlog {
    /// The backlog of `store`, written through `log`, whose runs are handed to `executors`.
    pub fn new(
        (store, log): (Arc<dyn Store>, LogDoor),
        rules: CurrentRules,
        executors: Executors,
        clock: SharedClock,
        patience: Patience,
    ) -> Self {
        let (asked, taking) = (Notify::new(), Mutex::new(()));
        Self { work: Arc::new(Work { store, log, rules, executors, clock, patience, asked, taking }) }
    }
}

impl Actor for Backlog {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let work = Arc::clone(&self.work);
        ctx.spawn(async move { work.go_on().await }.into_actor(self));
    }
}

impl Supervised for Backlog {}

impl Handler<Letter<RouteBacklog>> for Backlog {
    type Result = ();

    fn handle(&mut self, letter: Letter<RouteBacklog>, _: &mut Context<Self>) {
        let RouteBacklog = letter.open();
        self.work.asked.notify_one();
    }
}

impl Handler<Letter<Retry>> for Backlog {
    type Result = ();

    fn handle(&mut self, letter: Letter<Retry>, ctx: &mut Context<Self>) {
        let Retry { event, request, dry_run, reply } = letter.open();
        let work = Arc::clone(&self.work);
        // Whoever asked may have gone; what was done is done.
        let retry = async move { _ = reply.send(work.retry(event, request, dry_run).await) };
        ctx.spawn(retry.into_actor(self));
    }
}

impl Work {
    async fn go_on(&self) {
        loop {
            let taken = {
                let _taking = self.taking.lock().await;
                self.route_some().await
            };
            match taken {
                Ok(taken) if taken == BATCH => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "pending events could not be routed"),
            }
            let _ = tokio::time::timeout(EVERY, self.asked.notified()).await;
        }
    }

    async fn route_some(&self) -> Result<usize, StoreError> {
        if self.store.counts().pending == 0 {
            return Ok(0);
        }
        let now = self.clock.now();
        let taken = self.store.take_pending(BATCH, now, now.plus(LEASE)).await?;
        let number = taken.len();
        for (event, lease) in taken {
            self.settle(&event, lease).await?;
        }
        Ok(number)
    }

    async fn settle(&self, event: &Event, lease: Lease) -> Result<(), StoreError> {
        let now = self.clock.now();
        // What it says to runs that wait was heard when it came.
        let (reason, fell) = match self.route(event, now, FIRST_ROUTING) {
            Some(Routed { verdict: Verdict::Pending { reason, .. }, .. }) => (reason, false),
            Some(Routed { verdict, runs, .. }) => {
                let settle = Transition::Settle { event: event.meta.id, lease, verdict, runs: runs.clone() };
                if self.log.commit(settle).await? == Answer::Applied {
                    self.executors.started(runs);
                }
                return Ok(());
            }
            None => ("routing it fell; the log says where".to_owned(), true),
        };
        let change = self.patience.after_failure(event.fate().failures(), (now, lease), reason, fell);
        let is_last = matches!(&change, Change::Failed { failure, .. } if failure.is_last);
        let failed = Transition::Change { event: event.meta.id, at: now, change: change.clone() };
        if self.log.commit(failed).await? == Answer::Applied
            && is_last
            && let Change::Failed { failure, .. } = change
        {
            let (attempts, reason) = (failure.number, failure.reason);
            tracing::warn!(event = %event.meta.id, attempts, reason, "an event cannot be routed and is a dead letter");
        }
        Ok(())
    }

    /// What an event starts; `None` if routing it fell. One that does holds up nobody else.
    fn route(&self, event: &Event, now: Timestamp, generation: u32) -> Option<Routed> {
        let rules = self.rules.get();
        let (meta, payload) = (Arc::new(event.meta.clone()), event.payload.clone().unwrap_or_default());
        caught(|| route_again(&rules, &meta, &payload, (now, generation)))
    }

    async fn retry(&self, id: EventId, request: Option<String>, dry_run: bool) -> Result<Retried, StoreError> {
        for _ in 0..RACES {
            let Some(event) = self.store.event(id).await? else { return Ok(Retried::NotThere) };
            let (now, fate) = (self.clock.now(), event.fate());
            if let Some(runs) = request.as_deref().and_then(|request| fate.answer_to(request)) {
                return Ok(Retried::Repeated { runs: runs.to_vec() });
            }
            if matches!(fate.verdict, Verdict::Pending { .. } | Verdict::DeadLettered { .. }) {
                if !dry_run {
                    self.route_now(&event).await?;
                }
                return Ok(Retried::Routed);
            }
            let generation = fate.generation() + 1;
            let Some(Routed { verdict, runs, .. }) = self.route(&event, now, generation) else {
                return Ok(Retried::Nothing { reason: "routing it fell; the log says where".to_owned() });
            };
            match verdict {
                Verdict::Started { .. } if dry_run => {
                    return Ok(Retried::Would { workflows: runs.into_iter().map(|run| run.workflow).collect() });
                }
                Verdict::Started { .. } => {}
                Verdict::Pending { reason, .. } | Verdict::Unrouted { reason } => {
                    return Ok(Retried::Nothing { reason });
                }
                other => return Ok(Retried::Nothing { reason: format!("its verdict would be {}", other.status()) }),
            }
            let change = Change::Replay { generation, request: request.clone(), runs: runs.clone() };
            if self.log.commit(Transition::Change { event: id, at: now, change }).await? == Answer::Applied {
                let started = runs.iter().map(|run| run.id).collect();
                self.executors.started(runs);
                return Ok(Retried::Replayed { generation, runs: started });
            }
        }
        Err(StoreError::Unavailable("others replay the same event all the time; try again".to_owned()))
    }

    /// Routes an event that was never routed, together with what else is due.
    async fn route_now(&self, event: &Event) -> Result<(), StoreError> {
        let _taking = self.taking.lock().await;
        let is_dead = matches!(event.verdict, Verdict::DeadLettered { .. });
        let change = if is_dead { Change::Redrive } else { Change::Hurry };
        let due = Transition::Change { event: event.meta.id, at: self.clock.now(), change };
        // Somebody else may have been faster: then it is due, or routed.
        self.log.commit(due).await?;
        while self.route_some().await? == BATCH {}
        Ok(())
    }
}

fn caught(route: impl FnOnce() -> Routed) -> Option<Routed> {
    catch_unwind(AssertUnwindSafe(route)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_over_which_routing_falls_takes_nobody_with_it() {
        assert_eq!(caught(|| panic!("a rule that falls")), None);
        let nothing = || Routed::nothing(Verdict::Unrouted { reason: "x".into() }, false);
        assert_eq!(caught(nothing), Some(nothing()));
    }
}
