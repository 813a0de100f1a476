//! Starts the product and ends it. Nothing else names concrete adapters.
//!
//! What never happens here: deciding anything about an event, reading the environment or a file of
//! the configuration.

mod plan;
mod server;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use pointsman_actors::current::Current;
use pointsman_actors::ids::RandomIds;
use pointsman_actors::receiver::admission::Limits;
use pointsman_actors::router::actor::CurrentRules;
use pointsman_actors::store::Store;
use pointsman_actors::supervisor::{Escalation, OnGivenUp, Vitals};
use pointsman_actors::tree::{Ports, Tree};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use self::plan::{Plan, plan};
pub use self::server::{End, Server, url};
use crate::access::lockout::Lockout;
use crate::access::trail::{self, Trail};
use crate::access::{Access, Known, token_file};
use crate::alive::Alive;
use crate::config::doors::DoorSettings;
use crate::config::settings::{Backend, SecretText};
pub use crate::data_dir::ADDRESS_FILE;
use crate::data_dir::{self, Lock};
use crate::files::write_whole;
use crate::http::connections::Connections;
use crate::http::listener::{self, Listening};
use crate::http::{self, Proxies, Readiness};
use crate::in_force::InForce;
use crate::process;
use crate::reload::{Reloader, Tools};
use crate::stores::memory::MemoryStore;
use crate::stores::sled::SledStore;
use crate::tls::Certificate;

/// The file in the data directory that says which certificate it shows there; it is there only when the server speaks TLS.
pub const CERTIFICATE_FILE: &str = "server.certificate";

/// What the log may take after the grace period to make durable what is inside.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// Starts a server on the current actix system. It answers when this returns.
pub async fn start(mut plan: Plan) -> anyhow::Result<Server> {
    let lock = take_data_dir(&plan.data_dir)?;
    let store = open_store(&plan)?;
    // Who finds it at its start comes after a death, so it is there only when the store has opened.
    let (alive, after_death) = Alive::say(&plan.data_dir).context("`server.alive` cannot be written")?;
    let (halt, readiness) = (Arc::new(Notify::new()), Arc::new(Readiness::default()));
    let connections = connections(&plan.doors, &plan.in_force.surface.proxies);
    let limits = plan.in_force.limits.within(connections.limits().total);
    let lost = on_given_up(Arc::clone(&halt), Arc::clone(&readiness));
    let ports = ports(&mut plan, (Arc::clone(&store), after_death), limits, lost);
    let tree = Tree::start(ports).await.context("the components did not start")?;
    let (data_dir, grace_period, certificate) = (plan.data_dir.clone(), plan.grace_period, plan.certificate.clone());
    let (listening, every) = (listening(&plan), plan.doors.check_interval);
    let shared = shared(plan, (tree.clone(), Arc::clone(&store)), connections, readiness)?;
    let (reloader, trail) = (Arc::clone(&shared.reloader), Arc::clone(&shared.trail));
    let (address, handle) = listener::listen(listening, shared).await?;
    // A process that was killed leaves one behind.
    let _ = std::fs::remove_file(data_dir.join(CERTIFICATE_FILE));
    let renewal = certificate.as_ref().map(|certificate| keep_renewed(certificate, &data_dir, every)).transpose()?;
    write_whole(&data_dir.join(ADDRESS_FILE), &address.to_string()).context("`server.addr` cannot be written")?;
    Ok(Server {
        address,
        certificate,
        tree,
        store,
        reloader,
        trail,
        handle,
        renewal,
        halt,
        grace_period,
        data_dir,
        alive,
        lock,
    })
}

/// What the components are started with. The rules move to where they are read.
fn ports(
    plan: &mut Plan,
    (store, after_death): (Arc<dyn Store>, bool),
    limits: Limits,
    on_given_up: OnGivenUp,
) -> Ports {
    let in_force = &mut plan.in_force;
    Ports {
        store,
        sources: Current::new(in_force.surface.sources()),
        rules: CurrentRules::new(std::mem::take(&mut in_force.compiled.rules)),
        catalog: in_force.compiled.catalog.clone(),
        actions: Arc::clone(&plan.actions),
        slots: Current::new(in_force.slots),
        windows: plan.windows,
        circuits: plan.circuits,
        audit_every: plan.audit_every,
        inbox_window: plan.inbox_window,
        limits,
        rate_limits: in_force.rate_limits.clone(),
        retention: plan.retention,
        patience: plan.patience,
        redrives_per_second: plan.redrives_per_second,
        catch_up: plan.catch_up.clone(),
        address_book: plan.address_book.clone(),
        after_death,
        clock: Arc::clone(&plan.clock),
        ids: Arc::new(RandomIds),
        on_given_up,
    }
}

/// What all requests share.
fn shared(
    plan: Plan,
    (tree, store): (Tree, Arc<dyn Store>),
    connections: Arc<Connections>,
    readiness: Arc<Readiness>,
) -> anyhow::Result<http::Shared> {
    let Plan { loaded, in_force, data_dir, clock, .. } = plan;
    let InForce { surface, compiled, admin_token, tokens, lockout, .. } = in_force;
    let token = token_file::admin_token(&data_dir, admin_token.as_ref().map(SecretText::expose))?;
    let known = [Known::admin(&token)].into_iter().chain(tokens).collect();
    let access = Arc::new(Mutex::new(Access::new(known, Lockout::new(lockout))));
    let trail = Trail::open(&data_dir).with_context(|| format!("`{}` cannot be written to", trail::FILE))?;
    let surface = Current::new(surface);
    let tools = Tools {
        tree: tree.clone(),
        surface: surface.clone(),
        access: Arc::clone(&access),
        actions: plan.actions,
        data_dir,
        github_ranges: plan.github_ranges,
        connections: Arc::clone(&connections),
        certificate: plan.certificate,
        on_log_level: plan.on_log_level,
        clock: Arc::clone(&clock),
    };
    Ok(http::Shared {
        tree,
        store,
        started_at: clock.now(),
        clock,
        readiness,
        access,
        refused_operators: Arc::default(),
        trail: Arc::new(trail),
        surface,
        reloader: Arc::new(Reloader::new(loaded, compiled.fingerprints, tools)),
        connections,
        strays: Arc::default(),
    })
}

fn listening(plan: &Plan) -> Listening {
    Listening {
        address: plan.listen,
        workers: plan.workers,
        certificate: plan.certificate.clone(),
        handshake_timeout: plan.doors.handshake_timeout,
        head_timeout: plan.doors.head_timeout,
        keep_alive: plan.doors.keep_alive,
        shutdown_timeout: LAST_FLUSH,
    }
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

fn on_given_up(halt: Arc<Notify>, readiness: Arc<Readiness>) -> OnGivenUp {
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
