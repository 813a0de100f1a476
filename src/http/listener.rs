//! Our own listener: whom it lets in, with TLS or without, and the workers that serve them.
//!
//! It is what `actix_web::HttpServer` does, with one thing more: a connection needs a place among all of them before a byte of it is
//! read, and so before its handshake. With actix-web's own TLS that could be counted only after it, and 256 handshakes
//! that nobody ends would keep everybody else out of a worker.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpResponse};
use anyhow::Context;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::connections::{Connections, Place};
use super::stream::{Guarded, Stream};
use super::{Edge, Shared, routes};
use crate::tls::Certificate;

/// Where to listen, and how long for what.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
    /// Workers.
    pub workers: usize,
    /// With TLS if there is one.
    pub certificate: Option<Arc<Certificate>>,
    /// How long its handshake may take.
    pub handshake_timeout: Duration,
    /// How long the head of a request may take.
    pub head_timeout: Duration,
    /// How long a connection may be without a request after it had one.
    pub keep_alive: Duration,
    /// How long those inside may take when the server stops.
    pub shutdown_timeout: Duration,
}

/// Connections that the kernel keeps until we take them. More is cut to `net.core.somaxconn`; std asks for 128, which a burst
/// fills within milliseconds, and whoever is not in it tries again only after a second.
const QUEUE: i32 = 4096;

/// Connections beside those that have a place, for each worker: whom it is about to close.
const AT_THE_DOOR: usize = 256;

/// How long whoever is refused may take to stop sending, and to take his answer.
const LINGER: Duration = Duration::from_secs(1);

/// How long after the limit for a head a connection without one ends in any case. HTTP/1 answers 408 at the limit.
const SLACK: Duration = Duration::from_secs(1);

/// Starts to serve; gives the address and the handle that ends it when every worker is there.
pub async fn listen(listening: Listening, shared: Shared) -> anyhow::Result<(SocketAddr, ServerHandle)> {
    let asked = listening.address;
    let listener = TcpListener::bind(asked)
        .with_context(|| format!("cannot listen on {asked}; is another server there? set `server.port`"))?;
    rustix::net::listen(&listener, QUEUE).context("the queue of the listener cannot be set")?;
    let (address, workers) = (listener.local_addr()?, listening.workers);
    let entrance = Entrance::new(&listening, Arc::clone(&shared.connections))?;
    let started = Arc::new(Semaphore::new(0));
    let (counter, start) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&started));
    // Whom there is no place for is taken from the queue as well, to be closed at once: actix itself must not stop to listen.
    let most = shared.connections.limits().total.saturating_add(AT_THE_DOOR);
    let builder = ServerBuilder::default().max_concurrent_connections(most);
    let stopping = builder.graceful_shutdown_signal();
    let Listening { head_timeout, keep_alive, .. } = listening;
    let factory = move || {
        let doors = shared.tree.start_worker(counter.fetch_add(1, Ordering::Relaxed));
        start.add_permits(1);
        let app = App::new().wrap(from_fn(at_work)).configure(routes(Edge::new(shared.clone(), doors)));
        let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
        let (entrance, stopping) = (entrance.clone(), stopping.clone());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(keep_alive)
            .client_request_timeout(head_timeout)
            .client_disconnect_timeout(LINGER)
            .local_addr(address)
            .on_connect_ext(|stream: &Stream, extensions: &mut actix_http::Extensions| {
                extensions.insert(Arc::clone(stream.place()));
            })
            .finish(map_config(app, |()| AppConfig::default()));
        fn_service(move |socket| entrance.clone().let_in(socket)).and_then(http)
    };
    let server = builder
        .workers(workers)
        .shutdown_timeout(listening.shutdown_timeout.as_secs())
        .disable_signals()
        .listen("pointsman", listener, factory)?
        .run();
    let handle = server.handle();
    actix_rt::spawn(server);
    // Every worker has its components before anybody is told that the server is there.
    let _ = started.acquire_many(u32::try_from(workers).unwrap_or(1)).await;
    Ok((address, handle))
}

/// As long as a request is at work, its connection does not make way. After the last answer there is none any more (RFC 9112, section 9.6),
/// which actix does not keep with requests that it has read ahead.
async fn at_work(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let place = request.conn_data::<Arc<Place>>().cloned();
    if let Some(place) = place.as_ref().filter(|place| place.is_closed()) {
        // The last answer is written first. This one never is.
        tokio::task::yield_now().await;
        place.end();
        return Ok(request.into_response(HttpResponse::new(StatusCode::BAD_REQUEST)));
    }
    let _at_work = place.as_ref().map(Place::begin);
    let response = next.call(request).await?;
    if let Some(place) = place.filter(|_| response.response().head().connection_type() == ConnectionType::Close) {
        place.close();
    }
    Ok(response)
}

/// The way of a connection from the kernel's queue to HTTP.
#[derive(Clone)]
struct Entrance {
    connections: Arc<Connections>,
    tls: Option<TlsAcceptor>,
    handshake_timeout: Duration,
    head_timeout: Duration,
}

impl Entrance {
    fn new(listening: &Listening, connections: Arc<Connections>) -> anyhow::Result<Self> {
        let Listening { handshake_timeout, head_timeout, .. } = *listening;
        let config = listening.certificate.as_ref().map(Certificate::config).transpose()?;
        let tls = config.map(|config| TlsAcceptor::from(Arc::new(config)));
        Ok(Self { connections, tls, handshake_timeout, head_timeout })
    }

    async fn let_in(self, socket: TcpStream) -> Result<(Stream, Protocol, Option<SocketAddr>), DispatchError> {
        let peer = socket.peer_addr().ok();
        let place = self.connections.enter(peer.map(|peer| peer.ip()));
        let place = place.ok_or(DispatchError::Io(io::ErrorKind::ConnectionRefused.into()))?;
        let Some(tls) = self.tls else {
            let socket = Guarded::new(socket, place, self.head_timeout + SLACK, self.head_timeout);
            return Ok((Stream::Plain(socket), Protocol::Http1, peer));
        };
        let first = self.handshake_timeout + self.head_timeout + SLACK;
        let socket = Guarded::new(socket, place, first, self.head_timeout);
        let handshake = tokio::time::timeout(self.handshake_timeout, tls.accept(socket));
        let late = |_| DispatchError::Io(io::ErrorKind::TimedOut.into());
        let stream = Box::new(handshake.await.map_err(late)?.map_err(DispatchError::Io)?);
        Ok((Stream::Tls(stream), Protocol::Http1, peer))
    }
}
