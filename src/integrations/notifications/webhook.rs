//! Anybody who takes webhooks that are signed as Standard Webhooks 1.0.0 says (standardwebhooks.com). The id of a message
//! is the same for every repetition of it, so that its receiver does nothing twice; the timestamp is that of the attempt.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pointsman_actors::executor::failure::Failure;
use pointsman_actors::time::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value as Json, json};

use super::Undelivered;
use super::message::Message;
use crate::integrations::http::Answer;
use crate::integrations::web::refusal;
use crate::sources::Secret;

/// What kind of event a message is.
const TYPE: &str = "pointsman.notification";

/// Whoever answers so wants no more.
const GONE: u16 = 410;

/// A message as it is sent.
pub fn body(message: &Message, now: Timestamp) -> Json {
    let Message { text, level, link, run, step, .. } = message;
    let data =
        json!({ "text": text, "level": level.map(|level| level.name()), "link": link, "run": run, "step": step });
    json!({ "type": TYPE, "timestamp": now.to_rfc3339(), "data": data })
}

/// A call with this message, signed.
pub fn request(http: &Client, url: &str, secret: &Secret, message: &Message, now: Timestamp) -> RequestBuilder {
    let (body, seconds) = (body(message, now).to_string(), now.seconds().to_string());
    let signature = sign(secret, &message.key, &seconds, &body);
    let request = http.post(url).header(CONTENT_TYPE, "application/json");
    let request = request.header("webhook-id", &message.key).header("webhook-timestamp", seconds);
    request.header("webhook-signature", signature).body(body)
}

/// The signature over `id.timestamp.body`.
fn sign(secret: &Secret, id: &str, seconds: &str, body: &str) -> String {
    let parts = [id.as_bytes(), b".", seconds.as_bytes(), b".", body.as_bytes()];
    format!("v1,{}", STANDARD.encode(secret.sign_standard(&parts)))
}

/// What an answer means.
pub fn judge(answer: &Answer, now: Timestamp) -> Result<(), Undelivered> {
    match answer.status {
        200..=299 => Ok(()),
        GONE => Err(Undelivered::gone("the webhook", answer, "")),
        _ => Err(unsent_if_asked(refusal::refused("the webhook", true, answer, "", now.seconds())).into()),
    }
}

/// Whoever says until when there is too much uses up no attempt.
fn unsent_if_asked(failure: Failure) -> Failure {
    let is_asked = failure.retry_after_ms.is_some() && !failure.class.is_outage();
    if is_asked { failure.unsent() } else { failure }
}

#[cfg(test)]
mod tests {
    use pointsman_actors::executor::failure::ErrorClass;
    use reqwest::header::{HeaderMap, RETRY_AFTER};

    use super::super::message::Level;
    use super::super::message::tests::message;
    use super::*;

    #[test]
    fn the_published_vector_is_signed_as_published() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_message_says_who_says_so() {
        let said = Message { level: Some(Level::Warning), ..message("x") };
        let data = json!({ "text": "x", "level": "warning", "link": null, "run": "run_1", "step": "say" });
        let at = Timestamp::from_millis(1_614_265_330_000);
        let expect = json!({ "type": TYPE, "timestamp": at.to_rfc3339(), "data": data });
        assert_eq!(body(&said, at), expect);
    }

    #[test]
    fn whoever_is_gone_says_so_in_one_way() {
        let judged = |status, asks: bool| {
            let headers: HeaderMap = asks.then(|| (RETRY_AFTER, "7".parse().unwrap())).into_iter().collect();
            let answer = Answer { status, headers, body: "said".into(), cut: false };
            judge(&answer, Timestamp::from_millis(0))
        };
        assert!(judged(202, false).is_ok());
        assert!(matches!(judged(410, false), Err(Undelivered::Gone(_))));
        let failed = |status, asks| match judged(status, asks) {
            Err(Undelivered::Failed(failure)) => (failure.class, failure.in_doubt, failure.unsent),
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(failed(404, false), (ErrorClass::NotFound, false, false));
        assert_eq!(failed(429, true), (ErrorClass::RateLimit, false, true));
        assert_eq!(failed(429, false), (ErrorClass::RateLimit, false, false));
        assert_eq!(failed(503, true), (ErrorClass::ServiceUnavailable, true, false));
        assert_eq!(failed(302, false), (ErrorClass::Validation, true, false));
    }
}
