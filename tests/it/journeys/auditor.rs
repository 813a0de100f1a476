//! Runs that stand still are found, whoever should have driven them.

use pointsman_actors::supervisor::{Drill, Life};
use serde_json::json;

use crate::server::until;
use crate::site::Site;

const AUDITED: &str = r#"
[monitoring]
audit_interval = "50ms"
[workflows.telling]
timeout = "10m"
[[workflows.telling.steps]]
name = "wait"
action = "delay"
with = { duration = "100ms" }
[[workflows.telling.steps]]
name = "tell"
action = "send_notification"
with = { text = "pushed" }
[workflows.patient]
timeout = "2h"
[[workflows.patient.steps]]
name = "wait"
action = "delay"
with = { duration = "1h" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "telling"
[[routes]]
name = "created"
source = "github"
event = "create"
workflow = "patient"
"#;

#[actix::test]
async fn a_run_that_nobody_drives_is_found_and_one_that_waits_is_not() {
    let site = Site::start(AUDITED).await;
    let patient = site.server.github("create", "a", "1", br#"{"ref":"main"}"#).await;
    site.until(&site.run_of(&patient).await, "waiting").await;
    let auditor = async || site.server.get("/metrics").await.body["auditor"].clone();
    until("an audit", async || auditor().await["waiting"] == 1).await;
    assert_eq!(auditor().await["broken"], 0);
    assert_eq!(site.server.get("/health").await.body["status"], "healthy");

    let executors = site.server.tree().roster.of("executor");
    let executor = executors.iter().find(|vitals| vitals.instance() == "telling").unwrap();
    executor.rehearse(Drill::EveryStart);
    let answer = site.server.github("push", "b", "1", br#"{"ref":"main"}"#).await;
    let run = site.run_of(&answer).await;
    until("its executor to be given up", async || executor.life() == Life::GivenUp).await;
    until("it to be found", async || auditor().await["broken"] == 1).await;
    let found = auditor().await["findings"][0].clone();
    assert_eq!((found["run"].as_str(), found["workflow"].as_str()), (Some(run.as_str()), Some("telling")));
    assert!(found["problem"].as_str().unwrap().starts_with("it could go on since"), "{found}");
    let health = site.server.get("/health").await.body;
    assert_eq!((&health["status"], &health["brokenRuns"]), (&json!("degraded"), &json!(1)));
}
