//! The configuration as used: plain values that have been checked. Invalid settings do not exist past
//! start-up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use pointsman_actors::circuit_breaker::circuit::Policy;
use pointsman_actors::rate_limiter::limits::Policy as RatePolicy;
use pointsman_actors::workflow::spec::Defaults;
use serde_json::Value as Json;

use super::access::TokenSettings;
use super::doors::DoorSettings;
use super::merged::{Merged, Origin, Problem};
use super::value::Value;
use super::webhooks::WebhookSettings;
use crate::access::lockout::Policy as Lockout;
use crate::http::Proxies;
use crate::integrations::IntegrationSettings;
use crate::redaction::Redaction;
use crate::telemetry;

/// A secret that cannot be printed by accident.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretText(pub(super) String);

impl SecretText {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Embedded and durable.
    Sled,
    /// Gone with the process.
    Memory,
}

/// All settings that the process uses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// HTTP workers.
    pub workers: usize,
    /// Where everything durable lives.
    pub data_dir: PathBuf,
    /// Of connections.
    pub doors: DoorSettings,
    /// How long a body may take.
    pub read_timeout: Duration,
    /// How long those inside may take at shutdown.
    pub grace_period: Duration,
    /// Requests in flight.
    pub max_in_flight: u64,
    /// Bytes of bodies in flight.
    pub max_bytes_in_flight: u64,
    /// Requests of one address in flight.
    pub max_requests_per_address: u64,
    /// Bytes of bodies of one address in flight.
    pub max_bytes_per_address: u64,
    /// The proxies that are believed about whose request they hand on.
    pub proxies: Proxies,
    /// Events and runs that may wait.
    pub max_backlog: u64,
    /// The store.
    pub backend: Backend,
    /// How long what is finished is kept.
    pub retention: Duration,
    /// Events from which on the oldest that are finished go; no limit when absent.
    pub max_events: Option<u64>,
    /// What is taken out of payloads.
    pub redaction: Arc<Redaction>,
    /// How long a delivery is recognised.
    pub delivery_window: Duration,
    /// How long an occurrence is recognised; absent when fingerprints are off.
    pub occurrence_window: Option<Duration>,
    /// The names of all sources, on or off.
    pub sources: Vec<String>,
    /// The sources that are on.
    pub webhooks: Vec<WebhookSettings>,
    /// How often whom nobody can verify may come; without it as often as it likes.
    pub rate_limits: Option<RatePolicy>,
    /// Runs that may be at work at once.
    pub max_concurrent: usize,
    /// Whether repositories and teams take turns.
    pub load_balancing: bool,
    /// Attempts to route an event before it is a dead letter.
    pub routing_attempts: u32,
    /// Dead letters that are done again in a second.
    pub redrive_rate: u32,
    /// How long an event is kept for runs that come to wait for it.
    pub inbox_window: Duration,
    /// When a failing service is given a rest; without it never.
    pub circuits: Option<Policy>,
    /// How often runs are audited.
    pub audit_every: Duration,
    /// What workflows do not say themselves.
    pub workflow_defaults: Defaults,
    /// What the expressions of routes see of the configuration.
    pub seen_by_routes: Json,
    /// How long built-in workflows wait before they begin.
    pub pauses: Pauses,
    /// Priority of a route that names none.
    pub default_priority: u8,
    /// What steps call.
    pub integrations: IntegrationSettings,
    /// The operator's token, when it is given.
    pub admin_token: Option<SecretText>,
    /// The named tokens beside it.
    pub tokens: Vec<TokenSettings>,
    /// When whoever guesses tokens is locked out.
    pub lockout: Lockout,
    /// Whether health and metrics ask for a token.
    pub guard_metrics: bool,
    /// What is logged.
    pub log_level: String,
    /// Whether log lines are JSON.
    pub log_json: bool,
    /// What can be used, and had better be otherwise.
    pub warnings: Vec<Problem>,
}

/// How long built-in workflows wait before they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// Before a validation.
    pub validation: Duration,
    /// Before it is looked at what failed.
    pub failure: Duration,
    /// Until no further push has come.
    pub push: Duration,
    /// Until nobody has changed a ticket's text again.
    pub requirements: Duration,
}

/// The middle of 1 to 10.
const DEFAULT_PRIORITY: u8 = 5;
impl Settings {
    /// Checks a merged configuration. `cores` is the default number of workers.
    pub fn check(merged: &Merged, cores: usize, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut checker = Checker { merged, problems, warnings: Vec::new() };
        let settings = checker.settings(cores);
        let warnings = checker.warnings;
        settings.filter(|_| problems.is_empty()).map(|settings| Self { warnings, ..settings })
    }
}

/// Checks key after key and keeps what is wrong.
pub(super) struct Checker<'a> {
    pub(super) merged: &'a Merged,
    pub(super) problems: &'a mut Vec<Problem>,
    /// What can be used, and had better be otherwise.
    pub(super) warnings: Vec<Problem>,
}

impl Checker<'_> {
    fn settings(&mut self, cores: usize) -> Option<Settings> {
        let listen = self.listen();
        self.ranges();
        self.address_rules(listen.map(|address| address.ip()));
        let bytes = self.count("server.max_bytes_in_flight");
        let fingerprints =
            self.flag("event_deduplicator.content_hashing") || self.flag("event_deduplicator.source_specific");
        let webhooks = self.webhooks(listen.map(|address| address.ip()));
        Some(Settings {
            listen: listen?,
            workers: usize::try_from(self.count("server.workers")).ok().filter(|workers| *workers > 0).unwrap_or(cores),
            data_dir: PathBuf::from(self.text("server.data_dir").unwrap_or_default()),
            doors: self.doors(),
            read_timeout: self.span("server.read_timeout"),
            grace_period: self.span("server.grace_period"),
            max_in_flight: self.count("server.max_in_flight"),
            max_requests_per_address: self.share("server.max_in_flight").max(1),
            max_bytes_in_flight: bytes,
            max_bytes_per_address: self.share("server.max_bytes_in_flight"),
            proxies: self.proxies(),
            max_backlog: self.count("event_queue.max_size"),
            backend: self.backend(),
            retention: self.span("event_store.retention"),
            max_events: self.max_events(),
            redaction: self.redaction(),
            delivery_window: self.span("event_deduplicator.delivery_window"),
            occurrence_window: fingerprints.then(|| self.span("event_deduplicator.window")),
            sources: self.source_names().map(str::to_owned).collect(),
            rate_limits: self.rate_limits(&webhooks),
            webhooks,
            max_concurrent: usize::try_from(self.count("workflow.max_concurrent")).unwrap_or(usize::MAX),
            load_balancing: self.flag("event_router.load_balancing"),
            inbox_window: self.span("workflow.inbox_window"),
            routing_attempts: u32::try_from(self.count("event_router.max_attempts")).unwrap_or(u32::MAX),
            redrive_rate: u32::try_from(self.count("dead_letters.redrive_rate")).unwrap_or(u32::MAX),
            circuits: self.flag("circuit_breaker.enabled").then(|| self.circuits()),
            audit_every: self.span("monitoring.audit_interval"),
            workflow_defaults: self.workflow_defaults(),
            seen_by_routes: self.seen_by_routes(),
            pauses: self.pauses(),
            default_priority: u8::try_from(self.count("event_router.default_priority")).unwrap_or(DEFAULT_PRIORITY),
            integrations: self.integrations(),
            admin_token: self.admin_token(),
            tokens: self.tokens(),
            lockout: self.lockout(),
            guard_metrics: self.flag("admin.guard_metrics"),
            log_level: self.log_level(),
            log_json: self.text("logging.format").as_deref() == Some("json"),
            warnings: Vec::new(),
        })
    }

    /// What one address may use of a limit.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a size"
    )]
    fn share(&self, path: &str) -> u64 {
        (self.count(path) as f64 * self.ratio("server.max_share_per_address")) as u64
    }

    fn log_level(&mut self) -> String {
        let level = self.text("logging.level").unwrap_or_else(|| "info".to_owned());
        if let Some(reason) = telemetry::wrong_level(&level) {
            self.wrong("logging.level", reason);
        }
        level
    }

    fn listen(&mut self) -> Option<SocketAddr> {
        let host = self.text("server.host").unwrap_or_default();
        let ip: Option<IpAddr> = if host == "localhost" { Some([127, 0, 0, 1].into()) } else { host.parse().ok() };
        if ip.is_none() {
            self.wrong("server.host", format!("`{host}` is not an IP address; give one such as 127.0.0.1 or 0.0.0.0"));
        }
        let port = u16::try_from(self.count("server.port"));
        if port.is_err() {
            self.wrong("server.port", "a port is at most 65535".to_owned());
        }
        Some(SocketAddr::new(ip?, port.ok()?))
    }

    /// Numbers that nothing works without.
    fn ranges(&mut self) {
        for path in [
            "server.max_in_flight",
            "event_queue.max_size",
            "event_queue.concurrency",
            "workflow.max_concurrent",
            "circuit_breaker.threshold",
            "event_router.max_attempts",
            "dead_letters.redrive_rate",
        ] {
            if self.count(path) == 0 {
                self.wrong(path, "must be at least 1".to_owned());
            }
        }
        if !(1..=10).contains(&self.count("event_router.default_priority")) {
            self.wrong("event_router.default_priority", "must be within 1 and 10".to_owned());
        }
        for path in ["server.max_share_per_address", "circuit_breaker.failure_rate"] {
            if !(0.0..=1.0).contains(&self.ratio(path)) {
                self.wrong(path, "must be within 0 and 1".to_owned());
            }
        }
        for path in [
            "server.read_timeout",
            "event_store.retention",
            "event_deduplicator.delivery_window",
            "circuit_breaker.window",
            "monitoring.audit_interval",
            "circuit_breaker.timeout",
        ] {
            if self.span(path).is_zero() {
                self.wrong(path, "must be longer than nothing".to_owned());
            }
        }
    }

    fn backend(&mut self) -> Backend {
        let mut chosen = Backend::Sled;
        for path in ["event_queue.backend", "event_store.backend"] {
            match self.text(path).as_deref() {
                Some("memory") if path == "event_store.backend" => chosen = Backend::Memory,
                Some(other @ ("redis" | "postgresql")) => {
                    self.wrong(path, format!("`{other}` is not part of this version; use sled or memory"));
                }
                _ => {}
            }
        }
        chosen
    }

    pub(super) fn networks(&mut self, path: &str) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for text in self.list(path) {
            match network(&text) {
                Some(network) => networks.push(network),
                None => self.wrong(
                    path,
                    format!("`{text}` is not a network; give one such as 192.30.252.0/22 or 2a0a:a440::/29"),
                ),
            }
        }
        networks
    }

    pub(super) fn secret(&mut self, path: &str, file_path: &str) -> Option<SecretText> {
        if let Some(text) = self.text(path) {
            return Some(SecretText(text));
        }
        let file = self.text(file_path)?;
        let origin = self.merged.entry(file_path).map_or(Origin::Default, |entry| entry.origin.clone());
        self.secret_in(Path::new(&file), file_path, &origin)
    }

    /// The secret in a file that `key` names. The end of a line at its end is none of it.
    pub(super) fn secret_in(&mut self, file: &Path, key: &str, origin: &Origin) -> Option<SecretText> {
        let shown = file.display();
        let said = |reason: String| Problem { key: key.to_owned(), origin: origin.clone(), reason };
        match std::fs::read_to_string(file) {
            Ok(text) if !text.trim().is_empty() => {
                if is_open(file) {
                    self.warnings.push(said(format!("everybody on this machine can read `{shown}`; chmod o-r")));
                }
                return Some(SecretText(text.trim_end_matches(['\r', '\n']).to_owned()));
            }
            Ok(_) => self.problems.push(said(format!("`{shown}` is empty"))),
            Err(error) => self.problems.push(said(format!("`{shown}` cannot be read: {error}"))),
        }
        None
    }

    pub(super) fn wrong(&mut self, path: &str, reason: String) {
        let origin = self.merged.entry(path).map_or(Origin::Default, |entry| entry.origin.clone());
        self.problems.push(Problem { key: path.to_owned(), origin, reason });
    }

    /// What can be used, and had better be otherwise.
    pub(super) fn concern(&mut self, path: &str, reason: String) {
        let origin = self.merged.entry(path).map_or(Origin::Default, |entry| entry.origin.clone());
        self.warnings.push(Problem { key: path.to_owned(), origin, reason });
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        match &self.merged.entry(path)?.value {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn count(&self, path: &str) -> u64 {
        match self.merged.entry(path).map(|entry| &entry.value) {
            Some(Value::Count(number)) => *number,
            _ => 0,
        }
    }

    pub(super) fn ratio(&self, path: &str) -> f64 {
        match self.merged.entry(path).map(|entry| &entry.value) {
            Some(Value::Ratio(number)) => *number,
            _ => 0.0,
        }
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        matches!(self.merged.entry(path).map(|entry| &entry.value), Some(Value::Flag(true)))
    }

    pub(super) fn span(&self, path: &str) -> Duration {
        match self.merged.entry(path).map(|entry| &entry.value) {
            Some(Value::Span(span)) => *span,
            _ => Duration::ZERO,
        }
    }

    pub(super) fn list(&self, path: &str) -> Vec<String> {
        match self.merged.entry(path).map(|entry| &entry.value) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        }
    }
}

/// A network, or an address alone.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Whether everybody may read a file.
pub(super) fn is_open(file: &Path) -> bool {
    file.metadata().is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}
