//! The built-in workflows and routes: TOML, embedded. A configuration adds its own, or replaces one by
//! using its name.

mod written;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use pointsman_actors::executor::port::Actions;
use pointsman_actors::router::actor::Rules;
use pointsman_actors::router::routes::{RouteError, RouteSpec, RouteTable, Surroundings};
use pointsman_actors::router::routing::Availability;
use pointsman_actors::wait::record::Topic;
use pointsman_actors::workflow::catalog::Catalog;
use pointsman_actors::workflow::definition::{DELAY, Definition, DefinitionError, Spot, WAIT_FOR_EVENT};
use pointsman_actors::workflow::spec::WorkflowSpec;

use crate::config::settings::Pauses;
use crate::config::{DefinitionFile, Loaded};
use crate::sources;
use sha2::{Digest, Sha256};
use written::Written;

/// The built-in definitions, a file for each workflow with its routes.
const BUILT_IN: [(&str, &str); 16] = [
    ("pr_validation.toml", include_str!("pr_validation.toml")),
    ("pr_revalidation.toml", include_str!("pr_revalidation.toml")),
    ("pr_merged.toml", include_str!("pr_merged.toml")),
    ("workflow_failure.toml", include_str!("workflow_failure.toml")),
    ("codegen_review.toml", include_str!("codegen_review.toml")),
    ("codegen_push.toml", include_str!("codegen_push.toml")),
    ("codegen_mention.toml", include_str!("codegen_mention.toml")),
    ("codegen_task.toml", include_str!("codegen_task.toml")),
    ("codegen_assigned.toml", include_str!("codegen_assigned.toml")),
    ("codegen_unassigned.toml", include_str!("codegen_unassigned.toml")),
    ("codegen_requirements_updated.toml", include_str!("codegen_requirements_updated.toml")),
    ("codegen_cleanup.toml", include_str!("codegen_cleanup.toml")),
    ("issue_completed.toml", include_str!("issue_completed.toml")),
    ("linear_agent_session.toml", include_str!("linear_agent_session.toml")),
    ("linear_agent_task.toml", include_str!("linear_agent_task.toml")),
    ("linear_agent_stop.toml", include_str!("linear_agent_stop.toml")),
];

/// What can be started, and what starts it.
pub struct Compiled {
    /// The workflows.
    pub catalog: Catalog,
    /// The routes to them.
    pub rules: Rules,
    /// By `workflows.<name>` and `routes.<name>`: what tells a version of it from another.
    pub fingerprints: BTreeMap<String, String>,
}

impl Compiled {
    /// The workflows that cannot be started as this process is configured, a line for each reason.
    pub fn unavailable(&self) -> impl Iterator<Item = String> {
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, availability) in &self.rules.workflows {
            if let Availability::Unavailable { reason } = availability {
                by_reason.entry(reason).or_default().push(name);
            }
        }
        let line = |(reason, mut names): (&str, Vec<&str>)| {
            names.sort_unstable();
            format!("{reason}; until then these workflows are unavailable: {}", names.join(", "))
        };
        by_reason.into_iter().map(line).collect::<Vec<_>>().into_iter()
    }
}

/// Compiles what is built in together with what the configuration's files say. All that is wrong is reported
/// at once, by file and line.
pub fn compile(loaded: &Loaded, actions: &Actions) -> anyhow::Result<Compiled> {
    let mut written = built_in(loaded)?;
    for file in &loaded.definitions {
        written.add(file).map_err(|errors| all_of(errors.iter())).context("the definitions cannot be used")?;
    }
    let Written { workflows, routes, .. } = &written;
    let catalog = Catalog::compile(workflows.clone(), &loaded.settings.workflow_defaults, actions)
        .map_err(|errors| all_of(errors.iter().map(|error| written.place_of_workflow(error))))
        .context("the workflows cannot be used")?;
    let deaf: Vec<DefinitionError> =
        catalog.all().flat_map(|definition| hears_nothing(definition, &loaded.settings.sources)).collect();
    if !deaf.is_empty() {
        let errors = all_of(deaf.iter().map(|error| written.place_of_workflow(error)));
        return Err(errors).context("the workflows cannot be used");
    }
    let sources: Vec<&str> = loaded.settings.sources.iter().map(String::as_str).collect();
    let surroundings = Surroundings {
        sources: &sources,
        inputs_of: &|name| catalog.get(name).map(|definition| &definition.inputs),
        default_priority: loaded.settings.default_priority,
        settings: loaded.settings.seen_by_routes.clone(),
    };
    let never = never_taken(routes);
    let compiled = RouteTable::compile(routes.clone(), &surroundings);
    let routes = if never.is_empty() { compiled } else { Err(never) }
        .map_err(|errors| all_of(errors.iter().map(|error| written.place_of_route(error))))
        .context("the routes cannot be used")?;
    let rules = Rules { routes, workflows: catalog.availability(actions), topics: catalog.topics() };
    let fingerprints = fingerprints(&catalog, written.routes.iter());
    Ok(Compiled { catalog, rules, fingerprints })
}

/// Digits of a hash that tell people one version from another.
const SHOWN_DIGITS: usize = 12;

fn fingerprints<'a>(catalog: &Catalog, routes: impl Iterator<Item = &'a RouteSpec>) -> BTreeMap<String, String> {
    let shown = |hash: &str| hash.chars().take(SHOWN_DIGITS).collect::<String>();
    let workflows = catalog.all().map(|it| (format!("workflows.{}", it.name), shown(&it.hash)));
    let routes = routes.map(|route| {
        let hash = hex::encode(Sha256::digest(format!("{route:?}")));
        (format!("routes.{}", route.name), shown(&hash))
    });
    workflows.chain(routes).collect()
}

/// Steps that wait for what no event can be.
fn hears_nothing(definition: &Definition, sources: &[String]) -> impl Iterator<Item = DefinitionError> {
    let waiting = definition.steps.iter().filter(|step| step.action == WAIT_FOR_EVENT);
    let waiting = waiting.filter_map(|step| Some((step, step.waits.as_ref()?)));
    waiting.filter_map(|(step, waits)| {
        let (key, reason) = waits.topics.iter().find_map(|topic| cannot_be(topic, &waits.kinds, sources))?;
        let (workflow, spot) = (definition.name.clone(), Spot::of_step(&step.name, key));
        Some(DefinitionError { workflow, spot, reason })
    })
}

/// Why no event of the topic has keys of these kinds, with the key of the definition that is wrong.
fn cannot_be(
    Topic { source, event, .. }: &Topic,
    kinds: &[String],
    sources: &[String],
) -> Option<(&'static str, String)> {
    let Some((_, known)) = sources::KEY_KINDS.iter().find(|(name, _)| *name == source) else {
        if sources.contains(source) {
            let is_own = |kind: &&String| *kind == source || kind.starts_with(&format!("{source}:"));
            let unknown = kinds.iter().find(|kind| !is_own(kind))?;
            return Some((
                "with.key",
                format!("keys of events of {source} begin with `{source}:`, not with `{unknown}:`"),
            ));
        }
        let names = sources.join(", ");
        return Some(("with.source", format!("there is no source `{source}`; there are {names}")));
    };
    if let Some(reason) = no_type(event) {
        return Some(("with.event", reason));
    }
    let unknown = kinds.iter().find(|kind| !known.contains(&kind.as_str()))?;
    let forms: Vec<String> = known.iter().map(|kind| format!("{kind}:…")).collect();
    Some(("with.key", format!("no event of {source} has the key `{unknown}:…`; they have {}", forms.join(", "))))
}

/// Why no event has this type, if none can: hooks of Claude Code are named in its settings with capitals.
fn no_type(event: &str) -> Option<String> {
    let name = sources::type_of_hook(event);
    (name != event).then(|| format!("no event has the type `{event}`; it is `{name}`"))
}

/// Routes for what no event can be.
fn never_taken(routes: &[RouteSpec]) -> Vec<RouteError> {
    // How a source of the user's own names its types is not known here.
    let built_in = routes.iter().filter(|route| sources::NAMES.contains(&route.source.as_str()));
    let wrong = built_in.filter_map(|route| Some((route.name.clone(), no_type(&route.event)?)));
    wrong.map(|(route, reason)| RouteError { route, key: "event".to_owned(), reason }).collect()
}

fn built_in(loaded: &Loaded) -> anyhow::Result<Written> {
    let mut written = Written::default();
    for (name, text) in BUILT_IN {
        let file = DefinitionFile { name: format!("(built in) {name}"), text: text.to_owned() };
        written.add(&file).map_err(|errors| all_of(errors.iter()))?;
    }
    written.replaceable();
    let Pauses { validation, failure, push, requirements } = loaded.settings.pauses;
    for (name, workflow) in &mut written.workflows {
        match name.as_str() {
            "pr_validation" | "pr_revalidation" => set_delay(workflow, validation),
            "workflow_failure" => set_delay(workflow, failure),
            "codegen_push" => set_quiet(workflow, push),
            "codegen_requirements_updated" => set_quiet(workflow, requirements),
            _ => {}
        }
    }
    Ok(written)
}

fn set_quiet(workflow: &mut WorkflowSpec, quiet: Duration) {
    if quiet.is_zero() {
        workflow.debounce = None;
    } else if let Some(debounce) = &mut workflow.debounce {
        debounce.quiet = written_out(quiet);
    }
}

fn written_out(span: Duration) -> String {
    format!("{}ms", span.as_millis())
}

fn set_delay(workflow: &mut WorkflowSpec, delay: Duration) {
    let delay = written_out(delay);
    for step in workflow.steps.iter_mut().filter(|step| step.action == DELAY) {
        step.with.insert("duration".to_owned(), delay.clone().into());
    }
}

fn all_of<T: ToString>(errors: impl Iterator<Item = T>) -> anyhow::Error {
    anyhow!(errors.map(|error| error.to_string()).collect::<Vec<_>>().join("\n"))
}
