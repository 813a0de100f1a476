//! Every request that our GitHub client can send, held against GitHub's published OpenAPI description: the sandbox does that with
//! every call, here and in all other tests. This sends one of each kind, and shows that a wrong one is caught.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use pointsman::addresses::kept::Kept;
use pointsman::addresses::ranges::{CurrentRanges, Ranges};
use pointsman::integrations::github::{
    AppCredential, AppKey, Credential, GitHub, Hook, LineComment, Meta, NewPull, NewReview, Status, WatchedHooks,
};
use pointsman::integrations::http;
use pointsman::integrations::workplace::Workplace;
use pointsman_actors::address_book::port::Ranges as _;
use pointsman_actors::catch_up::port::Deliveries;
use pointsman_actors::event::SourceName;
use pointsman_actors::time::SystemClock;
use pointsman_sandbox::github::app::{ID, KEY};
use pointsman_sandbox::github::forge::{Job, Run};
use pointsman_sandbox::github::openapi;
use pointsman_sandbox::server::Request;
use pointsman_sandbox::{Call, PullRequest, Sandbox};
use serde_json::{Value, json};

use crate::site::{REPOSITORY, pull};

/// Calls everything that the client has. What comes of it is looked at elsewhere; a call that is not what the description says
/// is refused.
async fn call_everything(github: &Arc<GitHub>, base: &str) {
    let (repository, number, key) = (REPOSITORY, 12, "run_1/step");
    github.repository(repository).await.unwrap();
    github.branch(repository, "codegen/change").await.unwrap();
    github.pull(repository, number).await.unwrap();
    github.diff(repository, number).await.unwrap();
    github.files(repository, number).await.unwrap();
    github.pulls_from(repository, "codegen/change", "open").await.unwrap();
    github.pulls_into(repository, "main").await.unwrap();
    github.pulls_with(repository, "a1").await.unwrap();
    let new = NewPull { head: "codegen/new", base: "main", title: "New", body: "It is new.", draft: true };
    github.open_pull(repository, &new, key).await.unwrap();
    for target_url in ["", "https://ci.example/1"] {
        let status = Status {
            state: "success".into(),
            context: "pointsman/validation".into(),
            description: "Fine.".into(),
            target_url: target_url.into(),
        };
        github.set_status(repository, "a1", &status, key).await.unwrap();
        github.set_check(repository, "a1", &status, key).await.unwrap();
    }
    github.comment(repository, number, "Fine.", key).await.unwrap();
    github.find_comment(repository, number, key).await.unwrap();
    let comments = [LineComment { path: "src/lib.rs".into(), line: 2, body: "Why?".into() }];
    let review = NewReview { event: "COMMENT", body: "Fine.", head_sha: "a1", comments: &comments };
    github.review(repository, number, &review, key).await.unwrap();
    github.find_review(repository, number, key).await.unwrap();
    github.workflow_run(repository, 77).await.unwrap();
    github.workflow_runs(repository, "a1").await.unwrap();
    github.jobs(repository, 77).await.unwrap();
    github.job_log(repository, 1).await.unwrap();
    github.rerun_failed_jobs(repository, 77, key).await.unwrap();
    github.delete_branch(repository, "codegen/change", key).await.unwrap();
    let workplace = Arc::new(Workplace::planned());
    workplace.make(&["code"]).unwrap();
    github.code((repository, "a1"), workplace, "code").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let known = (Kept::new(directory.path(), base), CurrentRanges::new(Ranges::built_in()));
    Meta::new(base, None, Arc::new(SystemClock::new()), known).renew().await.unwrap();
    // No hook has delivered anything, so there is none to be found.
    let hooks = ["acme/shop#1", "acme#2"].map(|name| Hook::read(name).unwrap());
    let hooks = WatchedHooks::new(
        Arc::clone(github),
        SourceName::new("github"),
        hooks.into_iter().chain([Hook::App]).collect(),
    );
    for hook in hooks.hooks() {
        let _ = hooks.page(&hook, None).await;
        let _ = hooks.fetch(&hook, 7).await;
        let _ = hooks.redeliver(&hook, 7).await;
    }
}

#[actix::test]
async fn every_request_to_github_is_what_its_description_says() {
    assert!(openapi::is_there(), "{} is missing; run scripts/test, which fetches it", openapi::FILE);
    let sandbox = Sandbox::start(0).await.unwrap();
    let world = sandbox.world();
    world.put_hook_ranges(&["192.30.252.0/22"]);
    let file = json!({
        "filename": "src/lib.rs", "status": "modified", "additions": 1, "deletions": 1, "changes": 2,
        "patch": "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c",
    });
    world.put_pull(PullRequest { files: vec![file], ..pull(12, "a1", "+B\n") });
    for branch in ["main", "codegen/change", "codegen/new"] {
        world.put_branch(REPOSITORY, branch, "a1");
    }
    let job = Job { id: 1, conclusion: "failure".into(), log: Some("x".into()), ..Job::default() };
    let (status, conclusion) = ("completed".to_owned(), Some("failure".to_owned()));
    world.put_run(
        REPOSITORY,
        77,
        Run { head_sha: "a1".into(), status, conclusion, attempt: 1, jobs: vec![job], ..Run::default() },
    );
    let credential = Credential::app(AppCredential { id: ID.into(), key: AppKey::read(KEY).unwrap() });
    let base = format!("{}/github", sandbox.url());
    let github = Arc::new(GitHub::new(http::client(), &base, credential, Arc::new(SystemClock::new()), Duration::ZERO));
    call_everything(&github, &base).await;
    let calls: Vec<Call> = world.ledger().into_iter().filter(|call| call.service == "github").collect();
    let refused: Vec<&Call> = calls.iter().filter(|call| call.status == Some(422)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let called: BTreeSet<String> =
        calls.into_iter().map(|call| openapi::operation(&call.method, &call.path).unwrap_or(call.path)).collect();
    let paths: BTreeSet<String> = called.iter().map(|operation| shape(operation.split(' ').nth(1).unwrap())).collect();
    let missing: Vec<String> = written().difference(&paths).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "what the client's files write out is called here");
    let called: Vec<&str> = called.iter().map(String::as_str).collect();
    assert_eq!(called, OPERATIONS);
}

/// What the client can do.
const OPERATIONS: [&str; 35] = [
    "DELETE /repos/{owner}/{repo}/git/refs/{ref}",
    "GET /app/hook/deliveries",
    "GET /app/hook/deliveries/{delivery_id}",
    "GET /meta",
    "GET /orgs/{org}/hooks/{hook_id}/deliveries",
    "GET /orgs/{org}/hooks/{hook_id}/deliveries/{delivery_id}",
    "GET /orgs/{org}/installation",
    "GET /repos/{owner}/{repo}",
    "GET /repos/{owner}/{repo}/actions/jobs/{job_id}/logs",
    "GET /repos/{owner}/{repo}/actions/runs",
    "GET /repos/{owner}/{repo}/actions/runs/{run_id}",
    "GET /repos/{owner}/{repo}/actions/runs/{run_id}/jobs",
    "GET /repos/{owner}/{repo}/branches/{branch}",
    "GET /repos/{owner}/{repo}/commits/{commit_sha}/pulls",
    "GET /repos/{owner}/{repo}/commits/{ref}/check-runs",
    "GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries",
    "GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}",
    "GET /repos/{owner}/{repo}/installation",
    "GET /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "GET /repos/{owner}/{repo}/pulls",
    "GET /repos/{owner}/{repo}/pulls/{pull_number}",
    "GET /repos/{owner}/{repo}/pulls/{pull_number}/files",
    "GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews",
    "GET /repos/{owner}/{repo}/tarball/{ref}",
    "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}",
    "POST /app/hook/deliveries/{delivery_id}/attempts",
    "POST /app/installations/{installation_id}/access_tokens",
    "POST /orgs/{org}/hooks/{hook_id}/deliveries/{delivery_id}/attempts",
    "POST /repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs",
    "POST /repos/{owner}/{repo}/check-runs",
    "POST /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "POST /repos/{owner}/{repo}/pulls",
    "POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews",
    "POST /repos/{owner}/{repo}/statuses/{sha}",
];

/// A path with `{}` for whatever differs from call to call.
fn shape(path: &str) -> String {
    let path = path.replace("{owner}/{repo}", "{}");
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The shapes of the paths that the client's files write out.
fn written() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/integrations/github");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| !path.ends_with("tests.rs")).map(|path| std::fs::read_to_string(path).unwrap());
    let mut shapes = BTreeSet::new();
    for text in texts {
        let code = text.split("#[cfg(test)]").next().unwrap();
        let written = code.split('"').skip(1).step_by(2);
        let is_path = |text: &&str| {
            ["/repos/{", "/app/", "/orgs/{"].iter().any(|start| text.starts_with(start) && text.len() > start.len())
        };
        shapes.extend(written.filter(is_path).map(|path| shape(path.split('?').next().unwrap())));
    }
    shapes
}

#[test]
fn a_request_that_is_not_is_caught() {
    let check = |method: &str, path: &str, body: Value, expect: &str| {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let request = Request { method: method.into(), path: path.into(), body, headers };
        let found = openapi::problems(&request);
        let is_expected = found.iter().any(|problem| problem.contains(expect)) || expect.is_empty() && found.is_empty();
        assert!(is_expected, "{method} {path}: {found:?}");
    };
    let none = || Value::Null;
    check("GET", "/repos/o/r/pulls/7", none(), "");
    check("GET", "/repos/o/r/pulls/seven", none(), "pull_number");
    check("GET", "/repos/o/r/pull/7", none(), "there is no operation");
    check("GET", "/repos/o/r/git/refs/heads/a/b", none(), "there is no operation");
    check("GET", "/repos/o/r/pulls?state=merged", none(), "state");
    check("GET", "/repos/o/r/pulls?stat=open", none(), "there is no parameter stat");
    check("GET", "/repos/o/r/pulls", json!({"state": "open"}), "it takes no body");
    check("PUT", "/repos/o/r/pulls/7", none(), "there is no operation");
    check("POST", "/repos/o/r/issues/7/comments", json!({"body": "x"}), "");
    check("POST", "/repos/o/r/issues/7/comments", none(), "the body is missing");
    check("POST", "/repos/o/r/issues/7/comments", json!({"text": "x"}), "body");
    check("POST", "/repos/o/r/statuses/a1", json!({"state": "passed"}), "state");
    check("POST", "/repos/o/r/statuses/a1", json!({"state": "success", "target_url": null}), "");
    check("POST", "/repos/o/r/statuses/a1", json!({"state": "success", "descripton": "x"}), "descripton");
    check("POST", "/repos/o/r/pulls", json!({"head": "a", "title": "x"}), "base");
    let comment = json!({"path": "a", "body": "x", "line": "7"});
    check(
        "POST",
        "/repos/o/r/pulls/7/reviews",
        json!({"event": "COMMENT", "body": "x", "comments": [comment]}),
        "line",
    );
    check("POST", "/repos/o/r/check-runs", json!({"name": "x", "head_sha": "a1", "status": "done"}), "status");
}
