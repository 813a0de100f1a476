//! The workflows that can be started, and whether they can.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::child::{self, Child};
use super::definition::{Definition, DefinitionError, Spot};
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
        let mut compiling = Compiling { specs: &specs, defaults, actions, done: BTreeMap::new(), errors: Vec::new() };
        specs.keys().for_each(|name| _ = compiling.workflow(name, &mut Vec::new()));
        let Compiling { done, mut errors, .. } = compiling;
        let compiled = Self(done.into_iter().filter_map(|(name, done)| Some((name, done?))).collect());
        errors.extend(compiled.waits_in_a_circle());
        errors.extend(specs.iter().flat_map(|(name, spec)| ends_for_nobody(name, spec, &specs)));
        if errors.is_empty() { Ok(compiled) } else { Err(errors) }
    }

    /// Steps whose run may wait for a place in a group whose runs wait for a place in that of the step's own run.
    fn waits_in_a_circle(&self) -> Vec<DefinitionError> {
        let group_of = |definition: &Definition| definition.concurrency.as_ref().map(|own| own.group.clone());
        let mut waits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let parents = self.all().flat_map(|parent| parent.steps.iter().map(move |step| (parent, step)));
        let children = parents.filter_map(|(parent, step)| {
            Some((parent, step, group_of(parent)?, self.get(&step.child.as_ref()?.workflow)?))
        });
        let children: Vec<_> = children.collect();
        for (_, _, group, child) in &children {
            waits.entry(group.clone()).or_default().extend(child.groups.iter().cloned());
        }
        let reaches = |from: &str, to: &str| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
            while let Some(each) = open.pop() {
                if each == to {
                    return true;
                }
                if seen.insert(each.clone()) {
                    open.extend(waits.get(&each).into_iter().flatten().cloned());
                }
            }
            false
        };
        let in_circle = children.iter().filter_map(|(parent, step, group, child)| {
            let through = child.groups.iter().find(|other| *other != group && reaches(other, group))?;
            let (workflow, spot) = (parent.name.clone(), Spot::of_step(&step.name, "with.workflow"));
            let reason = format!(
                "its run may wait for a place in the group `{through}`, and runs of that group for one in `{group}`, which this run has"
            );
            Some(DefinitionError { workflow, spot, reason })
        });
        in_circle.collect()
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
    /// So is one that runs such a workflow.
    pub fn availability(&self, actions: &Actions) -> Workflows {
        let availability = |definition: &Arc<Definition>| match self.lacks(definition, actions) {
            Some(reason) => Availability::Unavailable { reason },
            None => Availability::Available {
                definition: definition.hash.clone(),
                reads_event: definition.reads_event,
                quiet: definition.debounce.as_ref().map(|debounce| debounce.quiet),
            },
        };
        self.all().map(|definition| (definition.name.clone(), availability(definition))).collect()
    }

    fn lacks(&self, definition: &Definition, actions: &Actions) -> Option<String> {
        let all = definition.steps.iter().flat_map(|step| [Some(step), step.undo.as_deref()]).flatten();
        all.into_iter().find_map(|step| match &step.child {
            Some(child) => {
                let reason = self.lacks(self.get(&child.workflow)?, actions)?;
                Some(format!("workflow `{}`, which it runs, is unavailable: {reason}", child.workflow))
            }
            None if step.is_engines_own() || step.dispensable.is_some() => None,
            None => actions.get(step.action.as_str())?.lacks(&step.written),
        })
    }
}

/// Names in `skip_behind` that no workflow has.
fn ends_for_nobody(
    name: &str,
    spec: &WorkflowSpec,
    specs: &BTreeMap<String, WorkflowSpec>,
) -> impl Iterator<Item = DefinitionError> {
    let named = spec.concurrency.iter().flat_map(|concurrency| concurrency.skip_behind.iter().flatten());
    named.filter(|other| !specs.contains_key(*other)).map(|other| DefinitionError {
        workflow: name.to_owned(),
        spot: Spot::of_workflow("concurrency.skip_behind"),
        reason: format!("there is no workflow `{other}`"),
    })
}

/// The workflows of a configuration, on the way: what a workflow runs is compiled before it.
struct Compiling<'a> {
    specs: &'a BTreeMap<String, WorkflowSpec>,
    defaults: &'a Defaults,
    actions: &'a Actions,
    /// Those that were looked at; none for one that has mistakes.
    done: BTreeMap<String, Option<Arc<Definition>>>,
    errors: Vec<DefinitionError>,
}

impl<'a> Compiling<'a> {
    /// Compiles this workflow, which those on the `way` run, and what it runs.
    fn workflow(&mut self, name: &'a str, way: &mut Vec<&'a str>) -> Option<Arc<Definition>> {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let spec = self.specs.get(name)?;
        way.push(name);
        let children = child::run_by(spec).map(|child| (child.to_owned(), self.child(child, way))).collect();
        way.pop();
        let compiled = Definition::compile(name, spec.clone(), self.defaults, (self.actions, &children));
        let checked = compiled.and_then(|mut definition| {
            let found = |child: &str| self.done.get(child)?.as_deref();
            let mistakes = child::mistakes(&definition, found);
            definition.declared = child::declared(&definition, found);
            let run: Vec<&Definition> = children.keys().filter_map(|child| found(child)).collect();
            definition.groups.extend(run.into_iter().flat_map(|child| child.groups.iter().cloned()));
            if mistakes.is_empty() { Ok(Arc::new(definition)) } else { Err(mistakes) }
        });
        let done = checked.map_err(|errors| self.errors.extend(errors)).ok();
        self.done.insert(name.to_owned(), done.clone());
        done
    }

    /// A workflow that the last one on the way runs, or why that cannot be.
    fn child(&mut self, name: &'a str, way: &mut Vec<&'a str>) -> Result<Child, String> {
        if let Some(start) = way.iter().position(|each| *each == name) {
            let circle: Vec<&str> = way.iter().skip(start).copied().chain([name]).collect();
            return Err(format!("it would run itself for ever: {}", circle.join(" → ")));
        }
        if !self.specs.contains_key(name) {
            let names: Vec<&str> = self.specs.keys().map(String::as_str).collect();
            return Err(format!("there is no workflow `{name}`; there are {}", names.join(", ")));
        }
        match self.workflow(name, way) {
            Some(definition) => Ok(Child::from(definition.as_ref())),
            None => Err(format!("the workflow `{name}` has mistakes of its own")),
        }
    }
}
