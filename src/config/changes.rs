//! What is different between two configurations. Pure. Of secrets it is said that they differ, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Loaded;
use super::keys::needs_restart;
use super::merged::{Entry, Merged, shown_of};
use super::settings::SecretText;
use super::webhooks::WebhookSettings;
use crate::sources::Validity;

/// Something that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, or the workflow or route.
    pub key: String,
    /// What was there, as far as it may be shown; nothing when it is new.
    pub from: Option<String>,
    /// What is there now; nothing when it is gone.
    pub to: Option<String>,
    /// Whether only a restart puts it in force.
    pub needs_restart: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.key)?;
        match (&self.from, &self.to) {
            (None, Some(to)) => write!(f, "+ {to}")?,
            (Some(from), None) => write!(f, "- {from}")?,
            (Some(from), Some(to)) if from != to => write!(f, "{from} → {to}")?,
            _ => f.write_str("changed")?,
        }
        if self.needs_restart { f.write_str("  (counts after a restart)") } else { Ok(()) }
    }
}

/// What was not to be read by everybody.
const HIDDEN: &str = "***";

/// What a reload changes of the settings.
pub fn settings(from: &Loaded, to: &Loaded) -> Vec<Change> {
    let is_plain = |key: &str| !is_secret_of_source(key);
    let mut changes = differing(&from.merged, &to.merged, &|key| is_plain(key) && !needs_restart(key), false);
    changes.extend(secrets(&from.settings.webhooks, &to.settings.webhooks));
    let in_file = from.settings.admin_token != to.settings.admin_token;
    if in_file && !changes.iter().any(|change| change.key.starts_with("admin.token")) {
        changes.push(changed("admin.token_file", Some(HIDDEN.to_owned()), Some(HIDDEN.to_owned())));
    }
    changes
}

/// What only a restart changes.
pub fn waiting(from: &Merged, to: &Merged) -> Vec<Change> {
    differing(from, to, &needs_restart, true)
}

/// What is different among definitions, each by what tells its versions apart.
pub fn definitions(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let differs = |name: &&String| from.get(*name) != to.get(*name);
    names
        .into_iter()
        .filter(differs)
        .map(|name| changed(name, from.get(name).cloned(), to.get(name).cloned()))
        .collect()
}

fn changed(key: &str, from: Option<String>, to: Option<String>) -> Change {
    Change { key: key.to_owned(), from, to, needs_restart: false }
}

fn differing(from: &Merged, to: &Merged, counts: &dyn Fn(&str) -> bool, needs_restart: bool) -> Vec<Change> {
    let keys: BTreeSet<&str> = from.keys().chain(to.keys()).filter(|key| counts(key)).collect();
    let value = |merged: &'_ Merged, key: &str| merged.entry(key).map(|entry| entry.value.clone());
    let differs = |key: &&str| value(from, key) != value(to, key);
    let show = |entry: &Entry| shown_of(entry);
    let change =
        |key: &str| Change { needs_restart, ..changed(key, from.entry(key).map(show), to.entry(key).map(show)) };
    keys.into_iter().filter(differs).map(change).collect()
}

/// Of secrets it counts what they are, wherever that is kept.
fn is_secret_of_source(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default();
    key.starts_with("webhooks.") && matches!(name, "secret" | "secret_file" | "secrets")
}

fn secrets(from: &[WebhookSettings], to: &[WebhookSettings]) -> Vec<Change> {
    let all = |sources: &[WebhookSettings]| -> BTreeMap<String, (SecretText, Validity)> {
        let of = |source: &WebhookSettings| {
            let name = source.name.clone();
            let named = move |secret: &super::webhooks::SecretSettings| {
                (format!("webhooks.{name}: secret `{}`", secret.name), (secret.text.clone(), secret.validity))
            };
            source.secrets.iter().map(named).collect::<Vec<_>>()
        };
        sources.iter().flat_map(of).collect()
    };
    let (from, to) = (all(from), all(to));
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let differs = |name: &&String| from.get(*name) != to.get(*name);
    let shown = |secrets: &BTreeMap<String, (SecretText, Validity)>, name: &String| {
        secrets.get(name).map(|(_, validity)| format!("{HIDDEN}{}", in_words(validity)))
    };
    names.into_iter().filter(differs).map(|name| changed(name, shown(&from, name), shown(&to, name))).collect()
}

fn in_words(validity: &Validity) -> String {
    let from = validity.from.map(|from| format!(" from {from}"));
    let until = validity.until.map(|until| format!(" until {until}"));
    [from, until].into_iter().flatten().collect()
}
