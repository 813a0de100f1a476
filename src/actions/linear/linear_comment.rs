//! `linear_comment`: writes a comment at a ticket. Its id follows from the step's key, so that writing it again
//! is as writing it once.

use pointsman_actors::executor::failure::Failure;
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde::Serialize;

use super::{Door, ISSUE, LINEAR, done};
use crate::actions::with::With;

static INFO: ActionInfo = ActionInfo {
    name: "linear_comment",
    class: EffectClass::Keyed,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        ISSUE,
        Parameter { name: "body", accepts: Accepts::Text, default: None },
        Parameter { name: "parent", accepts: Accepts::OptionalText, default: Some("") },
    ],
    timeout: None,
    waits: None,
    services: &[LINEAR],
};

/// The action.
pub struct LinearComment(pub(super) Door);

impl Action for LinearComment {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let door = self.0.clone();
        Box::pin(async move { comment(&door, &attempt).await })
    }
}

/// What later steps see.
#[derive(Serialize)]
struct Commented {
    /// The comment's id.
    id: String,
    /// Where people see it.
    url: Option<String>,
}

async fn comment(door: &Door, attempt: &Attempt) -> Result<Success, Failure> {
    let with = With(&attempt.with);
    let (issue, body, parent) = (with.text("issue")?, with.text("body")?, with.text_or_empty("parent")?);
    let parent = Some(parent.as_str()).filter(|parent| !parent.is_empty());
    let made = door.open()?.comment(&issue, &body, parent, &attempt.key).await?;
    done(&Commented { id: made.id, url: made.url })
}
