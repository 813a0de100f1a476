//! People are told in several places at once: each is told once, whatever becomes of the others; one that takes nothing any
//! more is left out until an operator says so.

use std::process::Stdio;

use pointsman_sandbox::receiver::{self, SECRET};
use pointsman_sandbox::{DISCORD_PATH, FaultKind, Sandbox, World};
use serde_json::{Value, json};

use super::process::Program;
use crate::server::{TOKEN, TestServer, loaded_alone, unavailable, until};
use crate::site::{Site, environment, words};

/// Three places, of which one has its address in the environment, and a workflow that tells.
const THREE: &str = r#"
[integrations.notifications.dev]
kind = "discord"
[integrations.notifications.audit]
kind = "webhook"
url = "RECEIVER"
default = true
[workflows.telling]
timeout = "10m"
[[workflows.telling.steps]]
name = "tell"
action = "send_notification"
retry = { max_attempts = 2, base_delay = "20ms" }
with = WITH
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "telling"
input = { branch = "payload.ref" }
"#;

const ALL: &str = "{ text = \"{{ input.branch }}\" }";

fn toml(sandbox: &Sandbox, with: &str) -> String {
    THREE.replace("RECEIVER", &format!("{}{}", sandbox.url(), receiver::PATH)).replace("WITH", with)
}

fn variables(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let mut variables = environment(sandbox);
    variables.push(("POINTSMAN_NOTIFY_DEV_URL", format!("{}{DISCORD_PATH}", sandbox.url())));
    variables.push(("POINTSMAN_NOTIFY_AUDIT_SECRET", SECRET.to_owned()));
    variables
}

async fn site(with: &str) -> Site {
    site_with("", with).await
}

async fn site_with(more: &str, with: &str) -> Site {
    let sandbox = Sandbox::start(0).await.unwrap();
    let toml = format!("{}{more}", toml(&sandbox, with));
    let server = TestServer::start_with(tempfile::tempdir().unwrap(), &toml, variables(&sandbox)).await;
    Site { sandbox, server }
}

async fn push(site: &Site, branch: &str) -> String {
    let body = json!({ "ref": branch }).to_string();
    let answer = site.server.github("push", &uuid::Uuid::new_v4().to_string(), "1", body.as_bytes()).await;
    site.run_of(&answer).await
}

/// How many messages each place has: Slack, Discord, the receiver of webhooks.
fn told(world: &World) -> [usize; 3] {
    let state = world.state();
    [state.notifications.len(), state.discord.len(), state.received.len()]
}

/// What the step says of each target.
fn targets(run: &Value) -> Value {
    let done = run["journal"].as_array().unwrap().iter().find(|entry| entry["entry"] == "succeeded");
    done.unwrap_or_else(|| panic!("{run:#}"))["output"]["targets"].clone()
}

async fn breaker(site: &Site, name: &str) -> Value {
    let listed = site.server.get("/api/v1/breakers").await.body;
    listed["items"].as_array().unwrap().iter().find(|breaker| breaker["id"] == name).cloned().unwrap()
}

async fn reset(site: &Site, name: &str) -> u16 {
    let url = site.server.url(&format!("/api/v1/breakers/{name}/reset"));
    site.server.http.post(url).bearer_auth(TOKEN).send().await.unwrap().status().as_u16()
}

#[actix::test]
async fn three_places_are_told_each_in_its_own_form_and_nobody_is_mentioned() {
    let with =
        "{ text = \"<!channel> @everyone {{ input.branch }}\", level = \"error\", link = \"https://h.example/x\" }";
    let site = site(with).await;
    let run = push(&site, "main").await;
    let shown = site.until(&run, "succeeded").await;
    assert_eq!(targets(&shown), json!({ "audit": "sent", "dev": "sent", "slack": "sent" }));
    let state = site.world().state();
    assert_eq!(state.notifications, ["&lt;!channel&gt; @everyone main"]);
    let description = "<!channel> @everyone main\nhttps://h.example/x";
    let embed = json!({ "description": description, "color": 0xE0_1E_5A });
    assert_eq!(state.discord, [json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } })]);
    let [received] = &state.received[..] else { panic!("{:?}", state.received) };
    assert_eq!((&received.id, received.times), (&format!("{run}/tell"), 1));
    let data = json!({
        "text": "<!channel> @everyone main", "level": "error", "link": "https://h.example/x", "run": run, "step": "tell",
    });
    assert_eq!((&received.body["type"], &received.body["data"]), (&json!("pointsman.notification"), &data));
    assert_eq!(state.mentions, 0);
    let mut calls: Vec<(&str, Option<u16>)> =
        state.ledger.iter().map(|call| (call.service.as_str(), call.status)).collect();
    calls.sort_unstable();
    assert_eq!(calls, [("discord", Some(204)), ("receiver", Some(202)), ("slack", Some(200))]);
}

#[actix::test]
async fn a_step_names_whom_it_tells_and_others_are_told_only_by_name() {
    let only = site("{ text = \"x\", targets = \"dev, audit\" }").await;
    only.until(&push(&only, "main").await, "succeeded").await;
    assert_eq!(told(only.world()), [0, 1, 1]);
    let sandbox = Sandbox::start(0).await.unwrap();
    let quiet = toml(&sandbox, ALL).replace("default = true", "default = false");
    let server = TestServer::start_with(tempfile::tempdir().unwrap(), &quiet, variables(&sandbox)).await;
    let quiet = Site { sandbox, server };
    quiet.until(&push(&quiet, "main").await, "succeeded").await;
    assert_eq!(told(quiet.world()), [1, 1, 0]);
}

#[actix::test]
async fn when_one_fails_the_others_are_not_told_again() {
    let site = site(ALL).await;
    site.world().plan_once("discord", "POST", "", FaultKind::Refuse(400));
    let failed = push(&site, "refused").await;
    let shown = site.until(&failed, "failed").await;
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("dev: Discord answered 400") && reason.contains("slack: sent"), "{reason}");
    assert_eq!(told(site.world()), [1, 0, 1]);
    // Whoever has it done again has it done where it failed.
    let url = site.server.url(&format!("/api/v1/runs/{failed}/restart"));
    let body = json!({ "step": "tell" });
    let again = site.server.http.post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    assert_eq!(again.status(), 200);
    site.until(&failed, "succeeded").await;
    assert_eq!(told(site.world()), [1, 1, 1]);

    // Only the receiver of webhooks recognises what it gets twice.
    site.world().plan_once("receiver", "POST", "", FaultKind::DropAfter);
    let tried_again = push(&site, "dropped").await;
    let shown = site.until(&tried_again, "succeeded").await;
    assert_eq!(words(&shown).iter().filter(|word| *word == "tell attempted").count(), 2, "{shown:#}");
    assert_eq!(told(site.world()), [2, 2, 2]);
    assert_eq!(site.world().state().received[1].times, 2, "it was sent twice under one id");

    site.world().plan_once("discord", "POST", "", FaultKind::DropAfter);
    let assumed = push(&site, "in doubt").await;
    let shown = site.until(&assumed, "succeeded").await;
    assert!(targets(&shown)["dev"].as_str().unwrap().starts_with("assumed: "), "{shown:#}");
    assert!(shown["journal"].to_string().contains("\"assumed\":true"));
    assert_eq!(told(site.world()), [3, 3, 3], "nobody is told twice");
}

/// Kills the process while `service` holds its answer; gives the run when it has ended, and the world.
async fn killed(service: &str) -> (Value, Sandbox) {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    std::fs::write(data.path().join("config.toml"), toml(&sandbox, ALL)).unwrap();
    sandbox.world().plan_once(service, "POST", "", FaultKind::HoldAnswer(600_000));
    let server = Program::start(data.path(), &variables(&sandbox)).await;
    let run = server.run_of("push", "d1", "{\"ref\":\"main\"}").await;
    until("the others to be noted", async || {
        let shown = server.get(&format!("/api/v1/runs/{run}")).await;
        shown["journal"].to_string().matches("\"is\":\"sent\"").count() == 2
    })
    .await;
    server.kill();
    let server = Program::start(data.path(), &variables(&sandbox)).await;
    (server.until(&run, "succeeded").await, sandbox)
}

#[actix::test]
async fn a_process_that_is_killed_in_between_tells_nobody_twice() {
    let (run, sandbox) = killed("discord").await;
    assert_eq!(targets(&run)["slack"], "sent", "{run:#}");
    assert!(targets(&run)["dev"].as_str().unwrap().starts_with("assumed: the attempt was cut off"), "{run:#}");
    assert_eq!(told(sandbox.world()), [1, 1, 1]);
    assert_eq!(sandbox.world().ledger().len(), 3, "nothing more was sent");

    let (run, sandbox) = killed("receiver").await;
    assert_eq!(targets(&run), json!({ "audit": "sent", "dev": "sent", "slack": "sent" }));
    assert_eq!(told(sandbox.world()), [1, 1, 1]);
    assert_eq!(sandbox.world().state().received[0].times, 2, "it knows the id, and was told again");
}

#[actix::test]
async fn whoever_asks_to_slow_down_is_told_then_and_that_uses_up_no_attempt() {
    for service in ["slack", "discord", "receiver"] {
        let site = site(ALL).await;
        for _ in 0..2 {
            site.world().plan_once(service, "POST", "", FaultKind::RateLimit(1));
        }
        let run = push(&site, "main").await;
        let shown = site.until(&run, "succeeded").await;
        assert_eq!(told(site.world()), [1, 1, 1], "{service}: {shown:#}");
        let calls: Vec<i64> =
            site.world().ledger().iter().filter(|call| call.service == service).map(|c| c.at_ms).collect();
        assert_eq!(calls.len(), 3, "of two attempts none was used up");
        assert!(calls.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{service}: {calls:?}");
    }
}

#[actix::test]
async fn a_place_that_is_gone_is_left_out_until_an_operator_says_that_it_is_back() {
    type Set = fn(&World, bool);
    let gone: [(&str, Set, &str); 3] = [
        ("slack", |world, is| world.state().channel_is_archived = is, "Slack answered 410: channel_is_archived"),
        (
            "dev",
            |world, is| world.state().webhook_is_deleted = is,
            "Discord answered 404: Unknown Webhook (code 10015)",
        ),
        ("audit", |world, is| world.state().receiver_is_gone = is, "the webhook answered 410"),
    ];
    for (name, set, why) in gone {
        let (site, breaker_of) = (site(ALL).await, format!("notification:{name}"));
        set(site.world(), true);
        let shown = site.until(&push(&site, "one").await, "succeeded").await;
        assert_eq!(targets(&shown)[name], format!("disabled: {why}"));
        assert_eq!(told(site.world()).iter().sum::<usize>(), 2, "the others were told");
        let shown = breaker(&site, &breaker_of).await;
        assert_eq!((&shown["status"], &shown["reason"]), (&json!("disabled"), &json!(why)));
        let calls = site.world().ledger().len();

        let site = site.restart().await;
        let health = site.server.get("/health").await.body;
        assert_eq!((&health["status"], &health["breakers"][0]["id"]), (&json!("degraded"), &json!(breaker_of)));
        assert_eq!(health["breakers"][0]["status"], "disabled");
        let shown = site.until(&push(&site, "two").await, "succeeded").await;
        assert_eq!(targets(&shown)[name], format!("disabled: {why}"), "also after a restart");
        assert_eq!(site.world().ledger().len(), calls + 2, "it was not called");

        set(site.world(), false);
        assert_eq!(reset(&site, &breaker_of).await, 200);
        let shown = site.until(&push(&site, "three").await, "succeeded").await;
        assert_eq!(targets(&shown)[name], "sent");
        assert_eq!(breaker(&site, &breaker_of).await["status"], "closed");
        assert_eq!(site.server.get("/health").await.body["breakers"], json!([]));
    }
}

#[actix::test]
async fn a_place_that_is_configured_otherwise_is_tried_again() {
    let mut site = site_with("[circuit_breaker]\nenabled = false\n", ALL).await;
    site.world().state().webhook_is_deleted = true;
    site.until(&push(&site, "one").await, "succeeded").await;
    site = site.restart().await;
    assert_eq!(breaker(&site, "notification:dev").await["status"], "disabled", "also when no circuit opens");
    site.world().state().webhook_is_deleted = false;
    let elsewhere = format!("{}{DISCORD_PATH}?wait=true", site.sandbox.url());
    site.server.set_variable("POINTSMAN_NOTIFY_DEV_URL", elsewhere);
    site = site.restart().await;
    let dev = breaker(&site, "notification:dev").await;
    assert_eq!((&dev["status"], &dev["reason"]), (&json!("closed"), &json!("it is configured otherwise")));
}

#[actix::test]
async fn a_place_that_is_given_a_rest_holds_up_nobody_else() {
    let site = site_with("[circuit_breaker]\nthreshold = 1\ntimeout = \"1h\"\n", ALL).await;
    site.world().plan_once("receiver", "POST", "", FaultKind::Refuse(503));
    let first = push(&site, "one").await;
    until("it to be held", async || site.run(&first).await["reason"] == "the circuit of `notification:audit` is open")
        .await;
    let second = push(&site, "two").await;
    until("the others to be told", async || told(site.world()) == [2, 2, 0]).await;
    assert_eq!(reset(&site, "notification:audit").await, 200);
    for run in [first, second] {
        let shown = site.until(&run, "succeeded").await;
        assert_eq!(targets(&shown), json!({ "audit": "sent", "dev": "sent", "slack": "sent" }));
    }
    assert_eq!(told(site.world()), [2, 2, 2]);
}

/// What `check` says of a configuration: what is wrong with it, or what is unavailable.
fn check(toml: &str) -> Result<String, String> {
    let plan = pointsman::boot::plan(&loaded_alone(toml)).map_err(|error| format!("{error:#}"))?;
    Ok(unavailable(&plan, "telling"))
}

#[actix::test]
async fn a_place_that_there_is_not_is_said_before_anything_is_sent() {
    let of = |with: &str| {
        let url = "url = \"https://h.example/x\"\n[integrations.notifications.audit]";
        let three = THREE.replace("[integrations.notifications.audit]", url).replace("RECEIVER", "https://h.example/y");
        let secret = format!("default = true\nsecret = \"{SECRET}\"");
        three.replace("default = true", &secret).replace("WITH", with)
    };
    assert_eq!(check(&of("{ text = \"x\", targets = [\"dev\", \"audit\"] }")), Ok(String::new()));
    let said = check(&of("{ text = \"x\", targets = \"dev, opz\" }")).unwrap();
    assert!(said.contains("there is no notification target `opz`; there are audit, dev"), "{said}");
    for (with, expect) in [
        ("{ text = \"x\", targets = [1] }", "with.targets: expected a list of names, or a text with commas"),
        ("{ text = \"x\", level = \"fatal\" }", "with.level: expected one of , info, success, warning, error"),
        ("{ text = \"x\", link = \"h.example\" }", "with.link: it is not an address that can be called"),
    ] {
        let said = check(&of(with)).unwrap_err();
        assert!(said.contains(expect), "{with}: {said}");
    }
    let site = site("{ text = \"x\", targets = \"{{ input.branch }}\" }").await;
    let shown = site.until(&push(&site, "opz").await, "failed").await;
    assert!(shown["reason"].as_str().unwrap().contains("there is no notification target `opz`"), "{shown:#}");
    assert_eq!(told(site.world()), [0, 0, 0]);
    site.until(&push(&site, "dev").await, "succeeded").await;
    assert_eq!(told(site.world()), [0, 1, 0]);
}

#[actix::test]
async fn addresses_and_secrets_stand_in_no_journal_no_answer_and_no_log() {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    let toml = toml(&sandbox, ALL).replace("max_attempts = 2", "max_attempts = 1");
    std::fs::write(data.path().join("config.toml"), toml).unwrap();
    let (log, mut more) = (data.path().join("said.log"), variables(&sandbox));
    more.push(("LOG_LEVEL", "debug".to_owned()));
    let server = Program::start_logging(data.path(), &more, Stdio::from(std::fs::File::create(&log).unwrap())).await;
    sandbox.world().plan_once("slack", "POST", "", FaultKind::DropBefore);
    sandbox.world().plan_once("receiver", "POST", "", FaultKind::Refuse(400));
    sandbox.world().state().webhook_is_deleted = true;
    let run = server.run_of("push", "d1", "{\"ref\":\"main\"}").await;
    let ended = server.until(&run, "failed").await;
    let mut shown = ended.to_string();
    for path in ["/api/v1/breakers", "/health", "/metrics", "/metrics/actors"] {
        shown += &server.get(path).await.to_string();
    }
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.contains(&run) && shown.contains("Unknown Webhook"), "{shown}");
    for hidden in ["XXXX", "hunter2-token", receiver::PATH, SECRET, &SECRET[6..]] {
        assert!(!shown.contains(hidden) && !logged.contains(hidden), "{hidden}");
    }
}
