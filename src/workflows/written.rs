//! Definitions as files hold them, and where in them something stands.

use std::collections::BTreeMap;

use pointsman_actors::router::routes::{RouteError, RouteSpec};
use pointsman_actors::workflow::definition::DefinitionError;
use pointsman_actors::workflow::spec::WorkflowSpec;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::DefinitionFile;
use crate::config::merged::line_at;

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

/// A step on the way to a value of a file.
enum Way<'a> {
    Key(&'a str),
    /// The table of a list whose `name` is this.
    Named(&'a str),
}

impl Written {
    /// Adds what a file holds. What two files of the user both have is refused: nobody knows which counts.
    pub fn add(&mut self, file: &DefinitionFile) -> Result<(), Vec<String>> {
        let read: File = toml::from_str(&file.text).map_err(|error| {
            let line = error.span().map(|span| line_at(&file.text, span.start));
            let line = line.map_or_else(String::new, |line| format!(", line {line}"));
            vec![format!("{}{line}: {}", file.name, error.message())]
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
        let line = file.and_then(|file| Some(line_at(&file.text, offset(&file.text, way)?)));
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

/// Where in a file the way leads, as far as there is anything.
fn offset(text: &str, way: &[Way<'_>]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let (mut at, mut found) = (None, Here::Table(document.get_ref()));
    for each in way {
        let Some((start, value)) = found.follow(each) else { break };
        (at, found) = (Some(start), Here::of(value));
    }
    at
}

/// What the way has led to so far.
enum Here<'a> {
    Table(&'a DeTable<'a>),
    List(&'a [Spanned<DeValue<'a>>]),
    Value,
}

impl<'a> Here<'a> {
    fn of(value: &'a DeValue<'a>) -> Self {
        match value {
            DeValue::Table(table) => Self::Table(table),
            DeValue::Array(list) => Self::List(list),
            _ => Self::Value,
        }
    }

    fn follow(&self, way: &Way<'_>) -> Option<(usize, &'a DeValue<'a>)> {
        match (self, way) {
            (Self::Table(table), Way::Key(key)) => {
                let (key, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
                Some((key.span().start, value.get_ref()))
            }
            (Self::List(list), Way::Named(name)) => {
                let value = list.iter().find(|value| is_named(value.get_ref(), name))?;
                Some((value.span().start, value.get_ref()))
            }
            _ => None,
        }
    }
}

fn is_named(value: &DeValue<'_>, wanted: &str) -> bool {
    let DeValue::Table(table) = value else { return false };
    table.iter().any(|(key, value)| {
        key.get_ref() == "name" && matches!(value.get_ref(), DeValue::String(name) if name == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_that_of_the_key_or_of_what_should_have_it() {
        let text = "[workflows.w]\ntimeout = \"5m\"\n\n[[workflows.w.steps]]\nname = \"a\"\naction = \"x\"\n\n\
                    [[workflows.w.steps]]\nname = \"b\"\nwith = { text = \"y\" }\n\n[[routes]]\nname = \"r\"\nwhen = \"z\"\n";
        let check = |way: &[Way<'_>], expect: usize| {
            assert_eq!(offset(text, way).map(|at| line_at(text, at)), Some(expect));
        };
        let workflow = || vec![Way::Key("workflows"), Way::Key("w")];
        let step = |name| [workflow(), vec![Way::Key("steps"), Way::Named(name)]].concat_ways();
        check(&[workflow(), vec![Way::Key("timeout")]].concat_ways(), 2);
        check(&[step("a"), vec![Way::Key("action")]].concat_ways(), 6);
        check(&[step("b"), vec![Way::Key("with"), Way::Key("text")]].concat_ways(), 10);
        check(&[step("b"), vec![Way::Key("retry"), Way::Key("max_attempts")]].concat_ways(), 8);
        check(&[Way::Key("routes"), Way::Named("r"), Way::Key("when")], 14);
        assert_eq!(offset("not toml", &workflow()), None);
    }

    trait ConcatWays<'a> {
        fn concat_ways(self) -> Vec<Way<'a>>;
    }

    impl<'a> ConcatWays<'a> for [Vec<Way<'a>>; 2] {
        fn concat_ways(self) -> Vec<Way<'a>> {
            self.into_iter().flatten().collect()
        }
    }
}
