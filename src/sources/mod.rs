//! The sources: who sends, how they prove it, and what they say. One file and one line in [`build`] each.
//!
//! Pure: bytes and a point in time in, facts or a refusal out.

mod claude_code;
mod codegen;
mod generic;
#[cfg(test)]
mod generic_tests;
mod github;
pub mod github_payload;
mod keyring;
mod linear;
mod loose;
mod redacting;
mod secret;
mod signature;
#[cfg(test)]
mod tests;
pub mod ticket;

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::event::{Facts, Header, Headers, SourceName};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::validator::port::Source;

pub use claude_code::type_of_hook;
pub use generic::{Encoding, Generic, Recipe, Scheme};
pub use keyring::{Keyring, NamedSecret, Standing, Validity};
pub use redacting::Redacting;
pub use secret::{Algorithm, Secret};
pub use signature::StandardHeaders;

/// What the configuration says of a source.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Its name.
    pub name: SourceName,
    /// Its secrets; several while one is being replaced.
    pub secrets: Keyring,
    /// The events that are routed: `type` or `type.action`; empty for all. Others are stored as ignored.
    pub events: Vec<String>,
    /// How far a signed timestamp may be from now, before or after.
    pub timestamp_tolerance: Duration,
    /// Whether deliveries without signature are taken; the configuration allows it only on loopback.
    pub allow_unsigned: bool,
}

/// The names of all built-in sources.
pub const NAMES: [&str; 4] = ["github", "linear", "codegen", "claude-code"];

/// The kinds of correlation keys that events of each source carry.
pub const KEY_KINDS: [(&str, &[&str]); 4] = [
    ("github", &["github:pr", "github:sha"]),
    ("linear", &["linear:issue", "linear:agent_session"]),
    ("codegen", &["codegen:run"]),
    ("claude-code", &["claude:session", "claude:validation"]),
];

/// The built-in source of this name; `None` if there is none.
pub fn build(settings: SourceSettings) -> Option<Arc<dyn Source>> {
    match settings.name.as_str() {
        "github" => Some(Arc::new(github::Github::new(settings))),
        "linear" => Some(Arc::new(linear::Linear::new(settings))),
        "codegen" => Some(Arc::new(codegen::Codegen::new(settings))),
        "claude-code" => Some(Arc::new(claude_code::ClaudeCode::new(settings))),
        _ => None,
    }
}

impl SourceSettings {
    /// Why the source's list of events leaves this one out, if it does.
    fn ignores(&self, facts: &Facts) -> Option<String> {
        let kind = match &facts.action {
            Some(action) => format!("{}.{action}", facts.event_type),
            None => facts.event_type.clone(),
        };
        let listed = self.events.iter().any(|entry| entry == "*" || *entry == kind || *entry == facts.event_type);
        (!self.events.is_empty() && !listed).then(|| format!("`webhooks.{}.events` does not list `{kind}`", self.name))
    }
}

/// Whether the content type is JSON: `application/json` or `…+json`, whatever its parameters.
fn is_json(headers: &Headers) -> Result<bool, Refusal> {
    match media_type(headers)? {
        Some(media) => Ok(media == "application/json" || media.ends_with("+json")),
        None => Ok(false),
    }
}

/// The content type without parameters, in lower case.
fn media_type(headers: &Headers) -> Result<Option<String>, Refusal> {
    match headers.get("content-type") {
        Header::Absent => Ok(None),
        Header::Ambiguous => Err(Refusal::BadHeader("content-type")),
        Header::Text(text) => Ok(Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())),
    }
}

/// The headers of `names` that are there, to be stored.
fn stored(headers: &Headers, names: &[&str]) -> Vec<(String, String)> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), headers.text(name)?.to_owned()))).collect()
}

/// The id of a delivery that has none: the hash of its body.
fn body_hash(body: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(body))
}

/// Whether a name, login or e-mail address is Codegen's.
pub fn is_codegen(name: &str) -> bool {
    contains_ignoring_case(name, "codegen")
}

/// Whether a branch is Codegen's, by its name.
pub fn is_codegens_branch(name: &str) -> bool {
    name.starts_with("codegen/") || name.starts_with("codegen-")
}

/// Words that say that something is about security. Whole words: an author is no authentication.
const OF_SECURITY: [&str; 8] =
    ["security", "vulnerability", "vulnerabilities", "cve", "auth", "authentication", "authorization", "permissions"];

/// Whether one of these texts is about security.
fn is_about_security(texts: &[&str]) -> bool {
    let words = texts.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    words.into_iter().any(|word| OF_SECURITY.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

/// Whether `text` contains `part` (lower-case ASCII), whatever the case.
fn contains_ignoring_case(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}
