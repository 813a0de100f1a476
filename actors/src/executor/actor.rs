//! The door of an executor: takes what happens to the runs of its workflow, asks the inside what follows,
//! has it written down, and then does it.
//!
//! Nothing here is the truth. A fall, a failed commit, or one that somebody else was faster with: the
//! run is read again from storage and goes on from there.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Supervised, WrapFuture};
use tokio::sync::{Notify, oneshot};

use super::attempts::{Attempts, State, notebook};
use super::decide::{Decision, Effect, Happening, Moment, decide};
use super::failure::{ErrorClass, Failure};
use super::loading::{Definitions, Loaded, load_missing, load_one};
use super::messages::{AttemptEnded, Executors, ReportAll, RunsStarted, TakeDown, Told, Wake};
use super::port::{Actions, Attempt};
use super::progress::{Phase, Progress};
use super::telling;
use crate::dispatcher::actor::{Census, Reported};
use crate::dispatcher::queue::{Order, Report, Standing, Ticket};
use crate::event_log::actor::LogDoor;
use crate::ids::RunId;
use crate::mailbox::{Door, Letter};
use crate::run::{Entry, RunHead, RunRecord, What};
use crate::store::{Answer, Store, StoreError, Transition};
use crate::time::{SharedClock, Timestamp};
use crate::timer::actor::Arm;
use crate::workflow::definition::Definition;

/// Pause before a run is read again from a store that did not work.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What all executors of the process share.
#[derive(Clone)]
pub struct Shared {
    /// For reading.
    pub store: Arc<dyn Store>,
    /// For writing.
    pub log: LogDoor,
    /// Told how runs stand, one at a time …
    pub dispatcher: Door<Reported>,
    /// … and all of a workflow at once.
    pub counter: Door<Census>,
    /// Told when runs must be woken.
    pub timer: Door<Arm>,
    /// All executors, this one among them.
    pub executors: Executors,
    /// What steps can do.
    pub actions: Actions,
    /// What runs are pinned to.
    pub definitions: Definitions,
    /// Where `now` comes from.
    pub clock: SharedClock,
    /// Set when the process is about to end.
    pub draining: Arc<AtomicBool>,
}

/// The actor that drives the runs of one workflow.
pub struct Executor {
    workflow: String,
    shared: Shared,
    live: HashMap<RunId, Live>,
    attempts: Attempts,
    /// Runs that are being read, so that none is read twice at once.
    loading: HashSet<RunId>,
    /// Whether all open runs of the workflow are here.
    complete: bool,
    missed: Arc<Notify>,
}

/// A run that is not over.
struct Live {
    run: Arc<RunRecord>,
    definition: Arc<Definition>,
    ticket: Ticket,
    progress: Progress,
    /// A decision of it is on its way into the journal.
    in_hand: bool,
    waiting: VecDeque<Task>,
    /// What dispatcher and timer were told last.
    told: Option<(Standing, Option<Timestamp>)>,
}

impl Live {
    fn report(&self, now: Timestamp) -> Report {
        let standing = self.progress.standing(now);
        Report { ticket: self.ticket.clone(), standing, revision: self.progress.revision }
    }
}

/// Something that happened, and who waits until it is durable.
struct Task {
    happening: Happening,
    reply: Option<oneshot::Sender<Result<(), Failure>>>,
}

impl From<Happening> for Task {
    fn from(happening: Happening) -> Self {
        Self { happening, reply: None }
    }
}

impl Executor {
    /// The executor of `workflow`, looking into storage when `missed` is told.
    pub fn new(workflow: &str, shared: Shared, attempts: Attempts, missed: Arc<Notify>) -> Self {
        let (live, loading) = (HashMap::new(), HashSet::new());
        Self { workflow: workflow.to_owned(), shared, live, attempts, loading, complete: false, missed }
    }

    /// Something happens to a run. One that is not here is read first.
    fn take(&mut self, run: RunId, task: Task, ctx: &mut Context<Self>) {
        match self.live.get_mut(&run) {
            Some(live) => {
                live.waiting.push_back(task);
                self.work(run, ctx);
            }
            // What it was told of will be found in storage, or told again.
            None => self.load(run, Duration::ZERO, ctx),
        }
    }

    /// Decides about what waits until something must be written down.
    fn work(&mut self, run: RunId, ctx: &mut Context<Self>) {
        loop {
            let moment = self.moment();
            let Some(live) = self.live.get_mut(&run).filter(|live| !live.in_hand) else { return };
            let Some(task) = live.waiting.pop_front() else { return };
            let decision = decide(&live.run, &live.definition, &live.progress, &task.happening, moment);
            if decision.entries.is_empty() {
                if let Some(reply) = task.reply {
                    let _ =
                        reply.send(Err(Failure::new(ErrorClass::Temporary, "the attempt is not in flight any more")));
                }
                if matches!(task.happening, Happening::Go | Happening::Woke) {
                    // The dispatcher takes it for one at work, or the timer for one that was woken.
                    live.told = None;
                }
                self.report(run, ctx);
            } else {
                live.in_hand = true;
                self.write_down(run, decision, task.reply, ctx);
                return;
            }
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.shared.clock.now(), draining: self.shared.draining.load(Ordering::SeqCst) }
    }

    fn write_down(
        &mut self,
        run: RunId,
        decision: Decision,
        reply: Option<oneshot::Sender<Result<(), Failure>>>,
        ctx: &mut Context<Self>,
    ) {
        let Some(live) = self.live.get(&run) else { return };
        let now = decision.entries.last().map_or_else(Timestamp::default, |last| last.at);
        let advance = Transition::Advance {
            run: live.run.reference(),
            revision: live.progress.revision,
            entries: decision.entries.clone(),
            head: decision.progress.head(now),
        };
        let log = self.shared.log.clone();
        let committed = async move { log.commit(advance).await }.into_actor(self);
        ctx.spawn(committed.map(move |result, executor, ctx| match result {
            Ok(Answer::Applied) => executor.written(run, decision, reply, ctx),
            Ok(_) => executor.read_again(run, Duration::ZERO, ctx),
            Err(error) => {
                tracing::warn!(%run, %error, "a run could not be written down and is read again");
                executor.read_again(run, STORE_PAUSE, ctx);
            }
        }));
    }

    /// A decision is durable: now it is done.
    fn written(
        &mut self,
        run: RunId,
        decision: Decision,
        reply: Option<oneshot::Sender<Result<(), Failure>>>,
        ctx: &mut Context<Self>,
    ) {
        let Some(live) = self.live.get_mut(&run) else { return };
        telling::log(&live.run, &decision.entries);
        live.progress = decision.progress;
        live.in_hand = false;
        let settled = decision.entries.iter().any(Entry::settles);
        if settled {
            self.attempts.settle(run);
        }
        for effect in decision.effects {
            self.carry_out(run, effect);
        }
        if let Some(reply) = reply {
            let _ = reply.send(Ok(()));
        }
        self.report(run, ctx);
        if self.live.get(&run).is_some_and(|live| live.progress.is_over()) {
            self.live.remove(&run);
        } else {
            self.work(run, ctx);
        }
    }

    fn carry_out(&mut self, run: RunId, effect: Effect) {
        let Effect::Execute { step, attempt, key, with } = effect else {
            self.attempts.settle(run);
            return;
        };
        let Some(step) = self.live.get(&run).and_then(|live| live.definition.step(&step)) else { return };
        let Some(action) = self.shared.actions.get(step.action.as_str()) else { return };
        let Ok(doors) = self.shared.executors.of(&self.workflow) else { return };
        let attempt = Attempt {
            run,
            step: step.name.clone(),
            number: attempt,
            key,
            with,
            timeout: step.timeout,
            notebook: notebook(self.shared.executors.clone(), self.workflow.clone(), run, attempt),
        };
        self.attempts.begin(action, attempt, doors.ended);
    }

    /// Tells dispatcher and timer how a run stands, unless they know.
    fn report(&mut self, run: RunId, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let Some(live) = self.live.get_mut(&run) else { return };
        let standing = live.progress.standing(now);
        // What is due is no longer waited for.
        let wake = live.progress.head(now).wake.filter(|wake| *wake > now);
        let before = live.told.replace((standing, wake));
        let report = live.report(now);
        let report = before.is_none_or(|(told, _)| told != standing).then_some(report);
        let arm = Arm { run, workflow: self.workflow.clone(), at: wake };
        let arm = before.is_none_or(|(_, told)| told != wake).then_some(arm);
        if report.is_none() && arm.is_none() {
            return;
        }
        let (dispatcher, timer) = (self.shared.dispatcher.clone(), self.shared.timer.clone());
        let tell = async move {
            // One that fell with this in hand asks everybody when it is back.
            if let Some(arm) = arm {
                let _ = timer.ask(arm).await;
            }
            if let Some(report) = report {
                let _ = dispatcher.ask(Reported(report)).await;
            }
        };
        ctx.spawn(tell.into_actor(self));
    }

    /// Tells the dispatcher how all runs stand, at once: it lets nobody go on before it knows.
    fn tell_all(&mut self, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let reports = self.live.values().map(|live| live.report(now)).collect();
        let census = Census { workflow: self.workflow.clone(), reports };
        let counter = self.shared.counter.clone();
        ctx.spawn(async move { _ = counter.ask(census).await }.into_actor(self));
    }

    fn read_again(&mut self, run: RunId, pause: Duration, ctx: &mut Context<Self>) {
        self.live.remove(&run);
        self.load(run, pause, ctx);
    }

    /// Reads one run from storage, after a pause.
    fn load(&mut self, run: RunId, pause: Duration, ctx: &mut Context<Self>) {
        if !self.loading.insert(run) {
            return;
        }
        let (store, definitions, actions) =
            (Arc::clone(&self.shared.store), self.shared.definitions.clone(), self.shared.actions.clone());
        let read = async move {
            tokio::time::sleep(pause).await;
            load_one(store.as_ref(), &definitions, &actions, run).await
        };
        ctx.spawn(read.into_actor(self).map(move |loaded, executor, ctx| {
            executor.loading.remove(&run);
            match loaded {
                Ok(Some(loaded)) => executor.adopt(loaded, ctx),
                Ok(None) => {}
                Err(StoreError::Damaged { id, reason }) => {
                    tracing::error!(run = %id, reason, "a run cannot go on, its record is damaged");
                }
                Err(StoreError::Unavailable(_)) => executor.load(run, STORE_PAUSE, ctx),
            }
        }));
    }

    /// Reads the open runs of the workflow that are not here.
    fn load_all(&mut self, ctx: &mut Context<Self>) {
        let (store, definitions, actions) =
            (Arc::clone(&self.shared.store), self.shared.definitions.clone(), self.shared.actions.clone());
        let known: HashSet<RunId> = self.live.keys().copied().collect();
        let workflow = self.workflow.clone();
        let read = async move { load_missing(store.as_ref(), &definitions, &actions, (&workflow, &known)).await };
        ctx.spawn(read.into_actor(self).map(|loaded, executor, ctx| match loaded {
            Ok(loaded) => {
                loaded.into_iter().for_each(|loaded| executor.adopt(loaded, ctx));
                let (live, loading) = (&executor.live, &executor.loading);
                executor.attempts.settle_all_but(|run| live.contains_key(&run) || loading.contains(&run));
                executor.complete = true;
                executor.tell_all(ctx);
            }
            Err(error) => {
                tracing::warn!(workflow = executor.workflow, %error, "open runs could not be read; trying again");
                let missed = Arc::clone(&executor.missed);
                let again = async move {
                    tokio::time::sleep(STORE_PAUSE).await;
                    missed.notify_one();
                };
                ctx.spawn(again.into_actor(executor));
            }
        }));
    }

    /// Takes up a run where its journal ends.
    fn adopt(&mut self, loaded: Loaded, ctx: &mut Context<Self>) {
        let run = loaded.run.id;
        if self.live.contains_key(&run) {
            return;
        }
        if loaded.progress.is_over() {
            self.attempts.settle(run);
            return;
        }
        let Loaded { run: record, progress, definition } = loaded;
        let place = definition.and_then(|definition| match definition.place_of(&record) {
            Ok(place) => Ok((definition, place)),
            Err(error) => Err(format!("concurrency: {error}")),
        });
        let (definition, place) = match place {
            Ok(found) => found,
            Err(reason) => return self.block(record, progress, reason, ctx),
        };
        let ticket = Ticket {
            run,
            workflow: self.workflow.clone(),
            priority: record.priority,
            started_at: record.started_at,
            place,
        };
        let (in_hand, waiting, told) = (false, VecDeque::new(), None);
        let live = Live { run: Arc::new(record), definition, ticket, progress, in_hand, waiting, told };
        self.live.insert(run, live);
        self.report(run, ctx);
        self.resume(run, ctx);
    }

    /// An attempt that was in flight when the journal ended: at work here, ended here, or in doubt.
    fn resume(&mut self, run: RunId, ctx: &mut Context<Self>) {
        let Some(live) = self.live.get(&run) else { return };
        let Phase::Attempting { step, attempt, notes } = live.progress.phase.clone() else {
            self.attempts.settle(run);
            return;
        };
        match self.attempts.state(run, attempt) {
            State::AtWork => {}
            State::Ended(outcome) => self.take(run, Happening::Ended(attempt, outcome).into(), ctx),
            State::Unknown => {
                let action = live.definition.step(&step).and_then(|step| self.shared.actions.get(step.action.as_str()));
                let clean_up = action.filter(|_| !notes.is_empty()).map(|action| action.clean_up(notes));
                let clean_up = async move {
                    if let Some(clean_up) = clean_up {
                        clean_up.await;
                    }
                };
                ctx.spawn(clean_up.into_actor(self).map(move |(), executor, ctx| {
                    executor.take(run, Happening::Recovered.into(), ctx);
                }));
            }
        }
    }

    /// A run whose definition cannot be executed says so, and waits for a process that can.
    fn block(&mut self, run: RunRecord, mut progress: Progress, reason: String, ctx: &mut Context<Self>) {
        if progress.blocked.as_ref() == Some(&reason) {
            return;
        }
        tracing::error!(run = %run.id, workflow = self.workflow, reason, "a run is blocked");
        let (now, revision) = (self.shared.clock.now(), progress.revision);
        let entry = Entry { at: now, what: What::Blocked { reason } };
        progress.add(&entry);
        let head = RunHead { wake: None, ..progress.head(now) };
        let advance = Transition::Advance { run: run.reference(), revision, entries: vec![entry], head };
        let log = self.shared.log.clone();
        ctx.spawn(async move { _ = log.commit(advance).await }.into_actor(self));
    }

    /// Looks into storage whenever somebody could not tell of a run.
    fn look_when_missed(&mut self, ctx: &mut Context<Self>) {
        let missed = Arc::clone(&self.missed);
        let wait = async move { missed.notified().await };
        ctx.spawn(wait.into_actor(self).map(|(), executor, ctx| {
            executor.load_all(ctx);
            executor.look_when_missed(ctx);
        }));
    }
}

impl Actor for Executor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.load_all(ctx);
        self.look_when_missed(ctx);
    }
}

impl Supervised for Executor {
    /// Live runs are read again; attempts at work go on and are found in their slots.
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.live.clear();
        self.loading.clear();
        self.complete = false;
    }
}

impl Handler<Letter<RunsStarted>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<RunsStarted>, ctx: &mut Context<Self>) {
        for run in letter.open().0 {
            match self.shared.definitions.get(&run.definition) {
                Some(definition) => {
                    let progress = Progress::new(run.started_at);
                    self.adopt(Loaded { run, progress, definition: Ok(definition) }, ctx);
                }
                None => self.load(run.id, Duration::ZERO, ctx),
            }
        }
    }
}

impl Handler<Letter<Told>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<Told>, ctx: &mut Context<Self>) {
        match letter.open().0 {
            Order::Go(run) => self.take(run, Happening::Go.into(), ctx),
            Order::Supersede(run, reason) => self.take(run, Happening::Superseded(reason).into(), ctx),
        }
    }
}

impl Handler<Letter<Wake>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<Wake>, ctx: &mut Context<Self>) {
        self.take(letter.open().0, Happening::Woke.into(), ctx);
    }
}

impl Handler<Letter<AttemptEnded>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<AttemptEnded>, ctx: &mut Context<Self>) {
        let AttemptEnded { run, attempt } = letter.open();
        if let State::Ended(outcome) = self.attempts.state(run, attempt) {
            self.take(run, Happening::Ended(attempt, outcome).into(), ctx);
        }
    }
}

impl Handler<Letter<TakeDown>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<TakeDown>, ctx: &mut Context<Self>) {
        let TakeDown { run, attempt, note, reply } = letter.open();
        self.take(run, Task { happening: Happening::Noted(attempt, note), reply: Some(reply) }, ctx);
    }
}

impl Handler<Letter<ReportAll>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<ReportAll>, ctx: &mut Context<Self>) {
        let ReportAll = letter.open();
        // Otherwise it is told when it is.
        if self.complete {
            self.tell_all(ctx);
        }
    }
}
