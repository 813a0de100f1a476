//! The committer: takes what is ready, has it committed at once, answers everybody.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Supervised, WrapFuture};
use serde_json::Value as Json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::pacing::{self, LONGEST_WAIT, Step};
use super::state::LogState;
use crate::event::Verdict;
use crate::event::fate::Change;
use crate::ids::EventId;
use crate::mailbox::{Basket, BasketDoor, Ready, Room};
use crate::run::{Entry, RunRecord, What};
use crate::store::{Answer, Lease, Store, StoreError, Transition};
use crate::time::Timestamp;

/// Most transitions in one batch. More would only make the first in it wait longer; with fewer,
/// a flush costs each of them more.
const MOST_IN_BATCH: usize = 512;

/// Most bytes in one batch: a store holds its locks while it applies one, and readers wait.
const MOST_BYTES: usize = 4 << 20;

/// Pause between attempts to make a failed store work again.
const RECOVERY_PAUSE: Duration = Duration::from_secs(1);

/// Asks for a transition to be committed. The reply comes when it is durable.
pub struct Commit {
    transition: Transition,
    reply: oneshot::Sender<Result<Answer, StoreError>>,
}

/// Looks in storage for what nobody was told of.
pub type AfterDoubt = Arc<dyn Fn() + Send + Sync>;

/// The actor of the event log.
pub struct EventLog {
    store: Arc<dyn Store>,
    state: Arc<LogState>,
    waiting: Basket<Commit>,
    in_hand: bool,
    /// How many the last batch had.
    last: usize,
    /// Told when the fate of batches whose askers got no answer is known: what they started may be there.
    after_doubt: AfterDoubt,
    /// A batch was in hand when this fell.
    in_doubt: bool,
    /// Counts the batches that were held, so that a late end of one is recognised.
    hold: Option<u64>,
    holds: u64,
}

impl EventLog {
    /// A log on `store` that tells `state` whether it can write, commits what is put into `waiting`, and
    /// tells `after_doubt` when commits that nobody was answered may have been done.
    pub fn new(store: Arc<dyn Store>, state: Arc<LogState>, waiting: Basket<Commit>, after_doubt: AfterDoubt) -> Self {
        let (in_hand, in_doubt, last, hold, holds) = (false, false, 0, None, 0);
        Self { store, state, waiting, in_hand, after_doubt, in_doubt, last, hold, holds }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if !self.state.is_writable() {
            self.refuse_all(&StoreError::Unavailable(self.state.reason()));
            return;
        }
        if self.in_hand {
            return;
        }
        match pacing::next(self.waiting.len(), self.last, false) {
            Step::Commit => self.commit(ctx),
            Step::Hold => self.hold(ctx),
            Step::Rest if self.waiting.wake_at(1) => {}
            // Something came in the meantime.
            Step::Rest => self.go_on(ctx),
        }
    }

    fn hold(&mut self, ctx: &mut Context<Self>) {
        if !self.waiting.wake_at(self.last) {
            self.commit(ctx);
            return;
        }
        if self.hold.is_some() {
            return;
        }
        self.holds += 1;
        let this = self.holds;
        self.hold = Some(this);
        let long_enough = tokio::time::sleep(LONGEST_WAIT).into_actor(self);
        ctx.spawn(long_enough.map(move |(), log, ctx| {
            if log.hold == Some(this) && pacing::next(log.waiting.len(), log.last, true) == Step::Commit {
                log.commit(ctx);
            }
        }));
    }

    fn commit(&mut self, ctx: &mut Context<Self>) {
        self.in_hand = true;
        self.hold = None;
        let (transitions, askers) = self.take_batch();
        self.last = transitions.len();
        let (commit, began) = (self.store.commit(transitions), Instant::now());
        ctx.spawn(commit.into_actor(self).map(move |result, log, ctx| {
            log.state.took(began.elapsed());
            log.answer(result, askers, ctx);
        }));
    }

    fn take_batch(&mut self) -> (Vec<Transition>, Vec<Asker>) {
        let (mut number, mut bytes) = (0, 0);
        let taken = self.waiting.take_until(|commit| {
            number += 1;
            bytes += commit.transition.weight();
            number >= MOST_IN_BATCH || bytes >= MOST_BYTES
        });
        let (mut transitions, mut askers) = (Vec::with_capacity(taken.len()), Vec::with_capacity(taken.len()));
        for (Commit { transition, reply }, room) in taken {
            transitions.push(transition);
            askers.push(Asker { reply, room });
        }
        (transitions, askers)
    }

    fn answer(&mut self, result: Result<Vec<Answer>, StoreError>, askers: Vec<Asker>, ctx: &mut Context<Self>) {
        self.in_hand = false;
        match result {
            Ok(answers) => {
                for (asker, answer) in askers.into_iter().zip(answers) {
                    asker.tell(Ok(answer));
                }
                self.go_on(ctx);
            }
            Err(error) => {
                tracing::error!(store = self.store.name(), %error, "the event log cannot write; deliveries are refused until it can");
                self.state.cannot_write(&error);
                for asker in askers {
                    asker.tell(Err(error.clone()));
                }
                self.refuse_all(&error);
                self.recover(ctx);
            }
        }
    }

    fn refuse_all(&mut self, error: &StoreError) {
        while !self.waiting.wake_at(1) {
            for (Commit { reply, .. }, room) in self.waiting.take_until(|_| false) {
                Asker { reply, room }.tell(Err(error.clone()));
            }
        }
    }

    fn recover(&mut self, ctx: &mut Context<Self>) {
        let store = Arc::clone(&self.store);
        let attempts = async move {
            while let Err(error) = store.recover().await {
                tracing::warn!(store = store.name(), %error, "the store still does not work");
                tokio::time::sleep(RECOVERY_PAUSE).await;
            }
        };
        ctx.spawn(attempts.into_actor(self).map(|(), log, ctx| {
            tracing::info!(store = log.store.name(), "the event log can write again");
            log.state.can_write();
            (log.after_doubt)();
            log.go_on(ctx);
        }));
    }
}

struct Asker {
    reply: oneshot::Sender<Result<Answer, StoreError>>,
    /// Held until the answer, so that the depth of the mailbox is what is not yet durable.
    room: Room,
}

impl Asker {
    fn tell(self, answer: Result<Answer, StoreError>) {
        // Whoever asked may have gone; what was committed stays committed.
        let _ = self.reply.send(answer);
        drop(self.room);
    }
}

impl Actor for EventLog {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if self.state.is_writable() {
            if std::mem::take(&mut self.in_doubt) {
                // When this is through, so is what was in hand before.
                let behind = self.store.commit(Vec::new());
                ctx.spawn(behind.into_actor(self).map(|_, log, _| (log.after_doubt)()));
            }
            self.go_on(ctx);
        } else {
            self.recover(ctx);
        }
    }
}

impl Supervised for EventLog {
    /// The batch in hand is lost with the fall and its askers are told; what waits is kept.
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.in_doubt |= self.in_hand;
        self.in_hand = false;
        self.hold = None;
    }
}

impl Drop for EventLog {
    /// Whoever still waits is told.
    fn drop(&mut self) {
        self.waiting.close();
    }
}

impl Handler<Ready> for EventLog {
    type Result = ();

    fn handle(&mut self, _: Ready, ctx: &mut Context<Self>) {
        self.go_on(ctx);
    }
}

/// The way into the log.
#[derive(Clone)]
pub struct LogDoor(BasketDoor<Commit>);

impl LogDoor {
    /// Through this door of an [`EventLog`].
    pub fn new(door: BasketDoor<Commit>) -> Self {
        Self(door)
    }

    /// Has `transition` committed and waits until it is durable.
    pub async fn commit(&self, transition: Transition) -> Result<Answer, StoreError> {
        let gone = || StoreError::Unavailable("the event log fell with this in hand".to_owned());
        let (reply, answer) = oneshot::channel();
        self.0.put(Commit { transition, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Waits until all that was put in before is durable, or known not to be: what is read then is not older than that.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        // There is no such event, so that nothing changes; it is answered in its turn.
        let (event, lease) = (EventId::first_at(Timestamp::default()), Lease::default());
        let verdict = Verdict::Unrouted { reason: String::new() };
        self.commit(Transition::Settle { event, lease, verdict, runs: Vec::new() }).await.map(drop)
    }

    /// Takes nothing more in, and waits until all that is inside is durable.
    pub async fn drain(&self) {
        self.0.drain().await;
    }
}

/// About how many bytes a started run adds beside its input, and an entry beside what it carries.
const ROW: usize = 512;

/// About how many bytes a delivery that is missing takes.
const MISSED: usize = 128;

/// About how many bytes the removal of an event and its runs writes: keys only.
const GONE: usize = 4_096;

impl Transition {
    /// About how many bytes it adds to a batch.
    fn weight(&self) -> usize {
        match self {
            Self::Intake(intake) => intake.record.bytes().len() + 128 + weight_of_runs(&intake.runs),
            Self::Settle { runs, .. } => 256 + weight_of_runs(runs),
            Self::Change { change: Change::Replay { runs, .. }, .. } => ROW + weight_of_runs(runs),
            Self::Change { .. } | Self::Mark { .. } => ROW,
            Self::Advance { entries, waits, starts, .. } => {
                let entries: usize = entries.iter().map(|entry| ROW + carried(entry)).sum();
                256 + ROW * waits.len() + entries + weight_of_runs(starts)
            }
            Self::KeepDefinition { content, .. } => content.len(),
            Self::KeepBreaker(_) => ROW,
            Self::KeepCheckpoint(checkpoint) => ROW + MISSED * checkpoint.missed.len(),
            Self::Purge(_) => GONE,
        }
    }
}

fn weight_of_runs(runs: &[RunRecord]) -> usize {
    runs.iter().map(|run| ROW + run.input.values().map(weight_of).sum::<usize>()).sum()
}

fn carried(entry: &Entry) -> usize {
    match &entry.what {
        What::Succeeded { output: carried, .. } | What::Noted { note: carried, .. } => weight_of(carried),
        _ => 0,
    }
}

fn weight_of(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
        Json::String(text) => 2 + text.len(),
        Json::Array(items) => 2 + items.iter().map(weight_of).sum::<usize>(),
        Json::Object(fields) => fields.iter().map(|(name, value)| 4 + name.len() + weight_of(value)).sum(),
    }
}
