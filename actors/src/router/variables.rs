//! What the expressions of routes see of an event. Each part is made when an expression asks for it:
//! most events are passed over by a condition on one fact, and pay for that one.

use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, Serde};
use minijinja::{Value, context};
use serde_json::Value as Json;

use super::routes::Route;
use crate::event::{EventMeta, Facts};

/// The variables of one event.
pub struct Variables<'a> {
    payload: &'a [u8],
    plain: Value,
    with_payload: OnceLock<Value>,
}

impl<'a> Variables<'a> {
    /// Of this event, with this payload, under these settings.
    pub fn new(meta: &Arc<EventMeta>, payload: &'a [u8], settings: &Value) -> Self {
        let facts = Value::from_object(FactsOf(Arc::clone(meta)));
        let event = Value::from_object(EventOf(Arc::clone(meta)));
        Self { payload, plain: context!(facts, event, settings), with_payload: OnceLock::new() }
    }

    /// What this route sees: the payload is parsed whole only for one that names it.
    pub fn for_route(&self, route: &Route) -> &Value {
        if !route.needs_payload() {
            return &self.plain;
        }
        self.with_payload.get_or_init(|| {
            // What is too deep to be held as a whole is an undefined payload, not a lost event.
            let payload = serde_json::from_slice::<Json>(self.payload)
                .map_or(Value::UNDEFINED, |payload| Value::from(Serde(&payload)));
            context!(payload, ..self.plain.clone())
        })
    }
}

#[derive(Debug)]
struct FactsOf(Arc<EventMeta>);

impl Object for FactsOf {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        fact(&self.0.facts, key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&Facts::NAMES)
    }
}

#[derive(Debug)]
struct EventOf(Arc<EventMeta>);

impl Object for EventOf {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let meta = &self.0;
        match key.as_str()? {
            "id" => Some(meta.id.to_string().into()),
            "source" => Some(meta.source.as_str().into()),
            "type" => Some(meta.facts.event_type.as_str().into()),
            "action" => meta.facts.action.as_deref().map(Value::from),
            "received_at" => Some(meta.received_at.to_rfc3339().into()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["id", "source", "type", "action", "received_at"])
    }
}

/// One fact; `None` for one that the event does not have. Those that conditions ask for most are taken
/// as they are, the others from the facts as they are stored.
fn fact(facts: &Facts, name: &str) -> Option<Value> {
    match name {
        "is_codegen_pr" => Some(facts.is_codegen_pr.into()),
        "draft" => Some(facts.draft.into()),
        "merged" => Some(facts.merged.into()),
        "sender_is_bot" => Some(facts.sender_is_bot.into()),
        "assigned_to_codegen" => Some(facts.assigned_to_codegen.into()),
        "pr_number" => facts.pr_number.map(Value::from),
        "repository" => facts.repository.as_deref().map(Value::from),
        "sender" => facts.sender.as_deref().map(Value::from),
        "title" => facts.title.as_deref().map(Value::from),
        "head_ref" => facts.head_ref.as_deref().map(Value::from),
        "head_sha" => facts.head_sha.as_deref().map(Value::from),
        "conclusion" => facts.conclusion.as_deref().map(Value::from),
        other => Value::from(Serde(facts)).get_attr(other).ok().filter(|value| !value.is_undefined()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_is_seen_as_it_is_stored() {
        let facts = Facts::example();
        let stored = serde_json::to_value(&facts).unwrap();
        for name in Facts::NAMES {
            let seen = serde_json::to_value(fact(&facts, name).unwrap()).unwrap();
            assert_eq!(Some(&seen), stored.get(name), "{name}");
        }
        assert!(fact(&Facts::default(), "title").is_none() && fact(&facts, "titel").is_none());
    }
}
