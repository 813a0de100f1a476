//! Steps that have Codegen work on something: how they hear of its end, what of them is never done twice, and what they
//! say when it fails.

use pointsman_sandbox::codegen::{Plan, callback};
use pointsman_sandbox::world::Hook;
use pointsman_sandbox::{Call, FaultKind, Sandbox, TOKEN};
use serde_json::{Value, json};

use crate::server::{Answer, SECRET, TestServer, sign, until};
use crate::site::{REPOSITORY, Site, environment, words};

/// A task, and a message about what came of it.
const TASK: &str = r##"
[workflows.w]
timeout = "10m"
[[workflows.w.steps]]
name = "generate"
action = "trigger_codegen"
deadline = "5m"
timeout = "10s"
retry = { max_attempts = 2, base_delay = "10ms", jitter = 0.0 }
with = { prompt = "{{ input.says }}", repository = "acme/shop" }
[[workflows.w.steps]]
name = "tell"
action = "send_notification"
with = { text = "#{{ steps.generate.output.pr_number }} on {{ steps.generate.output.head_branch }}" }
"##;

/// A pull request is mended by whoever has opened it, if that is known.
const FIX: &str = r#"
[workflows.w]
timeout = "10m"
[[workflows.w.steps]]
name = "fix"
action = "trigger_codegen_fix"
deadline = "5m"
timeout = "10s"
retry = { max_attempts = 2, base_delay = "10ms", jitter = 0.0 }
with = { repository = "acme/shop", pr_number = "5", analysis = "{{ input.says }}", run_id = "{{ input.run }}" }
"#;

const ROUTE: &str = r#"
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "w"
input = { says = "payload.says", run = "payload.run" }
"#;

/// Nobody asks as long as a test lasts.
const NEVER: &str = "3600000";
/// Somebody asks at once, and again and again.
const SOON: &str = "20";

/// A site whose Codegen is the sandbox's, asked after so many milliseconds, with agent runs that end by this plan.
async fn site(workflow: &str, poll_interval: &'static str, plan: Plan) -> Site {
    let sandbox = Sandbox::start(0).await.unwrap();
    let mut environment = environment(&sandbox);
    environment.extend([
        ("CODEGEN_API_URL", format!("{}/codegen", sandbox.url())),
        ("CODEGEN_API_TOKEN", TOKEN.to_owned()),
        ("CODEGEN_ORG_ID", "323".to_owned()),
        ("CODEGEN_POLL_INTERVAL", poll_interval.to_owned()),
    ]);
    let toml = format!("{workflow}{ROUTE}");
    let server = TestServer::start_with(tempfile::tempdir().unwrap(), &toml, environment).await;
    {
        let mut state = sandbox.world().state();
        state.codegen.repositories = vec!["acme/other".to_owned(), REPOSITORY.to_owned()];
        state.codegen.plan = plan;
        state.codegen_hook = Some(Hook { url: server.url("/webhooks/codegen"), secret: SECRET.to_owned() });
    }
    Site { sandbox, server }
}

/// Runs end only when they are told to.
fn endless() -> Plan {
    Plan { after_polls: None, ..Plan::default() }
}

async fn push(site: &Site, says: &str, run: &str) -> String {
    let body = json!({ "ref": "refs/heads/main", "says": says, "run": run }).to_string();
    let delivery = uuid::Uuid::new_v4().to_string();
    let answer = site.server.github("push", &delivery, "1", body.as_bytes()).await;
    site.run_of(&answer).await
}

/// The agent run with this number says how it is.
pub async fn call_back(site: &Site, id: u64) -> Answer {
    let run = site.world().agent_runs().into_iter().find(|run| run.id == id).unwrap();
    let body = callback(&run).to_string();
    let headers = [("content-type", "application/json"), ("x-codegen-signature", &*sign(body.as_bytes()))];
    site.server.post("/webhooks/codegen", &headers, body.clone()).await
}

/// The output of a step.
fn output<'a>(run: &'a Value, step: &str) -> &'a Value {
    let is_its = |entry: &&Value| entry["step"] == step && entry["entry"] == "succeeded";
    &run["journal"].as_array().unwrap().iter().find(is_its).unwrap_or_else(|| panic!("{run:#}"))["output"]
}

fn is_create(call: &Call) -> bool {
    call.service == "codegen" && call.method == "POST" && call.path.ends_with("/agent/run")
}

fn creates(site: &Site) -> Vec<Call> {
    site.world().ledger().into_iter().filter(is_create).collect()
}

#[actix::test]
async fn nobody_calls_back_and_whoever_asks_hears_of_the_end() {
    let site = site(TASK, SOON, Plan { after_polls: Some(3), ..Plan::default() }).await;
    let id = push(&site, "Cache the token", "").await;
    let run = site.until(&id, "succeeded").await;
    let expect = json!({
        "run_id": 1, "status": "COMPLETE", "web_url": "https://codegen.com/agent/trace/1", "result": "It is done.",
        "pr_url": "https://github.com/acme/shop/pull/1", "pr_number": 1, "head_branch": "codegen/run-1",
    });
    assert_eq!(*output(&run, "generate"), expect);
    assert_eq!(site.world().notifications(), ["#1 on codegen/run-1"]);
    let runs = site.world().agent_runs();
    assert_eq!((runs.len(), &*runs[0].repository, runs[0].asked), (1, REPOSITORY, 3));
    assert_eq!(runs[0].prompts, ["Cache the token"]);
    let key = creates(&site)[0].key.clone().unwrap();
    assert_eq!((runs[0].metadata["pointsman_key"].as_str(), key.starts_with(&id)), (Some(&*key), true));
    let wait = site.waits(&format!("run={id}")).await.remove(0);
    assert_eq!((wait["resolvedBy"].as_str(), &wait["keys"]), (Some("poll"), &json!(["codegen:run:1"])));
    let late = call_back(&site, 1).await;
    let event = late.body["eventId"].as_str().unwrap();
    assert_eq!(site.server.get(&format!("/api/v1/events/{event}/status")).await.body["status"], "late");
}

#[actix::test]
async fn it_is_asked_again_after_a_restart() {
    let site = site(TASK, SOON, endless()).await;
    let id = push(&site, "Cache the token", "").await;
    site.until(&id, "waiting").await;
    let site = site.restart().await;
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    site.until(&id, "succeeded").await;
    assert_eq!(site.waits(&format!("run={id}")).await[0]["resolvedBy"], "poll");
    assert_eq!(creates(&site).len(), 1);
}

#[actix::test]
async fn a_callback_ends_it_once_however_often_it_comes() {
    let site = site(TASK, NEVER, endless()).await;
    let id = push(&site, "Cache the token", "").await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    for expect in ["completed_wait", "late"] {
        let answer = call_back(&site, 1).await;
        let event = answer.body["eventId"].as_str().unwrap();
        assert_eq!(site.server.get(&format!("/api/v1/events/{event}/status")).await.body["status"], expect);
    }
    let run = site.until(&id, "succeeded").await;
    let output = output(&run, "generate");
    assert_eq!((&output["run_id"], &output["pr_number"]), (&json!(1), &json!(1)));
    assert_eq!(output["web_url"], "https://codegen.com/agent/trace/1", "the attempt has learned it");
    assert_eq!(site.world().notifications(), ["#1 on codegen/run-1"]);
    assert_eq!(site.waits(&format!("run={id}")).await[0]["resolvedBy"], "callback");
}

#[actix::test]
async fn a_callback_that_is_faster_than_the_answer_is_not_lost() {
    let site = site(TASK, NEVER, Plan { calls_back: true, ..endless() }).await;
    site.world().plan_once("codegen", "POST", "/agent/run", FaultKind::CallbackFirst);
    let id = push(&site, "Cache the token", "").await;
    site.until(&id, "succeeded").await;
    assert_eq!(site.waits(&format!("run={id}")).await[0]["resolvedBy"], "callback");
    assert_eq!(site.world().notifications(), ["#1 on codegen/run-1"]);
}

#[actix::test]
async fn a_run_whose_answer_was_lost_is_found_and_not_created_twice() {
    let check = async |fault, expect: &[&str]| {
        let site = site(TASK, SOON, Plan::default()).await;
        site.world().plan_once("codegen", "POST", "/agent/run", fault);
        let id = push(&site, "Cache the token", "").await;
        let run = site.until(&id, "succeeded").await;
        let words: Vec<String> = words(&run).into_iter().filter(|word| word.starts_with("generate")).collect();
        assert_eq!(words, expect);
        assert_eq!(site.world().agent_runs().len(), 1, "{fault:?}");
        let keys: Vec<_> = creates(&site).into_iter().map(|call| call.key).collect();
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    };
    let found = ["attempted", "failed", "looking", "waiting", "succeeded"].map(|word| format!("generate {word}"));
    let absent = ["attempted", "failed", "looking", "absent", "attempted", "waiting", "succeeded"];
    let absent = absent.map(|word| format!("generate {word}"));
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let absent: Vec<&str> = absent.iter().map(String::as_str).collect();
    check(FaultKind::DropAfter, &found).await;
    check(FaultKind::ErrorAfter(502), &found).await;
    check(FaultKind::DropBefore, &absent).await;
}

#[actix::test]
async fn whoever_is_asked_to_slow_down_does() {
    let site = site(TASK, SOON, Plan::default()).await;
    site.world().plan_once("codegen", "POST", "/agent/run", FaultKind::RateLimit(1));
    site.world().plan_once("codegen", "GET", "/agent/run/", FaultKind::RateLimit(1));
    let id = push(&site, "Cache the token", "").await;
    site.until(&id, "succeeded").await;
    let calls = site.world().ledger();
    let between = |such: &dyn Fn(&&Call) -> bool| {
        let times: Vec<i64> = calls.iter().filter(such).map(|call| call.at_ms).collect();
        assert_eq!(times.len(), 2, "{calls:#?}");
        times[1] - times[0]
    };
    assert!(between(&|call| is_create(call)) >= 1_000);
    assert!(between(&|call| call.path.contains("/agent/run/")) >= 1_000);
    assert_eq!(site.world().agent_runs().len(), 1);
}

#[actix::test]
async fn no_more_are_created_a_minute_than_codegen_takes_and_that_uses_up_no_attempt() {
    let once = TASK.replace("max_attempts = 2", "max_attempts = 1");
    let site = site(&once, SOON, Plan { limits: true, ..Plan::default() }).await;
    let mut runs = Vec::new();
    for number in 0..11 {
        runs.push(push(&site, &format!("Task {number}"), "").await);
    }
    let mut held_back = Vec::new();
    until("ten to have ended", async || {
        let (mut ended, mut others) = (0, Vec::new());
        for id in &runs {
            let run = site.run(id).await;
            if run["status"] == "succeeded" { ended += 1 } else { others.push(run) }
        }
        held_back = others;
        ended == 10 && words(&held_back[0]).last().is_some_and(|word| word == "generate failed")
    })
    .await;
    let last = held_back[0]["journal"].as_array().unwrap().last().unwrap();
    assert_eq!((held_back[0]["status"].as_str(), &last["error"]["class"]), (Some("waiting"), &json!("rate_limit")));
    assert!(last["error"]["retry_after_ms"].as_u64().is_some_and(|pause| pause > 30_000), "{last}");
    assert_eq!(creates(&site).len(), 10, "it was not even sent");
}

#[actix::test]
async fn a_run_that_failed_fails_its_step_in_the_providers_words_and_is_not_begun_again() {
    let check = async |status: &str, by_callback: bool| {
        let site = site(TASK, if by_callback { NEVER } else { SOON }, endless()).await;
        let id = push(&site, "Cache the token", "").await;
        site.until(&id, "waiting").await;
        site.world().end_agent_run(1, status, "The tests cannot be run.");
        if by_callback {
            call_back(&site, 1).await;
        }
        let run = site.until(&id, "failed").await;
        let reason = format!(
            "step `generate`: run_failed: the agent run 1 ended as {status}: The tests cannot be run.; \
             https://codegen.com/agent/trace/1"
        );
        assert_eq!((run["reason"].as_str(), creates(&site).len()), (Some(&*reason), 1));
    };
    check("ERROR", false).await;
    check("OUT_OF_TOKENS", false).await;
    check("FAILED", true).await;
}

#[actix::test]
async fn what_codegen_refuses_is_said_with_the_remedy() {
    let check = async |status, says: &str| {
        let site = site(TASK, SOON, Plan::default()).await;
        site.world().plan_once("codegen", "POST", "/agent/run", FaultKind::Refuse(status));
        let id = push(&site, "Cache the token", "").await;
        let run = site.until(&id, "failed").await;
        let reason = run["reason"].as_str().unwrap();
        assert!(reason.contains(says) && !reason.contains(TOKEN), "{reason}");
        assert_eq!(site.world().agent_runs().len(), 0);
    };
    check(401, "authentication: POST /agent/run: 401 by plan; the token in CODEGEN_API_TOKEN was refused").await;
    check(402, "the plan of the organisation allows no further agent run").await;
    check(422, "validation: POST /agent/run: 422 by plan").await;
    let site = site(&TASK.replace("acme/shop", "acme/none"), SOON, Plan::default()).await;
    let id = push(&site, "Cache the token", "").await;
    let run = site.until(&id, "failed").await;
    let expect =
        "step `generate`: not_found: Codegen does not know the repository `acme/none`; connect it to the organisation";
    assert_eq!(run["reason"], expect);
}

#[actix::test]
async fn a_fix_goes_on_with_the_agent_that_is_known() {
    let site = site(FIX, SOON, Plan::default()).await;
    site.put_pull(5, "a1", "+fn new() {}\n");
    let first = push(&site, "`cargo test` fails in src/lib.rs", "").await;
    let run = site.until(&first, "succeeded").await;
    assert_eq!(output(&run, "fix")["run_id"], 1);
    let second = push(&site, "It fails in another place", "1").await;
    let run = site.until(&second, "succeeded").await;
    assert_eq!(output(&run, "fix")["run_id"], 1);
    let runs = site.world().agent_runs();
    assert_eq!((runs.len(), runs[0].prompts.len()), (1, 2));
    for (prompt, finding) in runs[0].prompts.iter().zip(["fails in src/lib.rs", "in another place"]) {
        assert!(prompt.contains("the pull request acme/shop#5") && prompt.contains(finding), "{prompt}");
    }
}

#[actix::test]
async fn a_fix_waits_for_whoever_is_at_work_also_when_nobody_calls_back() {
    let site = site(FIX, SOON, endless()).await;
    site.put_pull(5, "a1", "+fn new() {}\n");
    let first = push(&site, "one", "").await;
    site.until(&first, "waiting").await;
    // That there is nobody else to wait for any more is learned by asking.
    let second = push(&site, "two", "").await;
    site.until(&second, "waiting").await;
    assert_eq!(creates(&site).len(), 1);
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    site.until(&first, "succeeded").await;
    until("the other agent to be begun", async || site.world().agent_runs().len() == 2).await;
    site.world().end_agent_run(2, "COMPLETE", "It is done.");
    let run = site.until(&second, "succeeded").await;
    assert_eq!(output(&run, "fix")["run_id"], 2);
}

#[actix::test]
async fn of_an_agent_that_went_on_it_is_seen_whether_it_did_or_asked_whoever_knows() {
    let site = site(FIX, NEVER, endless()).await;
    site.put_pull(5, "a1", "+fn new() {}\n");
    let first = push(&site, "one", "").await;
    site.until(&first, "waiting").await;
    site.world().plan_once("codegen", "POST", "/agent/run/resume", FaultKind::DropAfter);
    let second = push(&site, "two", "1").await;
    site.until(&second, "waiting").await;
    assert_eq!(site.world().agent_runs()[0].prompts.len(), 2, "it went on, and was not told again");
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    site.world().plan_once("codegen", "POST", "/agent/run/resume", FaultKind::DropBefore);
    let third = push(&site, "three", "1").await;
    let run = site.until(&third, "needs_decision").await;
    let reason = run["reason"].as_str().unwrap();
    assert!(reason.contains("the agent run 1 is not at work"), "{reason}");
}

#[actix::test]
async fn without_a_token_it_is_said_what_is_missing() {
    let site = Site::start(&format!("{TASK}{ROUTE}")).await;
    let body = json!({ "ref": "refs/heads/main", "says": "x", "run": "" }).to_string();
    let answer = site.server.github("push", "d", "1", body.as_bytes()).await;
    let event = answer.body["eventId"].as_str().unwrap();
    let status = site.server.get(&format!("/api/v1/events/{event}/status")).await.body;
    assert_eq!(status["status"], "unrouted");
    let reason = status["verdict"]["reason"].as_str().unwrap();
    assert!(reason.contains("set CODEGEN_API_TOKEN and CODEGEN_ORG_ID"), "{reason}");
}
