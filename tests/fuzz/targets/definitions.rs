//! Workflows and routes, from TOML to what can be executed. What is accepted can be read again from what runs keep of it.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use pointsman::sources::NAMES;
use pointsman_actors::router::routes::{RouteSpec, RouteTable, Surroundings};
use pointsman_actors::workflow::catalog::Catalog;
use pointsman_actors::workflow::definition::Definition;
use pointsman_actors::workflow::spec::{Defaults, WorkflowSpec};
use pointsman_fuzz::actions;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    workflows: BTreeMap<String, WorkflowSpec>,
    #[serde(default)]
    routes: Vec<RouteSpec>,
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(File { workflows, routes }) = toml::from_str::<File>(text) else { return };
    let catalog = Catalog::compile(workflows, &Defaults::default(), actions()).unwrap_or_default();
    for definition in catalog.all() {
        let again = Definition::from_content(&definition.content, actions()).expect("what is kept can be read");
        assert_eq!(again.hash, definition.hash);
    }
    let surroundings = Surroundings {
        sources: &NAMES,
        inputs_of: &|name| catalog.get(name).map(|definition| &definition.inputs),
        default_priority: 5,
        settings: serde_json::json!({}),
    };
    if let Ok(table) = RouteTable::compile(routes, &surroundings) {
        let _ = table.listing();
    }
});
