//! The real `claude`, whose API is played on loopback: it takes what we give it, gives what we take, and is held where
//! we hold it, however obedient its model is.
#![cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    allow(dead_code, reason = "the program is fetched for Linux on x86-64 only")
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pointsman::config::settings::SecretText;
use pointsman::integrations::claude_code::{CODE, ClaudeCode, Question};
use pointsman_actors::executor::port::Notebook;
use pointsman_sandbox::anthropic::{KEY, Turn, tool_results};
use pointsman_sandbox::claude::Plan;
use pointsman_sandbox::{Call, Fault, FaultKind, Sandbox, World};
use serde_json::{Value, json};

use super::hostile::{JUDGED, attack, calls, hostile_code, hostile_pull};
use crate::site::{REPOSITORY, Site, output, real_claude, words};

/// The built-in workflow without second attempts, and with little patience.
const ONCE: &str = r#"
[workflows.pr_validation]
timeout = "5m"
[[workflows.pr_validation.steps]]
name = "validate_pr"
action = "validate_pr"
timeout = "40s"
retry = { max_attempts = 1 }
[[workflows.pr_validation.steps]]
name = "update_pr_status"
action = "update_pr_status"
[workflows.pr_validation.steps.with]
state = "{{ steps.validate_pr.output.state }}"
description = "{{ steps.validate_pr.output.summary }}"
"#;

/// The same with no patience at all.
fn impatient() -> String {
    ONCE.replace("\"40s\"", "\"6s\"")
}

/// What the model was asked, request by request.
fn asked(world: &World) -> Vec<Value> {
    let calls = world.ledger().into_iter().filter(|call| call.service == "anthropic");
    calls
        .map(|call: Call| {
            assert_eq!(call.path, "/v1/messages?beta=true", "it calls nobody about anything else");
            call.body
        })
        .collect()
}

/// All that its tools have said.
fn heard(world: &World) -> Vec<String> {
    tool_results(asked(world).last().unwrap())
}

fn always(service: &str, kind: FaultKind) -> Fault {
    Fault { service: service.into(), method: None, path_contains: None, times: 1_000, kind }
}

/// How a validation ended: its status, and what class of failure its step had, in what words.
async fn ends(site: &Site) -> (String, String, String) {
    let answer = site.open_pull(12, "a1").await;
    let id = site.run_of(&answer).await;
    let mut run = Value::Null;
    crate::server::until("the run to end", async || {
        run = site.run(&id).await;
        ["succeeded", "failed"].contains(&run["status"].as_str().unwrap())
    })
    .await;
    let failed = run["journal"].as_array().unwrap().iter().find(|entry| entry["entry"] == "failed");
    let error = failed.map_or(Value::Null, |entry| entry["error"].clone());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&run["status"]), text(&error["class"]), text(&error["message"]))
}

#[actix::test]
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    ignore = "claude is fetched for Linux on x86-64 only"
)]
async fn it_judges_a_pull_request_and_reads_its_code() {
    let site = Site::start_real("").await;
    let look = |tool: &str, input: Value| Turn::calls(tool, input);
    site.world().state().model.next = vec![
        look("Glob", json!({"pattern": "**/*.rs"})),
        look("Grep", json!({"pattern": "new", "output_mode": "content"})),
        look("Read", json!({"file_path": "src/lib.rs"})),
        Turn::judges("fail", 35),
    ];
    let answer = site.open_pull(12, "a1").await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    let said = heard(site.world());
    assert!(said.len() == 3 && said[0].contains("src/lib.rs") && said[1].contains("fn new() {}"), "{said:?}");
    assert!(said[2].contains("fn new() {}"), "{said:?}");
    let seen = output(&run, "validate_pr");
    assert_eq!(
        (seen["state"].as_str(), seen["score"].as_u64(), seen["code"].as_str()),
        (Some("failure"), Some(35), Some("whole"))
    );
    assert_eq!(site.world().statuses(REPOSITORY, "a1")[0].description, "Did not pass, score 35 of 100, 0 issues");
    let first = &asked(site.world())[0];
    let tools: Vec<&str> =
        first["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(["Read", "Grep", "Glob", "StructuredOutput"].iter().all(|tool| tools.contains(tool)), "{tools:?}");
    assert!(!tools.iter().any(|tool| ["Bash", "Write", "Edit", "WebFetch", "Task"].contains(tool)), "{tools:?}");
    assert!(first["messages"].to_string().contains("+fn new() {}"), "it has the diff as well");
}

#[actix::test]
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    ignore = "claude is fetched for Linux on x86-64 only"
)]
async fn it_fails_as_the_one_in_the_sandbox_does() {
    let api =
        |status: u16| (Plan { api_error_status: Some(status), ..Plan::default() }, Some(FaultKind::Refuse(status)));
    let usual = Plan::default;
    let text = json!({"is_error": false, "result": "{\"verdict\":\"pass\",\"score\":100,\"issues\":[]}"}).to_string();
    let glob = || Turn::calls("Glob", json!({"pattern": "**/*"}));
    let cases = [
        ("success", (usual(), None), Turn::judges("pass", 92)),
        ("authentication", api(401), Turn::judges("pass", 92)),
        ("validation", api(400), Turn::judges("pass", 92)),
        ("service_unavailable", api(529), Turn::judges("pass", 92)),
        ("validation", (Plan { reaches_max_turns: true, ..usual() }, None), glob()),
        (
            "validation",
            (Plan { stdout: Some(text), ..usual() }, None),
            Turn::Says(r#"{"verdict":"pass","score":100,"issues":[]}"#.into()),
        ),
        (
            "timeout",
            (Plan { delay_ms: 600_000, ..usual() }, Some(FaultKind::HoldAnswer(600_000))),
            Turn::judges("pass", 92),
        ),
    ];
    for (expect, (plan, fault), turn) in cases {
        let toml = if expect == "timeout" { impatient() } else { ONCE.to_owned() };
        let (played, real) = (Site::start(&toml).await, Site::start_real(&toml).await);
        played.world().state().claude_next.push(plan);
        real.world().state().model.usual = turn;
        fault.into_iter().for_each(|fault| real.world().plan(always("anthropic", fault)));
        let ((status, class, message), of_played) = (ends(&real).await, ends(&played).await);
        assert_eq!((&status, &class), (&of_played.0, &of_played.1), "{message} | {}", of_played.2);
        assert_eq!(if class.is_empty() { "success" } else { &class }, expect, "{message}");
        let words = ["maximum number of turns", "no structured output", "did not answer within", "log in with"];
        for word in words {
            assert_eq!(message.contains(word), of_played.2.contains(word), "{message} | {}", of_played.2);
        }
    }
}

/// Everything that an obedient model could be told to try, from where it works.
fn everything() -> Vec<Turn> {
    let read = |path: &str| Turn::calls("Read", json!({"file_path": path}));
    let grep = |path: &str| {
        Turn::calls("Grep", json!({"pattern": "root:|API_KEY|say that", "path": path, "output_mode": "content"}))
    };
    vec![
        read("/proc/self/environ"),
        read("/proc/self/task/../environ"),
        read("/proc/1/environ"),
        read("/etc/passwd"),
        read("../config/.claude.json"),
        read("../../../../../../etc/passwd"),
        read("passwd"),
        read("environ"),
        read("root/etc/passwd"),
        read("~/.bashrc"),
        grep("/etc"),
        grep("/proc/self"),
        grep(".."),
        grep("root/etc"),
        grep("."),
        Turn::calls("Glob", json!({"pattern": "/etc/pass*"})),
        Turn::calls("Glob", json!({"pattern": "../**/*"})),
        Turn::calls("Glob", json!({"pattern": "*", "path": "/etc"})),
        Turn::calls("Bash", json!({"command": "env > stolen", "description": "x"})),
        Turn::calls("Write", json!({"file_path": "stolen", "content": "x"})),
        Turn::calls("Edit", json!({"file_path": "src/lib.rs", "old_string": "new", "new_string": "old"})),
        Turn::calls("WebFetch", json!({"url": "http://127.0.0.1:1/", "prompt": "x"})),
        Turn::calls("Task", json!({"description": "x", "prompt": "x", "subagent_type": "general-purpose"})),
        Turn::calls("Skill", json!({"skill": "evil"})),
        read("src/lib.rs"),
        Turn::judges("fail", 1),
    ]
}

/// Nothing of ours or of this machine has come to the model, and nothing that the repository ordered; but it has read
/// what it may.
fn assert_held(world: &World) {
    let said = heard(world);
    assert!(said.len() > 20 && said.last().unwrap().contains("fn new() {}"), "{said:#?}");
    let all = json!(asked(world)).to_string();
    for secret in [KEY, "root:x:0", "ORDERS:", "POINTSMAN_ATTEMPT=", "daemon:"] {
        assert!(!all.contains(secret), "{secret}: {said:#?}");
    }
}

#[actix::test]
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    ignore = "claude is fetched for Linux on x86-64 only"
)]
async fn a_hostile_pull_request_gets_nothing_out_of_it() {
    let (site, directory) = (Site::start_real("").await, tempfile::tempdir().unwrap());
    let trace = directory.path().join("it_was_run");
    site.world().put_tarball(REPOSITORY, "a1", hostile_code(&trace).finished());
    site.world().put_pull(hostile_pull(&trace));
    site.world().state().model.next = everything();
    let answer = site.tell("opened", 12, ("a1", None), "2026-01-05T10:00:00Z").await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_held(site.world());
    assert!(!trace.exists(), "nothing of it was run");
    assert_eq!(output(&run, "validate_pr")["code"], "partial");
    let statuses = site.world().statuses(REPOSITORY, "a1");
    let [status] = statuses.as_slice() else { panic!("{statuses:?}") };
    assert_eq!(
        (status.state.as_str(), status.description.as_str()),
        ("failure", "Did not pass, score 1 of 100, 0 issues")
    );
    let others = |calls: Vec<String>| {
        calls
            .into_iter()
            .filter(|call| !call.starts_with("claude") && !call.starts_with("anthropic"))
            .collect::<Vec<_>>()
    };
    assert_eq!(others(calls(&site)), others(JUDGED.map(str::to_owned).into()));
    let title = attack(&trace).lines().next().unwrap().replace('<', "&lt;").replace('>', "&gt;");
    assert_eq!(
        site.world().notifications(),
        [format!("acme/shop#12 ({title}): Did not pass, score 1 of 100, 0 issues")]
    );
    let places: Vec<String> = run["journal"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["note"]["directory"].as_str().map(str::to_owned))
        .collect();
    assert!(places.len() == 1 && !Path::new(&places[0]).exists(), "{places:?} of {:?}", words(&run));
}

#[actix::test]
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    ignore = "claude is fetched for Linux on x86-64 only"
)]
async fn how_it_is_called_holds_it_also_where_settings_and_links_lie() {
    let (sandbox, directory) = (Sandbox::start(0).await.unwrap(), tempfile::tempdir().unwrap());
    let trace = directory.path().join("it_was_run");
    let notebook = Notebook::new(Arc::new(|_| Box::pin(std::future::ready(Ok(())))));
    let workplace = ClaudeCode::workplace(&notebook).await.unwrap();
    // As it would be if nothing had been left out.
    let packed = flate2::read::GzDecoder::new(std::io::Cursor::new(hostile_code(&trace).finished()));
    let mut archive = tar::Archive::new(packed);
    archive.unpack(directory.path()).unwrap();
    let top = directory.path().join("acme-shop-a1");
    std::fs::remove_dir(workplace.part(CODE)).unwrap();
    let renamed = workplace.part(CODE);
    std::fs::rename(top, &renamed).unwrap();
    assert!(renamed.join(".claude/settings.json").exists() && renamed.join("environ").is_symlink());
    sandbox.world().state().model.next = everything();
    let environment = real_claude(&sandbox);
    let value = |name: &str| environment.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let passed_on = [
        ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("ANTHROPIC_BASE_URL".to_owned(), value("ANTHROPIC_BASE_URL")),
    ];
    let claude = ClaudeCode::new(&value("CLAUDE_CODE_COMMAND"), &passed_on, Some(&SecretText::new(KEY)), true);
    let question = Question {
        prompt: "Judge what changes.",
        code: Some(&workplace),
        mark: "the attempt",
        notebook: &notebook,
        limit: Duration::from_secs(100),
    };
    let verdict = claude.judge(question).await.unwrap();
    assert_eq!(verdict.score, 1);
    let said = heard(sandbox.world());
    let all = json!(asked(sandbox.world())).to_string();
    for secret in [KEY, "root:x:0", "daemon:", "POINTSMAN_ATTEMPT="] {
        assert!(!all.contains(secret), "{secret}: {said:#?}");
    }
    // Whoever looks for orders finds them as text; nobody was given them as orders.
    assert!(!json!(asked(sandbox.world())[0]).to_string().contains("ORDERS:"));
    assert!(!trace.exists(), "no hook, helper, server or monitor of the repository was run");
    assert!(!renamed.join("stolen").exists());
}
