//! What the answer of somebody means of whom nothing is known but HTTP. Pure.
//!
//! Rules: RFC 9110, sections 9.2 (methods), 10.2.3 (Retry-After) and 15 (status codes); RFC 6585, 429.

use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::integrations::http::Answer;

/// What an answer means that was not expected. `what` names the call; `said` is what of the answer's body may be
/// shown; `changes` says whether the call may have had an effect; `now` is in seconds of the Unix epoch.
pub fn refused(what: &str, changes: bool, answer: &Answer, said: &str, now: i64) -> Failure {
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let failure = |class| Failure::new(class, format!("{what}: answered {}{said}", answer.status));
    let perhaps_done = |failure: Failure| if changes { failure.in_doubt() } else { failure };
    let later = |failure: Failure| match retry_after(&answer.headers, now) {
        Some(pause) => failure.retry_after(pause),
        None => failure,
    };
    match answer.status {
        // It was done, only not in the way that was expected.
        200..=299 => perhaps_done(failure(ErrorClass::Validation)),
        // "Ask for the same elsewhere": nothing was done here. Of the older ones nobody knows.
        307 | 308 => failure(ErrorClass::Validation),
        300..=399 => perhaps_done(failure(ErrorClass::Validation)),
        401 => failure(ErrorClass::Authentication),
        403 => failure(ErrorClass::Authorization),
        404 | 410 => failure(ErrorClass::NotFound),
        408 => perhaps_done(later(failure(ErrorClass::Timeout))),
        409 => failure(ErrorClass::Duplicate),
        425 => later(failure(ErrorClass::Temporary)),
        429 => later(failure(ErrorClass::RateLimit)),
        // Also of a 503 nobody knows who in between answered it, and when.
        500.. => perhaps_done(later(failure(ErrorClass::ServiceUnavailable))),
        _ => failure(ErrorClass::Validation),
    }
}

/// How long to wait: seconds, or until a date.
fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = value.parse::<u64>().ok().or_else(|| {
        let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
        Some(u64::try_from(date.timestamp().saturating_sub(now)).unwrap_or(0))
    });
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Answer {
        let headers = retry_after.map(|value| (RETRY_AFTER, value.parse().unwrap())).into_iter().collect();
        Answer { status, headers, body: "".into(), cut: false }
    }

    #[test]
    fn every_status_has_a_class_and_says_whether_it_may_have_been_done() {
        let check = |status, class, in_doubt| {
            let failure = refused("POST https://h", true, &answer(status, None), "no", 0);
            assert_eq!((failure.class, failure.in_doubt), (class, in_doubt), "{status}");
            assert_eq!(failure.message, format!("POST https://h: answered {status}: no"));
            assert!(!refused("GET https://h", false, &answer(status, None), "", 0).in_doubt, "{status}");
        };
        check(202, ErrorClass::Validation, true);
        check(302, ErrorClass::Validation, true);
        check(308, ErrorClass::Validation, false);
        check(400, ErrorClass::Validation, false);
        check(401, ErrorClass::Authentication, false);
        check(403, ErrorClass::Authorization, false);
        check(404, ErrorClass::NotFound, false);
        check(408, ErrorClass::Timeout, true);
        check(409, ErrorClass::Duplicate, false);
        check(410, ErrorClass::NotFound, false);
        check(418, ErrorClass::Validation, false);
        check(422, ErrorClass::Validation, false);
        check(425, ErrorClass::Temporary, false);
        check(429, ErrorClass::RateLimit, false);
        check(500, ErrorClass::ServiceUnavailable, true);
        check(503, ErrorClass::ServiceUnavailable, true);
        check(599, ErrorClass::ServiceUnavailable, true);
    }

    #[test]
    fn whoever_asks_to_wait_says_how_long_in_two_ways() {
        // 1994-11-06T08:49:37Z, the date of RFC 9110's example.
        const NOW: i64 = 784_111_777;
        let check = |status, value, expect: Option<u64>| {
            let failure = refused("GET https://h", false, &answer(status, Some(value)), "", NOW);
            assert_eq!(failure.retry_after_ms, expect.map(|seconds| seconds * 1_000), "{status} {value}");
        };
        check(429, "7", Some(7));
        check(503, " 120 ", Some(120));
        check(429, "Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check(429, "Sun, 06 Nov 1994 08:49:00 GMT", Some(0));
        check(429, "soon", None);
        check(404, "7", None);
    }
}
