//! Discord's webhooks.
//!
//! Rules: discord.com/developers, "Webhook", "Message" (embed limits, allowed mentions) and "Rate limits". The URL is the
//! credential: it stands in no message.

use std::time::Duration;

use pointsman_actors::executor::failure::ErrorClass;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value as Json, json};

use super::message::{Message, cut};
use super::{Undelivered, refused, seconds_of};
use crate::integrations::http::Answer;

/// Longest text of a message.
const LONGEST_TEXT: usize = 2_000;

/// Longest description of an embed.
const LONGEST_DESCRIPTION: usize = 4_096;

/// The code of an answer that knows no such webhook.
const UNKNOWN_WEBHOOK: u64 = 10_015;

/// How long it takes until more may be sent.
const RESET_AFTER: &str = "x-ratelimit-reset-after";

/// How much may be sent before that.
const REMAINING: &str = "x-ratelimit-remaining";

/// A message as Discord takes it: a text, or an embed with a coloured bar. Nobody is mentioned by it, whatever it says.
pub fn body(message: &Message) -> Json {
    let mentions = json!({ "parse": [] });
    if message.level.is_none() && message.link.is_none() {
        return json!({ "content": cut(&message.text, LONGEST_TEXT), "allowed_mentions": mentions });
    }
    let link = message.link.as_ref().map_or_else(String::new, |link| format!("\n{link}"));
    let room = LONGEST_DESCRIPTION - link.encode_utf16().count().min(LONGEST_DESCRIPTION);
    let description = cut(&message.text, room) + &link;
    let embed = match message.level {
        Some(level) => json!({ "description": description, "color": level.color() }),
        None => json!({ "description": description }),
    };
    json!({ "embeds": [embed], "allowed_mentions": mentions })
}

/// What an answer means.
pub fn judge(answer: &Answer) -> Result<(), Undelivered> {
    let said: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = said.get("code").and_then(Json::as_u64).unwrap_or_default();
    let text = said.get("message").and_then(Json::as_str).unwrap_or_default();
    let text = if code == 0 { text.to_owned() } else { format!("{text} (code {code})") };
    let refused = |class| refused("Discord", answer, &text, class);
    Err(match answer.status {
        200 | 204 => return Ok(()),
        401 | 403 => Undelivered::gone("Discord", answer, &text),
        404 if code == UNKNOWN_WEBHOOK => Undelivered::gone("Discord", answer, &text),
        429 => match slow_down(answer, &said) {
            Some(pause) => refused(ErrorClass::RateLimit).retry_after(pause).unsent().into(),
            None => refused(ErrorClass::RateLimit).into(),
        },
        404 => refused(ErrorClass::NotFound).into(),
        // Also of a 503 nobody knows who in between answered it, and when.
        500.. => refused(ErrorClass::ServiceUnavailable).in_doubt().into(),
        _ => refused(ErrorClass::Validation).into(),
    })
}

/// How long a refusal asks to wait: the body says it most precisely.
fn slow_down(answer: &Answer, said: &Json) -> Option<Duration> {
    let said = said.get("retry_after").and_then(Json::as_f64).and_then(super::seconds);
    said.or_else(|| seconds_of(answer, RESET_AFTER)).or_else(|| seconds_of(answer, RETRY_AFTER.as_str()))
}

/// How long nothing more is taken after this answer, if it says so.
pub fn rest(answer: &Answer) -> Option<Duration> {
    let is_used_up = answer.headers.get(REMAINING).is_some_and(|left| left.as_bytes() == b"0");
    seconds_of(answer, RESET_AFTER).filter(|_| is_used_up)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::super::message::Level;
    use super::super::message::tests::message;
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &Json) -> Answer {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status, headers, body: body.to_string().into(), cut: false }
    }

    #[test]
    fn nobody_is_mentioned_and_nothing_is_too_long() {
        let mentions = json!({ "parse": [] });
        let said = body(&message("@everyone <@1>"));
        assert_eq!(said, json!({ "content": "@everyone <@1>", "allowed_mentions": mentions }));
        let long = body(&message(&"🎉".repeat(2_000)));
        assert_eq!(long["content"].as_str().unwrap().encode_utf16().count(), 1_999);
        let (level, link) = (Some(Level::Success), Some("https://h.example/x".to_owned()));
        let said = body(&crate::integrations::notifications::Message { level, link, ..message(&"x".repeat(9_000)) });
        let embed = &said["embeds"][0];
        let description = embed["description"].as_str().unwrap();
        assert_eq!((embed["color"].as_u64(), description.encode_utf16().count()), (Some(0x2E_B6_7D), 4_096));
        assert!(description.ends_with("…\nhttps://h.example/x"));
        assert_eq!((said.get("content"), &said["allowed_mentions"]), (None, &mentions));
    }

    #[test]
    fn answers_are_classified_as_discord_means_them() {
        let failed = |status, body: Json| match judge(&answer(status, &[], &body)) {
            Err(Undelivered::Failed(failure)) => (failure.class, failure.in_doubt),
            other => panic!("{status}: {other:?}"),
        };
        let gone = |status, body: Json| match judge(&answer(status, &[], &body)) {
            Err(Undelivered::Gone(why)) => why,
            other => panic!("{status}: {other:?}"),
        };
        assert!(judge(&answer(204, &[], &Json::Null)).is_ok() && judge(&answer(200, &[], &json!({}))).is_ok());
        assert_eq!(failed(400, json!({ "code": 50_035 })), (ErrorClass::Validation, false));
        assert_eq!(failed(404, json!({})), (ErrorClass::NotFound, false));
        assert_eq!(failed(302, json!({})), (ErrorClass::Validation, false));
        assert_eq!(failed(502, json!({})), (ErrorClass::ServiceUnavailable, true));
        let unknown = json!({ "message": "Unknown Webhook", "code": 10_015 });
        assert_eq!(gone(404, unknown), "Discord answered 404: Unknown Webhook (code 10015)");
        assert!(gone(401, json!({ "message": "Invalid Webhook Token", "code": 50_027 })).contains("50027"));
        gone(403, json!({}));
    }

    #[test]
    fn whoever_asks_to_slow_down_says_how_long_in_three_ways() {
        let check = |headers: &[(&'static str, &str)], body: Json, expect: Option<u64>| {
            let Err(Undelivered::Failed(failure)) = judge(&answer(429, headers, &body)) else { panic!() };
            assert_eq!((failure.retry_after_ms, failure.unsent), (expect, expect.is_some()), "{headers:?} {body}");
        };
        check(&[("retry-after", "9"), (RESET_AFTER, "3.5")], json!({ "retry_after": 1.25 }), Some(1_250));
        check(&[("retry-after", "9"), (RESET_AFTER, "3.5")], json!({}), Some(3_500));
        check(&[("retry-after", "9")], json!({ "retry_after": -1 }), Some(9_000));
        check(&[], json!({}), None);
    }

    #[test]
    fn what_is_used_up_is_said_before_it_is_refused() {
        let check = |headers: &[(&'static str, &str)], expect: Option<u64>| {
            assert_eq!(rest(&answer(204, headers, &Json::Null)), expect.map(Duration::from_millis), "{headers:?}");
        };
        check(&[(REMAINING, "0"), (RESET_AFTER, "1.5")], Some(1_500));
        check(&[(REMAINING, "1"), (RESET_AFTER, "1.5")], None);
        check(&[(REMAINING, "0")], None);
    }
}
