//! Agents that Codegen sets to work on a pull request: because its checks failed, or because somebody asks.

use pointsman_sandbox::PullRequest;
use pointsman_sandbox::codegen::{AgentRun, Plan};
use pointsman_sandbox::github::forge::{Job, Run};
use serde_json::{Value, json};

use super::{FOR_GOOD, connected, example};
use crate::journeys::codegen::call_back;
use crate::site::{REPOSITORY, Site, pull, words};

/// A run of GitHub Actions has failed for this head, in a job with this number, and this is in its log.
fn failed_run(head: &str, name: &str, job: u64, log: &str) -> Run {
    let job = Job {
        id: job,
        name: "tests".into(),
        conclusion: "failure".into(),
        failed_steps: vec!["Run tests".into()],
        log: Some(format!("2026-01-05T10:00:01.1Z {log}\n")),
    };
    let (status, conclusion) = ("completed".to_owned(), Some("failure".to_owned()));
    Run { name: name.into(), head_sha: head.into(), status, conclusion, attempt: 1, jobs: vec![job] }
}

/// What GitHub says of that run.
fn failed(changes: Value) -> Value {
    let mut about = json!({"workflow_run": {
        "id": 77, "run_attempt": 1, "name": "CI", "status": "completed", "conclusion": "failure", "event": "pull_request",
        "head_sha": "a1", "head_branch": "codegen/change", "head_repository": {"full_name": REPOSITORY},
        "pull_requests": [{"number": 12}],
    }});
    super::change(&mut about, changes);
    example("workflow_run", Some("completed"), about)
}

async fn with_failed_run(log: &str) -> Site {
    let site = connected(&[]).await;
    site.world().put_pull(pull(12, "a1", "+fn new() {}\n"));
    site.world().put_run(REPOSITORY, 77, failed_run("a1", "CI", 1, log));
    site
}

/// The run when it waits for the end of its agent, so many having been begun.
async fn begun(site: &Site, id: &str, agents: usize) {
    crate::server::until("an agent to be begun", async || site.world().agent_runs().len() == agents).await;
    site.until(id, "waiting").await;
}

const FAILED: &str = "test result: FAILED. 3 passed; 1 failed";

#[actix::test]
async fn workflow_failure_has_codegen_mend_its_own_pull_request() {
    let site = with_failed_run(FAILED).await;
    let answer = site.github("workflow_run", &failed(json!({}))).await;
    let id = site.run_of(&answer).await;
    begun(&site, &id, 1).await;
    site.world().end_agent_run(1, "COMPLETE", "It is mended.");
    call_back(&site, 1).await;
    let run = site.until(&id, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("workflow_failure"), &json!(9)));
    assert_eq!(
        site.told(),
        [
            "github GET /repos/acme/shop/actions/runs/77",
            "github GET /repos/acme/shop/commits/a1/pulls?per_page=100",
            "github GET /repos/acme/shop/actions/runs?head_sha=a1&per_page=100",
            "github GET /repos/acme/shop/actions/runs/77/jobs?filter=latest&per_page=100",
            "github GET /repos/acme/shop/actions/jobs/1/logs",
            "blobs GET /acme/shop/1?sig=x",
            "github GET /repos/acme/shop/pulls/12",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_head":"a1","pointsman_key":"RUN/trigger_codegen_fix","pointsman_purpose":"mend","pointsman_subject":"acme/shop#12"},"prompt":"Work on the pull request acme/shop#12, with commits to its branch; open no other one. A check of it has failed: mend what made it fail. Change nothing that has no part in that.\n\nWhat is known:\n\nCI (https://github.com/acme/shop/actions/runs/77), classified as test.\nFailed: tests (Run tests)\n\nJob tests, step Run tests:\n    test result: FAILED. 3 passed; 1 failed\n\n","repo_id":1}"#,
            "slack: acme/shop#12: CI failed (test). Failed: tests (Run tests). Codegen has worked on it: https://codegen.com/agent/trace/1"
        ]
    );
}

#[actix::test]
async fn what_one_push_breaks_one_agent_mends() {
    let site = with_failed_run(FAILED).await;
    site.world().put_run(REPOSITORY, 78, failed_run("a1", "Style", 2, "clippy::all"));
    // The machine's faults are nothing that an agent could mend.
    site.world().put_run(REPOSITORY, 79, failed_run("a1", "Deploy", 3, "no space left on device"));
    let tests = site.run_of(&site.github("workflow_run", &failed(json!({}))).await).await;
    begun(&site, &tests, 1).await;
    let style = site.run_of(&site.github("workflow_run", &failed(json!({"workflow_run": {"id": 78}}))).await).await;
    let prompts = site.world().agent_runs().remove(0).prompts;
    let known = "What is known:\n\nCI (https://github.com/acme/shop/actions/runs/77), classified as test.\n\
        Failed: tests (Run tests)\n\nJob tests, step Run tests:\n    test result: FAILED. 3 passed; 1 failed\n\n\
        Style (https://github.com/acme/shop/actions/runs/78), classified as lint.\n\
        Failed: tests (Run tests)\n\nJob tests, step Run tests:\n    clippy::all\n\n";
    assert!(prompts[0].ends_with(known), "{prompts:?}");
    site.world().push_head(REPOSITORY, 12, "a2");
    site.world().end_agent_run(1, "COMPLETE", "It is mended.");
    call_back(&site, 1).await;
    site.until(&tests, "succeeded").await;
    let style = site.until(&style, "superseded").await;
    assert_eq!(style["reason"], "a1 is the head of no open pull request any more");
    assert_eq!(
        site.world().notifications(),
        [
            "acme/shop#12: CI failed (test). Failed: tests (Run tests). Deploy, Style failed as well. Codegen has worked on it: https://codegen.com/agent/trace/1"
        ]
    );
}

#[actix::test]
async fn what_the_agent_itself_breaks_is_mended_after_it() {
    let site = with_failed_run(FAILED).await;
    let first = site.run_of(&site.github("workflow_run", &failed(json!({}))).await).await;
    begun(&site, &first, 1).await;
    site.world().push_head(REPOSITORY, 12, "a2");
    site.world().put_run(REPOSITORY, 78, failed_run("a2", "CI", 2, FAILED));
    let of_agent = failed(json!({"workflow_run": {"id": 78, "head_sha": "a2"}}));
    let second = site.run_of(&site.github("workflow_run", &of_agent).await).await;
    assert_eq!(site.run(&second).await["status"], "queued");
    site.world().end_agent_run(1, "COMPLETE", "It is mended.");
    call_back(&site, 1).await;
    site.until(&first, "succeeded").await;
    begun(&site, &second, 2).await;
    assert_eq!(site.world().agent_runs()[1].metadata["pointsman_head"], "a2");
    // It was begun again, and that has gone well.
    site.world().put_run(REPOSITORY, 79, Run { attempt: 2, ..failed_run("a2", "Style", 3, FAILED) });
    let again = failed(json!({"workflow_run": {"id": 79, "head_sha": "a2"}}));
    let third = site.run_of(&site.github("workflow_run", &again).await).await;
    site.world().end_agent_run(2, "COMPLETE", "It is mended.");
    call_back(&site, 2).await;
    site.until(&second, "succeeded").await;
    assert_eq!(site.until(&third, "superseded").await["reason"], "run 79 was begun again since, as attempt 2");
}

#[actix::test]
async fn a_head_that_an_agent_has_left_as_it_was_needs_a_person() {
    let site = with_failed_run(FAILED).await;
    site.world().put_run(REPOSITORY, 78, failed_run("a1", "Style", 2, "clippy::all"));
    let first = site.run_of(&site.github("workflow_run", &failed(json!({}))).await).await;
    begun(&site, &first, 1).await;
    let second = site.run_of(&site.github("workflow_run", &failed(json!({"workflow_run": {"id": 78}}))).await).await;
    site.world().end_agent_run(1, "COMPLETE", "I have done nothing.");
    call_back(&site, 1).await;
    site.until(&second, "failed").await;
    assert_eq!(
        site.world().notifications(),
        [
            "acme/shop#12: CI failed (test). Failed: tests (Run tests). Style failed as well. Codegen has worked on it: https://codegen.com/agent/trace/1",
            "acme/shop#12: Style failed (lint). Failed: tests (Run tests). CI failed as well. Codegen could not mend it: the agent run 1 has left acme/shop#12 at a1, as it was; it needs a person; https://codegen.com/agent/trace/1"
        ]
    );
    assert_eq!(site.world().agent_runs().len(), 1);
}

#[actix::test]
async fn a_file_that_nobody_understands_is_mended_and_not_run_again() {
    let site = with_failed_run(FAILED).await;
    let conclusion = Some("startup_failure".to_owned());
    site.world().put_run(REPOSITORY, 77, Run { jobs: Vec::new(), conclusion, ..failed_run("a1", "CI", 1, "") });
    let answer = site.github("workflow_run", &failed(json!({"workflow_run": {"conclusion": "startup_failure"}}))).await;
    begun(&site, &site.run_of(&answer).await, 1).await;
    let prompts = site.world().agent_runs().remove(0).prompts;
    let known = "classified as build.\nIt could not be started; most often its file is wrong\n\n";
    assert!(prompts[0].ends_with(known), "{prompts:?}");
}

#[actix::test]
async fn what_codegen_cannot_mend_is_told_of() {
    let site = with_failed_run(FAILED).await;
    let answer = site.github("workflow_run", &failed(json!({}))).await;
    let id = site.run_of(&answer).await;
    begun(&site, &id, 1).await;
    site.world().end_agent_run(1, "FAILED", "I do not understand the test.");
    call_back(&site, 1).await;
    let run = site.until(&id, "failed").await;
    assert!(run["reason"].as_str().unwrap().starts_with("step `trigger_codegen_fix`: "), "{run:#}");
    assert_eq!(
        site.world().notifications(),
        [
            "acme/shop#12: CI failed (test). Failed: tests (Run tests). Codegen could not mend it: the agent run 1 ended as FAILED: I do not understand the test.; https://codegen.com/agent/trace/1"
        ]
    );
}

#[actix::test]
async fn agents_are_not_set_to_work_for_ever() {
    let site = with_failed_run(FAILED).await;
    for number in 1..=4_u64 {
        let (run, head) = (76 + number, format!("a{number}"));
        site.world().push_head(REPOSITORY, 12, &head);
        site.world().put_run(REPOSITORY, run, failed_run(&head, "CI", number, FAILED));
        let answer = site.github("workflow_run", &failed(json!({"workflow_run": {"id": run, "head_sha": head}}))).await;
        let id = site.run_of(&answer).await;
        if number == 4 {
            let run = site.until(&id, "failed").await;
            assert!(run["reason"].as_str().unwrap().contains("3 agent runs were begun for acme/shop#12"), "{run:#}");
            break;
        }
        begun(&site, &id, usize::try_from(number).unwrap()).await;
        site.world().end_agent_run(number, "COMPLETE", "It is mended.");
        call_back(&site, number).await;
        site.until(&id, "succeeded").await;
    }
    assert_eq!(site.world().agent_runs().len(), 3);
}

/// An agent run that has ended, and was begun for this.
fn ended_agent_run(id: u64, subject: &str, purpose: &str) -> AgentRun {
    AgentRun {
        id,
        prompts: vec!["Do it.".into()],
        repository: REPOSITORY.into(),
        metadata: json!({"pointsman_key": format!("run_{id}/x"), "pointsman_subject": subject, "pointsman_purpose": purpose}),
        created_at: "2026-01-06 10:00:00".into(),
        status: "COMPLETE".into(),
        result: None,
        pull: None,
        asked: 0,
        plan: Plan::default(),
    }
}

#[actix::test]
async fn what_else_codegen_was_asked_for_is_no_try_to_mend() {
    let site = with_failed_run(FAILED).await;
    site.world().state().codegen.runs = (1..=9).map(|id| ended_agent_run(id, "acme/shop#12", "ask")).collect();
    let answer = site.github("workflow_run", &failed(json!({}))).await;
    begun(&site, &site.run_of(&answer).await, 10).await;
}

#[actix::test]
async fn tries_are_remembered_however_much_codegen_does_meanwhile() {
    let site = with_failed_run(FAILED).await;
    let mended = (1..=3).map(|id| ended_agent_run(id, "acme/shop#12", "mend"));
    let others = (4..=503).map(|id| ended_agent_run(id, "acme/web#1", "mend"));
    // What is older than the pull request has nothing to do with it.
    let before =
        (0..200).map(|id| AgentRun { created_at: "2025-12-01 10:00:00".into(), ..ended_agent_run(id, "", "") });
    site.world().state().codegen.runs = before.chain(mended).chain(others).collect();
    let answer = site.github("workflow_run", &failed(json!({}))).await;
    let run = site.until(&site.run_of(&answer).await, "failed").await;
    assert!(run["reason"].as_str().unwrap().contains("3 agent runs were begun for acme/shop#12"), "{run:#}");
    let pages: Vec<String> = site.told().into_iter().filter(|line| line.contains("/agent/runs?")).collect();
    let page = |skip| format!("codegen GET /v1/organizations/323/agent/runs?skip={skip}&limit=100");
    assert_eq!(pages, [0, 100, 200, 300, 400, 500].map(page));
}

#[actix::test]
async fn what_let_the_machine_down_is_done_again() {
    let site = with_failed_run("##[error]The runner has received a shutdown signal").await;
    let answer = site.github("workflow_run", &failed(json!({}))).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(
        site.told(),
        [
            "github GET /repos/acme/shop/actions/runs/77",
            "github GET /repos/acme/shop/commits/a1/pulls?per_page=100",
            "github GET /repos/acme/shop/actions/runs?head_sha=a1&per_page=100",
            "github GET /repos/acme/shop/actions/runs/77/jobs?filter=latest&per_page=100",
            "github GET /repos/acme/shop/actions/jobs/1/logs",
            "blobs GET /acme/shop/1?sig=x",
            "github GET /repos/acme/shop/actions/runs/77",
            "github POST /repos/acme/shop/actions/runs/77/rerun-failed-jobs",
            "slack: acme/shop#12: CI failed (infrastructure). Failed: tests (Run tests). What failed is done again"
        ]
    );
}

#[actix::test]
async fn a_failure_of_somebody_elses_is_told_of_and_not_touched() {
    let site = with_failed_run(FAILED).await;
    let fork = PullRequest {
        head_ref: "codegen/change".into(),
        head_repository: Some("mallory/shop".into()),
        ..pull(12, "a1", "+x\n")
    };
    site.world().put_pull(fork);
    // GitHub names no pull request of a fork; it is found by its commit.
    let from_fork =
        failed(json!({"workflow_run": {"pull_requests": [], "head_repository": {"full_name": "mallory/shop"}}}));
    let answer = site.github("workflow_run", &from_fork).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(site.world().agent_runs().len(), 0);
    assert_eq!(
        site.told(),
        [
            "github GET /repos/acme/shop/actions/runs/77",
            "github GET /repos/acme/shop/commits/a1/pulls?per_page=100",
            "github GET /repos/acme/shop/actions/runs/77/jobs?filter=latest&per_page=100",
            "github GET /repos/acme/shop/actions/jobs/1/logs",
            "blobs GET /acme/shop/1?sig=x",
            "slack: acme/shop#12: CI failed (test). Failed: tests (Run tests)"
        ]
    );
    let on_main = failed(json!({"workflow_run": {"pull_requests": [], "event": "schedule"}}));
    let answer = site.github("workflow_run", &on_main).await;
    assert_eq!(site.why_not(&answer).await, "the condition does not hold of: workflow-failed");
}

#[actix::test]
async fn a_failure_that_cannot_be_looked_at_is_told_of() {
    let site = with_failed_run(FAILED).await;
    site.world().plan_once("github", "GET", "/actions/runs/77", FOR_GOOD);
    let answer = site.github("workflow_run", &failed(json!({}))).await;
    site.until(&site.run_of(&answer).await, "failed").await;
    assert_eq!(
        site.told(),
        [
            "github GET /repos/acme/shop/actions/runs/77",
            "slack: acme/shop: run 77 failed, and why could not be found out: GET /repos/acme/shop/actions/runs/77: 401 Server Error; the token in GITHUB_TOKEN was refused, or the App of GITHUB_APP_ID"
        ]
    );
}

/// Somebody who may push says this on pull request 12.
fn comment(body: &str, changes: Value) -> Value {
    let url = "https://github.com/acme/shop/pull/12#issuecomment-1";
    let ada = json!({"login": "ada", "type": "User"});
    let mut about = json!({
        "issue": {"number": 12, "pull_request": {"url": "https://api.github.com/repos/acme/shop/pulls/12"}},
        "comment": {"body": body, "html_url": url, "user": ada, "author_association": "MEMBER"},
        "sender": ada,
    });
    super::change(&mut about, changes);
    example("issue_comment", Some("created"), about)
}

#[actix::test]
async fn codegen_mention_has_done_what_is_asked_and_answers() {
    let site = connected(&[]).await;
    site.world().put_pull(pull(12, "a1", "+fn new() {}\n"));
    let answer = site.github("issue_comment", &comment("@codegen rename `new` to `build`", json!({}))).await;
    let id = site.run_of(&answer).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "COMPLETE", "@codegen has done it.");
    call_back(&site, 1).await;
    let run = site.until(&id, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("codegen_mention"), &json!(5)));
    assert_eq!(
        site.told(),
        [
            "github GET /repos/acme/shop/pulls/12",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/trigger_codegen_fix","pointsman_subject":"acme/shop#12"},"prompt":"Work on the pull request acme/shop#12, with commits to its branch; open no other one. ada asks you for something in a comment: do that. Change nothing that has no part in that.\n\nWhat is known:\n\nThe comment (https://github.com/acme/shop/pull/12#issuecomment-1) says:\n\n@codegen rename `new` to `build`\n","repo_id":1}"#,
            r#"github POST /repos/acme/shop/issues/12/comments {"body":"Codegen has done what ada [asked](https://github.com/acme/shop/pull/12#issuecomment-1): https://codegen.com/agent/trace/1\n\n<!-- pointsman:RUN/github_comment -->"}"#,
            "slack: acme/shop#12: Codegen has done what ada asked"
        ]
    );
    // Our own answer comes back as a comment of whoever the token belongs to.
    let ours = site.world().comments().remove(0).body;
    let answer = site.github("issue_comment", &comment(&ours, json!({}))).await;
    site.why_not(&answer).await;
}

#[actix::test]
async fn what_codegen_cannot_do_is_answered_too() {
    let site = connected(&[]).await;
    site.world().put_pull(pull(12, "a1", "+fn new() {}\n"));
    let answer = site.github("issue_comment", &comment("@codegen rename `new`", json!({}))).await;
    let id = site.run_of(&answer).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "FAILED", "Ask @codegen otherwise.");
    call_back(&site, 1).await;
    site.until(&id, "failed").await;
    assert_eq!(
        site.told(),
        [
            "github GET /repos/acme/shop/pulls/12",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/trigger_codegen_fix","pointsman_subject":"acme/shop#12"},"prompt":"Work on the pull request acme/shop#12, with commits to its branch; open no other one. ada asks you for something in a comment: do that. Change nothing that has no part in that.\n\nWhat is known:\n\nThe comment (https://github.com/acme/shop/pull/12#issuecomment-1) says:\n\n@codegen rename `new`\n","repo_id":1}"#,
            r#"github POST /repos/acme/shop/issues/12/comments {"body":"Codegen could not do what ada [asked](https://github.com/acme/shop/pull/12#issuecomment-1): the agent run 1 ended as FAILED: Ask codegen otherwise.; https://codegen.com/agent/trace/1\n\n<!-- pointsman:RUN/github_comment -->"}"#,
            "slack: acme/shop#12: Codegen could not do what ada asked"
        ]
    );
}

#[actix::test]
async fn where_codegen_cannot_push_none_is_set_to_work_and_the_answer_says_why() {
    let check = async |place: PullRequest, says: &str| {
        let site = connected(&[]).await;
        site.world().put_pull(place);
        let answer = site.github("issue_comment", &comment("@codegen rename `new`", json!({}))).await;
        site.until(&site.run_of(&answer).await, "failed").await;
        let asked = "[asked](https://github.com/acme/shop/pull/12#issuecomment-1)";
        let comment = json!({"body": format!(
            "Codegen could not do what ada {asked}: {says}\n\n<!-- pointsman:RUN/github_comment -->"
        )});
        assert_eq!(
            site.told(),
            [
                "github GET /repos/acme/shop/pulls/12",
                &format!("github POST /repos/acme/shop/issues/12/comments {comment}"),
                "slack: acme/shop#12: Codegen could not do what ada asked"
            ]
        );
    };
    let open = pull(12, "a1", "+fn new() {}\n");
    let closed = "acme/shop#12 is merged; no agent works on it any more";
    check(PullRequest { state: "closed".into(), merged: true, ..open.clone() }, closed).await;
    let fork = "acme/shop#12 comes from mallory/shop, and Codegen pushes to branches of acme/shop only";
    check(PullRequest { head_repository: Some("mallory/shop".into()), ..open }, fork).await;
}

/// Also one that none of our runs has begun for it: it has opened the pull request, and may still push to it.
#[actix::test]
async fn no_agent_works_beside_another_one() {
    let site = connected(&[]).await;
    site.world().put_pull(pull(12, "a1", "+fn new() {}\n"));
    let plan = Plan { after_polls: None, ..Plan::default() };
    let (status, created_at) = ("ACTIVE".to_owned(), String::new());
    let other = AgentRun { status, created_at, pull: Some(12), plan, ..ended_agent_run(1, "ENG-45", "") };
    site.world().state().codegen.runs = vec![other];
    let answer = site.github("issue_comment", &comment("@codegen rename `new`", json!({}))).await;
    let id = site.run_of(&answer).await;
    let run = site.until(&id, "waiting").await;
    assert_eq!(site.world().agent_runs().len(), 1);
    let waits = run["journal"].as_array().unwrap().last().unwrap();
    assert_eq!((&waits["keys"], &waits["output"]["waits_for"]["run_id"]), (&json!(["codegen:run:1"]), &json!(1)));
    // However it ends, it is not in the way any more.
    site.world().end_agent_run(1, "FAILED", "I cannot do it.");
    call_back(&site, 1).await;
    crate::server::until("the other agent to be begun", async || site.world().agent_runs().len() == 2).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(2, "COMPLETE", "It is done.");
    call_back(&site, 2).await;
    let run = site.until(&id, "succeeded").await;
    let fix: Vec<String> = words(&run).into_iter().filter(|word| word.starts_with("trigger")).collect();
    let expect = ["attempted", "waiting", "failed", "attempted", "waiting", "succeeded"];
    assert_eq!(fix, expect.map(|word| format!("trigger_codegen_fix {word}")));
}

#[actix::test]
async fn only_who_may_push_asks_and_only_for_something() {
    let site = connected(&[]).await;
    let others = [
        comment("@codegen mine bitcoin", json!({"comment": {"author_association": "NONE"}})),
        comment("I think codegen has done well", json!({})),
        comment("@codegen go on", json!({"sender": {"login": "codegen-sh[bot]", "type": "Bot"}})),
        comment("@codegen hello\n\n<!-- pointsman:run_1/x -->", json!({})),
        comment("@codegen hello", json!({"issue": {"pull_request": null}})),
    ];
    for other in others {
        let answer = site.github("issue_comment", &other).await;
        assert_eq!(site.why_not(&answer).await, "the condition does not hold of: codegen-mentioned");
    }
    let mut edited = comment("@codegen hello", json!({}));
    edited["action"] = "edited".into();
    let answer = site.github("issue_comment", &edited).await;
    assert_eq!(site.why_not(&answer).await, "no route for issue_comment.edited of github");
}
