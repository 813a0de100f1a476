//! Every call held against GitHub's own OpenAPI description, as far as that speaks of requests. `scripts/test` fetches it from
//! npm (`scripts/lib/github_openapi.py` takes out what is needed); where it is not, calls are not held against it.
//!
//! What the description lacks, or has otherwise than GitHub: only `application/json` is named as a media type, and a slash within a
//! part of a path is `%2F`.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value as Json;

use super::decoded;
use crate::server::Request;

/// Where the description lies.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/fixtures/github-requests.json");

/// An operation of the API.
#[derive(Deserialize)]
struct Operation {
    method: String,
    path: String,
    parameters: Vec<Parameter>,
    body: Option<Body>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    #[serde(rename = "in")]
    place: String,
    required: bool,
    schema: Json,
}

#[derive(Deserialize)]
struct Body {
    required: bool,
    schema: Json,
}

/// All operations; nothing where the description is not.
fn operations() -> Option<&'static [Operation]> {
    static OPERATIONS: OnceLock<Option<Vec<Operation>>> = OnceLock::new();
    let read = || serde_json::from_str(&std::fs::read_to_string(FILE).ok()?).ok();
    OPERATIONS.get_or_init(read).as_deref()
}

/// Whether calls are held against the description.
pub fn is_there() -> bool {
    operations().is_some()
}

/// The operation that a call is, such as `GET /repos/{owner}/{repo}`.
pub fn operation(method: &str, path: &str) -> Option<String> {
    let found = find(operations()?, method, path)?;
    Some(format!("{} {}", found.method, found.path))
}

/// What is wrong with a call.
pub fn problems(request: &Request) -> Vec<String> {
    let Some(operations) = operations() else { return Vec::new() };
    match find(operations, &request.method, &request.path) {
        None => vec![format!("there is no operation {} {}", request.method, request.path)],
        Some(operation) => operation.problems(request),
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> + Clone {
    path.split('?').next().unwrap_or_default().trim_start_matches('/').split('/')
}

/// The name in `{name}`.
fn name_in(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

fn find<'a>(operations: &'a [Operation], method: &str, path: &str) -> Option<&'a Operation> {
    let fits = |operation: &&Operation| {
        let (known, asked) = (parts(&operation.path), parts(path));
        let same = |(known, asked): (&str, &str)| name_in(known).map_or(known == asked, |_| !asked.is_empty());
        operation.method == method && known.clone().count() == asked.clone().count() && known.zip(asked).all(same)
    };
    // What is written out says more than what may be anything.
    let written = |operation: &&Operation| parts(&operation.path).filter(|part| name_in(part).is_none()).count();
    operations.iter().filter(fits).max_by_key(written)
}

impl Operation {
    fn problems(&self, request: &Request) -> Vec<String> {
        let mut problems = Vec::new();
        let queries = request.queries();
        let in_path: Vec<(&str, String)> = parts(&self.path)
            .zip(parts(&request.path))
            .filter_map(|(known, asked)| Some((name_in(known)?, decoded(asked))))
            .collect();
        for parameter in &self.parameters {
            let given = match parameter.place.as_str() {
                "path" => in_path.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| value),
                "query" => queries.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| value),
                _ => continue,
            };
            match given {
                None if parameter.required => problems.push(format!("the parameter {} is missing", parameter.name)),
                None => {}
                Some(text) => {
                    problems.extend(misfits(&parameter.schema, &typed(text, &parameter.schema), &parameter.name))
                }
            }
        }
        let known = |name: &String| self.parameters.iter().any(|known| known.place == "query" && known.name == *name);
        let unknown = queries.iter().filter(|(name, _)| !known(name));
        problems.extend(unknown.map(|(name, _)| format!("there is no parameter {name}")));
        problems.extend(self.problems_of_body(request));
        problems
    }

    fn problems_of_body(&self, request: &Request) -> Vec<String> {
        let Some(body) = &self.body else {
            let is_empty = request.body.is_empty() || request.json() == serde_json::json!({});
            return if is_empty { Vec::new() } else { vec!["it takes no body".to_owned()] };
        };
        if request.body.is_empty() {
            return if body.required { vec!["the body is missing".to_owned()] } else { Vec::new() };
        }
        match request.header("content-type") {
            Some(kind) if kind.starts_with("application/json") => misfits(&body.schema, &request.json(), "body"),
            other => vec![format!("the body is {}, not application/json", other.unwrap_or("of no type"))],
        }
    }
}

/// A parameter as the schema means it: everything in a path or a query is a text.
fn typed(text: &str, schema: &Json) -> Json {
    match schema["type"].as_str() {
        Some("integer" | "number") => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        Some("boolean") => text.parse::<bool>().map_or_else(|_| text.into(), Json::from),
        _ => text.into(),
    }
}

fn misfits(schema: &Json, value: &Json, what: &str) -> Vec<String> {
    let validator: Validator = match jsonschema::draft202012::new(schema) {
        Ok(validator) => validator,
        Err(error) => return vec![format!("{what}: the schema cannot be read: {error}")],
    };
    validator.iter_errors(value).map(|error| format!("{what}{}: {error}", error.instance_path())).collect()
}
