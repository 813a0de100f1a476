//! What steps do about runs of GitHub Actions that failed.

use pointsman_sandbox::FaultKind;
use pointsman_sandbox::github::forge::{Job, Run};
use serde_json::{Value, json};

use super::github_actions::{changed, count, output, run, workflow};
use crate::site::{REPOSITORY, Site};

fn job(id: u64, name: &str, conclusion: &str, log: Option<&str>) -> Job {
    let failed_steps = if conclusion == "failure" { vec![format!("Run {name}")] } else { Vec::new() };
    Job { id, name: name.into(), conclusion: conclusion.into(), failed_steps, log: log.map(str::to_owned) }
}

/// A run of three jobs, of which two failed.
fn failed_run() -> Run {
    let log = format!(
        "{}2026-01-05T10:00:01.1Z \u{1b}[31mtest result: FAILED\u{1b}[0m. 3 passed; 1 failed\n",
        "2026-01-05T10:00:00.1Z Compiling shop\n".repeat(40_000)
    );
    let jobs = vec![
        job(1, "tests", "failure", Some(&log)),
        job(2, "docs", "success", Some("fine")),
        job(3, "more", "failure", None),
    ];
    let (status, conclusion) = ("completed".to_owned(), Some("failure".to_owned()));
    Run { head_sha: "a1".into(), status, conclusion, attempt: 1, jobs, ..Run::default() }
}

const ANALYZE: &str = r#"action = "analyze_workflow_failure"
with = { run_id = 77 }"#;

#[actix::test]
async fn a_failed_run_tells_what_failed_and_why() {
    let site = Site::start(&workflow(ANALYZE)).await;
    site.world().put_run(REPOSITORY, 77, failed_run());
    let ended = run(&site, changed(), "succeeded").await;
    let output = output(&ended);
    assert_eq!((&output["classification"], &output["pull_requests"]), (&json!("test"), &json!([12])), "{output:#}");
    assert_eq!(output["summary"], "Failed: tests (Run tests), more (Run more)");
    let jobs: Vec<Value> = output["jobs"].as_array().unwrap().clone();
    assert_eq!(jobs[0]["lines"], json!(["test result: FAILED. 3 passed; 1 failed"]), "of a long log the end is read");
    assert_eq!((&jobs[1]["lines"], &jobs[1]["classification"]), (&json!([]), &json!("unknown")), "it has expired");
    let blobs: Vec<_> = site.world().ledger().into_iter().filter(|call| call.service == "blobs").collect();
    assert_eq!(blobs.iter().map(|call| call.status).collect::<Vec<_>>(), [Some(200)], "no credential came along");
}

#[actix::test]
async fn a_run_that_is_not_there_is_said() {
    let site = Site::start(&workflow(ANALYZE)).await;
    let failed = run(&site, changed(), "failed").await;
    assert!(failed["reason"].as_str().unwrap().contains("/actions/runs/77: 404"), "{failed:#}");
}

const RERUN: &str = r#"action = "rerun_failed_jobs"
with = { run_id = 77, run_attempt = 1 }"#;

#[actix::test]
async fn what_failed_is_done_again_once() {
    let site = Site::start(&workflow(RERUN)).await;
    site.world().put_run(REPOSITORY, 77, failed_run());
    site.world().plan_once("github", "POST", "/rerun-failed-jobs", FaultKind::DropAfter);
    let ended = run(&site, changed(), "succeeded").await;
    assert_eq!((output(&ended), count(&ended, "step attempted")), (&json!({"run_attempt": 2}), 1));
    let again = run(&site, changed(), "succeeded").await;
    assert_eq!(*output(&again), json!({"run_attempt": 2}), "a later attempt is what was asked for");
    let posts = site.world().ledger().into_iter().filter(|call| call.method == "POST" && call.executed).count();
    assert_eq!(posts, 1);
}

#[actix::test]
async fn a_run_that_cannot_be_repeated_is_said() {
    let site = Site::start(&workflow(RERUN)).await;
    let fine = Run { jobs: vec![job(2, "docs", "success", None)], ..failed_run() };
    site.world().put_run(REPOSITORY, 77, fine);
    let failed = run(&site, changed(), "failed").await;
    assert!(failed["reason"].as_str().unwrap().contains("has no failed jobs"), "{failed:#}");
}
