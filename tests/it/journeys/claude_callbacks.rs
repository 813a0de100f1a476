//! Runs that wait for what Claude Code says: by its hooks, which know no signature and are not sent again, and by
//! validations of somebody's own.

use pointsman_sandbox::anthropic::Turn;
use pointsman_sandbox::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::server::{Answer, SECRET, sign, until};
use crate::site::{Site, output, real_claude, words};

/// A message, then the end of a session or of a validation, whichever the push names, then another message.
const WAITING: &str = r#"
[workflows.session]
timeout = "10m"
[[workflows.session.steps]]
name = "first"
action = "send_notification"
with = { text = "begun" }
[[workflows.session.steps]]
name = "answered"
action = "wait_for_event"
deadline = "5m"
on_timeout = { goto = "last" }
with = { source = "claude-code", event = ["stop", "stop_failure", "session_end"], key = "claude:session:{{ input.id }}" }
[[workflows.session.steps]]
name = "last"
action = "send_notification"
[workflows.session.steps.with]
text = "{{ steps.answered.output.type }}|{{ steps.answered.output.facts.conclusion }}|{{ steps.answered.output.facts.more.error }}|{{ steps.answered.output.facts.more.last_assistant_message }}"

[workflows.validation]
timeout = "10m"
[[workflows.validation.steps]]
name = "first"
action = "send_notification"
with = { text = "begun" }
[[workflows.validation.steps]]
name = "answered"
action = "wait_for_event"
deadline = "5m"
on_timeout = { goto = "last" }
with = { source = "claude-code", event = "validation", actions = ["complete", "failed"], key = "claude:validation:{{ input.id }}" }
[[workflows.validation.steps]]
name = "last"
action = "send_notification"
[workflows.validation.steps.with]
text = "{{ steps.answered.output.action }}|{{ steps.answered.output.facts.conclusion }}|{{ steps.answered.output.facts.more.error }}|{{ steps.answered.output.facts.subject }}"

[[routes]]
name = "session"
source = "github"
event = "push"
when = "payload.kind == 'session'"
workflow = "session"
input = { id = "payload.id" }
[[routes]]
name = "validation"
source = "github"
event = "push"
when = "payload.kind == 'validation'"
workflow = "validation"
input = { id = "payload.id" }
"#;

/// How whoever calls back proves it.
#[derive(Clone, Copy)]
enum Proof {
    Token,
    Signature,
}

/// Something that calls back.
struct Callback {
    /// What it is about.
    kind: &'static str,
    id: String,
    body: Value,
    proof: Proof,
    /// What the run says when it has heard it.
    told: &'static str,
}

/// A hook as Claude Code 2.1.330 sends it.
fn hook(name: &str, session: &str, more: &Value) -> Value {
    let mut body = json!({
        "session_id": session,
        "transcript_path": format!("/home/ada/.claude/projects/-work/{session}.jsonl"),
        "cwd": "/work",
        "prompt_id": "da5b2a3f-5661-4460-a85b-21a60c29b69d",
        "hook_event_name": name,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// One of each kind; `run` tells those of one test from each other.
fn callbacks(run: &str) -> Vec<Callback> {
    let session = |place: u32| format!("{run}1111-2222-4333-8444-55555555555{place}");
    let of_session = |place, name, more: Value, told| {
        let id = session(place);
        Callback { kind: "session", body: hook(name, &id, &more), id, proof: Proof::Token, told }
    };
    let stop = json!({
        "permission_mode": "default", "effort": {"level": "medium"}, "stop_hook_active": false,
        "last_assistant_message": "All tests pass.", "background_tasks": [], "session_crons": [],
    });
    let failure = json!({
        "effort": {"level": "medium"}, "error": "rate_limit", "last_assistant_message": "API Error: 429",
    });
    let of_validation = |id: Value, body: Value, told| {
        let text = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        Callback { kind: "validation", id: text, body, proof: Proof::Signature, told }
    };
    let validation = |kind: &str, id: &Value, more: Value| {
        let mut body = json!({
            "event_type": kind, "timestamp": "2026-01-05T10:00:00Z",
            "data": {"validation_id": id, "pr_number": 12, "repository": "acme/shop"},
        });
        body["data"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (named, numbered) = (json!(format!("{run}-v")), json!(4_711));
    vec![
        of_session(1, "Stop", stop, "stop|||All tests pass."),
        of_session(2, "StopFailure", failure, "stop_failure||rate_limit|API Error: 429"),
        of_session(3, "SessionEnd", json!({"reason": "other"}), "session_end|other||"),
        of_validation(
            named.clone(),
            validation("validation.complete", &named, json!({"status": "passed"})),
            "complete|passed||acme/shop#12",
        ),
        of_validation(
            numbered.clone(),
            validation("validation.failed", &numbered, json!({"error": "no space left"})),
            "failed||no space left|acme/shop#12",
        ),
    ]
}

impl Site {
    /// The run that waits for this.
    async fn run_for(&self, callback: &Callback) -> String {
        let body = json!({ "ref": "refs/heads/main", "kind": callback.kind, "id": callback.id }).to_string();
        let delivery = uuid::Uuid::new_v4().to_string();
        let answer = self.server.github("push", &delivery, "1", body.as_bytes()).await;
        self.run_of(&answer).await
    }

    /// It may also wait for its turn to tell somebody something.
    async fn until_it_waits(&self, run: &str) {
        let query = format!("run={run}&status=open");
        until("the run to wait", async || !self.waits(&query).await.is_empty()).await;
    }

    async fn call_back(&self, body: &Value, proof: Proof) -> Answer {
        let body = body.to_string();
        let proof = match proof {
            Proof::Token => ("authorization", format!("Bearer {SECRET}")),
            Proof::Signature => ("x-claude-signature", sign(body.as_bytes())),
        };
        let headers = [("content-type", "application/json"), (proof.0, proof.1.as_str())];
        self.server.post("/webhooks/claude-code", &headers, body).await
    }

    /// The same once more; says what it is taken for.
    async fn call_again(&self, callback: &Callback) -> Value {
        let again = self.call_back(&callback.body, callback.proof).await;
        assert_eq!(again.status, 200);
        json!([again.body["status"], again.body["eventId"]])
    }

    /// What became of what was answered so; Claude Code takes that answer, and finds no decision in it.
    async fn heard(&self, answer: &Answer) -> Value {
        assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("accepted")), "{answer:?}");
        let names: Vec<&str> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["eventId", "processingTime", "status", "success"]);
        self.event(answer).await
    }

    async fn event(&self, answer: &Answer) -> Value {
        let event = answer.body["eventId"].as_str().unwrap();
        self.server.get(&format!("/api/v1/events/{event}/status")).await.body
    }

    /// What the runs have told beside that they have begun.
    fn heard_of(&self) -> Vec<String> {
        self.world().notifications().into_iter().filter(|text| text != "begun").collect()
    }
}

#[actix::test]
async fn each_completes_the_run_that_waits_for_it_and_no_other() {
    let site = Site::start(WAITING).await;
    let all = callbacks("a");
    let mut runs = Vec::new();
    for callback in &all {
        runs.push(site.run_for(callback).await);
    }
    for run in &runs {
        site.until_it_waits(run).await;
    }
    // A hook that says nothing of an end, and the end of another session.
    for other in [hook("SubagentStop", &all[0].id, &json!({})), hook("Stop", "another", &json!({}))] {
        let event = site.heard(&site.call_back(&other, Proof::Token).await).await;
        assert_eq!(event["waits"], json!([]), "{event}");
    }
    for (place, (callback, run)) in all.iter().zip(&runs).enumerate() {
        let event = site.heard(&site.call_back(&callback.body, callback.proof).await).await;
        assert_eq!(
            (event["status"].as_str(), event["waits"].as_array().map(Vec::len)),
            (Some("completed_wait"), Some(1))
        );
        let shown = site.until(run, "succeeded").await;
        assert_eq!(output(&shown, "answered")["event"], event["id"]);
        assert_eq!(site.heard_of().last().map(String::as_str), Some(callback.told));
        for other in &runs[place + 1..] {
            assert_eq!(site.run(other).await["status"], "waiting");
        }
    }
    assert_eq!(site.heard_of().len(), all.len());
}

#[actix::test]
async fn what_comes_before_its_run_has_come_to_the_wait_is_kept_and_what_comes_twice_counts_once() {
    let site = Site::start(WAITING).await;
    let all = callbacks("b");
    let slack = |times, kind| Fault { service: "slack".into(), method: None, path_contains: None, times, kind };
    site.world().plan(slack(u32::try_from(all.len()).unwrap(), FaultKind::HoldAnswer(2_000)));
    let mut runs = Vec::new();
    for callback in &all {
        runs.push((site.run_for(callback).await, site.call_back(&callback.body, callback.proof).await));
    }
    for (callback, (_, answer)) in all.iter().zip(&runs) {
        assert_eq!(site.heard(answer).await["status"], "buffered");
        assert_eq!(site.call_again(callback).await, json!(["duplicate", answer.body["eventId"]]));
    }
    for (callback, (run, answer)) in all.iter().zip(&runs) {
        let shown = site.until(run, "succeeded").await;
        assert!(words(&shown).contains(&"answered waiting".to_owned()), "{:?}", words(&shown));
        assert_eq!(site.event(answer).await["status"], "completed_wait");
        assert_eq!(site.call_again(callback).await, json!(["duplicate", answer.body["eventId"]]), "also afterwards");
    }
    let (mut told, mut expect) = (site.heard_of(), all.iter().map(|callback| callback.told).collect::<Vec<_>>());
    told.sort();
    expect.sort_unstable();
    assert_eq!(told, expect);
}

#[actix::test]
async fn what_comes_too_late_says_so_and_the_next_turn_of_a_session_is_another_event() {
    let site = Site::start(&WAITING.replace("\"5m\"", "\"50ms\"")).await;
    for callback in callbacks("c") {
        let run = site.run_for(&callback).await;
        let shown = site.until(&run, "succeeded").await;
        assert!(words(&shown).contains(&"answered failed".to_owned()), "{:?}", words(&shown));
        let event = site.heard(&site.call_back(&callback.body, callback.proof).await).await;
        assert_eq!(event["status"], "late", "{event}");
    }
    let site = Site::start(WAITING).await;
    for mut callback in callbacks("d").into_iter().take(3) {
        for prompt in ["the first", "the second"] {
            let run = site.run_for(&callback).await;
            site.until_it_waits(&run).await;
            callback.body["prompt_id"] = prompt.into();
            let event = site.heard(&site.call_back(&callback.body, callback.proof).await).await;
            assert_eq!(event["status"], "completed_wait", "{event}");
            site.until(&run, "succeeded").await;
        }
    }
}

#[actix::test]
async fn of_what_an_agent_says_at_length_the_run_has_the_beginning_and_the_event_all() {
    let site = Site::start(WAITING).await;
    let mut callback = callbacks("e").remove(0);
    let said = "ü".repeat(100_000);
    callback.body["last_assistant_message"] = said.clone().into();
    let run = site.run_for(&callback).await;
    let answer = site.call_back(&callback.body, callback.proof).await;
    let shown = site.until(&run, "succeeded").await;
    let seen = output(&shown, "answered")["facts"]["more"]["last_assistant_message"].as_str().unwrap();
    assert_eq!(seen, format!("{}…", "ü".repeat(8_192)));
    let path = format!("/api/v1/events/{}", answer.body["eventId"].as_str().unwrap());
    assert_eq!(site.server.get(&path).await.body["payload"]["last_assistant_message"], said);
}

/// What lets the real one call back: its hooks, with the token from a variable that they name.
fn settings(url: &str) -> String {
    let hook = json!([{ "hooks": [{
        "type": "http", "url": url, "timeout": 20,
        "headers": {"Authorization": "Bearer $HOOK_TOKEN"}, "allowedEnvVars": ["HOOK_TOKEN"],
    }]}]);
    json!({ "hooks": { "Stop": hook, "StopFailure": hook, "SessionEnd": hook } }).to_string()
}

#[actix::test]
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    ignore = "claude is fetched for Linux on x86-64 only"
)]
async fn the_hooks_of_the_real_one_do_it_and_it_takes_our_answer() {
    let site = Site::start(WAITING).await;
    let directory = tempfile::tempdir().unwrap();
    let variables = real_claude(&site.sandbox);
    let program = &variables.iter().find(|(name, _)| *name == "CLAUDE_CODE_COMMAND").unwrap().1;
    for (turn, fault, told) in [
        (Turn::Says("It is done.".into()), None, "stop|||It is done."),
        (Turn::Says("Never.".into()), Some(FaultKind::Refuse(400)), "stop_failure||unknown|API Error: 400"),
    ] {
        let id = uuid::Uuid::new_v4().to_string();
        site.world().state().model.usual = turn;
        let always =
            |kind| Fault { service: "anthropic".into(), method: None, path_contains: None, times: 1_000, kind };
        fault.into_iter().for_each(|fault| site.world().plan(always(fault)));
        let callback = Callback { kind: "session", id, body: Value::Null, proof: Proof::Token, told };
        let run = site.run_for(&callback).await;
        site.until_it_waits(&run).await;
        let log = directory.path().join(&callback.id);
        let mut command = tokio::process::Command::new(program);
        command.args(["-p", "Say that it is done.", "--output-format", "json", "--session-id", &callback.id]);
        command.args(["--settings", &settings(&site.server.url("/webhooks/claude-code"))]);
        command.arg("--debug").arg("--debug-file").arg(&log);
        command.env_clear().env("HOME", directory.path()).env("HOOK_TOKEN", SECRET).env("PATH", "/usr/bin:/bin");
        command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1").env("DISABLE_AUTOUPDATER", "1");
        command.envs(variables.iter().map(|(name, value)| (name, value))).current_dir(directory.path());
        command.stdin(std::process::Stdio::null()).kill_on_drop(true).output().await.unwrap();
        site.until(&run, "succeeded").await;
        let said = site.heard_of().pop().unwrap();
        assert!(said.starts_with(callback.told), "{said}");
        let log = std::fs::read_to_string(log).unwrap();
        assert_eq!(log.matches("HTTP hook response status 200").count(), 2, "the turn's end and the session's");
        assert_eq!(log.matches("validated hook JSON output").count(), 2);
    }
}
