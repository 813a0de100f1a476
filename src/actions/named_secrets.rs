//! A table in which a step names secrets. Which secret goes where is the operator's word alone: the table is
//! written out, and no template gives a part of it.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{Accepts, Misfit, Parameter, Written};
use serde_json::Value as Json;

use super::with::With;
use crate::config::settings::SecretText;
use crate::integrations::secrets::Secrets;

/// Gives an empty table.
pub const EMPTY: &str = "{{ {} }}";

/// The parameter of this name.
pub const fn parameter(name: &'static str) -> Parameter {
    Parameter { name, accepts: Accepts::TableOf(&Accepts::Text), default: Some(EMPTY) }
}

/// Whether a step names any.
pub fn are_named(written: &Written, table: &str) -> bool {
    written.get(table).is_some_and(|value| value != EMPTY)
}

/// What is wrong with the table.
pub fn misfit(written: &Written, table: &str) -> Option<Misfit> {
    let is_open = are_named(written, table) && written.fixed(table).is_none();
    is_open.then(|| Misfit::new(table, "write it out: nobody else says where a secret goes"))
}

/// Why a step cannot have the secrets that it names, if it cannot.
pub fn lacks(secrets: &Secrets, written: &Written, table: &str) -> Option<String> {
    let named = written.fixed(table).and_then(Json::as_object).into_iter().flatten();
    named.filter_map(|(_, name)| name.as_str()).find_map(|name| secrets.lacks(name))
}

/// The secrets with what each is for.
pub fn read(secrets: &Secrets, with: &With<'_>, table: &str) -> Result<Vec<(String, SecretText)>, Failure> {
    let find = |(place, name): (String, String)| match secrets.get(&name) {
        Some(secret) => Ok((place, secret.clone())),
        None => Err(Failure::new(ErrorClass::Validation, secrets.lacks(&name).unwrap_or_default())),
    };
    with.table(table).into_iter().map(find).collect()
}
