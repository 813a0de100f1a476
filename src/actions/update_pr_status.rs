//! `update_pr_status`: sets the commit status at the head of a pull request, and with an App
//! a check run that says the same. Setting it twice is as
//! setting it once.

use std::sync::Arc;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde_json::json;

use super::ports::PullRequests;
use super::pull_request::{self, HEAD_SHA, Head, PR_NUMBER, REPOSITORY, Standing};
use super::with::With;
use crate::integrations::github::{GitHub, Status};

static INFO: ActionInfo = ActionInfo {
    name: "update_pr_status",
    class: EffectClass::Idempotent,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        PR_NUMBER,
        HEAD_SHA,
        Parameter { name: "state", accepts: Accepts::OneOf(&STATES), default: None },
        Parameter { name: "description", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "context", accepts: Accepts::Text, default: Some("pointsman/validation") },
        Parameter { name: "target_url", accepts: Accepts::OptionalText, default: Some("") },
    ],
    timeout: None,
    waits: None,
    services: &["github"],
};

/// The states that GitHub knows.
static STATES: [&str; 4] = ["error", "failure", "pending", "success"];

/// The action.
pub struct UpdatePrStatus<G = GitHub> {
    github: Option<Arc<G>>,
}

impl<G> UpdatePrStatus<G> {
    /// With this client.
    pub fn new(github: Option<Arc<G>>) -> Self {
        Self { github }
    }
}

impl<G: PullRequests> Action for UpdatePrStatus<G> {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.github.is_none().then(|| pull_request::NOT_CONFIGURED.to_owned())
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.github.clone();
        Box::pin(async move { update(github.as_deref().ok_or_else(pull_request::not_configured)?, &attempt).await })
    }
}

async fn update(github: &impl PullRequests, attempt: &Attempt) -> Result<Success, Failure> {
    let (head, with) = (Head::of(&attempt.with)?, With(&attempt.with));
    let status = Status {
        state: with.text("state")?,
        context: with.text("context")?,
        description: with.text_or_empty("description")?,
        target_url: with.text_or_empty("target_url")?,
    };
    if !STATES.contains(&status.state.as_str()) {
        let message = format!("with.state: `{}` is none of {}", status.state, STATES.join(", "));
        return Err(Failure::new(ErrorClass::Validation, message));
    }
    if let Standing::Old(reason) = head.look(github).await? {
        return Ok(Success::Superseded(reason));
    }
    let set = github.set_status(&head.repository, &head.sha, &status, &attempt.key).await?;
    let check_run = github.set_check(&head.repository, &head.sha, &status, &attempt.key).await?;
    let id = set.get("id");
    Ok(Success::Done(json!({ "state": status.state, "context": status.context, "id": id, "check_run": check_run })))
}
