//! Supervision. Beside `mailbox.rs` the only file that knows how actix starts and restarts.
//!
//! actix's own `Supervisor` does nothing on a panic: tokio catches it at the task, the actor is
//! dropped, its address is dead for good and what was queued is lost. Here the actor's context is
//! polled under `catch_unwind`. After a panic the mailbox is kept, `Supervised::restarting` rebuilds
//! the inside, and the context is polled on; only the message in hand is lost, and its sender is told.
//! Terms are those of OTP: a component that falls more often than its restart intensity allows is
//! given up, and what that means stands in its row of the tree's table.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use actix::dev::{AsyncContextParts, ContextFut};
use actix::{Actor, Context, Supervised};
use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use tokio::sync::Semaphore;

use crate::mailbox::Mailbox;
use crate::time::{SharedClock, Timestamp};

/// A row of the supervision tree's table: what is known of a component before it starts.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The component's name, as every page and metric shows it.
    pub component: &'static str,
    /// The thread that it lives on.
    pub thread: Thread,
    /// How many messages its mailbox holds.
    pub capacity: usize,
    /// When it is restarted, and when it is given up.
    pub restart: RestartPolicy,
    /// What giving it up means.
    pub escalation: Escalation,
    /// The same for people.
    pub meaning: &'static str,
}

/// The thread that a component lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// One instance on every HTTP worker.
    HttpWorker,
    /// The committer's own.
    Committer,
    /// The thread where workflows are driven.
    Work,
}

impl Thread {
    /// The name of the thread.
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpWorker => "http",
            Self::Committer => "committer",
            Self::Work => "work",
        }
    }
}

/// How often a component may fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// It is given up when it falls more often than this …
    pub intensity: usize,
    /// … within this time.
    pub window: Duration,
}

/// What giving a component up means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escalation {
    /// The process ends with an error, after telling; whoever supervises it starts it again.
    Halt,
    /// Readiness is false, so that no more deliveries come; the others go on.
    Unready,
    /// Only this component stands still.
    Park,
}

impl Escalation {
    /// The name of the escalation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Unready => "unready",
            Self::Park => "park",
        }
    }
}

/// How an instance of a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Life {
    /// It takes messages.
    Running = 0,
    /// It fell and pauses before it is started again; its mailbox is kept.
    Restarting = 1,
    /// It fell too often.
    GivenUp = 2,
    /// It ended in the course of a shutdown.
    Stopped = 3,
}

impl Life {
    /// The name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::GivenUp => "given_up",
            Self::Stopped => "stopped",
        }
    }
}

/// A rehearsed fall, to see supervision work. Nothing outside the process can ask for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Drill {
    /// None.
    None = 0,
    /// Fall with the next message in hand, once.
    NextMessage = 1,
    /// Fall with the next message in hand, and at every start after that.
    EveryStart = 2,
}

/// What can be seen of a supervised instance from any thread.
#[derive(Debug)]
pub struct Vitals {
    row: &'static Row,
    instance: String,
    room: Arc<Semaphore>,
    life: AtomicU8,
    falls: AtomicU64,
    restarts: AtomicU64,
    last_fall_ms: AtomicU64,
    drill: AtomicU8,
}

impl Vitals {
    fn new(row: &'static Row, instance: String) -> Arc<Self> {
        Arc::new(Self {
            row,
            instance,
            room: Arc::new(Semaphore::new(row.capacity)),
            life: AtomicU8::new(Life::Running as u8),
            falls: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            last_fall_ms: AtomicU64::new(0),
            drill: AtomicU8::new(Drill::None as u8),
        })
    }

    /// The component's row of the tree's table.
    pub fn row(&self) -> &'static Row {
        self.row
    }

    /// Which instance this is: the number of the HTTP worker, or the name of the workflow.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// How it is.
    pub fn life(&self) -> Life {
        match self.life.load(Ordering::Relaxed) {
            0 => Life::Running,
            1 => Life::Restarting,
            2 => Life::GivenUp,
            _ => Life::Stopped,
        }
    }

    /// How many messages its mailbox holds at most.
    pub fn capacity(&self) -> usize {
        self.row.capacity
    }

    /// How many messages are in its mailbox or in its hands.
    pub fn depth(&self) -> usize {
        self.row.capacity.saturating_sub(self.room.available_permits())
    }

    /// How often it fell.
    pub fn falls(&self) -> u64 {
        self.falls.load(Ordering::Relaxed)
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// When it fell last.
    pub fn last_fall(&self) -> Option<Timestamp> {
        let millis = self.last_fall_ms.load(Ordering::Relaxed);
        (millis > 0).then(|| Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    /// Rehearses a fall.
    pub fn rehearse(&self, drill: Drill) {
        self.drill.store(drill as u8, Ordering::SeqCst);
    }

    pub(crate) fn room(&self) -> Arc<Semaphore> {
        Arc::clone(&self.room)
    }

    #[allow(clippy::panic, reason = "a rehearsed fall is a panic")]
    pub(crate) fn drill_point(&self) {
        if self.drill.load(Ordering::Relaxed) == Drill::None as u8 {
            return;
        }
        if self.drill.load(Ordering::SeqCst) == Drill::NextMessage as u8 {
            self.drill.store(Drill::None as u8, Ordering::SeqCst);
        }
        panic!("rehearsed fall with a message in hand");
    }

    #[allow(clippy::panic, reason = "a rehearsed fall is a panic")]
    fn drill_start(&self) {
        if self.falls() > 0 && self.drill.load(Ordering::SeqCst) == Drill::EveryStart as u8 {
            panic!("rehearsed fall at the start");
        }
    }

    fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::Relaxed);
    }

    fn note_fall(&self, at: Timestamp) {
        self.falls.fetch_add(1, Ordering::Relaxed);
        self.last_fall_ms.store(u64::try_from(at.millis()).unwrap_or(0), Ordering::Relaxed);
    }
}

/// All supervised instances of a process, in the order in which they were started.
#[derive(Clone, Default)]
pub struct Roster(Arc<Mutex<Vec<Arc<Vitals>>>>);

impl Roster {
    /// The instances as they are now.
    pub fn all(&self) -> Vec<Arc<Vitals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The instances of one component.
    pub fn of(&self, component: &str) -> Vec<Arc<Vitals>> {
        self.all().into_iter().filter(|vitals| vitals.row().component == component).collect()
    }

    fn enter(&self, vitals: Arc<Vitals>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(vitals);
    }
}

/// Called once when a component is given up.
pub type OnGivenUp = Arc<dyn Fn(&Vitals) + Send + Sync>;

/// What supervision itself needs.
#[derive(Clone)]
pub struct Supervisor {
    /// Where instances are entered.
    pub roster: Roster,
    /// Where `now` comes from.
    pub clock: SharedClock,
    /// Told when a component is given up.
    pub on_given_up: OnGivenUp,
}

impl Supervisor {
    /// Starts `actor` on the current thread as `instance` of the component of `row`, and keeps it up.
    pub fn supervise<A>(&self, row: &'static Row, instance: impl Into<String>, actor: A) -> Mailbox<A>
    where
        A: Actor<Context = Context<A>> + Supervised,
    {
        let vitals = Vitals::new(row, instance.into());
        self.roster.enter(Arc::clone(&vitals));
        let mut context = Context::new();
        // The permits are the bound; actix's own would only make senders retry.
        context.set_mailbox_capacity(0);
        let life = context.into_future(actor);
        let mailbox = Mailbox::new(life.address(), Arc::clone(&vitals));
        actix_rt::spawn(keep_up(life, vitals, self.clone()));
        mailbox
    }
}

async fn keep_up<A>(mut life: ContextFut<A, Context<A>>, vitals: Arc<Vitals>, supervisor: Supervisor)
where
    A: Actor<Context = Context<A>> + Supervised,
    Context<A>: AsyncContextParts<A>,
{
    let mut intensity = Intensity::new(vitals.row().restart);
    // While this address lives, actix does not take an idle actor for a forgotten one.
    let _alive = life.address();
    while live_until_fall(&mut life, &vitals).await == End::Fell {
        vitals.note_fall(supervisor.clock.now());
        vitals.set_life(Life::Restarting);
        let Next::RestartAfter(pause) = intensity.fell(supervisor.clock.elapsed()) else {
            give_up(life, &vitals, &supervisor);
            return;
        };
        tracing::error!(
            component = vitals.row().component,
            instance = vitals.instance(),
            ?pause,
            "component fell, restarting"
        );
        tokio::time::sleep(pause).await;
        // A fall in here is found by the next poll: the context was not marked as started.
        let _ = catch_unwind(AssertUnwindSafe(|| life.restart()));
        vitals.restarts.fetch_add(1, Ordering::Relaxed);
        vitals.set_life(Life::Running);
    }
    vitals.set_life(Life::Stopped);
}

fn give_up<A>(life: ContextFut<A, Context<A>>, vitals: &Vitals, supervisor: &Supervisor)
where
    A: Actor<Context = Context<A>>,
{
    vitals.set_life(Life::GivenUp);
    let row = vitals.row();
    tracing::error!(
        component = row.component,
        instance = vitals.instance(),
        escalation = row.escalation.name(),
        "component fell too often and is given up: {}",
        row.meaning
    );
    // Dropping the context polls the actor once more, which may fall again; and unanswered senders are told.
    let _ = catch_unwind(AssertUnwindSafe(move || drop(life)));
    (supervisor.on_given_up)(vitals);
}

#[derive(PartialEq, Eq)]
enum End {
    Fell,
    Stopped,
}

async fn live_until_fall<A>(life: &mut ContextFut<A, Context<A>>, vitals: &Vitals) -> End
where
    A: Actor<Context = Context<A>>,
{
    let mut starting = true;
    std::future::poll_fn(move |task| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if std::mem::take(&mut starting) {
                vitals.drill_start();
            }
            Pin::new(&mut *life).poll(task)
        }));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(End::Stopped),
            Err(_) => Poll::Ready(End::Fell),
        }
    })
    .await
}

/// What to do after a fall.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    RestartAfter(Duration),
    GiveUp,
}

/// Counts falls in a sliding window. Time is an input.
struct Intensity {
    policy: RestartPolicy,
    falls: VecDeque<Duration>,
    pause: ExponentialBackoff,
}

impl Intensity {
    /// First pause after a fall; it doubles with every further one up to [`Self::LONGEST_PAUSE`].
    const FIRST_PAUSE: Duration = Duration::from_millis(20);
    /// Longest pause: senders give up after ten seconds, so stay well below.
    const LONGEST_PAUSE: Duration = Duration::from_secs(2);

    fn new(policy: RestartPolicy) -> Self {
        let pause = ExponentialBackoff {
            current_interval: Self::FIRST_PAUSE,
            initial_interval: Self::FIRST_PAUSE,
            max_interval: Self::LONGEST_PAUSE,
            multiplier: 2.0,
            // Chance and elapsed time would make restarts irreproducible; the window is the limit.
            randomization_factor: 0.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { policy, falls: VecDeque::new(), pause }
    }

    fn fell(&mut self, at: Duration) -> Next {
        while self.falls.front().is_some_and(|first| at.saturating_sub(*first) > self.policy.window) {
            self.falls.pop_front();
        }
        if self.falls.is_empty() {
            self.pause.reset();
        }
        self.falls.push_back(at);
        if self.falls.len() > self.policy.intensity {
            return Next::GiveUp;
        }
        Next::RestartAfter(self.pause.next_backoff().unwrap_or(Self::LONGEST_PAUSE))
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
