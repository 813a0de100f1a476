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
mod reload;
mod replay;
mod runs;
mod secrets;
mod session;
mod stream;
mod surface;
mod waits;
mod webhooks;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, guard};
use pointsman_actors::current::Current;
use pointsman_actors::event::SourceName;
use pointsman_actors::receiver::tally::Tally;
use pointsman_actors::store::Store;
use pointsman_actors::time::{SharedClock, Timestamp};
use pointsman_actors::tree::{Tree, WorkerDoors};

pub use auth::RefusedOperators;
pub use forwarded::{ForwardedHeader, Proxies};
pub use health::Readiness;
pub use surface::{Inlet, Surface};

use self::connections::Connections;
use crate::access::Access;
use crate::access::trail::Trail;
use crate::reload::Reloader;

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
    /// How often operators were refused.
    pub refused_operators: Arc<RefusedOperators>,
    /// Where it is written down what operators do.
    pub trail: Arc<Trail>,
    /// What the edge goes by.
    pub surface: Current<Surface>,
    /// Puts another configuration in force.
    pub reloader: Arc<Reloader>,
    /// Deliveries that belong to no source.
    pub strays: Arc<Tally>,
}

/// What the requests of one HTTP worker share.
pub struct Edge {
    shared: Shared,
    doors: WorkerDoors,
}

impl Edge {
    /// The edge of the worker with these doors.
    pub fn new(shared: Shared, doors: WorkerDoors) -> Self {
        Self { shared, doors }
    }

    /// Who has sent a request: the address that it came from, or of whom a proxy says it hands it on for.
    fn sender(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        Some(self.shared.surface.get().proxies.sender(peer, request.headers()))
    }

    fn tally(&self, source: &SourceName) -> Option<Arc<Tally>> {
        self.shared.tree.tallies.of(source)
    }
}

/// The route table.
pub fn routes(edge: Edge) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config
            .app_data(Data::new(edge))
            .service(web::resource("/webhooks/{source}").to(webhooks::webhook))
            .service(read("/", reading().to(session::page)))
            .service(read("/assets/style.css", reading().to(session::style)))
            .service(read("/assets/overview.js", reading().to(session::script)))
            .service(read("/assets/icon.svg", reading().to(session::icon)))
            .service(web::resource("/session").route(web::post().to(session::begin)))
            .service(web::resource("/session/end").route(web::post().to(session::end)))
            .service(read("/health", reading().to(health::health)).wrap(from_fn(auth::metrics)))
            .service(read("/health/live", reading().to(health::live)))
            .service(read("/health/ready", reading().to(health::ready)))
            .service(read("/metrics", reading().to(metrics::metrics)).wrap(from_fn(auth::metrics)))
            .service(read("/metrics/actors", reading().to(metrics::actors)).wrap(from_fn(auth::metrics)))
            .service(
                web::scope("/api/v1")
                    .wrap(from_fn(auth::api))
                    .wrap(hardening())
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
                    .service(read("/config", reading().to(reload::config)))
                    .service(web::resource("/reload").route(web::post().to(reload::reload)))
                    .service(read("/secrets", reading().to(secrets::list)))
                    .service(read("/session", reading().to(session::show)))
                    .service(read("/waits", reading().to(waits::list)))
                    .service(read("/waits/{id}", reading().to(waits::show)))
                    .service(web::resource("/runs/{id}/{verb}").route(web::post().to(control::control))),
            )
            // Sources may have any other path, and another configuration may give them others.
            .default_service(web::to(webhooks::webhook));
    }
}

/// What keeps browsers from doing anything with an answer but what it is for, and from keeping it.
fn hardening() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((CACHE_CONTROL, "no-store"))
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((REFERRER_POLICY, "no-referrer"))
        .add((CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
}

/// GET, and HEAD, which monitors like to use.
fn reading() -> actix_web::Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// A path that is read, and called in no other way.
fn read(path: &str, get: actix_web::Route) -> actix_web::Resource {
    web::resource(path).route(get).default_service(web::to(answer::only_get))
}
