//! Where people are told, as the configuration says: Slack's own variable, and a table for each further target.

use super::keys::{TARGETS, target_variable as variable};
use super::merged::{Origin, Problem};
use super::settings::{Checker, SecretText};
use crate::integrations::notifications::{Kind, TargetSettings};
use crate::sources::Secret;

/// The address that has had a variable of its own from the first.
const SLACK_URL: &str = "integrations.slack.webhook_url";

impl Checker<'_> {
    /// The targets, by name.
    pub(super) fn notifications(&mut self) -> Vec<TargetSettings> {
        let mut targets: Vec<TargetSettings> = self.slack().into_iter().collect();
        for (name, origin) in self.merged.targets.clone() {
            let path = format!("{TARGETS}.{name}");
            if !super::is_name(&name) {
                let reason = "a target's name has small letters, digits, `-` and `_` only, and no more than 40";
                self.problems.push(Problem { key: path, origin, reason: reason.to_owned() });
            } else if targets.iter().any(|target| target.name == name) {
                let reason = format!("`{name}` is the target of {SLACK_URL} already; name this one otherwise");
                self.problems.push(Problem { key: path, origin, reason });
            } else {
                targets.extend(self.target(name, (&path, &origin)));
            }
        }
        targets.sort_by(|one, other| one.name.cmp(&other.name));
        targets
    }

    fn slack(&mut self) -> Option<TargetSettings> {
        let (name, kind) = (Kind::Slack.name().to_owned(), Kind::Slack);
        Some(TargetSettings { name, kind, url: self.url(SLACK_URL)?, secret: None, is_default: true })
    }

    fn target(&mut self, name: String, (path, origin): (&str, &Origin)) -> Option<TargetSettings> {
        let key = |key: &str| format!("{path}.{key}");
        let kind = self.text(&key("kind"));
        let kind = Kind::ALL.into_iter().find(|known| kind.as_deref() == Some(known.name()));
        if kind.is_none() && self.merged.entry(&key("kind")).is_none() {
            let reason = "it is missing; give slack, discord or webhook".to_owned();
            self.missing(key("kind"), origin, reason);
        }
        if self.text(&key("url")).is_none() && self.text(&key("url_file")).is_none() {
            let reason = format!("it is missing; set this, `url_file` or {}", variable(&name, "URL"));
            self.missing(key("url"), origin, reason);
        }
        let url = self.address(path);
        let secret = self.secret(&key("secret"), &key("secret_file"));
        match (kind, &secret) {
            (Some(Kind::Webhook), None) => {
                let reason = format!("a webhook is signed; set this, `secret_file` or {}", variable(&name, "SECRET"));
                self.missing(key("secret"), origin, reason);
            }
            (Some(Kind::Webhook), Some(secret)) if !Secret::is_standard(secret.expose()) => {
                let reason = "it is `whsec_` and the base64 of 24 to 64 bytes; was it copied whole?".to_owned();
                self.wrong(&self.given(path, "secret"), reason);
            }
            (Some(Kind::Slack | Kind::Discord), Some(_)) => {
                self.wrong(&self.given(path, "secret"), "only a webhook is signed; leave it out".to_owned());
            }
            _ => {}
        }
        let is_default = self.merged.entry(&key("default")).is_none() || self.flag(&key("default"));
        Some(TargetSettings { name, kind: kind?, url: url?, secret, is_default })
    }

    /// A key is not there, unless what is there was found to be wrong already.
    pub(super) fn missing(&mut self, key: String, origin: &Origin, reason: String) {
        if !self.problems.iter().any(|problem| problem.key == key) {
            self.problems.push(Problem { key, origin: origin.clone(), reason });
        }
    }

    /// Its address. What is wrong with it is said without it.
    fn address(&mut self, path: &str) -> Option<SecretText> {
        let (url, file) = (format!("{path}.url"), format!("{path}.url_file"));
        let text = self.secret(&url, &file)?;
        match crate::integrations::web::address(text.expose()) {
            Ok(url) => Some(SecretText::new(url)),
            Err(reason) => {
                self.wrong(&self.given(path, "url"), reason);
                None
            }
        }
    }

    /// The key that gave what may stand in a file of its own.
    fn given(&self, path: &str, key: &str) -> String {
        let own = format!("{path}.{key}");
        if self.merged.entry(&own).is_some() { own } else { format!("{own}_file") }
    }
}
