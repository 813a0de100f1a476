//! Routes what was stored as pending: events whose routing failed, at start-up and from time to time.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use tokio::sync::Notify;

use super::actor::CurrentRules;
use super::routing::{Routed, route};
use crate::event::{Event, Verdict};
use crate::event_log::actor::LogDoor;
use crate::executor::messages::Executors;
use crate::mailbox::Letter;
use crate::store::{Answer, Lease, Store, StoreError, Transition};
use crate::time::{SharedClock, Timestamp};

/// How many pending events are taken at a time.
const BATCH: usize = 64;

/// How often the backlog is looked at when nobody asks.
const EVERY: Duration = Duration::from_secs(5);

/// How long nobody else routes an event that was taken: far longer than routing a batch takes.
const LEASE: Duration = Duration::from_secs(60);

/// An event that stays pending is tried again after this, doubled with every attempt …
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Asks to look at the backlog now, because the rules have changed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RouteBacklog;

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
    asked: Notify,
}

impl Backlog {
    /// The backlog of `store`, whose runs are handed to `executors`.
    pub fn new(
        store: Arc<dyn Store>,
        log: LogDoor,
        rules: CurrentRules,
        executors: Executors,
        clock: SharedClock,
    ) -> Self {
        Self { work: Arc::new(Work { store, log, rules, executors, clock, asked: Notify::new() }) }
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

impl Work {
    async fn go_on(&self) {
        loop {
            match self.route_some().await {
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

    async fn settle(&self, event: &Event, mut lease: Lease) -> Result<(), StoreError> {
        let rules = self.rules.get();
        let payload = event.payload.clone().unwrap_or_default();
        let now = self.clock.now();
        // What it says to runs that wait was heard when it came.
        let Routed { verdict, runs, .. } = route(&rules, &Arc::new(event.meta.clone()), &payload, now);
        if matches!(verdict, Verdict::Pending { .. }) {
            lease.until = next_attempt(now, lease.epoch);
        }
        let settle = Transition::Settle { event: event.meta.id, lease, verdict, runs: runs.clone() };
        if self.log.commit(settle).await? == Answer::Applied {
            self.executors.started(runs);
        }
        Ok(())
    }
}

fn next_attempt(now: Timestamp, attempts: u64) -> Timestamp {
    let doublings = u32::try_from(attempts.min(16)).unwrap_or(16);
    now.plus(FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let pause = |attempts| next_attempt(Timestamp::default(), attempts).millis();
        assert_eq!([0, 1, 2, 7, 99].map(pause), [5_000, 10_000, 20_000, 600_000, 600_000]);
    }
}
