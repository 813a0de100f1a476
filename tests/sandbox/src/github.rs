//! GitHub, as far as it is called, and as strict as the real one (docs.github.com/rest).

#![allow(clippy::indexing_slicing, reason = "JSON: what is missing is null")]

use serde_json::{Value as Json, json};

use crate::TOKEN;
use crate::server::{Reply, Request};
use crate::world::{PullRequest, State, Status};

/// Longest description of a status.
const LONGEST_DESCRIPTION: usize = 140;
/// Longest context of a status.
const LONGEST_CONTEXT: usize = 255;
/// Most statuses of a commit and context.
const MOST_STATUSES: usize = 1_000;

/// Answers a call.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    if request.header("user-agent").is_none() {
        return Reply::text(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return error(401, "Bad credentials");
    }
    if request.header("x-github-api-version").is_some_and(|version| !["2022-11-28", "2026-03-10"].contains(&version)) {
        return error(400, "The given API version is not supported");
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["repos", owner, name, "pulls", number]) => pull(state, request, &format!("{owner}/{name}"), number),
        ("GET", ["repos", owner, name, "pulls", number, "files"]) => {
            files(state, &format!("{owner}/{name}"), number, query)
        }
        ("POST", ["repos", owner, name, "statuses", sha]) => {
            set_status(state, &format!("{owner}/{name}"), sha, &request.json())
        }
        ("GET", ["repos", owner, name, "commits", sha, "statuses"]) => {
            let repository = format!("{owner}/{name}");
            let of = |status: &&Status| status.repository == repository && status.sha == *sha;
            let statuses: Vec<Json> = state.statuses.iter().rev().filter(of).map(shown).collect();
            Reply::json(200, json!(statuses))
        }
        _ => error(404, "Not Found"),
    }
}

fn find<'a>(state: &'a State, repository: &str, number: &str) -> Option<&'a PullRequest> {
    state.pulls.get(&(repository.to_owned(), number.parse().ok()?))
}

fn pull(state: &State, request: &Request, repository: &str, number: &str) -> Reply {
    let Some(pull) = find(state, repository, number) else { return error(404, "Not Found") };
    if request.header("accept") == Some("application/vnd.github.diff") {
        if pull.diff_too_large {
            return error(406, "Sorry, the diff exceeded the maximum number of lines (20000)");
        }
        return Reply::text(200, &pull.diff);
    }
    let end = |branch: &str, sha: &str| json!({"ref": branch, "sha": sha, "repo": {"full_name": repository}});
    Reply::json(
        200,
        json!({
            "number": pull.number, "state": "open", "title": pull.title, "body": null, "draft": false, "merged": false,
            "html_url": format!("https://github.com/{repository}/pull/{}", pull.number),
            "user": {"login": "codegen-sh[bot]", "type": "Bot"},
            "head": end("codegen/change", &pull.head_sha),
            "base": end("main", "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"),
        }),
    )
}

fn files(state: &State, repository: &str, number: &str, query: &str) -> Reply {
    let Some(pull) = find(state, repository, number) else { return error(404, "Not Found") };
    let page = query.split('&').find_map(|part| part.strip_prefix("page="));
    let first = page.is_none_or(|page| page == "1");
    let file = json!({
        "sha": pull.head_sha, "filename": "src/lib.rs", "status": "modified",
        "additions": 1, "deletions": 0, "changes": 1, "patch": pull.diff,
    });
    Reply::json(200, if first { json!([file]) } else { json!([]) })
}

fn set_status(state: &mut State, repository: &str, sha: &str, body: &Json) -> Reply {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let (status, description) = (text("state"), text("description"));
    let context = Some(text("context")).filter(|context| !context.is_empty()).unwrap_or("default");
    if !["error", "failure", "pending", "success"].contains(&status) {
        let code = if body["state"].is_null() { "missing_field" } else { "invalid" };
        return invalid(&json!({"resource": "Status", "field": "state", "code": code}));
    }
    if description.chars().count() > LONGEST_DESCRIPTION {
        let message = "description is too long (maximum is 140 characters)";
        return invalid(&json!({"resource": "Status", "field": "description", "code": "custom", "message": message}));
    }
    if context.chars().count() > LONGEST_CONTEXT {
        let message = "context is too long (maximum is 255 characters)";
        return invalid(&json!({"resource": "Status", "field": "context", "code": "custom", "message": message}));
    }
    let is_head = |pull: &PullRequest| pull.repository == repository && pull.heads.iter().any(|head| head == sha);
    if !state.pulls.values().any(is_head) {
        return error(422, &format!("No commit found for SHA: {sha}"));
    }
    let same = |other: &&Status| other.repository == repository && other.sha == sha && other.context == context;
    if state.statuses.iter().filter(same).count() >= MOST_STATUSES {
        return error(422, "This SHA and context has reached the maximum number of statuses.");
    }
    let id = state.statuses.len() as u64 + 1;
    let [repository, sha, status, context, description] =
        [repository, sha, status, context, description].map(str::to_owned);
    let set = Status { repository, sha, state: status, context, description, id };
    let reply = Reply { callback: Some(event(&set)), ..Reply::json(201, shown(&set)) };
    state.statuses.push(set);
    reply
}

fn shown(status: &Status) -> Json {
    json!({
        "id": status.id, "state": status.state, "context": status.context, "description": status.description,
        "target_url": null, "created_at": "2026-01-05T10:00:00Z", "updated_at": "2026-01-05T10:00:00Z",
        "creator": {"login": "pointsman", "type": "Bot"},
        "url": format!("https://api.github.com/repos/{}/statuses/{}", status.repository, status.sha),
    })
}

/// The webhook that a status causes.
fn event(status: &Status) -> Json {
    let (owner, name) = status.repository.split_once('/').unwrap_or_default();
    json!({
        "id": status.id, "sha": status.sha, "name": status.repository, "context": status.context,
        "state": status.state, "description": status.description, "target_url": null,
        "commit": {"sha": status.sha}, "branches": [],
        "repository": {"full_name": status.repository, "name": name, "owner": {"login": owner}},
        "sender": {"login": "pointsman", "type": "Bot"},
        "created_at": "2026-01-05T10:00:00Z", "updated_at": "2026-01-05T10:00:00Z",
    })
}

fn invalid(wrong: &Json) -> Reply {
    Reply::json(422, json!({"message": "Validation Failed", "errors": [wrong], "documentation_url": DOCUMENTATION}))
}

/// An error in GitHub's form.
pub fn error(status: u16, message: &str) -> Reply {
    let body = json!({"message": message, "documentation_url": DOCUMENTATION, "status": status.to_string()});
    Reply::json(status, body)
}

const DOCUMENTATION: &str = "https://docs.github.com/rest";
