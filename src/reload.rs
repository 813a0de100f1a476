//! Puts a changed configuration in force while the process runs: whole, or not at all.
//!
//! Files are read again, the environment and the command line are those that the process was started with. What is wrong is
//! said, and then everything stays as it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pointsman_actors::address_book::actor::RenewNow;
use pointsman_actors::current::Current;
use pointsman_actors::executor::port::Actions;
use pointsman_actors::time::{SharedClock, Timestamp};
use pointsman_actors::tree::{Replacement, Tree};

use crate::access::{Access, Known, token_file};
use crate::addresses::ranges::CurrentRanges;
use crate::config::Loaded;
use crate::config::changes::{Change, definitions, settings};
use crate::http::Surface;
use crate::http::connections::Connections;
use crate::in_force::InForce;
use crate::telemetry::SetLevel;
use crate::tls::Certificate;
use crate::workflows::Compiled;

/// Puts configurations in force, one after the other.
pub struct Reloader {
    tools: Tools,
    state: tokio::sync::Mutex<State>,
}

/// What it works on.
pub struct Tools {
    /// The running components.
    pub tree: Tree,
    /// What the edge goes by.
    pub surface: Current<Surface>,
    /// Who may call the operator API.
    pub access: Arc<Mutex<Access>>,
    /// What steps can do.
    pub actions: Actions,
    /// Where the operator's token lies, when none is given.
    pub data_dir: PathBuf,
    /// GitHub's ranges, and whether anybody goes by them.
    pub github_ranges: (CurrentRanges, Arc<AtomicBool>),
    /// Who may hold a connection.
    pub connections: Arc<Connections>,
    /// Our certificate, if we speak TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// Told the level of the log.
    pub on_log_level: SetLevel,
    /// Where `now` comes from.
    pub clock: SharedClock,
}

struct State {
    loaded: Loaded,
    /// Workflows and routes, and what tells one version of them from another.
    definitions: BTreeMap<String, String>,
}

/// Why nothing was put in force.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    /// The configuration cannot be used; what is wrong with it.
    #[error("{0:#}")]
    Wrong(anyhow::Error),
    /// It could be used, but could not be put in force.
    #[error("nothing was changed: {0:#}")]
    Failed(anyhow::Error),
}

impl NotReloaded {
    /// Status and code with which it is answered.
    pub fn answered(&self) -> (u16, &'static str) {
        match self {
            Self::Wrong(_) => (422, "invalid_configuration"),
            Self::Failed(_) => (503, "not_reloaded"),
        }
    }
}

impl Reloader {
    /// With the configuration that is in force, and what tells its definitions from others.
    pub fn new(loaded: Loaded, definitions: BTreeMap<String, String>, tools: Tools) -> Self {
        Self { tools, state: tokio::sync::Mutex::new(State { loaded, definitions }) }
    }

    /// Reads the configuration again and puts it in force. Says what has changed, and what of it only a restart changes.
    pub async fn reload(&self) -> Result<Vec<Change>, NotReloaded> {
        let mut state = self.state.lock().await;
        let before = state.loaded.clone();
        let again = tokio::task::spawn_blocking(move || before.again()).await;
        let again = again.map_err(|fell| NotReloaded::Failed(fell.into()))?;
        let (loaded, waiting) = again.map_err(|wrong| NotReloaded::Wrong(wrong.into()))?;
        let (ranges, before) = (&self.tools.github_ranges.0, self.tools.surface.get());
        let in_force = InForce::of(&loaded, &self.tools.actions, ranges, Some(&before)).map_err(NotReloaded::Wrong)?;
        drop(before);
        self.renew_certificate().await;
        let mut changes = settings(&state.loaded, &loaded);
        changes.extend(definitions(&state.definitions, &in_force.compiled.fingerprints));
        changes.extend(waiting);
        let fingerprints = in_force.compiled.fingerprints.clone();
        self.put(in_force).await.map_err(NotReloaded::Failed)?;
        *state = State { loaded, definitions: fingerprints };
        self.say(&changes, &state.loaded);
        Ok(changes)
    }

    /// The time by the server's clock.
    pub fn now(&self) -> Timestamp {
        self.tools.clock.now()
    }

    /// Every key that has a value, with what may be shown of it and where it came from.
    pub async fn listing(&self) -> Vec<(String, String, String)> {
        self.state.lock().await.loaded.merged.listing()
    }

    /// A certificate is its own matter: one that cannot be used is said, and the old one stays.
    async fn renew_certificate(&self) {
        if let Some(certificate) = self.tools.certificate.clone() {
            let _ = tokio::task::spawn_blocking(move || certificate.look()).await;
        }
    }

    /// From here on nothing may fail that has not failed before anything was changed.
    async fn put(&self, in_force: InForce) -> anyhow::Result<()> {
        let token = in_force.admin_token.as_ref().map(|token| token.expose());
        let mut known = vec![Known::admin(&token_file::admin_token(&self.tools.data_dir, token)?)];
        let InForce { surface, compiled, slots, limits, rate_limits, tokens, lockout, log_level, .. } = in_force;
        let Compiled { rules, catalog, .. } = compiled;
        let (sources, limits) = (surface.sources(), limits.within(self.tools.connections.limits().total));
        self.tools.tree.replace(Replacement { sources, rules, catalog, limits, rate_limits }).await?;
        known.extend(tokens);
        self.tools.access.lock().unwrap_or_else(PoisonError::into_inner).follow(known, lockout);
        let is_wanted = surface.github_ranges.is_some();
        let was_wanted = self.tools.github_ranges.1.swap(is_wanted, Ordering::SeqCst);
        self.tools.connections.trust(surface.proxies.trusted.clone());
        self.tools.surface.replace(surface);
        if is_wanted && !was_wanted {
            // Without room they come at their time.
            let _ = self.tools.tree.work.address_book.offer(RenewNow);
        }
        (self.tools.on_log_level)(&log_level);
        let tree = self.tools.tree.clone();
        // Whoever reloads does not wait for a dispatcher that has fallen.
        actix_rt::spawn(async move { tree.hand_out(slots).await });
        Ok(())
    }

    fn say(&self, changes: &[Change], loaded: &Loaded) {
        tracing::info!(changes = changes.len(), "the configuration was read again");
        changes.iter().for_each(|change| tracing::info!("{change}"));
        loaded.settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let now = self.tools.clock.now();
        for source in &loaded.settings.webhooks {
            if let Some(concern) = source.concern(now) {
                tracing::warn!(source = source.name, "{concern}");
            }
        }
    }
}
