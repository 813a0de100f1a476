//! What a step waits for, compiled from what was written.

use std::time::Duration;

use serde_json::Value as Json;

use super::compiler::Compiler;
use super::definition::{RUN_WORKFLOW, Spot, WAIT_FOR_EVENT};
use super::spec::{OnFailure, StepSpec};
use crate::executor::port::{Accepts, ActionInfo, EffectClass, OnDoubt, Parameter, Polling, WaitInfo};
use crate::time::parse_span;
use crate::wait::record::{Topic, kind_of};

/// What a step waits for.
#[derive(Debug)]
pub struct Waits {
    /// Kinds of the keys that its callback is known by, as far as they are known before any run.
    pub kinds: Vec<String>,
    /// What counts as its callback.
    pub topics: Vec<Topic>,
    /// How long after it was begun it may be called back.
    pub deadline: Duration,
    /// What becomes of the run when it is not.
    pub on_timeout: OnFailure,
    /// How often it is asked meanwhile.
    pub polling: Option<Polling>,
}

/// What is known of the step that does nothing but wait.
pub(super) static WAIT_INFO: ActionInfo = ActionInfo {
    name: WAIT_FOR_EVENT,
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        Parameter { name: "source", accepts: Accepts::Text, default: None },
        Parameter { name: "event", accepts: Accepts::Anything, default: None },
        Parameter { name: "actions", accepts: Accepts::ListOf(&Accepts::Text), default: Some(ANY) },
        Parameter { name: "key", accepts: Accepts::Text, default: None },
    ],
    timeout: None,
    waits: None,
    services: &[],
};

/// Stands for all actions.
const ANY: &str = "{{ [] }}";

impl Compiler<'_> {
    /// What the step waits for; nothing when it does not.
    pub(super) fn waits(&mut self, spec: &StepSpec, info: &ActionInfo, polling: Option<Polling>) -> Option<Waits> {
        let (topics, kinds) = match &info.waits {
            Some(waits) => (Some(vec![declared(waits)]), vec![waits.kind.to_owned()]),
            None if info.name == WAIT_FOR_EVENT => (self.topics(spec), named_kinds(spec)),
            // No event ends it, but the run that it starts.
            None if info.name == RUN_WORKFLOW => (Some(Vec::new()), Vec::new()),
            None => {
                self.waits_for_nothing(spec);
                return None;
            }
        };
        let at = Spot::of_step(&spec.name, "deadline");
        let Some(text) = &spec.deadline else {
            let what = if spec.action == RUN_WORKFLOW {
                "how long the run may take"
            } else {
                "until when it may be called back"
            };
            self.wrong(&at, format!("`{}` needs this: {what}", spec.action));
            return None;
        };
        let deadline = self.span(&at, text);
        if deadline.is_zero() && parse_span(text).is_some() {
            self.wrong(&at, "must be longer than nothing");
        }
        let on_timeout = spec.on_timeout.clone().unwrap_or_else(|| spec.on_failure.clone());
        Some(Waits { kinds, topics: topics?, deadline, on_timeout, polling })
    }

    fn waits_for_nothing(&mut self, spec: &StepSpec) {
        for (key, is_given) in [("deadline", spec.deadline.is_some()), ("on_timeout", spec.on_timeout.is_some())] {
            if is_given {
                let reason = format!("`{}` is not called back; `timeout` is what an attempt may take", spec.action);
                self.wrong(&Spot::of_step(&spec.name, key), reason);
            }
        }
    }

    /// What `wait_for_event` waits for is known when it is loaded, so that nothing of it is let pass. Of several types
    /// of events the first that comes is its callback.
    fn topics(&mut self, spec: &StepSpec) -> Option<Vec<Topic>> {
        let mut written = |name: &str| {
            let texts = texts(spec.with.get(name)?);
            let is_template = texts.iter().any(|text| text != ANY && (text.contains("{{") || text.contains("{%")));
            if is_template {
                let spot = Spot::of_step(&spec.name, &format!("with.{name}"));
                self.wrong(&spot, "must be written out: what is waited for is known before any run");
            }
            (!is_template).then_some(texts)
        };
        let (source, events, actions) = (written("source"), written("event"), written("actions"));
        let is_text = |value: &Json| value.as_str().is_some_and(|text| !text.is_empty());
        let are_texts = |value: &Json| value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_text));
        if spec.with.get("source").is_some_and(|value| !value.is_string()) {
            self.wrong(&Spot::of_step(&spec.name, "with.source"), "must be a text in quotes");
        }
        if spec.with.get("event").is_some_and(|value| !is_text(value) && !are_texts(value)) {
            self.wrong(&Spot::of_step(&spec.name, "with.event"), "must be a text in quotes, or a list of such");
        }
        let actions: Vec<String> = actions.unwrap_or_default().into_iter().filter(|action| action != ANY).collect();
        let source = source?.into_iter().next()?;
        let topic = |event| Topic { source: source.clone(), event, actions: actions.clone() };
        Some(events?.into_iter().map(topic).collect())
    }
}

fn declared(waits: &WaitInfo) -> Topic {
    let WaitInfo { source, event, actions, .. } = waits;
    let actions = actions.iter().map(|action| (*action).to_owned()).collect();
    Topic { source: (*source).to_owned(), event: (*event).to_owned(), actions }
}

/// The kinds of the keys that a step names itself, as far as they are written out.
fn named_kinds(spec: &StepSpec) -> Vec<String> {
    let keys = spec.with.get("key").map(texts).unwrap_or_default();
    let kind = |key: &String| {
        let written = key.split("{{").next().unwrap_or_default();
        (written.matches(':').count() >= 2).then(|| kind_of(written).to_owned())
    };
    keys.iter().filter_map(kind).collect()
}

fn texts(value: &Json) -> Vec<String> {
    match value {
        Json::String(text) => vec![text.clone()],
        Json::Array(texts) => texts.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
