//! What else happens to a ticket that Codegen has: it is given and taken, asks for something else, is removed, or is over.

use serde_json::{Value, json};

use super::task::{DESCRIPTION, ticket};
use super::{FOR_GOOD, connected, of_ticket};
use crate::journeys::codegen::call_back;
use crate::journeys::linear::send;
use crate::site::Site;

/// A state of the ticket, as an event names it.
pub fn state(name: &str, kind: &str) -> Value {
    json!({"id": format!("state-{}", name.to_lowercase()), "name": name, "type": kind})
}

/// The ticket was given to Codegen.
pub fn assigned(changes: Value) -> Value {
    let mut all = json!({"updatedFrom": {"delegateId": null, "updatedAt": "2026-01-05T09:30:00.000Z"}});
    super::change(&mut all, changes);
    ticket("update", all)
}

#[actix::test]
async fn codegen_assigned_says_that_it_begins_and_the_task_does() {
    let site = connected(&[]).await;
    site.put_ticket("Todo", DESCRIPTION);
    let answer = send(&site, assigned(json!({}))).await;
    let runs = site.runs_of(&answer).await;
    let workflows: Vec<&str> = runs.iter().map(|(workflow, _)| workflow.as_str()).collect();
    assert_eq!(workflows, ["codegen_assigned", "codegen_task"]);
    site.until(&runs[0].1, "succeeded").await;
    site.until(&runs[1].1, "waiting").await;
    // They go on side by side.
    let mut told = site.told();
    told.sort();
    assert_eq!(
        told,
        [
            "codegen GET /v1/organizations/323/agent/run/1",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/begin_codegen","pointsman_subject":"ENG-45"},"prompt":"Work on the ticket ENG-45, Cache the token (https://linear.app/acme/issue/ENG-45). Open one pull request, from a branch that begins with `codegen/`, with ENG-45 in its title.\n\nThe token is fetched each time.\n\nrepo: acme/shop\n\n## Acceptance criteria\n\n- [ ] It is fetched once an hour","repo_id":1}"#,
            "github GET /repos/acme/shop/pulls?state=open&per_page=100",
            r#"linear CommentCreate {"input":{"body":"Codegen begins with this.","id":"ID","issueId":"issue-45","parentId":null}}"#,
            r#"linear Issue {"id":"issue-45"}"#,
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            r#"linear IssueUpdate {"id":"issue-45","input":{"stateId":"state-in-progress"}}"#,
            "slack: ENG-45 (Cache the token) was given to Codegen by Ada and is begun"
        ]
    );
}

#[actix::test]
async fn codegen_assigned_says_what_it_waits_for() {
    let site = connected(&[]).await;
    site.put_ticket("Backlog", DESCRIPTION);
    let answer = send(&site, assigned(json!({"data": {"state": state("Backlog", "backlog")}}))).await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("codegen_assigned"), &json!(10)));
    assert_eq!(
        site.told(),
        [
            r#"linear CommentCreate {"input":{"body":"Codegen begins when this is moved to In Progress or Todo.","id":"ID","issueId":"issue-45","parentId":null}}"#,
            "slack: ENG-45 (Cache the token) was given to Codegen by Ada; it is begun when it is moved to In Progress or Todo"
        ]
    );
    // A person takes it over, and Codegen stays its delegate.
    let taken = json!({"data": {"assignee": {"id": "user-ada", "name": "Ada"}}, "updatedFrom": {"assigneeId": null}});
    let answer = send(&site, ticket("update", taken)).await;
    site.why_not(&answer).await;
}

#[actix::test]
async fn an_assignment_that_the_ticket_cannot_be_told_of_is_told_to_the_team() {
    let site = connected(&[]).await;
    site.put_ticket("Backlog", DESCRIPTION);
    site.world().plan_once("linear", "POST", "#CommentCreate", FOR_GOOD);
    let answer = send(&site, assigned(json!({"data": {"state": state("Backlog", "backlog")}}))).await;
    site.until(&site.run_of(&answer).await, "failed").await;
    assert_eq!(
        site.world().notifications(),
        [
            "ENG-45 (Cache the token) was given to Codegen by Ada; it is begun when it is moved to In Progress or Todo; the ticket could not be told: Linear, CommentCreate: 401 Authentication required, not authenticated; the key in LINEAR_API_KEY was refused"
        ]
    );
}

/// A site where Codegen works on the ticket, and the run that waits for it.
pub async fn at_work() -> (Site, String) {
    let site = connected(&[]).await;
    site.put_ticket("Todo", DESCRIPTION);
    let answer = send(&site, ticket("create", json!({}))).await;
    let id = site.run_of(&answer).await;
    site.until(&id, "waiting").await;
    (site, id)
}

/// The calls after the first so many.
pub fn told_since(site: &Site, before: usize) -> Vec<String> {
    site.told().split_off(before)
}

/// The ticket was taken from whoever has this id.
pub fn unassigned(from: &str) -> Value {
    let changes = json!({
        "data": {"delegate": null, "delegateId": null, "updatedAt": "2026-01-05T11:00:00.000Z"},
        "updatedFrom": {"delegateId": from},
    });
    ticket("update", changes)
}

#[actix::test]
async fn codegen_unassigned_stops_waiting_and_says_so() {
    let (site, task) = at_work().await;
    let before = site.told().len();
    site.give_ticket_to(None);
    let answer = send(&site, unassigned("user-codegen")).await;
    let runs = site.until_runs(&answer, 2).await;
    let [(_, run), (_, withdrawn)] = &*runs else { panic!("{runs:?}") };
    let run = site.until(run, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("codegen_unassigned"), &json!(7)));
    let task = site.until(&task, "superseded").await;
    assert_eq!(task["reason"], format!("superseded by {withdrawn}"));
    assert_eq!(
        told_since(&site, before),
        [
            r#"linear User {"id":"user-codegen"}"#,
            r#"linear Issue {"id":"issue-45"}"#,
            r#"linear CommentCreate {"input":{"body":"Codegen has this no more. Nobody waits for what it may have begun; a pull request that it opens all the same can be closed.","id":"ID","issueId":"issue-45","parentId":null}}"#,
            "slack: ENG-45 (Cache the token) was taken from Codegen by Ada"
        ]
    );
}

#[actix::test]
async fn what_people_hand_to_each_other_is_no_business_of_a_task() {
    let (site, task) = at_work().await;
    let before = site.told().len();
    let answer = send(&site, unassigned("user-ada")).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(told_since(&site, before), [r#"linear User {"id":"user-ada"}"#]);
    assert_eq!(site.run(&task).await["status"], "waiting");
}

#[actix::test]
async fn of_whom_a_ticket_was_taken_from_nobody_can_say_is_told_of() {
    let site = connected(&[]).await;
    site.put_ticket("Todo", DESCRIPTION);
    site.world().plan_once("linear", "POST", "#User", FOR_GOOD);
    let answer = send(&site, unassigned("user-codegen")).await;
    site.until(&site.run_of(&answer).await, "failed").await;
    assert_eq!(
        site.told(),
        [
            r#"linear User {"id":"user-codegen"}"#,
            "slack: ENG-45 (Cache the token): whether it was taken from Codegen could not be found out: Linear, User: 401 Authentication required, not authenticated; the key in LINEAR_API_KEY was refused"
        ]
    );
}

/// What the ticket asks for has changed, at this hour and minute.
pub fn changed(at: &str) -> Value {
    let at = format!("2026-01-05T{at}:00.000Z");
    ticket("update", json!({"data": {"updatedAt": at}, "updatedFrom": {"description": "Cache it."}}))
}

#[actix::test]
async fn codegen_requirements_updated_begins_anew_with_what_is_asked_for_now() {
    let site = connected(&[]).await;
    site.put_ticket("In Progress", &format!("{DESCRIPTION}\n- [ ] It is never logged"));
    let answer = send(&site, changed("11:00")).await;
    let id = site.run_of(&answer).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    call_back(&site, 1).await;
    let run = site.until(&id, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("codegen_requirements_updated"), &json!(10)));
    assert_eq!(
        site.told(),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls?state=open&per_page=100",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/trigger_codegen","pointsman_subject":"ENG-45"},"prompt":"Work on the ticket ENG-45, Cache the token (https://linear.app/acme/issue/ENG-45). Open one pull request, from a branch that begins with `codegen/`, with ENG-45 in its title.\n\nThe token is fetched each time.\n\nrepo: acme/shop\n\n## Acceptance criteria\n\n- [ ] It is fetched once an hour\n- [ ] It is never logged","repo_id":1}"#,
            "github GET /repos/acme/shop/pulls/1",
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            r##"linear AttachmentLinkGitHubPR {"issueId":"issue-45","title":"#1 Cache the token","url":"https://github.com/acme/shop/pull/1"}"##,
            r#"linear CommentCreate {"input":{"body":"Codegen has opened [#1](https://github.com/acme/shop/pull/1).","id":"ID","issueId":"issue-45","parentId":null}}"#,
            "slack: ENG-45 (Cache the token): Codegen has opened https://github.com/acme/shop/pull/1"
        ]
    );
}

#[actix::test]
async fn an_open_pull_request_follows_what_is_asked_for_now() {
    let site = connected(&[]).await;
    site.put_ticket("In Progress", &format!("{DESCRIPTION}\n\nhttps://github.com/acme/shop/pull/12"));
    site.world().put_pull(of_ticket(12));
    let answer = send(&site, changed("11:00")).await;
    let id = site.run_of(&answer).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    call_back(&site, 1).await;
    site.until(&id, "succeeded").await;
    assert_eq!(
        site.told(),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls/12",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "github GET /repos/acme/shop/pulls/12",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/trigger_codegen_fix","pointsman_subject":"acme/shop#12"},"prompt":"Work on the pull request acme/shop#12, with commits to its branch; open no other one. What its ticket asks for has changed: have it do that. Change nothing that has no part in that.\n\nWhat is known:\n\nENG-45, Cache the token (https://linear.app/acme/issue/ENG-45), says now:\n\nThe token is fetched each time.\n\nrepo: acme/shop\n\n## Acceptance criteria\n\n- [ ] It is fetched once an hour\n\nhttps://github.com/acme/shop/pull/12\n","repo_id":1}"#,
            r#"linear CommentCreate {"input":{"body":"Codegen has changed [#12](https://github.com/acme/shop/pull/12) after what this asks for now.","id":"ID","issueId":"issue-45","parentId":null}}"#,
            "slack: ENG-45 (Cache the token): Codegen has changed https://github.com/acme/shop/pull/12 after what the ticket asks for now"
        ]
    );
}

#[actix::test]
async fn a_change_that_codegen_cannot_follow_is_told_of() {
    let site = connected(&[]).await;
    site.put_ticket("In Progress", DESCRIPTION);
    site.world().plan_once("codegen", "POST", "/agent/run", pointsman_sandbox::FaultKind::Refuse(402));
    let answer = send(&site, changed("11:00")).await;
    site.until(&site.run_of(&answer).await, "failed").await;
    assert_eq!(
        site.told(),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls?state=open&per_page=100",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/trigger_codegen","pointsman_subject":"ENG-45"},"prompt":"Work on the ticket ENG-45, Cache the token (https://linear.app/acme/issue/ENG-45). Open one pull request, from a branch that begins with `codegen/`, with ENG-45 in its title.\n\nThe token is fetched each time.\n\nrepo: acme/shop\n\n## Acceptance criteria\n\n- [ ] It is fetched once an hour","repo_id":1}"#,
            r#"linear CommentCreate {"input":{"body":"Codegen could not do this: POST /agent/run: 402 by plan; the plan of the organisation allows no further agent run","id":"ID","issueId":"issue-45","parentId":null}}"#,
            "slack: ENG-45 (Cache the token): Codegen could not do it: POST /agent/run: 402 by plan; the plan of the organisation allows no further agent run"
        ]
    );
}

#[actix::test]
async fn codegen_cleanup_stops_waiting_and_tells_the_open_pull_request() {
    let (site, task) = at_work().await;
    site.put_ticket("In Progress", &format!("{DESCRIPTION}\n\nhttps://github.com/acme/shop/pull/12"));
    site.world().put_pull(of_ticket(12));
    let before = site.told().len();
    // The time of its last change is that of the task, which goes by it.
    let removed = ticket("remove", json!({"createdAt": "2026-01-05T11:00:00.000Z"}));
    let answer = send(&site, removed).await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("codegen_cleanup"), &json!(6)));
    site.until(&task, "superseded").await;
    assert_eq!(
        told_since(&site, before),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls/12",
            r#"github POST /repos/acme/shop/issues/12/comments {"body":"ENG-45, which this pull request is for, was removed. Close it if it is not wanted any more.\n\n<!-- pointsman:RUN/github_comment -->"}"#,
            "slack: ENG-45 (Cache the token), which Codegen had, was removed by Ada; https://github.com/acme/shop/pull/12 is open"
        ]
    );
}

#[actix::test]
async fn a_removed_ticket_of_which_nothing_can_be_found_out_is_told_of() {
    let site = connected(&[]).await;
    // Linear does not know it any more.
    let answer = send(&site, ticket("remove", json!({}))).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(
        site.told(),
        [r#"linear Issue {"id":"issue-45"}"#, "slack: ENG-45 (Cache the token), which Codegen had, was removed by Ada"]
    );
    site.put_ticket("In Progress", &format!("{DESCRIPTION}\n\nhttps://github.com/acme/shop/pull/12"));
    site.world().put_pull(of_ticket(12));
    site.world().plan_once("github", "POST", "/comments", FOR_GOOD);
    let before = site.told().len();
    let answer = send(&site, ticket("remove", json!({"data": {"updatedAt": "2026-01-05T11:00:00.000Z"}}))).await;
    site.until(&site.run_of(&answer).await, "failed").await;
    assert_eq!(
        told_since(&site, before),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls/12",
            r#"github POST /repos/acme/shop/issues/12/comments {"body":"ENG-45, which this pull request is for, was removed. Close it if it is not wanted any more.\n\n<!-- pointsman:RUN/github_comment -->"}"#,
            "slack: ENG-45 (Cache the token), which Codegen had, was removed by Ada; https://github.com/acme/shop/pull/12 is open, and could not be told: POST /repos/acme/shop/issues/12/comments: 401 Server Error; the token in GITHUB_TOKEN was refused, or the App of GITHUB_APP_ID"
        ]
    );
}

/// The ticket has come to this state.
pub fn moved(name: &str, kind: &str, at: &str) -> Value {
    let changes = json!({
        "data": {"state": state(name, kind), "updatedAt": at},
        "updatedFrom": {"stateId": "state-in-progress"},
    });
    ticket("update", changes)
}

#[actix::test]
async fn issue_completed_tells_the_open_pull_request() {
    let (site, task) = at_work().await;
    site.put_ticket("Done", &format!("{DESCRIPTION}\n\nhttps://github.com/acme/shop/pull/12"));
    site.world().put_pull(of_ticket(12));
    let before = site.told().len();
    let answer = send(&site, moved("Done", "completed", "2026-01-05T11:00:00.000Z")).await;
    let run = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("issue_completed"), &json!(7)));
    site.until(&task, "superseded").await;
    assert_eq!(
        told_since(&site, before),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls/12",
            r#"github POST /repos/acme/shop/issues/12/comments {"body":"[ENG-45](https://linear.app/acme/issue/ENG-45), which this pull request is for, is Done now, and this is still open.\n\n<!-- pointsman:RUN/github_comment -->"}"#,
            "slack: ENG-45 (Cache the token) is Done; https://github.com/acme/shop/pull/12 is still open"
        ]
    );
    // One that has none is nobody's business.
    site.put_ticket("Done", DESCRIPTION);
    let before = site.told().len();
    let answer = send(&site, moved("Canceled", "canceled", "2026-01-05T12:00:00.000Z")).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(told_since(&site, before), [r#"linear Issue {"id":"issue-45"}"#]);
}

#[actix::test]
async fn a_pull_request_that_cannot_be_told_is_told_of() {
    let site = connected(&[]).await;
    site.put_ticket("Done", &format!("{DESCRIPTION}\n\nhttps://github.com/acme/shop/pull/12"));
    site.world().put_pull(of_ticket(12));
    site.world().plan_once("github", "POST", "/comments", FOR_GOOD);
    let answer = send(&site, moved("Done", "completed", "2026-01-05T11:00:00.000Z")).await;
    site.until(&site.run_of(&answer).await, "failed").await;
    assert_eq!(
        site.told(),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls/12",
            r#"github POST /repos/acme/shop/issues/12/comments {"body":"[ENG-45](https://linear.app/acme/issue/ENG-45), which this pull request is for, is Done now, and this is still open.\n\n<!-- pointsman:RUN/github_comment -->"}"#,
            "slack: ENG-45 (Cache the token) is Done; https://github.com/acme/shop/pull/12 is still open, and could not be told: POST /repos/acme/shop/issues/12/comments: 401 Server Error; the token in GITHUB_TOKEN was refused, or the App of GITHUB_APP_ID"
        ]
    );
}
