//! `begin_codegen`: has Codegen begin with a task, and is done when it has; `await_codegen` waits for the end. In between it can
//! be said where the agent works. Two agents on one thing cost twice and get into each other's way: one that is at work on the
//! same subject can be taken over instead.

use std::sync::Arc;

use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde_json::Value as Json;

use super::agent::{self, AGENT_TYPE, MODEL, NOT_CONFIGURED, REPOSITORY, SERVICES, SUBJECT};
use super::trigger_codegen::{about, create};
use crate::actions::with::With;
use crate::integrations::codegen::{AgentRun, Codegen};

static INFO: ActionInfo = ActionInfo {
    name: "begin_codegen",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        Parameter { name: "prompt", accepts: Accepts::Text, default: None },
        REPOSITORY,
        SUBJECT,
        // Whether an agent run for the same subject that is at work is taken over instead of beginning another one.
        Parameter { name: "take_over", accepts: Accepts::Flag, default: Some("{{ false }}") },
        MODEL,
        AGENT_TYPE,
    ],
    timeout: None,
    waits: None,
    services: SERVICES,
};

/// The action.
pub struct BeginCodegen {
    codegen: Option<Arc<Codegen>>,
}

impl BeginCodegen {
    /// With this client.
    pub fn new(codegen: Option<Arc<Codegen>>) -> Self {
        Self { codegen }
    }
}

impl Action for BeginCodegen {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.codegen.is_none().then(|| NOT_CONFIGURED.to_owned())
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let codegen = self.codegen.clone();
        Box::pin(async move { begin(&*codegen.ok_or_else(agent::not_configured)?, &attempt).await })
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let codegen = self.codegen.clone();
        Box::pin(async move {
            let found = codegen.ok_or_else(agent::not_configured)?.find(&attempt.key).await?;
            Ok(found.map_or(Success::Absent, |run| begun(&run, false)))
        })
    }
}

async fn begin(codegen: &Codegen, attempt: &Attempt) -> Outcome {
    let with = With(&attempt.with);
    let (prompt, subject) = (with.text("prompt")?, with.text_or_empty("subject")?);
    if with.flag("take_over")
        && !subject.is_empty()
        && let Some(run) = codegen.at_work(std::slice::from_ref(&subject)).await?
    {
        return Ok(begun(&run, true));
    }
    create(codegen, prompt, about(subject), attempt).await.map(|run| begun(&run, false))
}

/// What later steps see: the run, and whether somebody else has begun it.
fn begun(run: &AgentRun, taken_over: bool) -> Success {
    let mut output = agent::shown(run);
    if let Json::Object(output) = &mut output {
        output.insert("taken_over".to_owned(), taken_over.into());
    }
    Success::Done(output)
}
