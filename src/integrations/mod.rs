//! Clients of what steps call: each knows one provider's protocol, its limits, and which of its errors
//! may pass by themselves. They never decide what a run does, and no credential leaves them.

pub mod agentapi;
pub mod claude_code;
pub mod codegen;
pub mod commands;
pub mod github;
pub mod guard;
pub mod http;
pub mod linear;
pub mod notifications;
pub mod pace;
pub mod process;
pub mod program;
pub mod reviewer;
pub mod secrets;
pub mod tarball;
pub mod verdict;
pub mod web;
pub mod workplace;

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::time::SharedClock;

use crate::config::catch_up::CatchUpSettings;
use crate::config::settings::SecretText;
use agentapi::{AgentApi, AgentApiSettings};
use claude_code::ClaudeCode;
use codegen::{Codegen, CodegenSettings};
use commands::Commands;
use github::{AppCredential, Credential, GitHub};
use ipnet::IpNet;
use linear::{Linear, LinearCredential};
use notifications::{Target, TargetSettings};
use reviewer::Reviewer;
use secrets::Secrets;
use web::Web;

/// What the configuration says of the integrations.
#[derive(Clone, Debug)]
pub struct IntegrationSettings {
    /// GitHub's API; `https://HOST/api/v3` for a server of one's own.
    pub github_api_url: String,
    /// How far apart writes to it go.
    pub github_write_interval: Duration,
    /// Token for GitHub.
    pub github_token: Option<SecretText>,
    /// What is caught up with.
    pub github_catch_up: CatchUpSettings,
    /// How often it is asked from which networks it delivers, if anybody goes by that.
    pub github_ranges_interval: Duration,
    /// App at GitHub; it is used instead of the token.
    pub github_app: Option<AppCredential>,
    /// Linear's API.
    pub linear_api_url: String,
    /// What is shown to Linear.
    pub linear: Option<LinearCredential>,
    /// Codegen.
    pub codegen: CodegenSettings,
    /// Where people are told.
    pub notifications: Vec<TargetSettings>,
    /// The command that runs Claude Code, with leading arguments.
    pub claude_command: String,
    /// Whether it may read the code of a pull request, beside what that changes.
    pub claude_reads_code: bool,
    /// Handed to that command, and to nothing else.
    pub anthropic_api_key: Option<SecretText>,
    /// An agent that is asked instead of the command.
    pub agent_api: Option<AgentApiSettings>,
    /// What steps may do that call anybody or run anything.
    pub generic: GenericSettings,
}

/// What the configuration allows steps that call anybody or run anything.
#[derive(Clone, Debug, Default)]
pub struct GenericSettings {
    /// The programs that steps may run, by name or absolute path.
    pub commands: Vec<String>,
    /// Whether they may run scripts.
    pub allow_shell: bool,
    /// Networks that are not public and may be called all the same when a template names the machine.
    pub allow_private_addresses: Vec<IpNet>,
    /// The secrets that steps may name.
    pub secrets: Secrets,
}

/// The integrations that are configured.
#[derive(Clone)]
pub struct Integrations {
    /// GitHub, with a token.
    pub github: Option<Arc<GitHub>>,
    /// Linear, with a key or an app.
    pub linear: Option<Arc<Linear>>,
    /// Codegen, with a token and an organisation.
    pub codegen: Option<Arc<Codegen>>,
    /// Where people are told, with what the configuration says of each.
    pub notifications: Vec<(TargetSettings, Arc<Target>)>,
    /// Claude Code, or the agent that is asked instead.
    pub claude_code: Arc<Reviewer>,
    /// Anybody who speaks HTTP.
    pub web: Arc<Web>,
    /// The programs that may be run.
    pub commands: Arc<Commands>,
    /// What steps may name and never hold.
    pub secrets: Secrets,
    /// Says how long it is until a date that somebody names.
    pub clock: SharedClock,
}

impl Integrations {
    /// Those of a configuration. `passed_on` are the variables that programs which we start may see,
    /// `clock` says how long it is until a provider's limit is lifted.
    pub fn new(settings: &IntegrationSettings, passed_on: &[(String, String)], clock: SharedClock) -> Self {
        let app = settings.github_app.clone().map(Credential::app);
        let github = app.or_else(|| settings.github_token.clone().map(Credential::Token)).map(|credential| {
            let http = http::client();
            let apart = settings.github_write_interval;
            Arc::new(GitHub::new(http, &settings.github_api_url, credential, Arc::clone(&clock), apart))
        });
        let linear = settings.linear.clone().map(|credential| {
            let http = http::client();
            Arc::new(Linear::new(http, &settings.linear_api_url, credential, Arc::clone(&clock)))
        });
        let codegen = Codegen::new(http::client(), &settings.codegen, Arc::clone(&clock)).map(Arc::new);
        let notifications = settings.notifications.iter();
        let notifications = notifications
            .map(|target| (target.clone(), Arc::new(Target::new(http::client(), target, Arc::clone(&clock)))))
            .collect();
        let claude_code = Arc::new(reviewer(settings, passed_on));
        let generic = &settings.generic;
        let web = Arc::new(Web::new(&generic.allow_private_addresses));
        let commands = Arc::new(Commands::new(generic.commands.clone(), generic.allow_shell, passed_on));
        let secrets = generic.secrets.clone();
        Self { github, linear, codegen, notifications, claude_code, web, commands, secrets, clock }
    }
}

fn reviewer(settings: &IntegrationSettings, passed_on: &[(String, String)]) -> Reviewer {
    if let Some(agent) = &settings.agent_api {
        return Reviewer::Agent(AgentApi::new(agent));
    }
    let (command, key) = (&settings.claude_command, settings.anthropic_api_key.as_ref());
    Reviewer::Command(ClaudeCode::new(command, passed_on, key, settings.claude_reads_code))
}
