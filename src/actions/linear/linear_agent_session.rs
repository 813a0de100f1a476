//! `linear_agent_session`: shows in the session of an agent where it works and what it means to do. Both take the
//! place of what was shown before, so that saying it again is as saying it once.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::{Door, LINEAR, SESSION, done};
use crate::actions::with::With;

static INFO: ActionInfo = ActionInfo {
    name: "linear_agent_session",
    class: EffectClass::Idempotent,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        SESSION,
        Parameter { name: "links", accepts: Accepts::TableOf(&Accepts::Text), default: Some("{{ {} }}") },
        Parameter { name: "plan", accepts: Accepts::Anything, default: Some("{{ none }}") },
    ],
    timeout: None,
    waits: None,
    services: &[LINEAR],
};

/// How an item of a plan can stand.
const STATUSES: [&str; 4] = ["pending", "inProgress", "completed", "canceled"];

/// The action.
pub struct LinearAgentSession(pub(super) Door);

impl Action for LinearAgentSession {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let door = self.0.clone();
        Box::pin(async move { update(&door, &attempt).await })
    }
}

/// What later steps see.
#[derive(Serialize)]
struct Shown {
    /// How the session stands: `pending`, `active`, `awaitingInput`, `error`, `complete` or `stale`.
    status: String,
}

async fn update(door: &Door, attempt: &Attempt) -> Result<Success, Failure> {
    let with = With(&attempt.with);
    let session = with.text("session")?;
    let input = input(&with)?;
    let status = door.open()?.update_session(&session, input, &attempt.key).await?;
    done(&Shown { status })
}

/// What is shown from now on; what a step does not name stays.
fn input(with: &With<'_>) -> Result<Json, Failure> {
    let mut input = Map::new();
    let links = with.table("links");
    if !links.is_empty() {
        let links = links.into_iter().map(|(label, url)| json!({ "label": label, "url": url }));
        input.insert("externalUrls".to_owned(), links.collect());
    }
    if let Some(plan) = with.0.get("plan").filter(|plan| !plan.is_null()) {
        input.insert("plan".to_owned(), read_plan(plan).ok_or_else(|| wrong("with.plan", PLAN))?);
    }
    if input.is_empty() { Err(wrong("with", "give `links`, `plan` or both")) } else { Ok(Json::Object(input)) }
}

const PLAN: &str = "a plan is a list of { content, status }, where the status is pending, inProgress, completed or \
                    canceled";

fn read_plan(plan: &Json) -> Option<Json> {
    let item = |item: &Json| {
        let content = item.get("content")?.as_str().filter(|content| !content.is_empty())?;
        let status = item.get("status").map_or(Some("pending"), Json::as_str)?;
        STATUSES.contains(&status).then(|| json!({ "content": content, "status": status }))
    };
    plan.as_array()?.iter().map(item).collect()
}

fn wrong(what: &str, why: &str) -> Failure {
    Failure::new(ErrorClass::Validation, format!("{what}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_plans_are_shown_in_linears_form() {
        let check = |with: Json, expect: Result<Json, &str>| {
            let said = input(&With(with.as_object().unwrap())).map_err(|failure| failure.message);
            assert_eq!(said, expect.map_err(str::to_owned), "{with}");
        };
        check(
            json!({"links": {"Run": "https://x/1"}, "plan": null}),
            Ok(json!({"externalUrls": [{"label": "Run", "url": "https://x/1"}]})),
        );
        check(
            json!({"links": {}, "plan": [{"content": "Read", "status": "completed"}, {"content": "Write"}]}),
            Ok(
                json!({"plan": [{"content": "Read", "status": "completed"}, {"content": "Write", "status": "pending"}]}),
            ),
        );
        check(json!({"links": {}, "plan": null}), Err("with: give `links`, `plan` or both"));
        for wrong in [json!("x"), json!([{"content": ""}]), json!([{"content": "a", "status": "done"}]), json!([7])] {
            let said = input(&With(json!({ "plan": wrong }).as_object().unwrap())).unwrap_err().message;
            assert!(said.starts_with("with.plan: a plan is a list"), "{said}");
        }
    }
}
