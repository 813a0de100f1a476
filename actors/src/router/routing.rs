//! Decides what an event starts. Pure: the same event and routes give the same answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::routes::RouteTable;
use super::variables::Variables;
use crate::event::{EventMeta, Verdict};
use crate::expression::ExpressionError;
use crate::ids::RunId;
use crate::run::{RunRecord, SeenEvent};
use crate::time::Timestamp;
use crate::wait::record::Topic;

/// The replay generation of an event that is routed, however often: only a replay has another.
pub const FIRST_ROUTING: u32 = 0;

/// What is known of each workflow when events are routed.
pub type Workflows = HashMap<String, Availability>;

/// Routes and workflows that belong together; replaced as one when they are reloaded.
#[derive(Debug, Default)]
pub struct Rules {
    /// The routes.
    pub routes: RouteTable,
    /// The workflows that they can start.
    pub workflows: Workflows,
    /// What runs of these workflows can wait for.
    pub topics: Vec<Topic>,
}

/// Whether a workflow can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It can; runs pin the content with this hash.
    Available {
        /// Hash of the definition's content.
        definition: String,
        /// Whether its templates read the event.
        reads_event: bool,
        /// How long its runs wait for newer ones that take their place.
        quiet: Option<Duration>,
    },
    /// It cannot, and why.
    Unavailable {
        /// In words.
        reason: String,
    },
}

/// What routing an event gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// What became of the event.
    pub verdict: Verdict,
    /// The runs that it starts.
    pub runs: Vec<RunRecord>,
    /// Whether runs could come to wait for it.
    pub awaited: bool,
}

impl Routed {
    /// Of an event that starts nothing, and for which somebody may wait or not.
    pub fn nothing(verdict: Verdict, awaited: bool) -> Self {
        Self { verdict, runs: Vec::new(), awaited }
    }
}

/// Routes an event at `now`. If a rule fails, the verdict is `pending` and nothing is started: the event
/// is routed again when the rules have changed.
pub fn route(rules: &Rules, meta: &Arc<EventMeta>, payload: &[u8], now: Timestamp) -> Routed {
    route_again(rules, meta, payload, (now, FIRST_ROUTING))
}

/// The same, in this replay generation: runs of another one are other runs.
pub fn route_again(rules: &Rules, meta: &Arc<EventMeta>, payload: &[u8], at: (Timestamp, u32)) -> Routed {
    let EventMeta { source, facts, .. } = meta.as_ref();
    let covers = |topic: &Topic| topic.covers(source.as_str(), &facts.event_type, facts.action.as_deref());
    let awaited = rules.topics.iter().any(covers);
    match plan(&rules.routes, &rules.workflows, meta, payload, at) {
        Ok(plans) => plans.into_routed(meta, awaited),
        Err((route, error)) => {
            let reason = format!("route `{route}` failed: {error}");
            Routed::nothing(Verdict::Pending { reason, waits: Vec::new() }, awaited)
        }
    }
}

/// The event as templates of a run see it.
fn seen_of(meta: &EventMeta) -> SeenEvent {
    let EventMeta { source, received_at, facts, .. } = meta;
    SeenEvent { source: source.clone(), received_at: *received_at, facts: facts.clone() }
}

#[derive(Default)]
struct Plans {
    runs: Vec<RunRecord>,
    unavailable: Vec<String>,
    unmet: Vec<String>,
}

impl Plans {
    fn into_routed(self, meta: &EventMeta, awaited: bool) -> Routed {
        if !self.runs.is_empty() {
            let verdict = Verdict::Started { runs: self.runs.iter().map(|run| run.id).collect(), waits: Vec::new() };
            return Routed { verdict, runs: self.runs, awaited };
        }
        let reason = if !self.unavailable.is_empty() {
            self.unavailable.join("; ")
        } else if !self.unmet.is_empty() {
            format!("the condition does not hold of: {}", self.unmet.join(", "))
        } else {
            format!("no route for {} of {}", kind(meta), meta.source)
        };
        Routed::nothing(Verdict::Unrouted { reason }, awaited)
    }
}

/// The event's type with its action, as `events` lists and reasons write it.
fn kind(meta: &EventMeta) -> String {
    match &meta.facts.action {
        Some(action) => format!("{}.{action}", meta.facts.event_type),
        None => meta.facts.event_type.clone(),
    }
}

fn plan(
    table: &RouteTable,
    workflows: &Workflows,
    meta: &Arc<EventMeta>,
    payload: &[u8],
    (now, generation): (Timestamp, u32),
) -> Result<Plans, (String, ExpressionError)> {
    let mut plans = Plans::default();
    let variables = Variables::new(meta, payload, &table.settings);
    for route in table.candidates(meta.source.as_str(), &meta.facts) {
        let failed = |error| (route.name.clone(), error);
        let seen = variables.for_route(route);
        if !route.holds(seen).map_err(failed)? {
            plans.unmet.push(route.name.clone());
            continue;
        }
        match workflows.get(&route.workflow) {
            Some(Availability::Available { definition, reads_event, quiet }) => plans.runs.push(RunRecord {
                id: RunId::derive(&route.workflow, meta.id, &route.name, generation),
                workflow: route.workflow.clone(),
                definition: definition.clone(),
                event: meta.id,
                route: route.name.clone(),
                generation,
                priority: route.priority(seen).map_err(failed)?,
                subject: meta.facts.subject.clone(),
                fair_key: meta.facts.fair_key.clone(),
                input: route.input(seen).map_err(failed)?,
                seen: reads_event.then(|| Box::new(seen_of(meta))),
                started_at: now,
                begins_at: quiet.map(|quiet| now.plus(quiet)),
                parent: None,
            }),
            Some(Availability::Unavailable { reason }) => {
                plans.unavailable.push(format!("workflow `{}` is unavailable: {reason}", route.workflow));
            }
            None => plans.unavailable.push(format!("there is no workflow `{}`", route.workflow)),
        }
        if route.exclusive {
            break;
        }
    }
    Ok(plans)
}
