//! `trigger_codegen`: has Codegen work on a task, and is done when that is. The run carries our key, so that one of which
//! nobody knows whether it was begun is looked for, and not begun twice.

use std::sync::Arc;

use pointsman_actors::event::Event;
use pointsman_actors::executor::failure::Failure;
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Answer, Attempt, EffectClass, Inquiry, OnDoubt, Outcome, Parameter, Polling, Success,
    Working,
};
use serde_json::Value as Json;

use super::agent::{self, AGENT_TYPE, MODEL, NOT_CONFIGURED, REPOSITORY, SERVICES, SUBJECT, WAITS};
use crate::actions::with::With;
use crate::integrations::codegen::{About, AgentRun, Codegen, NewRun};

static INFO: ActionInfo = ActionInfo {
    name: "trigger_codegen",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        Parameter { name: "prompt", accepts: Accepts::Text, default: None },
        REPOSITORY,
        SUBJECT,
        MODEL,
        AGENT_TYPE,
    ],
    timeout: None,
    waits: Some(WAITS),
    services: SERVICES,
};

/// The action.
pub struct TriggerCodegen {
    codegen: Option<Arc<Codegen>>,
}

impl TriggerCodegen {
    /// With this client.
    pub fn new(codegen: Option<Arc<Codegen>>) -> Self {
        Self { codegen }
    }
}

impl Action for TriggerCodegen {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.codegen.is_none().then(|| NOT_CONFIGURED.to_owned())
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let codegen = self.codegen.clone();
        Box::pin(async move {
            let codegen = codegen.ok_or_else(agent::not_configured)?;
            let with = With(&attempt.with);
            let (prompt, subject) = (with.text("prompt")?, with.text_or_empty("subject")?);
            create(&codegen, prompt, about(subject), &attempt).await.map(|run| agent::begun(&run))
        })
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let codegen = self.codegen.clone();
        Box::pin(async move { look(&*codegen.ok_or_else(agent::not_configured)?, &attempt).await })
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

/// About a subject, unless that is empty.
pub(super) fn about(subject: String) -> About {
    About { subject: chosen(subject), ..About::default() }
}

pub(super) fn chosen(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Begins a new run.
pub(super) async fn create(
    codegen: &Codegen,
    prompt: String,
    about: About,
    attempt: &Attempt,
) -> Result<AgentRun, Failure> {
    let with = With(&attempt.with);
    let repo_id = codegen.repository(&with.text("repository")?).await?;
    let (model, agent_type) = (chosen(with.text_or_empty("model")?), chosen(with.text_or_empty("agent_type")?));
    let run = NewRun { prompt, repo_id, model, agent_type, about };
    codegen.create(&run, &attempt.key).await
}

/// Looks for the run that a former attempt may have begun.
pub(super) async fn look(codegen: &Codegen, attempt: &Attempt) -> Result<Success, Failure> {
    let found = codegen.find(&attempt.key).await?;
    Ok(found.map_or(Success::Absent, |run| agent::begun(&run)))
}
