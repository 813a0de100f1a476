//! A service that is not well is given a rest; runs wait for it, lose no attempt, and go on.

use pointsman_actors::supervisor::{Drill, Life};
use pointsman_sandbox::FaultKind;
use serde_json::{Value, json};

use crate::server::{TOKEN, until};
use crate::site::{REPOSITORY, Site, words};

const TELLING: &str = r#"
[circuit_breaker]
threshold = 1
timeout = "1h"
[workflows.telling]
timeout = "10m"
[[workflows.telling.steps]]
name = "tell"
action = "update_pr_status"
retry = { max_attempts = 2, base_delay = "20ms" }
with = { repository = "acme/shop", pr_number = 12, head_sha = "a1", state = "pending" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "telling"
"#;

impl Site {
    /// A site with the pull request that runs speak about; GitHub fails its next `calls`.
    async fn with_failing_calls(toml: &str, calls: usize) -> Self {
        let site = Self::start(toml).await;
        site.put_pull(12, "a1", "+fn new() {}\n");
        site.fail(calls);
        site
    }

    fn fail(&self, calls: usize) {
        (0..calls).for_each(|_| self.world().plan_once("github", "GET", "/pulls/", FaultKind::Refuse(503)));
    }

    async fn push(&self) -> String {
        let delivery = uuid::Uuid::new_v4().to_string();
        let answer = self.server.github("push", &delivery, "1", br#"{"ref":"main"}"#).await;
        self.run_of(&answer).await
    }

    async fn circuit(&self, name: &str) -> Value {
        let listed = self.server.get("/api/v1/breakers").await.body;
        listed["items"].as_array().unwrap().iter().find(|breaker| breaker["id"] == name).cloned().unwrap()
    }

    async fn until_circuit(&self, name: &str, status: &str) {
        until(&format!("{name} to be {status}"), async || self.circuit(name).await["status"] == status).await;
    }

    async fn health(&self) -> Value {
        self.server.get("/health").await.body["status"].clone()
    }
}

#[actix::test]
async fn an_open_circuit_holds_runs_until_it_is_closed_also_through_a_restart() {
    let site = Site::with_failing_calls(TELLING, 1).await;
    assert_eq!(site.circuit("github").await["status"], "closed");
    let first = site.push().await;
    site.until_circuit("github", "open").await;
    let (second, third) = (site.push().await, site.push().await);
    for run in [&first, &second, &third] {
        until("it to be held", async || site.run(run).await["reason"] == "the circuit of `github` is open").await;
    }
    assert_eq!(site.health().await, "degraded");
    let before = site.run(&third).await["journal"].clone();
    let site = site.restart().await;
    assert_eq!(site.circuit("github").await["status"], "open");
    assert_eq!(site.until(&third, "waiting").await["journal"], before);
    let reset = |name: &str| {
        let url = site.server.url(&format!("/api/v1/breakers/{name}/reset"));
        site.server.http.post(url).bearer_auth(TOKEN).send()
    };
    assert_eq!(reset("gitlab").await.unwrap().status(), 404);
    let closed: Value = reset("github").await.unwrap().json().await.unwrap();
    assert_eq!((closed["status"].as_str(), closed["reason"].as_str()), (Some("closed"), Some("an operator closed it")));
    for run in [&first, &second, &third] {
        site.until(run, "succeeded").await;
    }
    assert_eq!(words(&site.run(&third).await), ["begun", "tell held", "tell attempted", "tell succeeded", "ended"]);
    assert_eq!(site.world().statuses(REPOSITORY, "a1").len(), 3);
    assert_eq!(site.health().await, json!("healthy"));
}

#[actix::test]
async fn one_call_probes_a_service_whose_rest_is_over() {
    let toml = TELLING.replace("\"1h\"", "\"50ms\"");
    let site = Site::with_failing_calls(&toml, 3).await;
    let runs = [site.push().await, site.push().await, site.push().await];
    for run in &runs {
        let run = site.until(run, "succeeded").await;
        assert!(words(&run).iter().all(|word| word != "tell failed"), "no attempt is used up: {run:#}");
    }
    assert_eq!(site.circuit("github").await["status"], "closed");
    assert_eq!(site.world().statuses(REPOSITORY, "a1").len(), 3);
}

#[actix::test]
async fn a_probe_that_says_nothing_of_the_service_makes_room_for_another() {
    let toml = TELLING.replace("\"1h\"", "\"50ms\"").replace("retry =", "timeout = \"9m\"\nretry =");
    let site = Site::with_failing_calls(&toml, 1).await;
    site.world().plan_once("github", "GET", "/pulls/", FaultKind::RateLimit(1));
    let run = site.until(&site.push().await, "succeeded").await;
    let expect = ["begun", "tell attempted", "tell held", "tell attempted", "tell failed", "tell attempted"];
    assert_eq!(words(&run)[..6], expect, "{run:#}");
    assert_eq!(site.circuit("github").await["status"], "closed");
}

#[actix::test]
async fn a_breaker_that_falls_knows_how_its_circuit_was_and_one_that_is_given_up_stops_nobody() {
    let site = Site::with_failing_calls(TELLING, 1).await;
    let breakers = site.server.tree().roster.of("circuit_breaker");
    let breaker = breakers.iter().find(|vitals| vitals.instance() == "github").unwrap().clone();
    let held = site.push().await;
    site.until_circuit("github", "open").await;
    breaker.rehearse(Drill::NextMessage);
    assert!(!site.server.tree().work.breakers.reset("github").await, "it fell with that in hand");
    until("it to be back", async || breaker.restarts() == 1 && breaker.life() == Life::Running).await;
    assert_eq!(site.circuit("github").await["status"], "open");
    assert_eq!(site.until(&held, "waiting").await["status"], "waiting");
    breaker.rehearse(Drill::EveryStart);
    assert!(!site.server.tree().work.breakers.reset("github").await);
    until("it to be given up", async || breaker.life() == Life::GivenUp).await;
    site.until(&held, "succeeded").await;
    assert_eq!(site.server.get("/health/ready").await.status, 200);
}
