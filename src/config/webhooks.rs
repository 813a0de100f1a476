//! The sources as the configuration has them: what is on, at which path, and with which secrets.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::time::Timestamp;

use super::addresses::AddressSettings;
use super::merged::{Origin, Problem};
use super::settings::{Checker, SecretText};
use super::value::Value;
use super::written_secret::{Kept, WrittenSecret};
use crate::sources::{self, Recipe, Scheme, Secret, Standing, Validity};

/// A webhook source that is on.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Its name.
    pub name: String,
    /// What the configuration describes of it; nothing of a built-in one.
    pub recipe: Option<Arc<Recipe>>,
    /// Whether the configuration says in so many words that it is on.
    pub is_demanded: bool,
    /// Its secrets, whether they count now or not.
    pub secrets: Vec<SecretSettings>,
    /// The events that are routed; empty for all.
    pub events: Vec<String>,
    /// Its path.
    pub path: String,
    /// The largest body in bytes.
    pub max_body: u64,
    /// How far a signed timestamp may be from now.
    pub timestamp_tolerance: Duration,
    /// Who may deliver.
    pub addresses: AddressSettings,
    /// Whether signatures are not asked for.
    pub allow_unsigned: bool,
    /// Verified deliveries in the window of the rate limiter; no limit when absent.
    pub max_requests: Option<u32>,
}

/// A secret of a source.
#[derive(Clone, Debug)]
pub struct SecretSettings {
    /// What people call it: the given name, `secret`, or `secrets[0]`.
    pub name: String,
    /// The secret.
    pub text: SecretText,
    /// When it counts.
    pub validity: Validity,
}

/// What is to be said of the secrets of a source at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// None counts now, so nothing that is sent is taken.
    NoneValid,
    /// In so long none will count any more.
    AllExpire(Duration),
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneValid => f.write_str("no secret of it counts now, so that every delivery is refused"),
            Self::AllExpire(left) => {
                write!(f, "in {} no secret of it counts any more; add the next one to `secrets`", in_words(*left))
            }
        }
    }
}

/// A time that is left, as far as it matters.
pub fn in_words(left: Duration) -> String {
    let hours = left.as_secs() / 3_600;
    match hours / 24 {
        0 => format!("{hours} h"),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Largest body when the source says nothing: GitHub sends up to 25 MB.
const MAX_BODY: u64 = 25 << 20;
/// What is accepted for compatibility, and has no effect.
const TIMESTAMP: &str = "validator.timestamp";
/// Linear asks receivers for a minute (linear.app/developers, "Webhooks").
const LINEAR_TOLERANCE: Duration = Duration::from_secs(60);
/// What the libraries of Standard Webhooks use.
const TOLERANCE: Duration = Duration::from_secs(300);
/// What is shorter is hardly random; NIST SP 800-107r1, section 5.3.4, asks for 112 bits of a key of HMAC.
const SHORT_SECRET: usize = 16;
/// Whoever replaces a secret needs some days for it.
pub const NOTICE: Duration = Duration::from_secs(7 * 86_400);

/// Whether a client that is given this path asks for it as it stands. Clients take segments of dots out (RFC 3986,
/// section 5.2.4), and proxies such as nginx merge slashes; a single one at the end stays.
fn is_path(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/').filter(|rest| !rest.is_empty()) else { return false };
    let whole = segments.strip_suffix('/').unwrap_or(segments);
    whole.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
        && path.chars().all(|c| c.is_ascii_graphic() && !"{}?#%*\\".contains(c))
}

impl WebhookSettings {
    /// What is to be said of its secrets, if anything.
    pub fn concern(&self, now: Timestamp) -> Option<Concern> {
        let counting = self.secrets.iter().filter_map(|secret| match secret.validity.standing(now) {
            Standing::Valid(left) => Some(left),
            Standing::NotYet | Standing::Expired => None,
        });
        let counting: Vec<Option<Duration>> = counting.collect();
        if counting.is_empty() {
            return (!self.allow_unsigned).then_some(Concern::NoneValid);
        }
        let longest = counting.into_iter().collect::<Option<Vec<Duration>>>()?.into_iter().max()?;
        let (end, then) = (now.plus(longest), now.plus(NOTICE));
        let goes_on = |secret: &SecretSettings| {
            matches!(secret.validity.standing(then), Standing::Valid(_))
                && secret.validity.from.is_none_or(|from| from <= end)
        };
        (!self.secrets.iter().any(goes_on)).then_some(Concern::AllExpire(longest))
    }
}

impl Checker<'_> {
    pub(super) fn webhooks(&mut self, bind: Option<IpAddr>) -> Vec<WebhookSettings> {
        if !self.flag(TIMESTAMP) {
            let reason = "it has no effect: signed timestamps are always checked; how far one may be from now can be widened with \
                          `webhooks.<source>.timestamp_tolerance`";
            self.concern(TIMESTAMP, reason.to_owned());
        }
        let names: Vec<String> = self.source_names().map(str::to_owned).collect();
        let on: Vec<WebhookSettings> = names.iter().filter_map(|name| self.webhook(name, bind)).collect();
        for (index, source) in on.iter().enumerate() {
            let path = format!("webhooks.{}.path", source.name);
            if on.iter().take(index).any(|earlier| earlier.path == source.path) {
                self.wrong(&path, format!("`{}` is another source's path already", source.path));
            }
            let reserved = ["/health", "/metrics", "/api", "/session", "/assets"].iter().any(|taken| {
                source.path.strip_prefix(taken).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            if !is_path(&source.path) || reserved {
                self.wrong(
                    &path,
                    format!("`{}` cannot be used; give a path such as /webhooks/{}", source.path, source.name),
                );
            }
        }
        on
    }

    /// The names of all sources, on or off.
    pub(super) fn source_names(&self) -> impl Iterator<Item = &str> {
        sources::NAMES.into_iter().chain(self.merged.sources.keys().map(String::as_str))
    }

    fn webhook(&mut self, name: &str, bind: Option<IpAddr>) -> Option<WebhookSettings> {
        let key = |key: &str| format!("webhooks.{name}.{key}");
        // GitHub and Linear take any text.
        let described = self.merged.sources.get(name).cloned();
        let recipe = described.as_ref().and_then(|origin| self.recipe(name, origin));
        let is_standard = recipe.as_ref().is_some_and(|recipe| matches!(recipe.scheme, Scheme::Standard(_)));
        let may_be_standard = is_standard || matches!(name, "codegen" | "claude-code");
        let secrets = self.secrets_of(name, may_be_standard);
        let enabled = self.merged.entry(&key("enabled")).map(|_| self.flag(&key("enabled")));
        let allow_unsigned = self.flag(&key("allow_unsigned"));
        if enabled == Some(false) {
            return None;
        }
        if allow_unsigned && !self.list("server.trusted_proxies").is_empty() {
            let reason = "not behind a proxy, which lets the world in: give the source a secret, or take out `server.trusted_proxies`";
            self.wrong(&key("allow_unsigned"), reason.to_owned());
        }
        if allow_unsigned && !bind.is_some_and(|ip| ip.is_loopback()) {
            self.wrong(
                &key("allow_unsigned"),
                "only on a loopback address; set `server.host` to 127.0.0.1, or give the source a secret".to_owned(),
            );
        }
        if secrets.is_empty() && !allow_unsigned {
            if enabled == Some(true) {
                let variable = format!("{}_WEBHOOK_SECRET", name.to_uppercase().replace('-', "_"));
                self.wrong(&key("enabled"), format!("the source has no secret; set `{}` or {variable}", key("secret")));
            }
            return None;
        }
        let max_body = key("max_body");
        if self.merged.entry(&max_body).is_some() && self.count(&max_body) == 0 {
            self.wrong(&max_body, "must be more than nothing".to_owned());
        }
        let tolerance = if name == "linear" { LINEAR_TOLERANCE } else { TOLERANCE };
        let given = [key("timestamp_tolerance"), "validator.timestamp_tolerance".to_owned()];
        let given = given.iter().find(|path| self.merged.entry(path).is_some()).map(|path| self.span(path));
        if described.is_some() && recipe.is_none() {
            return None;
        }
        Some(WebhookSettings {
            name: name.to_owned(),
            recipe,
            is_demanded: enabled == Some(true),
            secrets,
            events: self.list(&key("events")),
            path: self.text(&key("path")).unwrap_or_else(|| format!("/webhooks/{name}")),
            max_body: Some(self.count(&key("max_body"))).filter(|bytes| *bytes > 0).unwrap_or(MAX_BODY),
            timestamp_tolerance: given.unwrap_or(tolerance),
            addresses: self.addresses(name, bind),
            allow_unsigned,
            max_requests: self.max_requests(&key("max_requests")),
        })
    }

    /// How many verified deliveries are taken, if that is limited.
    fn max_requests(&mut self, path: &str) -> Option<u32> {
        self.merged.entry(path)?;
        if self.count(path) == 0 {
            self.wrong(path, "must be at least 1; leave it unset for no limit".to_owned());
        }
        Some(self.number(path))
    }

    /// The secrets of a source. With one that is blank anybody could sign.
    fn secrets_of(&mut self, source: &str, may_be_standard: bool) -> Vec<SecretSettings> {
        let (own, file) = (format!("webhooks.{source}.secret"), format!("webhooks.{source}.secret_file"));
        let list = format!("webhooks.{source}.secrets");
        let mut secrets: Vec<SecretSettings> = Vec::new();
        let single = self.secret(&own, &file);
        let named = if self.text(&own).is_some() { own } else { file };
        let origin = self.merged.entry(&named).map_or(Origin::Default, |entry| entry.origin.clone());
        let (name, validity) = ("secret".to_owned(), Validity::ALWAYS);
        let single = single.map(|text| (named, origin, SecretSettings { name, text, validity }));
        let written = self.written_secrets(&list);
        let listed = written.into_iter().enumerate().filter_map(|(number, written)| {
            let (key, origin) = (format!("{list}[{number}]"), written.origin.clone());
            let name = written.name.clone().unwrap_or_else(|| format!("secrets[{number}]"));
            let text = self.kept_secret(&key, &written)?;
            Some((key, origin, SecretSettings { name, text, validity: written.validity }))
        });
        for (key, origin, secret) in single.into_iter().chain(listed.collect::<Vec<_>>()) {
            let text = secret.text.expose();
            let reason = if text.trim().is_empty() {
                "it is blank; anybody could sign with it".to_owned()
            } else if may_be_standard && !Secret::is_usable(text) {
                "a secret that begins with `whsec_` goes on in base64; was it copied whole?".to_owned()
            } else if secrets.iter().any(|earlier| earlier.name == secret.name) {
                format!("another secret of the source is called `{}` already", secret.name)
            } else {
                if text.len() < SHORT_SECRET {
                    let reason = format!(
                        "a secret of less than {SHORT_SECRET} characters can be found by whoever sees one signed delivery; \
                         `pointsman secrets new` makes a good one"
                    );
                    self.warnings.push(Problem { key, origin, reason });
                }
                secrets.push(secret);
                continue;
            };
            self.problems.push(Problem { key, origin, reason });
        }
        secrets
    }

    fn written_secrets(&self, path: &str) -> Vec<WrittenSecret> {
        match self.merged.entry(path).map(|entry| &entry.value) {
            Some(Value::Secrets(secrets)) => secrets.clone(),
            _ => Vec::new(),
        }
    }

    fn kept_secret(&mut self, key: &str, written: &WrittenSecret) -> Option<SecretText> {
        match &written.kept {
            Kept::Value(text) => Some(text.clone()),
            Kept::File(file) => self.secret_in(Path::new(file), &format!("{key}.file"), &written.origin),
            Kept::Credential(name) => {
                let key = format!("{key}.credential");
                if let Some(directory) = &self.merged.credentials {
                    return self.secret_in(&directory.join(name), &key, &written.origin);
                }
                let reason = "there are no credentials: CREDENTIALS_DIRECTORY is not set, which systemd does for a \
                              service with LoadCredential=";
                self.problems.push(Problem { key, origin: written.origin.clone(), reason: reason.to_owned() });
                None
            }
        }
    }
}
