//! What the store does without an engine: the transitions that the engine's own core decides for such runs,
//! made before the clock starts, committed to the same adapter one batch after the other. Batches are what
//! the committer could make at best: the next transition of every run that is at work.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt};
use pointsman::stores::sled::SledStore;
use pointsman_actors::deduplicator::fingerprint;
use pointsman_actors::event::{EventMeta, Facts, SourceName, Verdict};
use pointsman_actors::event_log::record::Sealer;
use pointsman_actors::executor::decide::{Happening, Moment, decide};
use pointsman_actors::executor::outages::Outages;
use pointsman_actors::executor::port::Success;
use pointsman_actors::executor::progress::Progress;
use pointsman_actors::ids::{Ids, RandomIds, RunId};
use pointsman_actors::run::RunRecord;
use pointsman_actors::store::{Answer, Claim, Intake, Store, Transition};
use pointsman_actors::time::{Clock, SystemClock, Timestamp};
use pointsman_actors::workflow::definition::Definition;

use super::nothing::{Nothing, output};
use super::{Sizes, steps};

/// Three days, as the server has it when nothing is configured.
const DELIVERY_WINDOW: Duration = Duration::from_secs(3 * 24 * 3600);

/// Most transitions in a batch, as the committer has it.
const MOST_IN_BATCH: usize = 512;

/// Runs for each second of a measurement: more than get done.
const RUNS_A_SECOND: u64 = 3_000;

/// Runs that intake starts in a millisecond.
const A_MILLISECOND: u64 = 5;

/// What is read at once, as executors do.
const PAGE: usize = 512;

/// Runs that are read side by side, so that handing them from thread to thread is not what is measured.
const READERS: usize = 8;

/// Steps a second that the store makes durable, `at_once` runs at a time.
pub async fn steps(definition: &str, sizes: &Sizes, at_once: usize) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let plan = steps::plan(directory.path(), definition, at_once, &Nothing::new())?;
    let definition = plan.in_force.compiled.catalog.get(steps::WORKFLOW).context("the workflow was compiled")?;
    let data = directory.path().join("data");
    std::fs::create_dir(&data)?;
    let store = SledStore::open(&data, DELIVERY_WINDOW)?;
    let number = usize::try_from(sizes.seconds * RUNS_A_SECOND)?.max(at_once);
    let runs = start(store.as_ref(), definition, number).await?;
    let mut waiting: VecDeque<_> = runs.iter().map(|run| life(run, definition).into_iter()).collect();
    let (begin, mut at_work, mut done) = (Instant::now(), Vec::new(), 0_u32);
    while begin.elapsed() < Duration::from_secs(sizes.seconds) {
        let mut batch = Vec::with_capacity(at_once);
        at_work.retain_mut(|life: &mut IntoIter<Transition>| life.next().map(|next| batch.push(next)).is_some());
        // The oldest goes on, as in the server.
        while batch.len() < at_once.min(MOST_IN_BATCH) {
            let Some(mut life) = waiting.pop_front() else { break };
            batch.extend(life.next());
            at_work.push(life);
        }
        if batch.is_empty() {
            break;
        }
        done += u32::try_from(batch.iter().filter(|next| is_outcome(next)).count())?;
        let answers = store.commit(batch).await?;
        ensure!(answers.iter().all(|answer| *answer == Answer::Applied), "the store refused a transition");
    }
    Ok(f64::from(done) / begin.elapsed().as_secs_f64())
}

/// Whether it has the outcome of a step in it: all have but the first of a run.
fn is_outcome(transition: &Transition) -> bool {
    matches!(transition, Transition::Advance { revision, .. } if *revision > 0)
}

/// Starts runs as intake does, an event for each, and as far from each other as intake would: runs are
/// stored in the order of their start.
async fn start(store: &dyn Store, definition: &Definition, number: usize) -> anyhow::Result<Vec<RunRecord>> {
    let (first, mut sealer, mut runs) = (SystemClock::new().now(), Sealer::new(), Vec::new());
    while runs.len() < number {
        let mut batch = Vec::new();
        for _ in 0..MOST_IN_BATCH.min(number - runs.len()) {
            let at = first.plus(Duration::from_millis(u64::try_from(runs.len())? / A_MILLISECOND));
            let (intake, run) = intake(&mut sealer, definition, at)?;
            batch.push(Transition::Intake(Box::new(intake)));
            runs.push(run);
        }
        store.commit(batch).await?;
    }
    Ok(runs)
}

fn intake(sealer: &mut Sealer, definition: &Definition, at: Timestamp) -> anyhow::Result<(Intake, RunRecord)> {
    let (id, source) = (RandomIds.event(at), SourceName::new("github"));
    let input = [("repository".to_owned(), "acme/shop-1".into())].into_iter().collect();
    let run = RunRecord {
        id: RunId::derive(&definition.name, id, "push", 0),
        workflow: definition.name.clone(),
        definition: definition.hash.clone(),
        event: id,
        route: "push".to_owned(),
        generation: 0,
        priority: 5,
        subject: Some("acme/shop-1@main".to_owned()),
        fair_key: Some("acme/shop-1".to_owned()),
        input,
        started_at: at,
        seen: None,
        parent: None,
        begins_at: None,
    };
    let delivery_id = id.to_string();
    let key = fingerprint::delivery(&source, &delivery_id);
    let facts = Facts { event_type: "push".to_owned(), ..Facts::default() };
    let meta = EventMeta {
        redacted: 0,
        id,
        source,
        received_at: at,
        delivery_id,
        peer: None,
        headers: Vec::new(),
        facts,
        payload_bytes: 2,
    };
    let verdict = Verdict::Started { runs: vec![run.id], waits: Vec::new() };
    let record = sealer.seal(&meta, &verdict, b"{}")?;
    let delivery = Claim { key, window: DELIVERY_WINDOW };
    Ok((Intake { id, at, delivery, occurrence: None, record, verdict, runs: vec![run.clone()], callback: None }, run))
}

/// All transitions of a run, from its begin to its end.
fn life(run: &RunRecord, definition: &Definition) -> Vec<Transition> {
    let (mut progress, mut happening) = (Progress::new(run), Happening::Go);
    let (now, mut life) = (run.started_at, Vec::new());
    loop {
        let decision = decide(
            run,
            definition,
            &progress,
            &happening,
            Moment { now, draining: false, outages: &Outages::default() },
        );
        let (revision, head) = (progress.revision, decision.progress.head(now));
        life.push(Transition::Advance {
            run: run.reference(),
            revision,
            entries: decision.entries,
            head,
            waits: Vec::new(),
            starts: Vec::new(),
        });
        progress = decision.progress;
        let Some(execute) = decision.executes.into_iter().next() else { return life };
        happening = Happening::Ended(execute.serial, Ok(Success::Done(output(&execute.step))));
    }
}

/// How long the bare store takes to open `data` and to read its open runs with their journals, and how many
/// there are.
pub async fn read_open(data: &Path) -> anyhow::Result<(Duration, usize)> {
    let begin = Instant::now();
    let store: Arc<dyn Store> = SledStore::open(data, DELIVERY_WINDOW)?;
    let (mut number, mut after) = (0, None);
    loop {
        let page = store.open_runs(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((begin.elapsed(), number)) };
        after = Some(last.run);
        let runs = futures_util::stream::iter(page).map(|open| store.run(open.run.id)).buffer_unordered(READERS);
        number += runs.try_fold(0, async |found, run| Ok(found + usize::from(run.is_some()))).await?;
    }
}

#[cfg(test)]
mod tests {
    use pointsman::stores::memory::MemoryStore;

    use super::*;

    #[actix_rt::test]
    async fn a_life_leads_from_the_start_of_a_run_to_its_success() {
        let directory = tempfile::tempdir().unwrap();
        let plan = steps::plan(directory.path(), &steps::definition(3), 1, &Nothing::new()).unwrap();
        let definition = plan.in_force.compiled.catalog.get(steps::WORKFLOW).unwrap();
        let store = MemoryStore::new();
        let runs = start(store.as_ref(), definition, 2).await.unwrap();
        assert_eq!((store.counts().queued, store.counts().succeeded), (2, 0));
        for run in &runs {
            let life = life(run, definition);
            assert_eq!((life.len(), life.iter().filter(|next| is_outcome(next)).count()), (4, 3));
            assert!(store.commit(life).await.unwrap().iter().all(|answer| *answer == Answer::Applied));
        }
        assert_eq!((store.counts().queued, store.counts().succeeded), (0, 2));
    }
}
