//! Who gets in, what for, and what is written down of it.

use std::fmt::Write;
use std::fs::File;

use pointsman::access::token::TokenHash;
use pointsman::access::trail::{FILE, FORMER};
use reqwest::Method;
use serde_json::{Value, json};

use super::process::{Program, run};
use crate::server::{TOKEN, TestServer};
use crate::site::Site;

/// A token for each scope, named after it, and two with an end.
fn tokens() -> String {
    let mut toml = String::new();
    for (name, scope, expires) in [
        ("look", "read", None),
        ("work", "operate", None),
        ("rule", "admin", None),
        ("was", "admin", Some("2020-01-01T00:00:00Z")),
        ("is", "read", Some("2999-01-01T00:00:00Z")),
    ] {
        let hash = TokenHash::of(&format!("psm_{name}")).written();
        writeln!(toml, "[admin.tokens.{name}]\nhash = \"{hash}\"\nscopes = [\"{scope}\"]").unwrap();
        expires.into_iter().for_each(|end| writeln!(toml, "expires = \"{end}\"").unwrap());
    }
    toml
}

/// What is said to a request that is authorized so: status, code, challenge, `Retry-After`.
async fn said(
    server: &TestServer,
    method: &str,
    path: &str,
    authorization: &str,
) -> (u16, String, String, Option<u64>) {
    let mut request = server.http.request(Method::from_bytes(method.as_bytes()).unwrap(), server.url(path));
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let answer = request.send().await.unwrap();
    let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (challenge, after) = (header("www-authenticate").unwrap_or_default(), header("retry-after"));
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert!(!text.contains(TOKEN) && !text.contains("sha256:"), "{text}");
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let code = body["error"].as_str().unwrap_or_default().to_owned();
    (status, code, challenge, after.map(|seconds| seconds.parse().unwrap()))
}

const READ: [&str; 10] = [
    "/api/v1/audit",
    "/api/v1/events",
    "/api/v1/events/evt_00000000000070008000000000000000",
    "/api/v1/events/evt_00000000000070008000000000000000/status",
    "/api/v1/runs",
    "/api/v1/runs/run_00000000000000000000000000000000",
    "/api/v1/waits",
    "/api/v1/dead-letters",
    "/api/v1/breakers",
    "/api/v1/nothing-of-ours",
];

const OPERATE: [&str; 8] = [
    "/api/v1/events/evt_00000000000070008000000000000000/retry",
    "/api/v1/events/replay",
    "/api/v1/dead-letters/redrive",
    "/api/v1/dead-letters/run_00000000000000000000000000000000/dismiss",
    "/api/v1/breakers/github/reset",
    "/api/v1/runs/run_00000000000000000000000000000000/cancel",
    "/api/v1/runs/run_00000000000000000000000000000000/decide",
    "/api/v1/nothing-of-ours",
];

#[actix::test]
async fn each_token_opens_what_its_scope_says_and_nothing_else() {
    let server = TestServer::start(&format!("[admin]\nmax_failures = 1000\n{}", tokens())).await;
    let mut requests: Vec<(&str, &str, &str)> = Vec::new();
    requests.extend(READ.iter().flat_map(|path| [("read", "GET", *path), ("read", "HEAD", *path)]));
    requests.extend(OPERATE.iter().map(|path| ("operate", "POST", *path)));
    requests.extend([("admin", "DELETE", "/api/v1/runs"), ("admin", "PUT", "/api/v1/runs")]);
    let scopes = ["read", "operate", "admin"];
    for (needed, method, path) in requests {
        let check = async |authorization: &str, scope: Option<&str>| {
            let (status, code, challenge, _) = said(&server, method, path, authorization).await;
            let what = format!("{method} {path} with `{authorization}`: {status} {code} {challenge}");
            let place = |name: &str| scopes.iter().position(|scope| *scope == name);
            let code_is = |expect: &str| method == "HEAD" || code == expect;
            match scope {
                None if authorization.is_empty() || authorization.starts_with("Basic") => {
                    assert!(status == 401 && code_is("unauthorized"), "{what}");
                    assert_eq!(challenge, "Bearer realm=\"pointsman\"", "{what}");
                }
                None => {
                    assert!(status == 401 && code_is("invalid_token"), "{what}");
                    assert_eq!(challenge, "Bearer realm=\"pointsman\", error=\"invalid_token\"", "{what}");
                }
                Some(scope) if place(scope) < place(needed) => {
                    assert!(status == 403 && code_is("insufficient_scope"), "{what}");
                    let expect =
                        format!("Bearer realm=\"pointsman\", error=\"insufficient_scope\", scope=\"{needed}\"");
                    assert_eq!(challenge, expect, "{what}");
                }
                Some(_) => assert!(![401, 403, 429].contains(&status) && challenge.is_empty(), "{what}"),
            }
        };
        check("", None).await;
        check("Basic cHNtX3J1bGU=", None).await;
        check("Bearer wrong", None).await;
        check("Bearer psm_was", None).await;
        check("Bearer psm_is", Some("read")).await;
        check("Bearer psm_look", Some("read")).await;
        check("bearer  psm_work", Some("operate")).await;
        check("BEARER psm_rule", Some("admin")).await;
        check(&format!("Bearer {TOKEN}"), Some("admin")).await;
    }
}

#[actix::test]
async fn health_and_metrics_can_be_closed_but_not_to_load_balancers() {
    for (guarded, expect) in [(false, 200), (true, 401)] {
        let server = TestServer::start(&format!("[admin]\nguard_metrics = {guarded}\n{}", tokens())).await;
        for method in ["GET", "HEAD"] {
            for path in ["/health", "/metrics", "/metrics/actors"] {
                assert_eq!(said(&server, method, path, "").await.0, expect, "{method} {path}");
                assert_eq!(said(&server, method, path, "Bearer psm_look").await.0, 200, "{method} {path}");
            }
            for path in ["/health/live", "/health/ready"] {
                assert_eq!(said(&server, method, path, "").await.0, 200, "{method} {path}");
                assert_eq!(said(&server, method, path, "Bearer wrong").await.0, 200, "{method} {path}");
            }
        }
    }
}

#[actix::test]
async fn whoever_guesses_is_locked_out_alone() {
    let toml = format!(
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[admin]\nmax_failures = 3\nfailure_window = \"1h\"\n{}",
        tokens()
    );
    let server = TestServer::start(&toml).await;
    let from = async |address: &str, token: &str| {
        let mut request = server.http.get(server.url("/api/v1/runs")).header("x-forwarded-for", address);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().parse::<u64>().unwrap());
        (answer.status().as_u16(), after)
    };
    for _ in 0..5 {
        assert_eq!(from("203.0.113.5", "").await, (401, None), "who shows nothing guesses nothing");
    }
    for token in ["a", "b", "psm_was"] {
        assert_eq!(from("203.0.113.5", "psm_look").await, (200, None));
        assert_eq!(from("203.0.113.5", token).await, (401, None));
    }
    for token in ["c", "d"] {
        let (status, after) = from("203.0.113.5", token).await;
        assert_eq!(status, 429, "{token}");
        assert!((1..=7_200).contains(&after.unwrap()), "{after:?}");
    }
    assert_eq!(from("203.0.113.5", "psm_look").await, (200, None), "who belongs is kept out by nobody");
    assert_eq!(from("203.0.113.5", "").await, (401, None));
    assert_eq!(from("203.0.113.6", "c").await, (401, None), "nobody else is locked out");
    for host in 1..=3 {
        assert_eq!(from(&format!("2001:db8::{host}"), "x").await.0, 401);
    }
    assert_eq!(from("2001:db8::9", "x").await.0, 429, "a network of IPv6 is one address");
}

#[actix::test]
async fn a_lock_is_for_guesses_alone_and_ends_with_the_process() {
    let server = TestServer::start("[admin]\nmax_failures = 2\nfailure_window = \"1h\"\nguard_metrics = true").await;
    for _ in 0..2 {
        assert_eq!(said(&server, "GET", "/api/v1/runs", "Bearer wrong").await.0, 401);
    }
    for path in ["/api/v1/runs", "/metrics"] {
        let (status, code, _, after) = said(&server, "GET", path, "Bearer guess").await;
        assert_eq!((status, code.as_str(), after.is_some()), (429, "locked_out", true), "{path}");
        assert_eq!(said(&server, "GET", path, &format!("Bearer {TOKEN}")).await.0, 200, "{path}");
    }
    assert_eq!(said(&server, "GET", "/health/ready", "").await.0, 200);
    assert_eq!(server.github("push", "1", "1", b"{}").await.status, 200, "deliveries are none of it");
    let counted = server.get("/metrics").await.body["operators"].clone();
    assert_eq!(
        counted,
        json!({ "unauthorized": 0, "invalid_token": 2, "insufficient_scope": 0, "locked_out": 2, "no_session": 0, "csrf": 0 })
    );
    let server = server.restart_as_it_was().await;
    assert_eq!(said(&server, "GET", "/api/v1/runs", "Bearer wrong").await.0, 401);
}

#[actix::test]
async fn a_token_is_made_shown_once_and_opens_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let made = run(directory.path(), &["tokens", "new", "ci", "--scopes", "read,operate", "--expires", "90d"], &[]);
    let made = String::from_utf8(made.stdout).unwrap();
    let token = made.lines().next().unwrap();
    assert!(token.starts_with("psm_"), "{made}");
    let toml = &made[made.find("[admin.tokens.ci]").unwrap()..];
    assert!(!toml.contains(token), "only the hash is configured");
    std::fs::write(directory.path().join("config.toml"), toml).unwrap();
    let checked = run(directory.path(), &["check", "--all"], &[]);
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains("token:         ci           operate  until 2"), "{checked}");
    assert!(checked.contains("admin.tokens.ci.hash = ***"), "{checked}");
    assert!(!checked.contains("sha256:"), "{checked}");
    let server = TestServer::start(toml).await;
    let ours = format!("Bearer {token}");
    assert_eq!(said(&server, "GET", "/api/v1/runs", &ours).await.0, 200);
    assert_eq!(said(&server, "POST", "/api/v1/breakers/nobody/reset", &ours).await.0, 404);
    assert_eq!(said(&server, "DELETE", "/api/v1/runs", &ours).await.0, 403);
    for wrong in [&["new", "CI", "--scopes", "read"][..], &["new", "ci", "--scopes", "reed"], &["new", "ci"]] {
        let refused = run(directory.path(), &[&["tokens"], wrong].concat(), &[]);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{wrong:?}");
    }
}

impl TestServer {
    /// What an operator with this token says; gives the status and the code of an error.
    async fn told(&self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        let token = format!("Bearer {token}");
        let answer = self.post(path, &[("authorization", &token)], body.to_string()).await;
        (answer.status, answer.body["error"].clone())
    }

    /// The trail in short, and where the list goes on.
    async fn trail(&self, query: &str) -> (Vec<String>, Value) {
        let list = self.get(&format!("/api/v1/audit{query}")).await.body;
        assert!(!list.to_string().contains("psm_") && !list.to_string().contains(TOKEN), "{list}");
        let short = |item: &Value| {
            let word = |name: &str| item[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {} {}", word("id"), word("operator"), word("status"), word("error"))
        };
        (list["items"].as_array().unwrap().iter().map(short).collect(), list["nextCursor"].clone())
    }
}

const CANCEL: &str = "/api/v1/runs/run_00000000000000000000000000000000/cancel";

#[actix::test]
async fn what_operators_do_is_written_down_with_what_became_of_it() {
    let server = TestServer::start(&tokens()).await;
    let replay = json!({ "filter": { "source": "github" }, "dry_run": true });
    assert_eq!(server.told("psm_work", "/api/v1/events/replay", &replay).await.0, 200);
    assert_eq!(server.told(TOKEN, CANCEL, &json!({ "reason": "why not" })).await, (404, json!("not_found")));
    assert_eq!(server.told("psm_look", CANCEL, &json!({})).await.0, 403, "who may not fills no disk");
    assert_eq!(server.told("wrong", CANCEL, &json!({})).await.0, 401);
    let first = server.get("/api/v1/audit").await.body["items"][0].clone();
    assert_eq!(first["action"], format!("POST {CANCEL}"));
    assert_eq!((&first["body"]["reason"], &first["from"]), (&json!("why not"), &json!("127.0.0.1")));
    assert!(first["httpStatus"] == 404 && first["at"].is_string() && first["answeredAt"].is_string(), "{first}");
    let all = ["2 admin refused not_found", "1 work done -"].map(str::to_owned).to_vec();
    assert_eq!(server.trail("").await, (all.clone(), Value::Null));
    assert_eq!(server.trail("?limit=1").await, (all[..1].to_vec(), json!("2")));
    assert_eq!(server.trail("?limit=1&cursor=2").await, (all[1..].to_vec(), Value::Null));
    assert_eq!(server.trail("?about=run_0000").await.0, all[..1]);
    assert_eq!(server.trail("?operator=work").await.0, all[1..]);
    assert_eq!(server.get("/api/v1/audit?cursor=x").await.status, 400);
    let server = server.restart_as_it_was().await;
    assert_eq!(server.trail("").await.0, all);
    assert_eq!(server.told("psm_rule", CANCEL, &json!({})).await.0, 404);
    assert_eq!(server.trail("").await.0[0], "3 rule refused not_found");
    let directory = server.directory.path().to_owned();
    let listed = actix_web::web::block(move || run(&directory, &["audit", "list", "--about", "why not"], &[]));
    let listed = String::from_utf8(listed.await.unwrap().stdout).unwrap();
    let expect = format!("admin from 127.0.0.1  POST {CANCEL} {{\"reason\":\"why not\"}}  refused (not_found)\n");
    assert!(listed.starts_with("2  ") && listed.ends_with(&expect), "{listed}");
}

#[actix::test]
async fn what_cannot_be_written_down_is_not_done() {
    let directory = tempfile::tempdir().unwrap();
    File::create(directory.path().join(FILE)).unwrap().set_len(9 << 20).unwrap();
    let server = TestServer::start_in(directory, &tokens()).await;
    // The full file cannot take the place of this.
    let in_the_way = server.directory.path().join(FORMER);
    std::fs::create_dir(&in_the_way).unwrap();
    assert_eq!(server.told("psm_work", CANCEL, &json!({})).await, (503, json!("audit_unavailable")));
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(server.told("psm_work", CANCEL, &json!({})).await, (404, json!("not_found")));
    assert_eq!(server.trail("").await.0, ["1 work refused not_found"]);
}

#[actix::test]
async fn the_log_says_who_did_what_and_holds_no_token() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    std::fs::write(data.join("config.toml"), format!("[admin]\nmax_failures = 1\n{}", tokens())).unwrap();
    let log = data.join("stderr");
    let variables = [("LOG_LEVEL", "warn,audit=info".to_owned())];
    let program = Program::start_logging(data, &variables, File::create(&log).unwrap().into()).await;
    for token in ["psm_work", "psm_look", "wrong", "psm_work"] {
        let reset = run(data, &["breakers", "reset", "nobody", "--token", token], &[]);
        assert!(!reset.status.success());
    }
    drop(program);
    let log = std::fs::read_to_string(log).unwrap();
    let line = |what: &str| log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {log}"));
    let done = line("an operator said so");
    for field in ["operator=\"work\"", "from=\"127.0.0.1\"", "nobody/reset", "status=404", "error=\"not_found\""] {
        assert!(done.contains(field), "{field}: {done}");
    }
    let refused = line("refused for want of scope");
    assert!(refused.contains("operator=\"look\"") && refused.contains("needed=\"operate\""), "{refused}");
    assert!(line("locked out").contains("127.0.0.1"));
    assert!(line("admin.tokens.was.expires").contains("this token opens nothing"));
    assert!(!log.contains("psm_") && !log.contains("sha256") && !log.contains(TOKEN), "{log}");
}

/// A push waits for an hour.
const LONG: &str = r#"
[workflows.long]
timeout = "2h"
[[workflows.long.steps]]
name = "wait"
action = "delay"
with = { duration = "1h" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "long"
"#;

#[actix::test]
async fn the_journal_of_a_run_says_who_said_so() {
    let site = Site::start(&format!("{}{LONG}", tokens())).await;
    let run = site.run_of(&site.server.github("push", "1", "1", b"{}").await).await;
    site.until(&run, "waiting").await;
    let path = |verb: &str| format!("/api/v1/runs/{run}/{verb}");
    for (token, verb) in [("psm_work", "pause"), (TOKEN, "resume"), ("psm_rule", "cancel")] {
        assert_eq!(site.server.told(token, &path(verb), &json!({})).await.0, 200, "{verb}");
    }
    let shown = site.run(&run).await;
    let said = |entry: &Value| Some(format!("{} {}", entry["entry"].as_str()?, entry["by"].as_str()?));
    let said: Vec<String> = shown["journal"].as_array().unwrap().iter().filter_map(said).collect();
    assert_eq!(said, ["paused work", "resumed admin", "ended rule"]);
    let directory = site.server.directory.path().to_owned();
    let show = actix_web::web::block(move || run_show(&directory, &run));
    assert!(show.await.unwrap().contains("paused (by work)"));
}

fn run_show(directory: &std::path::Path, run_id: &str) -> String {
    String::from_utf8(run(directory, &["runs", "show", run_id], &[]).stdout).unwrap()
}
