//! A configuration is changed while the server runs: what comes into force, what does not, and what nobody loses.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use pointsman::access::token::TokenHash;
use pointsman::sources::Secret;
use serde_json::{Value, json};

use super::process::{Program, run};
use crate::server::{Answer, SECRET, TOKEN, TestServer, until};

const UNLIMITED: &str = "[validator]\nrate_limiting = false\n";

/// A workflow that begins at once and does nothing for so long, and the route to it from `push`.
fn workflow(name: &str, duration: &str) -> String {
    format!(
        "[workflows.{name}]\ntimeout = \"3h\"\n[[workflows.{name}.steps]]\nname = \"rest\"\naction = \"delay\"\nwith = {{ duration = \"{duration}\" }}\n\
         [[routes]]\nname = \"{name}\"\nsource = \"codegen\"\nevent = \"{name}\"\nworkflow = \"{name}\"\n"
    )
}

/// A delivery of Codegen of this type, signed with this secret.
async fn codegen(server: &TestServer, secret: &str, kind: &str, id: &str) -> Answer {
    let body = format!(r#"{{"event_type":"{kind}","event_id":"{id}","data":{{}}}}"#);
    let signature = format!("sha256={}", hex::encode(Secret::new(secret).sign(body.as_bytes())));
    let headers = [("content-type", "application/json"), ("x-codegen-signature", &*signature)];
    server.post("/webhooks/codegen", &headers, body).await
}

/// The changes that a reload told of, as `key status`.
fn changes(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)), "{}", answer.body);
    let text = |change: &Value, key: &str| change[key].as_str().unwrap().to_owned();
    let changes = answer.body["changes"].as_array().unwrap().iter();
    changes.map(|change| format!("{} {}", text(change, "id"), text(change, "status"))).collect()
}

/// What became of the run of an event.
async fn run_of(server: &TestServer, event: &Answer) -> Option<Value> {
    let event = event.body["eventId"].as_str().unwrap();
    let status = server.get(&format!("/api/v1/events/{event}/status")).await;
    let run = status.body["runs"].as_array().unwrap().first()?.as_str()?.to_owned();
    Some(server.get(&format!("/api/v1/runs/{run}")).await.body)
}

#[actix::test]
async fn a_secret_is_replaced_by_reloads_while_its_senders_go_on() {
    let with = |secrets: &[&str]| format!("{UNLIMITED}[webhooks.codegen]\nsecrets = {secrets:?}\n");
    let server = TestServer::start(&with(&["the old one"])).await;
    // How far it is: both are told before and after each reload, so that a sender knows what must hold of its request.
    let (begun, ended, taken) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let sender = async |number: usize, secret: &'static str| {
        let mut sent = 0;
        while ended.load(Ordering::SeqCst) < 2 || sent % 20 != 0 {
            let before = ended.load(Ordering::SeqCst);
            let answer = codegen(&server, secret, "generation.complete", &format!("{number} {sent}")).await;
            let after = begun.load(Ordering::SeqCst);
            // The old one counts until the second reload begins, the new one from the end of the first.
            let (must, must_not) = match secret {
                "the old one" => (after < 2, before == 2),
                "the new one" => (before >= 1, after == 0),
                _ => (false, true),
            };
            assert!(!must || answer.status == 200, "{secret} at {before}–{after}: {}", answer.body);
            assert!(!must_not || answer.status == 401, "{secret} at {before}–{after}: {}", answer.body);
            assert!(matches!(answer.status, 200 | 401), "{}", answer.body);
            taken.fetch_add(usize::from(answer.status == 200), Ordering::SeqCst);
            sent += 1;
        }
    };
    let senders = ["the old one", "the old one", "the new one", "the new one", "a guess"];
    let senders = join_all(senders.into_iter().enumerate().map(|(number, secret)| sender(number, secret)));
    let operator = async {
        for secrets in [&["the old one", "the new one"][..], &["the new one"]] {
            let so_far = taken.load(Ordering::SeqCst);
            until("senders to go on", async || taken.load(Ordering::SeqCst) >= so_far + 40).await;
            begun.fetch_add(1, Ordering::SeqCst);
            assert_eq!(changes(&server.reload(&with(secrets)).await).len(), 1 + secrets.len() % 2);
            ended.fetch_add(1, Ordering::SeqCst);
        }
    };
    futures_util::join!(senders, operator);
    assert_eq!(server.events_stored().await, taken.load(Ordering::SeqCst) as u64);
    let listed = server.get("/api/v1/secrets").await.body.to_string();
    assert!(!listed.contains("the new one") && !listed.contains("the old one"), "{listed}");
}

#[actix::test]
async fn what_a_secret_has_verified_goes_on_being_counted() {
    let with = |name: &str| format!("[webhooks.codegen]\nsecrets = [{{ name = \"{name}\", value = \"the same\" }}]\n");
    let server = TestServer::start(&with("this")).await;
    assert_eq!(codegen(&server, "the same", "generation.complete", "1").await.status, 200);
    let changed = changes(&server.reload(&with("that")).await);
    assert_eq!(changed, ["webhooks.codegen: secret `that` in_force", "webhooks.codegen: secret `this` in_force"]);
    let listed = server.get("/api/v1/secrets").await;
    let that = listed.body["items"].as_array().unwrap().iter().find(|item| item["id"] == "codegen/that").unwrap();
    assert_eq!(that["verified"], 1);
}

#[actix::test]
async fn a_new_workflow_runs_and_what_runs_goes_on_with_what_it_was_started_with() {
    let server = TestServer::start(&workflow("rest", "1h")).await;
    let before = run_of(&server, &codegen(&server, SECRET, "rest", "1").await).await.unwrap();
    let other = format!("{}{}", workflow("rest", "2h"), workflow("more", "0s"));
    let changed = changes(&server.reload(&other).await);
    assert_eq!(
        changed,
        ["routes.more in_force", "workflows.more in_force", "workflows.rest in_force"],
        "what is as it was is not told of"
    );
    let more = codegen(&server, SECRET, "more", "2").await;
    until("the run of the new workflow to end", async || {
        run_of(&server, &more).await.is_some_and(|run| run["status"] == "succeeded")
    })
    .await;
    let after = run_of(&server, &codegen(&server, SECRET, "rest", "3").await).await.unwrap();
    assert_ne!(before["definition"], after["definition"]);
    let id = before["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/api/v1/runs/{id}")).await.body["definition"], before["definition"]);
    // What is gone starts nothing; what it has started goes on.
    assert_eq!(changes(&server.reload("").await).len(), 4);
    assert!(run_of(&server, &codegen(&server, SECRET, "rest", "4").await).await.is_none());
    until("the run to rest on", async || server.get(&format!("/api/v1/runs/{id}")).await.body["status"] == "waiting")
        .await;
    let server = server.restart_as_it_was().await;
    assert_eq!(server.get(&format!("/api/v1/runs/{id}")).await.body["definition"], before["definition"]);
}

#[actix::test]
async fn a_configuration_that_cannot_be_used_changes_nothing() {
    let server = TestServer::start(&workflow("rest", "0s")).await;
    for (toml, expected) in [
        ("[server\n", "line 1"),
        ("[server]\nread_timeuot = \"1s\"\n", "line 2): unknown key; did you mean `server.read_timeout`?"),
        (
            "[webhooks.codegen]\nsecrets = [{ value = \"x\" }]\n[server]\ngrace_period = \"soon\"\n",
            "/config.toml, line 4): ",
        ),
        (&workflow("rest", "soon"), "line 6: workflow `rest`, step `rest`, with.duration"),
        ("[webhooks.codegen]\nallow_unsigned = true\nenabled = 1\n", "webhooks.codegen.enabled"),
    ] {
        let answer = server.reload(toml).await;
        let message = answer.body["message"].as_str().unwrap();
        assert_eq!((answer.status, &answer.body["error"]), (422, &json!("invalid_configuration")), "{message}");
        assert!(message.contains(expected) && message.ends_with("everything is as it was"), "{message}");
        let delivered = codegen(&server, SECRET, "rest", expected).await;
        assert_eq!(delivered.status, 200);
        assert!(run_of(&server, &delivered).await.is_some(), "the route is there");
    }
    assert_eq!(changes(&server.reload(&workflow("rest", "0s")).await), [""; 0]);
}

#[actix::test]
async fn sources_come_move_and_go() {
    let shop = |path: &str| {
        format!(
            "[webhooks.shop]\nkind = \"generic\"\nscheme = \"token\"\nheader = \"x-token\"\nsecret = \"t\"\npath = \"{path}\"\n"
        )
    };
    let server = TestServer::start("").await;
    let send = async |path: &str| {
        let headers = [("content-type", "application/json"), ("x-token", "t")];
        server.post(path, &headers, format!(r#"{{"a":"{path}"}}"#)).await.status
    };
    assert_eq!(send("/orders").await, 404);
    changes(&server.reload(&shop("/orders")).await);
    assert_eq!((send("/orders").await, send("/webhooks/shop").await), (200, 404));
    changes(&server.reload(&shop("/sold")).await);
    assert_eq!((send("/orders").await, send("/sold").await), (404, 200));
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.body["intake"]["shop"]["counts"]["accepted"], 2, "{}", metrics.body["intake"]);
    changes(&server.reload("[webhooks.github]\nenabled = false\n").await);
    assert_eq!(send("/sold").await, 404);
    assert_eq!(server.github("push", "1", "1", b"{}").await.status, 404);
    assert_eq!(codegen(&server, SECRET, "x", "1").await.status, 200);
}

#[actix::test]
async fn limits_come_into_force_at_once() {
    let with = |slots: usize, limit: usize| {
        format!(
            "[workflow]\nmax_concurrent = {slots}\n[rate_limiter]\nslow_down = false\nburst = false\nmax_requests = {limit}\n{}",
            workflow("rest", "0s")
        )
    };
    let server = TestServer::start(&with(10, 3)).await;
    let guess = async || codegen(&server, "a guess", "x", "1").await.status;
    for expected in [401, 401, 401, 429] {
        assert_eq!(guess().await, expected);
    }
    assert_eq!(changes(&server.reload(&with(10, 5)).await), ["rate_limiter.max_requests in_force"]);
    for expected in [401, 401, 401, 401, 401, 429] {
        assert_eq!(guess().await, expected);
    }
    assert_eq!(changes(&server.reload(&with(1, 5)).await), ["workflow.max_concurrent in_force"]);
    assert_eq!(guess().await, 429, "who is held back stays so when nothing of that has changed");
    let event = codegen(&server, SECRET, "rest", "1").await;
    until("the run to end", async || run_of(&server, &event).await.is_some_and(|run| run["status"] == "succeeded"))
        .await;
    changes(&server.reload(&format!("[server]\nmax_in_flight = 1\nmax_share_per_address = 0.0\n{}", with(1, 5))).await);
    changes(&server.reload("[event_queue]\nmax_size = 1\n[webhooks.codegen]\nmax_body = 5\n").await);
    assert_eq!(codegen(&server, SECRET, "rest", "2").await.status, 413);
}

#[actix::test]
async fn what_needs_a_restart_is_said_each_time_and_stays_as_it_is() {
    let server = TestServer::start("").await;
    let later = "[server]\ngrace_period = \"1s\"\n[event_store]\nretention = \"1d\"\n[integrations.github]\ntoken = \"ghp_x\"\n";
    for _ in 0..2 {
        let answer = server.reload(later).await;
        assert_eq!(
            changes(&answer),
            [
                "event_store.retention needs_restart",
                "integrations.github.token needs_restart",
                "server.grace_period needs_restart",
            ]
        );
        assert!(!answer.body.to_string().contains("ghp_x"), "{}", answer.body);
    }
    let config = server.get("/api/v1/config").await;
    let of = |key: &str| config.body["items"].as_array().unwrap().iter().find(|item| item["id"] == key).cloned();
    assert_eq!(of("server.grace_period").unwrap()["value"], "20s");
    assert_eq!(of("integrations.github.token"), None);
    // Whether unsigned deliveries may be taken depends on where the server does listen, not on where it would.
    let toml = "[server]\nhost = \"0.0.0.0\"\n[webhooks.codegen]\nallow_unsigned = true\n";
    assert_eq!(server.reload(toml).await.status, 200, "the environment has the last word on the host");
}

#[actix::test]
async fn whoever_may_not_change_the_server_does_not_reload_it_and_whoever_does_is_written_down() {
    let token = |name: &str, scope: &str| {
        let hash = TokenHash::of(&format!("psm_{name}")).written();
        format!("[admin.tokens.{name}]\nhash = \"{hash}\"\nscopes = [\"{scope}\"]\n")
    };
    let all = format!("{}{}", token("work", "operate"), token("rule", "admin"));
    let server = TestServer::start(&all).await;
    let reload = async |path: &str, token: &str| {
        let request = server.http.post(server.url(path)).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    for path in ["/api/v1/reload", "/api/v1/%72eload"] {
        assert_eq!((reload(path, "psm_work").await, reload(path, "psm_other").await), (403, 401), "{path}");
    }
    assert_eq!(reload("/api/v1/reload", "psm_rule").await, 200);
    // A token that is taken out opens nothing any more.
    assert_eq!(changes(&server.reload(&token("work", "operate")).await).len(), 2);
    assert_eq!(reload("/api/v1/reload", "psm_rule").await, 401);
    assert_eq!(reload("/api/v1/reload", TOKEN).await, 200);
    let audit = server.get("/api/v1/audit").await;
    let deeds: Vec<(&str, u64)> = audit.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["operator"].as_str().unwrap(), item["httpStatus"].as_u64().unwrap()))
        .collect();
    assert_eq!(deeds, [("admin", 200), ("admin", 200), ("rule", 200), ("work", 403), ("work", 403)]);
}

#[actix::test]
async fn a_signal_and_a_command_reload_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let write = |toml: &str| std::fs::write(directory.path().join("config.toml"), toml).unwrap();
    write("");
    let program = Program::start(directory.path(), &[]).await;
    let value = async |key: &str| {
        let listed = program.get("/api/v1/config").await;
        let items = listed["items"].as_array().unwrap().clone();
        items.into_iter().find(|item| item["id"] == key).unwrap()["value"].as_str().unwrap().to_owned()
    };
    write("[server]\nread_timeout = \"3s\"\n");
    program.hang_up();
    until("the signal to be heard", async || value("server.read_timeout").await == "3s").await;
    let listed = run(directory.path(), &["audit", "list"], &[]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("SIGHUP"), "{listed:?}");
    write("[server]\nread_timeout = \"4s\"\nworkers = 7\n");
    let output = run(directory.path(), &["reload"], &[]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "server.read_timeout  3s → 4s\nserver.workers  + 7  (counts after a restart)\n"
    );
    assert_eq!(value("server.read_timeout").await, "4s");
    write("[server]\nread_timeout = \"0s\"\n");
    let output = run(directory.path(), &["reload"], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("server.read_timeout (config.toml, line 2)"), "{said}");
    assert_eq!(value("server.read_timeout").await, "4s");
}
