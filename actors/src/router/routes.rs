//! Routes as data: which events start which workflow, compiled and checked when they are loaded.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use minijinja::Value;
use minijinja::value::Serde;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::event::Facts;
use crate::expression::{Expression, ExpressionError};

/// A route as it is written in TOML.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Its name; a user's route replaces a built-in one of the same name.
    pub name: String,
    /// Events of this source.
    pub source: String,
    /// Of this type.
    pub event: String,
    /// With one of these actions; empty for any, and for types without action.
    #[serde(default)]
    pub actions: Vec<String>,
    /// A condition on `facts`, `event` and, if need be, `payload`.
    #[serde(default)]
    pub when: Option<String>,
    /// The workflow that it starts.
    pub workflow: String,
    /// 1 (last) to 10 (first), or an expression for it.
    #[serde(default)]
    pub priority: Option<Priority>,
    /// Whether no route after this one is asked when this one matches.
    #[serde(default)]
    pub exclusive: bool,
    /// Whether it is on; `enabled = false` switches a built-in route off.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The run's input: a name and the expression of its value.
    #[serde(default)]
    pub input: BTreeMap<String, String>,
}

/// A priority as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Priority {
    /// A number from 1 to 10.
    Fixed(u8),
    /// An expression that gives one.
    Expression(String),
}

fn yes() -> bool {
    true
}

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    pub(super) name: String,
    pub(super) workflow: String,
    pub(super) exclusive: bool,
    actions: Vec<String>,
    when: Option<Expression>,
    priority: CompiledPriority,
    input: Vec<(String, Expression)>,
    needs_payload: bool,
}

#[derive(Debug)]
enum CompiledPriority {
    Fixed(u8),
    Expression {
        value: Expression,
        /// When it gives no number.
        otherwise: u8,
    },
}

impl CompiledPriority {
    /// What orders the routes among each other: the highest that it can be.
    fn rank(&self) -> u8 {
        match self {
            Self::Fixed(priority) => *priority,
            Self::Expression { .. } => 10,
        }
    }
}

/// What is wrong with a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route `{route}`, {key}: {reason}")]
pub struct RouteError {
    /// The route.
    pub route: String,
    /// The key of it, with dots.
    pub key: String,
    /// Why it cannot be used.
    pub reason: String,
}

/// What routes can be between, and what a route that does not say has.
pub struct Surroundings<'a> {
    /// The sources that there are, on or off.
    pub sources: &'a [&'a str],
    /// What a workflow reads of its input; `None` when there is no such workflow.
    pub inputs_of: &'a dyn Fn(&str) -> Option<&'a BTreeSet<String>>,
    /// The priority of a route that names none, 1 to 10.
    pub default_priority: u8,
    /// What expressions see as `settings`: an object of objects.
    pub settings: Json,
}

/// All routes, found by source and type.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// By source and type, first to be asked first.
    routes: HashMap<(String, String), Vec<Route>>,
    /// What expressions see as `settings`.
    pub(super) settings: Value,
}

impl RouteTable {
    /// Compiles `specs`; a later one replaces an earlier one of the same name. All that is wrong is
    /// reported at once.
    pub fn compile(specs: Vec<RouteSpec>, surroundings: &Surroundings<'_>) -> Result<Self, Vec<RouteError>> {
        let (mut table, mut errors) = (HashMap::<_, Vec<Route>>::new(), Vec::new());
        for spec in last_of_each_name(specs).into_iter().filter(|spec| spec.enabled) {
            let key = (spec.source.clone(), spec.event.clone());
            match compile(spec, surroundings) {
                Ok(route) => table.entry(key).or_default().push(route),
                Err(error) => errors.push(error),
            }
        }
        for routes in table.values_mut() {
            routes.sort_by_key(|route| std::cmp::Reverse(route.priority.rank()));
        }
        let settings = Value::from(Serde(&surroundings.settings));
        if errors.is_empty() { Ok(Self { routes: table, settings }) } else { Err(errors) }
    }

    /// Every route, in a line each, by name.
    pub fn listing(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let widest = self.routes.values().flatten().map(|route| route.name.len()).max().unwrap_or_default();
        for ((source, event), routes) in &self.routes {
            lines.extend(routes.iter().map(|route| {
                let actions =
                    if route.actions.is_empty() { String::new() } else { format!(".{}", route.actions.join("|")) };
                format!("{:<widest$} {source} {event}{actions} → {}", route.name, route.workflow)
            }));
        }
        lines.sort();
        lines
    }

    /// The routes for an event of this kind, first to be asked first, whatever their conditions say.
    pub fn candidates(&self, source: &str, facts: &Facts) -> impl Iterator<Item = &Route> {
        let routes = self.routes.get(&(source.to_owned(), facts.event_type.clone()));
        let action = facts.action.clone().unwrap_or_default();
        routes.into_iter().flatten().filter(move |route| route.actions.is_empty() || route.actions.contains(&action))
    }
}

impl Route {
    /// Whether one of its expressions names the payload, which is then parsed whole.
    pub fn needs_payload(&self) -> bool {
        self.needs_payload
    }

    /// Whether its condition holds.
    pub fn holds(&self, variables: &Value) -> Result<bool, ExpressionError> {
        self.when.as_ref().map_or(Ok(true), |when| Ok(when.evaluate(variables)?.is_true()))
    }

    /// The priority of the run, 1 to 10.
    pub fn priority(&self, variables: &Value) -> Result<u8, ExpressionError> {
        match &self.priority {
            CompiledPriority::Fixed(priority) => Ok(*priority),
            CompiledPriority::Expression { value, otherwise } => {
                let value = value.evaluate_to_json(variables)?.as_f64().unwrap_or(f64::from(*otherwise));
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1–10 before")]
                Ok(value.clamp(1.0, 10.0) as u8)
            }
        }
    }

    /// The run's input.
    pub fn input(&self, variables: &Value) -> Result<serde_json::Map<String, serde_json::Value>, ExpressionError> {
        self.input.iter().map(|(name, value)| Ok((name.clone(), value.evaluate_to_json(variables)?))).collect()
    }
}

impl Surroundings<'_> {
    /// What they do not have that this route needs: the key of it, and why.
    fn lack(&self, route: &RouteSpec) -> Option<(&'static str, String)> {
        let (source, workflow) = (route.source.as_str(), route.workflow.as_str());
        if !self.sources.contains(&source) {
            return Some(("source", format!("there is no source `{source}`; there are {}", self.sources.join(", "))));
        }
        let Some(inputs) = (self.inputs_of)(workflow) else {
            return Some(("workflow", format!("there is no workflow `{workflow}`")));
        };
        let missing = inputs.iter().find(|name| !route.input.contains_key(*name))?;
        let reason = format!(
            "workflow `{workflow}` reads `input.{missing}`, which this route does not give; add `{missing} = \"…\"`, if need be `\"none\"`"
        );
        Some(("input", reason))
    }
}

fn last_of_each_name(specs: Vec<RouteSpec>) -> Vec<RouteSpec> {
    let mut kept: Vec<RouteSpec> = Vec::new();
    for spec in specs {
        match kept.iter_mut().find(|earlier| earlier.name == spec.name) {
            Some(earlier) => *earlier = spec,
            None => kept.push(spec),
        }
    }
    kept
}

fn compile(spec: RouteSpec, surroundings: &Surroundings<'_>) -> Result<Route, RouteError> {
    let wrong = |key: &str, reason: String| RouteError { route: spec.name.clone(), key: key.to_owned(), reason };
    let known = |name: &str| is_variable(name, &surroundings.settings);
    let expression =
        |key: &str, text: &str| Expression::compile(text, &known).map_err(|error| wrong(key, error.to_string()));
    if let Some((key, reason)) = surroundings.lack(&spec) {
        return Err(wrong(key, reason));
    }
    let default_priority = surroundings.default_priority;
    let when = spec.when.as_deref().map(|text| expression("when", text)).transpose()?;
    let priority = match &spec.priority {
        None => CompiledPriority::Fixed(default_priority),
        Some(Priority::Fixed(number @ 1..=10)) => CompiledPriority::Fixed(*number),
        Some(Priority::Fixed(number)) => return Err(wrong("priority", format!("{number} is not within 1 and 10"))),
        Some(Priority::Expression(text)) => {
            CompiledPriority::Expression { value: expression("priority", text)?, otherwise: default_priority }
        }
    };
    let input = spec
        .input
        .iter()
        .map(|(name, text)| Ok((name.clone(), expression(&format!("input.{name}"), text)?)))
        .collect::<Result<Vec<_>, RouteError>>()?;
    let of_priority = match &priority {
        CompiledPriority::Expression { value, .. } => Some(value),
        CompiledPriority::Fixed(_) => None,
    };
    let needs_payload = when
        .iter()
        .chain(of_priority)
        .chain(input.iter().map(|(_, value)| value))
        .any(|expression| expression.names("payload"));
    Ok(Route {
        name: spec.name,
        workflow: spec.workflow,
        exclusive: spec.exclusive,
        actions: spec.actions,
        when,
        priority,
        input,
        needs_payload,
    })
}

/// The variables of a route's expressions: `event`, `payload` and what is in them, the facts, and settings.
fn is_variable(name: &str, settings: &Json) -> bool {
    if let Some(setting) = name.strip_prefix("settings.") {
        return settings.pointer(&format!("/{}", setting.replace('.', "/"))).is_some();
    }
    let mut parts = name.split('.');
    match (parts.next(), parts.next()) {
        (Some("payload" | "facts"), None) | (Some("payload"), Some(_)) => true,
        (Some("event"), Some("id" | "source" | "type" | "action" | "received_at")) => true,
        (Some("facts"), Some(fact)) => Facts::NAMES.contains(&fact),
        _ => BUILT_IN_FUNCTIONS.contains(&name),
    }
}

/// Functions of the language that look like variables to its parser.
pub(crate) const BUILT_IN_FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
