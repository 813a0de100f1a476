//! Secrets that somebody has written into an issue are in no log and in no workflow, if the configuration says so.

use serde_json::{Value, json};

use crate::server::{Answer, TestServer, sign};

const CONFIGURATION: &str = r#"
[event_store]
redact = ["known", "json:/client_payload/password"]

[workflows.echo]
timeout = "2h"
[[workflows.echo.steps]]
name = "pause"
action = "delay"
with = { duration = "1h" }

[[routes]]
name = "issues"
source = "github"
event = "issues"
workflow = "echo"
input = { title = "facts.title", body = "payload.issue.body" }
"#;

/// Put together here, so that nobody who looks for secrets finds one.
fn token() -> String {
    format!("ghp_{}", "aB3dE5gH".repeat(5))
}

fn issue() -> Value {
    json!({
        "action": "opened",
        "issue": {"number": 7, "title": format!("Log says {}", token()), "body": format!("I used\n{}", token())},
        "client_payload": {"password": "hunter2", "user": "u"},
        "repository": {"full_name": "acme/shop"}, "sender": {"login": "somebody", "type": "User"},
    })
}

/// An event by the answer to its delivery.
async fn event(server: &TestServer, answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    server.get(&format!("/api/v1/events/{}", answer.body["eventId"].as_str().unwrap())).await.body
}

#[actix::test]
async fn what_is_taken_out_is_seen_by_nobody() {
    let server = TestServer::start(CONFIGURATION).await;
    let body = issue().to_string().into_bytes();
    let first = server.github("issues", "d1", "1", &body).await;
    let shown = event(&server, &first).await;
    let gone = "[redacted github-token]";
    assert_eq!(shown["redacted"], 3);
    assert_eq!(shown["payload"]["issue"]["body"], format!("I used\n{gone}"));
    assert_eq!(shown["payload"]["client_payload"], json!({"password": "[redacted]", "user": "u"}));
    assert_eq!(shown["title"], format!("Log says {gone}"));
    let run = shown["runs"][0].as_str().unwrap();
    let run = server.get(&format!("/api/v1/runs/{run}")).await.body;
    assert!(run.to_string().contains(&format!("Log says {gone}")), "{run}");
    for page in [&shown, &run] {
        assert!(!page.to_string().contains("aB3dE5gH") && !page.to_string().contains("hunter2"), "{page}");
    }
    // It is told apart by what was sent: the same delivery, another one, and the same occurrence through another hook.
    let again = server.github("issues", "d1", "1", &body).await;
    assert_eq!((&again.body["status"], &again.body["eventId"]), (&json!("duplicate"), &first.body["eventId"]));
    let elsewhere = server.github("issues", "d2", "2", &body).await;
    assert_eq!(elsewhere.body["status"], "duplicate");
}

#[actix::test]
async fn a_form_is_read_as_the_json_that_it_carries() {
    let server = TestServer::start(CONFIGURATION).await;
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &issue().to_string()).finish();
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-github-event", "issues"),
        ("x-github-delivery", "d1"),
        ("x-hub-signature-256", &sign(form.as_bytes())),
    ];
    let shown = event(&server, &server.post("/webhooks/github", &headers, form.clone()).await).await;
    assert_eq!((&shown["redacted"], &shown["title"]), (&json!(3), &json!("Log says [redacted github-token]")));
}

#[actix::test]
async fn payloads_are_kept_as_they_came_unless_that_is_configured() {
    let server = TestServer::start("").await;
    let shown = event(&server, &server.github("issues", "d1", "1", issue().to_string().as_bytes()).await).await;
    assert_eq!((&shown["redacted"], &shown["payload"]), (&json!(0), &issue()));
}

#[actix::test]
async fn no_header_is_stored_that_the_source_does_not_name() {
    let server = TestServer::start("").await;
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("x-github-delivery", "d1"),
        ("x-hub-signature-256", &sign(b"{}")),
        ("authorization", "Bearer hunter2"),
        ("cookie", "session=hunter2"),
        ("x-forwarded-access-token", "hunter2"),
        ("x-anything", "hunter2"),
    ];
    let shown = event(&server, &server.post("/webhooks/github", &headers, "{}").await).await;
    let stored: Vec<&String> = shown["headers"].as_object().unwrap().keys().collect();
    assert_eq!(stored, ["content-type", "x-github-delivery", "x-github-event"], "{shown}");
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
}
