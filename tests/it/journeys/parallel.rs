//! Steps that are at work side by side, and what a crash leaves of them.

use pointsman_sandbox::FaultKind;

use crate::site::{Site, words};

/// Two messages side by side, then a third.
const FAN: &str = r#"
[workflows.fan]
timeout = "10m"
[[workflows.fan.steps]]
name = "left"
action = "send_notification"
needs = []
with = { text = "left" }
[[workflows.fan.steps]]
name = "right"
action = "send_notification"
needs = []
with = { text = "right" }
[[workflows.fan.steps]]
name = "last"
action = "send_notification"
needs = ["left", "right"]
with = { text = "last" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "fan"
input = {}
"#;

#[actix::test]
async fn steps_are_at_work_side_by_side_and_each_is_resolved_after_a_crash() {
    let site = Site::start(FAN).await;
    for _ in 0..2 {
        site.world().plan_once("slack", "POST", "", FaultKind::HoldAnswer(120_000));
    }
    let run = site.push_number(1).await;
    site.world().wait_for_calls(2, |call| call.service == "slack").await.unwrap();
    let at_work = words(&site.run(&run).await);
    assert_eq!(at_work[..3], ["begun", "left attempted", "right attempted"]);
    let site = site.restart().await;
    let done = words(&site.until(&run, "succeeded").await);
    for step in ["left", "right"] {
        let of_step: Vec<&str> = done.iter().filter_map(|word| word.strip_prefix(step)).collect();
        let expect = [" attempted", " noted", " interrupted", " attempted", " succeeded"];
        assert_eq!(of_step, expect, "the second attempt sends nothing: {done:?}");
    }
    assert_eq!(done[done.len() - 4..], ["last attempted", "last noted", "last succeeded", "ended"]);
    let mut told = site.world().notifications();
    told.sort();
    assert_eq!(told, ["last", "left", "right"], "nobody is told twice");
}
