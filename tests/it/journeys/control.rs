//! Operators and runs: ended, stopped for a while, ruled about, done again; and definitions with branches.

use std::path::Path;

use pointsman_sandbox::FaultKind;
use pointsman_sandbox::claude::Plan;
use serde_json::{Value, json};

use crate::server::{Answer, TOKEN, until};
use crate::site::{REPOSITORY, Site, words};

impl Site {
    async fn say(&self, run: &str, verb: &str, body: Value) -> Answer {
        let url = self.server.url(&format!("/api/v1/runs/{run}/{verb}"));
        let response = self.server.http.post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
        let (status, body) = (response.status().as_u16(), response.json().await.unwrap());
        Answer { status, retry_after: None, body }
    }
}

/// A message that parks when nobody knows whether it was sent, after a pause.
const TELLING: &str = r#"
[workflows.telling]
timeout = "10m"
[[workflows.telling.steps]]
name = "wait"
action = "delay"
with = { duration = "20ms" }
[[workflows.telling.steps]]
name = "tell"
action = "send_notification"
on_doubt = "park"
with = { text = "{{ input.branch }} was pushed" }
[[workflows.telling.steps]]
name = "again"
action = "send_notification"
with = { text = "told: {{ steps.tell.output }}" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "telling"
input = { branch = "payload.ref" }
"#;

async fn push(site: &Site, delivery: &str) -> String {
    let answer = site.server.github("push", delivery, "1", br#"{"ref":"main"}"#).await;
    site.run_of(&answer).await
}

#[actix::test]
async fn what_is_in_doubt_is_ruled_about() {
    let site = Site::start(TELLING).await;
    let doubtful = async |delivery: &str| {
        site.world().plan_once("slack", "POST", "", FaultKind::DropAfter);
        let run = push(&site, delivery).await;
        let shown = site.until(&run, "needs_decision").await;
        assert_eq!(shown["step"], "tell");
        run
    };
    let done = doubtful("a").await;
    let listed = site.server.get("/api/v1/runs?status=needs_decision").await.body;
    assert_eq!(listed["items"][0]["id"], done.as_str());
    assert_eq!(site.say(&done, "decide", json!({"decision": "maybe"})).await.status, 400);
    let wrong = site.say(&done, "decide", json!({"decision": "done", "step": "again"})).await;
    assert_eq!((wrong.status, wrong.body["message"].as_str()), (409, Some("the step `again` is not in doubt")));
    assert_eq!(site.say(&done, "decide", json!({"decision": "done", "output": {"sent": "yes"}})).await.status, 200);
    site.until(&done, "succeeded").await;
    assert_eq!(site.world().notifications(), ["main was pushed", "told: {'sent': 'yes'}"]);

    let again = doubtful("b").await;
    assert_eq!(site.say(&again, "decide", json!({"decision": "repeat"})).await.status, 200);
    site.until(&again, "succeeded").await;
    assert_eq!(site.world().notifications().len(), 5, "the operator had it sent once more");

    let failed = doubtful("c").await;
    assert_eq!(site.say(&failed, "decide", json!({"decision": "fail", "reason": "nobody saw it"})).await.status, 200);
    let shown = site.until(&failed, "failed").await;
    assert!(shown["reason"].as_str().unwrap().ends_with("an operator says that it failed: nobody saw it"), "{shown:#}");
}

#[actix::test]
async fn a_run_can_be_ended_and_stopped_for_a_while() {
    let site = Site::start("").await;
    site.world().state().claude_next.push(Plan { delay_ms: 120_000, leaves_a_child: true, ..Plan::default() });
    let answer = site.open_pull(12, "a1").await;
    let run = site.run_of(&answer).await;
    site.world().wait_for_calls(1, |call| call.service == "claude").await.unwrap();
    let cancelled = site.say(&run, "cancel", json!({"reason": "it was closed"})).await;
    assert_eq!((cancelled.status, cancelled.body["status"].as_str()), (200, Some("cancelled")), "{cancelled:?}");
    assert_eq!(cancelled.body["reason"], "it was closed");
    assert_eq!(site.say(&run, "cancel", json!({})).await.status, 409, "it is over");
    assert!(site.world().statuses(REPOSITORY, "a1").is_empty());

    let answer = site.open_pull(13, "b1").await;
    let run = site.run_of(&answer).await;
    assert_eq!(site.say(&run, "pause", json!({})).await.body["id"], run.as_str());
    let paused = site.until(&run, "paused").await;
    let site = site.restart().await;
    assert_eq!(site.until(&run, "paused").await["journal"], paused["journal"], "also through a restart");
    assert_eq!(site.say(&run, "resume", json!({})).await.status, 200);
    site.until(&run, "succeeded").await;
    assert_eq!(site.world().statuses(REPOSITORY, "b1").len(), 1);
}

/// Definitions that runs are pinned to are gone, as after a damage. The segment size is that of the store.
fn lose_definitions(directory: &Path) {
    let db = sled::Config::new().path(directory.join("log")).segment_size(4 << 20).open().unwrap();
    assert!(db.drop_tree("definitions").unwrap());
    db.flush().unwrap();
}

#[actix::test]
async fn of_a_blocked_run_the_end_can_be_said_and_its_doubt_stays() {
    let mut site = Site::start(TELLING).await;
    site.world().plan_once("slack", "POST", "", FaultKind::HoldAnswer(120_000));
    let run = push(&site, "a").await;
    site.world().wait_for_calls(1, |call| call.service == "slack").await.unwrap();
    site.server = site.server.restart_after("", lose_definitions).await;
    let blocked = site.until(&run, "blocked").await;
    assert!(blocked["reason"].as_str().unwrap().contains("is not in the store"), "{blocked:#}");
    let paused = site.say(&run, "pause", json!({})).await;
    assert_eq!((paused.status, paused.body["error"].as_str()), (409, Some("not_possible")), "{paused:?}");
    let cancelled = site.say(&run, "cancel", json!({"reason": "nobody needs it"})).await;
    assert_eq!((cancelled.status, cancelled.body["status"].as_str()), (200, Some("cancelled")), "{cancelled:?}");
    let words = words(&site.run(&run).await);
    assert_eq!(words[words.len() - 3..], ["blocked", "tell parked", "ended"], "{words:?}");
    assert_eq!(site.world().notifications().len(), 1, "nothing is sent once more");
}

#[actix::test]
async fn a_run_is_done_again_from_a_step_on() {
    let site = Site::start("").await;
    site.world().plan_once("github", "POST", "/statuses/", FaultKind::Refuse(422));
    let answer = site.open_pull(12, "a1").await;
    let run = site.run_of(&answer).await;
    site.until(&run, "failed").await;
    let refused = site.say(&run, "restart", json!({"step": "send_notification"})).await;
    assert_eq!((refused.status, refused.body["error"].as_str()), (409, Some("not_possible")));
    let site = site.restart().await;
    assert_eq!(site.say(&run, "restart", json!({"step": "update_pr_status"})).await.status, 200);
    let shown = site.until(&run, "succeeded").await;
    let words = words(&shown);
    assert_eq!(words.iter().filter(|word| *word == "validate_pr attempted").count(), 1, "what came before is kept");
    assert_eq!(words.iter().filter(|word| *word == "update_pr_status attempted").count(), 2);
    let keys: Vec<_> =
        site.world().ledger().into_iter().filter(|call| call.method == "POST").filter_map(|call| call.key).collect();
    let (status, told) = (format!("{run}/update_pr_status"), format!("{run}/send_notification"));
    let again = [&status, &told].map(|key| format!("{key}/1"));
    assert_eq!(keys, [status, told].into_iter().chain(again).collect::<Vec<_>>(), "nobody takes it for the former one");
    let told = site.world().notifications();
    assert!(told[0].contains("nor could its status be set") || told[0].contains("Passed"), "{told:?}");
    // It can be read a moment before it is durable, and is counted when it is.
    until("it to be counted as what it became", async || {
        let metrics = site.server.get("/metrics").await.body;
        (&metrics["workflows"]["runsSucceeded"], &metrics["workflows"]["runsFailed"]) == (&json!(1), &json!(0))
    })
    .await;
}

#[actix::test]
async fn only_operators_say_anything_and_only_what_can_be_said() {
    let site = Site::start("").await;
    let url = site.server.url("/api/v1/runs/run_00000000000000000000000000000000/cancel");
    assert_eq!(site.server.http.post(&url).send().await.unwrap().status(), 401);
    let nobody = site.say("run_00000000000000000000000000000000", "cancel", json!({})).await;
    assert_eq!((nobody.status, nobody.body["error"].as_str()), (404, Some("not_found")));
    let answer = site.open_pull(12, "a1").await;
    let run = site.run_of(&answer).await;
    assert_eq!(site.say(&run, "explode", json!({})).await.status, 404);
    assert_eq!(site.say(&run, "pause", json!({"for": "ever"})).await.status, 400);
    assert_eq!(site.say(&run, "decide", json!({"decision": "repeat"})).await.status, 409);
    site.until(&run, "succeeded").await;
}

/// Two branches of which one fails and is forgiven, and a step that looks at both.
const BRANCHES: &str = r#"
[workflows.branches]
timeout = "10m"
[[workflows.branches.steps]]
name = "status"
action = "update_pr_status"
needs = []
on_failure = "continue"
retry = { max_attempts = 1 }
with = { repository = "no/where", pr_number = 1, head_sha = "a1", state = "pending" }
[[workflows.branches.steps]]
name = "praise"
action = "send_notification"
needs = ["status"]
when = "steps.status.status == 'done'"
with = { text = "all is well" }
[[workflows.branches.steps]]
name = "tell"
action = "send_notification"
needs = ["status", "praise"]
with = { text = "status {{ steps.status.status }} ({{ steps.status.error.class }}), praise {{ steps.praise.status }}" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "branches"
"#;

#[actix::test]
async fn branches_are_gone_through_by_what_they_need_and_what_holds() {
    let site = Site::start(BRANCHES).await;
    let run = push(&site, "a").await;
    let shown = site.until(&run, "succeeded").await;
    assert_eq!(site.world().notifications(), ["status failed (not_found), praise skipped"]);
    assert!(words(&shown).contains(&"praise skipped".to_owned()));
    until("nothing to be in flight", async || site.server.tree().attempts_in_flight() == 0).await;
}
