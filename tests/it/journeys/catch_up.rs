//! What GitHub could not deliver is got, once, whatever was down and however the server ended.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use futures_util::future::join_all;
use pointsman_actors::catch_up::actor::LookNow;
use pointsman_actors::supervisor::{Drill, Life};
use pointsman_sandbox::github::app::{ID, KEY};
use pointsman_sandbox::github::hooks::{Access, Attempt, Occurrence, Way};
use pointsman_sandbox::{Call, Fault, FaultKind, Sandbox, World};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Program;
use crate::server::{Environment, SECRET, TestServer, until};
use crate::site::environment;

const HOOK: &str = "acme/shop#7";
const DELIVERIES: &str = "/repos/acme/shop/hooks/7/deliveries";
const HOUR_MS: i64 = 3_600_000;

/// A world with a hook whose server is not there, and where that will be.
struct Away {
    sandbox: Sandbox,
    port: u16,
    directory: TempDir,
    variables: Environment,
}

/// How what is missing is got.
const BOTH: [&str; 2] = ["redeliver", "ingest"];

impl Away {
    async fn new(hook: &str, mode: &str) -> Self {
        let sandbox = Sandbox::start(0).await.unwrap();
        let port = free_port();
        sandbox.world().put_hook(hook, &format!("http://127.0.0.1:{port}/webhooks/github"), SECRET);
        let mut variables = environment(&sandbox);
        variables.push(("WEBHOOK_PORT", port.to_string()));
        variables.push(("POINTSMAN_GITHUB_CATCH_UP", mode.to_owned()));
        // Only at the start, and when it is asked to.
        variables.push(("POINTSMAN_GITHUB_CATCH_UP_INTERVAL", "1h".to_owned()));
        if hook == "app" {
            variables.push(("GITHUB_APP_ID", ID.to_owned()));
            variables.push(("GITHUB_APP_PRIVATE_KEY", KEY.to_owned()));
        } else {
            variables.push(("POINTSMAN_GITHUB_CATCH_UP_HOOKS", hook.to_owned()));
        }
        Self { sandbox, port, directory: tempfile::tempdir().unwrap(), variables }
    }

    fn world(&self) -> &World {
        self.sandbox.world()
    }

    async fn happen(&self, hook: &str, number: usize, way: Way) -> BTreeSet<String> {
        happen(self.world(), hook, number, way, 0).await
    }

    async fn come_back(self) -> Back {
        let server = TestServer::start_with(self.directory, "", self.variables).await;
        assert_eq!(server.url(""), format!("http://127.0.0.1:{}", self.port));
        Back { sandbox: self.sandbox, server }
    }
}

/// A port that stays free until somebody listens: below those that connections are given.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let mine = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    let mut ports = std::iter::repeat_with(|| mine + NEXT.fetch_add(1, Ordering::SeqCst) % 100).take(100);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port is free")
}

async fn happen(world: &World, hook: &str, number: usize, way: Way, ago_ms: i64) -> BTreeSet<String> {
    let mut guids = BTreeSet::new();
    for number in 0..number {
        let payload = json!({
            "action": "opened", "number": number, "issue": {"number": number, "title": format!("It is {number} °C")},
            "repository": {"full_name": "acme/shop"}, "sender": {"login": "somebody", "type": "User"},
        });
        let occurrence = Occurrence { hook: hook.to_owned(), event: "issues".into(), payload, way, ago_ms };
        guids.insert(world.happen(occurrence).await);
    }
    guids
}

/// The server is there.
struct Back {
    sandbox: Sandbox,
    server: TestServer,
}

impl Back {
    fn world(&self) -> &World {
        self.sandbox.world()
    }

    async fn watched(&self) -> Value {
        let metrics = self.server.get("/metrics").await.body;
        let [hook] = &metrics["catchUp"].as_array().unwrap()[..] else { panic!("{metrics}") };
        hook.clone()
    }

    /// Has it look, and waits for the end of a look that has begun after this.
    async fn look(&self) -> Value {
        let before = self.watched().await["looks"].as_u64().unwrap();
        for more in 1..=2 {
            // One may have been under way.
            self.server.tree().work.catch_up.offer(LookNow).unwrap();
            self.looked(before + more).await;
        }
        self.watched().await
    }

    async fn looked(&self, times: u64) -> Value {
        until("it to have looked", async || self.watched().await["looks"].as_u64().unwrap() >= times).await;
        self.watched().await
    }

    async fn events(&self) -> BTreeMap<String, Value> {
        let listed = self.server.get("/api/v1/events?limit=500").await.body;
        let items = listed["items"].as_array().unwrap().clone();
        let number = items.len();
        let events: BTreeMap<String, Value> =
            items.into_iter().map(|event| (event["deliveryId"].as_str().unwrap().to_owned(), event)).collect();
        assert_eq!(events.len(), number, "no delivery is two events");
        events
    }

    /// Waits until these deliveries, and no others, are events.
    async fn until_there(&self, guids: &BTreeSet<String>) -> BTreeMap<String, Value> {
        until("all to be taken in", async || self.events().await.len() >= guids.len()).await;
        let events = self.events().await;
        assert_eq!(events.keys().cloned().collect::<BTreeSet<_>>(), *guids);
        events
    }

    async fn restart(self) -> Self {
        Self { server: self.server.restart_as_it_was().await, ..self }
    }

    /// The calls for redeliveries, or for what deliveries carried, that were done.
    fn got(&self) -> Vec<Call> {
        got(self.world())
    }
}

fn got(world: &World) -> Vec<Call> {
    let is_such = |call: &Call| {
        call.executed
            && call.path.contains("/deliveries/")
            && (call.method == "POST") == call.path.ends_with("/attempts")
    };
    world.ledger().into_iter().filter(is_such).collect()
}

/// The numbers of attempts of deliveries: the first ones, and those that were asked for.
fn attempts(all: &[Attempt], guids: &BTreeSet<String>) -> (usize, usize) {
    let of_these = all.iter().filter(|attempt| guids.contains(&attempt.guid));
    let again = of_these.clone().filter(|attempt| attempt.redelivery).count();
    (of_these.count() - again, again)
}

#[actix::test]
async fn what_failed_while_the_server_was_down_is_taken_in_once() {
    for mode in BOTH {
        let away = Away::new(HOOK, mode).await;
        let failed = away.happen(HOOK, 50, Way::Sent).await;
        assert!(away.world().attempts(HOOK).iter().all(|attempt| attempt.status == "failed to connect to host"));
        if mode == "ingest" {
            away.world().state().forge.access = Access::Read;
        }
        let back = away.come_back().await;
        let events = back.until_there(&failed).await;
        let watched = back.look().await;
        let expect_requested = if mode == "redeliver" { 50 } else { 0 };
        let numbers = |name: &str| watched[name].as_u64().unwrap();
        assert_eq!(
            ["missed", "requested", "takenIn", "waiting", "givenUp", "lost"].map(numbers),
            [50, expect_requested, 50, 0, 0, 0],
            "{mode}: {watched}"
        );
        assert!(watched["failing"].is_null() && watched["lastLook"].is_string(), "{watched}");
        // The ledger: for each delivery one call that got it, and nothing else was changed.
        let calls = back.got();
        let paths: BTreeSet<&str> = calls.iter().map(|call| call.path.as_str()).collect();
        assert_eq!((calls.len(), paths.len()), (50, 50), "{mode}");
        let expect = (50, usize::try_from(expect_requested).unwrap());
        until("GitHub to know it", async || attempts(&back.world().attempts(HOOK), &failed) == expect).await;
        let counts = back.server.get("/metrics").await.body["intake"]["github"]["counts"].clone();
        assert_eq!((counts["requests"].as_u64(), counts["accepted"].as_u64()), (Some(50), Some(50)), "{counts}");
        let event = events.values().next().unwrap();
        let whole = back.server.get(&format!("/api/v1/events/{}", event["id"].as_str().unwrap())).await.body;
        assert_eq!(whole["headers"]["x-github-hook-id"], "7", "{whole}");
        assert!(whole["payload"]["issue"]["title"].as_str().unwrap().ends_with("°C"), "{whole}");
        assert_eq!(whole["facts"]["event_type"], "issues", "{whole}");
        // What comes through the front door later is known.
        let attempt = &back.world().attempts(HOOK)[0];
        let answer = back.server.github("issues", &attempt.guid, "7", attempt.payload.to_string().as_bytes()).await;
        assert_eq!(answer.body["status"], "duplicate");
    }
}

#[actix::test]
async fn what_is_there_is_not_taken_in_again_although_github_says_that_it_failed() {
    for mode in BOTH {
        let back = Away::new(HOOK, mode).await.come_back().await;
        back.looked(1).await;
        let lost = happen(back.world(), HOOK, 1, Way::AnswerLost, 0).await;
        let well = happen(back.world(), HOOK, 1, Way::Sent, 0).await;
        // Somebody else had asked for this one, and it went well where it went.
        let elsewhere = happen(back.world(), HOOK, 1, Way::NobodyThere, 0).await;
        let of_it = back.world().attempts(HOOK).into_iter().find(|attempt| elsewhere.contains(&attempt.guid)).unwrap();
        let again = Attempt { id: 1 << 40, redelivery: true, status: "OK".into(), status_code: 200, ..of_it };
        back.world().state().forge.hooks.get_mut(HOOK).unwrap().attempts.push(again);
        let missed = happen(back.world(), HOOK, 1, Way::NobodyThere, 0).await;
        assert_eq!(back.world().attempts(HOOK)[0].status, "timed out");
        back.look().await;
        let expect: BTreeSet<String> = lost.iter().chain(&well).chain(&missed).cloned().collect();
        back.until_there(&expect).await;
        let watched = back.look().await;
        assert_eq!((watched["missed"].as_u64(), watched["takenIn"].as_u64()), (Some(1), Some(1)), "{watched}");
        assert_eq!(back.got().len(), 1, "{mode}");
    }
}

#[actix::test]
async fn a_restart_takes_nothing_in_twice_and_goes_on_from_its_checkpoint() {
    for mode in BOTH {
        let away = Away::new(HOOK, mode).await;
        // Three pages.
        let mut all = happen(away.world(), HOOK, 250, Way::NobodyThere, 5 * HOUR_MS).await;
        let back = away.come_back().await;
        back.until_there(&all).await;
        back.look().await;
        let back = back.restart().await;
        back.looked(1).await;
        assert_eq!(back.got().len(), 250, "{mode}");
        all.extend(happen(back.world(), HOOK, 3, Way::NobodyThere, 0).await);
        back.look().await;
        back.until_there(&all).await;
        let again = if mode == "redeliver" { 253 } else { 0 };
        until("GitHub to know it", async || attempts(&back.world().attempts(HOOK), &all) == (253, again)).await;
        back.look().await;
        let pages = || {
            let is_page = |call: &Call| call.path.starts_with(&format!("{DELIVERIES}?"));
            let pages = back.world().ledger().into_iter().filter(is_page);
            pages.map(|call| call.status.unwrap()).collect::<Vec<_>>()
        };
        let before = pages().len();
        back.look().await;
        // The attempts of the last quarter of an hour, and not those before: all of them are three pages, or six. That
        // the first one is as it was costs nothing, and is not the end.
        let expect: &[u16] = if mode == "ingest" { &[304] } else { &[304, 200, 200] };
        let looks = pages()[before..].to_vec();
        assert!(!looks.is_empty() && looks.chunks_exact(expect.len()).all(|look| look == expect), "{mode}: {looks:?}");
        let back = back.restart().await;
        back.looked(1).await;
        assert_eq!(back.got().len(), 253, "{mode}");
    }
}

#[actix::test]
async fn an_apps_own_hook_is_watched_without_being_named() {
    for mode in BOTH {
        let away = Away::new("app", mode).await;
        let failed = away.happen("app", 3, Way::Sent).await;
        let too_old = happen(away.world(), "app", 1, Way::NobodyThere, 3 * 24 * HOUR_MS - 60_000).await;
        let back = away.come_back().await;
        back.until_there(&failed).await;
        let watched = back.look().await;
        assert_eq!((watched["hook"].as_str(), watched["missed"].as_u64()), (Some("app"), Some(3)), "{watched}");
        let events = back.events().await;
        assert!(too_old.iter().all(|guid| !events.contains_key(guid)));
        let tokens = back.world().ledger().into_iter().filter(|call| call.path.ends_with("/access_tokens")).count();
        assert_eq!(tokens, 0, "the App asks as itself");
    }
}

#[actix::test]
async fn an_apps_installation_asks_for_hooks_of_organisations() {
    let mut away = Away::new("acme#45", "redeliver").await;
    away.variables.push(("GITHUB_APP_ID", ID.to_owned()));
    away.variables.push(("GITHUB_APP_PRIVATE_KEY", KEY.to_owned()));
    away.world().put_hook("app", "http://127.0.0.1:1/", SECRET);
    let failed = away.happen("acme#45", 2, Way::Sent).await;
    let back = away.come_back().await;
    back.until_there(&failed).await;
    let ledger = back.world().ledger();
    assert!(ledger.iter().any(|call| call.path == "/orgs/acme/installation"), "{ledger:#?}");
}

#[actix::test]
async fn an_api_that_fails_and_limits_is_asked_again_and_nothing_is_lost() {
    for mode in BOTH {
        let away = Away::new(HOOK, mode).await;
        let failed = happen(away.world(), HOOK, 120, Way::NobodyThere, 0).await;
        let fault = |path: &str, times, kind| Fault {
            service: "github".into(),
            method: None,
            path_contains: Some(path.into()),
            times,
            kind,
        };
        away.world().plan(fault("/deliveries?per_page=100&cursor", 1, FaultKind::DropBefore));
        away.world().plan(fault("/deliveries?per_page=100&cursor", 1, FaultKind::RateLimit(1)));
        away.world().plan(fault("/deliveries?", 1, FaultKind::Refuse(502)));
        // Some of them are asked for, or fetched, and the answer is lost.
        away.world().plan(fault("/deliveries/", 1, FaultKind::DropAfter));
        away.world().plan(fault("/deliveries/", 1, FaultKind::Refuse(503)));
        away.world().plan(fault("/deliveries/", 1, FaultKind::RateLimit(1)));
        let back = away.come_back().await;
        until("all to be taken in", async || {
            // Whoever waits need not wait for the pauses between its tries; GitHub's own it keeps.
            back.server.tree().work.catch_up.offer(LookNow).unwrap();
            back.events().await.len() >= failed.len()
        })
        .await;
        back.until_there(&failed).await;
        let watched = back.look().await;
        assert_eq!(
            (watched["takenIn"].as_u64(), watched["waiting"].as_u64()),
            (Some(120), Some(0)),
            "{mode}: {watched}"
        );
        assert!(watched["failing"].is_null(), "{watched}");
        let first_pages = |call: &&Call| call.status == Some(200) && call.path == format!("{DELIVERIES}?per_page=100");
        let ledger = back.world().ledger();
        let limited = ledger.iter().position(|call| call.status == Some(429)).unwrap();
        let before = ledger[..limited].iter().filter(first_pages).count();
        assert_eq!(before, 1, "{mode}: a walk goes on where it was interrupted");
        assert!(back.got().len() <= 121, "{mode}: only what nobody knew of was asked for again");
    }
}

#[actix::test]
async fn what_may_not_be_asked_for_is_said_and_asked_for_when_it_may() {
    let away = Away::new(HOOK, "redeliver").await;
    let failed = away.happen(HOOK, 2, Way::NobodyThere).await;
    away.world().state().forge.access = Access::Nothing;
    let back = away.come_back().await;
    let failing = async |part: &str| {
        until(part, async || {
            back.server.tree().work.catch_up.offer(LookNow).unwrap();
            back.watched().await["failing"].as_str().is_some_and(|failing| failing.contains(part))
        })
        .await;
    };
    failing("repository_hooks=read; missed deliveries are got with the permission `Webhooks`").await;
    back.world().state().forge.access = Access::Read;
    failing("repository_hooks=write").await;
    assert_eq!(back.server.get("/health").await.body["status"], "healthy", "deliveries are taken all the same");
    back.world().state().forge.access = Access::Nothing;
    failing("repository_hooks=read").await;
    let mut kept = {
        let mut state = back.world().state();
        state.forge.access = Access::Write;
        state.forge.hooks.remove(HOOK).unwrap()
    };
    kept.target.secret = "another one".into();
    failing("404 Not Found; it is not there, or the token cannot see it; the number of a hook stands in").await;
    back.world().state().forge.hooks.insert(HOOK.into(), kept);
    let watched = back.look().await;
    assert!(watched["failing"].is_null(), "{watched}");
    assert_eq!((watched["requested"].as_u64(), watched["waiting"].as_u64()), (Some(2), Some(2)), "{watched}");
    until("both to be refused", async || attempts(&back.world().attempts(HOOK), &failed) == (2, 2)).await;
    let url = back.world().state().forge.hooks[HOOK].target.url.clone();
    back.world().put_hook(HOOK, &url, SECRET);
    assert_eq!(back.look().await["requested"].as_u64(), Some(2), "what was asked for is given time to come");
    let back = back.restart().await;
    back.until_there(&failed).await;
}

#[actix::test]
async fn a_killed_server_gets_all_of_it_once() {
    for mode in BOTH {
        let away = Away::new(HOOK, mode).await;
        // So long ago that a later walk does not come to them: only the checkpoint knows of them then.
        let failed = happen(away.world(), HOOK, 250, Way::NobodyThere, 5 * HOUR_MS).await;
        let Away { sandbox, directory, variables, port } = away;
        let program = async || Program::start_on(directory.path(), &variables, port).await;
        for held in ["9000000020", "9000000180"] {
            // Whichever call it is, the process dies while it waits for the answer of this one.
            let kind = FaultKind::HoldAnswer(600_000);
            let path = Some(format!("/deliveries/{held}"));
            sandbox.world().plan(Fault { service: "github".into(), method: None, path_contains: path, times: 1, kind });
            let server = program().await;
            let is_held = |call: &Call| call.path.contains(held) && call.status.is_none() && call.executed;
            sandbox.world().wait_for_calls(1, is_held).await.unwrap();
            server.kill();
        }
        let server = program().await;
        let events = async || {
            let listed = server.get("/api/v1/events?limit=500").await;
            let ids = listed["items"].as_array().unwrap().iter().map(|event| event["deliveryId"].clone());
            ids.map(|id| id.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        until("all to be taken in", async || events().await.len() >= 250).await;
        let events = events().await;
        assert_eq!((events.len(), events.into_iter().collect::<BTreeSet<_>>()), (250, failed), "{mode}");
        let watched = server.get("/metrics").await["catchUp"][0].clone();
        assert_eq!(watched["givenUp"], 0, "{mode}: {watched}");
        assert!(got(sandbox.world()).len() <= 250 + 2 * 50, "{mode}: a death repeats no more than a batch");
        server.kill();
    }
}

#[actix::test]
async fn a_fall_of_catching_up_loses_nothing_and_giving_it_up_holds_up_nobody() {
    let back = Away::new(HOOK, "redeliver").await.come_back().await;
    back.looked(1).await;
    let vitals = back.server.tree().roster.of("catch_up").remove(0);
    vitals.rehearse(Drill::NextMessage);
    let failed = happen(back.world(), HOOK, 5, Way::NobodyThere, 0).await;
    back.server.tree().work.catch_up.offer(LookNow).unwrap();
    until("it to fall and come back", async || vitals.falls() == 1 && vitals.life() == Life::Running).await;
    back.until_there(&failed).await;
    vitals.rehearse(Drill::EveryStart);
    back.server.tree().work.catch_up.offer(LookNow).unwrap();
    until("it to be given up", async || vitals.life() == Life::GivenUp).await;
    let answers = join_all((0..3).map(|n| {
        let id = format!("after-{n}");
        let server = &back.server;
        async move { server.github("push", &id, "7", b"{}").await.status }
    }));
    assert_eq!(answers.await, [200, 200, 200]);
    assert_eq!(back.server.get("/health/ready").await.status, 200);
}

#[actix::test]
async fn who_watches_nothing_asks_for_nothing() {
    for (mode, hook) in [("off", HOOK), ("redeliver", "")] {
        let mut away = Away::new(HOOK, mode).await;
        away.variables.push(("POINTSMAN_GITHUB_CATCH_UP_HOOKS", hook.to_owned()));
        away.happen(HOOK, 1, Way::NobodyThere).await;
        let back = away.come_back().await;
        back.server.tree().work.catch_up.offer(LookNow).unwrap();
        let actors = back.server.get("/metrics/actors").await.body;
        let row = actors["components"].as_array().unwrap().iter().find(|row| row["component"] == "catch_up").unwrap();
        assert_eq!(row["instances"][0]["state"], "running", "{row}");
        assert_eq!(back.server.get("/metrics").await.body["catchUp"], json!([]));
        assert!(!back.world().ledger().iter().any(|call| call.path.contains("/deliveries")));
    }
}

#[actix::test]
async fn what_is_in_the_way_is_logged_once_with_what_to_do() {
    let Away { sandbox, directory, mut variables, .. } = Away::new(HOOK, "redeliver").await;
    variables.push(("POINTSMAN_GITHUB_CATCH_UP_INTERVAL", "20ms".to_owned()));
    sandbox.world().state().forge.access = Access::Nothing;
    let logged = async |variables: &Environment, calls: usize| {
        let path = directory.path().join("log.txt");
        let log = std::fs::File::create(&path).unwrap();
        let server = Program::start_logging(directory.path(), variables, log.into()).await;
        sandbox.world().wait_for_calls(calls, |call| call.path.starts_with(DELIVERIES)).await.unwrap();
        server.kill();
        std::fs::read_to_string(path).unwrap()
    };
    let said = logged(&variables, 5).await;
    assert_eq!(said.matches("cannot be got now").count(), 1, "{said}");
    assert!(said.contains(HOOK) && said.contains("admin:repo_hook"), "{said}");
    assert!(!said.contains(pointsman_sandbox::TOKEN) && !said.contains(SECRET), "{said}");
    variables.push(("POINTSMAN_GITHUB_CATCH_UP_HOOKS", String::new()));
    let said = logged(&variables, 0).await;
    assert_eq!(said.matches("no hook is named; set `integrations.github.catch_up.hooks`").count(), 1, "{said}");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
}
