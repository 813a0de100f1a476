//! A session of our agent in Linear: from the webhook to what the person who opened it reads there.

use serde_json::{Value, json};

use super::task::{DESCRIPTION, ticket};
use super::{FOR_GOOD, connected, of_ticket};
use crate::journeys::codegen::call_back;
use crate::journeys::linear::send;
use crate::server::Answer;
use crate::site::Site;

/// What Linear says of a session of our agent at ticket ENG-45, which nobody's comment has opened.
fn session(action: &str, at: &str, changes: Value) -> Value {
    let mut all = json!({
        "type": "AgentSessionEvent", "action": action, "createdAt": at,
        "agentSession": {
            "id": "session-1", "status": "pending", "appUserId": "user-codegen", "issueId": "issue-45",
            "comment": {"body": "This thread is for an agent session with codegen."},
            "issue": {"id": "issue-45", "identifier": "ENG-45", "title": "Cache the token", "team": {"key": "ENG"}},
        },
        "appUserId": "user-codegen", "oauthClientId": "client-1", "webhookId": "hook-1", "organizationId": "organization-1",
    });
    super::change(&mut all, changes);
    all
}

pub fn created() -> Value {
    session("created", "2026-01-05T10:00:01.000Z", json!({}))
}

/// A person says something in the session.
pub fn prompted(at: &str, says: &str) -> Value {
    let content = json!({"type": "prompt", "body": says});
    session("prompted", at, json!({"agentActivity": {"id": format!("activity-{at}"), "content": content}}))
}

fn stopped(at: &str) -> Value {
    let content = json!({"type": "prompt", "body": "Stop"});
    let activity = json!({"id": format!("activity-{at}"), "signal": "stop", "content": content});
    session("prompted", at, json!({ "agentActivity": activity }))
}

/// A site with the ticket and a session at it.
pub async fn with_session(description: &str, more: &[(&'static str, &str)]) -> Site {
    let site = connected(more).await;
    site.put_ticket("Todo", description);
    site.world().state().linear.open_session("session-1", "issue-45");
    site
}

impl Site {
    /// The run that an event of the session has started, and the one that does the work.
    pub async fn session_runs(&self, answer: &Answer) -> (String, String) {
        let runs = self.until_runs(answer, 2).await;
        let id_of = |workflow: &str| runs.iter().find(|(name, _)| name == workflow).unwrap().1.clone();
        (id_of("linear_agent_session"), id_of("linear_agent_task"))
    }

    /// The runs of an event when there are so many.
    pub async fn until_runs(&self, answer: &Answer, number: usize) -> Vec<(String, String)> {
        let mut runs = Vec::new();
        crate::server::until("the runs", async || {
            runs = self.runs_of(answer).await;
            runs.len() == number
        })
        .await;
        runs
    }

    /// What was said in the session: the type and the words.
    fn activities(&self) -> Vec<(String, String)> {
        let text = |content: &Value, name: &str| content[name].as_str().unwrap().to_owned();
        let activities = self.world().state().linear.activities.clone();
        activities.iter().map(|said| (text(&said.content, "type"), text(&said.content, "body"))).collect()
    }

    /// How the items of the plan stand.
    fn plan(&self) -> Vec<String> {
        let session = self.world().state().linear.sessions[0].clone();
        session.plan.as_array().unwrap().iter().map(|item| item["status"].as_str().unwrap().to_owned()).collect()
    }

    fn status(&self) -> String {
        self.world().state().linear.sessions[0].status.clone()
    }
}

const PROMPT: &str = "Work on the ticket ENG-45, Cache the token (https://linear.app/acme/issue/ENG-45). Open one pull request, from a branch that begins with `codegen/`, with ENG-45 in its title.\n\nThe token is fetched each time.\n\nrepo: acme/shop\n\n## Acceptance criteria\n\n- [ ] It is fetched once an hour";

#[actix::test]
async fn a_session_is_answered_at_once_and_ends_with_a_pull_request() {
    let site = with_session(DESCRIPTION, &[]).await;
    let answer = send(&site, created()).await;
    let (session, task) = site.session_runs(&answer).await;
    site.until(&task, "waiting").await;
    assert_eq!(
        (site.plan(), &*site.status()),
        (vec!["completed".into(), "inProgress".into(), "pending".into()], "active")
    );
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    call_back(&site, 1).await;
    let run = site.until(&session, "succeeded").await;
    assert_eq!((&run["workflow"], &run["priority"]), (&json!("linear_agent_session"), &json!(10)));
    assert_eq!(site.status(), "complete");
    assert_eq!(
        site.told(),
        [
            r#"linear AgentActivityCreate {"input":{"agentSessionId":"session-1","content":{"body":"Reading ENG-45","type":"thought"},"ephemeral":true,"id":"ID"}}"#,
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls?state=open&per_page=100",
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            r#"linear IssueUpdate {"id":"issue-45","input":{"stateId":"state-in-progress"}}"#,
            r#"linear AgentSessionUpdate {"id":"session-1","input":{"plan":[{"content":"Read ENG-45","status":"completed"},{"content":"Have Codegen work on it","status":"inProgress"},{"content":"Open a pull request","status":"pending"}]}}"#,
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/begin_codegen","pointsman_subject":"ENG-45"},"prompt":"Work on the ticket ENG-45, Cache the token (https://linear.app/acme/issue/ENG-45). Open one pull request, from a branch that begins with `codegen/`, with ENG-45 in its title.\n\nThe token is fetched each time.\n\nrepo: acme/shop\n\n## Acceptance criteria\n\n- [ ] It is fetched once an hour","repo_id":1}"#,
            r#"linear AgentSessionUpdate {"id":"session-1","input":{"externalUrls":[{"label":"Codegen","url":"https://codegen.com/agent/trace/1"}]}}"#,
            "codegen GET /v1/organizations/323/agent/run/1",
            "github GET /repos/acme/shop/pulls/1",
            r#"linear IssueStates {"id":"issue-45","type":"started"}"#,
            r##"linear AttachmentLinkGitHubPR {"issueId":"issue-45","title":"#1 Cache the token","url":"https://github.com/acme/shop/pull/1"}"##,
            r#"linear AgentSessionUpdate {"id":"session-1","input":{"externalUrls":[{"label":"Codegen","url":"https://codegen.com/agent/trace/1"},{"label":"Pull request","url":"https://github.com/acme/shop/pull/1"}],"plan":[{"content":"Read ENG-45","status":"completed"},{"content":"Have Codegen work on it","status":"completed"},{"content":"Open a pull request","status":"completed"}]}}"#,
            r#"linear AgentActivityCreate {"input":{"agentSessionId":"session-1","content":{"body":"Codegen has opened [#1](https://github.com/acme/shop/pull/1).","type":"response"},"ephemeral":false,"id":"ID"}}"#,
            "slack: ENG-45 (Cache the token): Codegen has opened https://github.com/acme/shop/pull/1",
        ]
    );
}

/// The type and the words of the last thing that was said.
pub fn last(site: &Site) -> (String, String) {
    site.activities().pop().unwrap()
}

pub fn said(kind: &str, body: &str) -> (String, String) {
    (kind.to_owned(), body.to_owned())
}

/// A site where Codegen works on what a session asks for, with the session's run and that of the work.
async fn at_work() -> (Site, String, String) {
    let site = with_session(DESCRIPTION, &[]).await;
    let answer = send(&site, created()).await;
    let (session, task) = site.session_runs(&answer).await;
    site.until(&task, "waiting").await;
    (site, session, task)
}

#[actix::test]
async fn what_codegen_cannot_do_is_said_in_the_session() {
    let (site, session, task) = at_work().await;
    site.world().end_agent_run(1, "FAILED", "There are no tests.");
    call_back(&site, 1).await;
    site.until(&task, "failed").await;
    site.until(&session, "failed").await;
    let expect = "Codegen could not do this: the agent run 1 ended as FAILED: There are no tests.; https://codegen.com/agent/trace/1";
    assert_eq!(last(&site), said("error", expect));
    assert_eq!(
        (site.plan(), &*site.status()),
        (vec!["completed".into(), "canceled".into(), "canceled".into()], "error")
    );
    let told = site.world().notifications();
    assert_eq!(
        told,
        [
            "ENG-45 (Cache the token): Codegen could not do it: the agent run 1 ended as FAILED: There are no tests.; https://codegen.com/agent/trace/1"
        ]
    );
    // The run that a person looks at is the one of the session.
    let letters = site.server.get("/api/v1/dead-letters").await.body;
    assert_eq!(letters["items"].as_array().unwrap().len(), 1, "{letters:#}");
    assert_eq!(letters["items"][0]["workflow"], "linear_agent_session");
}

#[actix::test]
async fn a_ticket_that_cannot_be_read_is_said_in_the_session() {
    let site = with_session(DESCRIPTION, &[]).await;
    site.world().plan_once("linear", "POST", "#Issue", FOR_GOOD);
    let answer = send(&site, created()).await;
    let (session, _) = site.session_runs(&answer).await;
    site.until(&session, "failed").await;
    let (kind, body) = last(&site);
    assert_eq!((&*kind, body.starts_with("The ticket could not be read: ")), ("error", true), "{body}");
    assert_eq!(site.world().agent_runs().len(), 0);
}

#[actix::test]
async fn a_first_word_that_cannot_be_said_keeps_nobody_from_the_work() {
    let site = with_session(DESCRIPTION, &[]).await;
    site.world().plan_once("linear", "POST", "#AgentActivityCreate", FOR_GOOD);
    let answer = send(&site, created()).await;
    let (_, task) = site.session_runs(&answer).await;
    site.until(&task, "waiting").await;
    assert_eq!(site.activities(), []);
}

#[actix::test]
async fn whoever_asks_without_a_repository_is_asked_back_and_goes_on() {
    let site = with_session("Cache it.", &[]).await;
    let answer = send(&site, created()).await;
    let (session, _) = site.session_runs(&answer).await;
    site.until(&session, "succeeded").await;
    let question = "The ticket names no repository. Add a line such as `repo: owner/name` to it, and say so here.";
    assert_eq!((last(&site), &*site.status()), (said("elicitation", question), "awaitingInput"));
    site.put_ticket("Todo", DESCRIPTION);
    let answer = send(&site, prompted("2026-01-05T10:05:00.000Z", "It does now.")).await;
    let (_, task) = site.session_runs(&answer).await;
    site.until(&task, "waiting").await;
    assert_eq!(
        site.world().agent_runs()[0].prompts,
        [format!("{PROMPT}\n\nWhoever asks you for it says:\n\nIt does now.")]
    );
}

#[actix::test]
async fn whoever_says_stop_is_answered_and_nobody_waits_any_more() {
    let (site, session, task) = at_work().await;
    let before = site.told().len();
    let answer = send(&site, stopped("2026-01-05T10:05:00.000Z")).await;
    let stop = site.until(&site.run_of(&answer).await, "succeeded").await;
    assert_eq!((&stop["workflow"], &stop["priority"]), (&json!("linear_agent_stop"), &json!(10)));
    let task = site.until(&task, "superseded").await;
    assert_eq!(task["reason"], format!("superseded by {}", stop["id"].as_str().unwrap()));
    site.until(&session, "superseded").await;
    assert_eq!(
        site.told().split_off(before),
        [
            r#"linear AgentActivityCreate {"input":{"agentSessionId":"session-1","content":{"body":"Stopped: nobody waits for Codegen any more. What it has begun it may finish; a pull request that it opens all the same can be closed.","type":"response"},"ephemeral":false,"id":"ID"}}"#,
            r#"linear AgentSessionUpdate {"id":"session-1","input":{"plan":[{"content":"Have Codegen work on it","status":"canceled"}]}}"#,
        ]
    );
    assert_eq!(site.status(), "complete");
}

#[actix::test]
async fn what_is_said_later_changes_the_open_pull_request() {
    let site = with_session(&format!("{DESCRIPTION}\n\nhttps://github.com/acme/shop/pull/12"), &[]).await;
    site.world().put_pull(of_ticket(12));
    // Whoever only opens a session hears of it.
    let answer = send(&site, created()).await;
    let (session, _) = site.session_runs(&answer).await;
    site.until(&session, "succeeded").await;
    let open = "[#12](https://github.com/acme/shop/pull/12) is open for this ticket. Say here what is to be changed in it, or close it before Codegen begins anew.";
    assert_eq!((last(&site), site.world().agent_runs().len()), (said("response", open), 0));
    let before = site.told().len();
    let answer = send(&site, prompted("2026-01-05T10:05:00.000Z", "Measure it, too.")).await;
    let (session, task) = site.session_runs(&answer).await;
    site.until(&task, "waiting").await;
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    call_back(&site, 1).await;
    site.until(&session, "succeeded").await;
    let told = site.told().split_off(before);
    assert_eq!(
        told,
        [
            r#"linear AgentActivityCreate {"input":{"agentSessionId":"session-1","content":{"body":"Reading what you say","type":"thought"},"ephemeral":true,"id":"ID"}}"#,
            r#"linear Issue {"id":"issue-45"}"#,
            "github GET /repos/acme/shop/pulls/12",
            r#"linear AgentSessionUpdate {"id":"session-1","input":{"plan":[{"content":"Read ENG-45","status":"completed"},{"content":"Have Codegen work on it","status":"inProgress"},{"content":"Change pull request #12","status":"pending"}]}}"#,
            "github GET /repos/acme/shop/pulls/12",
            "codegen GET /v1/organizations/323/agent/runs?skip=0&limit=100",
            "codegen GET /v1/organizations/323/repos?skip=0&limit=100",
            r#"codegen POST /v1/organizations/323/agent/run {"metadata":{"pointsman_key":"RUN/trigger_codegen_fix","pointsman_subject":"acme/shop#12"},"prompt":"Work on the pull request acme/shop#12, with commits to its branch; open no other one. Somebody asks you for something in a session of its ticket: do that. Change nothing that has no part in that.\n\nWhat is known:\n\nThe pull request is for ENG-45, Cache the token (https://linear.app/acme/issue/ENG-45). What is asked for:\n\nMeasure it, too.\n","repo_id":1}"#,
            r#"linear AgentSessionUpdate {"id":"session-1","input":{"externalUrls":[{"label":"Codegen","url":"https://codegen.com/agent/trace/1"},{"label":"Pull request","url":"https://github.com/acme/shop/pull/12"}],"plan":[{"content":"Read ENG-45","status":"completed"},{"content":"Have Codegen work on it","status":"completed"},{"content":"Change pull request #12","status":"completed"}]}}"#,
            r#"linear AgentActivityCreate {"input":{"agentSessionId":"session-1","content":{"body":"Codegen has changed [#12](https://github.com/acme/shop/pull/12) after what you said.","type":"response"},"ephemeral":false,"id":"ID"}}"#,
            "slack: ENG-45 (Cache the token): Codegen has changed https://github.com/acme/shop/pull/12",
        ]
    );
}

#[actix::test]
async fn what_is_said_later_without_a_pull_request_begins_anew() {
    let (site, session, task) = at_work().await;
    let answer = send(&site, prompted("2026-01-05T10:05:00.000Z", "Measure it, too.")).await;
    let (next, next_task) = site.session_runs(&answer).await;
    site.until(&task, "superseded").await;
    site.until(&session, "superseded").await;
    site.until(&next_task, "waiting").await;
    let said_to: Vec<Vec<String>> = site.world().agent_runs().into_iter().map(|run| run.prompts).collect();
    let asked = format!("{PROMPT}\n\nWhoever asks you for it says:\n\nMeasure it, too.");
    assert_eq!(said_to, [vec![PROMPT.to_owned()], vec![asked]]);
    site.world().end_agent_run(2, "COMPLETE", "It is done.");
    call_back(&site, 2).await;
    site.until(&next, "succeeded").await;
    let expect = "Codegen has opened [#1](https://github.com/acme/shop/pull/1).";
    assert_eq!(last(&site), said("response", expect));
}

/// One agent was set to work, its pull request is at the ticket, and the session says so.
async fn is_done_once(site: &Site, session: &str) {
    site.world().end_agent_run(1, "COMPLETE", "It is done.");
    call_back(site, 1).await;
    site.until(session, "succeeded").await;
    assert_eq!(site.world().agent_runs().len(), 1);
    let (_, answer) = last(site);
    assert!(answer.starts_with("Codegen has opened [#1](https://github.com/acme/shop/pull/1)."), "{answer}");
    let attached = site.world().state().linear.attachments.clone();
    assert_eq!(attached.iter().map(|link| &*link.url).collect::<Vec<_>>(), ["https://github.com/acme/shop/pull/1"]);
    let links = site.world().state().linear.sessions[0].external_urls.clone();
    let link = |label: &str, url: &str| json!({"label": label, "url": url});
    let agent = link("Codegen", "https://codegen.com/agent/trace/1");
    assert_eq!(links, json!([agent, link("Pull request", "https://github.com/acme/shop/pull/1")]));
}

/// What the delegation is as a change of the ticket.
fn delegated() -> Value {
    ticket("update", json!({"updatedFrom": {"delegateId": null, "updatedAt": "2026-01-05T09:30:00.000Z"}}))
}

#[actix::test]
async fn a_delegation_that_comes_first_as_a_change_of_the_ticket_sets_one_agent_to_work() {
    let site = with_session(DESCRIPTION, &[]).await;
    let answer = send(&site, delegated()).await;
    let runs = site.until_runs(&answer, 2).await;
    let task = &runs[1].1;
    site.until(task, "waiting").await;
    let answer = send(&site, created()).await;
    let (session, work) = site.session_runs(&answer).await;
    let task = site.until(task, "superseded").await;
    assert_eq!((&task["workflow"], &task["reason"]), (&json!("codegen_task"), &format!("superseded by {work}").into()));
    site.until(&work, "waiting").await;
    is_done_once(&site, &session).await;
}

#[actix::test]
async fn a_delegation_that_comes_first_as_a_session_sets_one_agent_to_work() {
    let (site, session, work) = at_work().await;
    let answer = send(&site, delegated()).await;
    let runs = site.until_runs(&answer, 2).await;
    let task = site.until(&runs[1].1, "superseded").await;
    // It is older than the session, whenever it comes.
    assert_eq!((&task["workflow"], &task["reason"]), (&json!("codegen_task"), &format!("superseded by {work}").into()));
    // That the ticket has moved is a change of ours, and newer.
    let moved = json!({
        "data": {"state": {"id": "state-in-progress", "name": "In Progress", "type": "started"}, "updatedAt": "2026-01-05T10:00:05.000Z"},
        "updatedFrom": {"stateId": "state-todo", "updatedAt": "2026-01-05T10:00:00.000Z"},
    });
    let answer = send(&site, ticket("update", moved)).await;
    let other = site.until(&site.run_of(&answer).await, "superseded").await;
    assert_eq!(other["reason"], format!("{work} goes on"));
    is_done_once(&site, &session).await;
}

#[actix::test]
async fn a_session_that_is_opened_twice_sets_one_agent_to_work() {
    let (site, first, _) = at_work().await;
    let again = session(
        "created",
        "2026-01-05T10:00:02.000Z",
        json!({"agentSession": {"comment": {"body": "@codegen be quick"}}}),
    );
    let answer = send(&site, again).await;
    let (second, work) = site.session_runs(&answer).await;
    site.until(&first, "superseded").await;
    site.until(&work, "waiting").await;
    is_done_once(&site, &second).await;
    let (_, answer) = last(&site);
    assert!(
        answer.ends_with("It had begun before you said something here: say it again, and it changes that."),
        "{answer}"
    );
}

#[actix::test]
async fn what_we_say_ourselves_and_what_is_another_apps_starts_nothing() {
    let site = with_session(DESCRIPTION, &[("LINEAR_HANDLER_APP_USER_ID", "user-codegen")]).await;
    for kind in ["thought", "action", "elicitation", "response", "error"] {
        let mut ours = prompted("2026-01-05T10:05:00.000Z", "Codegen has opened #1.");
        ours["agentActivity"]["content"]["type"] = kind.into();
        ours["agentActivity"]["id"] = kind.into();
        let why = site.why_not(&send(&site, ours).await).await;
        assert!(why.starts_with("the condition does not hold of: "), "{why}");
    }
    for mut other in [created(), prompted("2026-01-05T10:06:00.000Z", "Go on."), stopped("2026-01-05T10:07:00.000Z")] {
        other["appUserId"] = "user-other".into();
        let why = site.why_not(&send(&site, other).await).await;
        assert!(why.starts_with("the condition does not hold of: "), "{why}");
    }
    assert_eq!(site.told(), Vec::<String>::new());
    let ours = session("created", "2026-01-05T10:08:00.000Z", json!({}));
    site.session_runs(&send(&site, ours).await).await;
}

#[actix::test]
async fn a_session_without_a_ticket_is_told_what_it_lacks() {
    let site = with_session(DESCRIPTION, &[]).await;
    let nothing =
        session("created", "2026-01-05T10:00:01.000Z", json!({"agentSession": {"issue": null, "issueId": null}}));
    let answer = send(&site, nothing).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
    let (kind, body) = last(&site);
    assert_eq!((&*kind, body.starts_with("Codegen works on tickets")), ("response", true), "{body}");
}

#[actix::test]
async fn without_codegen_a_session_starts_nothing_and_the_verdict_says_why() {
    let site = Site::start("").await;
    site.world().state().linear.open_session("session-1", "issue-45");
    let why = site.why_not(&send(&site, created()).await).await;
    assert!(why.contains("CODEGEN_API_TOKEN"), "{why}");
    let answer = send(&site, stopped("2026-01-05T10:07:00.000Z")).await;
    site.until(&site.run_of(&answer).await, "succeeded").await;
}
