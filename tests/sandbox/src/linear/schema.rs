//! Linear's published schema, read once, and what is wrong with a document by it.

use std::collections::HashMap;
use std::sync::OnceLock;

use graphql_tools::parser::{parse_query, parse_schema};
pub use graphql_tools::static_graphql::query::OperationDefinition as Operation;
use graphql_tools::static_graphql::query::{Definition, Document};
use graphql_tools::static_graphql::schema::{
    Definition as SchemaDefinition, Document as SchemaDocument, Type, TypeDefinition,
};
use graphql_tools::validation::rules::default_rules_validation_plan;
use graphql_tools::validation::validate::{ValidationPlan, validate};

use super::shape;

/// As Linear publishes it; the crate `linear-schema` carries a copy.
const TEXT: &str = include_str!(env!("LINEAR_SCHEMA"));

/// What every schema has without saying so (GraphQL, "Scalars").
const BUILT_IN: &str = "scalar Boolean scalar Float scalar ID scalar Int scalar String\n";

struct Schema {
    document: SchemaDocument,
    plan: ValidationPlan,
    types: HashMap<String, usize>,
}

/// Reading it takes a moment.
fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        // What is compiled in and cannot be read is seen by every test: there is then no type at all.
        let text = format!("{BUILT_IN}{TEXT}");
        let document = parse_schema::<String>(&text).map(|document| document.into_static()).unwrap_or_default();
        let types = (0..).zip(&document.definitions).filter_map(|(place, definition)| match definition {
            SchemaDefinition::TypeDefinition(kind) => Some((kind.name().to_owned(), place)),
            _ => None,
        });
        Schema { types: types.collect(), plan: default_rules_validation_plan(), document }
    })
}

/// A type of the schema.
pub(super) fn kind(name: &str) -> Option<&'static TypeDefinition> {
    let Schema { document, types, .. } = schema();
    match document.definitions.get(*types.get(name)?)? {
        SchemaDefinition::TypeDefinition(kind) => Some(kind),
        _ => None,
    }
}

/// The name of a type, without what says whether it is a list and may be absent.
pub(super) fn name_of(kind: &Type) -> &str {
    match kind {
        Type::NamedType(name) => name,
        Type::ListType(inner) | Type::NonNullType(inner) => name_of(inner),
    }
}

/// All that is wrong with a document.
pub fn problems(text: &str) -> Vec<String> {
    read(text).err().unwrap_or_default()
}

/// A document that fits the schema and says how much of every list it wants, or all that is wrong with it.
pub(super) fn read(text: &str) -> Result<Document, Vec<String>> {
    let document = parse_query::<String>(text).map_err(|error| vec![error.to_string()])?.into_static();
    let Schema { document: schema, plan, .. } = schema();
    let mut problems: Vec<String> = validate(schema, &document, plan).into_iter().map(|error| error.message).collect();
    if problems.is_empty() {
        problems = operations(&document).flat_map(shape::without_first).collect();
    }
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

/// The operation of this name, or the only one.
pub(super) fn operation<'a>(document: &'a Document, name: Option<&str>) -> Option<&'a Operation> {
    let mut operations = operations(document);
    match name {
        Some(name) => operations.find(|operation| name_of_operation(operation) == Some(name)),
        None => operations.next().filter(|_| operations.next().is_none()),
    }
}

fn operations(document: &Document) -> impl Iterator<Item = &Operation> {
    document.definitions.iter().filter_map(|definition| match definition {
        Definition::Operation(operation) => Some(operation),
        Definition::Fragment(_) => None,
    })
}

fn name_of_operation(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::Query(query) => query.name.as_deref(),
        Operation::Mutation(mutation) => mutation.name.as_deref(),
        Operation::SelectionSet(_) | Operation::Subscription(_) => None,
    }
}

/// The type whose fields an operation asks for.
pub(super) fn root(operation: &Operation) -> &'static str {
    match operation {
        Operation::Mutation(_) => "Mutation",
        Operation::Query(_) | Operation::SelectionSet(_) | Operation::Subscription(_) => "Query",
    }
}
