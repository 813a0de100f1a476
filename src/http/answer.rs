//! The form of every answer.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use pointsman_actors::rate_limiter::limits::Standing;
use pointsman_actors::refusal::Refusal;
use pointsman_actors::store::StoreError;
use pointsman_actors::time::Timestamp;
use serde::Serialize;

use crate::access::Scope;

/// The body of an error.
#[derive(Serialize)]
struct Error<'a> {
    success: bool,
    error: &'a str,
    message: &'a str,
}

/// A list, as every list of the operator API is answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `null` at the end.
    pub next_cursor: Option<String>,
}

/// An error of the operator API: a stable code and a text that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    challenge: Option<String>,
    again_after: Option<Duration>,
}

impl ApiError {
    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The same, saying how one proves who one is: parameters of the scheme `Bearer` (RFC 6750, section 3).
    pub fn challenging(self, parameters: String) -> Self {
        let separator = if parameters.is_empty() { "" } else { ", " };
        Self { challenge: Some(format!("Bearer realm=\"pointsman\"{separator}{parameters}")), ..self }
    }

    /// The same, saying when to come again.
    pub fn again_after(self, span: Duration) -> Self {
        Self { again_after: Some(span), ..self }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.insert_header((ALLOW, "GET, HEAD"));
        }
        if let Some(challenge) = &self.challenge {
            response.insert_header((WWW_AUTHENTICATE, challenge.as_str()));
        }
        if let Some(after) = self.again_after {
            response.insert_header((RETRY_AFTER, whole_seconds(after)));
        }
        response.json(Error { success: false, error: self.code, message: &self.message })
    }
}

/// An error with a stable code and a text that says what to do.
pub fn error(status: StatusCode, code: &'static str, message: &str) -> ApiError {
    ApiError { status, code, message: message.to_owned(), challenge: None, again_after: None }
}

/// In seconds, as headers have it, and never too early.
pub(super) fn whole_seconds(span: Duration) -> String {
    span.as_millis().div_ceil(1_000).to_string()
}

/// A refused delivery, and how its sender stands, if that is counted.
///
/// The fields are those of draft-ietf-httpapi-ratelimit-headers-07, which clients know.
pub fn refused(refused: Refusal, standing: &Standing) -> HttpResponse {
    let mut response = refusal(refused);
    for (name, value) in [
        ("ratelimit-limit", standing.limit.to_string()),
        ("ratelimit-remaining", standing.remaining.to_string()),
        ("ratelimit-reset", whole_seconds(standing.resets_in)),
        ("ratelimit-policy", format!("{};w={}", standing.limit, whole_seconds(standing.window))),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A refused delivery.
pub fn refusal(refusal: Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if let Some(after) = refusal.retry_after() {
        response.insert_header((RETRY_AFTER, whole_seconds(after)));
    }
    if refusal == Refusal::MethodNotAllowed {
        response.insert_header((ALLOW, "POST"));
    }
    if refusal.leaves_body_unread() {
        // What is still on its way would be read as the next request.
        response.force_close();
    }
    response.json(Error { success: false, error: refusal.code(), message: &refusal.message() })
}

/// A store that did not do what it was asked.
pub fn store_error(failed: &StoreError) -> ApiError {
    match failed {
        StoreError::Unavailable(_) => error(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", &failed.to_string()),
        StoreError::Damaged { .. } => error(StatusCode::INTERNAL_SERVER_ERROR, "record_damaged", &failed.to_string()),
    }
}

/// Something that is not there.
pub fn not_found(what: &str) -> ApiError {
    error(StatusCode::NOT_FOUND, "not_found", &format!("there is no {what}"))
}

/// A parameter that cannot be used.
pub fn bad_parameter(name: &str, reason: &str) -> ApiError {
    error(StatusCode::BAD_REQUEST, "bad_parameter", &format!("{name}: {reason}"))
}

/// Items of a list that names no limit.
const DEFAULT_LIMIT: usize = 50;
/// Items of a list at most; more is clamped.
const LARGEST_LIMIT: usize = 500;

/// How many items a list gives.
pub fn limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(DEFAULT_LIMIT).clamp(1, LARGEST_LIMIT)
}

/// A parameter that is a time.
pub fn time(name: &str, text: Option<String>) -> Result<Option<Timestamp>, ApiError> {
    let read = |text: String| {
        Timestamp::from_rfc3339(&text)
            .ok_or_else(|| bad_parameter(name, "not a time; write it like 2026-11-24T10:00:00Z"))
    };
    text.map(read).transpose()
}

/// What an operator finds under `/api/v1`.
const HERE: &str = "there are events, runs, waits, dead-letters, breakers, secrets, config and audit";

/// A path that leads nowhere.
pub fn nothing_here(request: &HttpRequest) -> HttpResponse {
    let method = request.method();
    let message = format!("no such path for {method}; webhooks go to /webhooks/<source>, and under /api/v1 {HERE}");
    error(StatusCode::NOT_FOUND, "not_found", &message).error_response()
}

/// A token that is for less than what was asked for.
pub fn too_little(needed: Scope) -> ApiError {
    let needed = needed.name();
    let message = format!("this token is for less; a token with the scope `{needed}` may do that");
    let challenge = format!("error=\"insufficient_scope\", scope=\"{needed}\"");
    error(StatusCode::FORBIDDEN, "insufficient_scope", &message).challenging(challenge)
}

/// A path of the operator that was called in another way than it is read.
pub async fn only_get(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let message = format!("{} cannot be called with {}; use GET", request.path(), request.method());
    Err(error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message))
}
