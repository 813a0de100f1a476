//! A definition that can be executed: compiled from what was written, or refused with all that is
//! wrong. What is accepted here cannot fail at run time for a reason that could have been known.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::graph::Graph;
use super::recipe::Recipe;
use super::retry::RetryPolicy;
use super::spec::{ConcurrencySpec, Defaults, OnFailure, OnNewer, RetrySpec, StepSpec, WorkflowSpec};
use crate::executor::port::{Accepts, ActionInfo, Actions, EffectClass, OnDoubt, Parameter};
use crate::expression::{Expression, ExpressionError, Template};
use crate::ids;
use crate::run::RunRecord;
use crate::time::parse_span;

/// The action that the engine does itself: it waits, durably, and holds nothing meanwhile.
pub const DELAY: &str = "delay";

/// What is known of it.
static DELAY_INFO: ActionInfo = ActionInfo {
    name: DELAY,
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[Parameter { name: "duration", accepts: Accepts::Text, default: None }],
    timeout: None,
};

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
    /// Which runs must not go on side by side.
    pub concurrency: Option<Concurrency>,
    /// What its templates read of the input: a route to it must give all of that.
    pub inputs: BTreeSet<String>,
    /// What is done, in this order.
    pub steps: Vec<Step>,
}

/// Which runs must not go on side by side.
#[derive(Debug)]
pub struct Concurrency {
    group: String,
    key: Template,
    limit: usize,
    on_newer: OnNewer,
    order_by: Option<Expression>,
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
    /// What says which one is newer.
    pub order: Json,
}

/// A step that can be executed.
#[derive(Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What it does: an action's name, or [`DELAY`].
    pub action: String,
    /// Time for one attempt.
    pub timeout: Duration,
    /// When it is tried again.
    pub retry: RetryPolicy,
    /// The effect class of its action.
    pub class: EffectClass,
    /// What happens in doubt.
    pub on_doubt: OnDoubt,
    /// The steps that come right before it.
    pub needs: Vec<String>,
    /// What becomes of the run when it fails for good.
    pub on_failure: OnFailure,
    when: Option<Expression>,
    with: Vec<(String, Recipe)>,
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

    fn within(&self, key: &str) -> Self {
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
struct Pinned {
    name: String,
    spec: WorkflowSpec,
}

impl Definition {
    /// Compiles what was written. All that is wrong is reported at once.
    pub fn compile(
        name: &str,
        spec: WorkflowSpec,
        defaults: &Defaults,
        actions: &Actions,
    ) -> Result<Self, Vec<DefinitionError>> {
        let pinned = Pinned { name: name.to_owned(), spec: spec.resolved(defaults, actions) };
        Compiler::new(name, actions).definition(&pinned)
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
        Compiler::new(&pinned.name, actions).definition(&pinned)
    }

    /// The place of `run` among those that it must not go on beside.
    pub fn place_of(&self, run: &RunRecord) -> Result<Option<Place>, ExpressionError> {
        let Some(concurrency) = &self.concurrency else { return Ok(None) };
        let variables = variables(run, &Map::new());
        let key = match concurrency.key.render(&variables)? {
            Json::String(key) => key,
            other => other.to_string(),
        };
        let order = match &concurrency.order_by {
            Some(order) => order.evaluate_to_json(&variables)?,
            None => Json::from(run.started_at.millis()),
        };
        Ok(Some(Place {
            group: (concurrency.group.clone(), key),
            limit: concurrency.limit,
            on_newer: concurrency.on_newer,
            order,
        }))
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

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}

impl Step {
    /// Whether its condition holds, as far as the run has come: `steps` is what there is of each step.
    pub fn holds(&self, run: &RunRecord, steps: &Map<String, Json>) -> Result<bool, ExpressionError> {
        self.when.as_ref().map_or(Ok(true), |when| Ok(when.evaluate(&variables(run, steps))?.is_true()))
    }

    /// What it hands over.
    pub fn with(&self, run: &RunRecord, steps: &Map<String, Json>) -> Result<Map<String, Json>, ExpressionError> {
        let variables = variables(run, steps);
        self.with.iter().map(|(name, recipe)| Ok((name.clone(), recipe.render(&variables)?))).collect()
    }
}

/// What the templates of a run see.
fn variables(run: &RunRecord, steps: &Map<String, Json>) -> Value {
    context!(
        input => Value::from(Serde(&run.input)),
        steps => Value::from(Serde(steps)),
        run => context!(
            id => run.id.to_string(),
            workflow => run.workflow.as_str(),
            event => run.event.to_string(),
            subject => run.subject.as_deref(),
            started_at => run.started_at.to_rfc3339(),
        ),
    )
}

struct Compiler<'a> {
    workflow: &'a str,
    actions: &'a Actions,
    errors: Vec<DefinitionError>,
    /// What its templates read of the input.
    inputs: RefCell<BTreeSet<String>>,
}

impl<'a> Compiler<'a> {
    fn new(workflow: &'a str, actions: &'a Actions) -> Self {
        Self { workflow, actions, errors: Vec::new(), inputs: RefCell::default() }
    }

    fn definition(mut self, pinned: &Pinned) -> Result<Definition, Vec<DefinitionError>> {
        let spec = &pinned.spec;
        let timeout = self.span(&Spot::of_workflow("timeout"), spec.timeout.as_deref().unwrap_or_default());
        if timeout.is_zero() {
            self.wrong(&Spot::of_workflow("timeout"), "must be longer than nothing");
        }
        if spec.steps.is_empty() {
            self.wrong(&Spot::of_workflow("steps"), "a workflow has at least one step");
        }
        let concurrency = spec.concurrency.as_ref().and_then(|spec| self.concurrency(spec));
        let graph = Graph::of(&spec.steps);
        graph.mistakes().into_iter().for_each(|(spot, reason)| self.wrong(&spot, reason));
        let steps: Vec<Step> = spec.steps.iter().filter_map(|step| self.step(step, &graph)).collect();
        self.fits(timeout, &steps);
        let content = match serde_json::to_string(pinned) {
            Ok(content) => content,
            Err(error) => {
                self.wrong(&Spot::of_workflow("content"), error.to_string());
                String::new()
            }
        };
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let hash = hex(&ids::first_16(&Sha256::digest(&content)));
        let inputs = self.inputs.take();
        Ok(Definition { name: pinned.name.clone(), hash, content, timeout, concurrency, inputs, steps })
    }

    fn concurrency(&mut self, spec: &ConcurrencySpec) -> Option<Concurrency> {
        if spec.limit == 0 {
            self.wrong(&Spot::of_workflow("concurrency.limit"), "must be at least 1");
        }
        let (key, order_by) = {
            let known = |name: &str| self.is_variable(name, &BTreeSet::new());
            let order_by = spec.order_by.as_ref().map(|text| Expression::compile(text, &known)).transpose();
            (Template::compile(&spec.key, &known), order_by)
        };
        let (key, order_by) = (
            self.keep(&Spot::of_workflow("concurrency.key"), key),
            self.keep(&Spot::of_workflow("concurrency.order_by"), order_by),
        );
        Some(Concurrency {
            group: spec.group.clone(),
            key: key?,
            limit: spec.limit,
            on_newer: spec.on_newer,
            order_by: order_by?,
        })
    }

    fn step(&mut self, spec: &StepSpec, graph: &Graph) -> Option<Step> {
        let at = |key: &str| Spot::of_step(&spec.name, key);
        if spec.name.is_empty() || !spec.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.wrong(&at("name"), "a name has letters, digits and underscores only");
        }
        let info = match self.actions.get(spec.action.as_str()) {
            _ if spec.action == DELAY => &DELAY_INFO,
            Some(action) => action.info(),
            None => {
                let names: Vec<&str> = self.actions.keys().copied().chain([DELAY]).collect();
                let names = names.join(", ");
                self.wrong(&at("action"), format!("there is no action `{}`; there are {names}", spec.action));
                return None;
            }
        };
        let on_doubt = spec.on_doubt.unwrap_or(info.on_doubt);
        if info.class == EffectClass::Once && on_doubt == OnDoubt::Repeat {
            self.wrong(&at("on_doubt"), "what must never happen twice cannot be repeated; use `park` or `assume_done`");
        }
        let earlier = graph.before(&spec.name);
        let with = self.with(spec, info, &earlier);
        let when = spec.when.as_ref();
        let when = when.map(|text| Expression::compile(text, &|name: &str| self.is_variable(name, &earlier)));
        let when = self.keep(&at("when"), when.transpose()).flatten();
        let timeout = self.span(&at("timeout"), spec.timeout.as_deref().unwrap_or_default());
        if timeout.is_zero() {
            self.wrong(&at("timeout"), "must be longer than nothing");
        }
        let retry = self.retry(&at("retry"), &spec.retry.clone().unwrap_or_default());
        let (name, action) = (spec.name.clone(), spec.action.clone());
        let (needs, on_failure) = (graph.needs(&spec.name), spec.on_failure.clone());
        Some(Step { name, action, timeout, retry, class: info.class, on_doubt, needs, on_failure, when, with })
    }

    fn with(&mut self, spec: &StepSpec, info: &ActionInfo, earlier: &BTreeSet<String>) -> Vec<(String, Recipe)> {
        let at = |key: &str| Spot::of_step(&spec.name, &format!("with.{key}"));
        for name in spec.with.keys().filter(|name| !info.parameters.iter().any(|known| known.name == *name)) {
            let takes: Vec<&str> = info.parameters.iter().map(|known| known.name).collect();
            self.wrong(&at(name), format!("`{}` does not take this; it takes {}", spec.action, takes.join(", ")));
        }
        let mut with = Vec::new();
        for parameter in info.parameters {
            let at = at(parameter.name);
            // What an earlier version pinned may lack a parameter that its action did not have.
            let default = parameter.default.map(Json::from);
            let Some(value) = spec.with.get(parameter.name).or(default.as_ref()) else {
                self.wrong(&at, format!("`{}` needs this", spec.action));
                continue;
            };
            let recipe = Recipe::compile(value, &|name: &str| self.is_variable(name, earlier));
            let Some(recipe) = self.keep(&at, recipe) else { continue };
            if matches!(recipe, Recipe::List(_) | Recipe::Object(_)) {
                self.wrong(&at, "expected one value, found several");
            }
            if let Some(fixed) = recipe.fixed() {
                if let Some(reason) = parameter.accepts.refuses(fixed) {
                    self.wrong(&at, reason);
                } else if spec.action == DELAY {
                    self.span(&at, fixed.as_str().unwrap_or_default());
                }
            }
            with.push((parameter.name.to_owned(), recipe));
        }
        with
    }

    /// What templates of a step may name: the input, the run, and outputs of `earlier` steps.
    fn is_variable(&self, name: &str, earlier: &BTreeSet<String>) -> bool {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            ["input"] => true,
            ["input", input, ..] => {
                self.inputs.borrow_mut().insert((*input).to_owned());
                true
            }
            ["run", "id" | "workflow" | "event" | "subject" | "started_at"] => true,
            ["steps", step, "output" | "status" | "error", ..] => earlier.contains(*step),
            _ => crate::router::routes::BUILT_IN_FUNCTIONS.contains(&name),
        }
    }

    fn retry(&mut self, spot: &Spot, spec: &RetrySpec) -> RetryPolicy {
        let max_attempts = spec.max_attempts.unwrap_or(1);
        if max_attempts == 0 {
            self.wrong(spot, "max_attempts counts the first one and is at least 1");
        }
        let multiplier = spec.multiplier.unwrap_or(2.0);
        if !(1.0..=100.0).contains(&multiplier) {
            self.wrong(spot, "multiplier must be within 1 and 100");
        }
        let jitter = spec.jitter.unwrap_or_default();
        if !(0.0..=1.0).contains(&jitter) {
            self.wrong(spot, "jitter must be within 0 and 1");
        }
        let mut span = |name: &str, text: &Option<String>| {
            text.as_ref().map_or(Duration::ZERO, |text| self.span(&spot.within(name), text))
        };
        let (base_delay, max_delay) = (span("base_delay", &spec.base_delay), span("max_delay", &spec.max_delay));
        RetryPolicy { max_attempts, base_delay, max_delay, multiplier, jitter, on: spec.on.clone() }
    }

    /// Declared delays alone must leave time for the rest.
    fn fits(&mut self, timeout: Duration, steps: &[Step]) {
        let delays = longest(steps);
        if !timeout.is_zero() && delays >= timeout {
            self.wrong(
                &Spot::of_workflow("timeout"),
                format!("the delays take {delays:?}, the whole run may take {timeout:?}"),
            );
        }
        if let Some(long) = steps.iter().find(|step| step.action != DELAY && step.timeout > timeout) {
            let reason = format!("an attempt may take {:?}, the whole run {timeout:?}", long.timeout);
            self.wrong(&Spot::of_step(&long.name, "timeout"), reason);
        }
    }

    fn span(&mut self, spot: &Spot, text: &str) -> Duration {
        parse_span(text).unwrap_or_else(|| {
            self.wrong(spot, format!("`{text}` is not a span of time; write it like 500ms, 5s, 10m, 2h or 3d"));
            Duration::ZERO
        })
    }

    fn keep<T>(&mut self, spot: &Spot, compiled: Result<T, ExpressionError>) -> Option<T> {
        compiled.map_err(|error| self.wrong(spot, error.to_string())).ok()
    }

    fn wrong(&mut self, spot: &Spot, reason: impl Into<String>) {
        let (workflow, spot, reason) = (self.workflow.to_owned(), spot.clone(), reason.into());
        self.errors.push(DefinitionError { workflow, spot, reason });
    }
}

impl Step {
    fn fixed_delay(&self) -> Option<Duration> {
        let (_, recipe) = self.with.iter().find(|_| self.action == DELAY)?;
        parse_span(recipe.fixed()?.as_str()?)
    }
}

/// What declared delays take on the longest way through the steps.
fn longest(steps: &[Step]) -> Duration {
    let mut until: BTreeMap<&str, Duration> = BTreeMap::new();
    // Each round knows the ways of one step more; a circle was refused before and ends with the rounds.
    for _ in steps {
        for step in steps {
            let before = step.needs.iter().filter_map(|needed| until.get(needed.as_str())).max();
            let own = step.fixed_delay().unwrap_or_default();
            until.insert(&step.name, before.copied().unwrap_or_default().saturating_add(own));
        }
    }
    until.into_values().max().unwrap_or_default()
}

fn hex(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
