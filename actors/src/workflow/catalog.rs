//! The workflows that can be started, and whether they can.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::definition::{Definition, DefinitionError};
use super::spec::{Defaults, WorkflowSpec};
use crate::executor::port::Actions;
use crate::router::routing::{Availability, Workflows};
use crate::wait::record::Topic;

/// All workflows of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Catalog(BTreeMap<String, Arc<Definition>>);

impl Catalog {
    /// Compiles all of them; all that is wrong is reported at once.
    pub fn compile(
        specs: BTreeMap<String, WorkflowSpec>,
        defaults: &Defaults,
        actions: &Actions,
    ) -> Result<Self, Vec<DefinitionError>> {
        let (mut definitions, mut errors) = (BTreeMap::new(), Vec::new());
        for (name, spec) in specs {
            match Definition::compile(&name, spec, defaults, actions) {
                Ok(definition) => _ = definitions.insert(name, Arc::new(definition)),
                Err(wrong) => errors.extend(wrong),
            }
        }
        if errors.is_empty() { Ok(Self(definitions)) } else { Err(errors) }
    }

    /// The workflows.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.0.values()
    }

    /// The workflow of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Definition>> {
        self.0.get(name)
    }

    /// What runs can wait for.
    pub fn topics(&self) -> Vec<Topic> {
        let topics: BTreeSet<&Topic> = self.all().flat_map(|definition| definition.topics()).collect();
        topics.into_iter().cloned().collect()
    }

    /// What routing must know: a workflow of which an action cannot be used is unavailable, and says why.
    pub fn availability(&self, actions: &Actions) -> Workflows {
        self.all().map(|definition| (definition.name.clone(), availability(definition, actions))).collect()
    }
}

fn availability(definition: &Definition, actions: &Actions) -> Availability {
    let all = definition.steps.iter().flat_map(|step| [Some(step), step.undo.as_deref()]).flatten();
    let reason = all.filter(|step| !step.is_engines_own()).find_map(|step| {
        let action = actions.get(step.action.as_str())?;
        action.lacks(&step.written)
    });
    match reason {
        Some(reason) => Availability::Unavailable { reason },
        None => Availability::Available {
            definition: definition.hash.clone(),
            quiet: definition.debounce.as_ref().map(|debounce| debounce.quiet),
        },
    }
}
