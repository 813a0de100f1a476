//! What failed for good is listed with its reason and done again: one, or many, or never.

use pointsman_actors::router::backlog::RouteBacklog;
use pointsman_actors::supervisor::{Drill, Life};
use pointsman_sandbox::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::server::{Answer, TOKEN, TestServer, until};
use crate::site::{Site, words};

/// A push tells somebody, once it has been looked at.
const TELLING: &str = r#"
[dead_letters]
redrive_rate = 1000
[[workflows.telling.steps]]
name = "first"
action = "send_notification"
with = { text = "first" }
[[workflows.telling.steps]]
name = "tell"
action = "send_notification"
retry = { max_attempts = 1 }
with = { text = "{{ input.branch }}" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "telling"
input = { branch = "payload.ref" }
"#;

async fn post(server: &TestServer, path: &str, body: Value) -> Answer {
    let request = server.http.post(server.url(&format!("/api/v1/{path}"))).bearer_auth(TOKEN).json(&body);
    let response = request.send().await.unwrap();
    let (status, body) = (response.status().as_u16(), response.json().await.unwrap());
    Answer { status, retry_after: None, body }
}

async fn letters(server: &TestServer, query: &str) -> Vec<Value> {
    server.get(&format!("/api/v1/dead-letters{query}")).await.body["items"].as_array().unwrap().clone()
}

/// Dead letters, those to be redriven, redriven, dismissed.
async fn counts(server: &TestServer) -> [u64; 4] {
    let metrics = server.get("/metrics").await.body;
    ["deadLetters", "waitingForRedrive", "redriven", "dismissed"]
        .map(|name| metrics["deadLetters"][name].as_u64().unwrap())
}

/// It can be read a moment before it is durable, and is counted when it is.
async fn until_counted(server: &TestServer, expect: [u64; 4]) {
    until(&format!("{expect:?} to be counted"), async || counts(server).await == expect).await;
}

/// Slack refuses so many times what a call is about.
fn refuse(site: &Site, times: u32) {
    let slack =
        Fault { service: "slack".into(), method: None, path_contains: None, times, kind: FaultKind::Refuse(404) };
    site.world().state().faults.push(slack);
}

/// The run when it has succeeded, although it has failed before.
async fn succeeds(site: &Site, run: &str) -> Value {
    until("it to succeed", async || site.run(run).await["status"] == "succeeded").await;
    site.run(run).await
}

/// A push whose run fails at its first step.
async fn fails(site: &Site, branch: &str) -> String {
    refuse(site, 1);
    let body = json!({ "ref": branch }).to_string();
    let answer = site.server.github("push", branch, "1", body.as_bytes()).await;
    let run = site.run_of(&answer).await;
    site.until(&run, "failed").await;
    run
}

#[actix::test]
async fn what_failed_for_good_is_listed_and_done_again_from_where_it_failed() {
    let site = Site::start(TELLING).await;
    let server = &site.server;
    let run = fails(&site, "main").await;
    let listed = letters(server, "").await;
    assert_eq!(
        (listed.len(), listed[0]["id"].as_str(), listed[0]["kind"].as_str()),
        (1, Some(run.as_str()), Some("run"))
    );
    assert!(listed[0]["reason"].as_str().unwrap().starts_with("step `first`: not_found"), "{listed:?}");
    assert_eq!((listed[0]["status"].as_str(), listed[0]["poison"].as_bool()), (Some("failed"), Some(false)));
    let shown = server.get(&format!("/api/v1/dead-letters/{run}")).await.body;
    assert_eq!(shown["history"], site.run(&run).await["journal"]);
    until_counted(server, [1, 0, 0, 0]).await;

    let answer = post(server, "dead-letters/redrive", json!({ "id": run })).await;
    assert_eq!((answer.status, answer.body["taken"].as_u64()), (200, Some(1)), "{answer:?}");
    let done = succeeds(&site, &run).await;
    assert_eq!(words(&done).iter().filter(|word| *word == "restarted").count(), 1);
    assert_eq!(site.world().notifications(), ["first", "main"]);
    assert_eq!(letters(server, "").await, Vec::<Value>::new());
    until_counted(server, [0, 0, 1, 0]).await;
    let again = post(server, "dead-letters/redrive", json!({ "id": run })).await;
    assert_eq!((again.status, again.body["message"].as_str()), (409, Some("it is no dead letter")));
    assert_eq!(server.get(&format!("/api/v1/dead-letters/{run}")).await.status, 404);
}

#[actix::test]
async fn many_are_done_again_at_a_bounded_rate_also_through_a_restart() {
    let slow = TELLING.replace("redrive_rate = 1000", "redrive_rate = 1");
    let mut site = Site::start(&slow).await;
    let mut runs = Vec::new();
    for number in 0..4 {
        runs.push(fails(&site, &format!("b{number}")).await);
    }
    until_counted(&site.server, [4, 0, 0, 0]).await;
    let all = json!({ "filter": { "workflow": "telling", "q": "NOT_FOUND" } });
    let mut rehearsal = all.clone();
    rehearsal["dry_run"] = true.into();
    let would = post(&site.server, "dead-letters/redrive", rehearsal).await.body;
    assert_eq!((would["taken"].as_u64(), would["more"].as_bool()), (Some(4), Some(false)), "{would:#}");
    let ids: Vec<&str> = would["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids, runs.iter().rev().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(counts(&site.server).await, [4, 0, 0, 0], "a rehearsal changes nothing");

    let taken = post(&site.server, "dead-letters/redrive", all.clone()).await.body;
    assert_eq!(taken["taken"], 4, "{taken:#}");
    let repeated = post(&site.server, "dead-letters/redrive", all).await.body;
    assert_eq!(repeated["taken"], 0, "nothing is taken twice: {repeated:#}");
    // One a second: not all are done before it ends, and the next process goes on with them.
    site.server = site.server.restart_after(TELLING, |_| ()).await;
    for run in &runs {
        let done = succeeds(&site, run).await;
        assert_eq!(words(&done).iter().filter(|word| *word == "restarted").count(), 1, "each once");
    }
    until_counted(&site.server, [0, 0, 4, 0]).await;
    assert_eq!(site.world().notifications().len(), 8);
}

#[actix::test]
async fn what_is_in_doubt_is_ruled_about_first_and_what_nobody_wants_is_dismissed() {
    const PARALLEL: &str = r#"
[dead_letters]
redrive_rate = 1000
[[workflows.parallel.steps]]
name = "sent"
action = "send_notification"
needs = []
on_doubt = "park"
with = { text = "sent" }
[[workflows.parallel.steps]]
name = "status"
action = "update_pr_status"
needs = []
retry = { max_attempts = 1 }
with = { repository = "no/where", pr_number = 1, head_sha = "a1", state = "pending" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "parallel"
"#;
    let site = Site::start(PARALLEL).await;
    let server = &site.server;
    site.world().plan_once("slack", "POST", "", FaultKind::DropAfter);
    let doubtful = site.run_of(&server.github("push", "a", "1", b"{}").await).await;
    site.until(&doubtful, "failed").await;
    let plain = site.run_of(&server.github("push", "b", "1", b"{}").await).await;
    site.until(&plain, "failed").await;
    let all = json!({ "filter": {} });
    let taken = post(server, "dead-letters/redrive", all).await.body;
    assert_eq!((taken["taken"].as_u64(), &taken["refused"][0]["id"]), (Some(1), &json!(doubtful)), "{taken:#}");
    assert!(taken["refused"][0]["reason"].as_str().unwrap().contains("decide about that first"));
    let one = post(server, "dead-letters/redrive", json!({ "id": doubtful })).await;
    assert_eq!((one.status, one.body["error"].as_str()), (409, Some("not_possible")), "{one:?}");
    // It fails again, and is a dead letter once more.
    until("it to be tried again", async || words(&site.run(&plain).await).contains(&"restarted".to_owned())).await;
    site.until(&plain, "failed").await;
    until_counted(server, [2, 0, 1, 0]).await;
    let dismissed = post(server, &format!("dead-letters/{plain}/dismiss"), json!({ "reason": "no such place" })).await;
    assert_eq!(dismissed.status, 200, "{dismissed:?}");
    assert_eq!(words(&site.run(&plain).await).last().map(String::as_str), Some("dismissed"));
    assert_eq!(post(server, &format!("dead-letters/{plain}/dismiss"), json!({})).await.status, 409);
    let ids: Vec<Value> = letters(server, "").await.into_iter().map(|letter| letter["id"].clone()).collect();
    assert_eq!(ids, [json!(doubtful)]);
    until_counted(server, [1, 0, 1, 1]).await;
    assert_eq!(site.run(&plain).await["status"], "failed", "what happened stands as it is");
    assert_eq!(letters(server, "?kind=event").await.len(), 0);
    assert_eq!(server.get("/api/v1/dead-letters?kind=wait").await.status, 400);
    assert_eq!(post(server, "dead-letters/redrive", json!({})).await.status, 400);
}

/// A rule that fails whatever comes, and one that does not.
fn rule(when: &str) -> String {
    let head = "[event_router]\nmax_attempts = 2\n";
    format!("{head}{}", TELLING.replace("event = \"push\"\n", &format!("event = \"push\"\nwhen = \"{when}\"\n")))
}

#[actix::test]
async fn an_event_that_cannot_be_routed_ends_as_a_dead_letter_and_comes_back() {
    let mut site = Site::start(&rule("payload.ref / 0 > 1")).await;
    let answer = site.server.github("push", "a", "1", br#"{"ref":"main"}"#).await;
    assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("accepted")), "{answer:?}");
    let event = answer.body["eventId"].as_str().unwrap().to_owned();
    let status = async |site: &Site| {
        site.server.get(&format!("/api/v1/events/{event}/status")).await.body["status"].as_str().unwrap().to_owned()
    };
    let retry = async |site: &Site| post(&site.server, &format!("events/{event}/retry"), json!({})).await;
    assert_eq!(status(&site).await, "pending");
    while status(&site).await == "pending" {
        assert_eq!(retry(&site).await.body["outcome"], "routed");
    }
    let dead = site.server.get(&format!("/api/v1/dead-letters/{event}")).await.body;
    assert_eq!((dead["status"].as_str(), dead["kind"].as_str()), (Some("dead_lettered"), Some("event")), "{dead:#}");
    assert!(dead["reason"].as_str().unwrap().starts_with("route `pushed` failed"), "{dead:#}");
    let last = dead["history"].as_array().unwrap().last().unwrap();
    assert_eq!((last["entry"].as_str(), last["number"].as_u64()), (Some("routing_failed"), Some(2)), "{dead:#}");
    let listed = site.server.get("/api/v1/events?status=dead_lettered").await.body;
    assert_eq!(listed["items"][0]["id"], event.as_str());
    until_counted(&site.server, [1, 0, 0, 0]).await;

    site.server = site.server.restart_after(&rule("payload.ref == 'main'"), |_| ()).await;
    assert_eq!(status(&site).await, "dead_lettered", "nobody tries again before an operator says so");
    let taken = post(&site.server, "dead-letters/redrive", json!({ "filter": { "kind": "event" } })).await.body;
    assert_eq!(taken["taken"], 1, "{taken:#}");
    until("it to be routed", async || status(&site).await == "started").await;
    let shown = site.server.get(&format!("/api/v1/events/{event}")).await.body;
    site.until(shown["runs"][0].as_str().unwrap(), "succeeded").await;
    assert_eq!(shown["history"].as_array().unwrap().last().unwrap()["entry"], "redriven", "{shown:#}");
    until_counted(&site.server, [0, 0, 1, 0]).await;
}

#[actix::test]
async fn a_replay_is_one_new_generation_and_a_request_is_followed_once() {
    let site = Site::start(TELLING).await;
    let server = &site.server;
    let answer = server.github("push", "a", "1", br#"{"ref":"main"}"#).await;
    let event = answer.body["eventId"].as_str().unwrap().to_owned();
    let first = site.run_of(&answer).await;
    site.until(&first, "succeeded").await;
    let retry = async |body| post(server, &format!("events/{event}/retry"), body).await;
    let second = retry(json!({ "request_id": "r1" })).await.body;
    assert_eq!((second["outcome"].as_str(), second["generation"].as_u64()), (Some("replayed"), Some(1)), "{second:#}");
    let repeated = retry(json!({ "request_id": "r1" })).await.body;
    assert_eq!((&repeated["outcome"], &repeated["runs"]), (&json!("already_replayed"), &second["runs"]));
    let third = retry(json!({})).await.body;
    assert_eq!(third["generation"], 2);
    let runs: Vec<String> = [&second, &third].map(|told| told["runs"][0].as_str().unwrap().to_owned()).into();
    for run in &runs {
        site.until(run, "succeeded").await;
    }
    let shown = server.get(&format!("/api/v1/events/{event}")).await.body;
    assert_eq!(shown["runs"], json!([first, runs[0], runs[1]]));
    assert_eq!(site.world().notifications().len(), 6);

    let nothing = server.github("issues", "b", "1", b"{}").await;
    let nothing = nothing.body["eventId"].as_str().unwrap();
    let refused = post(server, &format!("events/{nothing}/retry"), json!({})).await;
    assert_eq!(refused.status, 409);
    assert!(refused.body["message"].as_str().unwrap().contains("no route for issues"), "{refused:?}");

    let filter = json!({ "filter": { "source": "github" }, "dry_run": true });
    let would = post(server, "events/replay", filter).await.body;
    assert_eq!((would["taken"].as_u64(), would["items"].as_array().unwrap().len()), (Some(1), 2), "{would:#}");
    assert_eq!(would["items"][0]["workflows"], json!(["telling"]), "oldest first");
    let filter = json!({ "filter": { "type": "push" }, "request_id": "r2" });
    assert_eq!(post(server, "events/replay", filter.clone()).await.body["items"][0]["generation"], 3);
    let again = post(server, "events/replay", filter).await.body;
    assert_eq!((again["taken"].as_u64(), &again["items"][0]["outcome"]), (Some(0), &json!("already_replayed")));
    assert_eq!(post(server, "events/replay", json!({ "filter": {} })).await.status, 400, "not everything at once");
    let all = server.get(&format!("/api/v1/runs?event={event}")).await.body;
    assert_eq!(all["items"].as_array().unwrap().len(), 4);
}

/// A step that takes longer than any grace period, and may be repeated.
const LONG: &str = r#"
[[workflows.long.steps]]
name = "ask"
action = "http_request"
timeout = "2m"
retry = { max_attempts = 9 }
with = { url = "ECHO/slow" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "long"
"#;

#[actix::test]
async fn what_kills_the_process_three_times_alone_is_poison_and_an_ordered_end_counts_against_no_one() {
    let mut site = Site::start("").await;
    let url = site.sandbox.url();
    let toml = format!("[workflow]\ntimeout = \"10m\"\n{}", LONG.replace("ECHO", &format!("{url}/echo")));
    site.world().state().faults.push(Fault {
        service: "echo".into(),
        method: None,
        path_contains: None,
        times: 99,
        kind: FaultKind::HoldAnswer(120_000),
    });
    site.server = site.server.restart_after(&toml, |_| ()).await;
    let run = site.run_of(&site.server.github("push", "a", "1", b"{}").await).await;
    let calls = async |site: &Site, number| {
        site.world().wait_for_calls(number, |call| call.service == "echo").await.unwrap();
    };
    for ordered in 1..=4 {
        calls(&site, ordered).await;
        site.server = site.server.restart_after(&toml, |_| ()).await;
    }
    // What a process leaves that dies.
    let dies = |data: &std::path::Path| std::fs::write(data.join(pointsman::alive::ALIVE_FILE), "1").unwrap();
    for death in 5..=7 {
        calls(&site, death).await;
        assert_eq!(site.run(&run).await["status"], "running");
        site.server = site.server.restart_after(&toml, dies).await;
    }
    let failed = site.until(&run, "failed").await;
    assert!(failed["reason"].as_str().unwrap().contains("poison: the process died 3 times in a row"), "{failed:#}");
    let poison = letters(&site.server, "?poison=true").await;
    assert_eq!((poison.len(), poison[0]["id"].as_str()), (1, Some(run.as_str())));
}

#[actix::test]
async fn dead_letters_that_fall_come_back_and_when_they_are_given_up_everything_else_goes_on() {
    let site = Site::start(TELLING).await;
    let run = fails(&site, "main").await;
    let vitals = site.server.tree().roster.of("dead_letter").remove(0);
    vitals.rehearse(Drill::NextMessage);
    let fell = post(&site.server, "dead-letters/redrive", json!({ "filter": {} })).await;
    assert_eq!((fell.status, fell.body["error"].as_str()), (503, Some("not_known")));
    until("it to come back", async || vitals.falls() == 1 && vitals.life() == Life::Running).await;
    assert_eq!(post(&site.server, "dead-letters/redrive", json!({ "filter": {} })).await.body["taken"], 1);
    succeeds(&site, &run).await;
    vitals.rehearse(Drill::EveryStart);
    post(&site.server, "dead-letters/redrive", json!({ "filter": {} })).await;
    until("it to be given up", async || vitals.life() == Life::GivenUp).await;
    site.server.tree().work.backlog.offer(RouteBacklog).unwrap();
    let again = fails(&site, "next").await;
    assert_eq!(letters(&site.server, "").await[0]["id"], again.as_str());
    assert_eq!(post(&site.server, "dead-letters/redrive", json!({ "id": again })).await.status, 503);
}
