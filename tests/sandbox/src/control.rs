//! `/_control`: the world for other processes.
//!
//! ```text
//! GET  /_control/ledger   every call
//! GET  /_control/state    {"pulls": […], "statuses": […], "notifications": […], "discord": […], "received": […]}
//! GET  /_control/linear   what there is in Linear
//! POST /_control/issues   a ticket of Linear
//! POST /_control/pulls    a pull request
//! POST /_control/heads    {"repository": "o/r", "number": 1, "sha": "…"}
//! POST /_control/faults   a fault
//! POST /_control/claude   what claude says from now on
//! POST /_control/hook     {"url": "…", "secret": "…"}
//! POST /_control/hooks    {"hook": "o/r#1", "url": "…", "secret": "…"}
//! POST /_control/happen   {"hook": "o/r#1", "event": "push", "payload": {…}, "way": "nobody_there"}
//! GET  /_control/attempts what was tried through each hook
//! GET  /_control/codegen  {"runs": […]}
//! POST /_control/codegen  {"repositories": ["o/r"], "plan": {…}, "hook": {…}}, each optional
//! ```

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::codegen;
use crate::server::{Reply, Request};
use crate::world::{Hook, World};

#[derive(Deserialize)]
struct NewHead {
    repository: String,
    number: u64,
    sha: String,
}

#[derive(Deserialize)]
struct NewHook {
    hook: String,
    #[serde(flatten)]
    target: Hook,
}

#[derive(Deserialize)]
struct SetCodegen {
    repositories: Option<Vec<String>>,
    plan: Option<codegen::Plan>,
    hook: Option<Hook>,
}

/// Answers a call.
pub fn answer(world: &World, request: &Request) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/ledger") => Reply::json(200, json!(world.ledger())),
        ("GET", "/state") => {
            let state = world.state();
            let pulls: Vec<_> = state.pulls.values().collect();
            let shown = json!({
                "pulls": pulls, "statuses": state.statuses, "notifications": state.notifications,
                "discord": state.discord, "received": state.received,
            });
            Reply::json(200, shown)
        }
        ("GET", "/linear") => Reply::json(200, json!(world.state().linear)),
        ("POST", "/issues") => take(request, |issue| world.state().linear.put_issue(issue)),
        ("POST", "/pulls") => take(request, |pull| world.put_pull(pull)),
        ("POST", "/heads") => take(request, |NewHead { repository, number, sha }| {
            world.push_head(&repository, number, &sha);
        }),
        ("POST", "/faults") => take(request, |fault| world.plan(fault)),
        ("POST", "/claude") => take(request, |plan| world.state().claude = plan),
        ("POST", "/hook") => take(request, |hook| world.state().hook = Some(hook)),
        ("POST", "/hooks") => {
            take(request, |NewHook { hook, target }| world.put_hook(&hook, &target.url, &target.secret))
        }
        ("POST", "/happen") => take(request, |occurrence| {
            let world = world.clone();
            actix_rt::spawn(async move { world.happen(occurrence).await });
        }),
        ("GET", "/attempts") => {
            let state = world.state();
            let attempts = state.forge.hooks.iter().map(|(name, hook)| (name.clone(), json!(hook.attempts)));
            Reply::json(200, json!(attempts.collect::<serde_json::Map<_, _>>()))
        }
        ("GET", "/codegen") => Reply::json(200, json!({ "runs": world.agent_runs() })),
        ("POST", "/codegen") => take(request, |set: SetCodegen| {
            let mut state = world.state();
            if let Some(repositories) = set.repositories {
                state.codegen.repositories = repositories;
            }
            if let Some(plan) = set.plan {
                state.codegen.plan = plan;
            }
            state.codegen_hook = set.hook.or(state.codegen_hook.take());
        }),
        _ => Reply::text(404, "no such control"),
    }
}

fn take<T: DeserializeOwned>(request: &Request, put: impl FnOnce(T)) -> Reply {
    match serde_json::from_slice(&request.body) {
        Ok(value) => {
            put(value);
            Reply::json(200, json!({}))
        }
        Err(error) => Reply::text(400, &error.to_string()),
    }
}
