//! What steps can do: a file and a line for each.

mod bounded;
pub mod codegen;
mod github;
mod http_request;
mod linear;
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
    let Integrations { github, linear, codegen, notifications, claude_code, web, commands, secrets, clock } =
        integrations.clone();
    let mut all: Vec<Arc<dyn Action>> = vec![
        Arc::new(validate_pr::ValidatePr::new(github.clone(), claude_code)),
        Arc::new(update_pr_status::UpdatePrStatus::new(github.clone())),
        Arc::new(codegen::trigger_codegen::TriggerCodegen::new(codegen.clone())),
        Arc::new(codegen::trigger_codegen_fix::TriggerCodegenFix::new(codegen.clone(), github)),
        Arc::new(codegen::begin_codegen::BeginCodegen::new(codegen.clone())),
        Arc::new(codegen::await_codegen::AwaitCodegen::new(codegen)),
        Arc::new(send_notification::SendNotification::to(&notifications)),
        Arc::new(http_request::HttpRequest::new(web, secrets.clone(), clock)),
        Arc::new(run_command::RunCommand::new(commands, secrets)),
    ];
    all.extend(of_github);
    all.extend(linear::all(linear.as_ref()));
    Arc::new(all.into_iter().map(|action| (action.info().name, action)).collect::<BTreeMap<_, _>>())
}
