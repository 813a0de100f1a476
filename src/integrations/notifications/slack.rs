//! Slack's incoming webhooks, and whatever else takes their payloads.
//!
//! Rules: api.slack.com, "Sending messages using incoming webhooks", "Rate limits" and the reference of blocks. The URL is
//! the credential: it stands in no message.

use std::time::Duration;

use pointsman_actors::executor::failure::ErrorClass;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value as Json, json};

use super::message::{Message, cut};
use super::{Undelivered, refused, seconds_of};
use crate::integrations::http::Answer;

/// Slack cuts longer texts off.
const LONGEST_TEXT: usize = 40_000;

/// Longest text of a section.
const LONGEST_SECTION: usize = 3_000;

/// Most blocks of a message are 50; one of ours is for the link.
const MOST_SECTIONS: usize = 49;

/// A webhook takes about one message a second, and short bursts.
pub const PACE: (usize, Duration) = (5, Duration::from_secs(5));

/// How long to wait when Slack asks to slow down and does not say for how long.
const SLOW_DOWN: Duration = Duration::from_secs(1);

/// The answers after which a webhook takes nothing any more: it, its team or its channel is gone, or somebody has forbidden
/// it.
const GONE: [&str; 6] =
    ["no_service", "no_team", "channel_is_archived", "channel_not_found", "action_prohibited", "invalid_token"];

/// A message as Slack takes it: a plain text, or one with a link and a coloured bar.
pub fn body(message: &Message) -> Json {
    let text = cut(&escape(&message.text), LONGEST_TEXT);
    if message.level.is_none() && message.link.is_none() {
        return json!({ "text": text });
    }
    let section = |text: &str| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let mut blocks: Vec<Json> = sections(&message.text).iter().map(|text| section(text)).collect();
    if let Some(link) = &message.link {
        blocks.push(section(&format!("<{}|Open>", escape(link).replace('|', "%7C"))));
    }
    match message.level {
        None => json!({ "text": text, "blocks": blocks }),
        Some(level) => {
            let color = format!("#{:06x}", level.color());
            json!({ "attachments": [{ "color": color, "fallback": text, "blocks": blocks }] })
        }
    }
}

/// What an answer means.
pub fn judge(answer: &Answer) -> Result<(), Undelivered> {
    let said = String::from_utf8_lossy(&answer.body).trim().to_owned();
    let refused = |class| refused("Slack", answer, &said, class);
    Err(match answer.status {
        200 => return Ok(()),
        400..=499 if GONE.contains(&said.as_str()) => Undelivered::gone("Slack", answer, &said),
        429 => {
            let asked = seconds_of(answer, RETRY_AFTER.as_str());
            let failure = refused(ErrorClass::RateLimit).retry_after(asked.unwrap_or(SLOW_DOWN));
            if asked.is_some() { failure.unsent().into() } else { failure.into() }
        }
        403 => refused(ErrorClass::Authorization).into(),
        404 | 410 => refused(ErrorClass::NotFound).into(),
        // Also of a 503 nobody knows who in between answered it, and when.
        500.. => refused(ErrorClass::ServiceUnavailable).in_doubt().into(),
        _ => refused(ErrorClass::Validation).into(),
    })
}

/// `&`, `<` and `>` have a meaning in Slack's texts: mentions and links among them.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A text in as many sections as it needs; no escape is cut in two.
fn sections(text: &str) -> Vec<String> {
    let mut sections = vec![String::new()];
    let mut length = 0;
    for c in text.chars() {
        let escaped = escape(c.encode_utf8(&mut [0; 4]));
        let more = escaped.encode_utf16().count();
        if length + more > LONGEST_SECTION {
            sections.push(String::new());
            length = 0;
        }
        if let Some(last) = sections.last_mut() {
            last.push_str(&escaped);
            length += more;
        }
    }
    // One of blanks alone is refused.
    sections.retain(|section| !section.trim().is_empty());
    sections.truncate(MOST_SECTIONS);
    sections
}

#[cfg(test)]
mod tests {
    use super::super::message::Level;
    use super::super::message::tests::message;
    use super::*;

    #[test]
    fn answers_are_classified_as_slack_means_them() {
        let check = |status, body: &'static str, expect: Option<(ErrorClass, bool)>| {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert(RETRY_AFTER, "7".parse().unwrap());
            let refused = judge(&Answer { status, headers, body: body.into(), cut: false }).unwrap_err();
            let (found, said) = match refused {
                Undelivered::Failed(failure) => {
                    assert_eq!(failure.retry_after_ms, (status == 429).then_some(7_000));
                    assert_eq!(failure.unsent, status == 429, "whoever says how long uses up no attempt");
                    (Some((failure.class, failure.in_doubt)), failure.message)
                }
                Undelivered::Gone(why) => (None, why),
            };
            assert_eq!(found, expect, "{status} {body}");
            assert!(said.contains(body));
        };
        check(400, "invalid_payload", Some((ErrorClass::Validation, false)));
        check(403, "posting_to_general_channel_denied", Some((ErrorClass::Authorization, false)));
        check(404, "Not Found", Some((ErrorClass::NotFound, false)));
        check(429, "", Some((ErrorClass::RateLimit, false)));
        check(302, "", Some((ErrorClass::Validation, false)));
        check(503, "service_unavailable", Some((ErrorClass::ServiceUnavailable, true)));
        check(500, "no_service", Some((ErrorClass::ServiceUnavailable, true)));
        check(403, "action_prohibited", None);
        check(403, "invalid_token", None);
        check(404, "no_service", None);
        check(404, "no_team", None);
        check(404, "channel_not_found", None);
        check(410, "channel_is_archived", None);
    }

    #[test]
    fn texts_cannot_mention_everybody() {
        assert_eq!(body(&message("a <!channel> & b")), json!({ "text": "a &lt;!channel&gt; &amp; b" }));
    }

    #[test]
    fn a_level_is_a_colour_and_a_link_a_section() {
        let mut said = message("a <b>");
        said.link = Some("https://h.example/x?a=1&b=|".into());
        let blocks = json!([
            { "type": "section", "text": { "type": "mrkdwn", "text": "a &lt;b&gt;" } },
            { "type": "section", "text": { "type": "mrkdwn", "text": "<https://h.example/x?a=1&amp;b=%7C|Open>" } },
        ]);
        assert_eq!(body(&said), json!({ "text": "a &lt;b&gt;", "blocks": blocks }));
        said.level = Some(Level::Error);
        let attachment = json!({ "color": "#e01e5a", "fallback": "a &lt;b&gt;", "blocks": blocks });
        assert_eq!(body(&said), json!({ "attachments": [attachment] }));
    }

    #[test]
    fn no_section_is_longer_than_slack_takes_and_no_escape_is_cut() {
        let long = sections(&format!("{}<{}", "x".repeat(2_998), "y".repeat(10)));
        assert_eq!(long, ["x".repeat(2_998), format!("&lt;{}", "y".repeat(10))]);
        assert_eq!(sections(&"z".repeat(1_000_000)).len(), MOST_SECTIONS);
        assert_eq!(sections("a"), ["a"]);
    }
}
