//! What the configuration says of the providers that are called.

use super::addresses::RANGES_INTERVAL;
use super::settings::{Checker, SecretText};
use crate::integrations::IntegrationSettings;

impl Checker<'_> {
    pub(super) fn integrations(&mut self) -> IntegrationSettings {
        IntegrationSettings {
            github_api_url: self.url("integrations.github.api_url").unwrap_or_default().0,
            github_write_interval: self.span("integrations.github.write_interval"),
            github_app: self.github_app(),
            github_token: self.credential("integrations.github.token"),
            github_catch_up: self.catch_up(),
            github_ranges_interval: self.span(RANGES_INTERVAL),
            linear_api_url: self.url("integrations.linear.api_url").unwrap_or_default().0,
            linear: self.linear(),
            codegen: self.codegen(),
            notifications: self.notifications(),
            claude_command: self.text("integrations.claude_code.command").unwrap_or_default(),
            claude_reads_code: self.text("integrations.claude_code.code").is_none_or(|code| code == "tarball"),
            anthropic_api_key: self.credential("integrations.claude_code.api_key"),
            agent_api: self.agent_api(),
            generic: self.generic(),
        }
    }

    /// An address that is called. It may be a credential, so what is wrong with it is said without it.
    pub(super) fn url(&mut self, path: &str) -> Option<SecretText> {
        let text = self.text(path)?.trim().to_owned();
        let url = reqwest::Url::parse(&text).ok();
        match url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some()) {
            None => {
                let reason = "it is not an address that can be called; it begins with https:// or http://";
                self.wrong(path, reason.to_owned());
            }
            Some(url) if self.is_shown(path) && (!url.username().is_empty() || url.password().is_some()) => {
                let reason = "it holds a user or a password before the host; credentials do not belong into an address, which is \
                              shown in lists and in the log";
                self.wrong(path, reason.to_owned());
            }
            Some(_) => {}
        }
        Some(SecretText(text))
    }

    /// Whether the value of a key is seen in lists, in answers and in the log.
    fn is_shown(&self, path: &str) -> bool {
        self.merged.entry(path).is_some_and(|entry| !entry.kind.is_secret())
    }

    /// A token that goes into a header. A line's end after it, as files have, is none of it.
    pub(super) fn credential(&mut self, path: &str) -> Option<SecretText> {
        let text = self.text(path)?.trim().to_owned();
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
            self.wrong(path, "it holds blanks or characters that no token has".to_owned());
        }
        Some(SecretText(text))
    }
}
