//! What steps can do in Linear: a file and a line for each.

mod issue_text;
mod linear_agent_activity;
mod linear_agent_session;
mod linear_comment;
mod linear_user;
mod named_in_text;
mod parse_linear_requirements;
mod update_linear_issue;

use std::sync::Arc;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{Accepts, Action, Parameter, Success};
use serde::Serialize;

use crate::integrations::linear::Linear;

/// The breaker of all calls.
const LINEAR: &str = "linear";

/// Why nothing can be done without Linear.
const NOT_CONFIGURED: &str =
    "Linear is not configured; set LINEAR_API_KEY, or LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET";

/// The ticket, taken from the run's input unless the step says otherwise: its id, or `ENG-45`.
const ISSUE: Parameter = Parameter { name: "issue", accepts: Accepts::Text, default: Some("{{ input.issue }}") };

/// The session of an agent, taken from the run's input unless the step says otherwise.
const SESSION: Parameter = Parameter { name: "session", accepts: Accepts::Text, default: Some("{{ input.session }}") };

/// All of them, with what they call.
pub fn all(linear: Option<&Arc<Linear>>) -> [Arc<dyn Action>; 6] {
    let door = || Door(linear.cloned());
    [
        Arc::new(parse_linear_requirements::ParseLinearRequirements(door())),
        Arc::new(update_linear_issue::UpdateLinearIssue(door())),
        Arc::new(linear_comment::LinearComment(door())),
        Arc::new(linear_user::LinearUser(door())),
        Arc::new(linear_agent_activity::LinearAgentActivity(door())),
        Arc::new(linear_agent_session::LinearAgentSession(door())),
    ]
}

/// Linear, if it is configured.
#[derive(Clone)]
struct Door(Option<Arc<Linear>>);

impl Door {
    fn unavailable(&self) -> Option<String> {
        self.0.is_none().then(|| NOT_CONFIGURED.to_owned())
    }

    fn open(&self) -> Result<&Linear, Failure> {
        self.0.as_deref().ok_or_else(|| Failure::new(ErrorClass::Authentication, NOT_CONFIGURED))
    }
}

/// A step that has done what it should, with what later steps see of it.
fn done<T: Serialize>(output: &T) -> Result<Success, Failure> {
    let output = serde_json::to_value(output);
    output.map(Success::Done).map_err(|error| Failure::new(ErrorClass::Internal, error.to_string()))
}
