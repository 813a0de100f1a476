//! Slack's incoming webhook: one channel, texts, sections and coloured attachments (api.slack.com, "Incoming webhooks" and
//! the reference of blocks).

use serde_json::{Map, Value as Json};

use crate::SLACK_PATH;
use crate::server::{Reply, Request};
use crate::world::State;

/// Longer texts are refused here, so that nobody relies on their being cut.
const LONGEST_TEXT: usize = 40_000;

/// Longest text of a section.
const LONGEST_SECTION: usize = 3_000;

/// Most blocks.
const MOST_BLOCKS: usize = 50;

/// Answers a call.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    if format!("/slack{}", request.path) != SLACK_PATH {
        return Reply::text(404, "no_service");
    }
    if state.channel_is_archived {
        return Reply::text(410, "channel_is_archived");
    }
    let body = request.json();
    let Some(message) = body.as_object().filter(|_| request.method == "POST") else {
        return Reply::text(400, "invalid_payload");
    };
    match text_of(message) {
        Err(refused) => Reply::text(400, refused),
        Ok(text) => {
            state.mentions += usize::from(["<!channel", "<!everyone", "<!here", "<@"].iter().any(|m| text.contains(m)));
            state.notifications.push(text);
            Reply::text(200, "ok")
        }
    }
}

/// What a message says, or why it is none.
fn text_of(message: &Map<String, Json>) -> Result<String, &'static str> {
    only(message, &["text", "blocks", "attachments"])?;
    blocks(message.get("blocks"))?;
    let text = message.get("text").map(|text| text.as_str().ok_or("invalid_payload")).transpose()?;
    let text = match (text, message.get("attachments").and_then(Json::as_array).map(Vec::as_slice)) {
        (text, None) => text,
        (None, Some([attachment])) => {
            let attachment = attachment.as_object().ok_or("invalid_payload")?;
            only(attachment, &["color", "fallback", "blocks"])?;
            let color = attachment.get("color").and_then(Json::as_str).unwrap_or_default();
            if color.len() != 7 || !color.starts_with('#') || blocks(attachment.get("blocks"))? == 0 {
                return Err("invalid_payload");
            }
            attachment.get("fallback").and_then(Json::as_str)
        }
        // Said twice, or more than we send.
        _ => return Err("too_many_attachments"),
    };
    match text {
        Some(text) if text.encode_utf16().count() > LONGEST_TEXT => Err("invalid_payload"),
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err("no_text"),
    }
}

/// How many blocks there are, all of them sections.
fn blocks(blocks: Option<&Json>) -> Result<usize, &'static str> {
    let Some(blocks) = blocks else { return Ok(0) };
    let blocks = blocks.as_array().filter(|blocks| blocks.len() <= MOST_BLOCKS).ok_or("invalid_blocks")?;
    for block in blocks {
        let text = block.pointer("/text/text").and_then(Json::as_str).unwrap_or_default();
        let is_section = block.get("type").is_some_and(|kind| kind == "section")
            && block.pointer("/text/type").is_some_and(|kind| kind == "mrkdwn")
            && (1..=LONGEST_SECTION).contains(&text.encode_utf16().count());
        if !is_section {
            return Err("invalid_blocks");
        }
    }
    Ok(blocks.len())
}

fn only(fields: &Map<String, Json>, known: &[&str]) -> Result<(), &'static str> {
    if fields.keys().all(|name| known.contains(&name.as_str())) { Ok(()) } else { Err("invalid_payload") }
}
