//! The watch of one hook: walks through what its provider tried, keeps what is missing, goes after it, and does it again
//! after a while.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

use super::actor::{Mode, Tools};
use super::chase::{Chase, MOST_TRIES, Settled, TELL_AFTER};
use super::checkpoint::{Checkpoint, Missed};
use super::missed::{Walk, Walked};
use super::port::Deliveries;
use crate::deduplicator::fingerprint;
use crate::event::Delivery;
use crate::executor::failure::{ErrorClass, Failure};
use crate::refusal::Refusal;
use crate::store::{Claim, StoreError, Transition};

/// Missing deliveries that are gone after before it is written down that they were: a crash repeats so many at most.
const BATCH: usize = 50;

/// Most pages of one walk: a million attempts in three days. Nothing a provider says makes it go on for ever.
const MOST_PAGES: usize = 10_000;

/// Keys that are looked up at once.
const LOOKED_UP: usize = 1_000;

/// First pause after a failure that may pass; it doubles up to the time between two looks.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// However long a provider asks to wait, it is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// One hook that is watched.
pub(super) struct Watch {
    hook: String,
    deliveries: Arc<dyn Deliveries>,
    mode: Mode,
    every: Duration,
    tools: Tools,
    asked: Arc<Notify>,
    /// Absent until its checkpoint was read.
    chase: Option<Kept>,
    /// A walk that a failure has interrupted, which may pass.
    walk: Option<Walk>,
    /// The kind of failure that the operator was told of last.
    told: Option<&'static str>,
    /// Whether this look has come further than the one before.
    advanced: bool,
}

/// A chase, and what of it is durable.
struct Kept {
    chase: Chase,
    durable: Checkpoint,
}

/// Why a look did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Provider(#[from] Failure),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("this server does not take it in now: {}", .0.code())]
    Refused(Refusal),
    #[error("the process ends")]
    Draining,
}

impl Trouble {
    /// What kind it is: of each the operator is told once.
    fn kind(&self) -> &'static str {
        match self {
            Self::Provider(failure) => failure.class.name(),
            Self::Store(_) => "store",
            Self::Refused(refusal) => refusal.code(),
            Self::Draining => "draining",
        }
    }

    /// Whether it may pass before the next look.
    fn may_pass(&self) -> bool {
        match self {
            Self::Provider(failure) => failure.class.is_retryable(),
            _ => true,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider(failure) => failure.retry_after_ms.map(Duration::from_millis),
            Self::Refused(refusal) => refusal.retry_after(),
            _ => None,
        }
    }
}

impl Watch {
    /// The watch of a hook, which looks when it is asked to, too.
    pub(super) fn new(
        hook: String,
        (deliveries, mode, every): (Arc<dyn Deliveries>, Mode, Duration),
        tools: Tools,
        asked: Arc<Notify>,
    ) -> Self {
        Self { hook, deliveries, mode, every, tools, asked, chase: None, walk: None, told: None, advanced: false }
    }

    /// Looks for as long as the process lives.
    pub(super) async fn go_on(mut self) {
        // What is asked for comes to the front door.
        self.tools.receivers.open().await;
        let mut pause = FIRST_PAUSE;
        while !self.is_draining() {
            self.advanced = false;
            let wait = match self.look().await {
                Ok(trouble) => {
                    pause = FIRST_PAUSE;
                    self.looked(trouble.as_ref());
                    self.every
                }
                Err(Trouble::Draining) => return,
                Err(trouble) => {
                    self.tell(&trouble);
                    if self.advanced {
                        pause = FIRST_PAUSE;
                    }
                    let wait = if trouble.may_pass() { pause.min(self.every) } else { self.every };
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    trouble.retry_after().map_or(wait, |asked| asked.max(wait).min(LONGEST_PAUSE))
                }
            };
            _ = tokio::time::timeout(wait, self.asked.notified()).await;
        }
    }

    /// One look. What kept single deliveries from being got, without being in the way of the others, is given back.
    async fn look(&mut self) -> Result<Option<Failure>, Trouble> {
        let mut kept = match self.chase.take() {
            Some(kept) => kept,
            None => self.read().await?,
        };
        let looked = self.look_on(&mut kept).await;
        // Also after a failure: what was done until then was done.
        let written = self.keep(&mut kept).await;
        self.chase = Some(kept);
        let trouble = looked?;
        written?;
        Ok(trouble)
    }

    async fn look_on(&mut self, kept: &mut Kept) -> Result<Option<Failure>, Trouble> {
        let walked = self.walk(&kept.chase).await?;
        let in_log = self.in_log(kept.chase.suspects(&walked)).await?;
        let settled = kept.chase.settle(walked, &in_log, self.tools.clock.now());
        self.tell_settled(&settled);
        self.tools.watches.note(&self.hook, |watched| watched.settled(&settled));
        // What is missing is durable before it is gone after, together with how far the walk has come.
        self.keep(kept).await?;
        let mut trouble = None;
        for batch in kept.chase.due(self.tools.clock.now()).chunks(BATCH) {
            for missed in batch {
                if self.is_draining() {
                    return Err(Trouble::Draining);
                }
                trouble = self.get(&mut kept.chase, missed).await?.or(trouble);
            }
            self.keep(kept).await?;
        }
        Ok(trouble)
    }

    async fn read(&self) -> Result<Kept, StoreError> {
        let checkpoints = self.tools.store.checkpoints().await?;
        let known = checkpoints.into_iter().find(|checkpoint| checkpoint.hook == self.hook);
        let durable = known.unwrap_or_else(|| Checkpoint { hook: self.hook.clone(), ..Checkpoint::default() });
        Ok(Kept { chase: Chase::new(durable.clone(), self.every, self.tools.window), durable })
    }

    async fn keep(&self, kept: &mut Kept) -> Result<(), StoreError> {
        self.tools.watches.note(&self.hook, |watched| watched.stands(&kept.chase));
        if kept.durable != *kept.chase.checkpoint() {
            let checkpoint = kept.chase.checkpoint().clone();
            self.tools.log.commit(Transition::KeepCheckpoint(checkpoint.clone())).await?;
            kept.durable = checkpoint;
        }
        Ok(())
    }

    /// Walks through the attempts. After a failure that may pass it goes on where it was: a provider that limits calls
    /// might never let it come to the end otherwise.
    async fn walk(&mut self, chase: &Chase) -> Result<Walked, Trouble> {
        let mut walk = self.walk.take().unwrap_or_else(|| chase.walk(self.tools.clock.now()));
        let mut pages = 0;
        loop {
            if self.is_draining() {
                return Err(Trouble::Draining);
            }
            match self.deliveries.page(&self.hook, walk.cursor()).await {
                Ok(page) => {
                    pages += 1;
                    if !walk.take(page.items, page.next) {
                        return Ok(walk.finish());
                    }
                    if pages == MOST_PAGES {
                        tracing::warn!(
                            hook = self.hook,
                            "there are more attempts than are looked through; the oldest are not"
                        );
                        return Ok(walk.finish());
                    }
                }
                Err(failure) => {
                    self.advanced = pages > 0;
                    self.walk = failure.class.is_retryable().then_some(walk);
                    return Err(failure.into());
                }
            }
        }
    }

    /// Those of the deliveries that are events already.
    async fn in_log(&self, guids: Vec<String>) -> Result<HashSet<String>, StoreError> {
        let (source, window) = (self.deliveries.source(), self.tools.window);
        let mut known = HashSet::new();
        for some in guids.chunks(LOOKED_UP) {
            let claim = |guid: &String| Claim { key: fingerprint::delivery(source, guid), window };
            let claims = some.iter().map(claim).collect();
            let first = self.tools.store.first_events(claims, self.tools.clock.now()).await?;
            let there = some.iter().zip(first).filter(|(_, event)| event.is_some());
            known.extend(there.map(|(guid, _)| guid.clone()));
        }
        Ok(known)
    }

    /// Goes after one delivery. What is wrong with it alone is given back, and counts as a try.
    async fn get(&mut self, chase: &mut Chase, missed: &Missed) -> Result<Option<Failure>, Trouble> {
        let tried = match self.mode {
            Mode::Redeliver => self.redeliver(missed).await,
            Mode::Ingest => self.ingest(missed).await,
        };
        self.advanced |= tried.is_ok();
        match tried {
            Ok(Got::TakenIn) => {
                chase.taken_in(&missed.guid);
                self.tools.watches.note(&self.hook, |watched| watched.taken_in += 1);
                Ok(None)
            }
            Ok(Got::Asked) => {
                self.count(chase, missed, "it was asked for, and has not come");
                Ok(None)
            }
            Err(Trouble::Provider(failure)) if is_of_one(&failure) => {
                self.count(chase, missed, &failure.message);
                Ok(Some(failure))
            }
            // Also when nobody knows whether it was asked for: what comes twice is one event.
            Err(trouble) => Err(trouble),
        }
    }

    async fn redeliver(&self, missed: &Missed) -> Result<Got, Trouble> {
        self.deliveries.redeliver(&self.hook, missed.attempt).await?;
        self.tools.watches.note(&self.hook, |watched| watched.requested += 1);
        Ok(Got::Asked)
    }

    /// Takes a delivery in that the provider's API has handed out. That answer, over TLS and to our credential, is the
    /// proof that it is authentic; from here on it goes the way of any delivery, with the same id, so that one that comes
    /// through the front door later is a duplicate.
    async fn ingest(&self, missed: &Missed) -> Result<Got, Trouble> {
        let carried = self.deliveries.fetch(&self.hook, missed.attempt).await?;
        let (source, received_at) = (self.deliveries.source().clone(), self.tools.clock.now());
        let delivery =
            Delivery { source: source.clone(), headers: carried.headers, body: carried.body, peer: None, received_at };
        match self.tools.receivers.receive(&delivery).await {
            Ok(receipt) => {
                if let Some(tally) = self.tools.tallies.of(&source) {
                    tally.count(receipt.outcome, receipt.took);
                }
                Ok(Got::TakenIn)
            }
            Err(refusal) if refusal.retry_after().is_some() => Err(Trouble::Refused(refusal)),
            Err(refusal) => Err(Failure::new(ErrorClass::Validation, refusal.message()).into()),
        }
    }

    /// Counts a try, and says aloud when there were many.
    fn count(&self, chase: &mut Chase, missed: &Missed, why: &str) {
        let (hook, guid) = (&self.hook, &missed.guid);
        match chase.tried(guid, self.tools.clock.now()) {
            TELL_AFTER => tracing::warn!(hook, guid, tries = TELL_AFTER, why, "a delivery that failed does not come"),
            MOST_TRIES => tracing::warn!(
                hook,
                guid,
                tries = MOST_TRIES,
                why,
                "a delivery that failed is given up until the next start; have it redelivered by hand"
            ),
            _ => {}
        }
    }

    fn tell_settled(&self, settled: &Settled) {
        let hook = &self.hook;
        if settled.found > 0 {
            tracing::info!(hook, missed = settled.found, mode = self.mode.name(), "deliveries have failed and are got");
        }
        if settled.arrived > 0 {
            tracing::info!(hook, arrived = settled.arrived, "deliveries that had failed are in the log");
        }
        for Missed { guid, tries, .. } in &settled.lost {
            tracing::warn!(hook, guid, tries, "a delivery that failed is lost: it is too old to be got any more");
        }
    }

    /// A look has come to its end.
    fn looked(&mut self, trouble: Option<&Failure>) {
        if let Some(failure) = trouble {
            self.tell(&Trouble::Provider(failure.clone()));
        } else if self.told.take().is_some() {
            tracing::info!(hook = self.hook, "what could not be delivered is asked for again");
        }
        let now = self.tools.clock.now();
        self.tools.watches.note(&self.hook, |watched| {
            watched.looks += 1;
            watched.last_look = Some(now);
            watched.failing = trouble.map(|failure| failure.message.clone());
        });
    }

    /// Says what is wrong, once for each kind, and shows it.
    fn tell(&mut self, trouble: &Trouble) {
        if self.told.replace(trouble.kind()) != Some(trouble.kind()) {
            tracing::warn!(
                hook = self.hook,
                trouble = trouble.to_string(),
                "what could not be delivered cannot be got now"
            );
        }
        self.tools.watches.note(&self.hook, |watched| watched.failing = Some(trouble.to_string()));
    }

    fn is_draining(&self) -> bool {
        self.tools.draining.load(Ordering::SeqCst)
    }
}

/// What became of going after a delivery.
enum Got {
    /// It is in the log.
    TakenIn,
    /// It will come.
    Asked,
}

/// Whether a failure says something of one delivery only.
fn is_of_one(failure: &Failure) -> bool {
    matches!(failure.class, ErrorClass::NotFound | ErrorClass::Validation)
}
