//! The port of durable storage.
//!
//! One call changes anything: [`Store::commit`] takes transitions and answers each. A transition is
//! applied whole or not at all, independent of the others in its batch and in order within it, and
//! the answer comes only when all of the batch is as durable as the store says. Conditions are
//! decided by the store inside the commit, so that there is one authority however many workers or
//! processes ask. Nothing here assumes one process, nor an order of commits.

mod counts;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::catch_up::checkpoint::Checkpoint;
use crate::circuit_breaker::circuit::BreakerRecord;
use crate::dead_letter::letter::{Letter, LetterId, LetterQuery, MarkChange, Place};
use crate::deduplicator::fingerprint::{HookKey, Key};
use crate::event::fate::Change;
use crate::event::{Event, Verdict};
use crate::event_log::record::Record;
use crate::ids::{EventId, RunId, WaitId};
use crate::retention::dossier::{Dossier, Purge, Stretch};
use crate::run::{Entry, RunHead, RunRecord, RunRef, RunStatus, StoredRun};
use crate::time::Timestamp;
use crate::wait::record::{Callback, WaitChange, WaitRecord, WaitRef};

pub use self::counts::Counts;

/// An answer that comes later, from whichever thread the store lives on.
pub type Later<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Durable storage. Implementations live outside the engine.
pub trait Store: Send + Sync + 'static {
    /// Applies `transitions` in order and answers each, after all of them are durable.
    ///
    /// An error means that the fate of the batch is unknown until the store has recovered; nobody
    /// was told that anything happened.
    fn commit(&self, transitions: Vec<Transition>) -> Later<Vec<Answer>>;

    /// Tries to make a store that failed work again, and proves it by a durable write.
    fn recover(&self) -> Later<()>;

    /// One event with its payload.
    fn event(&self, id: EventId) -> Later<Option<Event>>;

    /// Events, newest first, without payloads.
    fn events(&self, query: EventQuery) -> Later<Page<Event, EventId>>;

    /// Up to `limit` pending events whose lease has passed at `now`, with their payloads, claimed
    /// until `until` under the lease that stands beside each.
    fn take_pending(&self, limit: usize, now: Timestamp, until: Timestamp) -> Later<Vec<(Event, Lease)>>;

    /// One run with its journal.
    fn run(&self, id: RunId) -> Later<Option<StoredRun>>;

    /// Runs, newest first, without journals.
    fn runs(&self, query: RunQuery) -> Later<Page<(RunRecord, RunHead), RunRef>>;

    /// Up to `limit` runs that are not over, in the order of their start, only those after `after`.
    fn open_runs(&self, after: Option<RunRef>, limit: usize) -> Later<Vec<OpenRun>>;

    /// One wait.
    fn wait(&self, id: WaitId) -> Later<Option<WaitRecord>>;

    /// Waits, newest first.
    fn waits(&self, query: WaitQuery) -> Later<Page<WaitRecord, WaitCursor>>;

    /// How circuits are.
    fn breakers(&self) -> Later<Vec<BreakerRecord>>;

    /// The first event of each of these keys, in their order, where the claim of it still holds at `at`.
    fn first_events(&self, claims: Vec<Claim>, at: Timestamp) -> Later<Vec<Option<EventId>>>;

    /// How far hooks were caught up with.
    fn checkpoints(&self) -> Later<Vec<Checkpoint>>;

    /// The content of a definition that was kept.
    fn definition(&self, hash: &str) -> Later<Option<String>>;

    /// Events with their runs, oldest first, at most `limit` of this stretch. There may be fewer, but none
    /// only when the stretch has no more.
    fn dossiers(&self, stretch: Stretch, limit: usize) -> Later<Vec<Dossier>>;

    /// What failed for good, newest first.
    fn dead_letters(&self, query: LetterQuery) -> Later<Page<Letter, Place>>;

    /// One of them; `None` if it is no dead letter.
    fn dead_letter(&self, id: LetterId) -> Later<Option<Letter>>;

    /// Up to `limit` dead letters that are to be redriven, oldest first, only those after `after`.
    fn redrives(&self, after: Option<Place>, limit: usize) -> Later<Page<Place, Place>>;

    /// The durable counts, current at every call and without walking anything.
    fn counts(&self) -> Counts;

    /// What an answered commit survives.
    fn durability(&self) -> Durability;

    /// The adapter's name: `sled`, `memory`, …
    fn name(&self) -> &'static str;
}

/// What an answered commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: it is gone with the process.
    Process,
    /// A crash of the machine: it was flushed to the disk.
    Disk,
}

/// Something that happens whole or not at all.
#[derive(Clone, Debug)]
pub enum Transition {
    /// A delivery becomes an event, unless it is one already.
    Intake(Box<Intake>),
    /// A pending event is routed.
    Settle {
        /// The event.
        event: EventId,
        /// The lease under which it was claimed; under any other nothing happens.
        lease: Lease,
        /// What became of it.
        verdict: Verdict,
        /// The runs that it starts.
        runs: Vec<RunRecord>,
    },
    /// A run's journal grows.
    Advance {
        /// The run.
        run: RunRef,
        /// How many entries the journal must have; with any other number nothing happens.
        revision: u32,
        /// What is added.
        entries: Vec<Entry>,
        /// The sum of it all.
        head: RunHead,
        /// What it does with its waits. If one of these cannot be, nothing happens.
        waits: Vec<WaitChange>,
        /// The runs that it starts.
        starts: Vec<RunRecord>,
    },
    /// Something happens to an event after its verdict, if it can.
    Change {
        /// The event.
        event: EventId,
        /// When.
        at: Timestamp,
        /// What.
        change: Change,
    },
    /// Operators want something of a dead letter, if it is one.
    Mark {
        /// Its place.
        letter: Place,
        /// What.
        change: MarkChange,
    },
    /// How the circuit of a service is, instead of what was known of it.
    KeepBreaker(BreakerRecord),
    /// How far a hook was caught up with, instead of what was known of it.
    KeepCheckpoint(Checkpoint),
    /// A definition that runs may be pinned to is kept for good. Keeping it again changes nothing.
    KeepDefinition {
        /// Hash of the content.
        hash: String,
        /// The content.
        content: String,
    },
    /// An event goes with all its runs. Claims of its keys stay, so that a redelivery is recognised.
    Purge(Purge),
}

/// An intake carries both endings, first and duplicate; the store picks.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The id that the event gets if it is stored.
    pub id: EventId,
    /// When it was received.
    pub at: Timestamp,
    /// Its delivery. Seen within the window, no event is stored.
    pub delivery: Claim,
    /// The occurrence that it reports. Seen within the window, the event is stored as a duplicate.
    pub occurrence: Option<Occurrence>,
    /// The event as it will be stored, with the verdict for the case that it is the first.
    pub record: Record,
    /// That verdict.
    pub verdict: Verdict,
    /// The runs that it starts in that case.
    pub runs: Vec<RunRecord>,
    /// What it says to runs that wait, in that case. The store puts what it does there into the verdict.
    pub callback: Option<Callback>,
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenRun {
    /// Its name in the store.
    pub run: RunRef,
    /// Its workflow.
    pub workflow: String,
    /// Hash of the definition that it is pinned to.
    pub definition: String,
    /// When it must be looked at next.
    pub wake: Option<Timestamp>,
    /// Whether an attempt of it is in flight.
    pub in_flight: bool,
    /// Number of entries in its journal.
    pub revision: u32,
}

impl OpenRun {
    /// This run with this head.
    pub fn new(run: &RunRecord, head: &RunHead) -> Self {
        Self {
            run: run.reference(),
            workflow: run.workflow.clone(),
            definition: run.definition.clone(),
            wake: head.wake,
            in_flight: head.is_in_flight(),
            revision: head.revision,
        }
    }
}

/// A key that may be claimed once within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key.
    pub key: Key,
    /// How long the first claim holds.
    pub window: Duration,
}

/// The claim of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The claim.
    pub claim: Claim,
    /// For sources where two deliveries of one hook are two occurrences: the hook. The claim then
    /// counts only against a first event of another hook.
    pub hook: Option<HookKey>,
}

/// A claim on work, fenced: whoever comes later has a larger epoch, and an old epoch changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Grows with every claim of the same work.
    pub epoch: u64,
    /// Until when nobody else may claim it.
    pub until: Timestamp,
}

/// What a commit says to a transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A new event, with the verdict that it carried.
    Stored,
    /// The delivery is the event `of` already; nothing was stored.
    Redelivered {
        /// The first one's id.
        of: EventId,
    },
    /// A new event with the verdict `duplicate(of)`; it was not routed.
    Duplicate {
        /// The first event of this occurrence.
        of: EventId,
    },
    /// The change was applied.
    Applied,
    /// As [`Answer::Stored`] or [`Answer::Applied`]; and these waits were completed by it.
    Completed {
        /// The waits.
        waits: Vec<WaitRef>,
    },
    /// A condition did not hold; nothing was changed.
    Stale,
}

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Of this source.
    pub source: Option<String>,
    /// Of this type.
    pub event_type: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// With this status.
    pub status: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// Received at or after this point.
    pub since: Option<Timestamp>,
    /// Received before this point.
    pub until: Option<Timestamp>,
    /// Whose delivery id, subject, title, sender or repository contains this, whatever its case.
    pub text: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Only those older than this one.
    pub before: Option<EventId>,
}

impl EventQuery {
    /// Whether an event with this id lies where the list looks.
    pub fn in_range(&self, id: EventId) -> bool {
        self.since.is_none_or(|since| id >= EventId::first_at(since))
            && self.until.is_none_or(|until| id < EventId::first_at(until))
            && self.before.is_none_or(|before| id < before)
    }

    /// Whether `event` is one of those asked for, its time apart.
    pub fn matches(&self, event: &Event) -> bool {
        let facts = &event.meta.facts;
        let is = |wanted: &Option<String>, has: Option<&str>| wanted.as_deref().is_none_or(|w| has == Some(w));
        is(&self.source, Some(event.meta.source.as_str()))
            && is(&self.event_type, Some(&facts.event_type))
            && is(&self.action, facts.action.as_deref())
            && self.status.as_deref().is_none_or(|wanted| wanted == event.status())
            && is(&self.subject, facts.subject.as_deref())
            && self.text.as_deref().is_none_or(|text| contains_text(event, &text.to_lowercase()))
    }
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// With this status.
    pub status: Option<RunStatus>,
    /// About this subject.
    pub subject: Option<String>,
    /// Started by this event.
    pub event: Option<EventId>,
    /// Started at or after this point.
    pub since: Option<Timestamp>,
    /// Started before this point.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
    /// Only those older than this one.
    pub before: Option<RunRef>,
}

impl RunQuery {
    /// Whether this run is one of those asked for.
    pub fn matches(&self, run: &RunRecord, head: &RunHead) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| *workflow == run.workflow)
            && self.status.is_none_or(|status| status == head.status)
            && self.subject.as_ref().is_none_or(|subject| Some(subject) == run.subject.as_ref())
            && self.event.is_none_or(|event| event == run.event)
            && self.since.is_none_or(|since| run.started_at >= since)
            && self.until.is_none_or(|until| run.started_at < until)
            && self.before.is_none_or(|before| run.reference() < before)
    }
}

/// Which waits to list.
#[derive(Clone, Debug, Default)]
pub struct WaitQuery {
    /// Only those that are open, or that are not.
    pub open: Option<bool>,
    /// Of this run.
    pub run: Option<RunId>,
    /// With this key.
    pub key: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Only those after this one in the list.
    pub before: Option<WaitCursor>,
}

/// The place of a wait in the list: when it was reserved, and its id.
pub type WaitCursor = (Timestamp, WaitId);

impl WaitQuery {
    /// Whether this wait is one of those asked for.
    pub fn matches(&self, wait: &WaitRecord) -> bool {
        self.open.is_none_or(|open| open == wait.is_open())
            && self.run.is_none_or(|run| run == wait.run.id)
            && self.key.as_ref().is_none_or(|key| wait.keys.contains(key))
            && self.before.is_none_or(|before| (wait.reserved_at, wait.id) < before)
    }
}

fn contains_text(event: &Event, text: &str) -> bool {
    let facts = &event.meta.facts;
    [
        Some(&event.meta.delivery_id),
        facts.subject.as_ref(),
        facts.title.as_ref(),
        facts.sender.as_ref(),
        facts.repository.as_ref(),
    ]
    .into_iter()
    .flatten()
    .any(|field| field.to_lowercase().contains(text))
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T, C> {
    /// The items. There may be fewer than asked for although `next` is there: a store looks at a
    /// bounded number of records for one page.
    pub items: Vec<T>,
    /// Where to go on; absent at the end.
    pub next: Option<C>,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot write or read now. What was in hand is unknown until it has recovered.
    #[error("the store does not work: {0}")]
    Unavailable(String),
    /// A record was damaged. It was set aside; the others are not touched.
    #[error("the record of {id} is damaged ({reason}); it was set aside, restore it from a backup")]
    Damaged {
        /// What the record is of.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
}
