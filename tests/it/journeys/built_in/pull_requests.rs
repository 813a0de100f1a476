//! Pull requests: validated again when something is pushed, cleaned up after when they are merged, reviewed when Codegen is
//! asked to, and taken note of when Codegen pushes.

use pointsman_sandbox::PullRequest;
use serde_json::{Value, json};

use super::{FOR_GOOD, connected, example};
use crate::site::{REPOSITORY, Site, pull};

/// What GitHub says of pull request 12 of Codegen, which has this head.
fn about(action: &str, sha: &str, changes: Value) -> Value {
    let mut about = json!({
        "number": 12,
        "pull_request": {
            "number": 12, "title": "Cache the token", "body": "For ENG-45.", "merged": false, "draft": false,
            "updated_at": "2026-01-05T10:00:00Z", "html_url": "https://github.com/acme/shop/pull/12",
            "user": {"login": "codegen-sh[bot]", "type": "Bot"},
            "head": {"ref": "codegen/cache", "sha": sha}, "base": {"ref": "main"},
        },
    });
    super::change(&mut about, changes);
    example("pull_request", Some(action), about)
}

fn change() -> PullRequest {
    PullRequest { head_ref: "codegen/cache".into(), ..pull(12, "a1", "+fn new() {}\n") }
}

#[actix::test]
async fn pr_validation_judges_and_says_so() {
    let site = connected(&[]).await;
    site.world().put_pull(change());
    let answer = site.github("pull_request", &about("opened", "a1", json!({}))).await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("pr_validation"), &json!(10)));
    assert_eq!(site.told(), VALIDATED);
}

#[actix::test]
async fn pr_revalidation_does_the_same_for_what_is_pushed() {
    let site = connected(&[]).await;
    site.world().put_pull(change());
    let answer = site.github("pull_request", &about("synchronize", "a1", json!({"before": "00", "after": "a1"}))).await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("pr_revalidation"), &json!(9)));
    assert_eq!(site.told(), VALIDATED);
}

const VALIDATED: [&str; 8] = [
    "github GET /repos/acme/shop/pulls/12",
    "github GET /repos/acme/shop/pulls/12",
    "github GET /repos/acme/shop/tarball/a1",
    "codeload GET /acme/shop/legacy.tar.gz/a1?token=x",
    "claude",
    "github GET /repos/acme/shop/pulls/12",
    r#"github POST /repos/acme/shop/statuses/a1 {"context":"pointsman/validation","description":"Passed, score 92 of 100, 0 issues","state":"success","target_url":null}"#,
    "slack: acme/shop#12 (Cache the token): Passed, score 92 of 100, 0 issues",
];

/// Neither of the two is heard of no more when it cannot be done.
#[actix::test]
async fn a_validation_that_fails_says_so() {
    for (action, workflow) in [("opened", "pr_validation"), ("synchronize", "pr_revalidation")] {
        let site = connected(&[]).await;
        site.world().put_pull(change());
        let plan = pointsman_sandbox::claude::Plan { stdout: Some("Welcome!".into()), ..Default::default() };
        site.world().state().claude_next.push(plan);
        let answer = site.github("pull_request", &about(action, "a1", json!({"before": "00", "after": "a1"}))).await;
        let run = site.until(&site.run_of(&answer).await, "failed").await;
        assert_eq!(run["workflow"], workflow);
        assert!(run["reason"].as_str().unwrap().starts_with("step `validate_pr`: "), "{run:#}");
        assert_eq!(
            site.told(),
            [
                "github GET /repos/acme/shop/pulls/12",
                "github GET /repos/acme/shop/pulls/12",
                "github GET /repos/acme/shop/tarball/a1",
                "codeload GET /acme/shop/legacy.tar.gz/a1?token=x",
                "claude",
                "github GET /repos/acme/shop/pulls/12",
                r#"github POST /repos/acme/shop/statuses/a1 {"context":"pointsman/validation","description":"Could not be validated: Claude Code did not answer by the schema: its output, 8 bytes, is not JSON: `Welcome!`","state":"error","target_url":null}"#,
                "slack: acme/shop#12 could not be validated: Claude Code did not answer by the schema: its output, 8 bytes, is not JSON: `Welcome!`"
            ]
        );
    }
}

/// A pull request from somebody's fork, which calls itself Codegen's.
fn from_fork(action: &str, association: &str, more: Value) -> Value {
    let mallory = json!({"login": "mallory", "type": "User"});
    let mut changes = json!({
        "before": "00", "after": "a1", "sender": mallory,
        "pull_request": {
            "title": "Codegen, mine", "body": "@codegen", "author_association": association, "user": mallory,
            "head": {"ref": "codegen/cache", "repo": {"full_name": "mallory/shop"}},
        },
    });
    super::change(&mut changes, more);
    about(action, "a1", changes)
}

#[actix::test]
async fn nothing_that_a_stranger_writes_sets_anybody_to_work() {
    let site = connected(&[]).await;
    let place = PullRequest { head_repository: Some("mallory/shop".into()), ..change() };
    site.world().put_pull(place);
    let review = json!({"requested_reviewer": {"login": "codegen-sh[bot]", "type": "Bot"}});
    for (action, route, more) in [
        ("opened", "codegen-pr-opened", json!({})),
        ("synchronize", "codegen-pr-synchronized", json!({})),
        ("review_requested", "codegen-review-requested", review.clone()),
    ] {
        for association in ["NONE", "FIRST_TIME_CONTRIBUTOR", "CONTRIBUTOR"] {
            let stranger = from_fork(action, association, more.clone());
            let answer = site.github("pull_request", &stranger).await;
            assert_eq!(site.why_not(&answer).await, format!("the condition does not hold of: {route}"));
        }
        let answer = site.github("pull_request", &from_fork(action, "COLLABORATOR", more)).await;
        site.until(&site.run_of(&answer).await, "succeeded").await;
    }
    // Somebody who may ask for a review has looked at it.
    let mut asked = from_fork("review_requested", "NONE", review);
    asked["sender"] = json!({"login": "ada", "type": "User"});
    let answer = site.github("pull_request", &asked).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
}

/// There is the branch of a merged pull request, and its ticket is in progress.
async fn merged(changes: Value) -> (Site, Value) {
    let site = connected(&[]).await;
    site.world().put_pull(PullRequest { merged: true, state: "closed".into(), ..change() });
    site.world().put_branch(REPOSITORY, "main", "m0");
    site.world().put_branch(REPOSITORY, "codegen/cache", "a1");
    site.put_ticket("In Progress", "");
    let mut about = about("closed", "a1", json!({"pull_request": {"merged": true, "state": "closed"}}));
    super::change(&mut about, changes);
    (site, about)
}

#[actix::test]
async fn pr_merged_completes_the_ticket_and_deletes_the_branch() {
    let (site, closed) = merged(json!({})).await;
    let answer = site.github("pull_request", &closed).await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(run["workflow"], "pr_merged");
    assert_eq!(
        site.told(),
        [
            r#"linear IssueStates {"id":"ENG-45","type":"completed"}"#,
            r#"linear IssueUpdate {"id":"issue-45","input":{"stateId":"state-done"}}"#,
            r#"linear AttachmentLinkGitHubPR {"issueId":"issue-45","title":"Cache the token","url":"https://github.com/acme/shop/pull/12"}"#,
            "github GET /repos/acme/shop/pulls/12",
            "github GET /repos/acme/shop",
            "github GET /repos/acme/shop/branches/codegen%2Fcache",
            "github GET /repos/acme/shop/pulls?state=open&head=acme%3Acodegen%2Fcache&per_page=100",
            "github GET /repos/acme/shop/pulls?state=open&base=codegen%2Fcache&per_page=100",
            "github DELETE /repos/acme/shop/git/refs/heads%2Fcodegen%2Fcache",
            "slack: acme/shop#12 (Cache the token) was merged; ENG-45 is Done; codegen/cache is deleted"
        ]
    );
    assert_eq!(site.world().branches(REPOSITORY), ["main"]);
    assert_eq!(site.world().state().linear.issue("ENG-45").unwrap().state, "Done");
}

#[actix::test]
async fn what_pr_merged_cannot_do_keeps_it_from_nothing_else() {
    let (site, closed) = merged(json!({})).await;
    site.world().plan_once("linear", "POST", "#IssueUpdate", FOR_GOOD);
    let answer = site.github("pull_request", &closed).await;
    let run = site.until(&site.run_of(&answer).await, "failed").await;
    assert!(run["reason"].as_str().unwrap().starts_with("step `update_linear_issue`: "), "{run:#}");
    assert_eq!(
        site.told(),
        [
            r#"linear IssueStates {"id":"ENG-45","type":"completed"}"#,
            r#"linear IssueUpdate {"id":"issue-45","input":{"stateId":"state-done"}}"#,
            "github GET /repos/acme/shop/pulls/12",
            "github GET /repos/acme/shop",
            "github GET /repos/acme/shop/branches/codegen%2Fcache",
            "github GET /repos/acme/shop/pulls?state=open&head=acme%3Acodegen%2Fcache&per_page=100",
            "github GET /repos/acme/shop/pulls?state=open&base=codegen%2Fcache&per_page=100",
            "github DELETE /repos/acme/shop/git/refs/heads%2Fcodegen%2Fcache",
            "slack: acme/shop#12 (Cache the token) was merged; ENG-45 could not be completed: Linear, IssueUpdate: 401 Authentication required, not authenticated; the key in LINEAR_API_KEY was refused; codegen/cache is deleted"
        ]
    );
    assert_eq!(site.world().branches(REPOSITORY), ["main"]);
}

#[actix::test]
async fn of_a_merge_that_nothing_follows_from_nobody_is_told() {
    // Somebody's own branch, and a ticket that is only talked about.
    let by_hand = json!({"pull_request": {
        "title": "Say it shorter", "body": "See ENG-45.", "user": {"login": "ada", "type": "User"},
        "head": {"ref": "shorter"},
    }});
    let (site, closed) = merged(by_hand).await;
    site.world().put_pull(PullRequest { head_ref: "shorter".into(), merged: true, state: "closed".into(), ..change() });
    let answer = site.github("pull_request", &closed).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(site.told(), ["github GET /repos/acme/shop/pulls/12"]);
    let unmerged = about("closed", "a1", json!({}));
    let answer = site.github("pull_request", &unmerged).await;
    assert_eq!(site.why_not(&answer).await, "the condition does not hold of: pr-merged");
}

#[actix::test]
async fn without_linear_a_merged_branch_is_deleted_all_the_same() {
    let (site, closed) = merged(json!({})).await;
    let Site { sandbox, server } = site;
    drop(server);
    let environment: Vec<_> =
        crate::site::environment(&sandbox).into_iter().filter(|(name, _)| *name != "LINEAR_API_KEY").collect();
    let server = crate::server::TestServer::start_with(tempfile::tempdir().unwrap(), "", environment).await;
    let site = Site { sandbox, server };
    let answer = site.github("pull_request", &closed).await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    let skipped = run["journal"].as_array().unwrap().iter().find(|entry| entry["entry"] == "skipped").unwrap().clone();
    assert_eq!(
        (&skipped["step"], &skipped["reason"]),
        (
            &json!("update_linear_issue"),
            &json!("Linear is not configured; set LINEAR_API_KEY, or LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET")
        )
    );
    assert_eq!(site.world().branches(REPOSITORY), ["main"]);
}

fn review_requested(reviewer: &str) -> Value {
    let reviewer = json!({"login": reviewer, "type": "Bot"});
    about("review_requested", "a1", json!({"requested_reviewer": reviewer, "sender": {"login": "ada", "type": "User"}}))
}

#[actix::test]
async fn codegen_review_reviews_when_it_is_asked_to() {
    let site = connected(&[]).await;
    site.world().put_pull(change());
    let answer = site.github("pull_request", &review_requested("codegen-sh[bot]")).await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("codegen_review"), &json!(9)));
    assert_eq!(
        site.told(),
        [
            "github GET /repos/acme/shop/pulls/12",
            "github GET /repos/acme/shop/pulls/12/files?per_page=100",
            "github GET /repos/acme/shop/pulls/12",
            "github GET /repos/acme/shop/pulls/12",
            "github GET /repos/acme/shop/tarball/a1",
            "codeload GET /acme/shop/legacy.tar.gz/a1?token=x",
            "claude",
            "github GET /repos/acme/shop/pulls/12",
            r#"github POST /repos/acme/shop/pulls/12/reviews {"body":"Score 92 of 100.\n\n<!-- pointsman:RUN/post_github_review -->","comments":[],"commit_id":"a1","event":"APPROVE"}"#,
            "slack: acme/shop#12 (Cache the token) was reviewed for ada: https://github.com/acme/shop/pull/12#pullrequestreview-1000"
        ]
    );
    let answer = site.github("pull_request", &review_requested("ada")).await;
    assert_eq!(site.why_not(&answer).await, "the condition does not hold of: codegen-review-requested");
}

#[actix::test]
async fn a_review_that_cannot_be_written_is_told_of() {
    let site = connected(&[]).await;
    site.world().put_pull(change());
    site.world().plan_once("github", "POST", "/reviews", FOR_GOOD);
    let answer = site.github("pull_request", &review_requested("codegen-sh[bot]")).await;
    site.until(&site.run_of(&answer).await, "failed").await;
    assert_eq!(
        site.told(),
        [
            "github GET /repos/acme/shop/pulls/12",
            "github GET /repos/acme/shop/pulls/12/files?per_page=100",
            "github GET /repos/acme/shop/pulls/12",
            "github GET /repos/acme/shop/pulls/12",
            "github GET /repos/acme/shop/tarball/a1",
            "codeload GET /acme/shop/legacy.tar.gz/a1?token=x",
            "claude",
            "github GET /repos/acme/shop/pulls/12",
            r#"github POST /repos/acme/shop/pulls/12/reviews {"body":"Score 92 of 100.\n\n<!-- pointsman:RUN/post_github_review -->","comments":[],"commit_id":"a1","event":"APPROVE"}"#,
            "slack: acme/shop#12 (Cache the token) could not be reviewed for ada: POST /repos/acme/shop/pulls/12/reviews: 401 Server Error; the token in GITHUB_TOKEN was refused, or the App of GITHUB_APP_ID"
        ]
    );
}

pub fn pushed(git_ref: &str, changes: Value) -> Value {
    let mut all =
        json!({"ref": git_ref, "deleted": false, "after": "1a2b3c4d5e", "sender": {"login": "codegen-sh[bot]"}});
    super::change(&mut all, changes);
    example("push", None, all)
}

#[actix::test]
async fn codegen_push_starts_the_ticket_of_the_branch() {
    let site = connected(&[]).await;
    site.put_ticket("Todo", "");
    let answer = site.github("push", &pushed("refs/heads/codegen/eng-45-cache", json!({}))).await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("codegen_push"), &json!(6)));
    assert_eq!(
        site.told(),
        [
            r#"linear IssueStates {"id":"ENG-45","type":"started"}"#,
            r#"linear IssueUpdate {"id":"issue-45","input":{"stateId":"state-in-progress"}}"#,
            "slack: acme/shop: codegen-sh[bot] pushed 1a2b3c4 to codegen/eng-45-cache; ENG-45 is In Progress"
        ]
    );
    // A tag, a branch that is gone, and one that is nobody's but people's.
    let others = [
        pushed("refs/tags/codegen/eng-45", json!({})),
        pushed("refs/heads/codegen/eng-45-cache", json!({"deleted": true})),
        pushed("refs/heads/maintenance", json!({})),
    ];
    for other in others {
        let answer = site.github("push", &other).await;
        assert_eq!(site.why_not(&answer).await, "the condition does not hold of: codegen-pushed");
    }
}

#[actix::test]
async fn a_push_for_a_ticket_that_cannot_be_started_is_told_of() {
    let site = connected(&[]).await;
    site.put_ticket("Todo", "");
    site.world().plan_once("linear", "POST", "#IssueUpdate", FOR_GOOD);
    let answer = site.github("push", &pushed("refs/heads/codegen/eng-45-cache", json!({}))).await;
    site.until(&site.run_of(&answer).await, "failed").await;
    assert_eq!(
        site.told(),
        [
            r#"linear IssueStates {"id":"ENG-45","type":"started"}"#,
            r#"linear IssueUpdate {"id":"issue-45","input":{"stateId":"state-in-progress"}}"#,
            "slack: acme/shop: codegen-sh[bot] pushed 1a2b3c4 to codegen/eng-45-cache; ENG-45 could not be started: Linear, IssueUpdate: 401 Authentication required, not authenticated; the key in LINEAR_API_KEY was refused"
        ]
    );
}
