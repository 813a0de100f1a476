//! The door of the dead letters: redrives one at once and many at a bounded rate, and dismisses.
//!
//! What is to be redriven is marked in the store, so that a restart goes on where it was, and nothing is taken
//! twice. The redrive itself is the executor's or the router's; what it takes away from the dead letters goes
//! with its own commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use futures_util::future::try_join_all;
use tokio::sync::{Notify, oneshot};

use super::letter::{Body, Letter as DeadLetter, LetterId, LetterQuery, MarkChange, Place};
use super::pacing::Pace;
use super::selection::Selection;
use crate::event::fate::Change;
use crate::event_log::actor::LogDoor;
use crate::executor::again::doubt_below;
use crate::executor::command::Command;
use crate::executor::messages::{Executors, Refused};
use crate::executor::progress::Progress;
use crate::ids::{EventId, RunId};
use crate::mailbox::{Door, Letter};
use crate::router::backlog::RouteBacklog;
use crate::run::{Entry, What};
use crate::store::{Answer, Store, StoreError, Transition};
use crate::time::SharedClock;

/// Dead letters that are read, and marked, at once.
const PAGE: usize = 64;

/// How often it is looked whether anything is to be redriven when nobody asks.
const EVERY: Duration = Duration::from_secs(5);

/// How often a dismissal is begun anew because something else happened to the run.
const RACES: usize = 8;

/// Redrives one dead letter now. The reply comes when that is durable, or with the reason why it cannot be.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RedriveOne {
    /// Which.
    pub id: LetterId,
    /// Who says so, by name.
    pub by: Option<String>,
    /// Told what became of it.
    pub reply: oneshot::Sender<Result<(), Refused>>,
}

/// Has many redriven, one after the other.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RedriveMany {
    /// Which, at most `limit` of them.
    pub query: LetterQuery,
    /// Whether it is only said which they would be.
    pub dry_run: bool,
    /// Told which were taken, when that is durable.
    pub reply: oneshot::Sender<Result<Selection, StoreError>>,
}

/// Wants nothing more of a dead letter.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Dismiss {
    /// Which.
    pub id: LetterId,
    /// Why, in words.
    pub reason: String,
    /// Who says so, by name.
    pub by: Option<String>,
    /// Told what became of it.
    pub reply: oneshot::Sender<Result<(), Refused>>,
}

/// The ways in.
#[derive(Clone)]
pub struct DeadLetterDoors {
    /// One now.
    pub one: Door<RedriveOne>,
    /// Many, one after the other.
    pub many: Door<RedriveMany>,
    /// None of it any more.
    pub dismiss: Door<Dismiss>,
}

/// What it works with.
pub struct Shared {
    /// For reading.
    pub store: Arc<dyn Store>,
    /// For writing.
    pub log: LogDoor,
    /// They redrive runs.
    pub executors: Executors,
    /// It redrives events.
    pub backlog: Door<RouteBacklog>,
    /// Where `now` comes from.
    pub clock: SharedClock,
    /// Set when the process is about to end.
    pub draining: Arc<AtomicBool>,
    /// How many are redriven a second when many are.
    pub per_second: u32,
}

/// The actor of the dead letters.
pub struct DeadLetters {
    work: Arc<Work>,
}

struct Work {
    shared: Shared,
    asked: Notify,
}

impl DeadLetters {
    /// Dead letters that work with these.
    pub fn new(shared: Shared) -> Self {
        Self { work: Arc::new(Work { shared, asked: Notify::new() }) }
    }
}

impl Actor for DeadLetters {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let work = Arc::clone(&self.work);
        ctx.spawn(async move { work.go_on().await }.into_actor(self));
    }
}

/// After a fall it goes on with what is marked.
impl Supervised for DeadLetters {}

impl Handler<Letter<RedriveOne>> for DeadLetters {
    type Result = ();

    fn handle(&mut self, letter: Letter<RedriveOne>, ctx: &mut Context<Self>) {
        let RedriveOne { id, by, reply } = letter.open();
        let work = Arc::clone(&self.work);
        // Whoever asked may have gone; what was done is done.
        ctx.spawn(async move { _ = reply.send(work.redrive_one(id, by).await) }.into_actor(self));
    }
}

impl Handler<Letter<RedriveMany>> for DeadLetters {
    type Result = ();

    fn handle(&mut self, letter: Letter<RedriveMany>, ctx: &mut Context<Self>) {
        let RedriveMany { query, dry_run, reply } = letter.open();
        let work = Arc::clone(&self.work);
        ctx.spawn(async move { _ = reply.send(work.select(query, dry_run).await) }.into_actor(self));
    }
}

impl Handler<Letter<Dismiss>> for DeadLetters {
    type Result = ();

    fn handle(&mut self, letter: Letter<Dismiss>, ctx: &mut Context<Self>) {
        let Dismiss { id, reason, by, reply } = letter.open();
        let work = Arc::clone(&self.work);
        ctx.spawn(async move { _ = reply.send(work.dismiss(id, reason, by).await) }.into_actor(self));
    }
}

impl Work {
    /// Works off what is marked, for as long as the process lives.
    async fn go_on(&self) {
        let mut pace = Pace::new(self.shared.per_second);
        while !self.is_draining() {
            if let Err(error) = self.work_off(&mut pace).await {
                tracing::warn!(%error, "dead letters could not be redriven; trying again");
            }
            _ = tokio::time::timeout(EVERY, self.asked.notified()).await;
        }
    }

    async fn work_off(&self, pace: &mut Pace) -> Result<(), StoreError> {
        let mut after = None;
        while self.shared.store.counts().redrives > 0 {
            let page = self.shared.store.redrives(after, PAGE).await?;
            for place in page.items {
                tokio::time::sleep(pace.take(self.shared.clock.elapsed())).await;
                if self.is_draining() {
                    return Ok(());
                }
                self.work_at(place).await?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Redrives one that is marked. One that cannot be is marked no more, and says why; one of which nobody knows
    /// stays marked.
    async fn work_at(&self, place: Place) -> Result<(), StoreError> {
        let redriven = match self.shared.store.dead_letter(place.id).await {
            Ok(Some(letter)) if letter.is_asked_for_at(place) => self.redrive(letter, None).await,
            // Since it was listed somebody else has redriven it; that it may have failed again is for operators to see.
            Ok(_) => return Ok(()),
            Err(error) => Err(not_known(&error)),
        };
        match redriven {
            Ok(()) => tracing::info!(id = %place.id, "a dead letter is redriven"),
            Err(Refused::Unknown(why)) => {
                tracing::warn!(id = %place.id, why, "a dead letter could not be redriven yet")
            }
            Err(Refused::NotPossible(reason)) => {
                tracing::warn!(id = %place.id, reason, "a dead letter cannot be redriven");
                let refuse = Transition::Mark { letter: place, change: MarkChange::Refuse { reason } };
                self.shared.log.commit(refuse).await?;
            }
        }
        Ok(())
    }

    async fn redrive_one(&self, id: LetterId, by: Option<String>) -> Result<(), Refused> {
        match self.shared.store.dead_letter(id).await.map_err(|error| not_known(&error))? {
            Some(letter) => self.redrive(letter, by).await,
            None => Err(Refused::NotPossible("it is no dead letter".to_owned())),
        }
    }

    async fn redrive(&self, letter: DeadLetter, by: Option<String>) -> Result<(), Refused> {
        match letter.body {
            Body::Run(stored) => {
                let redrive = Command::Redrive { since: letter.since };
                self.shared.executors.tell(stored.0.id, &stored.0.workflow, redrive, by).await
            }
            Body::Event(event) => self.redrive_event(event.meta.id).await,
        }
    }

    async fn redrive_event(&self, event: EventId) -> Result<(), Refused> {
        self.change(event, Change::Redrive).await?;
        // One without room looks by itself.
        let _ = self.shared.backlog.offer(RouteBacklog);
        Ok(())
    }

    async fn change(&self, event: EventId, change: Change) -> Result<(), Refused> {
        let change = Transition::Change { event, at: self.shared.clock.now(), change };
        match self.shared.log.commit(change).await.map_err(|error| not_known(&error))? {
            Answer::Stale => Err(Refused::NotPossible("it is no dead letter".to_owned())),
            _ => Ok(()),
        }
    }

    /// Takes the dead letters of a query, and has them marked unless it is a rehearsal.
    async fn select(&self, query: LetterQuery, dry_run: bool) -> Result<Selection, StoreError> {
        let (most, mut selection, mut before) = (query.limit, Selection::default(), query.before);
        loop {
            let limit = PAGE.min(most - selection.number());
            let page = self.shared.store.dead_letters(LetterQuery { limit, before, ..query.clone() }).await?;
            let first = selection.taken.len();
            for letter in page.items {
                let obstacle = self.obstacle(&letter).await?;
                selection.add(letter, obstacle);
            }
            if !dry_run {
                let at = self.shared.clock.now();
                let taken = selection.taken.iter().skip(first).map(DeadLetter::place);
                let marks = taken.map(|letter| Transition::Mark { letter, change: MarkChange::Ask { at } });
                try_join_all(marks.map(|mark| self.shared.log.commit(mark))).await?;
                self.asked.notify_one();
            }
            before = page.next;
            if before.is_none() || selection.number() >= most {
                selection.more = before.is_some();
                return Ok(selection);
            }
        }
    }

    /// Why a run cannot be redriven because of those that it has started.
    async fn obstacle(&self, letter: &DeadLetter) -> Result<Option<String>, StoreError> {
        let Body::Run(run) = &letter.body else { return Ok(None) };
        match doubt_below(self.shared.store.as_ref(), run.0.id).await {
            // Whoever redrives it hears so.
            Err(StoreError::Damaged { .. }) => Ok(None),
            found => found,
        }
    }

    async fn dismiss(&self, id: LetterId, reason: String, by: Option<String>) -> Result<(), Refused> {
        match id {
            LetterId::Run(run) => self.dismiss_run(run, &reason, by).await,
            LetterId::Event(event) => self.change(event, Change::Dismiss { reason }).await,
        }
    }

    /// Nobody drives a run that is over: its journal's length is the only condition.
    async fn dismiss_run(&self, run: RunId, reason: &str, by: Option<String>) -> Result<(), Refused> {
        for _ in 0..RACES {
            let stored = self.shared.store.run(run).await.map_err(|error| not_known(&error))?;
            let Some(stored) = stored.filter(|stored| stored.head.dead_since().is_some()) else { break };
            let (now, mut progress) = (self.shared.clock.now(), Progress::of(&stored.record, &stored.journal));
            let said = What::Dismissed { reason: reason.to_owned() };
            let (revision, entry) = (progress.revision, Entry { by: by.clone(), ..Entry::new(now, said) });
            progress.add(&entry);
            let (run, entries, head) = (stored.record.reference(), vec![entry], progress.head(now));
            let (waits, starts) = (Vec::new(), Vec::new());
            let advance = Transition::Advance { run, revision, entries, head, waits, starts };
            if self.shared.log.commit(advance).await.map_err(|error| not_known(&error))? == Answer::Applied {
                return Ok(());
            }
        }
        Err(Refused::NotPossible("it is no dead letter".to_owned()))
    }

    fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::SeqCst)
    }
}

fn not_known(error: &StoreError) -> Refused {
    Refused::Unknown(error.to_string())
}
