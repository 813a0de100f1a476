//! A workflow as it is written in TOML, before anything is checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::child::RUN_INFO;
use super::definition::{RUN_WORKFLOW, UNDO, WAIT_FOR_EVENT};
use super::waits::WAIT_INFO;
use crate::executor::failure::ErrorClass;
use crate::executor::port::{Action, ActionInfo, Actions, OnDoubt, Written};

/// A workflow as it is written. Spans of time are texts with a unit, such as `"5s"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowSpec {
    /// What it is for, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How long a run may take once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// How many steps of a run may be at work at once, when steps say what they come after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<usize>,
    /// Which runs must not go on side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencySpec>,
    /// Which runs are one if they come close together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<DebounceSpec>,
    /// What is done, in this order.
    #[serde(default)]
    pub steps: Vec<StepSpec>,
}

/// Which runs are one if they come close together: the newest of them is made when it has become quiet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebounceSpec {
    /// Runs with the same key are; a template.
    pub key: String,
    /// It is quiet when none has come for so long.
    pub quiet: String,
    /// How long a run waits for quiet at most; without it ten times `quiet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
}

/// Which runs must not go on side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencySpec {
    /// Workflows that name the same group share its limit.
    pub group: String,
    /// Runs with the same key do; a template.
    pub key: String,
    /// So many may go on at once.
    #[serde(default = "one")]
    pub limit: usize,
    /// What happens to the others when a newer one comes.
    #[serde(default)]
    pub on_newer: OnNewer,
    /// With `skip`: the workflows whose runs it ends for; behind those of others it waits. Without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_behind: Option<Vec<String>>,
    /// What says which one is newer; an expression. Without it the later start does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
}

/// So many steps of a run are at work at once, when its definition does not say.
const PARALLELISM: usize = 4;

/// So many may be.
pub(super) const MOST_PARALLEL: usize = 64;

fn one() -> usize {
    1
}

/// What happens when a newer run comes into a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNewer {
    /// It waits for its turn.
    #[default]
    Queue,
    /// The older ones end as superseded.
    Cancel,
    /// It ends as superseded while an older one goes on.
    Skip,
}

/// A step as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// Its name, by which later steps see its output.
    pub name: String,
    /// What it does.
    pub action: String,
    /// The steps that come before it. When no step names any, each comes after the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Vec<String>>,
    /// An expression; if it does not hold, the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whether it is skipped where what it calls is not configured; without it the whole workflow is unavailable then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// What it hands over; texts are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Json>,
    /// What undoes it, when the run fails, runs out of time or is cancelled after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoSpec>,
    /// What becomes of the run when it fails for good.
    #[serde(default, skip_serializing_if = "OnFailure::is_default")]
    pub on_failure: OnFailure,
    /// Time for one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// How long after it was begun it may be called back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What becomes of the run when it is not called back by then; without it what `on_failure` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnFailure>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// What happens to an attempt of which nobody knows whether its effect happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_doubt: Option<OnDoubt>,
}

/// What undoes a step, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoSpec {
    /// What it does.
    pub action: String,
    /// What it hands over; texts are templates, which see the output of what is undone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Json>,
    /// Time for one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// What happens to an attempt of which nobody knows whether its effect happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_doubt: Option<OnDoubt>,
}

impl UndoSpec {
    /// The step that it is, for a step of this name.
    pub(super) fn as_step(&self, of: &str) -> StepSpec {
        let Self { action, with, timeout, retry, on_doubt } = self.clone();
        StepSpec {
            name: format!("{UNDO}{of}"),
            action,
            needs: None,
            when: None,
            optional: false,
            with,
            undo: None,
            on_failure: OnFailure::Fail,
            timeout,
            deadline: None,
            on_timeout: None,
            retry,
            on_doubt,
        }
    }

    fn of_step(step: StepSpec) -> Self {
        let StepSpec { action, with, timeout, retry, on_doubt, .. } = step;
        Self { action, with, timeout, retry, on_doubt }
    }
}

/// What becomes of a run when a step fails for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It fails.
    #[default]
    Fail,
    /// It goes on; later steps see the status `failed` and the error.
    Continue,
    /// It goes on at a later step; what is not done by then is skipped.
    Goto(String),
    /// The same, and when all is done it fails with what the step has failed with: what comes from there on tells
    /// of the failure, and does not mend it.
    FailAfter(String),
}

impl OnFailure {
    fn is_default(&self) -> bool {
        *self == Self::Fail
    }

    /// The later step at which the run goes on, with the key that says so.
    pub(super) fn target(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Fail | Self::Continue => None,
            Self::Goto(target) => Some(("goto", target)),
            Self::FailAfter(target) => Some(("fail_after", target)),
        }
    }
}

/// When a step is tried again. What is not named is taken from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySpec {
    /// Attempts in all; 1 for none but the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Pause before the second attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_delay: Option<String>,
    /// Longest pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<String>,
    /// Growth of the pause from attempt to attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<f64>,
    /// Share of the pause that is spread, half of it up and half of it down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    /// The failures that are worth another attempt; without it those that may pass by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<ErrorClass>>,
}

/// What the configuration says of what a definition does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Time of a run.
    pub run_timeout: String,
    /// Time of an attempt.
    pub step_timeout: String,
    /// Retries.
    pub retry: RetrySpec,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            run_timeout: "5m".to_owned(),
            step_timeout: "30s".to_owned(),
            retry: RetrySpec {
                max_attempts: Some(4),
                base_delay: Some("5s".to_owned()),
                max_delay: Some("5m".to_owned()),
                multiplier: Some(2.0),
                jitter: Some(0.1),
                on: None,
            },
        }
    }
}

impl WorkflowSpec {
    /// The same with everything named that configuration and actions decide, so that what a run is pinned
    /// to changes with neither.
    #[must_use]
    pub fn resolved(mut self, defaults: &Defaults, actions: &Actions) -> Self {
        self.timeout.get_or_insert_with(|| defaults.run_timeout.clone());
        if self.steps.iter().any(|step| step.needs.is_some()) {
            self.parallelism.get_or_insert(PARALLELISM);
        }
        for step in &mut self.steps {
            step.resolve_all(defaults, actions);
        }
        self
    }
}

impl StepSpec {
    fn resolve_all(&mut self, defaults: &Defaults, actions: &Actions) {
        self.resolve(defaults);
        if let Some(action) = actions.get(self.action.as_str()) {
            self.resolve_action(action.as_ref());
        } else if self.action == WAIT_FOR_EVENT {
            self.resolve_info(&WAIT_INFO);
        } else if self.action == RUN_WORKFLOW {
            self.resolve_info(&RUN_INFO);
        }
        self.timeout.get_or_insert_with(|| defaults.step_timeout.clone());
        if let Some(undo) = self.undo.take() {
            let mut step = undo.as_step(&self.name);
            step.resolve_all(defaults, actions);
            self.undo = Some(UndoSpec::of_step(step));
        }
    }

    fn resolve(&mut self, defaults: &Defaults) {
        let given = self.retry.take().unwrap_or_default();
        let or = defaults.retry.clone();
        self.retry = Some(RetrySpec {
            max_attempts: given.max_attempts.or(or.max_attempts),
            base_delay: given.base_delay.or(or.base_delay),
            max_delay: given.max_delay.or(or.max_delay),
            multiplier: given.multiplier.or(or.multiplier),
            jitter: given.jitter.or(or.jitter),
            on: given.on.or(or.on),
        });
    }

    fn resolve_action(&mut self, action: &dyn Action) {
        let info = action.info();
        self.resolve_info(info);
        // One that cannot be used is refused when it is compiled.
        let on_doubt = action.examine(&Written::new(self.with.clone())).map_or(info.on_doubt, |effect| effect.on_doubt);
        self.on_doubt.get_or_insert(on_doubt);
    }

    fn resolve_info(&mut self, info: &ActionInfo) {
        if let Some(timeout) = info.timeout {
            self.timeout.get_or_insert_with(|| format!("{}ms", timeout.as_millis()));
        }
        for parameter in info.parameters {
            if let Some(default) = parameter.default {
                self.with.entry(parameter.name.to_owned()).or_insert_with(|| default.into());
            }
        }
    }
}
