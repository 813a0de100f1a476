//! Starts the product and ends it. The only file that names concrete adapters.
//!
//! What never happens here: deciding anything about an event, reading the environment or a file of
//! the configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use anyhow::Context;
use pointsman_actors::address_book::actor::Plan as AddressPlan;
use pointsman_actors::catch_up::actor::Plan as CatchUpPlan;
use pointsman_actors::circuit_breaker::circuit::Policy as CircuitPolicy;
use pointsman_actors::current::Current;
use pointsman_actors::deduplicator::actor::Windows;
use pointsman_actors::event::SourceName;
use pointsman_actors::executor::port::Actions;
use pointsman_actors::ids::RandomIds;
use pointsman_actors::retention::policy::Policy as RetentionPolicy;
use pointsman_actors::router::actor::CurrentRules;
use pointsman_actors::router::patience::Patience;
use pointsman_actors::store::Store;
use pointsman_actors::supervisor::{Escalation, Vitals};
use pointsman_actors::time::{SharedClock, SystemClock};
use pointsman_actors::tree::{Ports, Tree};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::access::lockout::Lockout;
use crate::access::trail::{self, Trail};
use crate::access::{Access, Known, token_file};
use crate::actions;
use crate::addresses::kept::Kept;
use crate::addresses::ranges::CurrentRanges;
use crate::alive::Alive;
use crate::config::Loaded;
use crate::config::catch_up::CatchUpSettings;
use crate::config::doors::DoorSettings;
use crate::config::settings::{Backend, SecretText, Settings};
use crate::data_dir::{self, Lock};
use crate::files::write_whole;
use crate::http::connections::Connections;
use crate::http::listener::{self, Listening};
use crate::http::{self, Proxies, Readiness};
use crate::in_force::InForce;
use crate::integrations::Integrations;
use crate::integrations::github::{Hook, Meta, WatchedHooks};
use crate::process;
use crate::reload::{Reloader, Tools};
use crate::stores::memory::MemoryStore;
use crate::stores::sled::SledStore;
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

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate that it shows; without one it speaks no TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// Its components.
    pub tree: Tree,
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Puts another configuration in force.
    pub reloader: Arc<Reloader>,
    handle: ServerHandle,
    renewal: Option<JoinHandle<()>>,
    halt: Arc<Notify>,
    grace_period: Duration,
    data_dir: PathBuf,
    alive: Alive,
    lock: Lock,
}

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Asked,
    /// A component whose row says so was given up.
    Halted,
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

/// Starts a server on the current actix system. It answers when this returns.
pub async fn start(plan: Plan) -> anyhow::Result<Server> {
    let lock = take_data_dir(&plan.data_dir)?;
    let store = open_store(&plan)?;
    // Who finds it at its start comes after a death, so it is there only when the store has opened.
    let (alive, after_death) = Alive::say(&plan.data_dir).context("`server.alive` cannot be written")?;
    let clock = plan.clock;
    let (halt, readiness) = (Arc::new(Notify::new()), Arc::new(Readiness::default()));
    let Plan { loaded, in_force, actions, data_dir, certificate, .. } = plan;
    let fingerprints = in_force.compiled.fingerprints.clone();
    let InForce { surface, compiled, slots, limits, rate_limits, admin_token, tokens, lockout, .. } = in_force;
    let connections = connections(&plan.doors, &surface.proxies);
    let limits = limits.within(connections.limits().total);
    let tree = Tree::start(Ports {
        store: Arc::clone(&store),
        sources: Current::new(surface.sources()),
        rules: CurrentRules::new(compiled.rules),
        catalog: compiled.catalog,
        actions: Arc::clone(&actions),
        slots: Current::new(slots),
        windows: plan.windows,
        circuits: plan.circuits,
        audit_every: plan.audit_every,
        inbox_window: plan.inbox_window,
        limits,
        rate_limits,
        retention: plan.retention,
        patience: plan.patience,
        redrives_per_second: plan.redrives_per_second,
        catch_up: plan.catch_up,
        address_book: plan.address_book,
        after_death,
        clock: Arc::clone(&clock),
        ids: Arc::new(RandomIds),
        on_given_up: on_given_up(Arc::clone(&halt), Arc::clone(&readiness)),
    })
    .await
    .context("the components did not start")?;
    let token = token_file::admin_token(&data_dir, admin_token.as_ref().map(SecretText::expose))?;
    let known = [Known::admin(&token)].into_iter().chain(tokens).collect();
    let access = Arc::new(Mutex::new(Access::new(known, Lockout::new(lockout))));
    let trail = Trail::open(&data_dir).with_context(|| format!("`{}` cannot be written to", trail::FILE))?;
    let surface = Current::new(surface);
    let tools = Tools {
        tree: tree.clone(),
        surface: surface.clone(),
        access: Arc::clone(&access),
        actions,
        data_dir: data_dir.clone(),
        github_ranges: plan.github_ranges,
        connections: Arc::clone(&connections),
        certificate: certificate.clone(),
        on_log_level: plan.on_log_level,
        clock: Arc::clone(&clock),
    };
    let reloader = Arc::new(Reloader::new(loaded, fingerprints, tools));
    let shared = http::Shared {
        tree: tree.clone(),
        store: Arc::clone(&store),
        started_at: clock.now(),
        clock,
        readiness,
        access,
        refused_operators: Arc::default(),
        trail: Arc::new(trail),
        surface,
        reloader: Arc::clone(&reloader),
        connections,
        strays: Arc::default(),
    };
    let listening = Listening {
        address: plan.listen,
        workers: plan.workers,
        certificate: certificate.clone(),
        handshake_timeout: plan.doors.handshake_timeout,
        head_timeout: plan.doors.head_timeout,
        keep_alive: plan.doors.keep_alive,
        shutdown_timeout: LAST_FLUSH,
    };
    let (address, handle) = listener::listen(listening, shared).await?;
    // A process that was killed leaves one behind.
    let _ = std::fs::remove_file(data_dir.join(CERTIFICATE_FILE));
    let every = plan.doors.check_interval;
    let renewal = certificate.as_ref().map(|certificate| keep_renewed(certificate, &data_dir, every)).transpose()?;
    write_whole(&data_dir.join(ADDRESS_FILE), &address.to_string()).context("`server.addr` cannot be written")?;
    let grace_period = plan.grace_period;
    Ok(Server {
        address,
        certificate,
        tree,
        store,
        reloader,
        handle,
        renewal,
        halt,
        grace_period,
        data_dir,
        alive,
        lock,
    })
}

pub use crate::data_dir::ADDRESS_FILE;
/// The file in the data directory that says which certificate it shows there; it is there only when the server speaks TLS.
pub const CERTIFICATE_FILE: &str = "server.certificate";

/// What the log may take after the grace period to make durable what is inside.
const LAST_FLUSH: Duration = Duration::from_secs(5);

impl Server {
    /// Where it is called, such as `https://0.0.0.0:3000`.
    pub fn url(&self) -> String {
        url(self.certificate.is_some(), &self.address)
    }

    /// Serves until `asked` comes, or until a component that nothing goes without is given up. Then
    /// nobody new is let in, those inside are answered, and all that is inside is made durable.
    pub async fn serve_until(self, asked: impl Future<Output = ()>) -> End {
        let end = tokio::select! {
            () = asked => End::Asked,
            () = self.halt.notified() => End::Halted,
        };
        self.stop().await;
        end
    }

    /// Ends the server in order: from now on it says that it is not ready, lets no delivery in and begins no
    /// attempt. Within the grace period those inside are answered and attempts may end; then what is inside
    /// is made durable, and the doors are closed.
    pub async fn stop(self) {
        tracing::info!(grace = ?self.grace_period, "shutting down: no new deliveries, answering those inside");
        // Whatever is cut off from here on, nobody died of it.
        drop(self.alive);
        if tokio::time::timeout(self.grace_period + LAST_FLUSH, self.tree.drain(self.grace_period)).await.is_err() {
            tracing::warn!(
                "the event log did not finish within the grace period; nobody was told that what it held is durable"
            );
        }
        // Whoever is still being answered has the time of the last flush.
        self.handle.stop(true).await;
        let _ = std::fs::remove_file(self.data_dir.join(ADDRESS_FILE));
        if let Some(renewal) = self.renewal {
            renewal.abort();
            let _ = std::fs::remove_file(self.data_dir.join(CERTIFICATE_FILE));
        }
        let Self { tree, store, lock, .. } = self;
        let _ = tokio::task::spawn_blocking(move || {
            tree.end_threads();
            drop(tree);
            let_go(store);
            drop(lock);
        })
        .await;
    }
}

/// Where somebody is called who speaks TLS or does not.
pub fn url(tls: bool, address: &SocketAddr) -> String {
    format!("{}://{address}", if tls { "https" } else { "http" })
}

/// Drops the store when the last worker has let go of it, so that the data directory is free when a
/// server has stopped. Workers end a moment after the server said so; the wait is bounded.
fn let_go(store: Arc<dyn Store>) {
    for _ in 0..1_000 {
        if Arc::strong_count(&store) == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    tracing::debug!("somebody still holds the store");
}

/// Makes the data directory, for its owner only, and takes it for this server.
fn take_data_dir(path: &Path) -> anyhow::Result<Lock> {
    data_dir::make(path)
        .with_context(|| format!("the data directory `{}` cannot be made; set `server.data_dir`", path.display()))?;
    if let Some(concern) = data_dir::concern(path)? {
        tracing::warn!("the data directory {concern}");
    }
    Ok(Lock::take(path)?)
}

fn open_store(plan: &Plan) -> anyhow::Result<Arc<dyn Store>> {
    let longest = plan.windows.delivery.max(plan.windows.occurrence.unwrap_or_default());
    match plan.backend {
        Backend::Sled => Ok(SledStore::open(&plan.data_dir, longest)?),
        Backend::Memory => Ok(MemoryStore::new()),
    }
}

fn on_given_up(halt: Arc<Notify>, readiness: Arc<Readiness>) -> pointsman_actors::supervisor::OnGivenUp {
    Arc::new(move |lost: &Vitals| match lost.row().escalation {
        Escalation::Halt => halt.notify_one(),
        Escalation::Unready => readiness.lose(),
        Escalation::Park => {}
    })
}

/// Who may hold a connection, as far as files may be open for them.
fn connections(doors: &DoorSettings, proxies: &Proxies) -> Arc<Connections> {
    let (files, asked) = (process::raise_open_files(), doors.limits);
    let limits = asked.within(files);
    if limits != asked {
        tracing::warn!(
            files,
            connections = limits.total,
            "there are fewer connections than `server.max_connections` ({}) because no more files may be open; raise \
             LimitNOFILE of the service, or `ulimit -Hn`",
            asked.total
        );
    }
    Connections::new(limits, proxies.trusted.clone())
}

/// Shows which certificate we have, and looks from now on whether it is renewed.
fn keep_renewed(certificate: &Arc<Certificate>, data_dir: &Path, every: Duration) -> anyhow::Result<JoinHandle<()>> {
    let file = data_dir.join(CERTIFICATE_FILE);
    certificate.publish(file).with_context(|| format!("`{CERTIFICATE_FILE}` cannot be written"))?;
    let certificate = Arc::clone(certificate);
    Ok(actix_rt::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            let certificate = Arc::clone(&certificate);
            let _ = tokio::task::spawn_blocking(move || certificate.look()).await;
        }
    }))
}
