//! A secret is replaced while its senders go on: nothing that is signed with a valid one is refused, and nothing else taken.

use std::time::Duration;

use futures_util::future::join_all;
use pointsman::sources::Secret;
use pointsman_actors::time::{ManualClock, Timestamp};
use serde_json::json;

use super::process::run;
use crate::server::{SECRET, TestServer};

/// The old secret counts until the 10th, the new one from the 5th on.
const SECRETS: &str = "[validator]\nrate_limiting = false\n[webhooks.codegen]\nsecrets = [\n  \
    { name = \"old\", value = \"the old one\", until = \"2026-12-10T00:00:00Z\" },\n  \
    { name = \"new\", value = \"the new one\", from = \"2026-12-05T00:00:00Z\" },\n]\n";

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap()
}

/// Deliveries of three senders at once, each signing a payload of its own; the status and error of each.
async fn deliver(server: &TestServer, secret: &str, what: &str) -> Vec<(u16, String)> {
    let secret = Secret::new(secret);
    let one = async |number: usize| {
        let body = format!(r#"{{"event_type":"generation.complete","event_id":"{what} {number}","data":{{}}}}"#);
        let signature = format!("sha256={}", hex::encode(secret.sign(body.as_bytes())));
        let headers = [("content-type", "application/json"), ("x-codegen-signature", &*signature)];
        let answer = server.post("/webhooks/codegen", &headers, body).await;
        (answer.status, answer.body["error"].as_str().unwrap_or_default().to_owned())
    };
    join_all((0..3).map(one)).await
}

#[actix::test]
async fn senders_with_the_old_and_the_new_secret_go_on_while_it_is_replaced() {
    let clock = ManualClock::at(at("2026-12-01T00:00:00Z"));
    let server = TestServer::start_at(clock.clone(), SECRETS).await;
    let millisecond = Duration::from_millis(1);
    let moments = [
        (at("2026-12-01T00:00:00Z"), true, false),
        (at("2026-12-05T00:00:00Z").minus(millisecond), true, false),
        (at("2026-12-05T00:00:00Z"), true, true),
        (at("2026-12-07T12:00:00Z"), true, true),
        (at("2026-12-10T00:00:00Z").minus(millisecond), true, true),
        (at("2026-12-10T00:00:00Z"), false, true),
        (at("2027-12-10T00:00:00Z"), false, true),
        // A clock that is set back is believed.
        (at("2026-12-04T00:00:00Z"), true, false),
    ];
    let mut taken = 0;
    for (moment, is_old_valid, is_new_valid) in moments {
        clock.set(moment);
        let senders = [("the old one", is_old_valid), ("the new one", is_new_valid), (SECRET, true), ("guess", false)];
        let names = senders.map(|(secret, _)| format!("{secret} at {moment}"));
        let sent = senders.iter().zip(&names).map(|((secret, _), name)| deliver(&server, secret, name));
        for (answers, (secret, is_valid)) in join_all(sent).await.into_iter().zip(senders) {
            // An expired secret is refused as a wrong one is: nobody learns that it was right once.
            let expected = if is_valid { (200, String::new()) } else { (401, "signature_invalid".to_owned()) };
            assert_eq!(answers, vec![expected; 3], "{secret} at {moment}");
            taken += if is_valid { 3 } else { 0 };
        }
    }
    assert_eq!(server.events_stored().await, taken);
}

#[actix::test]
async fn it_is_seen_which_secrets_are_still_used_and_never_what_they_are() {
    let long = "0123456789abcdef0123456789abcdef";
    let secrets = format!("{SECRETS}[webhooks.github]\nsecrets = [{{ name = \"long\", value = \"{long}\" }}]\n");
    let clock = ManualClock::at(at("2026-12-07T00:00:00Z"));
    let server = TestServer::start_at(clock.clone(), &secrets).await;
    deliver(&server, "the old one", "a").await;
    clock.set(at("2026-12-07T01:00:00Z"));
    deliver(&server, "the new one", "b").await;
    deliver(&server, "guess", "c").await;
    let listed = server.get("/api/v1/secrets").await;
    assert_eq!(listed.status, 200);
    let of = |id: &str| listed.body["items"].as_array().unwrap().iter().find(|item| item["id"] == id).unwrap().clone();
    assert_eq!(
        of("codegen/old"),
        json!({
            "id": "codegen/old", "source": "codegen", "name": "old", "fingerprint": null, "status": "expiring",
            "from": null, "until": "2026-12-10T00:00:00.000Z", "expiresInMs": 71 * 3_600_000_u64,
            "verified": 3, "lastVerifiedAt": "2026-12-07T00:00:00.000Z",
        })
    );
    let new = of("codegen/new");
    assert_eq!((&new["status"], &new["verified"]), (&json!("valid"), &json!(3)));
    assert_eq!(new["lastVerifiedAt"], "2026-12-07T01:00:00.000Z");
    assert_eq!((&of("codegen/secret")["verified"], &of("codegen/secret")["lastVerifiedAt"]), (&json!(0), &json!(null)));
    assert_eq!(of("github/long")["fingerprint"].as_str().map(str::len), Some(8));
    clock.set(at("2026-12-10T00:00:00Z"));
    let later = server.get("/api/v1/secrets").await.body.to_string();
    assert!(later.contains(r#""status":"expired""#), "{later}");
    for secret in ["the old one", "the new one", SECRET, long] {
        assert!(!listed.body.to_string().contains(secret) && !later.contains(secret));
    }
    let nobody = server.http.get(server.url("/api/v1/secrets")).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
}

#[test]
fn check_says_which_source_takes_nothing_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let check = |enabled: &str| {
        let toml = format!(
            "[webhooks.linear]\n{enabled}secrets = [{{ value = \"the old one, long enough\", until = \"2020-01-01T00:00:00Z\" }}]\n"
        );
        std::fs::write(directory.path().join("config.toml"), toml).unwrap();
        let output = run(directory.path(), &["check"], &[]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.contains("the old one"), "{said}");
        (output.status.success(), said.lines().next().unwrap_or_default().to_owned())
    };
    let deaf = "webhooks.linear: no secret of it counts now, so that every delivery is refused";
    assert_eq!(check(""), (true, format!("warning: {deaf}")));
    assert_eq!(check("enabled = true\n"), (false, format!("error: {deaf}")));
}
