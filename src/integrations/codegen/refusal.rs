//! What Codegen's refusals mean, and whether they may pass. Pure.
//!
//! Rules: docs.codegen.com, "API reference": errors are `{message, status_code}`, a 422 is
//! `{detail: [{loc, msg, type}]}`.

use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::Method;
use reqwest::header::RETRY_AFTER;
use serde_json::Value as Json;

use crate::integrations::http::Answer;

/// How long to wait when Codegen limits us and does not say for how long: the longest span of its limits.
const SLOW_DOWN: Duration = Duration::from_secs(60);

/// What a refusal means.
pub fn refused(what: &str, method: &Method, answer: &Answer) -> Failure {
    let said = message_of(&answer.body);
    let failure = |class, remedy: &str| Failure::new(class, format!("{what}: {} {said}{remedy}", answer.status));
    match answer.status {
        401 => failure(ErrorClass::Authentication, "; the token in CODEGEN_API_TOKEN was refused"),
        402 => failure(ErrorClass::Authorization, "; the plan of the organisation allows no further agent run"),
        403 => failure(ErrorClass::Authorization, "; the token may not do this in the organisation of CODEGEN_ORG_ID"),
        404 | 410 => failure(ErrorClass::NotFound, ""),
        429 => {
            let seconds = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            failure(ErrorClass::RateLimit, "").retry_after(seconds.map_or(SLOW_DOWN, Duration::from_secs))
        }
        408 | 500.. => {
            let failure = failure(ErrorClass::ServiceUnavailable, "");
            if method.is_safe() { failure } else { failure.in_doubt() }
        }
        _ => failure(ErrorClass::Validation, ""),
    }
}

/// Codegen's own words.
fn message_of(body: &[u8]) -> String {
    let plain = || String::from_utf8_lossy(body).chars().take(200).collect::<String>();
    let Ok(body) = serde_json::from_slice::<Json>(body) else { return plain() };
    let wrong = |detail: &Json| {
        let place = detail.get("loc").and_then(Json::as_array).into_iter().flatten();
        let place: Vec<String> =
            place.map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
        format!("{}: {}", place.join("."), detail.get("msg").and_then(Json::as_str).unwrap_or("-"))
    };
    match (body.get("message").and_then(Json::as_str), body.get("detail")) {
        (Some(message), _) => message.to_owned(),
        (None, Some(Json::Array(details))) => details.iter().map(wrong).collect::<Vec<_>>().join("; "),
        (None, Some(Json::String(detail))) => detail.clone(),
        _ => plain(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_classified_as_codegen_means_them() {
        let check = |status, body: &Json, (class, in_doubt), says: &str| {
            let headers = reqwest::header::HeaderMap::new();
            let answer = Answer { status, headers, body: body.to_string().into(), cut: false };
            let failure = refused("POST /agent/run", &Method::POST, &answer);
            assert_eq!((failure.class, failure.in_doubt), (class, in_doubt), "{status}");
            assert!(failure.message.contains(says), "{failure}");
            assert_eq!(failure.retry_after_ms, (status == 429).then_some(60_000));
            assert!(!refused("GET /agent/run/1", &Method::GET, &answer).in_doubt, "a question changes nothing");
        };
        let said = json!({ "message": "no", "status_code": 1 });
        check(401, &said, (ErrorClass::Authentication, false), "CODEGEN_API_TOKEN");
        check(402, &said, (ErrorClass::Authorization, false), "plan");
        check(403, &said, (ErrorClass::Authorization, false), "CODEGEN_ORG_ID");
        check(404, &said, (ErrorClass::NotFound, false), "404 no");
        check(429, &said, (ErrorClass::RateLimit, false), "429 no");
        check(500, &said, (ErrorClass::ServiceUnavailable, true), "500 no");
        check(504, &json!("x"), (ErrorClass::ServiceUnavailable, true), "504");
        let wrong = json!({ "detail": [{ "loc": ["body", "prompt"], "msg": "Field required", "type": "missing" }] });
        check(422, &wrong, (ErrorClass::Validation, false), "body.prompt: Field required");
        check(400, &json!({ "detail": "odd" }), (ErrorClass::Validation, false), "odd");
    }

    #[test]
    fn codegen_may_say_how_long_to_wait() {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let answer = Answer { status: 429, headers, body: Default::default(), cut: false };
        assert_eq!(refused("x", &Method::GET, &answer).retry_after_ms, Some(7_000));
    }
}
