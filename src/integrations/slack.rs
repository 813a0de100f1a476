//! Slack's incoming webhooks, and whatever else takes their payloads.
//!
//! Rules: api.slack.com, "Sending messages using incoming webhooks" and "Rate limits". The URL is the
//! credential: it stands in no message.

use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method};
use serde_json::json;

use super::http::{self, Answer};
use crate::config::settings::SecretText;

/// Slack cuts longer texts off.
const LONGEST_TEXT: usize = 40_000;

/// How long to wait when Slack asks to slow down and does not say for how long: it takes about one
/// message a second.
const SLOW_DOWN: Duration = Duration::from_secs(1);

/// A channel that can be written to.
pub struct Slack {
    http: Client,
    url: SecretText,
}

impl Slack {
    /// Through the webhook at `url`.
    pub fn new(http: Client, url: SecretText) -> Self {
        Self { http, url }
    }

    /// Posts a plain text. `key` lets a receiver that looks at it recognise a repetition.
    pub async fn post(&self, text: &str, key: &str) -> Result<(), Failure> {
        let text: String = escape(text).chars().take(LONGEST_TEXT).collect();
        let request = self.http.post(self.url.expose()).header("x-idempotency-key", key).json(&json!({ "text": text }));
        let answer = http::send("Slack", &Method::POST, request).await?;
        if answer.status == 200 { Ok(()) } else { Err(refused(&answer)) }
    }
}

/// `&`, `<` and `>` have a meaning in Slack's texts.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What a refusal means, and whether it may pass.
pub fn refused(answer: &Answer) -> Failure {
    let said = String::from_utf8_lossy(&answer.body).chars().take(200).collect::<String>();
    let failure = |class| Failure::new(class, format!("Slack answered {}: {said}", answer.status));
    match answer.status {
        429 => {
            let seconds = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            failure(ErrorClass::RateLimit).retry_after(seconds.map_or(SLOW_DOWN, Duration::from_secs))
        }
        403 => failure(ErrorClass::Authorization),
        404 | 410 => failure(ErrorClass::NotFound),
        // Also of a 503 nobody knows who in between answered it, and when.
        500.. => failure(ErrorClass::ServiceUnavailable).in_doubt(),
        _ => failure(ErrorClass::Validation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_classified_as_slack_means_them() {
        let check = |status, body: &'static str, class, in_doubt| {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert(RETRY_AFTER, "7".parse().unwrap());
            let failure = refused(&Answer { status, headers, body: body.into(), cut: false });
            assert_eq!((failure.class, failure.in_doubt), (class, in_doubt), "{status} {body}");
            assert_eq!(failure.retry_after_ms, (status == 429).then_some(7_000));
            assert!(failure.message.contains(body));
        };
        check(400, "invalid_payload", ErrorClass::Validation, false);
        check(403, "action_prohibited", ErrorClass::Authorization, false);
        check(404, "no_service", ErrorClass::NotFound, false);
        check(410, "channel_is_archived", ErrorClass::NotFound, false);
        check(429, "", ErrorClass::RateLimit, false);
        check(302, "", ErrorClass::Validation, false);
        check(503, "service_unavailable", ErrorClass::ServiceUnavailable, true);
        check(500, "rollup_error", ErrorClass::ServiceUnavailable, true);
    }

    #[test]
    fn texts_cannot_mention_everybody() {
        assert_eq!(escape("a <!channel> & b"), "a &lt;!channel&gt; &amp; b");
    }
}
