//! The built-in workflows and routes: TOML, embedded. A configuration adds its own, or replaces one by
//! using its name.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use pointsman_actors::executor::port::Actions;
use pointsman_actors::router::actor::Rules;
use pointsman_actors::router::routes::{RouteSpec, RouteTable};
use pointsman_actors::router::routing::Availability;
use pointsman_actors::workflow::catalog::Catalog;
use pointsman_actors::workflow::definition::DELAY;
use pointsman_actors::workflow::spec::WorkflowSpec;
use serde::Deserialize;

use crate::config::Loaded;

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
    for (index, route) in loaded.merged.routes.iter().enumerate() {
        let spec = route.clone().try_into::<RouteSpec>();
        routes.push(spec.with_context(|| format!("routes, number {} of the file", index + 1))?);
    }
    let catalog = Catalog::compile(workflows, &loaded.settings.workflow_defaults, actions)
        .map_err(|errors| all_of(&errors))
        .context("the workflows cannot be used")?;
    let routes = RouteTable::compile(routes, &|name| catalog.get(name).is_some())
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
