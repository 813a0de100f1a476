//! Who may call the operator API. What is decided is decided in [`crate::access`]; here it is read from requests and answered.
//!
//! Everything under `/api/v1` is behind [`api`], whatever its handler does: there is no path that forgets to ask. Answers are
//! those of RFC 6750, section 3; a token that was not sent as a bearer's is none.

use std::net::IpAddr;
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
use super::{Edge, audit};
use crate::access::token::TokenHash;
use crate::access::{Operator, Refused, Scope};

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
    let is_guarded = request.app_data::<Data<Edge>>().is_none_or(|edge| edge.shared.guard_metrics);
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
    let token = bearer(request).map(TokenHash::of);
    let now = edge.shared.clock.now();
    let mut access = edge.shared.access.lock().unwrap_or_else(PoisonError::into_inner);
    let judged = access.judge(token, from, needed, now);
    drop(access);
    judged.map_err(|refused| match refused {
        Refused::NoToken => no_token(),
        Refused::WrongToken { locks_for } => {
            if let Some(span) = locks_for {
                tracing::warn!(target: audit::TARGET, from = audit::shown(from), ?span, "locked out for wrong tokens");
            }
            let message = "this token opens nothing here: it is wrong, or its time is over";
            let challenge = "error=\"invalid_token\"".to_owned();
            answer::error(StatusCode::UNAUTHORIZED, "invalid_token", message).challenging(challenge)
        }
        Refused::TooLittle { operator, needed } => {
            let needed = needed.name();
            tracing::info!(
                target: audit::TARGET,
                operator = &*operator.name,
                from = audit::shown(from),
                action = audit::action(request),
                needed,
                "an operator was refused for want of scope"
            );
            let message = format!("this token is for less; a token with the scope `{needed}` may do that");
            let challenge = format!("error=\"insufficient_scope\", scope=\"{needed}\"");
            answer::error(StatusCode::FORBIDDEN, "insufficient_scope", &message).challenging(challenge)
        }
        Refused::LockedOut { still } => locked_out(still),
    })
}

fn no_token() -> ApiError {
    let message = "send `Authorization: Bearer <token>`; the token is POINTSMAN_ADMIN_TOKEN, or stands in `admin.token` in the data directory, or is one of `admin.tokens`";
    answer::error(StatusCode::UNAUTHORIZED, "unauthorized", message).challenging(String::new())
}

fn locked_out(still: Duration) -> ApiError {
    let message =
        "too many wrong tokens came from your address; none is looked at until that is over, also no right one";
    answer::error(StatusCode::TOO_MANY_REQUESTS, "locked_out", message).again_after(still)
}

/// The token that a request shows. One that is no text is shown all the same, and is wrong.
fn bearer(request: &HttpRequest) -> Option<&str> {
    let shown = request.headers().get(AUTHORIZATION)?;
    let Ok(text) = shown.to_str() else { return Some("") };
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
