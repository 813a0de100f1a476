//! What must hold so that steps of a run can be done again, beside what its own journal says: no doubt is left in the runs
//! that it has started and, if it is over, whoever has started it still wants it, and whatever it may start has somebody to
//! drive it. A part of the door.

use std::collections::BTreeSet;

use super::actor::Shared;
use super::callbacks::read;
use super::child;
use super::decide::{Happening, Moment, decide};
use super::loading::{Loaded, run_by};
use super::outages::Outages;
use super::progress::Progress;
use crate::ids::RunId;
use crate::run::{Entry, RunRecord, StoredRun, What};
use crate::store::{Later, Store, StoreError};

/// Why a run cannot be begun again by this word of an operator, in words.
pub(super) async fn obstacle(shared: &Shared, loaded: &Loaded, word: &Happening) -> Result<Option<String>, StoreError> {
    let (store, again) = (shared.store.as_ref(), done_again(shared, loaded, word));
    let Some(stored) = store.run(loaded.run.id).await?.filter(|_| !again.is_empty()) else { return Ok(None) };
    if let Some(why) = below(|run| store.run(run), started(&stored.journal, |step| again.contains(step))).await? {
        return Ok(Some(why));
    }
    if !loaded.progress.is_over() {
        return Ok(None);
    }
    match given_up(store, &loaded.run).await? {
        Some(why) => Ok(Some(why)),
        None => without_executor(shared, &loaded.run).await,
    }
}

/// The steps that would be done again.
fn done_again(shared: &Shared, loaded: &Loaded, word: &Happening) -> BTreeSet<String> {
    let Ok(definition) = &loaded.definition else { return BTreeSet::new() };
    let moment = Moment { now: shared.clock.now(), draining: false, outages: &Outages::default() };
    let decision = decide(&loaded.run, definition, &loaded.progress, word, moment);
    let steps = decision.entries.into_iter().filter_map(|entry| match entry.what {
        What::Restarted { steps, .. } => Some(steps),
        _ => None,
    });
    steps.flatten().collect()
}

/// Why a dead letter cannot be redriven because of the runs that it has started, in words. What has given something stays.
pub(crate) async fn doubt_below(store: &dyn Store, run: RunId) -> Result<Option<String>, StoreError> {
    let Some(StoredRun { record, journal, .. }) = store.run(run).await? else { return Ok(None) };
    let progress = Progress::of(&record, &journal);
    let comes_again = |step: &str| progress.steps.get(step).is_none_or(|state| state.word() != "done");
    below(|run| store.run(run), started(&journal, comes_again)).await
}

/// The runs that these steps have started, in any life of their run.
fn started(journal: &[Entry], by: impl Fn(&str) -> bool) -> Vec<RunId> {
    let started = journal.iter().filter_map(|entry| match &entry.what {
        What::Waiting { step, run: Some(run), .. } if by(step) => Some(*run),
        _ => None,
    });
    started.collect()
}

/// Why what runs have done cannot be done by others: one of them, or of those that they have started, is not over, or
/// nobody knows whether an attempt of it had its effect.
async fn below(
    read: impl Fn(RunId) -> Later<Option<StoredRun>>,
    mut runs: Vec<RunId>,
) -> Result<Option<String>, StoreError> {
    while let Some(run) = runs.pop() {
        let found = match read(run).await {
            Ok(found) => found,
            // It was heard as a failure without a doubt.
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let Some(StoredRun { head, journal, .. }) = found else { continue };
        if head.in_doubt {
            return Ok(Some(format!(
                "nobody knows whether an attempt of {run}, which was started by it, had its effect; decide about that first: `pointsman runs decide {run} …`"
            )));
        }
        if !head.status.is_end() {
            return Ok(Some(format!("{run}, which was started by it, has not ended; cancel that first, or wait")));
        }
        runs.extend(started(&journal, |_| true));
    }
    Ok(None)
}

/// What a run may start that is open has an executor from the start of the process on. What only one that is over could start
/// may have left the configuration, and nobody would drive it.
async fn without_executor(shared: &Shared, run: &RunRecord) -> Result<Option<String>, StoreError> {
    let Shared { store, definitions, actions, executors, .. } = shared;
    let started = run_by(store.as_ref(), definitions, actions, BTreeSet::from([run.definition.clone()])).await?;
    let missing: BTreeSet<&String> = started.iter().filter(|workflow| executors.of(workflow).is_err()).collect();
    let why = |workflow| {
        format!("it may run the workflow `{workflow}`, which is not in the configuration any more; put it back")
    };
    Ok(missing.into_iter().next().map(why))
}

/// A child that nobody waits for would be cancelled as soon as it hears of that.
async fn given_up(store: &dyn Store, run: &RunRecord) -> Result<Option<String>, StoreError> {
    for above in run.lineage() {
        let Some(wait) = read(store, above.wait).await? else { continue };
        if let Some(why) = child::unwanted(run, &wait) {
            let (parent, step) = (wait.run.id, wait.step);
            return Ok(Some(format!("{why}; restart {parent} at its step `{step}` instead")));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "again_tests.rs"]
mod tests;
