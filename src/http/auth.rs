//! Who may call the operator API. What is decided is decided in [`crate::access`]; here it is read from requests and answered.
//!
//! Everything under `/api/v1` is behind [`api`], whatever its handler does: there is no path that forgets to ask. Answers are
//! those of RFC 6750, section 3; a token that was not sent as a bearer's is none.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpRequest, ResponseError};

use super::answer::{self, ApiError};
use super::connections::Place;
use super::{Edge, audit, session};
use crate::access::token::TokenHash;
use crate::access::{Operator, Refused, Scope};

/// How often an operator was refused, by the code of the answer, since the process started.
#[derive(Debug, Default)]
pub struct RefusedOperators([AtomicU64; CODES.len()]);

/// The codes that there are.
const CODES: [&str; 6] = ["unauthorized", "invalid_token", "insufficient_scope", "locked_out", "no_session", "csrf"];

impl RefusedOperators {
    fn count(&self, code: &str) {
        if let Some((_, count)) = CODES.into_iter().zip(&self.0).find(|(known, _)| *known == code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts now.
    pub fn counted(&self) -> BTreeMap<&'static str, u64> {
        CODES.into_iter().zip(&self.0).map(|(code, count)| (code, count.load(Ordering::Relaxed))).collect()
    }
}

/// A request to the operator API goes on if whoever sent it may do what its method does.
pub async fn api(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let needed = Scope::of_method(request.method().as_str());
    through(needed, request, next).await
}

/// Health and metrics are open unless the configuration says otherwise.
pub async fn metrics(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let is_guarded = request.app_data::<Data<Edge>>().is_none_or(|edge| edge.shared.surface.get().guard_metrics);
    if is_guarded {
        through(Scope::Read, request, next).await
    } else {
        Ok(next.call(request).await?.map_into_boxed_body())
    }
}

/// A request goes on if whoever sent it may do what needs this scope; what it is to change is written down first.
async fn through(
    needed: Scope,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(edge) = request.app_data::<Data<Edge>>().cloned() else { return Ok(refuse(request, &no_token())) };
    let from = edge.sender(request.request());
    let admitted = admit(&edge, needed, from, request.request());
    if let Some(place) = request.conn_data::<Arc<Place>>().filter(|_| admitted.is_ok()) {
        place.prove();
    }
    match admitted {
        Ok(_) if needed == Scope::Read => Ok(next.call(request).await?.map_into_boxed_body()),
        Ok(operator) => audit::audited(&edge, &operator, from, request, next).await,
        Err(refused) => Ok(refuse(request, &refused)),
    }
}

/// What is still on its way would be read as the next request, so there is none on this connection.
pub(super) fn refuse(request: ServiceRequest, refused: &ApiError) -> ServiceResponse<BoxBody> {
    let mut response = refused.error_response();
    response.head_mut().set_connection_type(ConnectionType::Close);
    request.into_response(response)
}

fn admit(edge: &Edge, needed: Scope, from: Option<IpAddr>, request: &HttpRequest) -> Result<Operator, ApiError> {
    let (token, cookie) = (bearer(request).map(TokenHash::of), session::cookie(request));
    let now = edge.shared.clock.now();
    let mut access = edge.shared.access.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever shows a token is judged by it alone.
    let judged = match cookie.filter(|_| !request.headers().contains_key(AUTHORIZATION)) {
        Some(cookie) => access.judge_session(&cookie, word(request), needed, now),
        None => access.judge(token, from, needed, now),
    };
    drop(access);
    judged.map_err(|refused| answered(edge, refused, from, request))
}

pub(super) fn answered(edge: &Edge, refused: Refused, from: Option<IpAddr>, request: &HttpRequest) -> ApiError {
    let error = match refused {
        Refused::NoToken => no_token(),
        Refused::NoSession => no_session(),
        Refused::NoWord => no_word(),
        Refused::WrongToken { locks_for } => {
            if let Some(span) = locks_for {
                tracing::warn!(target: audit::TARGET, from = audit::shown(from), ?span, "locked out for wrong tokens");
            }
            let message = "this token opens nothing here: it is wrong, or its time is over";
            let challenge = "error=\"invalid_token\"".to_owned();
            answer::error(StatusCode::UNAUTHORIZED, "invalid_token", message).challenging(challenge)
        }
        Refused::TooLittle { operator, needed } => {
            tracing::info!(
                target: audit::TARGET,
                operator = &*operator.name,
                from = audit::shown(from),
                action = audit::action(request),
                needed = needed.name(),
                "an operator was refused for want of scope"
            );
            answer::too_little(needed)
        }
        Refused::LockedOut { still } => locked_out(still),
    };
    edge.shared.refused_operators.count(error.code());
    error
}

/// The header in which pages of ours show the word of their session.
const WORD: &str = "x-csrf-token";

/// The word that a request shows.
pub(super) fn word(request: &HttpRequest) -> Option<&str> {
    request.headers().get(WORD)?.to_str().ok()
}

/// A session that is over, or never was.
pub(super) fn no_session() -> ApiError {
    answer::error(StatusCode::UNAUTHORIZED, "no_session", "this session is over; sign in again")
        .challenging(String::new())
}

/// A request that a page of somebody else may have sent.
pub(super) fn no_word() -> ApiError {
    let message =
        "this request does not show the word of its session: send `csrfToken` of GET /api/v1/session in `X-CSRF-Token`";
    answer::error(StatusCode::FORBIDDEN, "csrf", message)
}

fn no_token() -> ApiError {
    let message = "send `Authorization: Bearer <token>`; the token is POINTSMAN_ADMIN_TOKEN, or stands in `admin.token` in the data directory, or is one of `admin.tokens`";
    answer::error(StatusCode::UNAUTHORIZED, "unauthorized", message).challenging(String::new())
}

fn locked_out(still: Duration) -> ApiError {
    let message =
        "this token opens nothing here, and too many wrong ones came from your address; a right one is let in";
    answer::error(StatusCode::TOO_MANY_REQUESTS, "locked_out", message).again_after(still)
}

/// The token that a request shows. One that is no text is shown all the same, and is wrong.
fn bearer(request: &HttpRequest) -> Option<&str> {
    let shown = request.headers().get(AUTHORIZATION)?;
    let Ok(text) = shown.to_str() else { return Some("") };
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
