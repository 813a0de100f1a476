//! What GitHub's refusals mean, and whether they may pass. Pure.
//!
//! Rules: docs.github.com/rest, "Rate limits for the REST API" and "Troubleshooting".

use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::Method;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value as Json;

use crate::integrations::http::Answer;

/// What GitHub asks clients to wait for when it limits them and does not say how long.
const SLOW_DOWN: Duration = Duration::from_secs(60);

/// Whoever refuses because nothing is left says by that alone that the limit is not lifted yet, whatever our clock says.
const NOT_YET: Duration = Duration::from_secs(1);

/// What a refusal means, and whether it may pass; `now` is in seconds since the Unix epoch.
pub fn refused(what: &str, method: &Method, answer: &Answer, now: i64) -> Failure {
    let said = message_of(&answer.body);
    let failure = |class, remedy: &str| Failure::new(class, format!("{what}: {} {said}{remedy}", answer.status));
    if let Some(pause) = limited(answer, now) {
        return failure(ErrorClass::RateLimit, "").retry_after(pause);
    }
    match answer.status {
        300..=399 => {
            failure(ErrorClass::Validation, "it has moved, and nothing was done there; was the repository renamed?")
        }
        401 => {
            failure(ErrorClass::Authentication, "; the token in GITHUB_TOKEN was refused, or the App of GITHUB_APP_ID")
        }
        403 => {
            let needed = header(&answer.headers, "x-accepted-github-permissions");
            let needed = needed.map_or_else(String::new, |needed| format!("; the token needs {needed}"));
            failure(ErrorClass::Authorization, &needed)
        }
        404 => failure(ErrorClass::NotFound, "; it is not there, or the token cannot see it"),
        410 => failure(ErrorClass::NotFound, ""),
        408 | 500.. => {
            let failure = failure(ErrorClass::ServiceUnavailable, "");
            if method == Method::GET { failure } else { failure.in_doubt() }
        }
        _ => failure(ErrorClass::Validation, ""),
    }
}

/// How long to wait when GitHub limits us: `retry-after`, else until the limit is lifted, else a minute.
/// A 403 without any of these is about permissions.
pub(super) fn limited(answer: &Answer, now: i64) -> Option<Duration> {
    if !matches!(answer.status, 403 | 429) {
        return None;
    }
    let after = number(&answer.headers, RETRY_AFTER.as_str()).map(seconds);
    let until_lifted = || used_up(&answer.headers, now).map(|pause| pause.max(NOT_YET));
    let is_limit = || answer.status == 429 || message_of(&answer.body).contains("secondary rate limit");
    after.or_else(until_lifted).or_else(|| is_limit().then_some(SLOW_DOWN))
}

/// How long until the primary limit is lifted, if nothing is left of it.
pub(super) fn used_up(headers: &HeaderMap, now: i64) -> Option<Duration> {
    // Searches and such have limits of their own.
    let is_core = header(headers, "x-ratelimit-resource").is_none_or(|resource| resource == "core");
    if !is_core || number(headers, "x-ratelimit-remaining") != Some(0) {
        return None;
    }
    Some(number(headers, "x-ratelimit-reset").map_or(SLOW_DOWN, |reset| seconds(reset - now)))
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    header(headers, name)?.parse().ok()
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// GitHub's own words: the message, and what is wrong with which field. `errors` holds objects or texts.
pub(super) fn message_of(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Json>(body) else {
        return String::from_utf8_lossy(body).chars().take(200).collect();
    };
    let message = body.get("message").and_then(Json::as_str).unwrap_or("(no message)");
    let errors: Vec<String> = body.get("errors").and_then(Json::as_array).into_iter().flatten().map(error_of).collect();
    if errors.is_empty() { message.to_owned() } else { format!("{message} ({})", errors.join("; ")) }
}

fn error_of(error: &Json) -> String {
    let text = |name: &str| error.get(name).and_then(Json::as_str);
    match (error.as_str(), text("message")) {
        (Some(plain), _) => plain.to_owned(),
        (None, Some(message)) => message.to_owned(),
        (None, None) => format!("{} {}", text("field").unwrap_or("-"), text("code").unwrap_or("-")),
    }
}
