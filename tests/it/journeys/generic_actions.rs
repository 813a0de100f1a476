//! Steps that call anybody and run anything: what a push starts, what of it may be repeated, and what is never
//! called, run or said.

use std::process::Stdio;

use pointsman::integrations::process::members;
use pointsman_sandbox::{Call, FaultKind, Sandbox};
use serde_json::{Value, json};

use super::process::Program;
use crate::server::{TestServer, loaded_alone, unavailable, until};
use crate::site::{Site, environment, words};

const ROUTE: &str = r#"
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "w"
input = { repository = "facts.repository", payload = "payload" }
"#;

/// A workflow of these steps, a table each, that a push starts.
fn workflow(steps: &[&str]) -> String {
    let steps: Vec<String> = steps.iter().map(|step| format!("[[workflows.w.steps]]\n{step}\n")).collect();
    format!("[workflows.w]\ntimeout = \"2m\"\n\n{}{ROUTE}", steps.concat())
}

/// A site with this configuration, in which `URL` is the sandbox's echo.
async fn site(toml: &str, more: &[(&'static str, &str)]) -> Site {
    let sandbox = Sandbox::start(0).await.unwrap();
    let toml = toml.replace("URL", &format!("{}/echo", sandbox.url()));
    let mut environment = environment(&sandbox);
    environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let server = TestServer::start_with(tempfile::tempdir().unwrap(), &toml, environment).await;
    Site { sandbox, server }
}

/// The body of a push; its commit says this.
fn pushed(says: &Value) -> Value {
    json!({"ref": "refs/heads/main", "repository": {"full_name": "acme/shop"}, "says": says})
}

/// Pushes, and gives the run that this starts.
async fn push(site: &Site, says: Value) -> String {
    let delivery = uuid::Uuid::new_v4().to_string();
    let answer = site.server.github("push", &delivery, "1", pushed(&says).to_string().as_bytes()).await;
    site.run_of(&answer).await
}

/// The output of a step.
fn output<'a>(run: &'a Value, step: &str) -> &'a Value {
    let is_its = |entry: &&Value| entry["step"] == step && entry["entry"] == "succeeded";
    &run["journal"].as_array().unwrap().iter().find(is_its).unwrap_or_else(|| panic!("{run:#}"))["output"]
}

fn echoed(site: &Site) -> Vec<Call> {
    site.world().ledger().into_iter().filter(|call| call.service == "echo").collect()
}

#[actix::test]
async fn a_push_calls_somebody_and_runs_a_program_with_what_he_says() {
    let call = r#"
name = "call"
action = "http_request"
[workflows.w.steps.with]
method = "PUT"
url = "URL/notes/{{ input.payload.says | urlencode }}?of={{ input.repository | urlencode }}"
headers = { x-team = "{{ input.repository }}" }
body = { text = "{{ input.payload.says }}", list = [1, "{{ input.payload.ref }}"] }"#;
    let run = r#"
name = "run"
action = "run_command"
[workflows.w.steps.with]
program = "sh"
arguments = ["-c", "cat; printf ' %s %s' \"$1\" \"$WHO\"; echo careful >&2; exit 3", "sh", "{{ steps.call.output.body.json.text }}"]
stdin = "status {{ steps.call.output.status }}"
environment = { WHO = "{{ input.repository }}" }
expect = [0, 3]"#;
    let large = r#"
name = "large"
action = "http_request"
with = { url = "URL/large" }"#;
    let site = site(&format!("[workflow]\ncommands = [\"sh\"]\n{}", workflow(&[call, run, large])), &[]).await;
    let id = push(&site, json!("it's $(done) & dusted?/")).await;
    let ended = site.until(&id, "succeeded").await;
    let answer = output(&ended, "call");
    assert_eq!((&answer["status"], &answer["truncated"]), (&json!(200), &json!(false)));
    assert_eq!(answer["headers"], json!({"content-type": "application/json"}), "{answer:#}");
    let sent = &answer["body"];
    assert_eq!(sent["method"], "PUT");
    assert_eq!(sent["path"], "/notes/it%27s%20%24%28done%29%20%26%20dusted%3F/?of=acme/shop");
    assert_eq!(sent["json"], json!({"text": "it's $(done) & dusted?/", "list": [1, "refs/heads/main"]}));
    assert_eq!(sent["headers"]["x-team"], "acme/shop");
    assert_eq!(sent["headers"]["idempotency-key"], format!("{id}/call"));
    let said = output(&ended, "run");
    let expect = json!({
        "exit_code": 3, "stdout": "status 200 it's $(done) & dusted?/ acme/shop", "stderr": "careful\n",
        "truncated": false,
    });
    assert_eq!(*said, expect);
    let large = output(&ended, "large");
    assert_eq!((large["body"].as_str().unwrap().len(), &large["truncated"]), (64 << 10, &json!(true)));
}

const ONE_CALL: &str = r#"
name = "call"
action = "http_request"
retry = { max_attempts = 3, base_delay = "10ms", max_delay = "5s", jitter = 0.0 }
[workflows.w.steps.with]
method = "POST"
url = "URL/{{ input.payload.says }}""#;

#[actix::test]
async fn an_answer_that_was_not_expected_has_its_class() {
    let site = site(&workflow(&[ONE_CALL]), &[]).await;
    for (status, word, class) in [
        (401, "failed", "authentication"),
        (403, "failed", "authorization"),
        (404, "failed", "not_found"),
        (409, "failed", "duplicate"),
        (422, "failed", "validation"),
        (408, "needs_decision", "timeout"),
        (500, "needs_decision", "service_unavailable"),
    ] {
        let id = push(&site, json!(format!("status/{status}"))).await;
        let run = site.until(&id, word).await;
        let said = run.to_string();
        assert!(
            said.contains(class) && said.contains(&format!("POST {}: answered {status}", site.sandbox.url())),
            "{said}"
        );
        assert_eq!(words(&run).iter().filter(|word| *word == "call attempted").count(), 1, "{run:#}");
    }
}

#[actix::test]
async fn whoever_asks_to_wait_is_called_again_then_with_the_same_key() {
    let site = site(&workflow(&[ONE_CALL]), &[]).await;
    site.world().plan_once("echo", "POST", "", FaultKind::RateLimit(1));
    let id = push(&site, json!("things")).await;
    let run = site.until(&id, "succeeded").await;
    let failed = run["journal"].as_array().unwrap().iter().find(|entry| entry["entry"] == "failed").unwrap();
    assert_eq!(failed["error"]["retry_after_ms"], 1_000, "{failed:#}");
    let calls = echoed(&site);
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at_ms - calls[0].at_ms >= 1_000, "{calls:#?}");
    assert!(calls[0].key.is_some() && calls[0].key == calls[1].key);
}

#[actix::test]
async fn what_may_have_been_done_is_repeated_only_where_somebody_knows_the_key() {
    let site_of = async |step: &str| {
        let site = site(&workflow(&[step]), &[]).await;
        site.world().plan_once("echo", "POST", "", FaultKind::DropAfter);
        let id = push(&site, json!("things")).await;
        (site, id)
    };
    let (once, id) = site_of(ONE_CALL).await;
    let run = once.until(&id, "needs_decision").await;
    assert!(run.to_string().contains("no answer"), "{run:#}");
    assert_eq!((echoed(&once).len(), once.world().state().things.len()), (1, 1), "it is not sent again");
    let (keyed, id) = site_of(&format!("{ONE_CALL}\neffect = \"keyed\"")).await;
    let run = keyed.until(&id, "succeeded").await;
    assert_eq!(output(&run, "call")["body"], json!({"number": 1}));
    assert_eq!((echoed(&keyed).len(), keyed.world().state().things.len()), (2, 1), "sent twice, done once");
}

#[actix::test]
async fn only_a_look_is_sent_elsewhere_and_takes_nothing_along() {
    let elsewhere = |site: &Site| site.sandbox.url().replace("127.0.0.1", "localhost") + "/echo/there";
    let look = r#"
name = "call"
action = "http_request"
[workflows.w.steps.with]
url = "URL/to?{{ input.payload.says }}"
headers = { x-api-key = "hunter2" }"#;
    let loopback = [("POINTSMAN_ALLOW_PRIVATE_ADDRESSES", "127.0.0.0/8,::1")];
    let open = site(&workflow(&[look]), &loopback).await;
    let id = push(&open, elsewhere(&open).into()).await;
    let run = open.until(&id, "succeeded").await;
    assert_eq!(output(&run, "call")["body"]["path"], "/there");
    let calls = echoed(&open);
    let carries = |call: &Call| call.headers.iter().any(|(name, _)| name == "x-api-key");
    assert_eq!((calls.len(), carries(&calls[0]), carries(&calls[1])), (2, true, false));
    let id = push(&open, "/echo/here".into()).await;
    open.until(&id, "succeeded").await;
    assert!(carries(echoed(&open).last().unwrap()), "to the same host it does");

    let guarded = site(&workflow(&[look]), &[]).await;
    let id = push(&guarded, elsewhere(&guarded).into()).await;
    let run = guarded.until(&id, "failed").await;
    assert!(run["reason"].as_str().unwrap().contains("`localhost` is not a public address"), "{run:#}");
    let id = push(&guarded, ("/echo/to?".repeat(6) + "/echo/x").into()).await;
    let run = guarded.until(&id, "failed").await;
    assert!(run["reason"].as_str().unwrap().contains("it is sent elsewhere more than 5 times"), "{run:#}");

    let say = look.replace("[workflows.w.steps.with]", "[workflows.w.steps.with]\nmethod = \"POST\"");
    let strict = site(&workflow(&[&say]), &loopback).await;
    let id = push(&strict, elsewhere(&strict).into()).await;
    let run = strict.until(&id, "needs_decision").await;
    assert!(run.to_string().contains("answered 302"), "{run:#}");
    assert_eq!(echoed(&strict).len(), 1);
}

#[actix::test]
async fn a_machine_that_a_payload_names_must_be_public() {
    let call = r#"
name = "call"
action = "http_request"
retry = { max_attempts = 3, base_delay = "10ms" }
[workflows.w.steps.with]
method = "POST"
url = "{{ input.payload.says }}""#;
    let guarded = site(&workflow(&[call]), &[]).await;
    let port = guarded.sandbox.url().rsplit(':').next().unwrap().to_owned();
    for host in ["127.0.0.1", "localhost", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"] {
        let id = push(&guarded, format!("http://{host}:{port}/echo/x").into()).await;
        let run = guarded.until(&id, "failed").await;
        let reason = run["reason"].as_str().unwrap();
        assert!(reason.contains("is not a public address") && reason.contains("allow_private_addresses"), "{reason}");
        assert_eq!(words(&run).iter().filter(|word| *word == "call attempted").count(), 1, "{run:#}");
    }
    assert_eq!(echoed(&guarded).len(), 0);
    let id = push(&guarded, "file:///etc/passwd".into()).await;
    let run = guarded.until(&id, "failed").await;
    assert!(run["reason"].as_str().unwrap().contains("it is not an address that can be called"), "{run:#}");
    let open = site(&workflow(&[call]), &[("POINTSMAN_ALLOW_PRIVATE_ADDRESSES", "127.0.0.0/8")]).await;
    let id = push(&open, format!("{}/echo/x", open.sandbox.url()).into()).await;
    open.until(&id, "succeeded").await;
}

/// What must stand nowhere but in the configuration and in the call.
const HIDDEN: [&str; 4] = ["user-hunter1", "pass-hunter2", "query-hunter3", "Bearer file-hunter4"];

#[actix::test]
async fn what_a_call_carries_is_in_no_journal_and_no_log() {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    let call = r#"
name = "NAME"
action = "http_request"
on_failure = "continue"
on_doubt = "assume_done"
[workflows.w.steps.with]
method = "POST"
url = "URL/STATUS?token=query-hunter3"
headers = { x-user = "user-hunter1" }
secret_headers = { authorization = "deploy", x-more = "deploy" }"#;
    let url = format!("{}/echo", sandbox.url()).replace("http://", "http://somebody:pass-hunter2@");
    let steps = [("fine", "x"), ("refused", "status/422"), ("broken", "x"), ("nobody", "x")].map(|(name, status)| {
        let url =
            if name == "nobody" { url.replace(sandbox.url().rsplit(':').next().unwrap(), "1") } else { url.clone() };
        call.replace("NAME", name).replace("STATUS", status).replace("URL", &url)
    });
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    std::fs::create_dir(data.path().join("secrets")).unwrap();
    std::fs::write(data.path().join("secrets/deploy"), "Bearer file-hunter4\n").unwrap();
    let toml = format!("[workflow]\nsecrets_dir = \"secrets\"\nretry = false\n{}", workflow(&steps));
    std::fs::write(data.path().join("config.toml"), toml).unwrap();
    let log = data.path().join("said.log");
    let mut more = environment(&sandbox);
    more.push(("LOG_LEVEL", "debug".to_owned()));
    let server = Program::start_logging(data.path(), &more, Stdio::from(std::fs::File::create(&log).unwrap())).await;
    // The third call is that of `broken`.
    sandbox.world().plan_once("echo", "POST", "/x", FaultKind::Delay(0));
    sandbox.world().plan_once("echo", "POST", "/x", FaultKind::DropBefore);
    let run = server.run_of("push", "d1", &pushed(&json!("x")).to_string()).await;
    let ended = server.until(&run, "succeeded").await;
    let is_failure = |entry: &&Value| entry["entry"] == "failed" || entry["assumed"] == true;
    let failures: Vec<&Value> = ended["journal"].as_array().unwrap().iter().filter(is_failure).collect();
    assert_eq!(failures.len(), 3, "{ended:#}");
    for hidden in HIDDEN {
        assert!(failures.iter().all(|failure| !failure.to_string().contains(hidden)), "{hidden}: {failures:#?}");
    }
    assert_eq!(output(&ended, "fine")["body"]["headers"]["authorization"], "***");
    let shown = ended.to_string();
    assert!(!shown.contains("file-hunter4") && !shown.contains("pass-hunter2"), "nor in what it said: {ended:#}");
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains(&run), "something is logged");
    for hidden in HIDDEN {
        assert!(!log.contains(hidden), "{hidden} is logged");
    }
    let carried = &sandbox.world().ledger()[0].headers;
    assert!(carried.contains(&("x-more".to_owned(), "Bearer file-hunter4".to_owned())), "and yet it was sent");
}

const COMMAND: &str = r#"
name = "run"
action = "run_command"
timeout = "TIMEOUT"
retry = { max_attempts = 2, base_delay = "10ms" }
[workflows.w.steps.with]
shell = true
script = "echo because >&2; eval \"$1\""
arguments = ["{{ input.payload.says }}"]"#;

fn command(timeout: &str, effect: &str) -> String {
    let step = COMMAND.replace("TIMEOUT", timeout) + "\neffect = \"" + effect + "\"";
    format!("[workflow]\nallow_shell = true\n{}", workflow(&[&step]))
}

#[actix::test]
async fn a_program_that_fails_says_why_and_is_not_run_again() {
    let site = site(&command("10s", "idempotent"), &[]).await;
    let id = push(&site, json!("exit 7")).await;
    let run = site.until(&id, "failed").await;
    let reason = run["reason"].as_str().unwrap();
    assert!(reason.contains("validation: it ended with exit code 7: because"), "{reason}");
    assert_eq!(words(&run).iter().filter(|word| *word == "run attempted").count(), 1);
}

/// The process group that a run has noted first.
fn group_of(run: &Value) -> Option<u32> {
    let note = run["journal"].as_array()?.iter().find(|entry| entry["entry"] == "noted")?;
    u32::try_from(note["note"]["process"]["pid"].as_u64()?).ok()
}

#[actix::test]
async fn a_program_whose_time_is_up_is_ended_with_all_that_it_started() {
    let sleeps = json!("sleep 300 & sleep 300 & wait");
    let once = site(&command("1s", "once"), &[]).await;
    let id = push(&once, sleeps.clone()).await;
    let run = once.until(&id, "needs_decision").await;
    assert!(run.to_string().contains("did not end within 500ms"), "{run:#}");
    let group = group_of(&run).unwrap();
    until("nothing of it to be left", async || members(group).count() == 0).await;
    let pure = site(&command("1s", "pure"), &[]).await;
    let id = push(&pure, sleeps).await;
    let run = pure.until(&id, "failed").await;
    assert_eq!(words(&run).iter().filter(|word| *word == "run attempted").count(), 2, "it may be done again: {run:#}");
}

/// Kills a server while its program is at work, starts another, and gives the run when it is `status`, the group of
/// the program, and how often that has begun.
async fn killed(effect: &str, status: &str) -> (Value, u32, usize) {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    std::fs::write(data.path().join("config.toml"), command("1m", effect)).unwrap();
    let begun = data.path().join("begun");
    let began = || std::fs::read_to_string(&begun).unwrap_or_default().lines().count();
    let place = begun.display();
    let says = format!("echo x >> {place}; if [ $(wc -l < {place}) = 1 ]; then sleep 300 & wait; fi");
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    let run = server.run_of("push", "d1", &pushed(&json!(says)).to_string()).await;
    until("the program to begin", async || began() == 1).await;
    let group = group_of(&server.get(&format!("/api/v1/runs/{run}")).await).unwrap();
    until("it to have started another", async || members(group).count() >= 2).await;
    server.kill();
    assert!(members(group).count() >= 2, "they outlive the process that was killed");
    let server = Program::start(data.path(), &environment(&sandbox)).await;
    let shown = server.until(&run, status).await;
    (shown, group, began())
}

#[actix::test]
async fn what_a_killed_process_left_running_is_ended_and_its_effect_rules() {
    let (run, group, begun) = killed("once", "needs_decision").await;
    until("nothing of it to be left", async || members(group).count() == 0).await;
    assert_eq!(begun, 1, "what must never happen twice is not run again: {run:#}");
    let (run, group, begun) = killed("idempotent", "succeeded").await;
    until("nothing of it to be left", async || members(group).count() == 0).await;
    assert_eq!(begun, 2, "{run:#}");
}

/// What `check` says of a configuration: what is wrong with it, or what is unavailable.
fn check(toml: &str) -> Result<String, String> {
    let plan = pointsman::boot::plan(&loaded_alone(toml)).map_err(|error| format!("{error:#}"))?;
    Ok(unavailable(&plan, "w"))
}

#[test]
fn what_may_not_be_run_is_said_before_anything_runs() {
    let run =
        workflow(&["name = \"run\"\naction = \"run_command\"\nwith = { program = \"rm\", arguments = [\"-r\"] }"]);
    let said = |key: &str| check(&format!("[workflow]\n{key}\n{run}")).unwrap();
    assert!(said("").contains("no program may be run; list those that may in workflow.commands"));
    assert!(said("commands = [\"git\"]").contains("`rm` may not be run; list it in workflow.commands"));
    assert!(said("allow_shell = true").contains("`rm` may not be run"));
    assert_eq!(said("commands = [\"rm\"]"), "");
}

#[test]
fn what_a_definition_writes_out_is_checked_with_its_place() {
    let good = "[workflows.w]\n\n[[workflows.w.steps]]\nname = \"call\"\naction = \"http_request\"\n\
                on_doubt = \"repeat\"\n\n[workflows.w.steps.with]\nurl = \"https://h.example/{{ input.x }}\"\n\
                method = \"PUT\"\nexpect = [200, 404]\n\n[workflows.w.steps.with.headers]\naccept = \"text/csv\"\n";
    assert_eq!(check(good), Ok(String::new()));
    for (from, to, expect) in [
        ("\"PUT\"", "\"PULL\"", "line 10: workflow `w`, step `call`, with.method: expected one of GET, HEAD, POST"),
        ("\"PUT\"", "\"{{ input.m }}\"", "line 10: workflow `w`, step `call`, with.method: write it out"),
        ("\"PUT\"", "\"POST\"", "line 6: workflow `w`, step `call`, on_doubt: what must never happen twice cannot be"),
        ("https://h.example/{{ input.x }}", "h.example", "line 9: workflow `w`, step `call`, with.url: it is not an"),
        ("[200, 404]", "200", "line 11: workflow `w`, step `call`, with.expect: expected a list, found 200"),
        ("404]", "\"no\"]", "line 11: workflow `w`, step `call`, with.expect.2: expected a whole number, found \"no\""),
        ("404]", "7]", "line 11: workflow `w`, step `call`, with.expect: `7` is no status"),
        (
            "\"text/csv\"",
            "[\"a\"]",
            "line 14: workflow `w`, step `call`, with.headers.accept: expected a text, found a",
        ),
        ("accept", "Host", "line 14: workflow `w`, step `call`, with.headers.Host: this header is not a step's to set"),
        ("method =", "metod =", "line 10: workflow `w`, step `call`, with.metod: `http_request` does not take this"),
        ("\"text/csv\"", "\"{{ input. }}\"", "line 13: workflow `w`, step `call`, with.headers: `input.`:"),
    ] {
        let said = check(&good.replacen(from, to, 1)).unwrap_err();
        assert!(said.contains(expect), "{to}:\n{said}");
    }
    let keyed = good.replace("\"PUT\"", "\"POST\"\neffect = \"keyed\"");
    assert_eq!(check(&keyed), Ok(String::new()), "whoever knows the key may be called again");
}
