//! What can be changed. What has an id of the caller's is made once: an id that is there already is refused.

use serde_json::{Map, Value as Json, json};

use super::workspace::{Activity, Attachment, Comment, Workspace};
use super::{Refusal, answer};

/// Makes the change of a field of `Mutation`, and gives what it shows.
pub fn make(workspace: &mut Workspace, field: &str, arguments: &Map<String, Json>) -> Result<Json, Refusal> {
    let input = arguments.get("input").unwrap_or(&Json::Null);
    let shown = match field {
        "issueUpdate" => ("issue", update_issue(workspace, text(arguments.get("id")), input)?),
        "commentCreate" => ("comment", comment(workspace, input)?),
        "attachmentCreate" => ("attachment", attach(workspace, input, false)?),
        "attachmentLinkGitHubPR" => ("attachment", follow(workspace, arguments)?),
        "agentActivityCreate" => ("agentActivity", activity(workspace, input)?),
        "agentSessionUpdate" => ("agentSession", update_session(workspace, text(arguments.get("id")), input)?),
        other => return Err(Refusal::invalid(format!("the sandbox does not know Mutation.{other}"))),
    };
    Ok(json!({"success": true, "lastSyncId": 1, (shown.0): shown.1}))
}

fn text(value: Option<&Json>) -> &str {
    value.and_then(Json::as_str).unwrap_or_default()
}

/// The id that something gets: the caller's, which must be a UUID of version 4 that nothing has, or a new one.
fn new_id(input: &Json, kind: &str, is_there: impl Fn(&str) -> bool) -> Result<String, Refusal> {
    let Some(id) = input.get("id").and_then(Json::as_str) else { return Ok(uuid::Uuid::new_v4().to_string()) };
    if id.parse::<uuid::Uuid>().ok().is_none_or(|id| id.get_version_num() != 4) {
        return Err(Refusal::input("id must be a UUID of version 4"));
    }
    if is_there(id) {
        return Err(Refusal::input(format!("conflict on insert of {kind}: this id is there already")));
    }
    Ok(id.to_owned())
}

/// The id of a ticket that is there.
fn issue_id(workspace: &Workspace, value: Option<&Json>) -> Result<String, Refusal> {
    workspace.issue(text(value)).map(|issue| issue.id.clone()).ok_or_else(|| Refusal::not_found("Issue"))
}

fn update_issue(workspace: &mut Workspace, id: &str, input: &Json) -> Result<Json, Refusal> {
    let id = issue_id(workspace, Some(&id.into()))?;
    let changes = input.as_object().cloned().unwrap_or_default();
    if let Some(other) = changes.keys().find(|name| *name != "stateId") {
        return Err(Refusal::input(format!("the sandbox does not change `{other}`")));
    }
    let wanted = text(changes.get("stateId"));
    let state = workspace.states.iter().find(|state| state.id == wanted).map(|state| state.name.clone());
    let state = state.ok_or_else(|| Refusal::not_found("WorkflowState"))?;
    if let Some(issue) = workspace.issues.iter_mut().find(|issue| issue.id == id) {
        issue.state = state;
    }
    workspace.issue(&id).map(|issue| answer::issue(workspace, issue)).ok_or_else(|| Refusal::not_found("Issue"))
}

fn comment(workspace: &mut Workspace, input: &Json) -> Result<Json, Refusal> {
    let issue = issue_id(workspace, input.get("issueId"))?;
    let body = text(input.get("body"));
    if body.trim().is_empty() {
        return Err(Refusal::input("body must not be empty"));
    }
    let parent = input.get("parentId").and_then(Json::as_str).map(str::to_owned);
    let is_there = |id: &str| workspace.comments.iter().any(|comment| comment.id == id);
    if parent.as_deref().is_some_and(|parent| !is_there(parent)) {
        return Err(Refusal::not_found("Comment"));
    }
    let id = new_id(input, "Comment", is_there)?;
    let shown = answer::comment(&id, body);
    workspace.comments.push(Comment { id, issue, body: body.to_owned(), parent });
    Ok(shown)
}

fn follow(workspace: &mut Workspace, arguments: &Map<String, Json>) -> Result<Json, Refusal> {
    if !workspace.has_github {
        return Err(Refusal::input("The GitHub integration is not connected"));
    }
    attach(workspace, &Json::Object(arguments.clone()), true)
}

/// One address is attached to a ticket once: a second time renews it.
fn attach(workspace: &mut Workspace, input: &Json, is_pull_request: bool) -> Result<Json, Refusal> {
    let issue = issue_id(workspace, input.get("issueId"))?;
    let (url, title) = (text(input.get("url")), text(input.get("title")));
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(Refusal::input("url must be an address"));
    }
    let is_same = |found: &&mut Attachment| found.issue == issue && found.url == url;
    let id = match workspace.attachments.iter_mut().find(is_same) {
        Some(found) => {
            title.clone_into(&mut found.title);
            found.id.clone()
        }
        None => {
            let id = format!("attachment-{}", workspace.attachments.len() + 1);
            let [url, title] = [url, title].map(str::to_owned);
            let creator = workspace.viewer.clone();
            workspace.attachments.push(Attachment { id: id.clone(), issue, url, title, is_pull_request, creator });
            id
        }
    };
    Ok(json!({"id": id, "url": url, "title": title}))
}

/// What each kind of content must say (linear.app/developers, "Agent interaction").
fn wrong_content(content: &Json) -> Option<&'static str> {
    let has = |name: &str| !text(content.get(name)).is_empty();
    match text(content.get("type")) {
        "thought" | "elicitation" | "response" | "error" if has("body") => None,
        "action" if has("action") && content.get("parameter").is_some_and(Json::is_string) => None,
        "prompt" => Some("prompts are the user's"),
        _ => Some("content does not fit its type"),
    }
}

fn activity(workspace: &mut Workspace, input: &Json) -> Result<Json, Refusal> {
    let session = text(input.get("agentSessionId")).to_owned();
    let content = input.get("content").cloned().unwrap_or_default();
    if let Some(wrong) = wrong_content(&content) {
        return Err(Refusal::input(wrong));
    }
    let ephemeral = input.get("ephemeral").and_then(Json::as_bool).unwrap_or(false);
    if ephemeral && !["thought", "action"].contains(&text(content.get("type"))) {
        return Err(Refusal::input("only thoughts and actions can be ephemeral"));
    }
    let id = new_id(input, "AgentActivity", |id| workspace.activities.iter().any(|activity| activity.id == id))?;
    let status = match text(content.get("type")) {
        "elicitation" => "awaitingInput",
        "response" => "complete",
        "error" => "error",
        _ => "active",
    };
    let found = workspace.sessions.iter_mut().find(|found| found.id == session);
    status.clone_into(&mut found.ok_or_else(|| Refusal::not_found("AgentSession"))?.status);
    workspace.activities.push(Activity { id: id.clone(), session, content, ephemeral });
    Ok(json!({"id": id, "ephemeral": ephemeral}))
}

fn update_session(workspace: &mut Workspace, id: &str, input: &Json) -> Result<Json, Refusal> {
    let found = workspace.sessions.iter_mut().find(|session| session.id == id);
    let session = found.ok_or_else(|| Refusal::not_found("AgentSession"))?;
    for (name, value) in input.as_object().cloned().unwrap_or_default() {
        match name.as_str() {
            "externalUrls" => session.external_urls = value,
            "plan" => session.plan = value,
            other => return Err(Refusal::input(format!("the sandbox does not change `{other}`"))),
        }
    }
    // Whoever shows where he works has said that he is there.
    if session.status == "pending" {
        "active".clone_into(&mut session.status);
    }
    Ok(json!({"id": session.id, "status": session.status}))
}
