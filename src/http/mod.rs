//! The HTTP edge: paths, bodies, answers. It asks components and never touches a store's adapter.

mod answer;
mod audit;
mod auth;
mod breakers;
pub mod connections;
mod control;
mod dead_letters;
mod events;
mod forwarded;
mod health;
pub mod listener;
mod metrics;
mod replay;
mod runs;
mod secrets;
mod stream;
mod waits;
mod webhooks;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, guard};
use ipnet::IpNet;
use pointsman_actors::event::SourceName;
use pointsman_actors::receiver::tally::Tally;
use pointsman_actors::store::Store;
use pointsman_actors::time::{SharedClock, Timestamp};
use pointsman_actors::tree::{Tree, WorkerDoors};
use pointsman_actors::validator::port::Source;

pub use forwarded::{ForwardedHeader, Proxies};
pub use health::Readiness;

use self::connections::Connections;
use crate::access::Access;
use crate::access::trail::Trail;
use crate::sources::Keyring;

/// What one webhook path needs.
#[derive(Clone)]
pub struct Inlet {
    /// The source.
    pub source: Arc<dyn Source>,
    /// Its secrets, with what they have verified.
    pub secrets: Keyring,
    /// The headers that it looks at.
    pub headers: Arc<[String]>,
    /// Its path.
    pub path: String,
    /// The largest body that it takes, in bytes.
    pub max_body: usize,
    /// Who may deliver; empty for anybody.
    pub addresses: Vec<IpNet>,
}

/// What all requests of the process share.
#[derive(Clone)]
pub struct Shared {
    /// The running components.
    pub tree: Tree,
    /// For reading.
    pub store: Arc<dyn Store>,
    /// Where `now` comes from.
    pub clock: SharedClock,
    /// When the process started.
    pub started_at: Timestamp,
    /// Who holds a connection.
    pub connections: Arc<Connections>,
    /// Whether deliveries are welcome.
    pub readiness: Arc<Readiness>,
    /// Who may call the operator API.
    pub access: Arc<Mutex<Access>>,
    /// Where it is written down what operators do.
    pub trail: Arc<Trail>,
    /// Whether health and metrics ask for a token too.
    pub guard_metrics: bool,
    /// The proxies that are believed about whose request they hand on.
    pub proxies: Proxies,
    /// The webhook paths that are on.
    pub inlets: Arc<Vec<Inlet>>,
    /// How long a body may take.
    pub read_timeout: Duration,
    /// Deliveries that belong to no source.
    pub strays: Arc<Tally>,
}

/// What the requests of one HTTP worker share.
pub struct Edge {
    shared: Shared,
    doors: WorkerDoors,
    by_path: HashMap<String, Inlet>,
}

impl Edge {
    /// The edge of the worker with these doors.
    pub fn new(shared: Shared, doors: WorkerDoors) -> Self {
        let by_path = shared.inlets.iter().map(|inlet| (inlet.path.clone(), inlet.clone())).collect();
        Self { shared, doors, by_path }
    }

    /// Who has sent a request: the address that it came from, or of whom a proxy says it hands it on for.
    fn sender(&self, request: &HttpRequest) -> Option<IpAddr> {
        request.peer_addr().map(|peer| self.shared.proxies.sender(peer.ip(), request.headers()))
    }

    fn tally(&self, source: &SourceName) -> Option<&Tally> {
        self.shared.tree.tallies.get(source)
    }
}

/// The route table.
pub fn routes(edge: Edge) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        for inlet in edge.shared.inlets.iter() {
            config.service(
                web::resource(&inlet.path)
                    .route(web::post().to(webhooks::deliver))
                    .default_service(web::to(webhooks::only_post)),
            );
        }
        config
            .app_data(Data::new(edge))
            .service(web::resource("/webhooks/{source}").to(webhooks::unknown))
            .service(read("/health", reading().to(health::health)).wrap(from_fn(auth::metrics)))
            .service(read("/health/live", reading().to(health::live)))
            .service(read("/health/ready", reading().to(health::ready)))
            .service(read("/metrics", reading().to(metrics::metrics)).wrap(from_fn(auth::metrics)))
            .service(read("/metrics/actors", reading().to(metrics::actors)).wrap(from_fn(auth::metrics)))
            .service(
                web::scope("/api/v1")
                    .wrap(from_fn(auth::api))
                    .service(read("/events", reading().to(events::list)))
                    .service(web::resource("/events/replay").route(web::post().to(replay::replay)))
                    .service(web::resource("/events/{id}/retry").route(web::post().to(replay::retry)))
                    .service(read("/events/{id}", reading().to(events::show)))
                    .service(read("/events/{id}/status", reading().to(events::status)))
                    .service(read("/runs", reading().to(runs::list)))
                    .service(read("/runs/{id}", reading().to(runs::show)))
                    .service(read("/dead-letters", reading().to(dead_letters::list)))
                    .service(web::resource("/dead-letters/redrive").route(web::post().to(dead_letters::redrive)))
                    .service(web::resource("/dead-letters/{id}/dismiss").route(web::post().to(dead_letters::dismiss)))
                    .service(read("/dead-letters/{id}", reading().to(dead_letters::show)))
                    .service(read("/breakers", reading().to(breakers::list)))
                    .service(web::resource("/breakers/{name}/reset").route(web::post().to(breakers::reset)))
                    .service(read("/audit", reading().to(audit::list)))
                    .service(read("/secrets", reading().to(secrets::list)))
                    .service(read("/waits", reading().to(waits::list)))
                    .service(read("/waits/{id}", reading().to(waits::show)))
                    .service(web::resource("/runs/{id}/{verb}").route(web::post().to(control::control))),
            )
            .default_service(web::to(answer::nothing_here));
    }
}

/// GET, and HEAD, which monitors like to use.
fn reading() -> actix_web::Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// A path that is read, and called in no other way.
fn read(path: &str, get: actix_web::Route) -> actix_web::Resource {
    web::resource(path).route(get).default_service(web::to(answer::only_get))
}
