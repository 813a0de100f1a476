//! Sources that the configuration describes, through the front door, with the shapes of real providers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pointsman::sources::{Algorithm, Secret};
use pointsman_actors::time::{ManualClock, Timestamp};
use serde_json::{Value, json};

use super::process::run;
use crate::server::{Answer, TestServer, until};

const NOW: &str = "2026-12-01T00:00:00Z";

/// Shopify (shopify.dev, "Deliver webhooks through HTTPS"), GitLab (docs.gitlab.com, "Webhooks"), and whoever sends with Svix.
const SOURCES: &str = r#"
[validator]
rate_limiting = false
[webhooks.shopify]
kind = "generic"
secret = "shopify's secret"
scheme = "hmac"
header = "x-shopify-hmac-sha256"
encoding = "base64"
event_type = "headers['x-shopify-topic']"
delivery_id = "headers['x-shopify-webhook-id']"
subject = "payload.name"
correlation_keys = ["'order:' ~ payload.id"]
[webhooks.gitlab]
kind = "generic"
secret = "gitlab's token"
scheme = "token"
header = "x-gitlab-token"
event_type = "payload.object_kind"
action = "payload.object_attributes.action"
delivery_id = "headers['x-gitlab-event-uuid']"
subject = "payload.project.path_with_namespace"
[webhooks.resend]
kind = "generic"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
scheme = "standard"
header = "svix-signature"
event_type = "payload.type"
[workflows.ship]
timeout = "5m"
[[workflows.ship.steps]]
name = "wait"
action = "delay"
with = { duration = "1ms" }
[[routes]]
name = "paid"
source = "shopify"
event = "orders/paid"
workflow = "ship"
[[routes]]
name = "pushed"
source = "gitlab"
event = "Push Hook"
workflow = "ship"
"#;

const ORDER: &str = r##"{"id":820982911946154508,"name":"#9999","note":null}"##;

async fn post(server: &TestServer, source: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: Vec<(&str, &str)> = [("content-type", "application/json")].iter().chain(headers).copied().collect();
    server.post(&format!("/webhooks/{source}"), &headers, body.to_owned()).await
}

async fn event(server: &TestServer, answer: &Answer) -> Value {
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("accepted")), "{answer:?}");
    server.get(&format!("/api/v1/events/{}", answer.body["eventId"].as_str().unwrap())).await.body
}

#[actix::test]
async fn a_delivery_of_shopify_proves_itself_is_read_and_starts_a_run() {
    let server = TestServer::start(SOURCES).await;
    let code = STANDARD.encode(Secret::new("shopify's secret").sign_with(Algorithm::Sha256, ORDER.as_bytes()));
    let send = async |code: &str| {
        let headers =
            [("x-shopify-hmac-sha256", code), ("x-shopify-topic", "orders/paid"), ("x-shopify-webhook-id", "w1")];
        post(&server, "shopify", &headers, ORDER).await
    };
    let wrong = hex::encode(STANDARD.decode(&code).unwrap());
    for wrong in [&*wrong, &code.to_lowercase(), code.trim_end_matches('='), ""] {
        let refused = send(wrong).await;
        assert_eq!((refused.status, &refused.body["error"]), (401, &json!("signature_invalid")), "{wrong}");
    }
    let answer = send(&code).await;
    let shown = event(&server, &answer).await;
    assert_eq!((&shown["type"], &shown["subject"]), (&json!("orders/paid"), &json!("#9999")), "{shown}");
    assert_eq!(shown["facts"]["correlation_keys"], json!(["shopify:order:820982911946154508"]));
    let again = send(&code).await;
    assert_eq!((&again.body["status"], &again.body["eventId"]), (&json!("duplicate"), &answer.body["eventId"]));
    until("the run to end", async || {
        server.get("/api/v1/runs?workflow=ship&status=succeeded").await.body["items"][0].is_object()
    })
    .await;
    for secret in ["shopify's secret", &code] {
        assert!(!shown.to_string().contains(secret), "{shown}");
    }
}

#[actix::test]
async fn a_token_of_gitlab_is_believed_and_kept_nowhere() {
    let server = TestServer::start(SOURCES).await;
    let body = json!({
        "object_kind": "merge_request", "object_attributes": {"action": "open"},
        "project": {"path_with_namespace": "acme/shop"},
    });
    let send = async |token: &str| {
        let headers =
            [("x-gitlab-token", token), ("x-gitlab-event-uuid", "u1"), ("x-gitlab-event", "Merge Request Hook")];
        post(&server, "gitlab", &headers, &body.to_string()).await
    };
    for wrong in ["gitlab's", "GITLAB'S TOKEN", "gitlab's token, gitlab's token", "tök"] {
        assert_eq!(send(wrong).await.status, 401, "{wrong}");
    }
    let shown = event(&server, &send("gitlab's token").await).await;
    assert_eq!((&shown["type"], &shown["action"]), (&json!("merge_request"), &json!("open")));
    assert_eq!(shown["subject"], json!("acme/shop"));
    for path in ["/api/v1/secrets", "/api/v1/events", "/metrics", "/health"] {
        assert!(!server.get(path).await.body.to_string().contains("gitlab's token"), "{path}");
    }
    assert!(!shown.to_string().contains("gitlab's token"), "{shown}");
    let secrets = server.get("/api/v1/secrets").await.body;
    let of = secrets["items"].as_array().unwrap().iter().find(|item| item["id"] == "gitlab/secret").unwrap();
    assert_eq!(of["verified"], 1);
}

#[actix::test]
async fn what_svix_sends_is_standard_webhooks_by_other_names() {
    let clock = ManualClock::at(Timestamp::from_rfc3339(NOW).unwrap());
    let server = TestServer::start_at(clock.clone(), SOURCES).await;
    let (body, seconds) = (r#"{"type":"email.delivered"}"#, clock_seconds());
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let code = STANDARD.encode(secret.sign_standard(&[b"msg_1.", seconds.as_bytes(), b".", body.as_bytes()]));
    let signature = format!("v1,{code}");
    let headers = [("svix-id", "msg_1"), ("svix-timestamp", &*seconds), ("svix-signature", &*signature)];
    clock.set(Timestamp::from_rfc3339(NOW).unwrap().plus(std::time::Duration::from_secs(301)));
    let late = post(&server, "resend", &headers, body).await;
    assert_eq!((late.status, &late.body["error"]), (401, &json!("timestamp_outside_tolerance")));
    clock.set(Timestamp::from_rfc3339(NOW).unwrap());
    let shown = event(&server, &post(&server, "resend", &headers, body).await).await;
    assert_eq!((&shown["type"], &shown["deliveryId"]), (&json!("email.delivered"), &json!("msg_1")), "{shown}");
    let secrets = server.get("/api/v1/secrets").await.body;
    let of = secrets["items"].as_array().unwrap().iter().find(|item| item["id"] == "resend/secret").unwrap();
    assert_eq!(of["verified"], 1, "what came too late was not counted");
}

fn clock_seconds() -> String {
    Timestamp::from_rfc3339(NOW).unwrap().seconds().to_string()
}

#[actix::test]
async fn the_command_sends_for_such_a_source_and_makes_secrets_for_it() {
    let server = TestServer::start(SOURCES).await;
    let directory = server.directory.path().to_owned();
    let config = directory.join("config.toml");
    std::fs::write(&config, SOURCES).unwrap();
    let said = async |arguments: &[&str]| {
        let line: Vec<String> =
            ["--config", config.to_str().unwrap()].iter().chain(arguments).map(|part| (*part).to_owned()).collect();
        let directory = directory.clone();
        let command = move || run(&directory, &line.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        let output = actix_web::web::block(command).await.unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    for source in ["shopify", "gitlab", "resend"] {
        let (fine, said) = said(&["send", source, "--header", "x-shopify-topic: orders/paid"]).await;
        assert!(fine && said.contains("accepted"), "{source}: {said}");
    }
    assert!(said(&["secrets", "new", "resend"]).await.1.starts_with("whsec_"));
    let (fine, hex) = said(&["secrets", "new", "shopify"]).await;
    assert!(fine && hex::decode(hex.trim()).is_ok_and(|bits| bits.len() == 32), "{hex}");
    let (_, refused) = said(&["secrets", "new", "nobody"]).await;
    assert!(refused.contains("there is no source `nobody`"), "{refused}");
    let (_, listed) = said(&["secrets", "list"]).await;
    assert!(listed.contains("gitlab/secret") && listed.contains("verified 1"), "{listed}");
}
