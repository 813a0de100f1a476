//! What must hold so that a run which is over can be begun again, beside what its own journal says: whoever has started
//! it still wants it. A part of the door.

use super::callbacks::read;
use super::child;
use super::loading::Loaded;
use crate::run::RunRecord;
use crate::store::{Store, StoreError};

/// Why a run that is over cannot be begun again, in words.
pub(super) async fn obstacle(store: &dyn Store, loaded: &Loaded) -> Result<Option<String>, StoreError> {
    given_up(store, &loaded.run).await
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
