//! Profiles: defaults for a purpose. What one sets, file, environment and flags override.
//!
//! They are those of the JavaScript original, as far as our defaults are not others for a reason: the backends stay what they are;
//! `production` has no maximum of events, because with a retention by days that would only take what somebody still
//! looks for; and what steers nothing here is left out.

use std::collections::BTreeMap;

use super::merged::{Origin, nearest};

/// The key that names one.
pub const KEY: &str = "profile";

/// The variable of ours that does.
pub const VARIABLE: &str = "POINTSMAN_PROFILE";

/// The variable of Node.js, which the original went by. It is not ours: others set it as well, and to whatever they like.
pub const OF_NODE: &str = "NODE_ENV";

/// Their names.
pub const NAMES: [&str; 3] = ["development", "testing", "production"];

/// A profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Its keys, with their values in TOML.
    pub values: &'static [(&'static str, &'static str)],
}

#[rustfmt::skip] // a table reads by rows
const PROFILES: [Profile; 3] = [
    Profile { name: "development", values: &[
        ("server.port", "3001"),
        ("event_queue.max_size", "1000"),
        ("event_queue.concurrency", "2"),
        ("event_store.max_events", "10000"),
        ("event_store.retention", "\"7d\""),
        ("logging.level", "\"debug\""),
    ] },
    Profile { name: "testing", values: &[
        ("server.port", "0"),
        ("event_queue.max_size", "100"),
        ("event_queue.concurrency", "1"),
        ("event_queue.timeout", "\"5s\""),
        ("retry_manager.max_delay", "\"1s\""),
        ("workflow.max_concurrent", "2"),
        ("workflow.timeout", "\"10s\""),
        ("workflow.max_retries", "1"),
        ("workflow.retry_delay", "\"100ms\""),
    ] },
    Profile { name: "production", values: &[
        ("server.port", "8080"),
        ("event_queue.max_size", "50000"),
        ("event_queue.concurrency", "10"),
        ("event_store.retention", "\"90d\""),
        ("circuit_breaker.threshold", "10"),
        ("workflow.max_concurrent", "50"),
        ("validator.ip_whitelist", "true"),
        ("rate_limiter.max_requests", "500"),
        ("logging.level", "\"warn\""),
    ] },
];

/// What is chosen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The profile, and who has chosen it.
    pub profile: Option<(Profile, Origin)>,
    /// What Node.js calls its environment, if that is no profile and nothing of ours names one.
    pub unknown: Option<String>,
}

/// What is chosen by the key with this value at this place of the file, or the environment: our variable first, then the file,
/// then the one of Node.js. What is wrong with the first two is said where they are read.
pub fn choose(file: Option<(&str, Origin)>, environment: &BTreeMap<String, String>) -> Choice {
    let set = |name: &str| environment.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let ours = set(VARIABLE).map(|text| (text, Origin::Variable(VARIABLE.to_owned()))).or(file);
    if let Some((text, origin)) = ours {
        return Choice { profile: named(text).map(|profile| (profile, origin)), unknown: None };
    }
    let Some(text) = set(OF_NODE) else { return Choice::default() };
    let profile = named(text).map(|profile| (profile, Origin::Variable(OF_NODE.to_owned())));
    Choice { unknown: profile.is_none().then(|| text.to_owned()), profile }
}

fn named(text: &str) -> Option<Profile> {
    PROFILES.into_iter().find(|profile| profile.name == text)
}

/// Names the profile that somebody may have meant: names are cut off more often than they are misspelt.
pub fn meant(text: &str) -> String {
    let begun = NAMES.into_iter().find(|name| text.len() > 2 && name.starts_with(&text.to_ascii_lowercase()));
    begun.map_or_else(|| nearest(text, NAMES.into_iter()), |name| format!("; did you mean `{name}`?"))
}
