//! Events that lack what their kind usually has: no built-in route may fail over them, or they would be routed again and again.

use serde_json::{Value, json};

use crate::journeys::linear::send;
use crate::site::Site;

/// Actions of events of GitHub that routes name, and fields of which the conditions of these routes ask.
fn of_github() -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    let repository = json!({"full_name": "acme/shop"});
    for action in ["opened", "reopened", "ready_for_review", "synchronize", "closed", "review_requested"] {
        for pull in [json!(null), json!({}), json!({"merged": true}), json!({"title": "codegen", "number": 1})] {
            all.push(("pull_request", json!({"action": action, "pull_request": pull, "repository": repository})));
        }
    }
    for git_ref in [json!(null), json!("refs/heads/"), json!("refs/heads/codegen/x"), json!("refs/tags/v1")] {
        all.push(("push", json!({"ref": git_ref, "repository": repository})));
    }
    for run in [
        json!({}),
        json!({"conclusion": "failure"}),
        json!({"conclusion": "failure", "pull_requests": [{"number": 1}]}),
    ] {
        all.push(("workflow_run", json!({"action": "completed", "workflow_run": run, "repository": repository})));
    }
    for comment in [json!(null), json!({}), json!({"body": "@codegen do", "author_association": "OWNER"})] {
        let issue = json!({"number": 1, "pull_request": {}});
        all.push(("issue_comment", json!({"action": "created", "issue": issue, "comment": comment})));
    }
    all
}

fn of_linear() -> Vec<Value> {
    let mut all = Vec::new();
    for action in ["create", "update", "remove"] {
        for data in [json!(null), json!({"id": "i"}), json!({"id": "i", "delegate": {"name": "Codegen"}})] {
            for from in [
                json!(null),
                json!({}),
                json!({"stateId": "x"}),
                json!({"description": "x"}),
                json!({"delegateId": null}),
            ] {
                all.push(json!({"type": "Issue", "action": action, "data": data, "updatedFrom": from}));
            }
        }
    }
    for action in ["created", "prompted"] {
        for session in [json!(null), json!({}), json!({"id": "s"})] {
            all.push(json!({"type": "AgentSessionEvent", "action": action, "agentSession": session}));
        }
    }
    all
}

#[actix::test]
async fn what_events_lack_fails_no_route() {
    // Where all is connected, priority and input are looked at, too.
    let site = super::connected(&[]).await;
    for (event, mut payload) in of_github() {
        // Each is an occurrence of its own.
        payload["sender"] = json!({"login": uuid::Uuid::new_v4().to_string()});
        let delivery = uuid::Uuid::new_v4().to_string();
        let answer = site.server.github(event, &delivery, "1", payload.to_string().as_bytes()).await;
        is_routed(&site, answer.body["eventId"].as_str().unwrap(), &payload).await;
    }
    for mut payload in of_linear() {
        payload["webhookId"] = uuid::Uuid::new_v4().to_string().into();
        let answer = send(&site, payload.clone()).await;
        is_routed(&site, answer.body["eventId"].as_str().unwrap(), &payload).await;
    }
}

async fn is_routed(site: &Site, event: &str, payload: &Value) {
    let shown = site.server.get(&format!("/api/v1/events/{event}/status")).await.body;
    let is_settled = ["started", "unrouted", "duplicate"].contains(&shown["status"].as_str().unwrap());
    assert!(is_settled, "{payload}: {shown:#}");
}
