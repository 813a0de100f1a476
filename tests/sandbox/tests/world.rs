//! The world is as strict as the real one, and goes wrong only by plan.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test falls loudly")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use pointsman_sandbox::world::Hook;
use pointsman_sandbox::{DISCORD_PATH, FaultKind, PullRequest, SLACK_PATH, Sandbox, TOKEN, receiver};
use serde_json::{Value, json};

async fn sandbox() -> (Sandbox, reqwest::Client) {
    let sandbox = Sandbox::start(0).await.unwrap();
    sandbox.world().put_pull(PullRequest {
        repository: "o/r".into(),
        number: 1,
        head_sha: "a1".into(),
        title: "t".into(),
        diff: "+x\n".into(),
        ..PullRequest::default()
    });
    (sandbox, reqwest::Client::builder().no_proxy().user_agent("test").build().unwrap())
}

fn status(sandbox: &Sandbox, http: &reqwest::Client, body: &Value) -> reqwest::RequestBuilder {
    http.post(format!("{}/github/repos/o/r/statuses/a1", sandbox.url())).bearer_auth(TOKEN).json(body)
}

#[actix_rt::test]
async fn github_is_strict() {
    let (sandbox, http) = sandbox().await;
    let good = json!({"state": "success", "context": "c", "description": "d"});
    let check = async |request: reqwest::RequestBuilder, expect: u16, said: &str| {
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status == expect && text.contains(said), "{status} {text}");
    };
    let url = format!("{}/github/repos/o/r/pulls/1", sandbox.url());
    check(http.get(&url), 401, "Bad credentials").await;
    check(http.get(&url).bearer_auth(TOKEN), 200, "\"sha\":\"a1\"").await;
    check(http.get(&url).bearer_auth(TOKEN).header("accept", "application/vnd.github.diff"), 200, "+x").await;
    check(http.get(format!("{url}2")).bearer_auth(TOKEN), 404, "Not Found").await;
    check(http.get(&url).bearer_auth(TOKEN).header("x-github-api-version", "1"), 400, "version").await;
    check(status(&sandbox, &http, &good), 201, "\"id\":1").await;
    let long = json!({"state": "success", "description": "d".repeat(141)});
    check(status(&sandbox, &http, &long), 422, "maximum is 140").await;
    check(status(&sandbox, &http, &json!({})), 422, "state").await;
    check(status(&sandbox, &http, &json!({"state": "done"})), 422, "done").await;
    let unknown = http.post(format!("{}/github/repos/o/r/statuses/zz", sandbox.url())).bearer_auth(TOKEN).json(&good);
    check(unknown, 422, "No commit found for SHA: zz").await;
    let nameless = reqwest::Client::builder().no_proxy().build().unwrap();
    check(nameless.get(&url).bearer_auth(TOKEN), 403, "User-Agent").await;
    assert_eq!(sandbox.world().statuses("o/r", "a1").len(), 1);
    assert_eq!(sandbox.world().ledger().iter().filter(|call| call.executed).count(), 3);
}

#[actix_rt::test]
async fn slack_is_strict() {
    let (sandbox, http) = sandbox().await;
    let post = async |path: &str, body: &str| {
        let answer = http.post(format!("{}{path}", sandbox.url())).body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(post(SLACK_PATH, "{\"text\":\"hello\"}").await, (200, "ok".into()));
    assert_eq!(post(SLACK_PATH, "{\"text\":\"\"}").await, (400, "no_text".into()));
    assert_eq!(post(SLACK_PATH, "text").await, (400, "invalid_payload".into()));
    assert_eq!(post("/slack/services/T/B/X", "{}").await, (404, "no_service".into()));
    assert_eq!(sandbox.world().notifications(), ["hello"]);
}

#[actix_rt::test]
async fn what_is_planned_goes_wrong_once() {
    let (sandbox, http) = sandbox().await;
    let good = json!({"state": "success", "context": "c"});
    let set = || sandbox.world().statuses("o/r", "a1").len();
    let plan = |kind| sandbox.world().plan_once("github", "POST", "/statuses/", kind);
    plan(FaultKind::DropBefore);
    plan(FaultKind::DropAfter);
    plan(FaultKind::RateLimit(7));
    plan(FaultKind::Refuse(502));
    plan(FaultKind::ErrorAfter(500));
    let broken = async || match status(&sandbox, &http, &good).send().await {
        Ok(answer) => answer.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(broken().await && set() == 0, "not done");
    assert!(broken().await && set() == 1, "done, and nobody was told");
    let limited = status(&sandbox, &http, &good).send().await.unwrap();
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    assert_eq!((status(&sandbox, &http, &good).send().await.unwrap().status().as_u16(), set()), (502, 1));
    assert_eq!((status(&sandbox, &http, &good).send().await.unwrap().status().as_u16(), set()), (500, 2));
    assert_eq!((status(&sandbox, &http, &good).send().await.unwrap().status().as_u16(), set()), (201, 3));
    let answered: Vec<_> = sandbox.world().ledger().iter().map(|call| (call.status, call.executed)).collect();
    let expect =
        [(None, false), (None, true), (Some(429), false), (Some(502), false), (Some(500), true), (Some(201), true)];
    assert_eq!(answered, expect);
}

#[actix_rt::test]
async fn a_callback_can_come_before_the_answer() {
    let (sandbox, http) = sandbox().await;
    let hook = Hook { url: format!("{}/hook/in", sandbox.url()), secret: "s".into() };
    sandbox.world().state().hook = Some(hook);
    sandbox.world().plan_once("github", "POST", "/statuses/", FaultKind::CallbackFirst);
    status(&sandbox, &http, &json!({"state": "pending"})).send().await.unwrap();
    let services: Vec<String> = sandbox.world().ledger().into_iter().map(|call| call.service).collect();
    assert_eq!(services, ["github", "hook"], "it was there when the answer came");
}

#[actix_rt::test]
async fn other_processes_control_the_world() {
    let (sandbox, http) = sandbox().await;
    let control = |path: &str| format!("{}/_control/{path}", sandbox.url());
    let post =
        async |path: &str, body: Value| http.post(control(path)).json(&body).send().await.unwrap().status().as_u16();
    assert_eq!(post("pulls", json!({"repository": "o/r", "number": 2, "head_sha": "b"})).await, 200);
    assert_eq!(post("heads", json!({"repository": "o/r", "number": 2, "sha": "c"})).await, 200);
    assert_eq!(post("faults", json!({"service": "slack", "times": 1, "kind": {"delay": 5}})).await, 200);
    assert_eq!(post("faults", json!({"service": "slack", "times": 1, "kind": "drop_after"})).await, 200);
    assert_eq!(post("claude", json!({"score": 7})).await, 200);
    assert_eq!(post("claude", json!("x")).await, 400);
    assert_eq!(post("issues", json!({"id": "i", "identifier": "ENG-1", "state": "Todo"})).await, 200);
    let linear: Value = http.get(control("linear")).send().await.unwrap().json().await.unwrap();
    assert_eq!(linear["issues"][0]["identifier"], "ENG-1");
    let state: Value = http.get(control("state")).send().await.unwrap().json().await.unwrap();
    assert_eq!(state["pulls"][1]["heads"], json!(["b", "c"]));
    assert_eq!(sandbox.world().state().faults.len(), 2);
    assert!(sandbox.world().ledger().is_empty(), "control is no call");
}

fn claude(sandbox: &str, arguments: &[&str], prompt: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake-claude"))
        .args(["--sandbox", sandbox])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(prompt.as_bytes());
    child.wait_with_output().unwrap()
}

#[actix_rt::test]
async fn claude_answers_by_the_schema_and_refuses_what_the_real_one_does() {
    let (sandbox, _) = sandbox().await;
    let url = sandbox.url().to_owned();
    let world = sandbox.world().clone();
    let run = async |arguments: &'static [&'static str], prompt: &'static str| {
        let url = url.clone();
        tokio::task::spawn_blocking(move || claude(&url, arguments, prompt)).await.unwrap()
    };
    let good = &["-p", "--output-format", "json", "--json-schema", "{}", "--tools", ""];
    let answer = run(good, "look").await;
    let said: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        (answer.status.code(), &said["structured_output"]["score"], &said["is_error"]),
        (Some(0), &json!(92), &json!(false))
    );
    let said: Value = serde_json::from_slice(&run(good, "sandbox:fail").await.stdout).unwrap();
    assert_eq!(said["structured_output"]["verdict"], "fail");
    world.state().claude.api_error_status = Some(529);
    let failed = run(good, "look").await;
    let said: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((failed.status.code(), &said["is_error"], &said["subtype"]), (Some(1), &json!(true), &json!("success")));
    let refused = async |arguments: &'static [&'static str], prompt, expect: &str| {
        let answer = run(arguments, prompt).await;
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(answer.status.code() == Some(1) && answer.stdout.is_empty() && said.contains(expect), "{said}");
    };
    refused(good, "", "Input must be provided").await;
    refused(&["-p", "--output-format", "json", "--json-schema", "{\"$ref\":\"#\"}"], "x", "references").await;
    refused(&["-p", "--output-format", "json", "--json-schema", "{"], "x", "--json-schema").await;
    refused(&["-p", "--output-format", "json", "--colour"], "x", "--colour").await;
}

#[actix_rt::test]
async fn the_echo_says_again_what_was_sent_and_makes_a_thing_once_for_each_key() {
    let (sandbox, http) = sandbox().await;
    let url = |path: &str| format!("{}/echo{path}", sandbox.url());
    let make = async |key: &str| {
        let answer = http.post(url("/things")).header("idempotency-key", key).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["number"].clone())
    };
    assert_eq!(make("a").await, (201, json!(1)));
    assert_eq!(make("b").await, (201, json!(2)));
    assert_eq!(make("a").await, (200, json!(1)));
    for (number, expect) in [("2", 200), ("2", 404), ("3", 404), ("0", 404), ("x", 404)] {
        let gone = http.delete(url(&format!("/things/{number}"))).send().await.unwrap();
        assert_eq!(gone.status(), expect, "{number}");
    }
    assert_eq!(sandbox.world().state().taken_away, [2].into());
    let answer = http.put(url("/status/418?x=1")).json(&json!({"a": 1})).send().await.unwrap();
    assert_eq!(answer.status(), 418);
    let said = answer.json::<Value>().await.unwrap();
    assert_eq!(
        (&said["method"], &said["path"], &said["json"]),
        (&json!("PUT"), &json!("/status/418?x=1"), &json!({"a": 1}))
    );
    assert_eq!(http.get(url("/large")).send().await.unwrap().text().await.unwrap().len(), 200 << 10);
}

#[actix_rt::test]
async fn github_is_strict_about_reviews_branches_and_checks() {
    let (sandbox, http) = sandbox().await;
    let check = async |method: &str, path: &str, body: Value, (expect, said): (u16, &str)| {
        let url = format!("{}/github/repos/o/r/{path}", sandbox.url());
        let request = http.request(method.parse().unwrap(), url).bearer_auth(TOKEN).json(&body);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status == expect && text.contains(said), "{method} {path}: {status} {text}");
    };
    let review = |event: &str, line: u64| {
        let comments = json!([{"path": "a.rs", "line": line, "side": "RIGHT", "body": "x"}]);
        json!({"event": event, "body": "b", "comments": comments})
    };
    let of_ours = PullRequest {
        repository: "o/r".into(),
        number: 2,
        head_sha: "b1".into(),
        head_ref: "ours".into(),
        author: "pointsman".into(),
        files: vec![json!({"filename": "a.rs", "patch": "@@ -1 +1,2 @@\n a\n+b"})],
        ..PullRequest::default()
    };
    sandbox.world().put_pull(of_ours);
    let own = "\"errors\":[\"Can not approve your own pull request\"]";
    check("POST", "pulls/2/reviews", review("APPROVE", 2), (422, own)).await;
    check("POST", "pulls/2/reviews", review("COMMENT", 3), (422, "must be part of the diff")).await;
    check("POST", "pulls/2/reviews", review("COMMENT", 2), (200, "\"COMMENTED\"")).await;
    check("POST", "pulls/2/reviews", json!({"event": "COMMENT"}), (422, "can't be blank")).await;
    check("POST", "issues/2/comments", json!({"body": ""}), (422, "missing_field")).await;
    check("POST", "issues/2/comments", json!({"body": "x".repeat(65_537)}), (422, "too long")).await;
    check("POST", "issues/9/comments", json!({"body": "x"}), (404, "Not Found")).await;
    check("POST", "check-runs", json!({"name": "n", "head_sha": "b1"}), (403, "via a GitHub App")).await;
    check("POST", "pulls", json!({"head": "ours", "base": "main", "title": "t"}), (422, "already exists for o:ours"))
        .await;
    check("POST", "pulls", json!({"head": "none", "base": "main", "title": "t"}), (422, "\"invalid\"")).await;
    check("DELETE", "git/refs/heads%2Fours", json!({}), (204, "")).await;
    check("DELETE", "git/refs/heads%2Fours", json!({}), (422, "Reference does not exist")).await;
    check("GET", "installation", json!({}), (401, "JSON web token")).await;
    assert_eq!((sandbox.world().reviews().len(), sandbox.world().comments().len()), (1, 0));
}

#[actix_rt::test]
async fn discord_is_strict() {
    let (sandbox, http) = sandbox().await;
    let post = async |path: &str, body: Value| {
        let answer = http.post(format!("{}{path}", sandbox.url())).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        let said: Value = answer.json().await.unwrap_or_default();
        (status, said["code"].as_u64())
    };
    assert_eq!(post(DISCORD_PATH, json!({"content": "@everyone"})).await, (204, None));
    assert_eq!(post(DISCORD_PATH, json!({})).await, (400, Some(50_035)));
    assert_eq!(post(DISCORD_PATH, json!({"content": "x".repeat(2_001)})).await, (400, Some(50_035)));
    assert_eq!(post(DISCORD_PATH, json!({"content": "x", "blocks": []})).await, (400, Some(50_035)));
    let long = json!({"embeds": [{"description": "x".repeat(4_097)}]});
    assert_eq!(post(DISCORD_PATH, long).await, (400, Some(50_035)));
    assert_eq!(post("/discord/api/webhooks/7/other", json!({"content": "x"})).await, (404, Some(10_015)));
    let state = sandbox.world().state();
    assert_eq!((state.discord.len(), state.mentions), (1, 1));
}

#[actix_rt::test]
async fn only_what_is_signed_is_received() {
    let (sandbox, http) = sandbox().await;
    let post = async |headers: &[(&str, &str)]| {
        let request = http.post(format!("{}{}", sandbox.url(), receiver::PATH)).body("{}");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let refused = |why: &str| (401, why.to_owned());
    let (id, old) = (("webhook-id", "m"), ("webhook-timestamp", "1614265330"));
    let signature = ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    #[allow(clippy::disallowed_methods, reason = "the receiver looks at the real clock")]
    let now = chrono::Utc::now().timestamp().to_string();
    assert_eq!(post(&[]).await, refused("there is no id"));
    assert_eq!(post(&[id]).await, refused("there is no timestamp"));
    assert_eq!(post(&[id, old]).await, refused("there is no signature"));
    assert_eq!(post(&[id, old, signature]).await, refused("the timestamp is too far from now"));
    assert_eq!(post(&[id, ("webhook-timestamp", &now), signature]).await, refused("it is not signed"));
    assert!(sandbox.world().state().received.is_empty());
}
