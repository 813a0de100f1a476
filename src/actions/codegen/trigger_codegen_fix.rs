//! `trigger_codegen_fix`: has Codegen change a pull request after what an analysis found or somebody asks, and is done when
//! that is. With the number of an earlier run the same agent goes on, knowing what it did. Agents cost, and what one could
//! not mend in several tries needs a person: the number of tries can be bounded. As long as another agent is at work on the
//! pull request, the step waits for its end, and begins then.

use std::sync::Arc;

use pointsman_actors::event::Event;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Answer, Attempt, EffectClass, Inquiry, OnDoubt, Outcome, Parameter, Polling, Success,
    Working,
};
use pointsman_actors::time::Timestamp;
use serde_json::{Value as Json, json};

use super::agent::{self, AGENT_TYPE, CODEGEN, MODEL, NOT_CONFIGURED, WAITS};
use super::trigger_codegen::{chosen, create, look};
use super::turn::{Place, Plan, Turn};
use crate::actions::pull_request::{self, PR_NUMBER, REPOSITORY};
use crate::actions::with::With;
use crate::integrations::codegen::{About, AgentRun, Codegen, Standing};
use crate::integrations::github::GitHub;

/// Where the pull request is.
const GITHUB: &str = "github";

static INFO: ActionInfo = ActionInfo {
    name: "trigger_codegen_fix",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        PR_NUMBER,
        Parameter { name: "goal", accepts: Accepts::Text, default: Some(GOAL) },
        Parameter { name: "analysis", accepts: Accepts::Text, default: None },
        // With it, the agent is for this head of the pull request: none is begun for an older one, nor a second one for it.
        Parameter { name: "head_sha", accepts: Accepts::OptionalText, default: Some("") },
        // What the agent is for; by that agents are counted.
        Parameter { name: "purpose", accepts: Accepts::OptionalText, default: Some("") },
        // So many runs may be begun for the pull request, with this purpose if one is given; 0 for any number.
        Parameter { name: "at_most", accepts: Accepts::Number, default: Some("{{ 0 }}") },
        Parameter { name: "run_id", accepts: Accepts::OptionalText, default: Some("") },
        MODEL,
        AGENT_TYPE,
    ],
    timeout: None,
    waits: Some(WAITS),
    services: &[CODEGEN, GITHUB],
};

/// What the agent is to do when nobody says anything else.
const GOAL: &str = "A check of it has failed: mend what made it fail.";

/// Where the output of an attempt that has begun nothing names the agent run that comes to its end first.
const WAITS_FOR: &str = "waits_for";

/// The action.
pub struct TriggerCodegenFix {
    codegen: Option<Arc<Codegen>>,
    github: Option<Arc<GitHub>>,
}

impl TriggerCodegenFix {
    /// With these clients.
    pub fn new(codegen: Option<Arc<Codegen>>, github: Option<Arc<GitHub>>) -> Self {
        Self { codegen, github }
    }
}

impl Action for TriggerCodegenFix {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        let lacks = |is_there: bool, reason: &str| (!is_there).then(|| reason.to_owned());
        lacks(self.codegen.is_some(), NOT_CONFIGURED)
            .or_else(|| lacks(self.github.is_some(), pull_request::NOT_CONFIGURED))
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let (codegen, github) = (self.codegen.clone(), self.github.clone());
        Box::pin(async move {
            let (codegen, github) =
                (codegen.ok_or_else(agent::not_configured)?, github.ok_or_else(pull_request::not_configured)?);
            let plan = plan(&With(&attempt.with))?;
            let pull = github.pull(&plan.repository, plan.number).await.map_err(|failure| failure.of(GITHUB))?;
            match plan.place(&pull)? {
                Place::Old(reason) => Ok(Success::Superseded(reason)),
                Place::Open => {
                    begin(&codegen, plan, pull.created_at, &attempt).await.map_err(|failure| failure.of(CODEGEN))
                }
            }
        })
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let codegen = self.codegen.clone();
        Box::pin(async move {
            let codegen = codegen.ok_or_else(agent::not_configured)?;
            let found = match earlier(&With(&attempt.with))? {
                Some(run_id) => look_at(&codegen, run_id).await,
                None => look(&codegen, &attempt).await,
            };
            found.map_err(|failure| failure.of(CODEGEN))
        })
    }

    fn called(&self, event: &Event, output: &Json) -> Outcome {
        match output.get(WAITS_FOR) {
            Some(other) => Err(has_ended(other)),
            None => agent::called(event, output),
        }
    }

    fn polling(&self) -> Option<Polling> {
        self.codegen.as_ref().map(|codegen| codegen.polling())
    }

    fn poll(&self, inquiry: Inquiry) -> Working<Answer> {
        let codegen = self.codegen.clone();
        Box::pin(async move {
            let codegen = codegen.ok_or_else(agent::not_configured)?;
            let answer = match inquiry.output.get(WAITS_FOR).cloned() {
                None => agent::asked(&codegen, &inquiry).await,
                Some(other) => {
                    let inquiry = Inquiry { output: other.clone(), ..inquiry };
                    agent::asked(&codegen, &inquiry).await.map(|ended| ended.map(|_| Err(has_ended(&other))))
                }
            };
            answer.map_err(|failure| failure.of(CODEGEN))
        })
    }
}

fn plan(with: &With<'_>) -> Result<Plan, Failure> {
    Ok(Plan {
        repository: with.text("repository")?,
        number: with.number("pr_number")?,
        purpose: chosen(with.text_or_empty("purpose")?),
        head: chosen(with.text_or_empty("head_sha")?),
        at_most: with.number("at_most")?,
    })
}

/// Begins an agent run, or has one go on, when it is our turn; `opened` is when the pull request was.
async fn begin(codegen: &Codegen, plan: Plan, opened: Option<Timestamp>, attempt: &Attempt) -> Outcome {
    let with = With(&attempt.with);
    let prompt = prompt(&plan.subject(), &with.text("goal")?, &with.text("analysis")?);
    if let Some(run_id) = earlier(&with)? {
        return Ok(agent::begun(&codegen.resume(run_id, &prompt, &attempt.key).await?));
    }
    // No agent was begun for a pull request before there was one.
    let since = plan.looks_back().then(|| opened.unwrap_or_default());
    let listed = codegen.listed(since).await?;
    match plan.turn(&listed, &format!("{}/", attempt.run))? {
        Turn::After(other) => Ok(after(&other)),
        Turn::Now => {
            let about = About { subject: Some(plan.subject()), purpose: plan.purpose, head: plan.head };
            create(codegen, prompt, about, attempt).await.map(|run| agent::begun(&run))
        }
    }
}

/// The step waits for the end of an agent that others have begun.
fn after(other: &AgentRun) -> Success {
    Success::Waiting { keys: vec![other.correlation_key()], output: json!({ WAITS_FOR: agent::shown(other) }) }
}

/// However it has ended, it is not in the way any more. Having waited for it is no attempt of ours.
fn has_ended(other: &Json) -> Failure {
    let id = other.get("run_id").and_then(Json::as_u64).unwrap_or_default();
    let message = format!("the agent run {id}, which was at work on the pull request, has ended");
    Failure::new(ErrorClass::Temporary, message).unsent()
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

fn prompt(subject: &str, goal: &str, analysis: &str) -> String {
    format!(
        "Work on the pull request {subject}, with commits to its branch; open no other one. {goal} Change nothing that has \
         no part in that.\n\n\
         What is known:\n\n{analysis}\n"
    )
}
