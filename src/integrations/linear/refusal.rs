//! What Linear's answers mean that are not what was asked for, and whether they may pass. Pure.
//!
//! Rules: linear.app/developers, "GraphQL" and "Rate limiting"; the types of errors are those that the official SDK
//! tells apart. A limit is answered with 400, and what went wrong may stand in an answer with 200.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::documents::Document;
use super::limits;
use crate::integrations::http::Answer;

/// Most characters of an answer that is not what anybody expects.
const LONGEST_SAID: usize = 200;

/// An answer of GraphQL. What of an error can be read is read: an odd one is still an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    data: Option<Map<String, Json>>,
    errors: Option<Vec<Json>>,
}

/// What was asked for, from the one field that each document asks for; or what the answer means.
pub fn judge(document: &Document, answer: &Answer, now: Timestamp) -> Result<Json, Failure> {
    let read = serde_json::from_slice::<Body>(&answer.body).ok().filter(|_| !answer.cut);
    let Some(mut body) = read else { return Err(not_graphql(document, answer, now)) };
    let asked_for = body.data.take().and_then(|data| data.into_iter().next()).map(|(_, value)| value);
    let asked_for = asked_for.filter(|value| !value.is_null());
    if let Some(error) = body.errors.as_ref().and_then(|errors| errors.first()) {
        let failure = refused(document, answer, error, now);
        // What an error is about may be a part of the answer only: it was done, and cannot be shown.
        let perhaps_done = document.changes && asked_for.is_some();
        return Err(if perhaps_done { failure.in_doubt() } else { failure });
    }
    match asked_for {
        Some(value) if answer.status == 200 && value.get("success") != Some(&Json::Bool(false)) => Ok(value),
        Some(_) if answer.status == 200 => {
            Err(said(document, ErrorClass::Validation, "it was not done (success: false)"))
        }
        _ => Err(not_graphql(document, answer, now)),
    }
}

fn refused(document: &Document, answer: &Answer, error: &Json, now: Timestamp) -> Failure {
    let text = |pointer: &str| error.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let (code, kind, message) = (text("/extensions/code"), text("/extensions/type"), text("/message"));
    let presentable = text("/extensions/userPresentableMessage");
    let words = if presentable.is_empty() || message.contains(presentable) {
        message.to_owned()
    } else {
        format!("{message} ({presentable})")
    };
    let failure = |class, remedy: &str| said(document, class, &format!("{} {words}{remedy}", answer.status));
    // Whatever went wrong inside, nobody knows how far it had come.
    let perhaps_done = |failure: Failure| if document.changes { failure.in_doubt() } else { failure };
    match (code, kind.to_ascii_lowercase().as_str(), answer.status) {
        ("RATELIMITED", ..) | (_, "ratelimited", _) | (.., 429) => {
            failure(ErrorClass::RateLimit, "").retry_after(limits::pause(&answer.headers, now))
        }
        ("AUTHENTICATION_ERROR", ..) | (_, "authentication error", _) | (.., 401) => {
            failure(ErrorClass::Authentication, "; the key in LINEAR_API_KEY was refused")
        }
        ("FORBIDDEN", ..) | (_, "forbidden" | "feature not accessible" | "usage limit exceeded", _) | (.., 403) => {
            failure(ErrorClass::Authorization, "; the owner of the key in LINEAR_API_KEY may not do this")
        }
        // Somebody else is changing the same; nothing was done.
        (_, "lock timeout", _) => failure(ErrorClass::Temporary, ""),
        ("INTERNAL_SERVER_ERROR", ..) | (_, "internal error" | "network error", _) | (.., 500..) => {
            perhaps_done(failure(ErrorClass::ServiceUnavailable, ""))
        }
        _ if message.starts_with("Entity not found") => {
            failure(ErrorClass::NotFound, "; it is not there, or the owner of the key cannot see it")
        }
        _ => failure(ErrorClass::Validation, ""),
    }
}

/// An answer that is not Linear's, or not to this.
fn not_graphql(document: &Document, answer: &Answer, now: Timestamp) -> Failure {
    let text: String = String::from_utf8_lossy(&answer.body).chars().take(LONGEST_SAID).collect();
    let failure = |class, remedy: &str| said(document, class, &format!("{} {text}{remedy}", answer.status));
    let perhaps_done = |failure: Failure| if document.changes { failure.in_doubt() } else { failure };
    match answer.status {
        429 => failure(ErrorClass::RateLimit, "").retry_after(limits::pause(&answer.headers, now)),
        401 => failure(ErrorClass::Authentication, "; the key in LINEAR_API_KEY was refused"),
        403 => failure(ErrorClass::Authorization, ""),
        408 | 500.. => perhaps_done(failure(ErrorClass::ServiceUnavailable, "")),
        200..=299 => perhaps_done(failure(ErrorClass::Temporary, "; that is no answer of GraphQL")),
        _ => failure(ErrorClass::Validation, "; is LINEAR_API_URL the address of Linear's API?"),
    }
}

fn said(document: &Document, class: ErrorClass, words: &str) -> Failure {
    Failure::new(class, format!("Linear, {}: {words}", document.name))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use serde_json::json;

    use super::super::documents::{COMMENT_CREATE, ISSUE};
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn answer(status: u16, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-requests-remaining", "0".parse().unwrap());
        headers.insert("x-ratelimit-requests-reset", "1800000090000".parse().unwrap());
        Answer { status, headers, body: body.to_owned().into(), cut: false }
    }

    fn error(code: Option<&str>, kind: Option<&str>, message: &str, data: &Json) -> String {
        let extensions = json!({"code": code, "type": kind, "userPresentableMessage": "Please."});
        json!({"data": data, "errors": [{"message": message, "extensions": extensions}]}).to_string()
    }

    #[test]
    fn what_was_asked_for_is_given() {
        let found = judge(&ISSUE, &answer(200, r#"{"data":{"issue":{"id":"i"}}}"#), NOW).unwrap();
        assert_eq!(found, json!({"id": "i"}));
        let done = json!({"data": {"commentCreate": {"success": true, "comment": {"id": "c"}}}});
        assert!(judge(&COMMENT_CREATE, &answer(200, &done.to_string()), NOW).is_ok());
    }

    #[test]
    fn refusals_are_classified() {
        let none = Json::Null;
        let check = |status, body: String, class, retryable: bool, in_doubt: bool| {
            let failure = judge(&COMMENT_CREATE, &answer(status, &body), NOW).unwrap_err();
            assert_eq!(
                (failure.class, failure.class.is_retryable(), failure.in_doubt),
                (class, retryable, in_doubt),
                "{failure}"
            );
            assert_eq!(failure.retry_after_ms.is_some(), class == ErrorClass::RateLimit, "{failure}");
            assert!(failure.message.starts_with("Linear, CommentCreate: "), "{failure}");
            // What only looks is never in doubt.
            assert!(!judge(&ISSUE, &answer(status, &body), NOW).unwrap_err().in_doubt, "{failure}");
        };
        let of = |code: Option<&str>, kind: Option<&str>| error(code, kind, "No.", &none);
        check(400, of(Some("RATELIMITED"), Some("ratelimited")), ErrorClass::RateLimit, true, false);
        check(400, of(None, Some("Ratelimited")), ErrorClass::RateLimit, true, false);
        check(
            400,
            of(Some("AUTHENTICATION_ERROR"), Some("authentication error")),
            ErrorClass::Authentication,
            false,
            false,
        );
        check(401, of(None, None), ErrorClass::Authentication, false, false);
        check(200, of(None, Some("forbidden")), ErrorClass::Authorization, false, false);
        check(200, of(None, Some("feature not accessible")), ErrorClass::Authorization, false, false);
        check(200, of(None, Some("lock timeout")), ErrorClass::Temporary, true, false);
        check(200, of(None, Some("internal error")), ErrorClass::ServiceUnavailable, true, true);
        check(500, of(Some("INTERNAL_SERVER_ERROR"), None), ErrorClass::ServiceUnavailable, true, true);
        check(200, of(Some("INPUT_ERROR"), Some("invalid input")), ErrorClass::Validation, false, false);
        check(400, of(Some("GRAPHQL_VALIDATION_FAILED"), Some("graphql error")), ErrorClass::Validation, false, false);
        check(200, of(None, Some("user error")), ErrorClass::Validation, false, false);
        let gone = error(Some("INPUT_ERROR"), Some("invalid input"), "Entity not found: Issue", &none);
        check(200, gone, ErrorClass::NotFound, false, false);
        check(200, r#"{"data":{"commentCreate":{"success":false}}}"#.into(), ErrorClass::Validation, false, false);
        let partly = error(None, Some("forbidden"), "No.", &json!({"commentCreate": {"success": true}}));
        check(200, partly, ErrorClass::Authorization, false, true);
        check(200, r#"{"errors":[{"extensions":{"type":7}}]}"#.into(), ErrorClass::Validation, false, false);
        check(200, r#"{"data":null,"errors":null}"#.into(), ErrorClass::Temporary, true, true);
        check(502, "<html>".into(), ErrorClass::ServiceUnavailable, true, true);
        check(200, "<html>".into(), ErrorClass::Temporary, true, true);
        check(200, r#"{"data":null}"#.into(), ErrorClass::Temporary, true, true);
        check(302, String::new(), ErrorClass::Validation, false, false);
        check(404, "<html>".into(), ErrorClass::Validation, false, false);
    }

    #[test]
    fn a_limit_is_waited_for_until_it_is_lifted() {
        let body = error(Some("RATELIMITED"), None, "Rate limit exceeded", &Json::Null);
        let failure = judge(&ISSUE, &answer(400, &body), NOW).unwrap_err();
        assert_eq!(failure.retry_after_ms, Some(90_000));
        assert_eq!(failure.message, "Linear, Issue: 400 Rate limit exceeded (Please.)");
    }
}
