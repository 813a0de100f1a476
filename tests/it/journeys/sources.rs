//! Every source through the front door: what proves a delivery is taken, and one flipped bit of it is not.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::server::{SECRET, TestServer, sign};

const JSON: (&str, &str) = ("content-type", "application/json");

#[allow(clippy::disallowed_methods, reason = "providers sign with their clocks")]
fn now_millis() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn hex_of(body: &[u8]) -> String {
    sign(body).trim_start_matches("sha256=").to_owned()
}

/// The headers of Standard Webhooks 1.0.0 for a secret that is not written in its own form.
fn standard(id: &str, body: &[u8]) -> [(&'static str, String); 3] {
    let timestamp = (now_millis() / 1_000).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let code = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let codes = format!("v1,{} v1,{code}", "A".repeat(44));
    [("webhook-id", id.to_owned()), ("webhook-timestamp", timestamp), ("webhook-signature", codes)]
}

/// A delivery as a sender makes it.
struct Delivery {
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn delivery(path: &'static str, headers: &[(&'static str, String)], body: &Value) -> Delivery {
    Delivery { path, headers: headers.to_vec(), body: serde_json::to_vec(body).unwrap() }
}

fn deliveries() -> Vec<Delivery> {
    let generation = json!({"event_type": "generation.complete", "event_id": "e1", "data": {"task_id": 7}});
    let stop = json!({"hook_event_name": "Stop", "session_id": "s1", "stop_hook_active": false});
    let issue = json!({
        "action": "update", "type": "Issue", "webhookTimestamp": now_millis(),
        "data": {"id": "i1", "identifier": "PR-5", "title": "x", "team": {"key": "PR"}},
        "updatedFrom": {"title": "y"},
    });
    let text = |value: &Value| serde_json::to_vec(value).unwrap();
    let mut other_generation = generation.clone();
    other_generation["event_id"] = "e2".into();
    let mut other_stop = stop.clone();
    other_stop["stop_hook_active"] = true.into();
    let mut third_stop = stop.clone();
    third_stop["session_id"] = "s3".into();
    vec![
        delivery(
            "/webhooks/linear",
            &[("linear-signature", hex_of(&text(&issue))), ("linear-delivery", "l".into())],
            &issue,
        ),
        delivery("/webhooks/codegen", &[("x-codegen-signature", sign(&text(&generation)))], &generation),
        delivery("/webhooks/codegen", &standard("m1", &text(&other_generation)), &other_generation),
        delivery("/webhooks/claude-code", &[("x-claude-signature", sign(&text(&stop)))], &stop),
        delivery("/webhooks/claude-code", &standard("m2", &text(&other_stop)), &other_stop),
        delivery("/webhooks/claude-code", &[("authorization", format!("Bearer {SECRET}"))], &third_stop),
    ]
}

async fn send(server: &TestServer, delivery: &Delivery) -> crate::server::Answer {
    let mut headers: Vec<(&str, &str)> = delivery.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(JSON);
    server.post(delivery.path, &headers, delivery.body.clone()).await
}

#[actix::test]
async fn each_source_takes_what_proves_itself_and_nothing_else() {
    // So many forgeries would be told only that they come too often.
    let server = TestServer::start("[validator]\nrate_limiting = false").await;
    let all = deliveries();
    for delivery in &all {
        let path = delivery.path;
        for proof in delivery.headers.iter().map(|(name, _)| *name).filter(|name| *name != "linear-delivery") {
            let mut forged = Delivery { path, headers: delivery.headers.clone(), body: delivery.body.clone() };
            let value = &mut forged.headers.iter_mut().find(|(name, _)| *name == proof).unwrap().1;
            // The last character but one: the very last of base64 is padding.
            let at = value.len() - 2;
            let flipped = if value.as_bytes()[at] == b'0' { "1" } else { "0" };
            value.replace_range(at..=at, flipped);
            let answer = send(&server, &forged).await;
            assert_eq!(answer.status, 401, "{path} {proof}: {answer:?}");
        }
        let is_token = delivery.headers.iter().any(|(name, _)| *name == "authorization");
        let mut changed = Delivery { path, headers: delivery.headers.clone(), body: delivery.body.clone() };
        let at = changed.body.iter().rposition(u8::is_ascii_alphanumeric).unwrap();
        changed.body[at] ^= 1;
        if !is_token {
            assert_eq!(send(&server, &changed).await.status, 401, "{path}: the body was changed");
        }
        assert_eq!(server.post(path, &[JSON], delivery.body.clone()).await.status, 401, "{path}: nothing proves it");
    }
    assert_eq!(server.events_stored().await, 0);
    for delivery in &all {
        let answer = send(&server, delivery).await;
        assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("accepted")), "{answer:?}");
        let again = send(&server, delivery).await;
        assert_eq!(
            (&again.body["eventId"], again.body["status"].as_str()),
            (&answer.body["eventId"], Some("duplicate"))
        );
    }
    let events = server.get("/api/v1/events?source=linear").await.body;
    let event = &events["items"][0];
    assert_eq!((event["type"].as_str(), event["action"].as_str()), (Some("issue"), Some("update")));
    let event = server.get(&format!("/api/v1/events/{}", event["id"].as_str().unwrap())).await.body;
    assert_eq!(
        (event["facts"]["linear_ticket"].as_str(), event["facts"]["changes"]["title"].as_str()),
        (Some("PR-5"), Some("y"))
    );
    let codegen = server.get("/api/v1/events?source=codegen").await.body;
    let event = server.get(&format!("/api/v1/events/{}", codegen["items"][0]["id"].as_str().unwrap())).await.body;
    assert_eq!(event["facts"]["correlation_keys"], json!(["codegen:run:7"]));
}

#[actix::test]
async fn linears_clock_may_be_a_minute_off_and_no_more() {
    let server = TestServer::start("").await;
    let send = async |offset: i64, delivery: &str| {
        let body = json!({"action": "create", "type": "Issue", "webhookTimestamp": now_millis().saturating_add_signed(offset * 1_000), "data": {}});
        let body = serde_json::to_vec(&body).unwrap();
        let code = hex_of(&body);
        let answer = server
            .post("/webhooks/linear", &[JSON, ("linear-signature", &code), ("linear-delivery", delivery)], body)
            .await;
        (answer.status, answer.body["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(send(-59, "a").await.0, 200);
    assert_eq!(send(59, "b").await.0, 200);
    for (offset, delivery) in [(-61, "c"), (61, "d")] {
        assert_eq!(send(offset, delivery).await, (401, "timestamp_outside_tolerance".to_owned()));
    }
}

#[actix::test]
async fn github_may_send_forms_and_text_of_any_kind() {
    let server = TestServer::start("").await;
    let send = async |payload: &str, delivery: &str| {
        let body = format!("payload={payload}");
        let signature = sign(body.as_bytes());
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-github-event", "push"),
            ("x-github-delivery", delivery),
            ("x-hub-signature-256", &signature),
        ];
        server.post("/webhooks/github", &headers, body.clone()).await
    };
    let answer = send("%7B%22ref%22%3A%22refs%2Fheads%2Fa+b%22%2C%22x%22%3A%22%EF%BF%BD%22%7D", "a").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let event = server.get(&format!("/api/v1/events/{}", answer.body["eventId"].as_str().unwrap())).await.body;
    assert_eq!(event["payload"], json!({"ref": "refs/heads/a b", "x": "\u{FFFD}"}));
    let broken = send("%7B%22x%22%3A%22%FF%22%7D", "b").await;
    assert_eq!((broken.status, broken.body["error"].as_str()), (400, Some("invalid_form")));
}

#[actix::test]
async fn a_source_has_its_own_path_secrets_and_addresses() {
    let toml = "[webhooks.github]\npath = \"/in/github\"\nsecrets = [\"the old one\"]\n\
                [webhooks.codegen]\naddresses = [\"10.0.0.0/8\"]";
    let server = TestServer::start(toml).await;
    let deliver = async |path: &str, delivery: &str, secret: &str| {
        let code = pointsman::sources::Secret::new(secret).sign(b"{}");
        let signature = format!("sha256={}", hex::encode(code));
        let headers =
            [JSON, ("x-github-event", "push"), ("x-github-delivery", delivery), ("x-hub-signature-256", &signature)];
        server.post(path, &headers, "{}").await.status
    };
    assert_eq!(deliver("/in/github", "a", SECRET).await, 200);
    assert_eq!(deliver("/in/github", "b", "the old one").await, 200);
    assert_eq!(deliver("/in/github", "c", "another").await, 401);
    assert_eq!(deliver("/webhooks/github", "d", SECRET).await, 404);
    let refused = server.post("/webhooks/codegen", &[JSON, ("x-codegen-signature", &sign(b"{}"))], "{}").await;
    assert_eq!((refused.status, refused.body["error"].as_str()), (403, Some("address_not_allowed")));
}
