//! `await_codegen`: is done when an agent run that was begun before has ended: one that is known by its number, or whichever is at
//! work on something. It calls back, or is asked, whichever is first. What called back before the step was reached is asked for
//! at once. Changes nothing outside.

use std::sync::Arc;

use pointsman_actors::event::Event;
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Answer, Attempt, EffectClass, Inquiry, OnDoubt, Outcome, Parameter, Polling, Success,
    Working,
};
use serde_json::{Value as Json, json};

use super::agent::{self, NOT_CONFIGURED, SERVICES, WAITS};
use crate::actions::with::With;
use crate::integrations::codegen::Codegen;

static INFO: ActionInfo = ActionInfo {
    name: "await_codegen",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        Parameter { name: "run_id", accepts: Accepts::OptionalText, default: Some("") },
        // Without a number: the subjects on which one may be at work. If none is, the step is done at once.
        Parameter { name: "subjects", accepts: Accepts::ListOf(&Accepts::OptionalText), default: Some("{{ [] }}") },
    ],
    timeout: None,
    waits: Some(WAITS),
    services: SERVICES,
};

/// The action.
pub struct AwaitCodegen {
    codegen: Option<Arc<Codegen>>,
}

impl AwaitCodegen {
    /// With this client.
    pub fn new(codegen: Option<Arc<Codegen>>) -> Self {
        Self { codegen }
    }
}

impl Action for AwaitCodegen {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.codegen.is_none().then(|| NOT_CONFIGURED.to_owned())
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let codegen = self.codegen.clone();
        Box::pin(async move {
            let (codegen, with) = (codegen.ok_or_else(agent::not_configured)?, With(&attempt.with));
            let mut subjects = with.texts("subjects");
            subjects.retain(|subject| !subject.is_empty());
            if with.text_or_empty("run_id")?.is_empty() && !subjects.is_empty() {
                let at_work = codegen.at_work(&subjects).await?;
                return Ok(at_work.map_or(Success::Done(json!({})), |run| agent::begun(&run)));
            }
            let run = codegen.run(with.number("run_id")?).await?;
            agent::ended(&run).unwrap_or_else(|| Ok(agent::begun(&run)))
        })
    }

    fn called(&self, event: &Event, output: &Json) -> Outcome {
        agent::called(event, output)
    }

    fn polling(&self) -> Option<Polling> {
        self.codegen.as_ref().map(|codegen| codegen.polling())
    }

    fn poll(&self, inquiry: Inquiry) -> Working<Answer> {
        let codegen = self.codegen.clone();
        Box::pin(async move { agent::asked(&*codegen.ok_or_else(agent::not_configured)?, &inquiry).await })
    }
}
