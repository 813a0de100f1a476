//! What can be asked for, whole: what of it is shown is the caller's word.

use serde_json::{Map, Value as Json, json};

use super::Refusal;
use super::workspace::{Issue, WorkflowState, Workspace};

/// The value of a field of `Query`.
pub fn find(workspace: &Workspace, field: &str, arguments: &Map<String, Json>) -> Result<Json, Refusal> {
    let id = arguments.get("id").and_then(Json::as_str).unwrap_or_default();
    match field {
        "issue" => workspace.issue(id).map(|found| issue(workspace, found)).ok_or_else(|| Refusal::not_found("Issue")),
        "user" => {
            let known = workspace.users.iter().find(|name| user_id(name) == id);
            known.map(|name| person(workspace, name)).ok_or_else(|| Refusal::not_found("User"))
        }
        "comment" => {
            let found = workspace.comments.iter().find(|comment| comment.id == id);
            found.map(|found| comment(&found.id, &found.body)).ok_or_else(|| Refusal::not_found("Comment"))
        }
        "agentActivity" => {
            let found = workspace.activities.iter().find(|activity| activity.id == id);
            let shown = found.map(|found| json!({"id": found.id, "ephemeral": found.ephemeral}));
            shown.ok_or_else(|| Refusal::not_found("AgentActivity"))
        }
        other => Err(Refusal::invalid(format!("the sandbox does not know Query.{other}"))),
    }
}

/// A ticket with all that is around it.
pub fn issue(workspace: &Workspace, issue: &Issue) -> Json {
    let states: Vec<Json> = workspace.states.iter().map(state).collect();
    let standing = workspace.states.iter().find(|state| state.name == issue.state);
    let key = issue.identifier.split('-').next().unwrap_or_default();
    let named = |name: &String| json!({"id": format!("id-{}", name.to_lowercase()), "name": name});
    let attached = workspace.attachments.iter().filter(|attachment| attachment.issue == issue.id);
    let person = |name: &String| person(workspace, name);
    let attached: Vec<Json> = attached
        .map(|found| json!({"id": found.id, "title": found.title, "url": found.url, "creator": person(&found.creator)}))
        .collect();
    let labels: Vec<Json> = issue.labels.iter().map(named).collect();
    json!({
        "id": issue.id, "identifier": issue.identifier, "title": issue.title,
        "description": Some(&issue.description).filter(|text| !text.is_empty()),
        "url": format!("https://linear.app/acme/issue/{}", issue.identifier),
        "branchName": format!("ada/{}", issue.identifier.to_lowercase()),
        "priority": 0, "estimate": issue.estimate, "state": standing.map(state),
        "assignee": issue.assignee.as_ref().map(person), "delegate": issue.delegate.as_ref().map(person),
        "team": {"id": "team-1", "key": key, "name": "Engineering", "states": states},
        "project": issue.project.as_ref().map(named), "labels": labels, "attachments": attached,
    })
}

/// The id of whoever has this name.
pub fn user_id(name: &str) -> String {
    format!("user-{}", name.to_lowercase())
}

fn person(workspace: &Workspace, name: &String) -> Json {
    let email = format!("{}@example.com", name.to_lowercase());
    json!({"id": user_id(name), "name": name, "email": email, "isMe": *name == workspace.viewer})
}

/// A comment.
pub fn comment(id: &str, body: &str) -> Json {
    json!({"id": id, "body": body, "url": format!("https://linear.app/acme/comment/{id}")})
}

fn state(state: &WorkflowState) -> Json {
    json!({"id": state.id, "name": state.name, "type": state.kind, "position": state.position})
}
