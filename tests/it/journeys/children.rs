//! Runs that start other runs: to a good end, through a restart, cancelled together, and when the child fails.

use pointsman_sandbox::FaultKind;
use serde_json::json;

use crate::site::{Site, words};

/// A release announces itself, rolls out each of two parts, and says how that went.
const RELEASE: &str = r#"
[workflows.release]
timeout = "10m"
[[workflows.release.steps]]
name = "roll_out"
action = "run_workflow"
deadline = "5m"
on_failure = "continue"
with = { workflow = "roll_out", input = { part = "shop", number = "{{ input.number }}" } }
[[workflows.release.steps]]
name = "last"
action = "send_notification"
with = { text = "{{ steps.roll_out.status }}: {{ steps.roll_out.output.outputs.checked.facts.more.pr_url }}" }

[workflows.roll_out]
timeout = "5m"
[[workflows.roll_out.steps]]
name = "tell"
action = "send_notification"
retry = { max_attempts = 1 }
with = { text = "rolling out {{ input.part }}" }
[[workflows.roll_out.steps]]
name = "checked"
action = "wait_for_event"
deadline = "4m"
with = { source = "codegen", event = "generation", key = "codegen:run:{{ input.number }}" }

[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "release"
input = { number = "payload.number" }
"#;

impl Site {
    /// The run that a run has started.
    async fn child_of(&self, run: &str) -> String {
        let waiting = self.until(run, "waiting").await;
        let journal = waiting["journal"].as_array().unwrap();
        let started = journal.iter().rev().find_map(|entry| entry["run"].as_str()).unwrap();
        assert_eq!(waiting["reason"], format!("for the end of {started}"));
        started.to_owned()
    }
}

#[actix::test]
async fn a_child_is_run_to_its_end_and_its_parent_goes_on_with_what_it_gave() {
    let site = Site::start(RELEASE).await;
    let parent = site.push_number(17).await;
    let child = site.child_of(&parent).await;
    let shown = site.until(&child, "waiting").await;
    assert_eq!(shown["parent"], json!({ "run": parent, "workflow": "release", "step": "roll_out" }));
    assert_eq!(shown["input"], json!({ "part": "shop", "number": 17 }));
    let site = site.restart().await;
    let [wait] = site.waits(&format!("run={parent}")).await.try_into().unwrap();
    assert_eq!(
        (wait["status"].as_str(), wait["keys"].clone()),
        (Some("open"), json!([format!("pointsman:run:{child}")]))
    );
    site.generated(17).await;
    site.until(&child, "succeeded").await;
    let done = site.until(&parent, "succeeded").await;
    assert_eq!(
        words(&done),
        ["begun", "roll_out waiting", "roll_out succeeded", "last attempted", "last noted", "last succeeded", "ended"]
    );
    let [wait] = site.waits(&format!("run={parent}")).await.try_into().unwrap();
    assert_eq!((wait["resolvedBy"].as_str(), wait["endOf"].as_str()), (Some("run"), Some(child.as_str())));
    assert_eq!(site.world().notifications(), ["rolling out shop", "done: https://github.com/acme/shop/pull/5"]);
}

#[actix::test]
async fn a_child_ends_with_its_parent() {
    let site = Site::start(RELEASE).await;
    let parent = site.push_number(17).await;
    let child = site.child_of(&parent).await;
    site.until(&child, "waiting").await;
    let url = site.server.url(&format!("/api/v1/runs/{parent}/cancel"));
    let answer = site.server.http.post(url).bearer_auth(crate::server::TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let cancelled = site.until(&child, "cancelled").await;
    assert_eq!(cancelled["reason"], format!("{parent}, which has started it, does not want it any more"));
    // Begun again by itself it would be cancelled at once.
    let url = site.server.url(&format!("/api/v1/runs/{child}/restart"));
    let restart = site.server.http.post(url).bearer_auth(crate::server::TOKEN).json(&json!({ "step": "tell" }));
    let refused = restart.send().await.unwrap();
    assert_eq!(refused.status(), 409);
    let said = refused.text().await.unwrap();
    let expect = format!(
        "{parent}, which has started it, does not want it any more; restart {parent} at its step `roll_out` instead"
    );
    assert!(said.contains(&expect), "{said}");
    assert_eq!(site.run(&child).await["journal"], cancelled["journal"]);
}

#[actix::test]
async fn a_child_that_fails_is_its_parents_affair() {
    let site = Site::start(RELEASE).await;
    site.world().plan_once("slack", "POST", "", FaultKind::Refuse(400));
    let parent = site.push_number(17).await;
    let done = site.until(&parent, "succeeded").await;
    let failed = done["journal"].as_array().unwrap().iter().find(|entry| entry["entry"] == "failed").unwrap();
    let reason = failed["error"]["message"].as_str().unwrap();
    assert!(reason.contains(" of `roll_out` ended as failed: step `tell`: "), "{reason}");
    assert_eq!(failed["error"]["class"], "run_failed");
    let letters = site.server.get("/api/v1/dead-letters").await.body;
    assert_eq!(letters["items"], json!([]), "what becomes of it is the parent's word");
}
