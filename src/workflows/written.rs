//! Definitions as files hold them, and where in them something stands.

use std::collections::BTreeMap;

use pointsman_actors::router::routes::{RouteError, RouteSpec};
use pointsman_actors::workflow::definition::DefinitionError;
use pointsman_actors::workflow::spec::WorkflowSpec;
use serde::Deserialize;

use crate::config::DefinitionFile;
use crate::config::place::{Places, Way, line_at, reason_of};

/// What a file may hold. The configuration holds other things as well.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    workflows: BTreeMap<String, WorkflowSpec>,
    #[serde(default)]
    routes: Vec<RouteSpec>,
}

/// All workflows and routes, and where each was written.
#[derive(Default)]
pub struct Written {
    /// The workflows by name.
    pub workflows: BTreeMap<String, WorkflowSpec>,
    /// The routes; a later one replaces an earlier one of the same name.
    pub routes: Vec<RouteSpec>,
    files: Vec<DefinitionFile>,
    /// By name: the file that has it, and whether another may replace it.
    workflow_in: BTreeMap<String, (usize, bool)>,
    route_in: BTreeMap<String, (usize, bool)>,
}

impl Written {
    /// Adds what a file holds. What two files of the user both have is refused: nobody knows which counts.
    pub fn add(&mut self, file: &DefinitionFile) -> Result<(), Vec<String>> {
        let read: File = toml::from_str(&file.text).map_err(|error| {
            let line = error.span().map(|span| line_at(&file.text, span.start));
            let line = line.map_or_else(String::new, |line| format!(", line {line}"));
            vec![format!("{}{line}: {}", file.name, reason_of(&file.text, &error))]
        })?;
        let number = self.files.len();
        self.files.push(file.clone());
        let mut twice = Vec::new();
        for (name, workflow) in read.workflows {
            if let Some((before, false)) = self.workflow_in.insert(name.clone(), (number, false)) {
                twice.push(format!("{}: the workflow `{name}` is in {} already", file.name, self.name_of(before)));
            }
            self.workflows.insert(name, workflow);
        }
        for route in read.routes {
            if let Some((before, false)) = self.route_in.insert(route.name.clone(), (number, false)) {
                let name = &route.name;
                twice.push(format!("{}: the route `{name}` is in {} already", file.name, self.name_of(before)));
            }
            self.routes.push(route);
        }
        if twice.is_empty() { Ok(()) } else { Err(twice) }
    }

    /// What was added so far may be replaced by name.
    pub fn replaceable(&mut self) {
        for (_, replaceable) in self.workflow_in.values_mut().chain(self.route_in.values_mut()) {
            *replaceable = true;
        }
    }

    /// What is wrong with a workflow, with its place.
    pub fn place_of_workflow(&self, error: &DefinitionError) -> String {
        let mut way = vec![Way::Key("workflows"), Way::Key(&error.workflow)];
        if let Some(step) = &error.spot.step {
            way.extend([Way::Key("steps"), Way::Named(step)]);
        }
        way.extend(error.spot.key.split('.').map(Way::Key));
        self.place(self.workflow_in.get(&error.workflow), &way, error)
    }

    /// What is wrong with a route, with its place.
    pub fn place_of_route(&self, error: &RouteError) -> String {
        let mut way = vec![Way::Key("routes"), Way::Named(&error.route)];
        way.extend(error.key.split('.').map(Way::Key));
        self.place(self.route_in.get(&error.route), &way, error)
    }

    fn place(&self, of: Option<&(usize, bool)>, way: &[Way<'_>], error: &dyn std::fmt::Display) -> String {
        let file = of.and_then(|(number, _)| self.files.get(*number));
        let line = file.and_then(|file| Places::of(&file.name, &file.text).line(way));
        match (file, line) {
            (Some(file), Some(line)) => format!("{}, line {line}: {error}", file.name),
            (Some(file), None) => format!("{}: {error}", file.name),
            (None, _) => error.to_string(),
        }
    }

    fn name_of(&self, file: usize) -> &str {
        self.files.get(file).map_or("another file", |file| &file.name)
    }
}
