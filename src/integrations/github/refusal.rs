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

/// What a refusal means, and whether it may pass; `now` is in seconds since the Unix epoch.
pub fn refused(what: &str, method: &Method, answer: &Answer, now: i64) -> Failure {
    let said = message_of(&answer.body);
    let failure = |class, remedy: &str| Failure::new(class, format!("{what}: {} {said}{remedy}", answer.status));
    if let Some(pause) = limited(answer, &said, now) {
        return failure(ErrorClass::RateLimit, "").retry_after(pause);
    }
    match answer.status {
        401 => failure(ErrorClass::Authentication, "; the token in GITHUB_TOKEN was refused"),
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
fn limited(answer: &Answer, said: &str, now: i64) -> Option<Duration> {
    if !matches!(answer.status, 403 | 429) {
        return None;
    }
    let number = |name| header(&answer.headers, name)?.parse::<i64>().ok();
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    if let Some(after) = number(RETRY_AFTER.as_str()) {
        return Some(seconds(after));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        return Some(number("x-ratelimit-reset").map_or(SLOW_DOWN, |reset| seconds(reset - now)));
    }
    (answer.status == 429 || said.contains("secondary rate limit")).then_some(SLOW_DOWN)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
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
