//! GitHub, as far as it is called, and as strict as the real one (docs.github.com/rest).

#![allow(clippy::indexing_slicing, reason = "JSON: what is missing is null")]

pub mod app;
pub mod branches;
pub mod forge;
pub mod hooks;
pub mod meta;
pub mod openapi;
pub mod pulls;
pub mod runs;
pub mod talk;
pub mod tarballs;

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

/// Answers a call; `now_ms` is in milliseconds since the Unix epoch.
pub fn answer(state: &mut State, request: &Request, now_ms: i64) -> Reply {
    if request.header("user-agent").is_none() {
        return Reply::text(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    let problems = openapi::problems(request);
    if !problems.is_empty() {
        let status = if openapi::operation(&request.method, &request.path).is_some() { 422 } else { 404 };
        return error(status, &format!("not what GitHub's description says: {}", problems.join("; ")));
    }
    if let Some(reply) = meta::answer(state, request) {
        return reply;
    }
    if let Some(reply) = app::answer(state, request, now_ms) {
        return reply;
    }
    let is_user = request.header("authorization") == Some(&format!("Bearer {TOKEN}"));
    if !is_user && !app::is_installation(state, request) {
        return error(401, "Bad credentials");
    }
    if request.header("x-github-api-version").is_some_and(|version| !["2022-11-28", "2026-03-10"].contains(&version)) {
        return error(400, "The given API version is not supported");
    }
    route(state, request, now_ms)
}

/// A pull request, or an issue, of a repository.
pub struct Place {
    /// `owner/name`.
    pub repository: String,
    /// Its number.
    pub number: u64,
}

fn route(state: &mut State, request: &Request, now_ms: i64) -> Reply {
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let ["orgs", login, "hooks", id, "deliveries", rest @ ..] = parts.as_slice() {
        return hooks::answer(state, (&format!("{login}#{id}"), rest), request, state.forge.access, now_ms);
    }
    let ["repos", owner, name, rest @ ..] = parts.as_slice() else { return error(404, "Not Found") };
    let repository = format!("{owner}/{name}");
    let place = |number: &str| Place { repository: repository.clone(), number: number.parse().unwrap_or_default() };
    match (request.method.as_str(), rest) {
        ("GET", []) => branches::repository(state, &repository),
        (_, ["hooks", id, "deliveries", rest @ ..]) => {
            hooks::answer(state, (&format!("{repository}#{id}"), rest), request, state.forge.access, now_ms)
        }
        ("GET", ["branches", branch]) => branches::branch(state, &repository, branch),
        ("DELETE", ["git", "refs", reference]) => branches::delete(state, &repository, reference),
        ("GET", ["pulls"]) => pulls::list(state, &repository, request),
        ("POST", ["pulls"]) => pulls::open(state, &repository, &request.json()),
        ("GET", ["pulls", number]) => pulls::pull(state, &place(number), request),
        ("GET", ["pulls", number, "files"]) => pulls::files(state, &place(number), request),
        ("GET", ["pulls", number, "reviews"]) => talk::reviews(state, &place(number), request),
        ("POST", ["pulls", number, "reviews"]) => talk::review(state, &place(number), &request.json()),
        ("GET", ["issues", number, "comments"]) => talk::comments(state, &place(number), request),
        ("POST", ["issues", number, "comments"]) => talk::comment(state, &place(number), &request.json()),
        ("GET", ["actions", "runs"]) => runs::list(state, &repository, request),
        ("GET", ["actions", "runs", run]) => runs::run(state, &place(run)),
        ("GET", ["actions", "runs", run, "jobs"]) => runs::jobs(state, &place(run)),
        ("GET", ["actions", "jobs", job, "logs"]) => runs::logs(state, &place(job), request),
        ("POST", ["actions", "runs", run, "rerun-failed-jobs"]) => runs::rerun(state, &place(run)),
        ("GET", ["tarball", sha]) => tarballs::tarball(state, &repository, sha, request),
        ("GET", ["commits", sha, "pulls"]) => pulls::of_commit(state, &repository, sha, request),
        ("POST", ["check-runs"]) => app::create(state, &repository, request),
        ("PATCH", ["check-runs", id]) => app::update(state, place(id).number, request),
        ("GET", ["commits", sha, "check-runs"]) => app::list(state, sha, request),
        ("POST", ["statuses", sha]) => set_status(state, &repository, sha, &request.json()),
        ("GET", ["commits", sha, "statuses"]) => {
            let of = |status: &&Status| status.repository == repository && status.sha == *sha;
            let statuses: Vec<Json> = state.statuses.iter().rev().filter(of).map(shown).collect();
            Reply::json(200, json!(statuses))
        }
        _ => error(404, "Not Found"),
    }
}

fn find<'a>(state: &'a State, place: &Place) -> Option<&'a PullRequest> {
    state.pulls.get(&(place.repository.clone(), place.number))
}

/// A part of a path, without its encoding.
fn decoded(part: &str) -> String {
    // What a form encodes as `+` is a plus in a path.
    let pair = format!("x={}", part.replace('+', "%2B"));
    let decoded = form_urlencoded::parse(pair.as_bytes()).next();
    decoded.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// An answer with the name of what it says; who knows that already is told that nothing has changed.
fn named(request: &Request, reply: Reply) -> Reply {
    let etag = format!("W/\"{:016x}\"", fingerprint(&reply.body));
    if request.header("if-none-match") == Some(&etag) {
        return Reply { etag: Some(etag), ..Reply::text(304, "") };
    }
    Reply { etag: Some(etag), ..reply }
}

/// FNV-1a: the same text has the same name.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The page of a list that is asked for, and where the next one is.
fn paged(request: &Request, items: Vec<Json>) -> Reply {
    let number = |name: &str| request.query(name).and_then(|text| text.parse::<usize>().ok());
    let (size, page) = (number("per_page").unwrap_or(30).clamp(1, 100), number("page").unwrap_or(1).max(1));
    let is_last = items.len() <= size * page;
    let path = request.path.split('?').next().unwrap_or_default();
    let others = request.queries().into_iter().filter(|(name, _)| name != "page");
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(others);
    let query = query.append_pair("page", &(page + 1).to_string()).finish();
    let link = (!is_last).then(|| format!("<https://api.github.com{path}?{query}>; rel=\"next\""));
    let shown: Vec<Json> = items.into_iter().skip(size * (page - 1)).take(size).collect();
    Reply { link, ..Reply::json(200, json!(shown)) }
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
