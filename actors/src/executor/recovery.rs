//! How an executor takes runs up from storage: at its start, after a fall, and whenever it cannot be sure
//! of what it knows.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use serde_json::Value as Json;

use super::actor::{Executor, STORE_PAUSE};
use super::again::obstacle;
use super::attempts::State;
use super::child;
use super::decide::Happening;
use super::live::Live;
use super::loading::{Loaded, load_missing, load_one};
use super::progress::{Flying, Progress, StepState};
use super::task::Task;
use crate::dispatcher::actor::Gone;
use crate::dispatcher::queue::Ticket;
use crate::ids::RunId;
use crate::run::{Entry, RunHead, RunRecord, RunStatus, What};
use crate::store::{Answer, StoreError, Transition};
use crate::wait::record::WaitChange;

impl Executor {
    /// Tells the dispatcher that it will not hear of a run again.
    fn forget(&mut self, run: RunId, ctx: &mut Context<Self>) {
        self.attempts.settle_of(run, |_| false);
        self.polls.keep(run, Vec::new(), Duration::ZERO);
        self.never_left.retain(|(of, _)| *of != run);
        let gone = self.shared.gone.clone();
        ctx.spawn(async move { _ = gone.ask(Gone(run)).await }.into_actor(self));
    }

    pub(super) fn read_again(&mut self, run: RunId, pause: Duration, ctx: &mut Context<Self>) {
        let before = self.live.remove(&run);
        let waiting = before.into_iter().flat_map(|live| live.waiting);
        waiting.for_each(|task| task.unknown("the run is read again from storage; look at it before you say it again"));
        // What is being read may be older than what has led here.
        if self.loading.contains(&run) {
            self.outdated.insert(run);
        }
        self.load(run, pause, ctx);
    }

    /// Waits until what was asked for before is in the journals, or never will be, when nobody was told what became of it:
    /// a run that is read too early would not know of it, and nobody would say so.
    fn caught_up(&self, in_doubt: bool) -> impl Future<Output = Result<(), StoreError>> + use<> {
        let log = (in_doubt || self.fell).then(|| self.shared.log.clone());
        async move {
            match log {
                Some(log) => log.catch_up().await,
                None => Ok(()),
            }
        }
    }

    /// Reads one run from storage, after a pause.
    pub(super) fn load(&mut self, run: RunId, pause: Duration, ctx: &mut Context<Self>) {
        if !self.loading.insert(run) {
            return;
        }
        let (store, definitions, actions) =
            (Arc::clone(&self.shared.store), self.shared.definitions.clone(), self.shared.actions.clone());
        let caught_up = self.caught_up(!pause.is_zero());
        let read = async move {
            tokio::time::sleep(pause).await;
            caught_up.await?;
            load_one(store.as_ref(), &definitions, &actions, run).await
        };
        ctx.spawn(read.into_actor(self).map(move |loaded, executor, ctx| {
            executor.loading.remove(&run);
            if executor.outdated.remove(&run) {
                return executor.load(run, STORE_PAUSE, ctx);
            }
            match loaded {
                Ok(Some(loaded)) => {
                    executor.adopt(loaded, ctx);
                    // Whoever said while it was read that it was called back has nobody else to hear of it.
                    executor.look_at_waits(run, ctx);
                }
                Ok(None) if executor.live.contains_key(&run) => {}
                Ok(None) => executor.forget(run, ctx),
                Err(StoreError::Damaged { id, reason }) => {
                    tracing::error!(run = %id, reason, "a run cannot go on, its record is damaged");
                    executor.forget(run, ctx);
                }
                Err(StoreError::Unavailable(_)) => executor.load(run, STORE_PAUSE, ctx),
            }
            executor.tell_all_if_due(ctx);
        }));
    }

    /// Reads the open runs of the workflow that are not here, now and whenever somebody could not tell of
    /// one.
    pub(super) fn load_all(&mut self, ctx: &mut Context<Self>) {
        let (store, definitions, actions) =
            (Arc::clone(&self.shared.store), self.shared.definitions.clone(), self.shared.actions.clone());
        let known: BTreeSet<RunId> = self.live.keys().copied().collect();
        let (workflow, caught_up) = (self.workflow.clone(), self.caught_up(false));
        let read = async move {
            let missing = match caught_up.await {
                Ok(()) => load_missing(store.as_ref(), &definitions, &actions, (&workflow, &known)).await,
                Err(error) => Err(error),
            };
            (missing, known)
        };
        ctx.spawn(read.into_actor(self).map(|(loaded, known), executor, ctx| match loaded {
            Ok(loaded) => {
                // Somebody could perhaps not tell one that is here that it was called back.
                known.into_iter().for_each(|run| executor.look_at_waits(run, ctx));
                executor.gathering = Some(Vec::new());
                // One that is being read by itself may be older here.
                let is_newest = |loaded: &Loaded| !executor.loading.contains(&loaded.run.id);
                let newest: Vec<Loaded> = loaded.into_iter().filter(is_newest).collect();
                newest.into_iter().for_each(|loaded| executor.adopt(loaded, ctx));
                let (live, loading) = (&executor.live, &executor.loading);
                executor.attempts.settle_all_but(|run| live.contains_key(&run) || loading.contains(&run));
                (executor.complete, executor.fell) = (true, false);
                executor.gathered(ctx);
                executor.report_held(None, ctx);
                let missed = Arc::clone(&executor.missed);
                executor.load_all_after(async move { missed.notified().await }, ctx);
            }
            Err(error) => {
                tracing::warn!(workflow = executor.workflow, %error, "open runs could not be read; trying again");
                executor.load_all_after(tokio::time::sleep(STORE_PAUSE), ctx);
            }
        }));
    }

    fn load_all_after(&mut self, pause: impl Future<Output = ()> + 'static, ctx: &mut Context<Self>) {
        ctx.spawn(pause.into_actor(self).map(|(), executor, ctx| executor.load_all(ctx)));
    }

    /// Takes up a run where its journal ends.
    pub(super) fn adopt(&mut self, loaded: Loaded, ctx: &mut Context<Self>) {
        // What is here is newer than what was read.
        if self.live.contains_key(&loaded.run.id) {
            return;
        }
        if loaded.progress.is_over() {
            self.forget(loaded.run.id, ctx);
        } else {
            self.hold(loaded, ctx);
        }
    }

    /// Reads a run that is not here, which may be over, or that is to be begun again, and tells it this.
    pub(super) fn take_when_read(&mut self, run: RunId, task: Task, ctx: &mut Context<Self>) {
        let (store, definitions, actions) =
            (Arc::clone(&self.shared.store), self.shared.definitions.clone(), self.shared.actions.clone());
        let word = task.begins_again().then(|| task.happening.clone());
        let (caught_up, again) = (self.caught_up(false), word.map(|word| (self.shared.clone(), word)));
        let read = async move {
            caught_up.await?;
            let Some(loaded) = load_one(store.as_ref(), &definitions, &actions, run).await? else { return Ok(None) };
            let obstacle = match again {
                Some((shared, word)) => obstacle(&shared, &loaded, &word).await?,
                None => None,
            };
            Ok::<_, StoreError>(Some((loaded, obstacle)))
        };
        ctx.spawn(read.into_actor(self).map(move |loaded, executor, ctx| match loaded {
            Ok(Some((_, Some(obstacle)))) => task.lost(&obstacle),
            Ok(Some((Loaded { definition: Err(reason), run, progress, .. }, None))) => {
                executor.tell_blocked((run, progress), &reason, task, ctx);
            }
            Ok(Some((loaded, None))) => {
                executor.hold(loaded, ctx);
                executor.tell_held(run, task, ctx);
            }
            Ok(None) => task.lost("there is no run with this id"),
            Err(error) => task.unknown(&error.to_string()),
        }));
    }

    /// Of a run whose definition cannot be executed only the end can be said. Whether an attempt in flight
    /// had its effect stays in doubt.
    fn tell_blocked(
        &mut self,
        (run, mut progress): (Arc<RunRecord>, Progress),
        reason: &str,
        task: Task,
        ctx: &mut Context<Self>,
    ) {
        let Some(why) = task.cancels().filter(|_| !progress.is_over()) else { return task.lost(reason) };
        let (now, revision) = (self.shared.clock.now(), progress.revision);
        let waits = progress.steps.values().filter_map(StepState::wait);
        let waits = waits.map(|wait| WaitChange::Close(wait.id)).chain(child::returns(&run)).collect();
        let doubt = progress.in_flight().map(|(step, flying)| What::Parked {
            step: step.clone(),
            attempt: flying.tries.attempts,
            reason: "the run was ended while it was blocked with this attempt in flight".to_owned(),
        });
        let is_flying = |step: &String| progress.in_flight().any(|(flying, _)| flying == step);
        let unclear = progress.unclear().filter(|(step, _)| !is_flying(step));
        let unclear = unclear.map(|(step, attempt)| What::Parked {
            step: step.clone(),
            attempt,
            reason: "the run was ended while it was blocked, before anybody had looked whether it had its effect"
                .to_owned(),
        });
        let end = What::Ended { status: RunStatus::Cancelled, reason: Some(why) };
        let entries: Vec<Entry> = doubt.chain(unclear).chain([end]).map(|what| Entry::new(now, what)).collect();
        entries.iter().for_each(|entry| progress.add(entry));
        let head = progress.head(now);
        let advance = Transition::Advance { run: run.reference(), revision, entries, head, waits, starts: Vec::new() };
        let log = self.shared.log.clone();
        ctx.spawn(async move { log.commit(advance).await }.into_actor(self).map(move |result, executor, ctx| {
            executor.forget(run.id, ctx);
            match result {
                Ok(answer @ (Answer::Applied | Answer::Completed { .. })) => {
                    if let Answer::Completed { waits } = answer {
                        executor.shared.executors.called(waits);
                    }
                    // What it has started hears of it.
                    executor.shared.executors.look_again();
                    task.done();
                }
                Ok(_) => task.unknown("something else happened to the run at the same time; try again"),
                Err(error) => task.unknown(&error.to_string()),
            }
        }));
    }

    fn tell_held(&mut self, run: RunId, task: Task, ctx: &mut Context<Self>) {
        if !self.live.contains_key(&run) {
            return task.lost("it is blocked: its definition cannot be executed by this version");
        }
        self.take(run, task, ctx);
        // One that is over and was not begun again is not held.
        let is_over = self.live.get(&run).is_some_and(|live| live.progress.is_over() && live.in_hand.is_none());
        if is_over {
            self.live.remove(&run);
        }
    }

    /// Holds a run.
    fn hold(&mut self, loaded: Loaded, ctx: &mut Context<Self>) {
        let run = loaded.run.id;
        if self.live.contains_key(&run) {
            return;
        }
        let Loaded { run: record, progress, definition, heard, .. } = loaded;
        let place = definition.and_then(|definition| match definition.place_of(&record) {
            Ok(place) => Ok((definition, place)),
            Err(error) => Err(format!("concurrency: {error}")),
        });
        let place = place.and_then(|(definition, place)| match definition.burst_of(&record) {
            Ok(burst) => Ok((definition, place, burst)),
            Err(error) => Err(format!("debounce: {error}")),
        });
        let (definition, place, burst) = match place {
            Ok(found) => found,
            Err(reason) => return self.block(record, progress, reason, ctx),
        };
        let ticket = Ticket {
            run,
            workflow: self.workflow.clone(),
            priority: record.priority,
            fair_key: record.fair_key.clone().unwrap_or_else(|| self.workflow.clone()),
            started_at: record.started_at,
            place,
            burst,
        };
        // What was said before is looked at before its time is.
        let waiting: VecDeque<Task> = heard.into_iter().map(Task::from).collect();
        let (in_hand, told, number) = (None, None, 0);
        let live = Live { run: record, definition, ticket, progress, in_hand, waiting, told, number };
        self.live.insert(run, live);
        self.work(run, ctx);
        self.report(run, ctx);
        self.keep_polls(run, ctx);
        self.resume(run, ctx);
    }

    /// The attempts that were in flight when the journal ended: each at work here, ended here, never made, or in
    /// doubt.
    fn resume(&mut self, run: RunId, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let Some(live) = self.live.get(&run) else { return };
        // It may have been up before anybody was here to see it.
        let time_is_up = live.progress.time_is_up(now);
        let flying: Vec<(String, Flying)> =
            live.progress.in_flight().map(|(step, flying)| (step.clone(), flying.clone())).collect();
        let is_flying = |serial| flying.iter().any(|(_, flying)| flying.serial == serial);
        self.attempts.settle_of(run, is_flying);
        let is_alone = flying.len() == 1;
        for (step, Flying { serial, notes, .. }) in flying {
            // This is known until it is written down, which may fail as well.
            let never_left = self.never_left.contains(&(run, serial));
            match self.attempts.state(run, serial) {
                State::AtWork => {}
                State::Ended(outcome) => self.ended(run, serial, outcome, ctx),
                State::Unknown if never_left => self.take(run, Happening::NeverLeft(serial).into(), ctx),
                State::Unknown => self.resolve((run, serial), (&step, notes), is_alone, ctx),
            }
        }
        if time_is_up {
            self.take(run, Happening::Woke.into(), ctx);
        }
    }

    /// Nobody here makes this attempt: what a former process has left of it is cleaned up, and then it is in doubt.
    fn resolve(
        &mut self,
        (run, serial): (RunId, u32),
        (step, notes): (&str, Vec<Json>),
        is_alone: bool,
        ctx: &mut Context<Self>,
    ) {
        let step = self.live.get(&run).and_then(|live| live.definition.step(step));
        let action = step.and_then(|step| self.shared.actions.get(step.action.as_str()));
        let clean_up = action.filter(|_| !notes.is_empty()).map(|action| self.attempts.clean_up(action, notes));
        let clean_up = async move {
            if let Some(clean_up) = clean_up {
                clean_up.await;
            }
        };
        let died_alone = is_alone && self.shared.suspect.is_some_and(|suspect| suspect.is(run, serial));
        let happening = if died_alone { Happening::DiedAlone(serial) } else { Happening::Recovered(serial) };
        ctx.spawn(clean_up.into_actor(self).map(move |(), executor, ctx| {
            executor.take(run, happening.into(), ctx);
        }));
    }

    /// A run whose definition cannot be executed says so, and waits for a process that can.
    fn block(&mut self, run: Arc<RunRecord>, mut progress: Progress, reason: String, ctx: &mut Context<Self>) {
        if progress.is_over() || progress.blocked.as_ref() == Some(&reason) {
            self.forget(run.id, ctx);
            return;
        }
        tracing::error!(run = %run.id, workflow = self.workflow, reason, "a run is blocked");
        let (now, revision) = (self.shared.clock.now(), progress.revision);
        let entry = Entry::new(now, What::Blocked { reason });
        progress.add(&entry);
        let head = RunHead { wake: None, ..progress.head(now) };
        let (entries, waits, starts) = (vec![entry], Vec::new(), Vec::new());
        let advance = Transition::Advance { run: run.reference(), revision, entries, head, waits, starts };
        let (log, id) = (self.shared.log.clone(), run.id);
        ctx.spawn(async move { log.commit(advance).await }.into_actor(self).map(move |result, executor, ctx| {
            match result {
                Ok(Answer::Applied) => executor.forget(id, ctx),
                Ok(_) => executor.load(id, Duration::ZERO, ctx),
                Err(_) => executor.load(id, STORE_PAUSE, ctx),
            }
        }));
    }
}
