//! What outlives a process: time, the chance of the seed, the ledger of what the services were told, what was acknowledged,
//! and the trace of it all. A process that has died does nothing here any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use pointsman_actors::ids::{EventId, Ids, RunId};
use pointsman_actors::run::{Entry, RunRecord, What};
use pointsman_actors::time::{Clock, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::deliveries::{Delivery, Mail, Sending, generated};
use crate::families;
use crate::plan::{EPOCH, Plan};
use crate::workshop::Shelf;

/// The world. Every clone is the same one.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    plan: Plan,
    state: Mutex<State>,
    died: Notify,
    mailed: Notify,
    cut_off: Notify,
}

/// What is known of it.
pub struct State {
    /// The seed's chance.
    pub rng: Rng,
    /// What happened.
    pub trace: Trace,
    /// What the services were told.
    pub ledger: Ledger,
    /// What is durable of each run.
    pub journals: HashMap<RunId, Vec<Entry>>,
    /// The events that are durable.
    pub events: BTreeMap<EventId, ()>,
    /// What is sent, callbacks included.
    pub mail: Mail,
    /// What each run that is durable was started with.
    pub records: HashMap<RunId, RunRecord>,
    /// Who has started each run that another one has.
    pub parents: HashMap<RunId, RunId>,
    /// The group of each run that is durable, and who has begun in it.
    pub groups: HashMap<RunId, String>,
    /// Who has begun in each group, and has not ended.
    pub places: HashMap<String, RunId>,
    /// Runs of which an operator was told that they begin nothing any more.
    pub stopped: BTreeSet<RunId>,
    /// Runs of which an operator was told that they end.
    pub ending: BTreeSet<RunId>,
    /// Runs that an operator wanted to end.
    pub cancelled: BTreeSet<RunId>,
    /// Whether the next commit fails.
    pub cut: bool,
    /// The event that each delivery was acknowledged as.
    pub acknowledged: BTreeMap<usize, EventId>,
    /// Which sendings were answered.
    pub answered: Vec<bool>,
    /// The first thing that must not be.
    pub wrong: Option<String>,
    /// How many changes have left the process and not arrived.
    pub wires: usize,
    /// Whether the process at work has died.
    pub dead: bool,
    /// Processes so far.
    pub lives: u32,
    /// Attempts at work in this process: of a run, by serial, and of which step.
    pub at_work: BTreeMap<(RunId, u32), String>,
    /// How far the world was when this process began, and its own beginning.
    life: (Duration, Option<Instant>),
    /// By how many milliseconds the server's clock is wrong.
    off: i64,
    points: u64,
    ids: u64,
    /// When the clock was looked at last, and how often since then.
    looks: (Duration, u32),
}

/// What the services were told.
#[derive(Default)]
pub struct Ledger {
    /// Commit statuses: when, repository, commit, state.
    pub statuses: Vec<(Duration, String, String, String)>,
    /// How often each key was posted in each place.
    pub posts: BTreeMap<String, u32>,
    /// What the workshop has made.
    pub shelf: Shelf,
    /// The number under which Codegen was asked with each key.
    pub numbers: BTreeMap<String, u64>,
    /// When what has each of these numbers is there.
    pub ready: BTreeMap<u64, Duration>,
    /// Attempts that were made: of a run, by serial.
    pub attempts: BTreeMap<(RunId, u32), String>,
}

/// What happened, line by line, of which a hash is kept.
#[derive(Default)]
pub struct Trace {
    hasher: DefaultHasher,
    /// How many lines there are.
    pub lines: u64,
    /// Whether they are shown.
    pub shown: bool,
}

impl Trace {
    /// The hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    fn add(&mut self, at: Duration, line: std::fmt::Arguments<'_>) {
        let mut text = String::new();
        let _ = write!(text, "{:>10.3} {line}", at.as_secs_f64());
        self.hasher.write(text.as_bytes());
        self.lines += 1;
        if self.shown {
            println!("{text}");
        }
    }
}

/// Whoever looks at the clock so often while no time passes goes round in circles.
const MOST_LOOKS: u32 = 100_000;

impl World {
    /// The world of a plan. What is not in the plan is drawn from `rng`.
    pub fn new(plan: Plan, rng: Rng, shown: bool) -> Self {
        let state = State {
            rng,
            trace: Trace { shown, ..Trace::default() },
            ledger: Ledger::default(),
            journals: HashMap::new(),
            events: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            answered: vec![false; plan.mail.sendings.len()],
            mail: plan.mail.clone(),
            records: HashMap::new(),
            parents: HashMap::new(),
            groups: HashMap::new(),
            places: HashMap::new(),
            stopped: BTreeSet::new(),
            ending: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            cut: false,
            wrong: None,
            wires: 0,
            dead: false,
            lives: 0,
            at_work: BTreeMap::new(),
            life: (Duration::ZERO, None),
            off: 0,
            points: 0,
            ids: 0,
            looks: (Duration::ZERO, 0),
        };
        Self(Arc::new(Inner {
            plan,
            state: Mutex::new(state),
            died: Notify::new(),
            mailed: Notify::new(),
            cut_off: Notify::new(),
        }))
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// What is known.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the world is.
    pub fn at(&self) -> Duration {
        self.state().at()
    }

    /// Whether nothing goes wrong any more.
    pub fn is_calm(&self) -> bool {
        self.at() >= self.0.plan.calm_at
    }

    /// A line of the trace.
    pub fn tell(&self, line: std::fmt::Arguments<'_>) {
        let mut state = self.state();
        let at = state.at();
        state.trace.add(at, line);
    }

    /// Something is as it must not be.
    pub fn wrong(&self, what: String) {
        self.tell(format_args!("WRONG {what}"));
        self.state().wrong.get_or_insert(what);
    }

    /// Whether chance says so, `odds` times of a thousand.
    pub fn chance(&self, odds: u32) -> bool {
        odds > 0 && self.state().rng.u32(..1_000) < odds
    }

    /// A time below this many milliseconds.
    pub fn pause(&self, most: u64) -> Duration {
        Duration::from_millis(self.state().rng.u64(..=most))
    }

    /// A process begins, `pause` after the one before.
    pub fn begin(&self, pause: Duration) {
        let mut state = self.state();
        state.life = (state.life.0 + pause, Some(Instant::now()));
        state.dead = false;
        state.lives += 1;
    }

    /// What is left of the process goes: its time, and what it had at work.
    pub fn end(&self) {
        let mut state = self.state();
        state.life = (state.at(), None);
        state.at_work.clear();
    }

    /// The process dies. From here on nothing of it reaches anybody.
    pub fn die(&self, why: &str) {
        if std::mem::replace(&mut self.state().dead, true) {
            return;
        }
        self.tell(format_args!("the process dies: {why}"));
        self.0.died.notify_one();
    }

    /// Returns when the process has died.
    pub async fn died(&self) {
        // One that was told of an earlier death is not meant.
        while !self.state().dead {
            self.0.died.notified().await;
        }
    }

    /// The process is over: what is on the wire arrives now or never, one after the other as it has left. The runtime would drop
    /// its tasks in an order that depends on how many there were before it.
    pub async fn cut_off_all(&self) {
        self.0.cut_off.notify_waiters();
        while self.state().wires > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Returns when the process is over.
    pub async fn cut_off(&self) {
        self.0.cut_off.notified().await;
    }

    /// A point at which a process may die. Whoever is behind it does not come back then.
    pub async fn point(&self, what: &str) {
        let dies = {
            let mut state = self.state();
            state.points += 1;
            !state.dead && self.0.plan.deaths.contains(&state.points)
        };
        if dies {
            self.die(what);
        }
        self.live().await;
    }

    /// Comes back only if the process lives.
    pub async fn live(&self) {
        if self.state().dead {
            std::future::pending::<()>().await;
        }
    }

    /// A delivery, by its place.
    pub fn delivery(&self, place: usize) -> Delivery {
        self.state().mail.deliveries[place].clone()
    }

    /// Returns when something more is sent.
    pub async fn mailed(&self) {
        self.0.mailed.notified().await;
    }

    /// Codegen is asked with this key: the same key has the same number, and is called back once, from now on at any time.
    pub fn generate(&self, key: &str) -> u64 {
        let mut state = self.state();
        if let Some(number) = state.ledger.numbers.get(key) {
            return *number;
        }
        let number = state.ledger.numbers.len() as u64 + 1;
        state.ledger.numbers.insert(key.to_owned(), number);
        let now = state.at();
        let times = state.rng.usize(1..=2);
        for _ in 0..times {
            let late = if state.rng.bool() { 1_000 } else { 120_000 };
            let at = now + Duration::from_millis(state.rng.u64(..late));
            let ready = state.ledger.ready.entry(number).or_insert(at);
            *ready = at.min(*ready);
            let delivery = state.mail.deliveries.len();
            state.mail.sendings.push(Sending { delivery, at });
            state.answered.push(false);
        }
        state.mail.deliveries.push(generated(number, now));
        drop(state);
        self.0.mailed.notify_one();
        number
    }

    /// Whether what has this number is generated: it is when it calls back first, however late that comes.
    pub fn is_generated(&self, number: u64) -> bool {
        let state = self.state();
        state.ledger.ready.get(&number).is_some_and(|ready| *ready <= state.at())
    }

    /// Sets the server's clock.
    pub fn jump(&self, by: i64) {
        self.tell(format_args!("the clock is set by {by} ms"));
        self.state().off += by;
    }
}

impl State {
    /// A run is durable.
    pub fn started(&mut self, run: &RunRecord) {
        let of = |name: &str| run.input.get(name).map(ToString::to_string).unwrap_or_default();
        let group = match run.workflow.as_str() {
            "pr_validation" | "pr_revalidation" => format!("{}#{}", of("repository"), of("pr_number")),
            "generation" => of("branch"),
            "family" => of("topic"),
            _ => run.id.to_string(),
        };
        self.groups.insert(run.id, group);
        self.records.insert(run.id, run.clone());
    }

    /// Entries of a run are durable. Says what they must not.
    pub fn advanced(&mut self, run: RunId, entries: &[Entry]) -> Result<(), String> {
        let group = self.groups.get(&run).cloned().ok_or_else(|| format!("{run} was never started"))?;
        for entry in entries {
            let wrong = families::durable(self, run, entry);
            self.journals.entry(run).or_default().push(entry.clone());
            wrong?;
            match &entry.what {
                What::Begun { .. } => match self.places.insert(group.clone(), run) {
                    Some(other) if other != run => return Err(format!("{run} has begun beside {other}")),
                    _ => {}
                },
                What::Ended { .. } if self.places.get(&group) == Some(&run) => _ = self.places.remove(&group),
                _ => {}
            }
        }
        Ok(())
    }

    /// How far the world is.
    pub fn at(&self) -> Duration {
        let (before, began) = self.life;
        before + began.map_or(Duration::ZERO, |began| began.elapsed())
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        let mut state = self.state();
        let (at, off) = (state.at(), state.off);
        let (before, looks) = &mut state.looks;
        *looks = if *before == at { *looks + 1 } else { 0 };
        *before = at;
        let looks = *looks;
        drop(state);
        if looks == MOST_LOOKS {
            self.wrong("it goes round in circles, and no time passes".to_owned());
            self.die("it goes round in circles");
        }
        Timestamp::from_millis(EPOCH + i64::try_from(at.as_millis()).unwrap_or(i64::MAX) + off)
    }

    fn elapsed(&self) -> Duration {
        self.at()
    }
}

impl Ids for World {
    /// As UUIDv7 is made, with the seed's chance.
    fn event(&self, now: Timestamp) -> EventId {
        let mut state = self.state();
        state.ids += 1;
        let (millis, chance, count) = (now.millis(), state.rng.u32(..), state.ids);
        let (a, b, c) = (millis >> 16, millis & 0xffff, chance & 0xfff);
        format!("evt_{a:08x}-{b:04x}-7{c:03x}-8{:03x}-{count:012x}", chance >> 20).parse().unwrap()
    }
}
