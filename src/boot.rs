//! Starts the product and ends it. The only file that names concrete adapters.
//!
//! What never happens here: deciding anything about an event, reading the environment or a file of
//! the configuration.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use anyhow::Context;
use pointsman_actors::catch_up::actor::Plan as CatchUpPlan;
use pointsman_actors::circuit_breaker::circuit::Policy as CircuitPolicy;
use pointsman_actors::deduplicator::actor::Windows;
use pointsman_actors::dispatcher::actor::Slots;
use pointsman_actors::event::SourceName;
use pointsman_actors::executor::port::Actions;
use pointsman_actors::ids::RandomIds;
use pointsman_actors::rate_limiter::limits::Policy as RatePolicy;
use pointsman_actors::receiver::admission::Limits;
use pointsman_actors::retention::policy::Policy as RetentionPolicy;
use pointsman_actors::router::actor::CurrentRules;
use pointsman_actors::router::patience::Patience;
use pointsman_actors::store::Store;
use pointsman_actors::supervisor::{Escalation, Vitals};
use pointsman_actors::time::{SharedClock, SystemClock};
use pointsman_actors::tree::{Ports, Tree};
use pointsman_actors::validator::port::Source;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::access::lockout::{Lockout, Policy as LockoutPolicy};
use crate::access::trail::{self, Trail};
use crate::access::{Access, Known, token};
use crate::actions;
use crate::alive::Alive;
use crate::config::Loaded;
use crate::config::catch_up::CatchUpSettings;
use crate::config::doors::DoorSettings;
use crate::config::settings::{Backend, Settings};
use crate::config::webhooks::{SecretSettings, WebhookSettings};
use crate::files::write_whole;
use crate::http::connections::Connections;
use crate::http::listener::{self, Listening};
use crate::http::{self, Inlet, Proxies, Readiness};
use crate::integrations::Integrations;
use crate::integrations::github::{Hook, WatchedHooks};
use crate::process;
use crate::sources::{self, Generic, Keyring, NamedSecret, Secret, SourceSettings};
use crate::stores::memory::MemoryStore;
use crate::stores::sled::SledStore;
use crate::tls::Certificate;
use crate::workflows::{self, Compiled};

/// Everything that starting needs, decided before.
pub struct Plan {
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
    /// How long a body may take.
    pub read_timeout: Duration,
    /// How long those inside may take when the process ends.
    pub grace_period: Duration,
    /// The proxies that are believed about whose request they hand on.
    pub proxies: Proxies,
    /// The webhook paths that are on.
    pub inlets: Vec<Inlet>,
    /// How long duplicates are recognised.
    pub windows: Windows,
    /// When a failing service is given a rest; without it never.
    pub circuits: Option<CircuitPolicy>,
    /// How often runs are audited.
    pub audit_every: Duration,
    /// How long an event is kept for runs that come to wait for it.
    pub inbox_window: Duration,
    /// How much may be in flight.
    pub limits: Limits,
    /// How often whom nobody can verify may come.
    pub rate_limits: Option<RatePolicy>,
    /// What goes when it is finished.
    pub retention: RetentionPolicy,
    /// How often a pending event is tried to be routed.
    pub patience: Patience,
    /// Dead letters that are redriven a second.
    pub redrives_per_second: u32,
    /// The hooks that are caught up with.
    pub catch_up: CatchUpPlan,
    /// Workflows, and the routes that start them.
    pub compiled: Compiled,
    /// What steps can do.
    pub actions: Actions,
    /// Runs that may be at work at once.
    pub slots: Slots,
    /// The operator's token; without one it is read from, or generated into, the data directory.
    pub admin_token: Option<String>,
    /// The named tokens beside it.
    pub tokens: Vec<Known>,
    /// When whoever guesses tokens is locked out.
    pub lockout: LockoutPolicy,
    /// Whether health and metrics ask for a token.
    pub guard_metrics: bool,
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
    handle: ServerHandle,
    renewal: Option<JoinHandle<()>>,
    halt: Arc<Notify>,
    grace_period: Duration,
    data_dir: PathBuf,
    alive: Alive,
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
    Ok(Plan {
        data_dir: settings.data_dir.clone(),
        backend: settings.backend,
        listen: settings.listen,
        workers: settings.workers,
        doors: settings.doors.clone(),
        certificate: settings.doors.tls.clone().map(Certificate::read).transpose().context("TLS cannot be spoken")?,
        read_timeout: settings.read_timeout,
        grace_period: settings.grace_period,
        proxies: settings.proxies.clone(),
        inlets: settings.webhooks.iter().filter_map(inlet).collect(),
        windows: Windows { delivery: settings.delivery_window, occurrence: settings.occurrence_window },
        circuits: settings.circuits,
        audit_every: settings.audit_every,
        inbox_window: settings.inbox_window,
        rate_limits: settings.rate_limits.clone(),
        limits: Limits {
            requests: settings.max_in_flight,
            body_bytes: settings.max_bytes_in_flight,
            address_requests: settings.max_requests_per_address,
            address_bytes: settings.max_bytes_per_address,
            backlog: settings.max_backlog,
        },
        retention: RetentionPolicy { keep: settings.retention, most: settings.max_events },
        patience: Patience { attempts: settings.routing_attempts },
        redrives_per_second: settings.redrive_rate,
        catch_up: catch_up(settings, &integrations),
        compiled: workflows::compile(loaded, &actions)?,
        actions,
        slots: Slots { number: settings.max_concurrent, fair: settings.load_balancing },
        admin_token: settings.admin_token.as_ref().map(|token| token.expose().to_owned()),
        tokens: settings.tokens.iter().map(|token| token.known.clone()).collect(),
        lockout: settings.lockout,
        guard_metrics: settings.guard_metrics,
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

fn inlet(settings: &WebhookSettings) -> Option<Inlet> {
    let named = |secret: &SecretSettings| {
        NamedSecret::new(secret.name.as_str(), Secret::new(secret.text.expose()), secret.validity)
    };
    let secrets = Keyring::new(settings.secrets.iter().map(named).collect());
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
    Some(Inlet {
        headers: source.headers().into_iter().map(str::to_owned).collect(),
        source,
        secrets,
        path: settings.path.clone(),
        max_body: usize::try_from(settings.max_body).unwrap_or(usize::MAX),
        addresses: settings.addresses.clone(),
    })
}

/// Starts a server on the current actix system. It answers when this returns.
pub async fn start(plan: Plan) -> anyhow::Result<Server> {
    // Payloads are nobody else's business.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&plan.data_dir).with_context(|| {
        format!("the data directory `{}` cannot be made; set `server.data_dir`", plan.data_dir.display())
    })?;
    let store = open_store(&plan)?;
    // Only now is it certain that no other process has the directory.
    let (alive, after_death) = Alive::say(&plan.data_dir).context("`server.alive` cannot be written")?;
    let clock = plan.clock;
    let (halt, readiness) = (Arc::new(Notify::new()), Arc::new(Readiness::default()));
    let tree = Tree::start(Ports {
        store: Arc::clone(&store),
        sources: Arc::new(
            plan.inlets.iter().map(|inlet| (inlet.source.name().clone(), Arc::clone(&inlet.source))).collect(),
        ),
        rules: CurrentRules::new(plan.compiled.rules),
        catalog: plan.compiled.catalog,
        actions: plan.actions,
        slots: plan.slots,
        windows: plan.windows,
        circuits: plan.circuits,
        audit_every: plan.audit_every,
        inbox_window: plan.inbox_window,
        limits: plan.limits,
        rate_limits: plan.rate_limits,
        retention: plan.retention,
        patience: plan.patience,
        redrives_per_second: plan.redrives_per_second,
        catch_up: plan.catch_up,
        after_death,
        clock: Arc::clone(&clock),
        ids: Arc::new(RandomIds),
        on_given_up: on_given_up(Arc::clone(&halt), Arc::clone(&readiness)),
    })
    .await
    .context("the components did not start")?;
    let mut known = vec![Known::admin(&admin_token(&plan.data_dir, plan.admin_token)?)];
    known.extend(plan.tokens);
    let trail = Trail::open(&plan.data_dir).with_context(|| format!("`{}` cannot be written to", trail::FILE))?;
    let shared = http::Shared {
        connections: connections(&plan.doors, &plan.proxies),
        tree: tree.clone(),
        store: Arc::clone(&store),
        started_at: clock.now(),
        clock,
        readiness,
        access: Arc::new(Mutex::new(Access::new(known, Lockout::new(plan.lockout)))),
        trail: Arc::new(trail),
        guard_metrics: plan.guard_metrics,
        proxies: plan.proxies,
        inlets: Arc::new(plan.inlets),
        read_timeout: plan.read_timeout,
        strays: Arc::default(),
    };
    let listening = Listening {
        address: plan.listen,
        workers: plan.workers,
        certificate: plan.certificate.clone(),
        handshake_timeout: plan.doors.handshake_timeout,
        head_timeout: plan.doors.head_timeout,
        keep_alive: plan.doors.keep_alive,
        shutdown_timeout: LAST_FLUSH,
    };
    let (address, handle) = listener::listen(listening, shared).await?;
    let (data_dir, certificate) = (plan.data_dir, plan.certificate);
    let every = plan.doors.check_interval;
    // A process that was killed leaves one behind.
    let _ = std::fs::remove_file(data_dir.join(CERTIFICATE_FILE));
    let renewal = certificate.as_ref().map(|certificate| keep_renewed(certificate, &data_dir, every)).transpose()?;
    write_whole(&data_dir.join(ADDRESS_FILE), &address.to_string()).context("`server.addr` cannot be written")?;
    let grace_period = plan.grace_period;
    Ok(Server { address, certificate, tree, store, handle, renewal, halt, grace_period, data_dir, alive })
}

/// The file in the data directory that says where the server listens.
pub const ADDRESS_FILE: &str = "server.addr";
/// The file in the data directory that says which certificate it shows there; it is there only when the server speaks TLS.
pub const CERTIFICATE_FILE: &str = "server.certificate";
/// The file in the data directory that holds a generated operator's token.
pub const TOKEN_FILE: &str = "admin.token";

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
        let Self { tree, store, .. } = self;
        let _ = tokio::task::spawn_blocking(move || {
            tree.end_threads();
            drop(tree);
            let_go(store);
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

/// The operator's token: the one given, or the one in the data directory, or a new one there.
fn admin_token(data_dir: &Path, given: Option<String>) -> anyhow::Result<String> {
    if let Some(token) = given {
        return Ok(token);
    }
    let path = data_dir.join(TOKEN_FILE);
    let kept = std::fs::read_to_string(&path).map(|token| token.trim().to_owned()).unwrap_or_default();
    if !kept.is_empty() {
        only_for_owner(&path).with_context(|| format!("`{}` must be readable by its owner only", path.display()))?;
        return Ok(kept);
    }
    let token = token::random()?;
    write_whole(&path, &format!("{token}\n")).with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(token)
}

fn only_for_owner(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = path.metadata()?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "others could read the operator's token; they cannot any more");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}
