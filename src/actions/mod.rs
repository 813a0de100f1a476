//! What steps can do: a file and a line for each.

mod bounded;
mod github;
mod http_request;
mod named_secrets;
pub mod ports;
mod pull_request;
mod run_command;
pub mod send_notification;
pub mod update_pr_status;
pub mod validate_pr;
mod with;

use std::collections::BTreeMap;
use std::sync::Arc;

use pointsman_actors::executor::port::{Action, Actions};

use crate::integrations::Integrations;

/// All actions, with what they call.
pub fn all(integrations: &Integrations) -> Actions {
    let of_github = github::all(integrations);
    let Integrations { github, slack, claude_code, web, commands, secrets, clock } = integrations.clone();
    let all: [Arc<dyn Action>; 5] = [
        Arc::new(validate_pr::ValidatePr::new(github.clone(), claude_code)),
        Arc::new(update_pr_status::UpdatePrStatus::new(github)),
        Arc::new(send_notification::SendNotification::new(slack)),
        Arc::new(http_request::HttpRequest::new(web, secrets.clone(), clock)),
        Arc::new(run_command::RunCommand::new(commands, secrets)),
    ];
    Arc::new(all.into_iter().chain(of_github).map(|action| (action.info().name, action)).collect::<BTreeMap<_, _>>())
}
