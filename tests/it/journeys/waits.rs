//! Runs that wait for an event: in time, before they come to it, through a restart, in vain, too late.

use pointsman_sandbox::FaultKind;
use serde_json::{Value, json};

use crate::server::{Answer, sign};
use crate::site::{Site, words};

/// A message, then a callback of Codegen for the number that the push names, then another message.
const WAITING: &str = r#"
[workflows.waiting]
timeout = "10m"
[[workflows.waiting.steps]]
name = "first"
action = "send_notification"
with = { text = "begun" }
[[workflows.waiting.steps]]
name = "generated"
action = "wait_for_event"
deadline = "5m"
on_timeout = { goto = "last" }
with = { source = "codegen", event = "generation", actions = ["complete", "failed"], key = "codegen:run:{{ input.number }}" }
[[workflows.waiting.steps]]
name = "last"
action = "send_notification"
with = { text = "{{ steps.generated.status }}: {{ steps.generated.output.facts.more.pr_url }}" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "waiting"
input = { number = "payload.number" }
"#;

impl Site {
    pub(super) async fn push_number(&self, number: u64) -> String {
        let body = json!({ "ref": "refs/heads/main", "number": number }).to_string();
        let delivery = uuid::Uuid::new_v4().to_string();
        let answer = self.server.github("push", &delivery, "1", body.as_bytes()).await;
        self.run_of(&answer).await
    }

    /// Codegen says that a run of its own is complete.
    pub(super) async fn generated(&self, number: u64) -> Answer {
        let body = json!({
            "event_type": "generation.complete",
            "event_id": uuid::Uuid::new_v4().to_string(),
            "timestamp": "2026-01-05T10:00:00Z",
            "data": { "run_id": number, "pr_url": "https://github.com/acme/shop/pull/5" },
        });
        let body = body.to_string();
        let headers = [("content-type", "application/json"), ("x-codegen-signature", &sign(body.as_bytes()))];
        self.server.post("/webhooks/codegen", &headers, body.clone()).await
    }

    async fn event_of(&self, answer: &Answer) -> Value {
        assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("accepted")), "{answer:?}");
        let event = answer.body["eventId"].as_str().unwrap();
        self.server.get(&format!("/api/v1/events/{event}/status")).await.body
    }

    pub(super) async fn waits(&self, query: &str) -> Vec<Value> {
        self.server.get(&format!("/api/v1/waits?{query}")).await.body["items"].as_array().unwrap().clone()
    }
}

const TOLD: &str = "done: https://github.com/acme/shop/pull/5";

#[actix::test]
async fn a_run_goes_on_when_it_is_called_back_also_after_a_restart() {
    let site = Site::start(WAITING).await;
    let run = site.push_number(17).await;
    let other = site.push_number(18).await;
    let shown = site.until(&run, "waiting").await;
    assert_eq!(
        (shown["step"].as_str(), shown["reason"].as_str()),
        (Some("generated"), Some("to be called back as codegen:run:17"))
    );
    site.until(&other, "waiting").await;
    let site = site.restart().await;
    let open = site.waits(&format!("run={run}")).await;
    assert_eq!(
        (open.len(), open[0]["status"].as_str(), open[0]["keys"].clone()),
        (1, Some("open"), json!(["codegen:run:17"]))
    );
    let event = site.event_of(&site.generated(17).await).await;
    assert_eq!((event["status"].as_str(), event["waits"].clone()), (Some("completed_wait"), json!([open[0]["id"]])));
    let shown = site.until(&run, "succeeded").await;
    let done = shown["journal"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["entry"] == "succeeded" && entry["step"] == "generated");
    assert_eq!(done.unwrap()["event"], event["id"], "the journal names who called back");
    assert_eq!(site.world().notifications(), ["begun", "begun", TOLD]);
    let resolved = site.waits("status=resolved").await;
    assert_eq!(
        (resolved.len(), resolved[0]["resolvedBy"].as_str(), &resolved[0]["event"]),
        (1, Some("callback"), &event["id"])
    );
    assert_eq!(site.until(&other, "waiting").await["status"], "waiting");
    let metrics = site.server.get("/metrics").await.body;
    assert_eq!((&metrics["workflows"]["waitsOpen"], &metrics["workflows"]["waitsResolved"]), (&json!(1), &json!(1)));
    assert_eq!(
        site.server.get(&format!("/api/v1/waits/{}", resolved[0]["id"].as_str().unwrap())).await.body,
        resolved[0]
    );
    assert_eq!(site.server.get("/api/v1/waits/run_1").await.status, 400);
}

#[actix::test]
async fn what_comes_before_the_run_has_come_to_it_is_kept_for_it() {
    let site = Site::start(WAITING).await;
    site.world().plan_once("slack", "POST", "", FaultKind::HoldAnswer(400));
    let run = site.push_number(17).await;
    let event = site.event_of(&site.generated(17).await).await;
    assert_eq!(event["status"], "buffered", "{event}");
    let shown = site.until(&run, "succeeded").await;
    assert!(words(&shown).contains(&"generated waiting".to_owned()));
    let status = site.server.get(&format!("/api/v1/events/{}/status", event["id"].as_str().unwrap())).await.body;
    assert_eq!(
        (status["status"].as_str(), status["waits"].as_array().map(Vec::len)),
        (Some("completed_wait"), Some(1))
    );
    let unwanted = site.server.get("/api/v1/waits?status=open").await.body;
    assert_eq!(unwanted["items"], json!([]));
}

#[actix::test]
async fn a_run_that_nobody_calls_back_goes_its_other_way_and_a_late_callback_says_so() {
    let site = Site::start(&WAITING.replace("\"5m\"", "\"50ms\"")).await;
    let run = site.push_number(17).await;
    let shown = site.until(&run, "succeeded").await;
    let all = words(&shown);
    assert_eq!(all[all.len() - 5..], ["generated failed", "last attempted", "last noted", "last succeeded", "ended"]);
    assert_eq!(site.world().notifications(), ["begun", "failed: "]);
    let wait = site.waits(&format!("run={run}")).await.remove(0);
    assert_eq!((wait["status"].as_str(), wait["resolvedBy"].as_str()), (Some("resolved"), Some("timeout")));
    let event = site.event_of(&site.generated(17).await).await;
    assert_eq!((event["status"].as_str(), event["verdict"]["waits"].clone()), (Some("late"), json!([wait["id"]])));
    let listed = site.server.get("/api/v1/events?status=late").await.body;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
}

#[actix::test]
async fn a_cancelled_run_waits_for_nothing() {
    let site = Site::start(WAITING).await;
    let run = site.push_number(17).await;
    site.until(&run, "waiting").await;
    let url = site.server.url(&format!("/api/v1/runs/{run}/cancel"));
    let cancelled = site.server.http.post(url).bearer_auth(crate::server::TOKEN).send().await.unwrap();
    assert_eq!(cancelled.status(), 200);
    assert_eq!(site.waits("status=resolved").await[0]["resolvedBy"], "cancel");
    assert_eq!(site.event_of(&site.generated(17).await).await["status"], "late");
    let nobody = site.event_of(&site.generated(99).await).await;
    assert_eq!(nobody["status"], "buffered", "another run could come to wait for it");
}
