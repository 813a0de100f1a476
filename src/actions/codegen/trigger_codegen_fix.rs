//! `trigger_codegen_fix`: has Codegen mend a pull request after what an analysis found, and is done when that is. With the
//! number of an earlier run the same agent goes on, knowing what it did.

use std::sync::Arc;

use pointsman_actors::event::Event;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Answer, Attempt, EffectClass, Inquiry, OnDoubt, Outcome, Parameter, Polling, Success,
    Working,
};
use serde_json::Value as Json;

use super::agent::{self, AGENT_TYPE, MODEL, NOT_CONFIGURED, REPOSITORY, SERVICES, WAITS};
use super::trigger_codegen::{create, look};
use crate::actions::pull_request::PR_NUMBER;
use crate::actions::with::With;
use crate::integrations::codegen::{Codegen, Standing};

static INFO: ActionInfo = ActionInfo {
    name: "trigger_codegen_fix",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        PR_NUMBER,
        Parameter { name: "analysis", accepts: Accepts::Text, default: None },
        Parameter { name: "run_id", accepts: Accepts::OptionalText, default: Some("") },
        MODEL,
        AGENT_TYPE,
    ],
    timeout: None,
    waits: Some(WAITS),
    services: SERVICES,
};

/// The action.
pub struct TriggerCodegenFix {
    codegen: Option<Arc<Codegen>>,
}

impl TriggerCodegenFix {
    /// With this client.
    pub fn new(codegen: Option<Arc<Codegen>>) -> Self {
        Self { codegen }
    }
}

impl Action for TriggerCodegenFix {
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
            let prompt = prompt(&with.text("repository")?, with.number("pr_number")?, &with.text("analysis")?);
            match earlier(&with)? {
                Some(run_id) => Ok(agent::begun(&codegen.resume(run_id, &prompt, &attempt.key).await?)),
                None => create(&codegen, prompt, &attempt).await,
            }
        })
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let codegen = self.codegen.clone();
        Box::pin(async move {
            let codegen = codegen.ok_or_else(agent::not_configured)?;
            match earlier(&With(&attempt.with))? {
                Some(run_id) => look_at(&codegen, run_id).await,
                None => look(&codegen, &attempt).await,
            }
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

/// The earlier run that is to go on, if one is named.
fn earlier(with: &With<'_>) -> Result<Option<u64>, Failure> {
    if with.text_or_empty("run_id")?.is_empty() { Ok(None) } else { with.number("run_id").map(Some) }
}

/// Whether an earlier run goes on again. Nothing that we send with a prompt can be seen afterwards: of one that is not at
/// work nobody can say whether it never went on or has ended once more.
async fn look_at(codegen: &Codegen, run_id: u64) -> Result<Success, Failure> {
    let run = codegen.run(run_id).await?;
    if run.standing() == Standing::AtWork {
        return Ok(agent::begun(&run));
    }
    let message =
        format!("the agent run {run_id} is not at work; whether it went on and has ended, Codegen does not say");
    Err(Failure::new(ErrorClass::Validation, message))
}

fn prompt(repository: &str, pr_number: u64, analysis: &str) -> String {
    format!(
        "A check of pull request #{pr_number} of {repository} has failed. Mend it with commits to the branch of that pull \
         request; open no other one. Change nothing that has no part in the failure.\n\n\
         What the analysis found:\n\n{analysis}\n"
    )
}
