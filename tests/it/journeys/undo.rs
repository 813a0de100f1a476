//! What a run has done is undone when it fails; what cannot be undone is seen, and goes on when somebody says how.

use pointsman_sandbox::FaultKind;
use serde_json::json;

use crate::server::TOKEN;
use crate::site::{REPOSITORY, Site, words};

const UNDONE: &str = r#"
[workflows.undone]
timeout = "10m"
[[workflows.undone.steps]]
name = "mark"
action = "update_pr_status"
with = { repository = "acme/shop", pr_number = 12, head_sha = "a1", state = "pending" }
[workflows.undone.steps.undo]
action = "update_pr_status"
retry = { max_attempts = 1 }
with = { repository = "acme/shop", pr_number = 12, head_sha = "a1", state = "error", description = "undone {{ steps.mark.status }}" }
[[workflows.undone.steps]]
name = "fails"
action = "update_pr_status"
retry = { max_attempts = 1 }
with = { repository = "no/where", pr_number = 1, head_sha = "a1", state = "success" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "undone"
"#;

async fn begun(site: &Site, delivery: &str) -> String {
    site.put_pull(12, "a1", "+fn new() {}\n");
    let answer = site.server.github("push", delivery, "1", br#"{"ref":"main"}"#).await;
    site.run_of(&answer).await
}

#[actix::test]
async fn a_run_that_fails_undoes_what_it_has_done() {
    let site = Site::start(UNDONE).await;
    let run = begun(&site, "a").await;
    let shown = site.until(&run, "failed").await;
    assert!(shown["reason"].as_str().unwrap().starts_with("step `fails`: not_found"), "{shown:#}");
    let said = words(&shown);
    assert_eq!(said[said.len() - 4..], ["undoing", "undo/mark attempted", "undo/mark succeeded", "ended"]);
    let states: Vec<String> =
        site.world().statuses(REPOSITORY, "a1").iter().map(|status| status.state.clone()).collect();
    assert_eq!(states, ["pending", "error"]);
}

#[actix::test]
async fn what_cannot_be_undone_waits_for_a_word() {
    let site = Site::start(UNDONE).await;
    site.world().plan_once("github", "POST", "/statuses/", FaultKind::Delay(0));
    site.world().plan_once("github", "POST", "/statuses/", FaultKind::Refuse(422));
    let run = begun(&site, "a").await;
    let stuck = site.until(&run, "stuck").await;
    assert_eq!(stuck["step"], "undo/mark");
    let site = site.restart().await;
    assert_eq!(site.until(&run, "stuck").await["journal"], stuck["journal"]);
    let url = site.server.url(&format!("/api/v1/runs/{run}/decide"));
    let decided = site.server.http.post(url).bearer_auth(TOKEN).json(&json!({ "decision": "repeat" })).send().await;
    assert_eq!(decided.unwrap().status(), 200);
    let shown = site.until(&run, "failed").await;
    assert!(words(&shown).ends_with(&["undo/mark attempted".into(), "undo/mark succeeded".into(), "ended".into()]));
}
