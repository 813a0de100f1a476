//! What the configuration says of an agent behind AgentAPI.

use std::net::IpAddr;

use super::settings::Checker;
use crate::integrations::agentapi::AgentApiSettings;

const URL: &str = "integrations.claude_code.api_url";
const REMOTE: &str = "integrations.claude_code.allow_remote_api";
const POLL: &str = "integrations.claude_code.poll_interval";

impl Checker<'_> {
    /// The agent, if there is one. It is believed without having proved who it is, so it must be on this machine unless
    /// somebody answers for more.
    pub(super) fn agent_api(&mut self) -> Option<AgentApiSettings> {
        if self.span(POLL).is_zero() {
            self.wrong(POLL, "must be longer than nothing".to_owned());
        }
        let url = self.url(URL)?.expose().to_owned();
        if !self.flag(REMOTE) && !is_here(&url) {
            let reason = format!(
                "it is not on this machine, and AgentAPI asks nobody who they are: whoever can stand between decides what \
                 passes; if nobody can, set `{REMOTE}`"
            );
            self.wrong(URL, reason);
        }
        Some(AgentApiSettings { url, poll_interval: self.span(POLL) })
    }
}

/// Whether an address is one of this machine.
fn is_here(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return true };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}
