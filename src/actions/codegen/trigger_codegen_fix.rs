//! `trigger_codegen_fix`: has Codegen change a pull request after what an analysis found or somebody asks, and is done when
//! that is. With the number of an earlier run the same agent goes on, knowing what it did. Agents cost, and what one could
//! not mend in several tries needs a person: the number of tries can be bounded.

use std::sync::Arc;

use pointsman_actors::event::Event;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Answer, Attempt, EffectClass, Inquiry, OnDoubt, Outcome, Parameter, Polling, Success,
    Working,
};
use serde_json::Value as Json;

use super::agent::{self, AGENT_TYPE, MODEL, NOT_CONFIGURED, SERVICES, WAITS};
use super::trigger_codegen::{create, look};
use crate::actions::pull_request::{PR_NUMBER, REPOSITORY};
use crate::actions::with::With;
use crate::integrations::codegen::{Codegen, Standing};

static INFO: ActionInfo = ActionInfo {
    name: "trigger_codegen_fix",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        PR_NUMBER,
        Parameter { name: "goal", accepts: Accepts::Text, default: Some(GOAL) },
        Parameter { name: "analysis", accepts: Accepts::Text, default: None },
        // So many runs may be begun for the pull request; 0 for any number.
        Parameter { name: "at_most", accepts: Accepts::Number, default: Some("{{ 0 }}") },
        Parameter { name: "run_id", accepts: Accepts::OptionalText, default: Some("") },
        MODEL,
        AGENT_TYPE,
    ],
    timeout: None,
    waits: Some(WAITS),
    services: SERVICES,
};

/// What the agent is to do when nobody says anything else.
const GOAL: &str = "A check of it has failed: mend what made it fail.";

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
            let subject = format!("{}#{}", with.text("repository")?, with.number("pr_number")?);
            let prompt = prompt(&subject, &with.text("goal")?, &with.text("analysis")?);
            match earlier(&with)? {
                Some(run_id) => Ok(agent::begun(&codegen.resume(run_id, &prompt, &attempt.key).await?)),
                None => {
                    bounded(&codegen, &subject, with.number("at_most")?).await?;
                    create(&codegen, prompt, subject, &attempt).await.map(|run| agent::begun(&run))
                }
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

/// Refuses another run for a pull request for which there were so many.
async fn bounded(codegen: &Codegen, subject: &str, at_most: u64) -> Result<(), Failure> {
    if at_most == 0 || codegen.count(subject).await? < at_most {
        return Ok(());
    }
    let message = format!("{at_most} agent runs were begun for {subject}, and no more are; it needs a person");
    Err(Failure::new(ErrorClass::Validation, message))
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

fn prompt(subject: &str, goal: &str, analysis: &str) -> String {
    format!(
        "Work on the pull request {subject}, with commits to its branch; open no other one. {goal} Change nothing that has \
         no part in that.\n\n\
         What is known:\n\n{analysis}\n"
    )
}
