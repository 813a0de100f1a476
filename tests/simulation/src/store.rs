//! The store: the product's own in memory, behind a writer that takes time, that knows written from flushed, and that fails.
//! Of what was written and not flushed when a process dies, a part may be there afterwards, from the front.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pointsman::stores::memory::MemoryStore;
use pointsman_actors::catch_up::checkpoint::Checkpoint;
use pointsman_actors::circuit_breaker::circuit::BreakerRecord;
use pointsman_actors::dead_letter::letter::{Letter, LetterId, LetterQuery, Place};
use pointsman_actors::event::Event;
use pointsman_actors::ids::{EventId, RunId, WaitId};
use pointsman_actors::retention::dossier::{Dossier, Stretch};
use pointsman_actors::run::{RunHead, RunRecord, RunRef, StoredRun};
use pointsman_actors::store::{
    Answer, Claim, Counts, Durability, EventQuery, Later, Lease, OpenRun, Page, RunQuery, Store, StoreError,
    Transition, WaitCursor, WaitQuery,
};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::record::WaitRecord;
use tokio::sync::{mpsc, oneshot};

use crate::world::World;

/// What outlives processes.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    /// What readers see.
    seen: Arc<MemoryStore>,
    /// All that is flushed, in order, so that it can be made anew without what is not.
    flushed: Vec<Step>,
    /// What is written and not flushed.
    written: Vec<Transition>,
    /// A batch that failed, and may still turn out to be there.
    doubtful: Vec<Transition>,
    broken: bool,
}

#[derive(Clone)]
enum Step {
    Commit(Box<Transition>),
    Claim(usize, Timestamp, Timestamp),
}

impl Disk {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What readers see.
    pub fn seen(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.contents().seen)
    }

    /// Whether all that is written is flushed, and nothing is in doubt.
    pub fn is_clean(&self) -> bool {
        let contents = self.contents();
        contents.written.is_empty() && contents.doubtful.is_empty() && !contents.broken
    }

    /// A process has ended: of what was not flushed, chance leaves a part.
    pub async fn settle(&self, world: &World) {
        let (left, lost) = {
            let mut contents = self.contents();
            contents.broken = false;
            let mut unflushed = std::mem::take(&mut contents.written);
            unflushed.append(&mut contents.doubtful);
            let keep = world.state().rng.usize(..=unflushed.len());
            let lost = unflushed.len() - keep;
            unflushed.truncate(keep);
            (unflushed, lost)
        };
        let anew = MemoryStore::new();
        let steps = self.contents().flushed.clone();
        for step in steps {
            match step {
                Step::Commit(transition) => _ = anew.commit(vec![*transition]).await,
                Step::Claim(limit, now, until) => _ = anew.take_pending(limit, now, until).await,
            }
        }
        self.contents().seen = anew;
        world.tell(format_args!("of what was not flushed {} are there, {lost} are not", left.len()));
        // The store in memory fails only over damaged records, and there are none.
        self.apply(world, left).await.unwrap();
    }

    /// Writes and flushes at once.
    async fn apply(&self, world: &World, transitions: Vec<Transition>) -> Result<Vec<Answer>, StoreError> {
        let answers = self.seen().commit(transitions.clone()).await?;
        self.flush(world, transitions, &answers);
        Ok(answers)
    }

    /// All of these are durable now.
    fn flush(&self, world: &World, transitions: Vec<Transition>, answers: &[Answer]) {
        let (mut state, mut wrong) = (world.state(), None);
        for (transition, answer) in transitions.iter().zip(answers) {
            match (transition, answer) {
                (_, Answer::Stale | Answer::Redelivered { .. }) => {}
                (Transition::Intake(intake), answer) => {
                    state.events.insert(intake.id, ());
                    if !matches!(answer, Answer::Duplicate { .. }) {
                        intake.runs.iter().for_each(|run| state.started(run));
                    }
                }
                (Transition::Settle { runs, .. }, _) => runs.iter().for_each(|run| state.started(run)),
                (Transition::Advance { run, entries, starts, .. }, _) => {
                    starts.iter().for_each(|run| state.started(run));
                    wrong = wrong.or(state.advanced(run.id, entries).err());
                }
                _ => {}
            }
        }
        drop(state);
        if let Some(wrong) = wrong {
            world.wrong(wrong);
        }
        let steps = transitions.into_iter().map(|transition| Step::Commit(Box::new(transition)));
        self.contents().flushed.extend(steps);
    }
}

/// The store of one process.
pub struct SimStore {
    disk: Disk,
    world: World,
    writer: mpsc::UnboundedSender<Work>,
}

enum Work {
    Commit(Vec<Transition>, oneshot::Sender<Result<Vec<Answer>, StoreError>>),
    Claim((usize, Timestamp, Timestamp), oneshot::Sender<Result<Vec<(Event, Lease)>, StoreError>>),
    Recover(oneshot::Sender<Result<(), StoreError>>),
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the disk says no".to_owned())
}

impl SimStore {
    /// Opens the disk. Its writer lives as long as the runtime on which this is called.
    pub fn open(disk: &Disk, world: &World) -> Arc<Self> {
        let (writer, works) = mpsc::unbounded_channel();
        tokio::spawn(write(Writer { disk: disk.clone(), world: world.clone() }, works));
        Arc::new(Self { disk: disk.clone(), world: world.clone(), writer })
    }

    fn read<T: Send + 'static>(&self, how: impl FnOnce(&MemoryStore) -> Later<T> + Send + 'static) -> Later<T> {
        let (world, disk) = (self.world.clone(), self.disk.clone());
        Box::pin(async move {
            let pause = world.pause(3);
            tokio::time::sleep(pause).await;
            world.live().await;
            let odds = if world.is_calm() { 0 } else { world.plan().odds.read };
            if world.chance(odds) {
                world.tell(format_args!("a read fails"));
                return Err(unavailable());
            }
            let seen = disk.seen();
            how(&seen).await
        })
    }

    fn ask<T: Send + 'static>(&self, work: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Work) -> Later<T> {
        let (reply, answer) = oneshot::channel();
        // What was asked for is done in its turn, whether or not anybody waits for it.
        let _ = self.writer.send(work(reply));
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(unavailable())) })
    }
}

struct Writer {
    disk: Disk,
    world: World,
}

/// What becomes of a batch that fails.
#[derive(Debug)]
enum Fate {
    Lost,
    Kept(usize),
    Late,
}

async fn write(writer: Writer, mut works: mpsc::UnboundedReceiver<Work>) {
    while let Some(work) = works.recv().await {
        match work {
            Work::Commit(transitions, reply) => {
                let result = writer.commit(transitions).await;
                writer.world.live().await;
                let _ = reply.send(result);
            }
            Work::Claim((limit, now, until), reply) => {
                writer.disk.contents().flushed.push(Step::Claim(limit, now, until));
                let _ = reply.send(writer.disk.seen().take_pending(limit, now, until).await);
            }
            Work::Recover(reply) => {
                let result = writer.recover().await;
                writer.world.live().await;
                let _ = reply.send(result);
            }
        }
    }
}

impl Writer {
    async fn commit(&self, transitions: Vec<Transition>) -> Result<Vec<Answer>, StoreError> {
        let Self { disk, world } = self;
        world.point("before a commit").await;
        if disk.contents().broken {
            return Err(unavailable());
        }
        tokio::time::sleep(world.pause(5)).await;
        world.live().await;
        let odds = if world.is_calm() || transitions.is_empty() { 0 } else { world.plan().odds.commit };
        let is_cut = !transitions.is_empty() && std::mem::take(&mut world.state().cut);
        if is_cut || world.chance(odds) {
            return self.fail(transitions).await;
        }
        describe(world, &transitions);
        let answers = disk.seen().commit(transitions.clone()).await?;
        disk.contents().written.clone_from(&transitions);
        world.point("between write and flush").await;
        tokio::time::sleep(world.pause(10)).await;
        world.live().await;
        disk.contents().written.clear();
        disk.flush(world, transitions, &answers);
        world.point("after a flush").await;
        Ok(answers)
    }

    /// Nobody is told what became of this batch: it is there, a part of it from the front is, none of it is, or that
    /// turns out when the store works again.
    async fn fail(&self, transitions: Vec<Transition>) -> Result<Vec<Answer>, StoreError> {
        let (chance, part) = {
            let rng = &mut self.world.state().rng;
            (rng.u32(..3), rng.usize(..=transitions.len()))
        };
        let fate = match chance {
            0 => Fate::Lost,
            1 => Fate::Late,
            _ => Fate::Kept(part),
        };
        self.world.tell(format_args!("a commit of {} fails: {fate:?}", transitions.len()));
        self.disk.contents().broken = true;
        match fate {
            Fate::Lost => {}
            Fate::Kept(number) => {
                let kept: Vec<Transition> = transitions.into_iter().take(number).collect();
                describe(&self.world, &kept);
                self.disk.apply(&self.world, kept).await?;
            }
            Fate::Late => self.disk.contents().doubtful = transitions,
        }
        Err(unavailable())
    }

    async fn recover(&self) -> Result<(), StoreError> {
        tokio::time::sleep(self.world.pause(50)).await;
        self.world.point("while the store recovers").await;
        if !self.world.is_calm() && self.world.chance(400) {
            return Err(unavailable());
        }
        let mut doubtful = std::mem::take(&mut self.disk.contents().doubtful);
        doubtful.truncate(self.world.state().rng.usize(..=doubtful.len()));
        self.world.tell(format_args!("the store works again; {} of a doubtful commit are there", doubtful.len()));
        describe(&self.world, &doubtful);
        self.disk.apply(&self.world, doubtful).await?;
        self.disk.contents().broken = false;
        Ok(())
    }
}

fn describe(world: &World, transitions: &[Transition]) {
    for transition in transitions {
        match transition {
            Transition::Intake(intake) => {
                let runs: Vec<RunId> = intake.runs.iter().map(|run| run.id).collect();
                world.tell(format_args!("intake {} {} runs {runs:?}", intake.id, intake.verdict.status()));
            }
            Transition::Advance { run, revision, entries, .. } => {
                for (entry, place) in entries.iter().zip(*revision..) {
                    world.tell(format_args!("journal {} {place} {:?}", run.id, entry.what));
                }
            }
            Transition::Settle { event, verdict, .. } => {
                world.tell(format_args!("settle {event} {}", verdict.status()));
            }
            Transition::Change { event, .. } => world.tell(format_args!("change {event}")),
            Transition::KeepBreaker(record) => {
                world.tell(format_args!("breaker {} {}", record.name, record.condition.name()));
            }
            Transition::KeepCheckpoint(_)
            | Transition::KeepDefinition { .. }
            | Transition::Mark { .. }
            | Transition::Purge(_) => {}
        }
    }
}

impl Store for SimStore {
    fn commit(&self, transitions: Vec<Transition>) -> Later<Vec<Answer>> {
        self.ask(|reply| Work::Commit(transitions, reply))
    }

    fn recover(&self) -> Later<()> {
        self.ask(Work::Recover)
    }

    fn event(&self, id: EventId) -> Later<Option<Event>> {
        self.read(move |seen| seen.event(id))
    }

    fn events(&self, query: EventQuery) -> Later<Page<Event, EventId>> {
        self.read(move |seen| seen.events(query))
    }

    fn take_pending(&self, limit: usize, now: Timestamp, until: Timestamp) -> Later<Vec<(Event, Lease)>> {
        self.ask(|reply| Work::Claim((limit, now, until), reply))
    }

    fn run(&self, id: RunId) -> Later<Option<StoredRun>> {
        self.read(move |seen| seen.run(id))
    }

    fn runs(&self, query: RunQuery) -> Later<Page<(RunRecord, RunHead), RunRef>> {
        self.read(move |seen| seen.runs(query))
    }

    fn open_runs(&self, after: Option<RunRef>, limit: usize) -> Later<Vec<OpenRun>> {
        self.read(move |seen| seen.open_runs(after, limit))
    }

    fn wait(&self, id: WaitId) -> Later<Option<WaitRecord>> {
        self.read(move |seen| seen.wait(id))
    }

    fn waits(&self, query: WaitQuery) -> Later<Page<WaitRecord, WaitCursor>> {
        self.read(move |seen| seen.waits(query))
    }

    fn breakers(&self) -> Later<Vec<BreakerRecord>> {
        self.read(Store::breakers)
    }

    fn first_events(&self, claims: Vec<Claim>, at: Timestamp) -> Later<Vec<Option<EventId>>> {
        self.read(move |seen| seen.first_events(claims, at))
    }

    fn checkpoints(&self) -> Later<Vec<Checkpoint>> {
        self.read(Store::checkpoints)
    }

    fn definition(&self, hash: &str) -> Later<Option<String>> {
        let hash = hash.to_owned();
        self.read(move |seen| seen.definition(&hash))
    }

    fn dossiers(&self, stretch: Stretch, limit: usize) -> Later<Vec<Dossier>> {
        self.read(move |seen| seen.dossiers(stretch, limit))
    }

    fn dead_letters(&self, query: LetterQuery) -> Later<Page<Letter, Place>> {
        self.read(move |seen| seen.dead_letters(query))
    }

    fn dead_letter(&self, id: LetterId) -> Later<Option<Letter>> {
        self.read(move |seen| seen.dead_letter(id))
    }

    fn redrives(&self, after: Option<Place>, limit: usize) -> Later<Page<Place, Place>> {
        self.read(move |seen| seen.redrives(after, limit))
    }

    fn counts(&self) -> Counts {
        self.disk.seen().counts()
    }

    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn name(&self) -> &'static str {
        "simulated"
    }
}
