//! Whoever says "not now" is asked again when they said, not before, and no attempt of a step is used up by that.

use futures_util::future::join_all;
use pointsman_sandbox::{Call, FaultKind, Sandbox};

use super::repeats::{everything, furnish, is_call, workflow};
use crate::server::TestServer;
use crate::site::Site;

/// What a step does, which of its calls is refused, and how.
type Case = (&'static str, &'static str, (&'static str, &'static str, &'static str), FaultKind);

const CASES: [Case; 9] = [
    ("github_comment", r#"body = "Fine.""#, ("github", "POST", "/comments"), FaultKind::RateLimit(1)),
    ("github_comment", r#"body = "Fine.""#, ("github", "POST", "/comments"), FaultKind::UsedUp(2)),
    ("validate_pr", "", ("github", "GET", "/pulls/12"), FaultKind::RateLimit(1)),
    ("validate_pr", "", ("github", "GET", "/pulls/12"), FaultKind::UsedUp(2)),
    (
        "linear_comment",
        "issue = \"ENG-45\"\nbody = \"Fine.\"",
        ("linear", "POST", "#CommentCreate"),
        FaultKind::RateLimit(1),
    ),
    ("linear_user", r#"id = "user-ada""#, ("linear", "POST", "#User"), FaultKind::RateLimit(1)),
    ("trigger_codegen", CODEGEN, ("codegen", "POST", "/agent/run"), FaultKind::RateLimit(1)),
    ("trigger_codegen", CODEGEN, ("codegen", "GET", "/repos"), FaultKind::RateLimit(1)),
    ("send_notification", r#"text = "Fine.""#, ("slack", "POST", ""), FaultKind::RateLimit(1)),
];

const CODEGEN: &str = "prompt = \"Do it.\"\nrepository = \"acme/shop\"";

#[actix::test]
async fn whoever_says_when_is_asked_then_and_no_attempt_is_used_up() {
    join_all(CASES.iter().map(is_asked_again)).await;
}

async fn is_asked_again((action, with, (service, method, path), fault): &Case) {
    let sandbox = Sandbox::start(0).await.unwrap();
    furnish(sandbox.world());
    // There is no second attempt to be used up.
    let toml = workflow(action, with).replace("max_attempts = 3", "max_attempts = 1");
    let server = TestServer::start_with(tempfile::tempdir().unwrap(), &toml, everything(&sandbox)).await;
    let site = Site { sandbox, server };
    site.world().plan_once(service, method, path, *fault);
    let answer = site.tell("labeled", 12, ("a1", None), "2026-01-05T10:00:00Z").await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let calls: Vec<Call> =
        site.world().ledger().into_iter().filter(|call| is_call(call, (*service, *method, *path))).collect();
    let [refused, again, ..] = &calls[..] else { panic!("{action}: {calls:?}") };
    assert!(!refused.executed && again.executed, "{action}: {calls:?}");
    assert!(again.at_ms >= refused.at_ms + 1_000, "{action}, {fault:?}: it was asked again too early: {calls:?}");
    if *method == "POST" {
        assert_eq!(calls.len(), 2, "{action}: it is done once");
    }
}
