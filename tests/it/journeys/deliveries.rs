//! From a signed delivery to a durable event with a verdict, once and only once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::server::TestServer;

/// All payloads of GitHub's own examples; `scripts/test` fetches them.
fn examples() -> Vec<(String, Vec<u8>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/fixtures/octokit.json");
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|_| panic!("{path} is missing; run scripts/test, which fetches it"));
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut all = Vec::new();
    for event in &events {
        for example in event["examples"].as_array().unwrap() {
            all.push((event["name"].as_str().unwrap().to_owned(), serde_json::to_vec(example).unwrap()));
        }
    }
    all
}

#[actix::test]
async fn all_of_githubs_examples_are_events_once() {
    let examples = examples();
    assert_eq!(examples.len(), 329);
    let server = TestServer::start("").await;
    let send = async |round: &str, hook: &str| {
        let mut answers = Vec::new();
        for (number, (event, body)) in examples.iter().enumerate() {
            answers.push(server.github(event, &format!("{round}-{number}"), hook, body).await);
        }
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        answers
    };
    let first = send("a", "1").await;
    assert!(
        first.iter().all(|answer| matches!(answer.body["status"].as_str(), Some("accepted" | "ignored"))),
        "{first:?}"
    );
    assert_eq!(server.events_stored().await, 329);
    for answer in &first {
        let event = server.get(&format!("/api/v1/events/{}/status", answer.body["eventId"].as_str().unwrap())).await;
        assert!(
            matches!(event.body["verdict"]["status"].as_str(), Some("unrouted" | "ignored" | "started")),
            "{event:?}"
        );
        assert!(event.body["verdict"]["reason"].is_string() || event.body["verdict"]["runs"].is_array(), "{event:?}");
    }

    let again = send("a", "1").await;
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((&again.body["status"], &again.body["eventId"]), (&json!("duplicate"), &first.body["eventId"]));
    }
    assert_eq!(server.events_stored().await, 329);

    let through_another_hook = send("b", "2").await;
    for (number, other) in through_another_hook.iter().enumerate() {
        assert_eq!(other.body["status"], "duplicate");
        let event = server.get(&format!("/api/v1/events/{}", other.body["eventId"].as_str().unwrap())).await;
        assert_eq!(event.body["verdict"]["status"], "duplicate");
        // Some examples show one occurrence twice (with and without an installation); the first is the one.
        let of = first.iter().position(|answer| answer.body["eventId"] == event.body["verdict"]["of"]).unwrap();
        assert!(of <= number && examples[of].0 == examples[number].0, "{number} is a duplicate of {of}");
    }
    assert_eq!(server.events_stored().await, 658);
    let metrics = server.get("/metrics").await.body;
    let counts = &metrics["intake"]["github"]["counts"];
    let sum = ["accepted", "ignored", "duplicates", "redelivered"]
        .map(|name| counts[name].as_u64().unwrap())
        .iter()
        .sum::<u64>();
    assert_eq!((counts["requests"].as_u64(), sum), (Some(987), 987), "{counts}");
}

#[actix::test]
async fn one_delivery_sent_a_hundred_times_at_once_is_one_event() {
    let server = TestServer::start("").await;
    let answers = join_all((0..100).map(|_| server.github("push", "same", "1", b"{}"))).await;
    let accepted = answers.iter().filter(|answer| answer.body["status"] == "accepted").count();
    assert_eq!(accepted, 1, "{answers:?}");
    let id = &answers[0].body["eventId"];
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body["eventId"] == *id));
    assert_eq!(server.events_stored().await, 1);
}

#[actix::test]
async fn a_delivery_is_recognised_after_a_restart() {
    let server = TestServer::start("").await;
    let first = server.github("push", "d", "1", b"{\"ref\":\"refs/heads/a\"}").await;
    let server = server.restart("").await;
    let again = server.github("push", "d", "1", b"{\"ref\":\"refs/heads/a\"}").await;
    assert_eq!(
        (again.status, &again.body["eventId"], again.body["status"].as_str()),
        (200, &first.body["eventId"], Some("duplicate"))
    );
    let event = server.get(&format!("/api/v1/events/{}", first.body["eventId"].as_str().unwrap())).await.body;
    assert_eq!((event["payload"]["ref"].as_str(), event["deliveryId"].as_str()), (Some("refs/heads/a"), Some("d")));
    assert_eq!(event["headers"]["x-github-event"], "push");
    assert!(!event.to_string().contains("sha256="), "no signature is stored: {event}");
}

#[actix::test]
async fn a_source_that_does_not_list_an_event_stores_it_as_ignored() {
    let server = TestServer::start("[webhooks.github]\nevents = [\"pull_request\"]").await;
    let answer = server.github("push", "d", "1", b"{}").await;
    assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("ignored")));
    let event = server.get(&format!("/api/v1/events/{}", answer.body["eventId"].as_str().unwrap())).await.body;
    assert_eq!(event["verdict"]["reason"], "`webhooks.github.events` does not list `push`");
}
