//! What dies with a process: its live runs, its queue, its attempts, and all that is on its way between its parts. The
//! doors of the product are actors; here each of their messages is a step of its own. What decides is the product's.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use pointsman_actors::dispatcher::queue::{Order, Queue, Report, Stand, Ticket};
use pointsman_actors::dispatcher::ready::Ready;
use pointsman_actors::executor::decide::{Decision, Happening};
use pointsman_actors::executor::outages::Outages;
use pointsman_actors::executor::port::Outcome;
use pointsman_actors::executor::progress::Progress;
use pointsman_actors::ids::{RunId, WaitId};
use pointsman_actors::run::Standing;
use pointsman_actors::time::Timestamp;

use crate::seen::Seen;
use crate::setup::{Setup, WORKFLOW, Word};
use crate::world::{Heard, Run};

/// Runs that were here, and what the store has said of the others.
pub type Reading = (BTreeSet<usize>, Vec<(usize, Found)>);

/// A process.
#[derive(Clone, Debug, Hash)]
pub struct Process {
    /// Whether it is there, and goes on.
    pub power: Power,
    /// The runs that its executor holds.
    pub live: BTreeMap<usize, Live>,
    /// Those that are being read, with what the store has said of them.
    pub loading: BTreeMap<usize, Option<Found>>,
    /// All runs are being read: those that were here, and what the store has said of the others.
    pub reading: Option<Reading>,
    /// Its attempts.
    pub slots: BTreeMap<usize, Slot>,
    /// Attempts that were perhaps written down, and not made.
    pub never_left: BTreeMap<usize, u32>,
    /// Waits of which the store is being asked.
    pub asked: BTreeSet<(usize, WaitId)>,
    /// What the executor is told by those who take events in.
    pub hints: BTreeSet<Hint>,
    /// Whether the executor is to look for what it was not told.
    pub missed: bool,
    /// Whether it knows all runs that are not over.
    pub complete: bool,
    /// When which runs are woken.
    pub armed: BTreeMap<usize, Timestamp>,
    /// What the dispatcher is told.
    pub letters: VecDeque<Seen<Letter>>,
    /// How many reports its executor has made.
    pub reports: u64,
    /// What it says, in the executor's mailbox.
    pub said: VecDeque<Seen<Said>>,
    /// What it knows.
    pub queue: Seen<Queue>,
    /// Commits that are not made yet, in their order.
    pub log: VecDeque<Commit>,
}

/// Whether a process is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Power {
    /// It is not.
    Off,
    /// It is.
    On,
    /// It is, and does nothing.
    Stopped,
}

/// A run that an executor holds.
#[derive(Clone, Debug)]
pub struct Live {
    /// Where it stands, as far as this process knows.
    pub progress: Arc<Progress>,
    /// A decision on its way into the journal.
    pub in_hand: Option<InHand>,
    /// What happens to it meanwhile.
    pub tasks: VecDeque<Task>,
    /// What dispatcher and timer were told last.
    pub told: Option<(Option<Stand>, Option<Timestamp>)>,
    /// The number of its last report.
    pub number: u64,
}

/// A run as it was read.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it stands.
    pub progress: Arc<Progress>,
    /// What was said of its waits.
    pub answered: VecDeque<Task>,
}

/// A decision on its way into the journal.
#[derive(Clone, Debug, Hash)]
pub struct InHand {
    /// What was decided.
    pub decision: Seen<Decision>,
    /// The operator who waits for that.
    pub word: Option<Word>,
    /// What the store has said.
    pub answer: Option<Heard>,
}

/// Something that happens to a run.
#[derive(Clone, Debug, Hash)]
pub struct Task {
    /// What.
    pub what: Seen<Happening>,
    /// The operator who says so, and waits.
    pub word: Option<Word>,
}

/// An attempt that this process makes.
#[derive(Clone, Debug, Hash)]
pub struct Slot {
    /// Its serial.
    pub serial: u32,
    /// What it gave.
    pub outcome: Option<Seen<Outcome>>,
}

/// What an executor is told of a commit of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// A run was started.
    Started(usize),
    /// A wait of a run was completed.
    Called(usize),
}

/// What a dispatcher is told.
#[allow(clippy::large_enum_variant, reason = "there are few at a time")]
#[derive(Clone, Debug)]
pub enum Letter {
    /// How a run stands.
    Reported(Report),
    /// How all of them stand.
    Census(Vec<Report>),
    /// A run will not be heard of again.
    Gone(RunId),
}

/// What a dispatcher says.
#[derive(Clone, Debug)]
pub enum Said {
    /// This to a run.
    Told(Order),
    /// How do all of them stand?
    ReportAll,
}

/// An addition to a journal that is not made yet.
#[derive(Clone, Debug, Hash)]
pub struct Commit {
    /// Of which run.
    pub run: usize,
    /// How long the journal must be.
    pub revision: u32,
    /// What is added.
    pub decision: Seen<Decision>,
    /// Whether the executor that asked for it is still there to hear of it.
    pub is_awaited: bool,
    /// Whether it may never be made.
    pub is_doubtful: bool,
}

impl Hash for Live {
    /// What it knows is the journal as it was at this revision.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.progress.revision.hash(hasher);
        self.in_hand.hash(hasher);
        self.tasks.hash(hasher);
        self.number.hash(hasher);
        self.told.map(|(stand, wake)| (stand.map(|(standing, undoes)| (standing as u8, undoes)), wake)).hash(hasher);
    }
}

impl Hash for Found {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.progress.revision, &self.answered).hash(hasher);
    }
}

impl From<Happening> for Task {
    fn from(what: Happening) -> Self {
        Self { what: Seen::shown(what), word: None }
    }
}

impl Live {
    /// A run that stands so.
    pub fn new(progress: Arc<Progress>, tasks: VecDeque<Task>) -> Self {
        Self { progress, in_hand: None, tasks, told: None, number: 0 }
    }

    /// How it stands for the dispatcher.
    pub fn report(&self, setup: &Setup, run: &Run, now: Timestamp) -> Report {
        // Whoever has been told to go on may be at work as soon as that is durable.
        let begins = self.in_hand.as_ref().is_some_and(|in_hand| in_hand.decision.begins());
        let is_going = begins || self.tasks.iter().any(|task| matches!(*task.what, Happening::Go));
        let standing = self.progress.standing(&setup.definition, now, &Outages::default());
        let standing = if is_going { Standing::Busy } else { standing };
        let place = setup.definition.place_of(&run.record).unwrap_or_else(|error| panic!("{error}"));
        let ticket = Ticket {
            run: run.record.id,
            workflow: WORKFLOW.into(),
            priority: run.record.priority,
            fair_key: WORKFLOW.into(),
            started_at: run.record.started_at,
            place,
            burst: None,
        };
        let (again, undoes) = (self.progress.tries_again(), self.progress.is_undoing());
        Report { ticket, standing, again, undoes, revision: self.progress.revision, number: self.number }
    }

    /// The same for a census.
    pub fn counted(&mut self, setup: &Setup, run: &Run, (now, number): (Timestamp, u64)) -> Report {
        self.number = number;
        let report = self.report(setup, run, now);
        if let Some((stand, _)) = &mut self.told {
            *stand = Some(report.stand());
        }
        report
    }
}

impl Process {
    /// One that is not there.
    pub fn new(setup: &Setup) -> Self {
        Self {
            power: Power::Off,
            live: BTreeMap::new(),
            loading: BTreeMap::new(),
            reading: None,
            slots: BTreeMap::new(),
            never_left: BTreeMap::new(),
            asked: BTreeSet::new(),
            hints: BTreeSet::new(),
            missed: false,
            complete: false,
            armed: BTreeMap::new(),
            letters: VecDeque::new(),
            said: VecDeque::new(),
            reports: 0,
            queue: Self::uncounted(setup),
            log: VecDeque::new(),
        }
    }

    /// A queue that knows nothing yet.
    pub fn uncounted(setup: &Setup) -> Seen<Queue> {
        Seen::unordered(Queue::new(Ready::new(setup.slots, true), HashSet::from([WORKFLOW.to_owned()])))
    }

    /// It starts, and looks for all runs that are not over.
    pub fn start(&mut self, setup: &Setup) {
        *self = Self { power: Power::On, missed: true, ..Self::new(setup) };
    }

    /// Whether it goes on.
    pub fn is_on(&self) -> bool {
        self.power == Power::On
    }

    /// Its executor falls, and looks for its runs. Attempts at work go on, commits are made all the same.
    pub fn fall(&mut self) {
        self.live.clear();
        self.loading.clear();
        self.reading = None;
        self.asked.clear();
        self.complete = false;
        self.missed = true;
        self.log.iter_mut().for_each(|commit| commit.is_awaited = false);
    }

    /// Whether what it asked for is through, as far as nobody will say so: before that it reads nothing.
    pub fn has_caught_up(&self) -> bool {
        self.log.iter().all(|commit| commit.is_awaited)
    }

    /// Whether something of it is still to be done by itself.
    pub fn is_at_work(&self, now: Timestamp) -> bool {
        let is_due = self.armed.values().any(|at| *at <= now);
        let is_deciding = self.live.values().any(|live| live.in_hand.is_some());
        let is_asking = !self.loading.is_empty() || !self.asked.is_empty() || !self.hints.is_empty();
        let is_asking = is_asking || self.missed || self.reading.is_some();
        let is_telling = !self.letters.is_empty() || !self.said.is_empty();
        let is_counting = self.queue.uncounted().next().is_some();
        is_due || is_deciding || is_asking || is_telling || is_counting || !self.log.is_empty()
    }
}
