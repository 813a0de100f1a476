//! A GitHub App as the credential: its tokens are got once, replaced when they are refused, and it makes check runs.

use pointsman_sandbox::github::app::{ID, KEY};
use pointsman_sandbox::{Call, FaultKind};
use serde_json::json;

use super::github_actions::{changed, output, run, workflow};
use crate::site::Site;

const STATUS: &str = r#"action = "update_pr_status"
with = { state = "success", description = "Fine." }"#;

async fn site() -> Site {
    Site::start_with(&workflow(STATUS), &[("GITHUB_APP_ID", ID), ("GITHUB_APP_PRIVATE_KEY", KEY)]).await
}

fn asked_for_tokens(site: &Site) -> usize {
    let is_for_token = |call: &Call| call.path.ends_with("/access_tokens");
    site.world().ledger().into_iter().filter(is_for_token).count()
}

#[actix::test]
async fn an_app_sets_a_status_and_a_check_run_with_one_token() {
    let site = site().await;
    site.world().plan_once("github", "POST", "/check-runs", FaultKind::DropAfter);
    let ended = run(&site, changed(), "succeeded").await;
    let checks = site.world().state().forge.checks.clone();
    let [check] = &checks[..] else { panic!("one check run, not {checks:?}") };
    assert_eq!((check.name.as_str(), check.conclusion.as_deref()), ("pointsman/validation", Some("success")));
    assert_eq!(output(&ended)["check_run"], json!(check.id));
    run(&site, changed(), "succeeded").await;
    assert_eq!((asked_for_tokens(&site), site.world().state().forge.checks.len()), (1, 2));
    let told = site.world().ledger().iter().any(|call| format!("{call:?}").contains("ghs_7_"));
    assert!(!told && !ended.to_string().contains("ghs_7_"), "a token stands in nothing that is kept");
}

#[actix::test]
async fn a_token_that_was_taken_back_is_replaced_once() {
    let site = site().await;
    run(&site, changed(), "succeeded").await;
    site.world().state().forge.tokens = vec!["taken back".into()];
    run(&site, changed(), "succeeded").await;
    assert_eq!((asked_for_tokens(&site), site.world().state().forge.checks.len()), (2, 2));
}

#[actix::test]
async fn a_token_that_has_little_left_is_replaced() {
    let site = site().await;
    site.world().state().forge.tokens_live = Some(200);
    run(&site, changed(), "succeeded").await;
    let calls = site.world().ledger().into_iter().filter(|call| call.service == "github");
    // What the App asks for itself takes no token.
    let itself = |path: &str| path.starts_with("/app/") || path.ends_with("/installation");
    let others = calls.filter(|call| !itself(&call.path));
    assert_eq!(asked_for_tokens(&site), others.count());
}

#[actix::test]
async fn an_app_that_is_another_is_refused() {
    let app = [("GITHUB_APP_ID", "8"), ("GITHUB_APP_PRIVATE_KEY", KEY)];
    let site = Site::start_with(&workflow(STATUS), &app).await;
    let failed = run(&site, changed(), "failed").await;
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("authentication") && reason.contains("GITHUB_APP_ID"), "{reason}");
}
