//! Steps that work in Linear: what a signed webhook starts, what is done once however often it is asked for, and
//! how long nobody asks whom Linear has told to wait.

use std::time::{SystemTime, UNIX_EPOCH};

use pointsman_actors::time::Timestamp;
use pointsman_sandbox::linear::workspace::{Issue, Workspace};
use pointsman_sandbox::{Call, FaultKind};
use serde_json::{Value, json};

use crate::server::{Answer, loaded_alone, sign, unavailable, until};
use crate::site::{Site, words};

/// A workflow of one step, which an issue of Linear starts, or the session of an agent.
pub fn workflow(action: &str, with: &str) -> String {
    let (event, input) = if action.starts_with("linear_agent") {
        let unless_stopped = "agent_session\"\nwhen = \"facts.more.signal != 'stop'";
        (unless_stopped, r#"session = "facts.more.agent_session_id", says = "facts.more.prompt""#)
    } else {
        ("issue", r#"issue = "facts.issue_id", ticket = "facts.linear_ticket""#)
    };
    format!(
        r#"
[workflows.w]
timeout = "2m"

[[workflows.w.steps]]
name = "s"
action = "{action}"
retry = {{ max_attempts = 3, base_delay = "10ms", max_delay = "5s", jitter = 0.0 }}
[workflows.w.steps.with]
{with}

[[routes]]
name = "r"
source = "linear"
event = "{event}"
workflow = "w"
input = {{ {input} }}
"#
    )
}

pub fn issue(number: u32, state: &str) -> Issue {
    Issue {
        id: format!("issue-{number}"),
        identifier: format!("ENG-{number}"),
        title: "Cache the token".into(),
        state: state.into(),
        ..Issue::default()
    }
}

#[allow(clippy::disallowed_methods, reason = "Linear signs with its clock")]
fn now_millis() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The time, as Linear writes it.
pub fn now() -> String {
    Timestamp::from_millis(i64::try_from(now_millis()).unwrap()).to_rfc3339()
}

/// A signed delivery of Linear; gives the run that it starts.
async fn deliver(site: &Site, body: Value) -> String {
    let answer = send(site, body).await;
    site.run_of(&answer).await
}

pub async fn send(site: &Site, mut body: Value) -> Answer {
    body["webhookTimestamp"] = now_millis().into();
    let body = body.to_string();
    let code = sign(body.as_bytes()).trim_start_matches("sha256=").to_owned();
    let delivery = uuid::Uuid::new_v4().to_string();
    let headers =
        [("content-type", "application/json"), ("linear-signature", &code), ("linear-delivery", delivery.as_str())];
    let answer = site.server.post("/webhooks/linear", &headers, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Somebody has changed a ticket, and Linear says so.
pub async fn changed(site: &Site, number: u32) -> String {
    let data = json!({"id": format!("issue-{number}"), "identifier": format!("ENG-{number}"), "team": {"key": "ENG"}});
    deliver(site, json!({"type": "Issue", "action": "update", "data": data, "updatedFrom": {"title": "x"}})).await
}

/// A site with this one step and a ticket in this state.
async fn site(action: &str, with: &str, state: &str) -> Site {
    let site = Site::start(&workflow(action, with)).await;
    site.world().state().linear.put_issue(issue(45, state));
    site
}

fn linear(site: &Site) -> Workspace {
    site.world().state().linear.clone()
}

fn calls(site: &Site) -> Vec<Call> {
    site.world().ledger().into_iter().filter(|call| call.service == "linear").collect()
}

/// The operations that were asked for, in order.
fn operations(site: &Site) -> Vec<String> {
    calls(site).iter().map(|call| call.body["operationName"].as_str().unwrap().to_owned()).collect()
}

/// What the step gave.
pub fn output(run: &Value) -> &Value {
    let is_its = |entry: &&Value| entry["step"] == "s" && entry["entry"] == "succeeded";
    &run["journal"].as_array().unwrap().iter().find(is_its).unwrap_or_else(|| panic!("{run:#}"))["output"]
}

pub fn plan(site: &Site, operation: &str, kind: FaultKind) {
    site.world().plan_once("linear", "POST", &format!("#{operation}"), kind);
}

const STARTED: &str = r#"
issue = "{{ input.ticket }}"
state_type = "started"
comment = "Work has begun on {{ input.ticket }}."
pull_request = "https://github.com/acme/shop/pull/12"
pull_request_title = "Cache the token""#;

#[actix::test]
async fn a_ticket_moves_to_the_first_state_of_a_type_with_comment_and_link() {
    let site = site("update_linear_issue", STARTED, "Todo").await;
    let id = changed(&site, 45).await;
    let run = site.until(&id, "succeeded").await;
    let said = output(&run);
    assert_eq!(
        (&said["issue"], &said["changed"], &said["state"], &said["previous_state"]),
        (&json!("ENG-45"), &json!(true), &json!("In Progress"), &json!("Todo"))
    );
    let there = linear(&site);
    assert_eq!(there.issue("ENG-45").unwrap().state, "In Progress", "the first of two that are `started`");
    assert_eq!((there.comments.len(), there.comments[0].body.as_str()), (1, "Work has begun on ENG-45."));
    assert_eq!(said["comment_id"], there.comments[0].id.as_str());
    assert_eq!((there.attachments.len(), there.attachments[0].is_pull_request), (1, true));
    assert_eq!(there.attachments[0].title, "Cache the token");
    assert!(calls(&site).iter().all(|call| call.headers.iter().all(|(_, value)| !value.contains("lin_api"))));
}

#[actix::test]
async fn what_was_done_and_not_answered_is_done_once() {
    let operations = ["IssueUpdate", "CommentCreate", "AttachmentLinkGitHubPR"];
    let kinds = [FaultKind::DropAfter, FaultKind::ErrorAfter(500)];
    for (operation, kind) in operations.into_iter().flat_map(|operation| kinds.map(|kind| (operation, kind))) {
        let site = site("update_linear_issue", STARTED, "Todo").await;
        plan(&site, operation, kind);
        let id = changed(&site, 45).await;
        let run = site.until(&id, "succeeded").await;
        assert_eq!(words(&run).iter().filter(|word| *word == "s attempted").count(), 2, "{operation}: {run:#}");
        let there = linear(&site);
        assert_eq!(there.issue("ENG-45").unwrap().state, "In Progress");
        assert_eq!((there.comments.len(), there.attachments.len()), (1, 1), "{operation}");
        let moved = calls(&site).into_iter().filter(|call| call.body["operationName"] == "IssueUpdate");
        assert_eq!(moved.count(), 1, "it is looked where it stands before it is moved: {operation}");
    }
}

#[actix::test]
async fn a_ticket_that_is_over_is_taken_up_again_only_when_told_to() {
    let site = site("update_linear_issue", "state_type = \"started\"", "Done").await;
    let id = changed(&site, 45).await;
    let run = site.until(&id, "succeeded").await;
    assert_eq!((&output(&run)["changed"], &output(&run)["state"]), (&json!(false), &json!("Done")));
    assert!(output(&run)["kept"].as_str().unwrap().contains("not taken up again"));
    assert_eq!(operations(&site), ["IssueStates"]);
    let forced = self::site("update_linear_issue", "state_type = \"started\"\nforce = true", "Done").await;
    let id = changed(&forced, 45).await;
    forced.until(&id, "succeeded").await;
    assert_eq!(linear(&forced).issue("ENG-45").unwrap().state, "In Progress");
}

#[actix::test]
async fn a_team_without_such_a_state_is_named() {
    let site = site("update_linear_issue", "state_type = \"triage\"", "Todo").await;
    site.world().state().linear.states.retain(|state| state.kind != "triage");
    let id = changed(&site, 45).await;
    let run = site.until(&id, "failed").await;
    assert!(run.to_string().contains("validation: ENG-45 (ENG) has no state of the type `triage`"), "{run:#}");
    assert_eq!(operations(&site), ["IssueStates"], "it is not tried again");
}

#[actix::test]
async fn a_workspace_without_github_takes_a_pull_request_as_a_link() {
    let site = site("update_linear_issue", STARTED, "In Review").await;
    site.world().state().linear.has_github = false;
    let id = changed(&site, 45).await;
    let run = site.until(&id, "succeeded").await;
    assert_eq!((&output(&run)["changed"], &output(&run)["state"]), (&json!(false), &json!("In Review")));
    let there = linear(&site);
    assert_eq!((there.attachments.len(), there.attachments[0].is_pull_request), (1, false));
}

const COMMENT: &str = "body = \"Seen: {{ input.ticket }}\"";

#[actix::test]
async fn a_comment_is_written_once() {
    let site = site("linear_comment", COMMENT, "Todo").await;
    plan(&site, "CommentCreate", FaultKind::DropAfter);
    let id = changed(&site, 45).await;
    let run = site.until(&id, "succeeded").await;
    let there = linear(&site);
    assert_eq!((there.comments.len(), there.comments[0].body.as_str()), (1, "Seen: ENG-45"));
    assert_eq!(output(&run)["id"], there.comments[0].id.as_str());
    assert!(output(&run)["url"].as_str().unwrap().starts_with("https://linear.app/"), "it was read again");
    assert_eq!(operations(&site), ["CommentCreate", "CommentCreate", "Comment"]);
    let asked = calls(&site);
    assert_eq!(asked[0].body["variables"], asked[1].body["variables"], "under the same id");
    assert_eq!(asked[0].key, Some(format!("{id}/s")));
}

/// Why the step has failed, when it has.
async fn failure(site: &Site, id: &str) -> Value {
    let mut found = None;
    until("the step to have failed", async || {
        let run = site.run(id).await;
        let entries = run["journal"].as_array().unwrap();
        found = entries.iter().find(|entry| entry["entry"] == "failed").map(|entry| entry["error"].clone());
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[actix::test]
async fn whoever_is_told_to_wait_does() {
    let site = site("linear_comment", COMMENT, "Todo").await;
    plan(&site, "CommentCreate", FaultKind::RateLimit(1));
    let id = changed(&site, 45).await;
    let refused = failure(&site, &id).await;
    assert_eq!(refused["class"], "rate_limit", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("400 Rate limit exceeded"), "{refused}");
    assert!((1..=1_000).contains(&refused["retry_after_ms"].as_u64().unwrap()), "{refused}");
    site.until(&id, "succeeded").await;
    let asked = calls(&site);
    assert_eq!((asked.len(), asked[0].status), (2, Some(400)), "{asked:#?}");
    assert!(asked[1].at_ms - asked[0].at_ms >= 900, "{asked:#?}");
    assert_eq!(linear(&site).comments.len(), 1);
}

#[actix::test]
async fn when_a_limit_is_used_up_nobody_asks_before_it_is_lifted() {
    let site = site("linear_comment", COMMENT, "Todo").await;
    site.world().state().linear.put_issue(issue(46, "Todo"));
    site.world().state().linear.limit.left = 1;
    let first = changed(&site, 45).await;
    site.until(&first, "succeeded").await;
    let second = changed(&site, 46).await;
    let held = failure(&site, &second).await;
    assert!(held["message"].as_str().unwrap().contains("not asked, because Linear's limit is used up"), "{held}");
    assert!((3_000_000..=3_600_000).contains(&held["retry_after_ms"].as_u64().unwrap()), "in an hour: {held}");
    assert_eq!(calls(&site).len(), 1);
}

#[actix::test]
async fn a_key_that_is_refused_is_named_by_its_variable_and_never_shown() {
    let toml = workflow("linear_comment", COMMENT);
    let site = Site::start_with(&toml, &[("LINEAR_API_KEY", "lin_api_hunter2")]).await;
    let id = changed(&site, 45).await;
    let run = site.until(&id, "failed").await;
    let said = run.to_string();
    assert!(said.contains("authentication: Linear, CommentCreate: 401") && said.contains("LINEAR_API_KEY"), "{said}");
    assert!(!said.contains("hunter2"));
    assert_eq!(calls(&site).len(), 1, "it is not tried again");
    let oauth = Site::start_with(&toml, &[("LINEAR_API_KEY", pointsman_sandbox::linear::OAUTH_TOKEN)]).await;
    oauth.world().state().linear.put_issue(issue(45, "Todo"));
    let id = changed(&oauth, 45).await;
    oauth.until(&id, "succeeded").await;
}

#[actix::test]
async fn what_is_not_there_and_what_is_not_linear_is_named() {
    let site = Site::start(&workflow("linear_comment", COMMENT)).await;
    let id = changed(&site, 45).await;
    let run = site.until(&id, "failed").await;
    assert!(run.to_string().contains("not_found: Linear, CommentCreate: 200 Entity not found: Issue"), "{run:#}");
    plan(&site, "CommentCreate", FaultKind::Redirect);
    let id = changed(&site, 46).await;
    let run = site.until(&id, "failed").await;
    assert!(run.to_string().contains("302 ; is LINEAR_API_URL the address of Linear's API?"), "{run:#}");
}

#[test]
fn without_a_key_it_is_said_which_variable_to_set() {
    let plan = pointsman::boot::plan(&loaded_alone(&workflow("linear_comment", COMMENT))).unwrap();
    let said: String = unavailable(&plan, "w");
    assert!(said.contains("set LINEAR_API_KEY"), "{said}");
}

const DESCRIPTION: &str = "Tokens are fetched for every call.\n\nrepo: acme/shop\n\n## Tasks\n\n- [ ] cache it\n- [x] \
                           measure it (3.5 hours)\n\n## Acceptance criteria\n\n- one call an hour\n\nSee \
                           https://github.com/acme/api/pull/7.";

#[actix::test]
async fn what_a_ticket_asks_for_is_read() {
    let site = site("parse_linear_requirements", "default_repository = \"acme/other\"", "Todo").await;
    site.world().state().linear.put_issue(Issue {
        description: DESCRIPTION.into(),
        labels: vec!["Bug".into()],
        estimate: Some(3.0),
        delegate: Some("Codegen".into()),
        project: Some("Speed".into()),
        ..issue(45, "Todo")
    });
    // Looking may be repeated.
    plan(&site, "Issue", FaultKind::DropAfter);
    let id = changed(&site, 45).await;
    let run = site.until(&id, "succeeded").await;
    let expect = json!({
        "id": "issue-45", "issue": "ENG-45", "url": "https://linear.app/acme/issue/ENG-45",
        "title": "Cache the token", "summary": "Tokens are fetched for every call.", "description": DESCRIPTION,
        "tasks": [{"text": "cache it", "done": false}, {"text": "measure it (3.5 hours)", "done": true}],
        "acceptance_criteria": ["one call an hour"],
        "repository": "acme/shop", "branch": "ada/eng-45", "labels": ["Bug"], "points": 3.0, "hours": 3.5,
        "pull_requests": ["https://github.com/acme/api/pull/7"], "priority": 0.0, "state": "Todo",
        "state_type": "unstarted", "is_over": false, "team": "ENG", "project": "Speed", "assignee": null,
        "delegate": {"id": "user-codegen", "name": "Codegen", "email": "codegen@example.com"}, "is_codegens": true,
        "known_pull_requests": [], "moved_by_us": false,
    });
    assert_eq!(*output(&run), expect, "{:#}", output(&run));
}

/// A session of the agent, as Linear tells of it.
fn session(action: &str, more: Value) -> Value {
    let mut body = json!({
        "type": "AgentSessionEvent", "action": action, "createdAt": "2026-01-05T10:00:00Z",
        "agentSession": {
            "id": "session-1", "status": "pending", "issueId": "issue-45", "comment": {"body": "@bot cache it"},
            "issue": {"id": "issue-45", "identifier": "ENG-45", "title": "Cache the token", "team": {"key": "ENG"}},
        },
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

#[actix::test]
async fn a_session_is_answered_and_each_answer_is_given_once() {
    let with = "type = \"thought\"\nbody = \"You said: {{ input.says }}\"\nephemeral = true";
    let site = site("linear_agent_activity", with, "Todo").await;
    site.world().state().linear.open_session("session-1", "issue-45");
    plan(&site, "AgentActivityCreate", FaultKind::DropAfter);
    let opened = deliver(&site, session("created", json!({}))).await;
    site.until(&opened, "succeeded").await;
    assert_eq!(operations(&site), ["AgentActivityCreate", "AgentActivityCreate", "AgentActivity"]);
    let prompt = json!({"id": "a1", "content": {"type": "prompt", "body": "Also measure it."}});
    let prompted = deliver(&site, session("prompted", json!({ "agentActivity": prompt }))).await;
    let run = site.until(&prompted, "succeeded").await;
    let there = linear(&site);
    let said: Vec<&Value> = there.activities.iter().map(|activity| &activity.content).collect();
    let thought = |body: &str| json!({"type": "thought", "body": body});
    assert_eq!(said, [&thought("You said: @bot cache it"), &thought("You said: Also measure it.")]);
    assert_eq!((&*there.sessions[0].status, there.activities[0].ephemeral), ("active", true));
    assert_eq!(output(&run)["id"], there.activities[1].id.as_str());
    let stop = json!({"id": "a2", "signal": "stop", "content": {"type": "prompt", "body": "Stop."}});
    let answer = send(&site, session("prompted", json!({ "agentActivity": stop }))).await;
    let stopped = site.run(&site.run_of(&answer).await).await;
    assert_eq!(stopped["workflow"], "linear_agent_stop", "what is built in obeys, and ours has nothing to say");
}

#[actix::test]
async fn a_session_that_nobody_has_said_anything_in_is_answered_as_well() {
    let site =
        site("linear_agent_activity", "type = \"response\"\nbody = \"Here. {{ input.says or '' }}\"", "Todo").await;
    site.world().state().linear.open_session("session-1", "issue-45");
    let mut delegated = session("created", json!({}));
    delegated["agentSession"]["comment"] = Value::Null;
    let id = deliver(&site, delegated).await;
    site.until(&id, "succeeded").await;
    let there = linear(&site);
    assert_eq!(there.activities[0].content, json!({"type": "response", "body": "Here. "}));
    assert_eq!(there.sessions[0].status, "complete");
}

#[actix::test]
async fn a_session_shows_where_its_agent_works_and_what_it_means_to_do() {
    let with = r#"links = { "The run" = "https://ci.example/{{ input.session }}" }
plan = [{ content = "Read", status = "completed" }, { content = "Cache", status = "inProgress" }]"#;
    let site = site("linear_agent_session", with, "Todo").await;
    site.world().state().linear.open_session("session-1", "issue-45");
    plan(&site, "AgentSessionUpdate", FaultKind::DropAfter);
    let id = deliver(&site, session("created", json!({}))).await;
    let run = site.until(&id, "succeeded").await;
    assert_eq!(*output(&run), json!({"status": "active"}));
    let shown = linear(&site).sessions[0].clone();
    assert_eq!(shown.external_urls, json!([{"label": "The run", "url": "https://ci.example/session-1"}]));
    let item = |content: &str, status: &str| json!({"content": content, "status": status});
    assert_eq!(shown.plan, json!([item("Read", "completed"), item("Cache", "inProgress")]));
    let wrong = self::site("linear_agent_session", "plan = \"later\"", "Todo").await;
    let id = deliver(&wrong, session("created", json!({}))).await;
    let run = wrong.until(&id, "failed").await;
    assert!(run.to_string().contains("with.plan: a plan is a list of"), "{run:#}");
    assert_eq!(calls(&wrong).len(), 0);
}

#[test]
fn what_an_activity_lacks_is_said_before_anything_runs() {
    let check = |with: &str, expect: &str| {
        let toml = workflow("linear_agent_activity", with);
        let said = pointsman::boot::plan(&loaded_alone(&toml)).map(|_| ()).unwrap_err();
        assert!(format!("{said:#}").contains(expect), "{said:#}");
    };
    check("type = \"thought\"", "with.body: of `thought` people read the body");
    check("type = \"action\"\nbody = \"x\"", "with.action: an `action` says what it does");
    check("type = \"prompt\"\nbody = \"x\"", "expected one of thought, action, elicitation, response, error");
    check("type = \"error\"\nbody = \"x\"\nephemeral = true", "with.ephemeral: `error` stays");
}
