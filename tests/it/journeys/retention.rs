//! What is finished goes when it is old or too much; what is not stays, and nothing is forgotten by it.

use pointsman_actors::retention::actor::LookNow;
use pointsman_actors::supervisor::{Drill, Life};
use pointsman_sandbox::FaultKind;
use serde_json::{Value, json};

use crate::server::{Answer, TestServer, until};
use crate::site::Site;

/// A push tells somebody; an issue waits for longer than any test.
const WORKFLOWS: &str = r#"
[[workflows.telling.steps]]
name = "tell"
action = "send_notification"
on_doubt = "park"
with = { text = "{{ input.branch }}" }
[workflows.waiting]
timeout = "2h"
[[workflows.waiting.steps]]
name = "wait"
action = "delay"
with = { duration = "1h" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "telling"
input = { branch = "payload.ref" }
[[routes]]
name = "issue"
source = "github"
event = "issues"
workflow = "waiting"
"#;

/// The same, and what is finished goes after a moment.
fn soon() -> String {
    format!("[event_store]\nretention = \"200ms\"\n{WORKFLOWS}")
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["eventId"].as_str().unwrap().to_owned()
}

async fn status_of(server: &TestServer, kind: &str, id: &str) -> u16 {
    server.get(&format!("/api/v1/{kind}/{id}")).await.status
}

async fn say(site: &Site, run: &str, verb: &str, body: Value) -> u16 {
    let url = site.server.url(&format!("/api/v1/runs/{run}/{verb}"));
    let request = site.server.http.post(url).bearer_auth(crate::server::TOKEN).json(&body);
    request.send().await.unwrap().status().as_u16()
}

async fn gone(server: &TestServer, event: &str) {
    until("the event to be removed", async || status_of(server, "events", event).await == 404).await;
}

/// `eventsStored`, `eventsPurged`, and the runs that were removed.
async fn counts(server: &TestServer) -> [u64; 3] {
    let metrics = server.get("/metrics").await.body;
    ["/eventStore/eventsStored", "/eventStore/eventsPurged", "/workflows/runsPurged"]
        .map(|pointer| metrics.pointer(pointer).and_then(Value::as_u64).unwrap())
}

/// Waits until they are so: what is gone is counted when that is durable.
async fn until_counted(server: &TestServer, expect: [u64; 3]) {
    until(&format!("{expect:?} to be counted"), async || counts(server).await == expect).await;
}

#[actix::test]
async fn what_is_over_goes_and_what_is_not_stays() {
    let mut site = Site::start(WORKFLOWS).await;
    let open = site.server.github("issues", "open", "1", b"{}").await;
    let (open, waiting) = (id(&open), site.run_of(&open).await);
    let told = site.server.github("push", "told", "1", br#"{"ref":"main"}"#).await;
    let (told, telling) = (id(&told), site.run_of(&told).await);
    site.until(&telling, "succeeded").await;
    let unrouted = id(&site.server.github("ping", "unrouted", "1", b"{}").await);
    let listed = site.server.get("/api/v1/events?limit=1").await.body;
    let cursor = listed["nextCursor"].as_str().unwrap().to_owned();
    assert_eq!(counts(&site.server).await, [3, 0, 0]);

    site.server = site.server.restart_after(&soon(), |_| ()).await;
    for event in [&told, &unrouted] {
        gone(&site.server, event).await;
        assert_eq!(status_of(&site.server, "events", &format!("{event}/status")).await, 404);
    }
    assert_eq!(status_of(&site.server, "runs", &telling).await, 404);
    until_counted(&site.server, [1, 2, 1]).await;
    let rest = site.server.get(&format!("/api/v1/events?cursor={cursor}")).await.body;
    let rest: Vec<_> = rest["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(rest, [open.as_str()], "a list goes on although what it came to is gone");
    let runs = site.server.get("/api/v1/runs").await.body;
    assert_eq!((runs["items"].as_array().unwrap().len(), &runs["items"][0]["id"]), (1, &json!(waiting)));
    let metrics = site.server.get("/metrics").await.body;
    assert_eq!(metrics["workflows"]["runsSucceeded"], 1, "what it did is still counted");
    assert_eq!(metrics["eventQueue"]["eventsQueued"], 3);

    let again = site.server.github("push", "told", "1", br#"{"ref":"main"}"#).await;
    assert_eq!((again.body["status"].as_str(), id(&again)), (Some("duplicate"), told), "it is recognised all the same");
    assert_eq!(counts(&site.server).await, [1, 2, 1]);
    assert_eq!(site.world().notifications(), ["main"]);

    let site = site.restart().await;
    assert_eq!(counts(&site.server).await, [1, 2, 1]);
    assert_eq!(site.run(&waiting).await["status"], "waiting");
    assert_eq!(say(&site, &waiting, "cancel", json!({})).await, 200);
    gone(&site.server, &open).await;
    assert_eq!(status_of(&site.server, "runs", &waiting).await, 404);
    until_counted(&site.server, [0, 3, 2]).await;
    assert_eq!(say(&site, &waiting, "restart", json!({"step": "wait"})).await, 404);
}

#[actix::test]
async fn a_doubt_is_kept_until_somebody_has_ruled_about_it() {
    let site = Site::start(&soon()).await;
    site.world().plan_once("slack", "POST", "", FaultKind::DropAfter);
    let doubtful = site.server.github("push", "doubtful", "1", br#"{"ref":"main"}"#).await;
    let run = site.run_of(&doubtful).await;
    site.until(&run, "needs_decision").await;
    assert_eq!(say(&site, &run, "cancel", json!({})).await, 200);
    let later = id(&site.server.github("push", "later", "1", br#"{"ref":"next"}"#).await);
    gone(&site.server, &later).await;
    let shown = site.run(&run).await;
    assert_eq!((shown["status"].as_str(), shown["inDoubt"].as_bool()), (Some("cancelled"), Some(true)));
    let site = site.restart().await;
    let later = id(&site.server.github("push", "after the restart", "1", br#"{"ref":"third"}"#).await);
    gone(&site.server, &later).await;
    assert_eq!(status_of(&site.server, "runs", &run).await, 200);
    assert_eq!(say(&site, &run, "decide", json!({"decision": "done"})).await, 200);
    gone(&site.server, &id(&doubtful)).await;
}

#[actix::test]
async fn when_there_are_too_many_the_oldest_go_also_through_a_restart() {
    let toml = "[event_store]\nmax_events = 7";
    let mut server = TestServer::start("").await;
    let mut sent = Vec::new();
    for number in 0..300 {
        sent.push(id(&server.github("ping", &format!("{number}"), "1", b"{}").await));
    }
    assert_eq!(counts(&server).await, [300, 0, 0], "by age nothing goes for thirty days");
    server = server.restart(toml).await;
    until("some to be removed", async || counts(&server).await[1] > 0).await;
    server = server.restart(toml).await;
    let [stored, purged, _] = counts(&server).await;
    assert_eq!(stored + purged, 300, "nothing is counted twice");
    until_counted(&server, [7, 293, 0]).await;
    for (number, event) in sent.iter().enumerate() {
        let expect = if number < 293 { 404 } else { 200 };
        assert_eq!(status_of(&server, "events", event).await, expect, "{number}");
    }
    server.github("ping", "one more", "1", b"{}").await;
    gone(&server, &sent[293]).await;
    until_counted(&server, [7, 294, 0]).await;
}

#[actix::test]
async fn retention_that_falls_goes_on_and_one_that_is_given_up_holds_up_nobody() {
    let server = TestServer::start("[event_store]\nmax_events = 1").await;
    let vitals = server.tree().roster.of("retention").remove(0);
    vitals.rehearse(Drill::NextMessage);
    server.tree().work.retention.offer(LookNow).unwrap();
    until("it to fall and come back", async || vitals.falls() == 1 && vitals.life() == Life::Running).await;
    let first = id(&server.github("ping", "a", "1", b"{}").await);
    let second = id(&server.github("ping", "b", "1", b"{}").await);
    gone(&server, &first).await;
    vitals.rehearse(Drill::EveryStart);
    server.tree().work.retention.offer(LookNow).unwrap();
    until("it to be given up", async || vitals.life() == Life::GivenUp).await;
    assert_eq!(server.github("ping", "c", "1", b"{}").await.status, 200);
    assert_eq!((status_of(&server, "events", &second).await, server.get("/health/ready").await.status), (200, 200));
}
