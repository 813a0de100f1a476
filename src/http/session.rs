//! The dashboard's page, and how a browser signs in and out. What a session is stands in [`crate::access::session`].
//!
//! The cookie is not to be read by scripts (HttpOnly), is sent by no other site's page (SameSite=Strict), and by HTTPS only, but on
//! this machine itself. Pages run scripts and styles of ours alone and may be framed by nobody.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType, HOST, HeaderValue, LOCATION, ORIGIN, REFERRER_POLICY,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use futures_util::StreamExt;
use serde_json::json;

use super::answer::{self, ApiError};
use super::forwarded::is_from_here;
use super::{Edge, audit, auth};
use crate::access::audit::{Deed, Outcome};
use crate::access::session::{Fresh, LONGEST};
use crate::access::token::{TokenHash, random_bits};
use crate::access::{Operator, Refused, Scope};

/// The name of the cookie.
const COOKIE: &str = "pointsman_session";

/// Where pages may load from, and who may show them: us, and nobody (W3C, Content Security Policy Level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const SIGN_IN: &str = include_str!("../dashboard/sign_in.html");
const OVERVIEW: &str = include_str!("../dashboard/overview.html");
const STYLE: &str = include_str!("../dashboard/style.css");
const ICON: &str = include_str!("../dashboard/icon.svg");
const SCRIPT: &str = include_str!("../dashboard/overview.js");

/// The cookie that a request brings.
pub fn cookie(request: &HttpRequest) -> Option<String> {
    request.cookie(COOKIE).map(|cookie| cookie.value().to_owned())
}

/// `GET /`: the overview, or the form with which one signs in.
pub async fn page(request: HttpRequest, edge: Data<Edge>) -> HttpResponse {
    let now = edge.shared.clock.now();
    let mut access = edge.shared.access.lock().unwrap_or_else(PoisonError::into_inner);
    let is_in = cookie(&request).is_some_and(|cookie| access.judge_session(&cookie, None, Scope::Read, now).is_ok());
    drop(access);
    if is_in { html(StatusCode::OK, OVERVIEW) } else { sign_in_page(StatusCode::OK, "") }
}

/// `GET /assets/style.css`
pub async fn style() -> HttpResponse {
    asset("text/css; charset=utf-8", STYLE)
}

/// `GET /assets/overview.js`
pub async fn script() -> HttpResponse {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// `GET /assets/icon.svg`
pub async fn icon() -> HttpResponse {
    asset("image/svg+xml", ICON)
}

/// A form with a token is not larger.
const LARGEST_FORM: usize = 8 << 10;

/// The token that a form holds, if it comes in time and is one.
async fn token_in(mut payload: Payload, limit: Duration) -> Option<TokenHash> {
    let reading = async {
        let mut form = Vec::new();
        while let Some(chunk) = payload.next().await {
            form.extend_from_slice(&chunk.ok()?);
            if form.len() > LARGEST_FORM {
                return None;
            }
        }
        let token = form_urlencoded::parse(&form).find(|(name, _)| name == "token")?.1;
        Some(TokenHash::of(token.trim()))
    };
    // Nobody has proved anything, so nobody holds a connection by a form that does not end.
    tokio::time::timeout(limit, reading).await.ok().flatten()
}

/// `POST /session`: somebody signs in.
pub async fn begin(request: HttpRequest, payload: Payload, edge: Data<Edge>) -> HttpResponse {
    if is_from_elsewhere(&request) {
        return sign_in_page(StatusCode::FORBIDDEN, "Another site sent you here. Sign in on this page.");
    }
    let limit = edge.shared.surface.get().read_timeout;
    let Some(token) = token_in(payload, limit).await else {
        let mut page = sign_in_page(StatusCode::BAD_REQUEST, "No token came.");
        page.head_mut().set_connection_type(ConnectionType::Close);
        return page;
    };
    let (Ok(cookie), Ok(word)) = (random_bits().map(hex::encode), random_bits().map(hex::encode)) else {
        return sign_in_page(StatusCode::SERVICE_UNAVAILABLE, "The system gives no random numbers now.");
    };
    let (fresh, now, from) = (Fresh { cookie, word }, edge.shared.clock.now(), edge.sender(&request));
    let locked = || edge.shared.access.lock().unwrap_or_else(PoisonError::into_inner);
    let judged = locked().judge(Some(token), from, Scope::Read, now);
    let operator = match judged {
        Ok(operator) => operator,
        Err(refused) => return not_signed_in(&edge, refused, from, &request),
    };
    let Some(id) = audit::asked(&edge, deed(&edge, &operator, from, &request)).await else {
        return sign_in_page(StatusCode::SERVICE_UNAVAILABLE, "It cannot be written down that you sign in.");
    };
    let signed_in = locked().sign_in(token, from, &fresh, now);
    let page = match signed_in {
        Ok(_) => signed_in_page(&request, fresh),
        Err(refused) => not_signed_in(&edge, refused, from, &request),
    };
    audit::answered(&edge, id, outcome(&edge, page.status())).await;
    page
}

fn signed_in_page(request: &HttpRequest, fresh: Fresh) -> HttpResponse {
    let cookie = Cookie::build(COOKIE, fresh.cookie).http_only(true).same_site(SameSite::Strict).path("/");
    let max_age = i64::try_from(LONGEST.as_secs()).unwrap_or(i64::MAX);
    let cookie = cookie.secure(!is_plain(request)).max_age(actix_web::cookie::time::Duration::seconds(max_age));
    HttpResponse::SeeOther().insert_header((LOCATION, "/")).cookie(cookie.finish()).finish()
}

/// That somebody signs in or out, as it stands in the trail.
fn deed(edge: &Edge, operator: &Operator, from: Option<IpAddr>, request: &HttpRequest) -> Deed {
    let (at, operator, action) = (edge.shared.clock.now(), operator.name.to_string(), audit::action(request));
    tracing::info!(target: audit::TARGET, operator, from = audit::shown(from), action, "an operator said so");
    Deed { at, operator, from, action, body: serde_json::Value::Null }
}

fn outcome(edge: &Edge, status: StatusCode) -> Outcome {
    Outcome { at: edge.shared.clock.now(), status: status.as_u16(), error: None }
}

fn not_signed_in(edge: &Edge, refused: Refused, from: Option<IpAddr>, request: &HttpRequest) -> HttpResponse {
    let still = if let Refused::LockedOut { still } = &refused { Some(*still) } else { None };
    let status = auth::answered(edge, refused, from, request).status_code();
    let more = if still.is_some() { " Too many wrong ones came from you." } else { "" };
    let said = format!("That token opens nothing here: it is wrong, or its time is over.{more}");
    let mut page = sign_in_page(status, &said);
    if let Some(after) = still.and_then(|still| HeaderValue::from_str(&answer::whole_seconds(still)).ok()) {
        page.headers_mut().insert(RETRY_AFTER, after);
    }
    page
}

/// `GET /api/v1/session`: who one is, and the word of one's session.
pub async fn show(request: HttpRequest, edge: Data<Edge>) -> Result<HttpResponse, ApiError> {
    let now = edge.shared.clock.now();
    let cookie = cookie(&request).ok_or_else(|| answer::not_found("session: this is for browsers"))?;
    let mut access = edge.shared.access.lock().unwrap_or_else(PoisonError::into_inner);
    let operator = access.judge_session(&cookie, None, Scope::Read, now);
    let word = access.word(&cookie, now);
    drop(access);
    let (Ok(operator), Some(word)) = (operator, word) else { return Err(auth::no_session()) };
    Ok(HttpResponse::Ok().json(json!({ "id": &*operator.name, "status": operator.scope.name(), "csrfToken": word })))
}

/// `POST /session/end`: somebody signs out.
pub async fn end(request: HttpRequest, edge: Data<Edge>) -> Result<HttpResponse, ApiError> {
    let (cookie, now) = (cookie(&request).unwrap_or_default(), edge.shared.clock.now());
    let locked = || edge.shared.access.lock().unwrap_or_else(PoisonError::into_inner);
    let operator = locked().judge_session(&cookie, None, Scope::Read, now);
    let is_out = locked().sign_out(&cookie, auth::word(&request), now);
    let Some(operator) = operator.ok().filter(|_| is_out) else { return Err(auth::no_word()) };
    // Whoever goes is let go, also when that cannot be written down.
    if let Some(id) = audit::asked(&edge, deed(&edge, &operator, edge.sender(&request), &request)).await {
        audit::answered(&edge, id, outcome(&edge, StatusCode::OK)).await;
    }
    let mut gone = Cookie::build(COOKIE, "").http_only(true).same_site(SameSite::Strict).path("/").finish();
    gone.make_removal();
    Ok(HttpResponse::Ok().cookie(gone).json(json!({ "success": true })))
}

/// Whether a page of another site had the browser send this. Browsers say so (W3C, Fetch Metadata); those that are too old for it
/// say from where it comes in `Origin`, which is `null` also for reasons of their own.
fn is_from_elsewhere(request: &HttpRequest) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let host = text(HOST.as_str()).unwrap_or_default();
    let origin = text(ORIGIN.as_str());
    let is_ours = |origin: &str| origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host));
    origin.is_some_and(|origin| !is_ours(origin))
}

/// Whether a browser on this machine calls this machine: there is no network to listen on, and HTTPS is rare. A proxy that says nothing of
/// itself is known by its browsers, which came by HTTPS.
fn is_plain(request: &HttpRequest) -> bool {
    let origin = request.headers().get(ORIGIN).map(|origin| origin.as_bytes());
    is_from_here(request) && !origin.is_some_and(|origin| origin.starts_with(b"https:"))
}

fn sign_in_page(status: StatusCode, said: &str) -> HttpResponse {
    html(status, &SIGN_IN.replace("<!-- said -->", said))
}

fn html(status: StatusCode, page: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type(ContentType::html())
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // Without any, browsers would not say in `Origin` that a form is our own.
        .insert_header((REFERRER_POLICY, "same-origin"))
        .body(page.to_owned())
}

fn asset(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(text)
}
