//! What of a configuration a reload puts in force: routes, workflows, sources with their secrets, tokens and limits. Pure.
//!
//! What else a configuration says is decided when the process starts (`boot`); [`crate::config::keys::AFTER_RESTART`] names it.

use std::sync::Arc;

use pointsman_actors::dispatcher::actor::Slots;
use pointsman_actors::event::SourceName;
use pointsman_actors::executor::port::Actions;
use pointsman_actors::rate_limiter::limits::Policy as RatePolicy;
use pointsman_actors::receiver::admission::Limits;
use pointsman_actors::validator::port::Source;

use crate::access::Known;
use crate::access::lockout::Policy as LockoutPolicy;
use crate::addresses::Allowed;
use crate::addresses::ranges::CurrentRanges;
use crate::config::Loaded;
use crate::config::settings::{SecretText, Settings};
use crate::config::webhooks::{SecretSettings, WebhookSettings};
use crate::http::{Inlet, Surface};
use crate::redaction::Redaction;
use crate::sources::{self, Generic, Keyring, NamedSecret, Redacting, Secret, SourceSettings};
use crate::workflows::{self, Compiled};

/// All of it.
pub struct InForce {
    /// What the edge goes by.
    pub surface: Surface,
    /// Workflows, and the routes that start them.
    pub compiled: Compiled,
    /// Runs that may be at work at once.
    pub slots: Slots,
    /// How much may be in flight.
    pub limits: Limits,
    /// How often whom nobody can verify may come.
    pub rate_limits: Option<RatePolicy>,
    /// The operator's token; without one it is read from, or generated into, the data directory.
    pub admin_token: Option<SecretText>,
    /// The named tokens beside it.
    pub tokens: Vec<Known>,
    /// When whoever guesses tokens is locked out.
    pub lockout: LockoutPolicy,
    /// What is logged.
    pub log_level: String,
}

impl InForce {
    /// What a configuration that was read and checked says, when steps can do this, and GitHub delivers from these ranges. What secrets have verified `before` goes on
    /// being counted.
    pub fn of(
        loaded: &Loaded,
        actions: &Actions,
        ranges: &CurrentRanges,
        before: Option<&Surface>,
    ) -> anyhow::Result<Self> {
        let settings = &loaded.settings;
        Ok(Self {
            surface: surface(settings, ranges, before),
            compiled: workflows::compile(loaded, actions)?,
            slots: Slots { number: settings.max_concurrent, fair: settings.load_balancing },
            limits: limits(settings),
            rate_limits: settings.rate_limits.clone(),
            admin_token: settings.admin_token.clone(),
            tokens: settings.tokens.iter().map(|token| token.known.clone()).collect(),
            lockout: settings.lockout,
            log_level: settings.log_level.clone(),
        })
    }
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        requests: settings.max_in_flight,
        body_bytes: settings.max_bytes_in_flight,
        address_requests: settings.max_requests_per_address,
        address_bytes: settings.max_bytes_per_address,
        backlog: settings.max_backlog,
    }
}

fn surface(settings: &Settings, ranges: &CurrentRanges, before: Option<&Surface>) -> Surface {
    let keyring_of = |name: &str| before.and_then(|surface| surface.keyring(&SourceName::new(name)));
    let ranges_for = |source: &WebhookSettings| source.addresses.github.then(|| ranges.clone());
    let of = |source: &WebhookSettings| {
        inlet(source, (ranges_for(source), &settings.redaction), keyring_of(&source.name).unwrap_or_default())
    };
    let inlets = settings.webhooks.iter().filter_map(of);
    let used = settings.webhooks.iter().find_map(ranges_for);
    Surface::new(inlets, settings.proxies.clone(), settings.read_timeout, settings.guard_metrics, used)
}

fn inlet(
    settings: &WebhookSettings,
    (ranges, redaction): (Option<CurrentRanges>, &Arc<Redaction>),
    before: Keyring,
) -> Option<Inlet> {
    let named = |secret: &SecretSettings| {
        NamedSecret::new(secret.name.as_str(), Secret::new(secret.text.expose()), secret.validity)
    };
    let secrets = settings.secrets.iter().map(named).collect();
    let secrets = Keyring::after(&before, secrets);
    let source_settings = SourceSettings {
        name: SourceName::new(&settings.name),
        secrets: secrets.clone(),
        events: settings.events.clone(),
        timestamp_tolerance: settings.timestamp_tolerance,
        allow_unsigned: settings.allow_unsigned,
    };
    let source: Arc<dyn Source> = match &settings.recipe {
        Some(recipe) => Arc::new(Generic::new(source_settings, Arc::clone(recipe))),
        None => sources::build(source_settings)?,
    };
    let source = Redacting::around(source, redaction);
    Some(Inlet {
        headers: source.headers().into_iter().map(str::to_owned).collect(),
        source,
        secrets,
        path: settings.path.clone(),
        max_body: usize::try_from(settings.max_body).unwrap_or(usize::MAX),
        allowed: Allowed::new(settings.addresses.networks.clone(), ranges),
        is_unsigned: settings.allow_unsigned,
    })
}
