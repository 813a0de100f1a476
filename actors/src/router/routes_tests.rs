//! Routes are checked when they are loaded, and routing is what they say.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::event::{EventMeta, SourceName, Verdict};
use crate::ids::EventId;
use crate::router::routing::{Availability, Routed, Rules, Workflows, route};
use crate::time::Timestamp;
use crate::wait::record::Topic;

#[derive(Deserialize)]
struct File {
    routes: Vec<RouteSpec>,
}

fn specs(toml: &str) -> Vec<RouteSpec> {
    toml::from_str::<File>(toml).unwrap().routes
}

fn table(toml: &str) -> Result<RouteTable, Vec<RouteError>> {
    let (nothing, number) = (BTreeSet::new(), BTreeSet::from(["number".to_owned()]));
    let inputs_of = |name: &str| match name {
        "w" | "off" => Some(&nothing),
        "numbers" => Some(&number),
        _ => None,
    };
    let settings = serde_json::json!({ "linear_handler": { "states": ["Todo"], "on": true } });
    let surroundings =
        Surroundings { sources: &["github", "linear"], inputs_of: &inputs_of, default_priority: 5, settings };
    RouteTable::compile(specs(toml), &surroundings)
}

fn opened(facts: Facts) -> EventMeta {
    EventMeta {
        redacted: 0,
        id: EventId::first_at(Timestamp::from_millis(7)),
        source: SourceName::new("github"),
        received_at: Timestamp::from_millis(7),
        delivery_id: "d".into(),
        peer: None,
        headers: Vec::new(),
        facts: Facts { event_type: "pull_request".into(), action: Some("opened".into()), ..facts },
        payload_bytes: 2,
    }
}

fn routed(toml: &str, facts: Facts, payload: &str) -> Routed {
    let available = Availability::Available { definition: "hash".into(), reads_event: false, quiet: None };
    let off = Availability::Unavailable { reason: "github has no token".into() };
    let workflows: Workflows = [("w".to_owned(), available), ("off".to_owned(), off)].into();
    let topic = Topic { source: "github".into(), event: "pull_request".into(), actions: vec!["opened".into()] };
    let rules = Rules { routes: table(toml).unwrap(), workflows, topics: vec![topic] };
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    route(&rules, &Arc::new(opened(facts)), &payload, Timestamp::default())
}

const BY_NUMBER: &str = r#"
[[routes]]
name = "numbered"
source = "github"
event = "pull_request"
actions = ["opened"]
when = "facts.pr_number > 5"
workflow = "w"
priority = "facts.pr_number"
input = { number = "facts.pr_number", title = "facts.title" }
"#;

#[test]
fn a_route_that_matches_starts_a_run_with_its_input() {
    let routed = routed(BY_NUMBER, Facts { pr_number: Some(7), ..Facts::default() }, "{}");
    let [run] = &routed.runs[..] else { panic!("one run, not {routed:?}") };
    assert_eq!(routed.verdict, Verdict::Started { runs: vec![run.id], waits: Vec::new() });
    assert_eq!((run.workflow.as_str(), run.definition.as_str(), run.priority), ("w", "hash", 7));
    assert_eq!(serde_json::Value::from(run.input.clone()), serde_json::json!({"number": 7, "title": null}));
}

#[test]
fn an_event_that_starts_nothing_says_why() {
    let check = |toml, reason: &str| match routed(toml, Facts { pr_number: Some(1), ..Facts::default() }, "{}").verdict
    {
        Verdict::Unrouted { reason: said } => assert_eq!(said, reason),
        other => panic!("unrouted, not {other:?}"),
    };
    check(BY_NUMBER, "the condition does not hold of: numbered");
    check("routes = []", "no route for pull_request.opened of github");
    check(
        "[[routes]]\nname='x'\nsource='github'\nevent='pull_request'\nworkflow='off'",
        "workflow `off` is unavailable: github has no token",
    );
}

#[test]
fn a_rule_that_fails_leaves_the_event_pending() {
    let toml =
        "[[routes]]\nname='bad'\nsource='github'\nevent='pull_request'\nworkflow='w'\nwhen='facts.pr_number / 0 > 1'";
    let Verdict::Pending { reason, .. } = routed(toml, Facts { pr_number: Some(1), ..Facts::default() }, "{}").verdict
    else {
        panic!("pending");
    };
    assert!(reason.starts_with("route `bad` failed: `facts.pr_number / 0 > 1`"), "{reason}");
}

#[test]
fn an_exclusive_route_ends_the_search_and_priority_orders_it() {
    let toml = |exclusive| {
        format!(
            "[[routes]]\nname='late'\nsource='github'\nevent='pull_request'\nworkflow='w'\npriority=2\n\
             [[routes]]\nname='early'\nsource='github'\nevent='pull_request'\nworkflow='w'\npriority=9\nexclusive={exclusive}"
        )
    };
    let names =
        |toml: &str| routed(toml, Facts::default(), "{}").runs.into_iter().map(|run| run.route).collect::<Vec<_>>();
    assert_eq!(names(&toml(false)), ["early", "late"]);
    assert_eq!(names(&toml(true)), ["early"]);
}

#[test]
fn only_a_route_that_names_the_payload_sees_it() {
    let toml = "[[routes]]\nname='deep'\nsource='github'\nevent='pull_request'\nworkflow='w'\nwhen='payload.a.b == 3'";
    assert_eq!(routed(toml, Facts::default(), r#"{"a":{"b":3}}"#).runs.len(), 1);
    assert_eq!(routed(toml, Facts::default(), r#"{"a":{"b":4}}"#).runs.len(), 0);
    let too_deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(routed(toml, Facts::default(), &too_deep).verdict.status(), "unrouted");
}

#[test]
fn what_is_wrong_is_named_with_its_route_and_key() {
    let check = |lines: &str, message: &str| {
        let toml = format!("[[routes]]\nname='r'\nsource='github'\nevent='push'\n{lines}");
        let errors = table(&toml).unwrap_err();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [message]);
    };
    check("workflow='nope'", "route `r`, workflow: there is no workflow `nope`");
    check("workflow='w'\npriority=11", "route `r`, priority: 11 is not within 1 and 10");
    check("workflow='w'\nwhen='facts.titel'", "route `r`, when: `facts.titel`: `facts.titel` is not known here");
    check("workflow='w'\ninput={x='steps.a'}", "route `r`, input.x: `steps.a`: `steps.a` is not known here");
}

#[test]
fn a_users_route_replaces_a_built_in_one_of_its_name() {
    let off = "\n[[routes]]\nname='numbered'\nsource='github'\nevent='pull_request'\nworkflow='w'\nenabled=false";
    let routed = routed(&format!("{BY_NUMBER}{off}"), Facts { pr_number: Some(9), ..Facts::default() }, "{}");
    assert_eq!(routed.verdict.status(), "unrouted");
}

#[test]
fn every_fact_has_its_name_in_the_list() {
    let stored = Arc::new(serde_json::to_value(crate::event::Facts::example()).unwrap());
    let names: std::collections::BTreeSet<&str> = stored.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, Facts::NAMES.iter().copied().collect());
}

#[test]
fn a_route_gives_what_its_workflow_reads() {
    let lacking =
        BY_NUMBER.replace("workflow = \"w\"", "workflow = \"numbers\"").replace("number = \"facts", "other = \"facts");
    let error = table(&lacking).unwrap_err()[0].to_string();
    assert!(error.contains("reads `input.number`, which this route does not give"), "{error}");
    table(&BY_NUMBER.replace("workflow = \"w\"", "workflow = \"numbers\"")).unwrap();
    let error = table(&BY_NUMBER.replace("\"github\"", "\"githb\"")).unwrap_err()[0].to_string();
    assert!(error.contains("there is no source `githb`; there are github, linear"), "{error}");
}
