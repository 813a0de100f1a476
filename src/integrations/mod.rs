//! Clients of what steps call: each knows one provider's protocol, its limits, and which of its errors
//! may pass by themselves. They never decide what a run does, and no credential leaves them.

pub mod claude_code;
pub mod github;
pub mod http;
pub mod process;
pub mod slack;
pub mod verdict;

use std::sync::Arc;

use pointsman_actors::time::SharedClock;

use crate::config::settings::SecretText;
use claude_code::ClaudeCode;
use github::GitHub;
use http::Redirects;
use slack::Slack;

/// What the configuration says of the integrations.
#[derive(Clone, Debug)]
pub struct IntegrationSettings {
    /// GitHub's API; `https://HOST/api/v3` for a server of one's own.
    pub github_api_url: String,
    /// Token for GitHub.
    pub github_token: Option<SecretText>,
    /// Slack's incoming webhook; its URL is the credential.
    pub slack_webhook_url: Option<SecretText>,
    /// The command that runs Claude Code, with leading arguments.
    pub claude_command: String,
    /// Handed to that command, and to nothing else.
    pub anthropic_api_key: Option<SecretText>,
}

/// The integrations that are configured.
#[derive(Clone)]
pub struct Integrations {
    /// GitHub, with a token.
    pub github: Option<Arc<GitHub>>,
    /// Slack, with a webhook.
    pub slack: Option<Arc<Slack>>,
    /// Claude Code.
    pub claude_code: Arc<ClaudeCode>,
}

impl Integrations {
    /// Those of a configuration. `passed_on` are the variables that programs which we start may see,
    /// `clock` says how long it is until a provider's limit is lifted.
    pub fn new(settings: &IntegrationSettings, passed_on: &[(String, String)], clock: SharedClock) -> Self {
        let github = settings.github_token.clone().map(|token| {
            Arc::new(GitHub::new(http::client(Redirects::Follow), &settings.github_api_url, token, clock))
        });
        let slack = settings.slack_webhook_url.clone();
        let slack = slack.map(|url| Arc::new(Slack::new(http::client(Redirects::Refuse), url)));
        let claude_code =
            Arc::new(ClaudeCode::new(&settings.claude_command, passed_on, settings.anthropic_api_key.as_ref()));
        Self { github, slack, claude_code }
    }
}
