//! Runs that come close together are one: the newest, when it has become quiet; also through a restart.

use serde_json::json;

use crate::site::Site;

const QUIET: &str = r#"
[workflows.quiet]
timeout = "10m"
debounce = { key = "{{ input.branch }}", quiet = "5s" }
[[workflows.quiet.steps]]
name = "tell"
action = "send_notification"
with = { text = "{{ input.branch }} at {{ input.number }}" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "quiet"
input = { branch = "payload.ref", number = "payload.number" }
"#;

impl Site {
    async fn push_to(&self, branch: &str, number: u64) -> String {
        let body = json!({ "ref": branch, "number": number }).to_string();
        let delivery = uuid::Uuid::new_v4().to_string();
        let answer = self.server.github("push", &delivery, "1", body.as_bytes()).await;
        self.run_of(&answer).await
    }
}

#[actix::test]
async fn the_newest_of_a_burst_is_made_when_it_is_quiet() {
    let site = Site::start(QUIET).await;
    let first = site.push_to("main", 1).await;
    let other = site.push_to("side", 7).await;
    let second = site.push_to("main", 2).await;
    let gone = site.until(&first, "superseded").await;
    assert_eq!(gone["reason"], format!("{second} came before it was quiet"));
    assert_eq!(site.run(&second).await["status"], "queued");
    assert!(site.run(&second).await["wakeAt"].is_string(), "it says from when on it may begin");
    let site = site.restart().await;
    let third = site.push_to("main", 3).await;
    site.until(&second, "superseded").await;
    for run in [&third, &other] {
        site.until(run, "succeeded").await;
    }
    let mut told = site.world().notifications();
    told.sort();
    assert_eq!(told, ["main at 3", "side at 7"]);
}
