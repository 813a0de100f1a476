//! What must hold so that a run which is over can be begun again, beside what its own journal says: whoever has started
//! it still wants it, and whatever it may start has somebody to drive it. A part of the door.

use std::collections::BTreeSet;

use super::actor::Shared;
use super::callbacks::read;
use super::child;
use super::loading::{Loaded, run_by};
use crate::run::RunRecord;
use crate::store::{Store, StoreError};

/// Why a run that is over cannot be begun again, in words.
pub(super) async fn obstacle(shared: &Shared, loaded: &Loaded) -> Result<Option<String>, StoreError> {
    match given_up(shared.store.as_ref(), &loaded.run).await? {
        Some(why) => Ok(Some(why)),
        None => without_executor(shared, &loaded.run).await,
    }
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
