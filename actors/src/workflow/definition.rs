//! A definition that can be executed: compiled from what was written, or refused with all that is
//! wrong. What is accepted here cannot fail at run time for a reason that could have been known.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::child::{Child, Children};
use super::compiler::Compiler;
use super::recipe::Recipe;
use super::retry::RetryPolicy;
use super::spec::{Defaults, OnFailure, OnNewer, WorkflowSpec};
use super::waits::Waits;
use crate::executor::port::{Accepts, Actions, EffectClass, Misfit, OnDoubt, Written};
use crate::expression::{Expression, ExpressionError, Template};
use crate::run::RunRecord;
use crate::wait::record::Topic;

/// An action that the engine does itself: it waits, durably, and holds nothing meanwhile.
pub const DELAY: &str = "delay";

/// Before the name of a step: the name of what undoes it.
pub const UNDO: &str = "undo/";

/// Another one: it waits for an event.
pub const WAIT_FOR_EVENT: &str = "wait_for_event";

/// The third: it starts another run and waits for its end.
pub const RUN_WORKFLOW: &str = "run_workflow";

/// A workflow that can be executed.
#[derive(Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Hash of its content; runs are pinned to it.
    pub hash: String,
    /// Its content, from which it can be compiled again.
    pub content: String,
    /// How long a run may take once it has begun.
    pub timeout: Duration,
    /// How many steps of a run may be at work at once.
    pub parallelism: usize,
    /// Which runs must not go on side by side.
    pub concurrency: Option<Concurrency>,
    /// Which runs are one if they come close together.
    pub debounce: Option<Debounce>,
    /// What its templates read of the input: a route to it must give all of that.
    pub inputs: BTreeSet<String>,
    /// Whether they read the event or its facts.
    pub reads_event: bool,
    /// The groups in which its runs and those that they start need a place.
    pub groups: BTreeSet<String>,
    /// What its declared delays take on the longest way through its steps.
    pub declared: Duration,
    /// What is done, in this order.
    pub steps: Vec<Step>,
}

/// Which runs must not go on side by side.
#[derive(Debug)]
pub struct Concurrency {
    pub(super) group: String,
    pub(super) key: Template,
    pub(super) limit: usize,
    pub(super) on_newer: OnNewer,
    pub(super) skip_behind: Option<Arc<[String]>>,
    pub(super) order_by: Option<Expression>,
}

/// Which runs are one if they come close together.
#[derive(Debug)]
pub struct Debounce {
    pub(super) key: Template,
    /// It is quiet when none has come for so long.
    pub quiet: Duration,
    pub(super) at_most: Duration,
}

/// With which runs a run is one, until it is quiet.
#[derive(Clone, Debug, PartialEq)]
pub struct Burst {
    /// Runs of the workflow with the same key are.
    pub key: String,
    /// It is quiet when none has come for so long.
    pub quiet: Duration,
    /// So long after the first of them the newest waits at most.
    pub at_most: Duration,
}

/// The place of a run among those that it must not go on beside.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Name of the group and key within it.
    pub group: (String, String),
    /// So many may go on at once.
    pub limit: usize,
    /// What happens when a newer one comes.
    pub on_newer: OnNewer,
    /// The workflows whose runs it ends for, if not all; behind those of others it waits.
    pub skip_behind: Option<Arc<[String]>>,
    /// What says which one is newer.
    pub order: Json,
}

/// A step that can be executed.
#[derive(Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What it does: an action's name, [`DELAY`], [`WAIT_FOR_EVENT`] or [`RUN_WORKFLOW`].
    pub action: String,
    /// Time for one attempt.
    pub timeout: Duration,
    /// When it is tried again.
    pub retry: RetryPolicy,
    /// The effect class that its action has with what it writes.
    pub class: EffectClass,
    /// What happens in doubt.
    pub on_doubt: OnDoubt,
    /// Whether an attempt that was cut off is made again and goes on from what was noted.
    pub resumes: bool,
    /// How long after an attempt its effect can be seen, if it is to be looked for.
    pub settles: Duration,
    /// The steps that come right before it.
    pub needs: Vec<String>,
    /// What becomes of the run when it fails for good.
    pub on_failure: OnFailure,
    /// What it is called back by, if it is done only then.
    pub waits: Option<Waits>,
    /// The workflow that it runs.
    pub child: Option<Child>,
    /// What undoes it, when the run fails after it.
    pub undo: Option<Box<Step>>,
    /// The services that it calls.
    pub services: &'static [&'static str],
    /// What it hands over, as it was written.
    pub written: Written,
    /// Why it cannot be done as this process is configured, when the workflow can do without it.
    pub dispensable: Option<String>,
    pub(super) when: Option<Expression>,
    pub(super) with: Vec<Argument>,
}

/// A value that a step hands over.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) accepts: Accepts,
    pub(super) recipe: Recipe,
}

/// Why what a step hands over cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// A template gives nothing.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// What a template gives is not what the action takes.
    #[error("with.{}: {}", .0.key, .0.reason)]
    Unfit(Misfit),
}

/// What is wrong with a definition, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("workflow `{workflow}`, {spot}: {reason}")]
pub struct DefinitionError {
    /// The workflow.
    pub workflow: String,
    /// Where in it.
    pub spot: Spot,
    /// Why it cannot be used.
    pub reason: String,
}

/// A key of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The step that it is in, if any.
    pub step: Option<String>,
    /// The key, with dots; empty for the whole.
    pub key: String,
}

impl Spot {
    /// A key of the workflow itself.
    pub fn of_workflow(key: &str) -> Self {
        Self { step: None, key: key.to_owned() }
    }

    /// A key of a step.
    pub fn of_step(step: &str, key: &str) -> Self {
        Self { step: Some(step.to_owned()), key: key.to_owned() }
    }

    pub(super) fn within(&self, key: &str) -> Self {
        Self { key: format!("{}.{key}", self.key), ..self.clone() }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            None => f.write_str(&self.key),
            Some(step) if self.key.is_empty() => write!(f, "step `{step}`"),
            Some(step) => write!(f, "step `{step}`, {}", self.key),
        }
    }
}

/// What a run is pinned to.
#[derive(Serialize, Deserialize)]
pub(super) struct Pinned {
    pub(super) name: String,
    pub(super) spec: WorkflowSpec,
    /// The workflows that it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) children: Vec<Child>,
}

impl Definition {
    /// Compiles what was written. All that is wrong is reported at once.
    pub fn compile(
        name: &str,
        spec: WorkflowSpec,
        defaults: &Defaults,
        (actions, children): (&Actions, &Children),
    ) -> Result<Self, Vec<DefinitionError>> {
        let run = children.values().flatten().cloned().collect();
        let mut compiler = Compiler::new(name, actions, children);
        // Only of what was written: what is resolved says how long an attempt of any step may take.
        spec.steps.iter().for_each(|step| compiler.has_attempts(step));
        let pinned = Pinned { name: name.to_owned(), spec: spec.resolved(defaults, actions), children: run };
        compiler.definition(&pinned)
    }

    /// Compiles what an earlier process had accepted.
    pub fn from_content(content: &str, actions: &Actions) -> Result<Self, Vec<DefinitionError>> {
        let pinned: Pinned = serde_json::from_str(content).map_err(|error| {
            vec![DefinitionError {
                workflow: String::new(),
                spot: Spot::of_workflow("content"),
                reason: error.to_string(),
            }]
        })?;
        let children = pinned.children.iter().map(|child| (child.workflow.clone(), Ok(child.clone()))).collect();
        Compiler::new(&pinned.name, actions, &children).definition(&pinned)
    }

    /// The place of `run` among those that it must not go on beside.
    pub fn place_of(&self, run: &RunRecord) -> Result<Option<Place>, ExpressionError> {
        let Some(concurrency) = &self.concurrency else { return Ok(None) };
        let variables = variables(run, &Map::new());
        let key = text(concurrency.key.render(&variables)?);
        let order = match &concurrency.order_by {
            Some(order) => order.evaluate_to_json(&variables)?,
            None => Json::from(run.started_at.millis()),
        };
        Ok(Some(Place {
            group: (concurrency.group.clone(), key),
            limit: concurrency.limit,
            on_newer: concurrency.on_newer,
            skip_behind: concurrency.skip_behind.clone(),
            order,
        }))
    }

    /// With which other runs `run` is one, until it is quiet.
    pub fn burst_of(&self, run: &RunRecord) -> Result<Option<Burst>, ExpressionError> {
        let Some(Debounce { key, quiet, at_most }) = &self.debounce else { return Ok(None) };
        let key = text(key.render(&variables(run, &Map::new()))?);
        Ok(Some(Burst { key, quiet: *quiet, at_most: *at_most }))
    }

    /// All steps that come after this one, near and far.
    pub fn after(&self, step: &str) -> BTreeSet<String> {
        let mut after = BTreeSet::new();
        let mut found = true;
        while std::mem::take(&mut found) {
            for each in &self.steps {
                let follows = each.needs.iter().any(|needed| needed == step || after.contains(needed));
                found |= follows && after.insert(each.name.clone());
            }
        }
        after
    }

    /// What its runs can wait for.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.steps.iter().filter_map(|step| step.waits.as_ref()).flat_map(|waits| &waits.topics)
    }

    /// The step of this name, or what undoes one.
    pub fn step(&self, name: &str) -> Option<&Step> {
        let mut all = self.steps.iter().flat_map(|step| [Some(step), step.undo.as_deref()]).flatten();
        all.find(|step| step.name == name)
    }
}

impl Step {
    /// Whether the engine does it itself, and holds nothing meanwhile.
    pub fn is_engines_own(&self) -> bool {
        matches!(self.action.as_str(), DELAY | WAIT_FOR_EVENT | RUN_WORKFLOW)
    }

    /// Whether its condition holds, as far as the run has come: `steps` is what there is of each step.
    pub fn holds(&self, run: &RunRecord, steps: &Map<String, Json>) -> Result<bool, ExpressionError> {
        self.when.as_ref().map_or(Ok(true), |when| Ok(when.evaluate(&variables(run, steps))?.is_true()))
    }

    /// What it hands over. What templates give is checked as what is written out was.
    pub fn with(&self, run: &RunRecord, steps: &Map<String, Json>) -> Result<Map<String, Json>, FillError> {
        let variables = variables(run, steps);
        let fill = |Argument { name, accepts, recipe }: &Argument| {
            let value = recipe.render(&variables)?;
            match accepts.misfits(name, &value).into_iter().next() {
                None => Ok((name.clone(), value)),
                Some(misfit) => Err(FillError::Unfit(misfit)),
            }
        };
        self.with.iter().map(fill).collect()
    }
}

fn text(value: Json) -> String {
    match value {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// What the templates of a run see.
fn variables(run: &RunRecord, steps: &Map<String, Json>) -> Value {
    let seen = run.seen.as_deref();
    context!(
        input => Value::from(Serde(&run.input)),
        steps => Value::from(Serde(steps)),
        facts => seen.map(|seen| Value::from(Serde(&seen.facts))),
        event => context!(
            id => run.event.to_string(),
            source => seen.map(|seen| seen.source.as_str()),
            type => seen.map(|seen| seen.facts.event_type.as_str()),
            action => seen.and_then(|seen| seen.facts.action.as_deref()),
            received_at => seen.map(|seen| seen.received_at.to_rfc3339()),
        ),
        run => context!(
            id => run.id.to_string(),
            workflow => run.workflow.as_str(),
            event => run.event.to_string(),
            subject => run.subject.as_deref(),
            started_at => run.started_at.to_rfc3339(),
        ),
    )
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
