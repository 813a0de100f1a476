//! Pull requests.

use serde_json::{Value as Json, json};

use super::branches;
use super::forge::WHO;
use super::{Place, error, find, invalid, named, paged};
use crate::server::{Reply, Request};
use crate::world::{PullRequest, State};

/// A pull request, or what it changes.
pub fn pull(state: &State, place: &Place, request: &Request) -> Reply {
    let Some(pull) = find(state, place) else { return error(404, "Not Found") };
    if request.header("accept") == Some("application/vnd.github.diff") {
        if pull.diff_too_large {
            return error(406, "Sorry, the diff exceeded the maximum number of lines (20000)");
        }
        return Reply::text(200, &pull.diff);
    }
    named(request, Reply::json(200, shown(pull)))
}

/// The pull requests of a repository, newest first.
pub fn list(state: &State, repository: &str, request: &Request) -> Reply {
    if !branches::exists(state, repository) {
        return error(404, "Not Found");
    }
    let owner = repository.split('/').next().unwrap_or_default();
    let (wanted, head, base) = (request.query("state"), request.query("head"), request.query("base"));
    let wanted = wanted.unwrap_or_else(|| "open".to_owned());
    let fits = |pull: &&PullRequest| {
        pull.repository == repository
            && (wanted == "all" || wanted == pull.state)
            && head.as_ref().is_none_or(|head| *head == format!("{owner}:{}", pull.head_ref))
            && base.as_ref().is_none_or(|base| *base == pull.base_ref)
    };
    paged(request, state.pulls.values().rev().filter(fits).map(in_list).collect())
}

/// The pull requests with a commit.
pub fn of_commit(state: &State, repository: &str, sha: &str, request: &Request) -> Reply {
    let fits = |pull: &&PullRequest| pull.repository == repository && pull.heads.iter().any(|head| head == sha);
    paged(request, state.pulls.values().filter(fits).map(in_list).collect())
}

/// Opens a pull request.
pub fn open(state: &mut State, repository: &str, body: &Json) -> Reply {
    if !branches::exists(state, repository) {
        return error(404, "Not Found");
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (head, base, title) = (text("head"), text("base"), text("title"));
    for (field, value) in [("head", &head), ("base", &base), ("title", &title)] {
        if value.is_empty() {
            return invalid(&json!({"resource": "PullRequest", "field": field, "code": "missing_field"}));
        }
    }
    let branch = |name: &str| state.forge.branches.get(&(repository.to_owned(), name.to_owned()));
    let Some(at) = branch(&head).map(|branch| branch.sha.clone()) else {
        return invalid(&json!({"resource": "PullRequest", "field": "head", "code": "invalid"}));
    };
    if base != branches::DEFAULT && branch(&base).is_none() {
        return invalid(&json!({"resource": "PullRequest", "field": "base", "code": "invalid"}));
    }
    let same = |pull: &PullRequest| {
        pull.repository == repository && pull.state == "open" && pull.head_ref == head && pull.base_ref == base
    };
    if state.pulls.values().any(same) {
        let owner = repository.split('/').next().unwrap_or_default();
        let message = format!("A pull request already exists for {owner}:{head}.");
        return invalid(&json!({"resource": "PullRequest", "code": "custom", "message": message}));
    }
    let of_it = |(other, number): &(String, u64)| (other == repository).then_some(*number);
    let number = state.pulls.keys().filter_map(of_it).max().unwrap_or(0) + 1;
    let pull = PullRequest {
        repository: repository.to_owned(),
        number,
        heads: vec![at.clone()],
        head_sha: at,
        title,
        body: text("body"),
        draft: body["draft"] == true,
        head_ref: head,
        base_ref: base,
        author: WHO.to_owned(),
        ..PullRequest::default()
    };
    let reply = Reply::json(201, shown(&pull));
    state.pulls.insert((repository.to_owned(), number), pull);
    reply
}

/// The files that a pull request changes.
pub fn files(state: &State, place: &Place, request: &Request) -> Reply {
    let Some(pull) = find(state, place) else { return error(404, "Not Found") };
    let only = json!({
        "sha": pull.head_sha, "filename": "src/lib.rs", "status": "modified",
        "additions": 1, "deletions": 0, "changes": 1, "patch": pull.diff,
    });
    paged(request, if pull.files.is_empty() { vec![only] } else { pull.files.clone() })
}

/// A list says when one was merged and not whether.
fn in_list(pull: &PullRequest) -> Json {
    let mut item = shown(pull);
    if let Some(item) = item.as_object_mut() {
        item.remove("merged");
    }
    item
}

/// A pull request as GitHub shows it.
pub fn shown(pull: &PullRequest) -> Json {
    let repository = &pull.repository;
    let end = |repository: &str, branch: &str, sha: &str| json!({"ref": branch, "sha": sha, "repo": {"full_name": repository}});
    let head = pull.head_repository.as_ref().unwrap_or(repository);
    json!({
        "number": pull.number, "state": pull.state, "title": pull.title, "body": pull.body, "draft": pull.draft,
        "merged": pull.merged, "merged_at": pull.merged.then_some("2026-01-05T10:00:00Z"),
        "html_url": format!("https://github.com/{repository}/pull/{}", pull.number),
        "created_at": "2026-01-05T10:00:00Z",
        "user": {"login": pull.author, "type": "Bot"},
        "head": end(head, &pull.head_ref, &pull.head_sha),
        "base": end(repository, &pull.base_ref, "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"),
    })
}
