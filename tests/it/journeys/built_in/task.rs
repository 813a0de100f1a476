//! A ticket that Codegen has, from the webhook to the pull request that its ticket follows.

use pointsman_sandbox::FaultKind;
use serde_json::{Value, json};

use super::{FOR_GOOD, connected};
use crate::journeys::codegen::call_back;
use crate::journeys::linear::send;
use crate::server::until;
use crate::site::Site;

/// What Linear says of ticket ENG-45, which Codegen has.
pub fn ticket(action: &str, changes: Value) -> Value {
    let mut all = json!({
        "type": "Issue",
        "action": action,
        "actor": {"id": "user-ada", "type": "user", "name": "Ada", "email": "ada@example.com"},
        "createdAt": "2026-01-05T10:00:00.000Z",
        "data": {
            "id": "issue-45", "identifier": "ENG-45", "number": 45, "title": "Cache the token",
            "priority": 0, "priorityLabel": "No priority", "teamId": "team-1",
            "team": {"id": "team-1", "key": "ENG", "name": "Engineering"},
            "stateId": "state-todo", "state": {"id": "state-todo", "name": "Todo", "type": "unstarted", "color": "#e2e2e2"},
            "delegateId": "user-codegen", "delegate": {"id": "user-codegen", "name": "Codegen"},
            "labels": [], "labelIds": [], "subscriberIds": [], "previousIdentifiers": [],
            "createdAt": "2026-01-05T09:00:00.000Z", "updatedAt": "2026-01-05T10:00:00.000Z",
            "url": "https://linear.app/acme/issue/ENG-45",
        },
        "url": "https://linear.app/acme/issue/ENG-45",
        "webhookId": "hook-1",
        "organizationId": "organization-1",
    });
    super::change(&mut all, changes);
    all
}

pub const DESCRIPTION: &str =
    "The token is fetched each time.\n\nrepo: acme/shop\n\n## Acceptance criteria\n\n- [ ] It is fetched once an hour";

/// A site with the ticket, that Linear says was created.
async fn created(more: &[(&'static str, &str)], description: &str) -> (Site, String) {
    let site = connected(more).await;
    site.put_ticket("Todo", description);
    let answer = send(&site, ticket("create", json!({}))).await;
    let id = site.run_of(&answer).await;
    (site, id)
}

#[actix::test]
async fn codegen_task_ends_with_a_pull_request_that_the_ticket_follows() {
    let (site, id) = created(&[], DESCRIPTION).await;
    site.until(&id, "waiting").await;
    // That the ticket has moved is a change of ours.
    let moved = json!({
        "data": {"state": {"id": "state-in-progress", "name": "In Progress", "type": "started"}, "updatedAt": "2026-01-05T10:00:05.000Z"},
        "updatedFrom": {"stateId": "state-todo", "updatedAt": "2026-01-05T10:00:00.000Z"},
    });
    let answer = send(&site, ticket("update", moved)).await;
    let other = site.until(&site.run_of(&answer).await, "superseded").await;
    assert_eq!(other["reason"], format!("{id} goes on"));
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    call_back(&site, 1).await;
    let run = site.until(&id, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("codegen_task"), &json!(9)));
    assert_eq!(
        site.told(),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls?state=open&per_page=100",
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            r#"linear IssueUpdate {"id":"issue-45","input":{"stateId":"state-in-progress"}}"#,
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/begin_codegen","pointsman_subject":"ENG-45"},"prompt":"Work on the ticket ENG-45, Cache the token (https://linear.app/acme/issue/ENG-45). Open one pull request, from a branch that begins with `codegen/`, with ENG-45 in its title.\n\nThe token is fetched each time.\n\nrepo: acme/shop\n\n## Acceptance criteria\n\n- [ ] It is fetched once an hour","repo_id":1}"#,
            "codegen GET /v1/organizations/323/agent/run/1",
            "github GET /repos/acme/shop/pulls/1",
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            r##"linear AttachmentLinkGitHubPR {"issueId":"issue-45","title":"#1 Cache the token","url":"https://github.com/acme/shop/pull/1"}"##,
            r#"linear CommentCreate {"input":{"body":"Codegen has opened [#1](https://github.com/acme/shop/pull/1).","id":"ID","issueId":"issue-45","parentId":null}}"#,
            "slack: ENG-45 (Cache the token): Codegen has opened https://github.com/acme/shop/pull/1"
        ]
    );
    // As long as the pull request is open, no other one is asked for.
    let again = json!({
        "data": {"state": {"id": "state-todo", "name": "Todo", "type": "unstarted"}, "updatedAt": "2026-01-05T12:00:00.000Z"},
        "updatedFrom": {"stateId": "state-in-progress"},
    });
    let answer = send(&site, ticket("update", again)).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(site.world().agent_runs().len(), 1);
    let said = site.world().state().linear.comments.last().unwrap().body.clone();
    assert!(said.contains("is open for this ticket"), "{said}");
}

#[actix::test]
async fn a_task_that_codegen_cannot_do_is_told_of() {
    let (site, id) = created(&[], DESCRIPTION).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "FAILED", "There are no tests.");
    call_back(&site, 1).await;
    let run = site.until(&id, "failed").await;
    assert!(run["reason"].as_str().unwrap().starts_with("step `await_codegen`: "), "{run:#}");
    assert_eq!(
        site.told(),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls?state=open&per_page=100",
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            r#"linear IssueUpdate {"id":"issue-45","input":{"stateId":"state-in-progress"}}"#,
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/begin_codegen","pointsman_subject":"ENG-45"},"prompt":"Work on the ticket ENG-45, Cache the token (https://linear.app/acme/issue/ENG-45). Open one pull request, from a branch that begins with `codegen/`, with ENG-45 in its title.\n\nThe token is fetched each time.\n\nrepo: acme/shop\n\n## Acceptance criteria\n\n- [ ] It is fetched once an hour","repo_id":1}"#,
            "codegen GET /v1/organizations/323/agent/run/1",
            r#"linear CommentCreate {"input":{"body":"Codegen could not do this: the agent run 1 ended as FAILED: There are no tests.; https://codegen.com/agent/trace/1","id":"ID","issueId":"issue-45","parentId":null}}"#,
            "slack: ENG-45 (Cache the token): Codegen could not do it: the agent run 1 ended as FAILED: There are no tests.; https://codegen.com/agent/trace/1"
        ]
    );
}

#[actix::test]
async fn a_ticket_that_names_no_repository_is_told_what_it_lacks() {
    let (site, id) = created(&[], "Cache it.").await;
    site.until(&id, "succeeded").await;
    assert_eq!(
        site.told(),
        [
            r#"linear Issue {"id":"issue-45"}"#,
            r#"linear CommentCreate {"input":{"body":"Codegen was not asked, because the ticket names no repository. Add a line such as `repo: owner/name`; it begins when the ticket is moved again.","id":"ID","issueId":"issue-45","parentId":null}}"#,
            "slack: ENG-45 (Cache the token): Codegen was not asked; the ticket says why"
        ]
    );
    let (site, id) = created(&[("LINEAR_HANDLER_DEFAULT_REPOSITORY", "acme/shop")], "Cache it.").await;
    site.until(&id, "waiting").await;
    assert_eq!(site.world().agent_runs()[0].repository, "acme/shop");
}

#[actix::test]
async fn no_agent_works_on_a_ticket_that_was_closed_meanwhile() {
    let site = connected(&[]).await;
    site.put_ticket("Done", DESCRIPTION);
    let answer = send(&site, ticket("create", json!({}))).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!(site.world().agent_runs().len(), 0);
    let said = site.world().state().linear.comments.last().unwrap().body.clone();
    assert_eq!(said, "Codegen was not asked, because the ticket is Done.");
}

#[actix::test]
async fn a_pull_request_that_cannot_be_opened_is_told_of() {
    let (site, id) = created(&[], DESCRIPTION).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    site.world().plan_once("github", "GET", "/pulls/", FOR_GOOD);
    call_back(&site, 1).await;
    site.until(&id, "failed").await;
    let said = site.world().state().linear.comments.last().unwrap().body.clone();
    assert!(said.starts_with("Codegen is done, but there is no pull request: "), "{said}");
}

/// The pull request is there and its ticket follows it, and one agent was set to work.
async fn is_done_once(site: &Site, id: &str) {
    site.until(id, "succeeded").await;
    assert_eq!(site.world().agent_runs().len(), 1);
    let links: Vec<_> = site.world().state().linear.attachments.iter().map(|link| link.url.clone()).collect();
    assert_eq!(links.len(), 1, "{links:?}");
    assert_eq!(site.world().notifications().len(), 1);
}

#[actix::test]
async fn a_callback_may_come_before_the_answer() {
    let site = connected(&[]).await;
    site.put_ticket("Todo", DESCRIPTION);
    site.world().state().codegen.plan.calls_back = true;
    site.world().plan_once("codegen", "POST", "/agent/run", FaultKind::CallbackFirst);
    let answer = send(&site, ticket("create", json!({}))).await;
    is_done_once(&site, &site.run_of(&answer).await).await;
}

#[actix::test]
async fn a_callback_may_come_twice() {
    let (site, id) = created(&[], DESCRIPTION).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    let first = call_back(&site, 1).await;
    let second = call_back(&site, 1).await;
    assert_eq!((first.status, second.status), (200, 200));
    is_done_once(&site, &id).await;
}

#[actix::test]
async fn without_a_callback_whoever_asks_hears_of_the_end() {
    let (site, id) = created(&[("CODEGEN_POLL_INTERVAL", "20")], DESCRIPTION).await;
    site.until(&id, "waiting").await;
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    is_done_once(&site, &id).await;
    let late = call_back(&site, 1).await;
    let event = late.body["eventId"].as_str().unwrap().to_owned();
    until("the callback to be late", async || {
        site.server.get(&format!("/api/v1/events/{event}/status")).await.body["status"] == "late"
    })
    .await;
}
