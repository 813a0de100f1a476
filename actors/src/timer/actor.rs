//! The door of the timer: keeps the schedule and tells executors when a time has come.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use tokio::sync::Notify;

use super::schedule::{Due, Schedule};
use crate::executor::messages::{Executors, Wake};
use crate::ids::RunId;
use crate::mailbox::{Letter, NotTaken};
use crate::store::{Store, StoreError};
use crate::time::{SharedClock, Timestamp};

/// The clock is looked at this often while somebody waits, so that a jump of the wall clock is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Pause before an executor without room is told again.
const RETRY: Duration = Duration::from_millis(20);

/// Pause before times are read again from a store that did not work.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How many open runs are read at once after a fall.
const PAGE: usize = 512;

/// Sets the next time of a run, instead of the one that it had. It is durable already.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Arm {
    /// The run.
    pub run: RunId,
    /// The workflow whose executor is told.
    pub workflow: String,
    /// When; `None` for never.
    pub at: Option<Timestamp>,
}

/// Sets the next times of many runs.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ArmAll(pub Vec<Arm>);

/// The actor of the timer.
pub struct Timer {
    schedule: Schedule,
    store: Arc<dyn Store>,
    executors: Executors,
    clock: SharedClock,
    changed: Arc<Notify>,
}

impl Timer {
    /// A timer that tells `executors`.
    pub fn new(store: Arc<dyn Store>, executors: Executors, clock: SharedClock) -> Self {
        Self { schedule: Schedule::default(), store, executors, clock, changed: Arc::default() }
    }

    /// Tells those whose time has come, and says how long to wait for the next.
    fn tell_due(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let mut full = false;
        for due in self.schedule.due(now) {
            full |= !self.tell(due);
        }
        if full {
            return Some(RETRY);
        }
        self.schedule.next().map(|at| at.since(now).min(LOOK_AGAIN))
    }

    /// `false` if the executor has no room now.
    fn tell(&mut self, due: Due) -> bool {
        let told = self.executors.of(&due.workflow).and_then(|executor| executor.wake.offer(Wake(due.run)));
        if told == Err(NotTaken::Full) {
            self.schedule.set(due.run, &due.workflow, Some(due.at));
            return false;
        }
        // An executor that is gone takes its runs with it until the next start.
        true
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        let (wait, changed) = (self.tell_due(), Arc::clone(&self.changed));
        let pause = async move {
            match wait {
                Some(wait) => _ = tokio::time::timeout(wait, changed.notified()).await,
                None => changed.notified().await,
            }
        };
        ctx.spawn(actix::ActorFutureExt::map(pause.into_actor(self), |(), timer, ctx| timer.go_on(ctx)));
    }
}

impl Actor for Timer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.go_on(ctx);
    }
}

impl Supervised for Timer {
    /// The schedule is made anew from storage; what is armed meanwhile is newer and stands.
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        self.schedule = Schedule::default();
        let store = Arc::clone(&self.store);
        let stored = async move {
            loop {
                match wakes(store.as_ref()).await {
                    Ok(stored) => return stored,
                    Err(error) => tracing::warn!(%error, "times of runs could not be read; trying again"),
                }
                tokio::time::sleep(STORE_PAUSE).await;
            }
        };
        ctx.spawn(actix::ActorFutureExt::map(stored.into_actor(self), |stored, timer, _| {
            for Due { at, run, workflow } in stored {
                timer.schedule.set_if_new(run, &workflow, at);
            }
            timer.changed.notify_one();
        }));
    }
}

async fn wakes(store: &dyn Store) -> Result<Vec<Due>, StoreError> {
    let (mut wakes, mut after) = (Vec::new(), None);
    loop {
        let page = store.open_runs(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(wakes) };
        after = Some(last.run);
        wakes.extend(
            page.into_iter().filter_map(|open| Some(Due { at: open.wake?, run: open.run.id, workflow: open.workflow })),
        );
    }
}

impl Timer {
    fn arm(&mut self, Arm { run, workflow, at }: Arm) {
        let sooner = at.is_some_and(|at| self.schedule.next().is_none_or(|next| at < next));
        self.schedule.set(run, &workflow, at);
        if sooner {
            self.changed.notify_one();
        }
    }
}

impl Handler<Letter<Arm>> for Timer {
    type Result = ();

    fn handle(&mut self, letter: Letter<Arm>, _: &mut Context<Self>) {
        self.arm(letter.open());
    }
}

impl Handler<Letter<ArmAll>> for Timer {
    type Result = ();

    fn handle(&mut self, letter: Letter<ArmAll>, _: &mut Context<Self>) {
        let ArmAll(arms) = letter.open();
        arms.into_iter().for_each(|arm| self.arm(arm));
    }
}
