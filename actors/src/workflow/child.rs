//! The workflow that a step runs: found when the definition is loaded, and pinned with it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::compiler::{Compiler, longest};
use super::definition::{Definition, DefinitionError, RUN_WORKFLOW, Spot, Step};
use super::recipe;
use super::spec::{StepSpec, WorkflowSpec};
use crate::executor::port::{Accepts, ActionInfo, EffectClass, OnDoubt, Parameter};

/// The workflow that a step runs. A run is pinned to this as to everything else in its definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// Its name.
    pub workflow: String,
    /// Hash of its content.
    pub definition: String,
    /// Whether its templates read the event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_event: bool,
    /// Milliseconds that its runs wait for newer ones which take their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quiet_ms: Option<u64>,
}

/// The workflows that steps may run, by name, or why they cannot.
pub type Children = BTreeMap<String, Result<Child, String>>;

impl Child {
    /// How long its runs wait for newer ones which take their place.
    pub fn quiet(&self) -> Option<Duration> {
        self.quiet_ms.map(Duration::from_millis)
    }
}

impl From<&Definition> for Child {
    fn from(definition: &Definition) -> Self {
        let quiet = definition.debounce.as_ref().map(|debounce| debounce.quiet);
        Self {
            workflow: definition.name.clone(),
            definition: definition.hash.clone(),
            reads_event: definition.reads_event,
            quiet_ms: quiet.map(|quiet| u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// What is known of the step that starts another run.
pub(super) static RUN_INFO: ActionInfo = ActionInfo {
    name: RUN_WORKFLOW,
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        Parameter { name: "workflow", accepts: Accepts::Text, default: None },
        Parameter { name: "input", accepts: Accepts::TableOf(&Accepts::Anything), default: Some(NOTHING) },
    ],
    timeout: None,
    waits: None,
    services: &[],
};

/// Stands for no input.
const NOTHING: &str = "{{ {} }}";

/// The workflows that the steps of one run.
pub(super) fn run_by(spec: &WorkflowSpec) -> impl Iterator<Item = &str> {
    let named =
        spec.steps.iter().filter(|step| step.action == RUN_WORKFLOW).filter_map(|step| step.with.get("workflow"));
    named.filter(|name| !recipe::is_template(name)).filter_map(|name| name.as_str())
}

impl Compiler<'_> {
    /// The workflow that the step runs; nothing when it does not.
    pub(super) fn child(&mut self, spec: &StepSpec) -> Option<Child> {
        let written = spec.with.get("workflow").filter(|_| spec.action == RUN_WORKFLOW)?;
        let at = Spot::of_step(&spec.name, "with.workflow");
        let Some(name) = written.as_str() else {
            self.wrong(&at, "must be the name of a workflow");
            return None;
        };
        match self.children.get(name) {
            Some(Ok(child)) => {
                // What it sees of the event, it has from this one.
                if child.reads_event {
                    self.reads_event.set(true);
                }
                return Some(child.clone());
            }
            Some(Err(reason)) => self.wrong(&at, reason.clone()),
            None if recipe::is_template(written) => {
                self.wrong(&at, "must be written out: what is run is known before any run")
            }
            None => self.wrong(&at, format!("there is no workflow `{name}`")),
        }
        None
    }
}

/// What is wrong with how `definition` runs others: an input that is not given, a place that both would need, or a
/// deadline that cannot be met.
pub(super) fn mistakes<'a>(
    definition: &Definition,
    of: impl Fn(&str) -> Option<&'a Definition>,
) -> Vec<DefinitionError> {
    let mut mistakes = Vec::new();
    let own = definition.concurrency.as_ref().map(|concurrency| &concurrency.group);
    for step in &definition.steps {
        let child = step.child.as_ref().and_then(|child| of(&child.workflow));
        let Some((child, waits)) = child.zip(step.waits.as_ref()) else { continue };
        let mut wrong = |key: &str, reason: String| {
            let (workflow, spot) = (definition.name.clone(), Spot::of_step(&step.name, key));
            mistakes.push(DefinitionError { workflow, spot, reason });
        };
        let given = step.written.get("input").and_then(|input| input.as_object());
        for input in &child.inputs {
            if given.is_none_or(|given| !given.contains_key(input)) {
                wrong("with.input", format!("`{}` needs `{input}`; write it out as a table", child.name));
            }
        }
        if let Some(group) = own.filter(|group| child.groups.contains(*group)) {
            let reason = format!("`{}` would wait for a place in the group `{group}` that this run has", child.name);
            wrong("with.workflow", reason);
        }
        let (takes, deadline) = (takes(child), waits.deadline);
        if takes >= deadline {
            wrong("deadline", format!("the delays of `{}` take {takes:?}, it may take {deadline:?}", child.name));
        }
    }
    let (declared, timeout) = (declared(definition, of), definition.timeout);
    // What its own take alone was looked at before.
    if declared >= timeout && mistakes.is_empty() {
        let reason = format!(
            "the delays, with those of the runs that it starts, take {declared:?}, the whole run may take {timeout:?}"
        );
        let (workflow, spot) = (definition.name.clone(), Spot::of_workflow("timeout"));
        mistakes.push(DefinitionError { workflow, spot, reason });
    }
    mistakes
}

/// What declared delays take from the start of a run to its end. A child may wait for newer ones first.
fn takes(definition: &Definition) -> Duration {
    let quiet = definition.debounce.as_ref().map(|debounce| debounce.quiet);
    definition.declared.saturating_add(quiet.unwrap_or_default())
}

/// What declared delays take on the longest way through a definition, those of the runs that it starts among them.
pub(super) fn declared<'a>(definition: &Definition, of: impl Fn(&str) -> Option<&'a Definition>) -> Duration {
    let runs = |step: &Step| step.child.as_ref().and_then(|child| of(&child.workflow)).map(takes).unwrap_or_default();
    longest(&definition.steps, &runs)
}
