//! What an operation asks for: arguments, how much of each list, how complex it is, and the part of a thing that
//! is shown. Fragments are not used by anybody here and are refused.

use graphql_tools::static_graphql::query::{Field, Selection, SelectionSet, Value};
use graphql_tools::static_graphql::schema::Type;
use serde_json::{Map, Value as Json, json};

use super::schema::{self, Operation};

/// What of a list is shown when nobody says (linear.app/developers, "Pagination").
const PAGE: f64 = 50.0;

/// The fields that are asked for.
pub fn fields(selection: &SelectionSet) -> impl Iterator<Item = &Field> {
    selection.items.iter().filter_map(|item| match item {
        Selection::Field(field) => Some(field),
        Selection::FragmentSpread(_) | Selection::InlineFragment(_) => None,
    })
}

/// The arguments of a field.
pub fn arguments(field: &Field, variables: &Map<String, Json>) -> Map<String, Json> {
    let known = |value: &Value| match value {
        Value::Variable(name) => variables.contains_key(name),
        _ => true,
    };
    let given = field.arguments.iter().filter(|(_, value)| known(value));
    given.map(|(name, value)| (name.clone(), json_of(value, variables))).collect()
}

fn json_of(value: &Value, variables: &Map<String, Json>) -> Json {
    match value {
        Value::Variable(name) => variables.get(name).cloned().unwrap_or_default(),
        Value::Int(number) => json!(number.as_i64()),
        Value::Float(number) => json!(number),
        Value::String(text) | Value::Enum(text) => json!(text),
        Value::Boolean(flag) => json!(flag),
        Value::Null => Json::Null,
        Value::List(items) => items.iter().map(|item| json_of(item, variables)).collect(),
        Value::Object(fields) => {
            Json::Object(fields.iter().map(|(name, value)| (name.clone(), json_of(value, variables))).collect())
        }
    }
}

/// The type of a field.
fn type_of(parent: &str, field: &Field) -> Option<&'static Type> {
    schema::kind(parent)?.field_by_name(&field.name).map(|field| &field.field_type)
}

fn is_list(kind: &str) -> bool {
    kind.ends_with("Connection")
}

/// The lists of which an operation does not say how much it wants, and what else is not taken here.
pub fn without_first(operation: &Operation) -> Vec<String> {
    let mut found = Vec::new();
    look(schema::root(operation), operation.selection_set(), &mut found);
    found
}

fn look(parent: &str, selection: &SelectionSet, found: &mut Vec<String>) {
    if selection.items.iter().any(|item| !matches!(item, Selection::Field(_))) {
        found.push(format!("fragments are not taken here, in {parent}"));
    }
    for field in fields(selection) {
        let Some(kind) = type_of(parent, field).map(schema::name_of) else { continue };
        if is_list(kind) && !field.arguments.iter().any(|(name, _)| name == "first") {
            found.push(format!("{parent}.{} does not say how much of it is wanted (`first`)", field.name));
        }
        look(kind, &field.selection_set, found);
    }
}

/// How complex Linear finds an operation: a tenth for a value, one for a thing, and lists as often as they have
/// items ("Rate limiting").
pub fn complexity(operation: &Operation, variables: &Map<String, Json>) -> f64 {
    weight(schema::root(operation), operation.selection_set(), variables)
}

fn weight(parent: &str, selection: &SelectionSet, variables: &Map<String, Json>) -> f64 {
    let of = |field: &Field| {
        if field.selection_set.items.is_empty() {
            return 0.1;
        }
        let kind = type_of(parent, field).map(schema::name_of).unwrap_or_default();
        let inner = weight(kind, &field.selection_set, variables);
        let first = arguments(field, variables).get("first").and_then(Json::as_f64);
        if is_list(kind) { inner * first.unwrap_or(PAGE) } else { 1.0 + inner }
    };
    fields(selection).map(of).sum()
}

/// What of a value a field of `parent` shows. What the schema knows and the sandbox does not is an error.
pub fn show(parent: &str, field: &Field, value: &Json, variables: &Map<String, Json>) -> Result<Json, String> {
    let kind = type_of(parent, field).map(schema::name_of).unwrap_or_default();
    match value {
        Json::Array(items) if is_list(kind) => {
            let page = page(items, &arguments(field, variables))?;
            select(kind, &field.selection_set, &json!({ "nodes": page }), variables)
        }
        Json::Array(items) if !field.selection_set.items.is_empty() => {
            items.iter().map(|item| select(kind, &field.selection_set, item, variables)).collect()
        }
        Json::Object(_) if !field.selection_set.items.is_empty() => {
            select(kind, &field.selection_set, value, variables)
        }
        leaf => Ok(leaf.clone()),
    }
}

fn select(kind: &str, selection: &SelectionSet, value: &Json, variables: &Map<String, Json>) -> Result<Json, String> {
    let mut shown = Map::new();
    for field in fields(selection) {
        let name = field.alias.as_ref().unwrap_or(&field.name).clone();
        let inner = match (field.name.as_str(), value.get(&field.name)) {
            ("__typename", _) => json!(kind),
            (_, Some(inner)) => show(kind, field, inner, variables)?,
            (other, None) => return Err(format!("the sandbox does not know {kind}.{other}")),
        };
        shown.insert(name, inner);
    }
    Ok(Json::Object(shown))
}

/// The part of a list that is wanted. The one filter that is known is that of a type.
fn page(items: &[Json], arguments: &Map<String, Json>) -> Result<Vec<Json>, String> {
    let known = ["first", "filter"];
    if let Some(other) = arguments.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("the sandbox does not know the argument `{other}`"));
    }
    let filter = arguments.get("filter");
    let wanted = filter.and_then(|filter| filter.pointer("/type/eq"));
    if filter.is_some() && wanted.is_none() {
        return Err("the sandbox knows filters of a type only".to_owned());
    }
    let first = arguments.get("first").and_then(Json::as_u64).and_then(|first| usize::try_from(first).ok());
    let fits = |item: &&Json| wanted.is_none_or(|wanted| item.get("type") == Some(wanted));
    Ok(items.iter().filter(fits).take(first.unwrap_or_default()).cloned().collect())
}
