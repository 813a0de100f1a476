//! `linear_agent_activity`: says something in the session of an agent. Linear takes an agent that says nothing for
//! ten seconds after its session was opened for one that does not answer (linear.app/developers, "Agent
//! interaction"). The id follows from the step's key, so that saying it again is as saying it once.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, Effect, EffectClass, Misfit, OnDoubt, Outcome, Parameter, Success, Working,
    Written,
};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{Door, LINEAR, SESSION, done};
use crate::actions::with::With;

static INFO: ActionInfo = ActionInfo {
    name: "linear_agent_activity",
    class: EffectClass::Keyed,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        SESSION,
        Parameter { name: "type", accepts: Accepts::OneOf(&TYPES), default: None },
        Parameter { name: "body", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "action", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "parameter", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "result", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "ephemeral", accepts: Accepts::Flag, default: Some("{{ false }}") },
    ],
    timeout: None,
    waits: None,
    services: &[LINEAR],
};

/// What an agent can say; prompts are the user's.
static TYPES: [&str; 5] = ["thought", "action", "elicitation", "response", "error"];

/// What Linear may drop again when the next one comes.
const PASSING: [&str; 2] = ["thought", "action"];

/// The action.
pub struct LinearAgentActivity(pub(super) Door);

impl Action for LinearAgentActivity {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn examine(&self, written: &Written) -> Result<Effect, Vec<Misfit>> {
        let says = |name: &str| written.get(name).is_some_and(|value| value.as_str() != Some(""));
        let misfits: Vec<Misfit> = match written.fixed_text("type") {
            Some("action") if !says("action") => vec![Misfit::new("action", "an `action` says what it does")],
            Some("action") | None => Vec::new(),
            Some(kind) if !says("body") => vec![Misfit::new("body", format!("of `{kind}` people read the body"))],
            Some(kind) if written.fixed("ephemeral") == Some(&Json::Bool(true)) && !PASSING.contains(&kind) => {
                vec![Misfit::new("ephemeral", format!("`{kind}` stays; only {} pass", PASSING.join(" and ")))]
            }
            Some(_) => Vec::new(),
        };
        if misfits.is_empty() { Ok(INFO.class.into()) } else { Err(misfits) }
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let door = self.0.clone();
        Box::pin(async move { say(&door, &attempt).await })
    }
}

/// What later steps see.
#[derive(Serialize)]
struct Said {
    /// The activity's id.
    id: String,
}

async fn say(door: &Door, attempt: &Attempt) -> Result<Success, Failure> {
    let with = With(&attempt.with);
    let session = with.text("session")?;
    let content = content(&with)?;
    let made = door.open()?.activity(&session, content, with.flag("ephemeral"), &attempt.key).await?;
    done(&Said { id: made.id })
}

/// What is said, in the form of its type.
fn content(with: &With<'_>) -> Result<Json, Failure> {
    let kind = with.text("type")?;
    match kind.as_str() {
        "action" => {
            let result = Some(with.text_or_empty("result")?).filter(|result| !result.is_empty());
            let mut content =
                json!({ "type": kind, "action": with.text("action")?, "parameter": with.text_or_empty("parameter")? });
            if let (Some(result), Json::Object(content)) = (result, &mut content) {
                content.insert("result".to_owned(), result.into());
            }
            Ok(content)
        }
        known if TYPES.contains(&known) => Ok(json!({ "type": kind, "body": with.text("body")? })),
        other => {
            let message = format!("with.type: `{other}` is none of {}", TYPES.join(", "));
            Err(Failure::new(ErrorClass::Validation, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_form() {
        let check = |with: Json, expect: Result<Json, &str>| {
            let said = content(&With(with.as_object().unwrap())).map_err(|failure| failure.message);
            assert_eq!(said, expect.map_err(str::to_owned), "{with}");
        };
        check(json!({"type": "thought", "body": "Hm."}), Ok(json!({"type": "thought", "body": "Hm."})));
        check(
            json!({"type": "action", "action": "Read", "parameter": "a.rs", "body": "not said"}),
            Ok(json!({"type": "action", "action": "Read", "parameter": "a.rs"})),
        );
        check(
            json!({"type": "action", "action": "Read", "result": "7 lines"}),
            Ok(json!({"type": "action", "action": "Read", "parameter": "", "result": "7 lines"})),
        );
        check(json!({"type": "error", "body": ""}), Err("with.body: expected a text, found \"\""));
        check(
            json!({"type": "prompt", "body": "x"}),
            Err("with.type: `prompt` is none of thought, action, elicitation, response, error"),
        );
    }
}
