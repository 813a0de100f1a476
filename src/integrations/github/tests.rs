//! Refusals are read as GitHub means them, and texts fit what it takes.

use super::refusal::{message_of, refused};
use super::*;

fn answer(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Answer {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    Answer { status, headers, body: body.into(), cut: false }
}

#[test]
fn refusals_are_classified() {
    let check = |method: Method, answer: Answer, class, in_doubt, pause: Option<u64>| {
        let failure = refused("x", &method, &answer, 1_000);
        assert_eq!((failure.class, failure.in_doubt), (class, in_doubt), "{failure}");
        assert_eq!(failure.retry_after_ms, pause.map(|seconds| seconds * 1_000), "{failure}");
    };
    let post = || Method::POST;
    check(post(), answer(401, &[], "{}"), ErrorClass::Authentication, false, None);
    check(post(), answer(403, &[], r#"{"message":"Resource not accessible"}"#), ErrorClass::Authorization, false, None);
    check(post(), answer(403, &[("retry-after", "30")], "{}"), ErrorClass::RateLimit, false, Some(30));
    let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1090")];
    check(post(), answer(403, &used_up, "{}"), ErrorClass::RateLimit, false, Some(90));
    let secondary = r#"{"message":"You have exceeded a secondary rate limit"}"#;
    check(post(), answer(403, &[], secondary), ErrorClass::RateLimit, false, Some(60));
    check(post(), answer(429, &[], "{}"), ErrorClass::RateLimit, false, Some(60));
    check(post(), answer(404, &[], "{}"), ErrorClass::NotFound, false, None);
    check(post(), answer(422, &[], "{}"), ErrorClass::Validation, false, None);
    check(post(), answer(502, &[], "<html>"), ErrorClass::ServiceUnavailable, true, None);
    check(Method::GET, answer(502, &[], "<html>"), ErrorClass::ServiceUnavailable, false, None);
}

#[test]
fn both_forms_of_errors_are_read() {
    let check = |body: &str, expect: &str| assert_eq!(message_of(body.as_bytes()), expect);
    check(r#"{"message":"Validation Failed","errors":["a","b"]}"#, "Validation Failed (a; b)");
    check(
        r#"{"message":"Validation Failed","errors":[{"field":"state","code":"missing_field"},{"message":"m"}]}"#,
        "Validation Failed (state missing_field; m)",
    );
    check("<html>", "<html>");
}

#[test]
fn texts_fit() {
    assert_eq!(shortened("short", 140), "short");
    let long = shortened(&"ü".repeat(200), LONGEST_DESCRIPTION);
    assert_eq!((long.chars().count(), long.ends_with('…')), (140, true));
}
