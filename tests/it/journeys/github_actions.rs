//! What steps do at GitHub: once, also when an answer is lost, and with a clear word when it cannot be done.

use pointsman_sandbox::{FaultKind, PullRequest};
use serde_json::{Value, json};

use crate::site::{REPOSITORY, Site, pull, words};

/// A workflow of one step that whatever happens to a pull request starts.
pub fn workflow(step: &str) -> String {
    format!(
        r#"
[workflows.w]
timeout = "20m"

[[workflows.w.steps]]
name = "step"
retry = {{ max_attempts = 3, base_delay = "10ms", max_delay = "5s", jitter = 0.0 }}
{step}

[[routes]]
name = "labeled"
source = "github"
event = "pull_request"
actions = ["labeled"]
workflow = "w"
input = {{ repository = "facts.repository", pr_number = "facts.pr_number", head_sha = "facts.head_sha", head_ref = "facts.head_ref" }}
"#
    )
}

/// A pull request with a file of which lines 1 to 3 can be spoken about.
pub fn changed() -> PullRequest {
    let file = json!({
        "filename": "src/lib.rs", "status": "modified", "additions": 1, "deletions": 1, "changes": 2,
        "patch": "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c",
    });
    PullRequest { files: vec![file], ..pull(12, "a1", "+B\n") }
}

/// Has the step done with this pull request, and gives the run when it has this status.
pub async fn run(site: &Site, pull: PullRequest, status: &str) -> Value {
    let (number, sha) = (pull.number, pull.head_sha.clone());
    site.world().put_pull(pull);
    tell(site, number, &sha, status).await
}

async fn tell(site: &Site, number: u64, sha: &str, status: &str) -> Value {
    let answer = site.tell("labeled", number, (sha, None), "2026-01-05T10:00:00Z").await;
    site.until(&site.run_of(&answer).await, status).await
}

/// What the step gave.
pub fn output(run: &Value) -> &Value {
    let entries = run["journal"].as_array().unwrap();
    &entries.iter().find(|entry| entry["entry"] == "succeeded").unwrap_or_else(|| panic!("{run:#}"))["output"]
}

pub fn count(run: &Value, word: &str) -> usize {
    words(run).iter().filter(|said| *said == word).count()
}

/// The calls that changed something, whatever was answered.
fn writes(site: &Site) -> usize {
    site.world()
        .ledger()
        .iter()
        .filter(|call| call.service == "github" && call.method != "GET" && call.executed)
        .count()
}

const COMMENT: &str = r#"action = "github_comment"
with = { body = "Well done." }"#;

#[actix::test]
async fn a_comment_is_written_once_also_when_the_answer_is_lost() {
    let site = Site::start(&workflow(COMMENT)).await;
    site.world().plan_once("github", "POST", "/comments", FaultKind::DropAfter);
    let ended = run(&site, changed(), "succeeded").await;
    let comments = site.world().comments();
    let [comment] = &comments[..] else { panic!("one comment, not {comments:?}") };
    assert_eq!(output(&ended)["id"], comment.id);
    assert!(comment.body.starts_with("Well done.\n\n<!-- pointsman:run_"), "{}", comment.body);
    assert_eq!((count(&ended, "step attempted"), writes(&site)), (1, 1), "it was looked for, and not sent again");
}

#[actix::test]
async fn a_comment_that_was_not_written_is_looked_for_and_written() {
    let site = Site::start(&workflow(COMMENT)).await;
    site.world().plan_once("github", "POST", "/comments", FaultKind::DropBefore);
    let ended = run(&site, changed(), "succeeded").await;
    assert_eq!((count(&ended, "step attempted"), site.world().comments().len()), (2, 1));
}

#[actix::test]
async fn nothing_is_said_of_what_is_not_there() {
    let site = Site::start(&workflow(COMMENT)).await;
    let failed = tell(&site, 99, "a1", "failed").await;
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("not_found") && reason.contains("the token cannot see it"), "{reason}");
    assert!(site.world().comments().is_empty());
}

#[actix::test]
async fn writes_go_apart_and_whoever_has_to_wait_for_long_loses_no_attempt() {
    let toml = workflow(COMMENT).replace("max_attempts = 3", "max_attempts = 1");
    let site = Site::start_with(&toml, &[("GITHUB_WRITE_INTERVAL", "10m")]).await;
    run(&site, changed(), "succeeded").await;
    let held_back = tell(&site, 12, "a1", "waiting").await;
    let last = held_back["journal"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["entry"], &last["error"]["class"]), (&json!("failed"), &json!("rate_limit")), "{last}");
    assert!(last["error"]["retry_after_ms"].as_u64().is_some_and(|pause| pause > 500_000), "{last}");
    assert_eq!(writes(&site), 1, "the other was not even sent");
}

const REVIEW: &str = r#"action = "post_github_review"
[workflows.w.steps.with]
event = "APPROVE"
body = "Good."
comments = [{ path = "src/lib.rs", line = 2, body = "Why?" }, { path = "src/lib.rs", line = 40, body = "And here?" }]"#;

#[actix::test]
async fn a_review_speaks_of_lines_of_the_diff_and_says_the_rest_below() {
    let site = Site::start(&workflow(REVIEW)).await;
    site.world().plan_once("github", "POST", "/reviews", FaultKind::ErrorAfter(502));
    let ended = run(&site, changed(), "succeeded").await;
    let reviews = site.world().reviews();
    let [review] = &reviews[..] else { panic!("one review, not {reviews:?}") };
    assert_eq!((review.state.as_str(), review.commit_id.as_str()), ("APPROVED", "a1"));
    assert_eq!((review.comments.len(), &review.comments[0]["line"]), (1, &json!(2)));
    assert!(review.body.contains("Outside of the diff:\n\n- `src/lib.rs:40`: And here?"), "{}", review.body);
    assert_eq!((output(&ended)["id"].as_u64(), writes(&site)), (Some(review.id), 1));
}

#[actix::test]
async fn a_pull_request_of_ones_own_is_only_commented_on() {
    let site = Site::start(&workflow(REVIEW)).await;
    let ended = run(&site, PullRequest { author: "pointsman".into(), ..changed() }, "succeeded").await;
    assert_eq!(site.world().reviews()[0].state, "COMMENTED");
    let output = output(&ended);
    assert_eq!((&output["own"], &output["state"], &output["comments"]), (&json!(true), &json!("COMMENTED"), &json!(1)));
    assert_eq!(output["dropped"][0]["reason"], "the line is not in the diff");
}

#[actix::test]
async fn an_older_head_is_not_reviewed() {
    let site = Site::start(&workflow(REVIEW)).await;
    site.world().put_pull(changed());
    site.world().push_head(REPOSITORY, 12, "b2");
    let ended = tell(&site, 12, "a1", "superseded").await;
    assert!(ended["reason"].as_str().unwrap().contains("is now b2"), "{ended:#}");
    assert!(site.world().reviews().is_empty());
}

const CREATE: &str = r#"action = "create_github_pr"
with = { head = "codegen/cache", title = "Cache the token", body = "It is slow." }"#;

#[actix::test]
async fn a_pull_request_is_opened_once() {
    let site = Site::start(&workflow(CREATE)).await;
    site.world().put_branch(REPOSITORY, "codegen/cache", "c3");
    site.world().plan_once("github", "POST", "/pulls", FaultKind::DropAfter);
    let ended = run(&site, changed(), "succeeded").await;
    let opened = site.world().pull(REPOSITORY, 13).unwrap();
    assert_eq!((opened.head_ref.as_str(), opened.base_ref.as_str()), ("codegen/cache", "main"));
    let url = "https://github.com/acme/shop/pull/13";
    assert_eq!(*output(&ended), json!({"number": 13, "url": url, "adopted": false, "head_sha": "c3"}));
    assert!(site.world().pull(REPOSITORY, 14).is_none() && writes(&site) == 1);
    let again = tell(&site, 12, "a1", "succeeded").await;
    assert_eq!(*output(&again), json!({"number": 13, "url": url, "adopted": true, "head_sha": "c3"}));
}

#[actix::test]
async fn the_pull_request_that_codegen_opened_is_taken() {
    let step = "action = \"create_github_pr\"\nwith = { pr_url = \"https://github.com/acme/shop/pull/12\" }";
    let site = Site::start(&workflow(step)).await;
    let ended = run(&site, changed(), "succeeded").await;
    assert_eq!((&output(&ended)["number"], &output(&ended)["adopted"]), (&json!(12), &json!(true)));
    assert_eq!(writes(&site), 0);
}

#[actix::test]
async fn a_pull_request_from_nowhere_is_refused() {
    let site = Site::start(&workflow(CREATE)).await;
    let failed = run(&site, changed(), "failed").await;
    assert!(failed["reason"].as_str().unwrap().contains("Validation Failed (head invalid)"), "{failed:#}");
}

const CLEAN_UP: &str = r#"action = "cleanup_branches""#;

fn merged() -> PullRequest {
    PullRequest { state: "closed".into(), merged: true, ..changed() }
}

#[actix::test]
async fn the_branch_of_a_merged_pull_request_goes_and_may_be_gone() {
    let site = Site::start(&workflow(CLEAN_UP)).await;
    site.world().plan_once("github", "DELETE", "/git/refs/heads%2Fcodegen%2Fchange", FaultKind::DropAfter);
    let ended = run(&site, merged(), "succeeded").await;
    assert_eq!((&output(&ended)["deleted"], &output(&ended)["branch"]), (&json!(true), &json!("codegen/change")));
    assert_eq!((site.world().branches(REPOSITORY).len(), count(&ended, "step attempted")), (0, 2));
}

#[actix::test]
async fn a_branch_that_anybody_may_want_stays() {
    let site = Site::start(&workflow(CLEAN_UP)).await;
    let check = async |pull: PullRequest, reason: &str| {
        let ended = run(&site, pull, "succeeded").await;
        let output = output(&ended);
        assert_eq!((&output["deleted"], output["reason"].as_str()), (&json!(false), Some(reason)), "{output}");
    };
    check(changed(), "the pull request is not merged").await;
    check(PullRequest { head_repository: Some("fork/shop".into()), ..merged() }, "it is in fork/shop").await;
    check(PullRequest { head_ref: "feature".into(), ..merged() }, "it is not one of Codegen's").await;
    site.world().put_pull(PullRequest { number: 13, ..changed() });
    check(merged(), "#13 still uses it").await;
    site.world().state().pulls.retain(|(_, number), _| *number != 13);
    site.world().put_pull(merged());
    let place = (REPOSITORY.to_owned(), "codegen/change".to_owned());
    site.world().state().forge.branches.get_mut(&place).unwrap().sha = "later".into();
    let ended = tell(&site, 12, "a1", "succeeded").await;
    assert_eq!(output(&ended)["reason"], "there are commits on it that were not merged");
    site.world().put_branch(REPOSITORY, "codegen/change", "a1");
    site.world().state().forge.branches.get_mut(&place).unwrap().protected = true;
    let ended = tell(&site, 12, "a1", "succeeded").await;
    assert_eq!(output(&ended)["reason"], "it is protected");
    assert_eq!(writes(&site), 0);
}

#[actix::test]
async fn changes_are_counted_over_all_pages() {
    let site = Site::start(&workflow(r#"action = "analyze_pr_changes""#)).await;
    let file =
        |number: u32| json!({"filename": format!("src/{number}.rs"), "additions": 2, "deletions": 1, "patch": "@@"});
    let ended = run(&site, PullRequest { files: (0..250).map(file).collect(), ..changed() }, "succeeded").await;
    let expect = json!({
        "files": 250, "additions": 500, "deletions": 250, "areas": {"code": 250}, "whole": true,
        "risks": ["code changes and no test does"],
    });
    assert_eq!(*output(&ended), expect);
}

#[actix::test]
async fn claude_writes_a_review() {
    let site = Site::start(&workflow(r#"action = "generate_pr_review""#)).await;
    let ended = run(&site, changed(), "succeeded").await;
    let output = output(&ended);
    assert_eq!((&output["event"], &output["whole"]), (&json!("APPROVE"), &json!(true)), "{output}");
    assert_eq!(output["body"], "Score 92 of 100.");
    assert_eq!(writes(&site), 0);
}

#[actix::test]
async fn while_github_limits_us_nothing_is_sent() {
    let site = Site::start(&workflow(COMMENT)).await;
    site.world().plan_once("github", "POST", "/comments", FaultKind::RateLimit(600));
    site.world().put_pull(changed());
    let first = site.tell("labeled", 12, ("a1", None), "2026-01-05T10:00:00Z").await;
    site.until(&site.run_of(&first).await, "waiting").await;
    let called = site.world().ledger().len();
    let second = site.tell("labeled", 12, ("a1", None), "2026-01-05T10:00:01Z").await;
    let waiting = site.until(&site.run_of(&second).await, "waiting").await;
    assert!(waiting.to_string().contains("not sent, GitHub limits our calls until"), "{waiting:#}");
    assert_eq!(site.world().ledger().len(), called);
}

#[actix::test]
async fn what_has_not_changed_is_not_read_again() {
    let site = Site::start(&workflow(r#"action = "analyze_pr_changes""#)).await;
    run(&site, changed(), "succeeded").await;
    tell(&site, 12, "a1", "succeeded").await;
    site.world().push_head(REPOSITORY, 12, "b2");
    tell(&site, 12, "a1", "superseded").await;
    let ledger = site.world().ledger();
    let statuses: Vec<_> =
        ledger.iter().filter(|call| call.path.ends_with("/pulls/12")).map(|call| call.status).collect();
    assert_eq!(statuses, [Some(200), Some(304), Some(200)]);
}
