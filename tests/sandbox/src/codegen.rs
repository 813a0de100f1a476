//! Codegen's API, as far as it is called, and as strict as its OpenAPI file (docs.codegen.com, "API reference"): agent
//! runs that end by plan, and open pull requests in the GitHub that stands beside it.

#![allow(clippy::indexing_slicing, reason = "JSON: what is missing is null")]

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::TOKEN;
use crate::server::{Reply, Request};
use crate::world::State;

/// The organisation that there is.
pub const ORGANIZATION: u64 = 323;

/// Documented: so many agent runs may be created a minute.
const MOST_CREATES: usize = 10;

/// What becomes of agent runs that are created from now on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// After so many questions a run has ended; without it only when it is told to.
    pub after_polls: Option<u32>,
    /// The status that it ends with.
    pub status: String,
    /// What the agent says then.
    pub result: String,
    /// Whether it opens a pull request before it ends.
    pub opens_pull: bool,
    /// Whether it calls back as soon as it was created, and has ended then.
    pub calls_back: bool,
    /// Whether no more than the documented number of runs may be created a minute.
    pub limits: bool,
}

impl Default for Plan {
    fn default() -> Self {
        let (status, result) = ("COMPLETE".to_owned(), "It is done.".to_owned());
        Self { after_polls: Some(1), status, result, opens_pull: true, calls_back: false, limits: false }
    }
}

/// An agent run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentRun {
    /// Its number.
    pub id: u64,
    /// What the agent was told, the last prompt last.
    pub prompts: Vec<String>,
    /// The repository's full name; empty for none.
    pub repository: String,
    /// What was stored with it.
    pub metadata: Json,
    /// How it is.
    pub status: String,
    /// What the agent says in the end.
    pub result: Option<String>,
    /// The number of the pull request that it has opened.
    pub pull: Option<u64>,
    /// How often somebody asked since it was begun or resumed.
    pub asked: u32,
    /// What becomes of it.
    pub plan: Plan,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub created_at: i64,
}

/// What there is.
#[derive(Default)]
pub struct Codegen {
    /// Full names of the repositories that are connected; their number is their place from 1 on.
    pub repositories: Vec<String>,
    /// Agent runs, oldest first.
    pub runs: Vec<AgentRun>,
    /// What becomes of those that are created.
    pub plan: Plan,
    /// When runs were created, in milliseconds since the Unix epoch.
    created_at: Vec<i64>,
}

/// Answers a call.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return error(401, "Invalid or expired token");
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ["v1", "organizations", organization, rest @ ..] = parts.as_slice() else { return error(404, "Not Found") };
    match organization.parse() {
        Ok(ORGANIZATION) => {}
        Ok::<u64, _>(_) => return error(403, "You do not have access to this organization"),
        Err(_) => return invalid("path", "org_id", "Input should be a valid integer"),
    }
    match (request.method.as_str(), rest) {
        ("POST", ["agent", "run"]) => create(state, &request.json()),
        ("POST", ["agent", "run", "resume"]) => resume(state, &request.json()),
        ("GET", ["agent", "run", id]) => ask(state, id),
        ("GET", ["agent", "runs"]) => {
            let runs: Vec<Json> = state.codegen.runs.iter().rev().map(shown).collect();
            page(runs, query)
        }
        ("GET", ["repos"]) => {
            let repositories = (1..).zip(&state.codegen.repositories);
            page(repositories.map(|(id, name)| repository(id, name)).collect(), query)
        }
        _ => error(404, "Not Found"),
    }
}

/// An agent run ends so, as if its agent had just come to that.
pub fn end(state: &mut State, id: u64, status: &str, result: &str) {
    let next = state.pulls.keys().map(|(_, number)| number + 1).max().unwrap_or(1);
    let Some(run) = state.codegen.runs.iter_mut().find(|run| run.id == id) else { return };
    (run.status, run.result) = (status.to_owned(), Some(result.to_owned()));
    if status != "COMPLETE" || !run.plan.opens_pull || run.pull.is_some() || run.repository.is_empty() {
        return;
    }
    run.pull = Some(next);
    let (repository, sha) = (run.repository.clone(), format!("{next:040x}"));
    let pull = json!({ "repository": repository, "number": next, "head_sha": sha, "title": format!("Codegen {id}"),
        "diff": "+fn new() {}\n", "heads": [sha] });
    if let Ok(pull) = serde_json::from_value(pull) {
        state.pulls.insert((repository, next), pull);
    }
}

/// What a run says when it calls back: our own contract, since Codegen documents none.
pub fn callback(run: &AgentRun) -> Json {
    let is_complete = run.status.eq_ignore_ascii_case("complete");
    let address = run.pull.map(|number| pull_url(&run.repository, number));
    json!({
        "event_type": if is_complete { "generation.complete" } else { "generation.failed" },
        "event_id": uuid::Uuid::new_v4().to_string(),
        "timestamp": "2026-01-05T10:00:00Z",
        "data": {
            "run_id": run.id, "status": run.status, "repository": run.repository, "pr_number": run.pull,
            "pr_url": address, "branch": run.pull.map(|_| branch(run)), "error": (!is_complete).then(|| run.result.clone()),
        },
    })
}

#[allow(clippy::disallowed_methods, reason = "the limit is one of the real clock")]
fn create(state: &mut State, body: &Json) -> Reply {
    let codegen = &mut state.codegen;
    if let Some(wrong) = misfits(body, &["prompt"], &CREATE) {
        return wrong;
    }
    let repository = match body["repo_id"].as_u64() {
        None => String::new(),
        Some(id) => match usize::try_from(id).ok().and_then(|id| codegen.repositories.get(id.wrapping_sub(1))) {
            Some(name) => name.clone(),
            None => return error(404, "No repos found in the organization"),
        },
    };
    let now = chrono::Utc::now().timestamp_millis();
    codegen.created_at.retain(|at| now - at < 60_000);
    if codegen.plan.limits && codegen.created_at.len() >= MOST_CREATES {
        return error(429, "Rate limit exceeded");
    }
    codegen.created_at.push(now);
    let (id, plan) = (codegen.runs.len() as u64 + 1, codegen.plan.clone());
    let calls_back = plan.calls_back;
    let run = AgentRun {
        id,
        prompts: vec![body["prompt"].as_str().unwrap_or_default().to_owned()],
        repository,
        metadata: body["metadata"].clone(),
        status: "ACTIVE".to_owned(),
        result: None,
        pull: None,
        asked: 0,
        plan,
        created_at: now,
    };
    let reply = Reply::json(200, shown(&run));
    let (status, result) = (run.plan.status.clone(), run.plan.result.clone());
    codegen.runs.push(run);
    if !calls_back {
        return reply;
    }
    end(state, id, &status, &result);
    Reply { callback: state.codegen.runs.last().map(callback), ..reply }
}

fn resume(state: &mut State, body: &Json) -> Reply {
    if let Some(wrong) = misfits(body, &["agent_run_id", "prompt"], &RESUME) {
        return wrong;
    }
    let Some(run) = state.codegen.runs.iter_mut().find(|run| Some(run.id) == body["agent_run_id"].as_u64()) else {
        return error(404, "Agent run not found");
    };
    run.prompts.push(body["prompt"].as_str().unwrap_or_default().to_owned());
    (run.status, run.result, run.asked, run.plan) = ("ACTIVE".to_owned(), None, 0, state.codegen.plan.clone());
    Reply::json(200, shown(run))
}

fn ask(state: &mut State, id: &str) -> Reply {
    let Ok(id) = id.parse::<u64>() else {
        return invalid("path", "agent_run_id", "Input should be a valid integer");
    };
    let Some(run) = state.codegen.runs.iter_mut().find(|run| run.id == id) else {
        return error(404, "Agent run not found");
    };
    run.asked += 1;
    let ends = run.status == "ACTIVE" && run.plan.after_polls.is_some_and(|after| run.asked >= after);
    let (status, result) = (run.plan.status.clone(), run.plan.result.clone());
    if ends {
        end(state, id, &status, &result);
    }
    let found = state.codegen.runs.iter().find(|run| run.id == id);
    found.map_or_else(|| error(404, "Agent run not found"), |run| Reply::json(200, shown(run)))
}

fn shown(run: &AgentRun) -> Json {
    let pull = run.pull.map(|number| {
        json!({
            "id": 9_000_000 + number, "title": format!("Codegen {}", run.id), "url": pull_url(&run.repository, number),
            "created_at": "2026-01-05 10:00:00", "head_branch_name": branch(run),
        })
    });
    let created_at = chrono::DateTime::from_timestamp_millis(run.created_at).unwrap_or_default();
    json!({
        "id": run.id, "organization_id": ORGANIZATION, "status": run.status,
        "created_at": created_at.format("%Y-%m-%d %H:%M:%S").to_string(),
        "web_url": format!("https://codegen.com/agent/trace/{}", run.id), "result": run.result, "summary": null,
        "source_type": "API", "github_pull_requests": pull.into_iter().collect::<Vec<_>>(), "metadata": run.metadata,
    })
}

fn branch(run: &AgentRun) -> String {
    format!("codegen/run-{}", run.id)
}

fn pull_url(repository: &str, number: u64) -> String {
    format!("https://github.com/{repository}/pull/{number}")
}

fn repository(id: u64, full_name: &str) -> Json {
    json!({
        "id": id, "name": full_name.split('/').next_back(), "full_name": full_name, "description": null,
        "github_id": (700_000 + id).to_string(), "organization_id": ORGANIZATION, "visibility": "private",
        "archived": false, "setup_status": "completed", "language": "Rust",
    })
}

/// A page of a list: `skip`, and a `limit` within 1 and 100.
fn page(items: Vec<Json>, query: &str) -> Reply {
    let number = |name: &str, default: usize| {
        let value = query.split('&').find_map(|part| part.strip_prefix(&format!("{name}=")));
        value.map_or(Ok(default), str::parse)
    };
    let (Ok(skip), Ok(limit @ 1..=100)) = (number("skip", 0), number("limit", 100)) else {
        return invalid("query", "limit", "Input should be greater than or equal to 1 and less than or equal to 100");
    };
    let total = items.len();
    let items: Vec<Json> = items.into_iter().skip(skip).take(limit).collect();
    let pages = total.div_ceil(limit);
    Reply::json(200, json!({ "items": items, "total": total, "page": skip / limit + 1, "size": limit, "pages": pages }))
}

/// A field of a body, and whether a value is one.
type Field = (&'static str, fn(&Json) -> bool);

const CREATE: [Field; 6] = [
    ("prompt", Json::is_string),
    ("images", Json::is_array),
    ("metadata", Json::is_object),
    ("repo_id", Json::is_u64),
    ("model", Json::is_string),
    ("agent_type", |value| matches!(value.as_str(), Some("codegen" | "claude_code"))),
];

const RESUME: [Field; 3] = [("agent_run_id", Json::is_u64), ("prompt", Json::is_string), ("images", Json::is_array)];

/// What is wrong with a body. What is not known is refused here, so that nobody relies on its being passed over.
fn misfits(body: &Json, required: &[&str], fields: &[Field]) -> Option<Reply> {
    let Some(given) = body.as_object() else { return Some(invalid("body", "", "Input should be a valid dictionary")) };
    if let Some(name) = required.iter().find(|name| body[**name].is_null()) {
        return Some(invalid("body", name, "Field required"));
    }
    for (name, value) in given {
        let known = fields.iter().find(|(known, _)| known == name);
        match known {
            None => return Some(invalid("body", name, "Extra inputs are not permitted")),
            Some((_, fits)) if !value.is_null() && !fits(value) => {
                return Some(invalid("body", name, "Input should be a valid value"));
            }
            Some(_) => {}
        }
    }
    None
}

fn invalid(place: &str, field: &str, message: &str) -> Reply {
    Reply::json(422, json!({ "detail": [{ "loc": [place, field], "msg": message, "type": "value_error" }] }))
}

/// An error in Codegen's form.
pub fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, json!({ "message": message, "status_code": status }))
}
