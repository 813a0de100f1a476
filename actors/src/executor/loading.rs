//! Reads runs from storage together with what they are pinned to.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::callbacks::{Questions, answers};
use super::deaths::Suspect;
use super::decide::Happening;
use super::port::Actions;
use super::progress::Progress;
use crate::ids::RunId;
use crate::run::{RunHead, RunRecord, RunRef};
use crate::store::{Store, StoreError};
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::Definition;

/// How many open runs are listed at once.
const PAGE: usize = 512;

/// A run as it was read.
pub struct Loaded {
    /// What it was started with.
    pub run: Arc<RunRecord>,
    /// The sum of its journal, as it is stored.
    pub head: RunHead,
    /// Where it stands.
    pub progress: Progress,
    /// What it is pinned to, or why that cannot be executed.
    pub definition: Result<Arc<Definition>, String>,
    /// What it has not heard yet of its waits, and of its parent's.
    pub heard: Vec<Happening>,
}

/// Definitions by the hash of their content: those of the configuration, and older ones that runs are
/// still pinned to.
#[derive(Clone, Default)]
pub struct Definitions(Arc<RwLock<HashMap<String, Arc<Definition>>>>);

impl Definitions {
    /// Those of a configuration.
    pub fn of(catalog: &Catalog) -> Self {
        let definitions = Self::default();
        definitions.add(catalog);
        definitions
    }

    /// Adds those of a configuration.
    pub fn add(&self, catalog: &Catalog) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(catalog.all().map(|definition| (definition.hash.clone(), Arc::clone(definition))));
    }

    /// The one with this hash, if it is at hand.
    pub fn get(&self, hash: &str) -> Option<Arc<Definition>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    /// The one with this hash, from storage if need be. The inner error says why it cannot be executed.
    async fn find(
        &self,
        store: &dyn Store,
        actions: &Actions,
        hash: &str,
    ) -> Result<Result<Arc<Definition>, String>, StoreError> {
        if let Some(definition) = self.get(hash) {
            return Ok(Ok(definition));
        }
        let Some(content) = store.definition(hash).await? else {
            return Ok(Err(format!("its definition {hash} is not in the store")));
        };
        Ok(match Definition::from_content(&content, actions) {
            Ok(definition) => {
                let definition = Arc::new(definition);
                self.0.write().unwrap_or_else(PoisonError::into_inner).insert(hash.to_owned(), Arc::clone(&definition));
                Ok(definition)
            }
            Err(errors) => {
                let wrong: Vec<String> = errors.iter().map(ToString::to_string).collect();
                Err(format!("its definition cannot be executed by this version: {}", wrong.join("; ")))
            }
        })
    }
}

/// Reads one run.
pub async fn load_one(
    store: &dyn Store,
    definitions: &Definitions,
    actions: &Actions,
    run: RunId,
) -> Result<Option<Loaded>, StoreError> {
    let Some(stored) = store.run(run).await? else { return Ok(None) };
    let progress = Progress::of(&stored.record, &stored.journal);
    let definition = definitions.find(store, actions, &stored.record.definition).await?;
    let run = Arc::new(stored.record);
    let heard = match &definition {
        Ok(definition) => answers(store, Questions::of(&run, &progress, definition, actions)).await?,
        Err(_) => Vec::new(),
    };
    Ok(Some(Loaded { run, head: stored.head, progress, definition, heard }))
}

/// Reads the open runs of a workflow that are not `known`. One whose record is damaged is left out and
/// named in the log; it does not stop the others.
pub async fn load_missing(
    store: &dyn Store,
    definitions: &Definitions,
    actions: &Actions,
    (workflow, known): (&str, &BTreeSet<RunId>),
) -> Result<Vec<Loaded>, StoreError> {
    let (mut loaded, mut after) = (Vec::new(), None::<RunRef>);
    loop {
        let page = store.open_runs(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(loaded) };
        after = Some(last.run);
        for open in page.iter().filter(|open| open.workflow == workflow && !known.contains(&open.run.id)) {
            match load_one(store, definitions, actions, open.run.id).await {
                Ok(found) => loaded.extend(found),
                Err(StoreError::Damaged { id, reason }) => {
                    tracing::error!(run = %id, reason, "a run cannot go on, its record is damaged");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a start must know of the runs that are open.
#[derive(Default)]
pub struct Found {
    /// Their workflows.
    pub workflows: BTreeSet<String>,
    /// Hashes of the definitions that they are pinned to.
    pub definitions: BTreeSet<String>,
    /// The attempt that was alone in flight.
    pub alone: Option<Suspect>,
}

/// Looks through the open runs as the former process has left them.
pub async fn look_through_open_runs(store: &dyn Store) -> Result<Found, StoreError> {
    let (mut workflows, mut definitions) = (BTreeSet::new(), BTreeSet::new());
    let (mut flying, mut after) = (Vec::new(), None);
    loop {
        let page = store.open_runs(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(Found { workflows, definitions, alone: Suspect::among(&flying) });
        };
        after = Some(last.run);
        workflows.extend(page.iter().map(|open| open.workflow.clone()));
        definitions.extend(page.iter().map(|open| open.definition.clone()));
        flying.extend(page.into_iter().filter(|open| open.in_flight));
    }
}

/// The workflows that runs which are pinned to these definitions may start, and those that these may in turn. One that
/// cannot be executed starts none.
pub async fn run_by(
    store: &dyn Store,
    definitions: &Definitions,
    actions: &Actions,
    hashes: BTreeSet<String>,
) -> Result<BTreeSet<String>, StoreError> {
    let (mut workflows, mut seen, mut open) = (BTreeSet::new(), hashes.clone(), Vec::from_iter(hashes));
    while let Some(hash) = open.pop() {
        let found = match definitions.find(store, actions, &hash).await {
            Ok(found) => found,
            Err(StoreError::Damaged { reason, .. }) => Err(reason),
            Err(error) => return Err(error),
        };
        let Ok(definition) = found else { continue };
        for child in definition.steps.iter().filter_map(|step| step.child.as_ref()) {
            workflows.insert(child.workflow.clone());
            if seen.insert(child.definition.clone()) {
                open.push(child.definition.clone());
            }
        }
    }
    Ok(workflows)
}
