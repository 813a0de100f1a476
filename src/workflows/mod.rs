//! The built-in workflows and routes: TOML, embedded. A configuration adds its own, or replaces one by
//! using its name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, anyhow};
use pointsman_actors::executor::port::Actions;
use pointsman_actors::router::actor::Rules;
use pointsman_actors::router::routes::{RouteSpec, RouteTable, Surroundings};
use pointsman_actors::router::routing::Availability;
use pointsman_actors::workflow::catalog::Catalog;
use pointsman_actors::workflow::definition::DELAY;
use pointsman_actors::workflow::spec::WorkflowSpec;
use serde::Deserialize;

use crate::config::Loaded;
use crate::sources;

/// The built-in definitions, a file for each workflow with its routes.
const BUILT_IN: [&str; 1] = [include_str!("pr_validation.toml")];

/// The workflow whose pause has a setting of its own.
const PR_VALIDATION: &str = "pr_validation";
/// The route that has a switch of its own.
const CODEGEN_PR_OPENED: &str = "codegen-pr-opened";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    workflows: BTreeMap<String, WorkflowSpec>,
    routes: Vec<RouteSpec>,
}

/// What can be started, and what starts it.
pub struct Compiled {
    /// The workflows.
    pub catalog: Catalog,
    /// The routes to them.
    pub rules: Rules,
}

impl Compiled {
    /// The workflows that cannot be started as this process is configured, with the reason.
    pub fn unavailable(&self) -> impl Iterator<Item = String> {
        let reasons = self.rules.workflows.iter().filter_map(|(name, availability)| match availability {
            Availability::Unavailable { reason } => Some(format!("workflow `{name}` is unavailable: {reason}")),
            Availability::Available { .. } => None,
        });
        let mut sorted: Vec<String> = reasons.collect();
        sorted.sort();
        sorted.into_iter()
    }
}

/// Compiles what is built in together with what the configuration says. All that is wrong is reported
/// at once.
pub fn compile(loaded: &Loaded, actions: &Actions) -> anyhow::Result<Compiled> {
    let (mut workflows, mut routes) = built_in(loaded)?;
    for (name, workflow) in &loaded.merged.workflows {
        let spec = workflow.clone().try_into::<WorkflowSpec>().with_context(|| format!("workflows.{name}"))?;
        workflows.insert(name.clone(), spec);
    }
    let mut named = BTreeSet::new();
    for (index, route) in loaded.merged.routes.iter().enumerate() {
        let spec = route.clone().try_into::<RouteSpec>();
        let spec = spec.with_context(|| format!("routes, number {} of the file", index + 1))?;
        if !named.insert(spec.name.clone()) {
            return Err(anyhow!("routes: two routes of the file are called `{}`; give each its own name", spec.name));
        }
        routes.push(spec);
    }
    let catalog = Catalog::compile(workflows, &loaded.settings.workflow_defaults, actions)
        .map_err(|errors| all_of(&errors))
        .context("the workflows cannot be used")?;
    let surroundings = Surroundings {
        sources: &sources::NAMES,
        inputs_of: &|name| catalog.get(name).map(|definition| &definition.inputs),
        default_priority: loaded.settings.default_priority,
    };
    let routes = RouteTable::compile(routes, &surroundings)
        .map_err(|errors| all_of(&errors))
        .context("the routes cannot be used")?;
    let rules = Rules { routes, workflows: catalog.availability(actions) };
    Ok(Compiled { catalog, rules })
}

fn built_in(loaded: &Loaded) -> anyhow::Result<(BTreeMap<String, WorkflowSpec>, Vec<RouteSpec>)> {
    let (mut workflows, mut routes) = (BTreeMap::new(), Vec::new());
    for text in BUILT_IN {
        let file: File = toml::from_str(text).context("a built-in definition")?;
        workflows.extend(file.workflows);
        routes.extend(file.routes);
    }
    if let Some(workflow) = workflows.get_mut(PR_VALIDATION) {
        set_delay(workflow, loaded.settings.pr_validation_delay);
    }
    for route in routes.iter_mut().filter(|route| route.name == CODEGEN_PR_OPENED) {
        route.enabled = loaded.settings.auto_validation;
    }
    Ok((workflows, routes))
}

fn set_delay(workflow: &mut WorkflowSpec, delay: Duration) {
    let delay = format!("{}ms", delay.as_millis());
    for step in workflow.steps.iter_mut().filter(|step| step.action == DELAY) {
        step.with.insert("duration".to_owned(), delay.clone().into());
    }
}

fn all_of(errors: &[impl ToString]) -> anyhow::Error {
    anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
