//! An app of OAuth as the credential for Linear: its tokens are got when they are needed, replaced when they end or are refused,
//! and nobody is asked again and again who has refused.

use pointsman_sandbox::FaultKind;
use pointsman_sandbox::linear::oauth::{CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN};
use pointsman_sandbox::linear::workspace::App;
use serde_json::Value;

use super::linear::{changed, issue, plan, workflow};
use crate::site::Site;

const REFRESH: &[(&str, &str)] = &[("LINEAR_REFRESH_TOKEN", REFRESH_TOKEN)];
const CREDENTIALS: &[(&str, &str)] = &[];

/// A site whose Linear is asked by an app, and a step that writes a comment.
async fn site(more: &[(&'static str, &str)]) -> Site {
    let mut all =
        vec![("LINEAR_API_KEY", ""), ("LINEAR_CLIENT_ID", CLIENT_ID), ("LINEAR_CLIENT_SECRET", CLIENT_SECRET)];
    all.extend(more);
    let site = Site::start_with(&workflow("linear_comment", "body = \"Hello.\""), &all).await;
    site.world().state().linear.put_issue(issue(45, "Todo"));
    site
}

fn app(site: &Site) -> App {
    site.world().state().linear.app.clone()
}

/// How tokens were asked for, and whether one was given.
fn grants(site: &Site) -> Vec<(String, bool)> {
    app(site).grants
}

fn grant(kind: &str, given: bool) -> (String, bool) {
    (kind.to_owned(), given)
}

/// The ticket has changed, and the run of that ends so.
async fn run(site: &Site, status: &str) -> Value {
    let id = changed(site, 45).await;
    site.until(&id, status).await
}

/// Nothing of what must not be told stands in a run, in the ledger's bodies or in what failed.
async fn tells_no_secret(site: &Site, run: &Value) {
    let letters = site.server.get("/api/v1/dead-letters").await.body;
    let ledger = site.world().ledger();
    for text in [run.to_string(), letters.to_string(), format!("{ledger:?}")] {
        for secret in ["lin_token_", "lin_refresh_", CLIENT_SECRET] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[actix::test]
async fn a_server_without_a_token_gets_one_for_all_who_need_it() {
    let site = site(CREDENTIALS).await;
    let runs = [changed(&site, 45).await, changed(&site, 45).await, changed(&site, 45).await];
    for id in &runs {
        let run = site.until(id, "succeeded").await;
        tells_no_secret(&site, &run).await;
    }
    assert_eq!(grants(&site), [grant("client_credentials", true)]);
    assert_eq!(site.world().state().linear.comments.len(), 3);
}

#[actix::test]
async fn a_token_that_is_about_to_end_is_replaced_and_the_refresh_token_too() {
    let site = site(REFRESH).await;
    // It has less left than a call may take.
    site.world().state().linear.app.tokens_live = 200;
    run(&site, "succeeded").await;
    run(&site, "succeeded").await;
    let twice = [grant("refresh_token", true), grant("refresh_token", true)];
    assert_eq!((grants(&site), &*app(&site).refresh_token), (twice.to_vec(), "lin_refresh_2"));
    site.world().state().linear.app.tokens_live = 86_399;
    run(&site, "succeeded").await;
    run(&site, "succeeded").await;
    assert_eq!(grants(&site).len(), 3, "one that lives long is used again");
}

#[actix::test]
async fn a_token_that_was_taken_back_is_replaced_once() {
    let site = site(REFRESH).await;
    run(&site, "succeeded").await;
    site.world().state().linear.app.tokens.clear();
    run(&site, "succeeded").await;
    assert_eq!((grants(&site).len(), site.world().state().linear.comments.len()), (2, 2));
}

#[actix::test]
async fn a_token_that_never_worked_is_not_replaced_again_and_again() {
    let site = site(CREDENTIALS).await;
    plan(&site, "CommentCreate", FaultKind::Refuse(401));
    let failed = run(&site, "failed").await;
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("the app of LINEAR_CLIENT_ID was refused"), "{reason}");
    let again = run(&site, "failed").await;
    let reason = again["reason"].as_str().unwrap();
    assert!(reason.contains("Linear has refused a token that it had just given"), "{reason}");
    assert_eq!(grants(&site).len(), 1);
}

#[actix::test]
async fn a_refresh_that_is_refused_says_what_to_do_and_is_not_tried_at_every_step() {
    let site = site(REFRESH).await;
    "another one".clone_into(&mut site.world().state().linear.app.refresh_token);
    for _ in 0..3 {
        let failed = run(&site, "failed").await;
        let reason = failed["reason"].as_str().unwrap();
        let expect = "Linear, OAuth: 400 invalid_grant Refresh token *** is expired or was used; the refresh token is not good any \
                      more: authorize the app again, and set LINEAR_REFRESH_TOKEN to the new one";
        assert!(reason.contains(expect), "{reason}");
        tells_no_secret(&site, &failed).await;
    }
    assert_eq!(grants(&site), [grant("refresh_token", false)]);
    let asked = site.world().ledger().iter().filter(|call| call.path == "/graphql").count();
    assert_eq!(asked, 0);
}

#[actix::test]
async fn what_an_app_may_not_do_is_said() {
    let site = site(CREDENTIALS).await;
    site.world().state().linear.app.allows_client_credentials = false;
    let failed = run(&site, "failed").await;
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("does the app of LINEAR_CLIENT_ID allow client credentials"), "{reason}");
    let other = self::site(&[("LINEAR_CLIENT_SECRET", "another")]).await;
    let failed = run(&other, "failed").await;
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("check LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET"), "{reason}");
}

#[actix::test]
async fn an_outage_of_the_tokens_is_tried_again() {
    let site = site(REFRESH).await;
    site.world().plan_once("linear", "POST", "/oauth/token", FaultKind::Refuse(503));
    site.world().plan_once("linear", "POST", "/oauth/token", FaultKind::DropBefore);
    run(&site, "succeeded").await;
    assert_eq!(grants(&site), [grant("refresh_token", true)]);
}

#[actix::test]
async fn the_refresh_token_that_follows_outlasts_a_restart() {
    let site = site(REFRESH).await;
    run(&site, "succeeded").await;
    let kept = site.server.directory.path().join("linear.token");
    let mode = std::os::unix::fs::MetadataExt::mode(&kept.metadata().unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let site = site.restart().await;
    run(&site, "succeeded").await;
    assert_eq!(grants(&site), [grant("refresh_token", true), grant("refresh_token", true)]);
    assert_eq!(app(&site).refresh_token, "lin_refresh_2");
}
