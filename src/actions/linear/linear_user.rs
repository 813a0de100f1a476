//! `linear_user`: who somebody is. Of those who had a ticket before, Linear's events give the ids alone. Changes nothing
//! outside.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde::Serialize;

use super::{Door, LINEAR, done};
use crate::actions::with::With;

static INFO: ActionInfo = ActionInfo {
    name: "linear_user",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[Parameter { name: "id", accepts: Accepts::OptionalText, default: None }],
    timeout: None,
    waits: None,
    services: &[LINEAR],
};

/// The action.
pub struct LinearUser(pub(super) Door);

/// What later steps see. Of nobody, and of somebody who is not there any more, there is nothing.
#[derive(Default, Serialize)]
struct Output {
    /// Linear's id.
    id: Option<String>,
    /// The name.
    name: Option<String>,
    /// Whether it is Codegen, by name or e-mail address.
    is_codegen: bool,
}

impl Action for LinearUser {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let door = self.0.clone();
        Box::pin(async move { user(&door, &attempt).await })
    }
}

async fn user(door: &Door, attempt: &Attempt) -> Result<Success, Failure> {
    let id = With(&attempt.with).text_or_empty("id")?;
    if id.is_empty() {
        return done(&Output::default());
    }
    match door.open()?.user(&id).await {
        Ok(person) => {
            let is_codegen = person.is_codegen();
            done(&Output { id: Some(person.id), name: Some(person.name), is_codegen })
        }
        Err(failure) if failure.class == ErrorClass::NotFound => done(&Output::default()),
        Err(failure) => Err(failure),
    }
}
