//! The door of an executor: takes what happens to the runs of its workflow, asks the inside what follows,
//! has it written down, and then does it.
//!
//! Nothing here is the truth. A fall, a failed commit, or one that somebody else was faster with: the
//! run is read again from storage and goes on from there.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Supervised, WrapFuture};
use tokio::sync::Notify;

use super::attempts::{Attempts, Flight, Job, State, notebook};
use super::child;
use super::circuits::{Call, OfAttempt};
use super::deaths::Suspect;
use super::decide::{Decision, Execute, Happening, Moment, decide};
use super::live::{InHand, Live};
use super::loading::{Definitions, Loaded};
use super::messages::{AttemptEnded, Control, Executors, ReportAll, RunsStarted, TakeDown, Told, Wake};
use super::polling::Polls;
use super::port::{Actions, Attempt};
use super::progress::Progress;
use super::task::{Reply, Task};
use super::telling;
use crate::circuit_breaker::actor::Breakers;
use crate::dispatcher::actor::{Census, Gone, Reported};
use crate::dispatcher::queue::Order;
use crate::event_log::actor::LogDoor;
use crate::ids::RunId;
use crate::mailbox::{Door, Letter};
use crate::run::RunHead;
use crate::store::{Answer, Store, Transition};
use crate::time::{SharedClock, Timestamp};
use crate::timer::actor::{Arm, ArmAll};

/// Pause before a run is read again from a store that did not work.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What all executors of the process share.
#[derive(Clone)]
pub struct Shared {
    /// For reading.
    pub store: Arc<dyn Store>,
    /// For writing.
    pub log: LogDoor,
    /// Told how runs stand, one at a time …
    pub dispatcher: Door<Reported>,
    /// … all of a workflow at once …
    pub counter: Door<Census>,
    /// … and that one will not be heard of again.
    pub gone: Door<Gone>,
    /// Told when runs must be woken, one at a time …
    pub timer: Door<Arm>,
    /// … and many at once.
    pub all_times: Door<ArmAll>,
    /// Which services may be called.
    pub breakers: Breakers,
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
    /// The attempt that was alone in flight when the former process died.
    pub suspect: Option<Suspect>,
}

/// The actor that drives the runs of one workflow.
pub struct Executor {
    pub(super) workflow: String,
    pub(super) shared: Shared,
    /// In an order of their own: what is told of all of them is told in the same order every time.
    pub(super) live: BTreeMap<RunId, Live>,
    pub(super) attempts: Attempts,
    /// Runs that are being read, so that none is read twice at once.
    pub(super) loading: HashSet<RunId>,
    /// Those of them that must be read once more.
    pub(super) outdated: HashSet<RunId>,
    /// Attempts whose entry may be in the journal but that were never made, by their serial: the commit
    /// failed, and nobody knows how far it came.
    pub(super) never_left: HashSet<(RunId, u32)>,
    /// Whether all open runs of the workflow are here.
    pub(super) complete: bool,
    /// Many are taken up at once: how they stand is told of all together, when they are here.
    pub(super) gathering: Option<Vec<Arm>>,
    /// A census of them is on its way.
    pub(super) counting: bool,
    /// One could not be told because a run was being read, or another was on its way.
    pub(super) census_due: bool,
    /// It fell, and what it had asked for before may be on its way into the journals.
    pub(super) fell: bool,
    pub(super) missed: Arc<Notify>,
    /// Whom it asks while its runs wait …
    pub(super) polls: Polls,
    /// … and when it does next, by the time that never goes back.
    pub(super) asks_at: Option<Duration>,
    /// How many reports it has made.
    reports: u64,
}

impl Executor {
    /// The executor of `workflow`, looking into storage when `missed` is told.
    pub fn new(workflow: &str, shared: Shared, attempts: Attempts, missed: Arc<Notify>) -> Self {
        let (live, loading, never_left) = (BTreeMap::new(), HashSet::new(), HashSet::new());
        Self {
            workflow: workflow.to_owned(),
            shared,
            live,
            attempts,
            loading,
            outdated: HashSet::new(),
            never_left,
            complete: false,
            gathering: None,
            counting: false,
            census_due: false,
            fell: false,
            missed,
            polls: Polls::default(),
            asks_at: None,
            reports: 0,
        }
    }

    /// Something happens to a run. One that is not here is read first.
    pub(super) fn take(&mut self, run: RunId, task: Task, ctx: &mut Context<Self>) {
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
    pub(super) fn work(&mut self, run: RunId, ctx: &mut Context<Self>) {
        loop {
            let now = self.shared.clock.now();
            let outages = self.shared.breakers.board.outages(now);
            let draining = self.shared.draining.load(Ordering::SeqCst);
            let moment = Moment { now, draining, outages: &outages };
            let Some(live) = self.live.get_mut(&run).filter(|live| live.in_hand.is_none()) else { return };
            let is_known = || self.attempts.have_outcome_of(run);
            let Some(task) = live.next_task(now, is_known) else { return };
            if let (Happening::Go, Some((stand, _))) = (&task.happening, &mut live.told) {
                *stand = None;
            }
            let mut decision = decide(&live.run, &live.definition, &live.progress, &task.happening, moment);
            decision.said_by(task.by.as_deref());
            if decision.entries.is_empty() {
                if let Some(reply) = task.reply {
                    reply.unchanged(decision.refusal);
                }
                if matches!(task.happening, Happening::Go | Happening::Woke) {
                    // The dispatcher takes it for one at work, or the timer for one that was woken.
                    live.told = None;
                }
                let was_timer = matches!(task.happening, Happening::Woke);
                self.report(run, ctx);
                if !was_timer {
                    self.end_if_late(run);
                }
            } else {
                live.in_hand = Some(InHand { begins: decision.begins() });
                self.write_down(run, decision, task.reply, ctx);
                return;
            }
        }
    }

    fn write_down(&mut self, run: RunId, decision: Decision, reply: Option<Reply>, ctx: &mut Context<Self>) {
        let Some(live) = self.live.get(&run) else { return };
        let now = decision.entries.last().map_or_else(Timestamp::default, |last| last.at);
        let advance = Transition::Advance {
            run: live.run.reference(),
            revision: live.progress.revision,
            entries: decision.entries.clone(),
            head: decision.progress.head(now),
            waits: decision.waits.clone(),
            starts: decision.starts.clone(),
        };
        // From here on a process that ends waits for them, and nobody else probes their services.
        let announce = |execute| (self.attempts.announce(), self.calls(run, execute));
        let announced: Vec<(Flight, Call)> = decision.executes.iter().map(announce).collect();
        let log = self.shared.log.clone();
        let committed = async move { log.commit(advance).await }.into_actor(self);
        ctx.spawn(committed.map(move |result, executor, ctx| match result {
            Ok(Answer::Applied) => executor.written(run, decision, (reply, announced), ctx),
            Ok(Answer::Completed { waits }) => {
                executor.written(run, decision, (reply, announced), ctx);
                let (own, others): (Vec<_>, Vec<_>) = waits.into_iter().partition(|wait| wait.run == run);
                executor.shared.executors.called(others);
                if !own.is_empty() {
                    executor.look_at_waits(run, ctx);
                }
            }
            Ok(_) => {
                if let Some(reply) = reply {
                    reply.unknown("something else happened to the run at the same time; try again");
                }
                drop(announced);
                executor.read_again(run, Duration::ZERO, ctx);
            }
            Err(error) => {
                tracing::warn!(%run, %error, "a run could not be written down and is read again");
                if let Some(reply) = reply {
                    reply.unknown(&error.to_string());
                }
                drop(announced);
                executor.never_left.extend(decision.executes.iter().map(|execute| (run, execute.serial)));
                executor.read_again(run, STORE_PAUSE, ctx);
            }
        }));
    }

    /// A decision is durable: now it is done.
    fn written(
        &mut self,
        run: RunId,
        decision: Decision,
        (reply, announced): (Option<Reply>, Vec<(Flight, Call)>),
        ctx: &mut Context<Self>,
    ) {
        let Some(live) = self.live.get(&run) else { return };
        telling::log(&live.run, &decision.entries);
        let landed = live.progress.landed(&decision.progress);
        self.have_landed(run, &landed);
        // Its waits may have been completed before anybody here knew of them, or while an attempt was in flight.
        let looks = !landed.is_empty() || !decision.waits.is_empty();
        self.shared.executors.look(child::left(&live.definition, &live.progress, &decision));
        self.shared.executors.started(decision.starts);
        let Some(live) = self.live.get_mut(&run) else { return };
        live.progress = decision.progress;
        live.in_hand = None;
        self.never_left.retain(|(of, _)| *of != run);
        landed.into_iter().for_each(|serial| self.attempts.settle(run, serial));
        for (execute, (flight, call)) in decision.executes.into_iter().zip(announced) {
            call.made();
            self.execute(run, execute, flight);
        }
        if let Some(reply) = reply {
            reply.durable();
        }
        self.report(run, ctx);
        let is_over = self.live.get(&run).is_some_and(|live| live.progress.is_over());
        self.keep_polls(run, ctx);
        if is_over {
            let ended = self.live.remove(&run);
            ended.into_iter().flat_map(|live| live.waiting).for_each(|task| task.lost("it is over"));
        } else {
            if looks {
                self.look_at_waits(run, ctx);
            }
            self.end_if_late(run);
            self.work(run, ctx);
        }
    }

    /// Its time may have been up before what was decided was durable: then no timer says so any more.
    fn end_if_late(&mut self, run: RunId) {
        let now = self.shared.clock.now();
        if let Some(live) = self.live.get_mut(&run).filter(|live| live.progress.time_is_up(now)) {
            live.waiting.push_back(Happening::Woke.into());
        }
    }

    fn execute(&mut self, run: RunId, execute: Execute, flight: Flight) {
        let Execute { step, attempt, look, serial, key, with, until } = execute;
        let Some(live) = self.live.get(&run) else { return };
        let Some(step) = live.definition.step(&step) else { return };
        let Some(action) = self.shared.actions.get(step.action.as_str()) else { return };
        let Ok(doors) = self.shared.executors.of(&self.workflow) else { return };
        let (breakers, clock) = (self.shared.breakers.clone(), Arc::clone(&self.shared.clock));
        let attempt = Attempt {
            run,
            step: step.name.clone(),
            number: attempt,
            serial,
            key,
            with,
            written: step.written.clone(),
            timeout: step.timeout,
            notebook: notebook(self.shared.executors.clone(), self.workflow.clone(), run, serial),
            earlier: live.progress.earlier(&step.name),
            circuits: Arc::new(OfAttempt { breakers, clock, until }),
        };
        let job = if look { Job::Look } else { Job::Execute };
        self.attempts.begin(action, (job, attempt), flight, doors.ended);
    }

    /// Tells dispatcher and timer how a run stands, unless they know.
    pub(super) fn report(&mut self, run: RunId, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let outages = self.shared.breakers.board.outages(now);
        let Some(live) = self.live.get_mut(&run) else { return };
        let mut report = live.report(now, &outages);
        let wake = live.wake(now);
        let before = live.told.replace((Some(report.stand()), wake));
        if let Some(arms) = &mut self.gathering {
            arms.extend(wake.map(|at| Arm { run, workflow: self.workflow.clone(), at: Some(at) }));
            return;
        }
        // Each door is asked first thing in a task of its own: doors let in in the order of asking, so that
        // no report overtakes an earlier one. One that fell with this in hand asks everybody when it is back.
        if before.is_none_or(|(told, _)| told != Some(report.stand())) {
            self.reports += 1;
            (live.number, report.number) = (self.reports, self.reports);
            let dispatcher = self.shared.dispatcher.clone();
            ctx.spawn(async move { _ = dispatcher.ask(Reported(report)).await }.into_actor(self));
        }
        if before.is_none_or(|(_, told)| told != wake) {
            let (timer, arm) = (self.shared.timer.clone(), Arm { run, workflow: self.workflow.clone(), at: wake });
            ctx.spawn(async move { _ = timer.ask(arm).await }.into_actor(self));
        }
    }

    /// Tells the dispatcher how all runs stand, at once: it lets nobody go on before it knows.
    ///
    /// One that is being read again still holds what it has: as long as there is such a run, nothing is
    /// told.
    pub(super) fn tell_all(&mut self, ctx: &mut Context<Self>) {
        self.census_due = self.counting || !self.loading.is_empty();
        if self.census_due {
            return;
        }
        self.counting = true;
        let now = self.shared.clock.now();
        let outages = self.shared.breakers.board.outages(now);
        self.reports += 1;
        let number = self.reports;
        let counted = self.live.values_mut().map(|live| live.counted(now, &outages, number));
        let (reports, arms): (_, Vec<_>) = counted.unzip();
        let (timer, arms) = (self.shared.all_times.clone(), ArmAll(arms.into_iter().flatten().collect()));
        if !arms.0.is_empty() {
            ctx.spawn(async move { _ = timer.ask(arms).await }.into_actor(self));
        }
        let census = Census { workflow: self.workflow.clone(), reports };
        let counter = self.shared.counter.clone();
        let told = async move { _ = counter.ask(census).await };
        ctx.spawn(told.into_actor(self).map(|(), executor, ctx| {
            executor.counting = false;
            executor.tell_all_if_due(ctx);
        }));
    }

    pub(super) fn tell_all_if_due(&mut self, ctx: &mut Context<Self>) {
        if self.census_due {
            self.tell_all(ctx);
        }
    }

    /// Tells of all that were taken up together.
    pub(super) fn gathered(&mut self, ctx: &mut Context<Self>) {
        let arms = ArmAll(self.gathering.take().unwrap_or_default());
        let timer = self.shared.all_times.clone();
        ctx.spawn(async move { _ = timer.ask(arms).await }.into_actor(self));
        self.tell_all(ctx);
    }
}

impl Actor for Executor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.load_all(ctx);
    }
}

impl Supervised for Executor {
    /// Live runs are read again; attempts at work go on and are found in their slots.
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.live.clear();
        self.loading.clear();
        (self.complete, self.counting, self.census_due, self.fell) = (false, false, false, true);
        self.gathering = None;
        self.outdated.clear();
        (self.polls, self.asks_at) = (Polls::default(), None);
        // It may have started runs of others, and fallen before it could say so.
        self.shared.executors.look_again();
    }
}

impl Handler<Letter<RunsStarted>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<RunsStarted>, ctx: &mut Context<Self>) {
        for run in letter.open().0 {
            match self.shared.definitions.get(&run.definition) {
                Some(definition) => {
                    let progress = Progress::new(&run);
                    let (definition, heard) = (Ok(definition), Vec::new());
                    let head = RunHead::of(&run);
                    self.adopt(Loaded { run: Arc::new(run), head, progress, definition, heard }, ctx);
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
            Order::Go(run, number) if self.live.get(&run).is_some_and(|live| live.number != number) => {}
            Order::Go(run, _) => self.take(run, Happening::Go.into(), ctx),
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
        let AttemptEnded { run, serial } = letter.open();
        if let State::Ended(outcome) = self.attempts.state(run, serial) {
            self.ended(run, serial, outcome, ctx);
        }
    }
}

impl Handler<Letter<TakeDown>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<TakeDown>, ctx: &mut Context<Self>) {
        let TakeDown { run, serial, note, reply } = letter.open();
        self.take(run, Task { reply: Some(Reply::Note(reply)), ..Happening::Noted(serial, note).into() }, ctx);
    }
}

impl Handler<Letter<Control>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<Control>, ctx: &mut Context<Self>) {
        let Control { run, command, by, reply } = letter.open();
        let task = Task { happening: Happening::Told(command), by, reply: Some(Reply::Control(reply)) };
        // Whether something can be done again others know as well.
        if self.live.contains_key(&run) && !task.begins_again() {
            self.take(run, task, ctx);
        } else {
            self.take_when_read(run, task, ctx);
        }
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
