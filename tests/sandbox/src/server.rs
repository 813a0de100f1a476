//! Serves the world over HTTP: one handler for every path, so that every call passes the plan of faults
//! and the ledger.
//!
//! A connection breaks in this way: the body of an answer fails before its first byte, and the server
//! closes the connection. No client gets a whole answer, which is what a broken connection means to it.

use std::convert::Infallible;
use std::net::TcpListener;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use actix_web::web::{self, Bytes, Data, PayloadConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value as Json, json};
use sha2::Sha256;

use crate::faults::{self, FaultKind};
use crate::world::{Call, Hook, World};
use crate::{agentapi, anthropic, claude, codegen, control, discord, echo, github, linear, receiver, slack};

/// A running sandbox.
pub struct Sandbox {
    world: World,
    url: String,
    handle: ServerHandle,
}

/// A call as services see it.
pub struct Request {
    /// The method, upper-case.
    pub method: String,
    /// The path without the service's prefix, with its query.
    pub path: String,
    /// The body.
    pub body: Bytes,
    /// Its headers, with lower-case names.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The pairs of its query.
    pub fn queries(&self) -> Vec<(String, String)> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// The value of this name in its query.
    pub fn query(&self, name: &str) -> Option<String> {
        self.queries().into_iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What a service answers.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// Whether it is JSON.
    pub is_json: bool,
    /// Whether it is server-sent events, which come one by one.
    pub is_events: bool,
    /// The webhook that the call causes.
    pub callback: Option<Json>,
    /// The delivery that it has made again.
    pub redelivery: Option<github::hooks::Try>,
    /// Where it sends the caller.
    pub location: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// What this state of it is named.
    pub etag: Option<String>,
    /// Where the next page of it is.
    pub link: Option<String>,
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, body: Json) -> Self {
        Self { body: body.to_string().into(), is_json: true, ..Self::text(status, "") }
    }

    /// Text.
    pub fn text(status: u16, text: &str) -> Self {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let (redelivery, location, etag, link) = (None, None, None, None);
        let (is_json, is_events, callback, headers) = (false, false, None, Vec::new());
        Self { status, body, is_json, is_events, callback, redelivery, location, headers, etag, link }
    }
}

impl Sandbox {
    /// Starts one on a port of loopback, on the current system; 0 takes a free port.
    pub async fn start(port: u16) -> anyhow::Result<Self> {
        // Fails only when one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let url = format!("http://{}", listener.local_addr()?);
        let world = World::default();
        let shared = world.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(Data::new(shared.clone()))
                .app_data(PayloadConfig::new(64 << 20))
                .default_service(web::to(serve))
        });
        let server = server.workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self { world, url, handle })
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The world that it serves.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Ends it.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

async fn serve(request: HttpRequest, body: Bytes, world: Data<World>) -> HttpResponse {
    let whole = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let (service, path) = whole.trim_start_matches('/').split_once('/').unwrap_or((whole, ""));
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    let call =
        Request { method: request.method().to_string(), path: format!("/{path}"), body, headers: headers.collect() };
    if service == "_control" {
        return respond(control::answer(&world, &call));
    }
    let place = world.note(Call {
        number: 0,
        at_ms: now(),
        service: service.to_owned(),
        method: call.method.clone(),
        path: call.path.clone(),
        key: ["x-idempotency-key", "idempotency-key", "webhook-id"]
            .iter()
            .find_map(|name| call.header(name))
            .map(str::to_owned),
        headers: call.headers.iter().filter(|(name, _)| !is_credential(service, name)).cloned().collect(),
        body: call.json(),
        status: None,
        executed: false,
    });
    let named = if service == "linear" { linear::place(&call) } else { call.path.clone() };
    let fault = faults::take(&mut world.state(), service, &call.method, &named);
    if let Some(FaultKind::Delay(millis)) = fault {
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
    }
    if let Some(refused) = refuse(service, fault) {
        let dropped = fault == Some(FaultKind::DropBefore);
        world.settle(place, (!dropped).then_some(refused.status().as_u16()), false);
        return refused;
    }
    let mut reply = execute(&world, service, &call);
    let accepted = reply.status < 300;
    if let Some(again) = reply.redelivery.take() {
        let world = world.clone();
        actix_rt::spawn(async move { github::hooks::attempt(&world, again).await });
    }
    let hook = hook_of(&world, service);
    if let Some((event, (hook, headers))) = reply.callback.take().zip(hook) {
        if fault == Some(FaultKind::CallbackFirst) {
            _ = deliver(event, hook, headers).await;
        } else {
            actix_rt::spawn(deliver(event, hook, headers));
        }
    }
    match fault {
        Some(FaultKind::DropAfter) => {
            world.settle(place, None, accepted);
            broken()
        }
        Some(FaultKind::ErrorAfter(status)) => {
            world.settle(place, Some(status), accepted);
            respond(trouble(service, status))
        }
        Some(FaultKind::HoldAnswer(millis)) => {
            world.settle(place, None, accepted);
            tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
            respond(reply)
        }
        _ => {
            world.settle(place, Some(reply.status), accepted);
            respond(reply)
        }
    }
}

fn is_credential(service: &str, header: &str) -> bool {
    header == "authorization" || (service, header) == ("anthropic", "x-api-key")
}

/// Milliseconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "the ledger says when a call really came")]
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn execute(world: &World, service: &str, call: &Request) -> Reply {
    let mut state = world.state();
    match service {
        "github" => github::answer(&mut state, call, now()),
        "linear" => linear::answer(&mut state, call, now()),
        "codegen" => codegen::answer(&mut state, call),
        "blobs" => github::runs::blob(&state, call),
        "codeload" => github::tarballs::download(&state, call),
        "slack" => slack::answer(&mut state, call),
        "discord" => discord::answer(&mut state, call),
        "receiver" => receiver::answer(&mut state, call, now() / 1_000),
        "claude" => claude::answer(&mut state, call),
        "anthropic" => anthropic::answer(&mut state, call),
        "agentapi" => agentapi::answer(&mut state, call),
        "echo" => echo::answer(&mut state, call),
        _ => Reply::text(404, "no such service"),
    }
}

/// The answer of a call that is not done.
fn refuse(service: &str, fault: Option<FaultKind>) -> Option<HttpResponse> {
    match fault? {
        FaultKind::Refuse(status) => Some(respond(trouble(service, status))),
        FaultKind::RateLimit(seconds) if service == "linear" => {
            Some(respond(linear::trouble(429, now() + i64::try_from(seconds).unwrap_or_default() * 1_000)))
        }
        FaultKind::RateLimit(seconds) if service == "discord" => Some(respond(discord::limited(seconds))),
        FaultKind::RateLimit(seconds) => {
            let mut response = respond(trouble(service, 429));
            let name = actix_web::http::header::RETRY_AFTER;
            response.headers_mut().insert(name, seconds.into());
            Some(response)
        }
        FaultKind::UsedUp(seconds) => {
            let mut response = respond(github::error(403, "API rate limit exceeded for user"));
            let reset = now() / 1_000 + i64::try_from(seconds).unwrap_or_default();
            for (name, value) in [("x-ratelimit-remaining", 0), ("x-ratelimit-reset", reset)] {
                response.headers_mut().insert(HeaderName::from_static(name), value.into());
            }
            Some(response)
        }
        FaultKind::DropBefore => Some(broken()),
        FaultKind::Redirect => {
            let mut response = HttpResponse::Found();
            Some(response.insert_header(("location", "/_control/state")).finish())
        }
        FaultKind::Delay(_)
        | FaultKind::DropAfter
        | FaultKind::ErrorAfter(_)
        | FaultKind::HoldAnswer(_)
        | FaultKind::CallbackFirst => None,
    }
}

/// How a service says that it will not, in its own form.
fn trouble(service: &str, status: u16) -> Reply {
    match (service, status) {
        ("github", 429) => github::error(429, "You have exceeded a secondary rate limit"),
        ("github", _) => github::error(status, "Server Error"),
        ("linear", _) => linear::trouble(status, now()),
        ("codegen", _) => codegen::error(status, "by plan"),
        ("anthropic", _) => anthropic::trouble(status),
        ("agentapi", _) => agentapi::problem(status, "by plan", &[]),
        ("discord", _) => discord::trouble(status),
        (_, 429) => Reply::text(429, "rate_limited"),
        _ => Reply::text(status, "server_error"),
    }
}

fn respond(reply: Reply) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK));
    response.content_type(if reply.is_json { "application/json" } else { "text/plain" });
    for (name, value) in [("limit", "5000"), ("remaining", "4999"), ("used", "1"), ("resource", "core")] {
        response.insert_header((format!("x-ratelimit-{name}"), value));
    }
    for (name, value) in reply.headers {
        response.insert_header((name, value));
    }
    for (name, value) in [("location", reply.location), ("etag", reply.etag), ("link", reply.link)] {
        if let Some(value) = value {
            response.insert_header((name, value));
        }
    }
    if reply.is_events {
        response.content_type("text/event-stream");
        let events: Vec<&str> = std::str::from_utf8(&reply.body).unwrap_or_default().split_inclusive("\n\n").collect();
        let events: Vec<_> =
            events.into_iter().map(|event| Ok::<_, Infallible>(Bytes::from(event.to_owned()))).collect();
        return response.streaming(futures_util::stream::iter(events));
    }
    response.body(reply.body)
}

/// An answer that ends before it is whole.
fn broken() -> HttpResponse {
    let ends = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("broken by plan")) });
    HttpResponse::Ok().no_chunking(100).streaming(ends)
}

/// The headers of a delivery, beside its signature's, and that one's name.
pub(crate) type HookHeaders = (Json, &'static str);

/// Where a service delivers to, and with which headers.
fn hook_of(world: &World, service: &str) -> Option<(Hook, HookHeaders)> {
    let state = world.state();
    if service == "codegen" {
        return Some((state.codegen_hook.clone()?, (json!({}), "x-codegen-signature")));
    }
    let headers = json!({
        "user-agent": "GitHub-Hookshot/sandbox", "x-github-event": "status",
        "x-github-delivery": uuid::Uuid::new_v4().to_string(), "x-github-hook-id": "1",
    });
    Some((state.hook.clone()?, (headers, "x-hub-signature-256")))
}

/// Delivers an event, signed. Gives the status of the answer, if there is one.
pub(crate) async fn deliver(event: Json, hook: Hook, (headers, signature_name): HookHeaders) -> Option<u16> {
    let body = event.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(hook.secret.as_bytes()).ok()?;
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let request = reqwest::Client::builder().no_proxy().build().unwrap_or_default().post(&hook.url);
    let request = request.header("content-type", "application/json").header(signature_name, signature);
    let headers = headers.as_object().cloned().unwrap_or_default();
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(name, value.as_str().unwrap_or_default()));
    // As GitHub, it does not deliver again by itself.
    request.body(body).send().await.ok().map(|answer| answer.status().as_u16())
}
