//! Whether the variables of a call are what its operation declares, down to every field of an input.

use graphql_tools::static_graphql::query::Type as QueryType;
use graphql_tools::static_graphql::schema::TypeDefinition;
use serde_json::{Map, Value as Json};

use super::schema::{self, Operation};

/// What is wrong with the variables of an operation.
pub fn check(operation: &Operation, given: &Map<String, Json>) -> Result<(), String> {
    let declared = operation.variable_definitions();
    if let Some(other) = given.keys().find(|name| declared.iter().all(|variable| variable.name != **name)) {
        return Err(format!("Variable \"${other}\" is not defined"));
    }
    for variable in declared {
        let value = given.get(&variable.name).filter(|value| !value.is_null() || variable.default_value.is_none());
        if value.is_none() && variable.default_value.is_some() {
            continue;
        }
        fits(&format!("${}", variable.name), &variable.var_type, value)?;
    }
    Ok(())
}

/// Types of variables and of fields are the same to the parser.
fn fits(place: &str, kind: &QueryType, value: Option<&Json>) -> Result<(), String> {
    let value = value.filter(|value| !value.is_null());
    match (kind, value) {
        (QueryType::NonNullType(_), None) => Err(format!("{place}: a value is required")),
        (QueryType::NonNullType(inner), value) => fits(place, inner, value),
        (_, None) => Ok(()),
        (QueryType::ListType(inner), Some(Json::Array(items))) => {
            (0..).zip(items).try_for_each(|(index, item)| fits(&format!("{place}[{index}]"), inner, Some(item)))
        }
        // A single value is taken for a list of one (GraphQL, "Input Coercion").
        (QueryType::ListType(inner), value) => fits(place, inner, value),
        (QueryType::NamedType(name), Some(value)) => named(place, name, value),
    }
}

fn named(place: &str, name: &str, value: &Json) -> Result<(), String> {
    let is = |holds: bool| if holds { Ok(()) } else { Err(format!("{place}: {name} expected, found {value}")) };
    match (schema::kind(name), name) {
        (Some(TypeDefinition::InputObject(input)), _) => {
            let Some(given) = value.as_object() else { return is(false) };
            if let Some(other) = given.keys().find(|key| input.fields.iter().all(|field| field.name != **key)) {
                return Err(format!("{place}: Field \"{other}\" is not defined by type \"{name}\""));
            }
            input
                .fields
                .iter()
                .filter(|field| field.default_value.is_none() || given.contains_key(&field.name))
                .try_for_each(|field| {
                    fits(&format!("{place}.{}", field.name), &field.value_type, given.get(&field.name))
                })
        }
        (Some(TypeDefinition::Enum(known)), _) => {
            is(known.values.iter().any(|known| Some(known.name.as_str()) == value.as_str()))
        }
        (_, "ID") => is(value.is_string() || value.is_i64()),
        (_, "Int") => is(value.as_i64().is_some_and(|number| i32::try_from(number).is_ok())),
        (_, "Float") => is(value.is_number()),
        (_, "Boolean") => is(value.is_boolean()),
        // A plan is declared as an object, and documented as a list ("Agent interaction").
        (_, "JSONObject") => is(value.is_object() || value.is_array()),
        (_, "JSON") => Ok(()),
        // Dates and durations are texts as well.
        _ => is(value.is_string()),
    }
}
