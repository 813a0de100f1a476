//! What to start, from a configuration that was read and checked. It names the adapters of providers; nothing is opened here but the
//! certificate and GitHub's ranges as they were known last.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use pointsman_actors::address_book::actor::Plan as AddressPlan;
use pointsman_actors::catch_up::actor::Plan as CatchUpPlan;
use pointsman_actors::circuit_breaker::circuit::Policy as CircuitPolicy;
use pointsman_actors::deduplicator::actor::Windows;
use pointsman_actors::event::SourceName;
use pointsman_actors::executor::port::Actions;
use pointsman_actors::retention::policy::Policy as RetentionPolicy;
use pointsman_actors::router::patience::Patience;
use pointsman_actors::time::{SharedClock, SystemClock};

use crate::actions;
use crate::addresses::kept::Kept;
use crate::addresses::ranges::CurrentRanges;
use crate::config::Loaded;
use crate::config::catch_up::CatchUpSettings;
use crate::config::doors::DoorSettings;
use crate::config::settings::{Backend, Settings};
use crate::in_force::InForce;
use crate::integrations::Integrations;
use crate::integrations::github::{Hook, Meta, WatchedHooks};
use crate::telemetry::SetLevel;
use crate::tls::Certificate;

/// Everything that starting needs, decided before.
pub struct Plan {
    /// The configuration.
    pub loaded: Loaded,
    /// What of it a reload puts in force.
    pub in_force: InForce,
    /// Told the level of the log when a reload changes it.
    pub on_log_level: SetLevel,
    /// Where everything durable lives.
    pub data_dir: PathBuf,
    /// Which store.
    pub backend: Backend,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// HTTP workers.
    pub workers: usize,
    /// Of connections.
    pub doors: DoorSettings,
    /// Our certificate; without one connections are not encrypted.
    pub certificate: Option<Arc<Certificate>>,
    /// How long those inside may take when the process ends.
    pub grace_period: Duration,
    /// How long duplicates are recognised.
    pub windows: Windows,
    /// When a failing service is given a rest; without it never.
    pub circuits: Option<CircuitPolicy>,
    /// How often runs are audited.
    pub audit_every: Duration,
    /// How long an event is kept for runs that come to wait for it.
    pub inbox_window: Duration,
    /// What goes when it is finished.
    pub retention: RetentionPolicy,
    /// How often a pending event is tried to be routed.
    pub patience: Patience,
    /// Dead letters that are redriven a second.
    pub redrives_per_second: u32,
    /// The hooks that are caught up with.
    pub catch_up: CatchUpPlan,
    /// The provider whose addresses are kept up to date.
    pub address_book: AddressPlan,
    /// GitHub's ranges, and whether anybody goes by them.
    pub github_ranges: (CurrentRanges, Arc<AtomicBool>),
    /// What steps can do.
    pub actions: Actions,
    /// Where the components' `now` comes from.
    pub clock: SharedClock,
}

/// What to start for a configuration that was read and checked.
pub fn plan(loaded: &Loaded) -> anyhow::Result<Plan> {
    let settings = &loaded.settings;
    let integrations = Integrations::new(&settings.integrations, &loaded.passed_on, Arc::new(SystemClock::new()));
    let actions = actions::all(&integrations);
    let (ranges, wanted, address_book) = address_book(settings);
    Ok(Plan {
        in_force: InForce::of(loaded, &actions, &ranges, None)?,
        loaded: loaded.clone(),
        on_log_level: Arc::new(|_| ()),
        data_dir: settings.data_dir.clone(),
        backend: settings.backend,
        listen: settings.listen,
        workers: settings.workers,
        doors: settings.doors.clone(),
        certificate: settings.doors.tls.clone().map(Certificate::read).transpose().context("TLS cannot be spoken")?,
        grace_period: settings.grace_period,
        windows: Windows { delivery: settings.delivery_window, occurrence: settings.occurrence_window },
        circuits: settings.circuits,
        audit_every: settings.audit_every,
        inbox_window: settings.inbox_window,
        retention: RetentionPolicy { keep: settings.retention, most: settings.max_events },
        patience: Patience { attempts: settings.routing_attempts },
        redrives_per_second: settings.redrive_rate,
        catch_up: catch_up(settings, &integrations),
        address_book,
        github_ranges: (ranges, wanted),
        actions,
        clock: Arc::new(SystemClock::new()),
    })
}

/// The source whose hooks can be caught up with.
const CAUGHT_UP: &str = "github";

fn catch_up(settings: &Settings, integrations: &Integrations) -> CatchUpPlan {
    let nothing = |why| CatchUpPlan::Nothing { why };
    let github = &settings.integrations;
    let CatchUpSettings { mode, every, hooks } = github.github_catch_up.clone();
    let Some(mode) = mode else { return nothing("`integrations.github.catch_up.mode` is \"off\"") };
    if !settings.webhooks.iter().any(|source| source.name == CAUGHT_UP) {
        return nothing("the source `github` is off");
    }
    let Some(client) = &integrations.github else {
        return nothing("GitHub is not asked for anything; set GITHUB_TOKEN, or an App");
    };
    let own = github.github_app.is_some().then_some(Hook::App);
    let hooks: Vec<Hook> = own.into_iter().chain(hooks).collect();
    if hooks.is_empty() {
        return nothing("no hook is named; set `integrations.github.catch_up.hooks`");
    }
    let deliveries = WatchedHooks::new(Arc::clone(client), SourceName::new(CAUGHT_UP), hooks);
    CatchUpPlan::Watch { deliveries: Arc::new(deliveries), mode, every }
}

/// GitHub's ranges as they were known last, whether anybody goes by them, and how they are kept up to date.
fn address_book(settings: &Settings) -> (CurrentRanges, Arc<AtomicBool>, AddressPlan) {
    let github = &settings.integrations;
    let kept = Kept::new(&settings.data_dir, &github.github_api_url);
    let current = CurrentRanges::new(kept.read());
    let wanted = Arc::new(AtomicBool::new(settings.webhooks.iter().any(|source| source.addresses.github)));
    let (token, clock) = (github.github_token.clone(), Arc::new(SystemClock::new()));
    let ranges = Arc::new(Meta::new(&github.github_api_url, token, clock, (kept, current.clone())));
    let plan = AddressPlan::Renew { ranges, wanted: Arc::clone(&wanted), every: github.github_ranges_interval };
    (current, wanted, plan)
}
