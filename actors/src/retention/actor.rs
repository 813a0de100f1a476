//! The door of retention: looks at the log a page at a time, asks the inside what goes of it, and has that
//! committed like everything else. It holds nothing that a restart would miss.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use futures_util::future::try_join_all;
use tokio::sync::Notify;

use super::policy::{Policy, Walk};
use crate::event_log::actor::LogDoor;
use crate::mailbox::Letter;
use crate::store::{Answer, Store, StoreError, Transition};
use crate::time::SharedClock;

/// Events that are looked at, and at most removed, at once.
const PAGE: usize = 64;

/// How often it is looked whether anything may go; when nothing may, that is one look-up.
const EVERY: Duration = Duration::from_secs(1);

/// Pause after a failure of the store.
const STORE_PAUSE: Duration = Duration::from_secs(30);

/// After a page it rests as many times as long as that took: at most a third of the time the store works
/// for it, and less when others keep the store busy.
const REST: u32 = 2;

/// It rests so long at least.
const SHORTEST_REST: Duration = Duration::from_millis(5);

/// Asks to look at once whether anything may go.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LookNow;

/// The actor of retention.
pub struct Retention {
    work: Arc<Work>,
}

struct Work {
    policy: Policy,
    store: Arc<dyn Store>,
    log: LogDoor,
    clock: SharedClock,
    /// Set when the process is about to end.
    draining: Arc<AtomicBool>,
    asked: Notify,
}

impl Retention {
    /// Retention by `policy` in `store`, through its `log`, until `draining` is set.
    pub fn new(
        policy: Policy,
        store: Arc<dyn Store>,
        log: LogDoor,
        clock: SharedClock,
        draining: Arc<AtomicBool>,
    ) -> Self {
        Self { work: Arc::new(Work { policy, store, log, clock, draining, asked: Notify::new() }) }
    }
}

impl Actor for Retention {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let work = Arc::clone(&self.work);
        ctx.spawn(async move { work.go_on().await }.into_actor(self));
    }
}

/// After a fall the next walk begins at the oldest event.
impl Supervised for Retention {}

impl Handler<Letter<LookNow>> for Retention {
    type Result = ();

    fn handle(&mut self, letter: Letter<LookNow>, _: &mut Context<Self>) {
        let LookNow = letter.open();
        self.work.asked.notify_one();
    }
}

impl Work {
    async fn go_on(&self) {
        let (mut walk, mut removed) = (Walk::new(self.policy), 0);
        while !self.is_draining() {
            let began = self.clock.elapsed();
            match self.page(&mut walk).await {
                Ok(Some(gone)) => {
                    removed += gone;
                    let took = self.clock.elapsed().saturating_sub(began);
                    tokio::time::sleep((took * REST).max(SHORTEST_REST)).await;
                    continue;
                }
                Ok(None) => {
                    if std::mem::take(&mut removed) > 0 {
                        let counts = self.store.counts();
                        tracing::info!(kept = counts.events, removed = counts.purged_events, "old events were removed");
                    }
                    _ = tokio::time::timeout(EVERY, self.asked.notified()).await;
                }
                Err(_) if self.is_draining() => {}
                Err(error) => {
                    tracing::warn!(%error, "old events could not be removed; trying again");
                    walk = Walk::new(self.policy);
                    _ = tokio::time::timeout(STORE_PAUSE, self.asked.notified()).await;
                }
            }
        }
    }

    /// Removes what may go of the next page, and says how many events that were; `None` at the end.
    async fn page(&self, walk: &mut Walk) -> Result<Option<usize>, StoreError> {
        let (now, events) = (self.clock.now(), self.store.counts().events);
        let stretch = walk.stretch(now, events);
        let page = self.store.dossiers(stretch, PAGE).await?;
        let going = walk.judge(&page, now, events);
        let commits = going.into_iter().map(|purge| self.log.commit(Transition::Purge(purge)));
        let answers = try_join_all(commits).await?;
        let gone = answers.iter().filter(|answer| **answer == Answer::Applied).count();
        Ok((!page.is_empty()).then_some(gone))
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}
