//! Discord's webhook: one channel, texts and embeds, with the limits that are documented (discord.com/developers,
//! "Webhook" and "Message").

use serde_json::{Map, Value as Json, json};

use crate::DISCORD_PATH;
use crate::server::{Reply, Request};
use crate::world::State;

/// Longest text.
const LONGEST_CONTENT: usize = 2_000;

/// Longest description of an embed.
const LONGEST_DESCRIPTION: usize = 4_096;

/// Answers a call.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    if state.webhook_is_deleted
        || request.path.split('?').next().map(|path| format!("/discord{path}")) != Some(DISCORD_PATH.to_owned())
    {
        return trouble(404);
    }
    let body = request.json();
    let Some(message) = body.as_object().filter(|_| request.method == "POST") else {
        return invalid("", "it is no object");
    };
    if let Err((field, why)) = fits(message) {
        return invalid(field, why);
    }
    let content = message.get("content").and_then(Json::as_str).unwrap_or_default();
    let is_open = message.get("allowed_mentions") != Some(&json!({ "parse": [] }));
    state.mentions += usize::from(is_open && ["@everyone", "@here", "<@"].iter().any(|mark| content.contains(mark)));
    state.discord.push(body);
    Reply { headers: vec![("x-ratelimit-remaining", "4".into())], ..Reply::text(204, "") }
}

/// How it says that it will not.
pub fn trouble(status: u16) -> Reply {
    let (message, code) = match status {
        401 => ("Invalid Webhook Token", 50_027),
        403 => ("Missing Permissions", 50_013),
        404 => ("Unknown Webhook", 10_015),
        _ => ("Internal Server Error", 0),
    };
    Reply::json(status, json!({ "message": message, "code": code }))
}

/// Too many calls.
pub fn limited(seconds: u64) -> Reply {
    let body = json!({ "message": "You are being rate limited.", "retry_after": seconds as f64, "global": false });
    let headers = vec![("retry-after", seconds.to_string()), ("x-ratelimit-reset-after", format!("{seconds}.000"))];
    Reply { headers, ..Reply::json(429, body) }
}

fn invalid(field: &str, why: &str) -> Reply {
    let errors = json!({ field: { "_errors": [{ "code": "INVALID", "message": why }] } });
    Reply::json(400, json!({ "message": "Invalid Form Body", "code": 50_035, "errors": errors }))
}

fn fits(message: &Map<String, Json>) -> Result<(), (&'static str, &'static str)> {
    if message.keys().any(|name| !["content", "embeds", "allowed_mentions"].contains(&name.as_str())) {
        return Err(("_misc", "there is a field that nobody knows"));
    }
    let content =
        message.get("content").map(|content| content.as_str().ok_or(("content", "it is no text"))).transpose()?;
    if content.is_some_and(|content| !(1..=LONGEST_CONTENT).contains(&content.encode_utf16().count())) {
        return Err(("content", "Must be between 1 and 2000 in length."));
    }
    let embeds = message.get("embeds").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    if content.is_none() && embeds.is_empty() {
        return Err(("_misc", "Cannot send an empty message"));
    }
    if embeds.len() > 10 {
        return Err(("embeds", "Must be 10 or fewer in length."));
    }
    for embed in embeds {
        let description = embed.get("description").and_then(Json::as_str).unwrap_or_default();
        let color = embed.get("color").map_or(Some(0), Json::as_u64);
        let known = embed.as_object().is_some_and(|embed| embed.keys().all(|k| k == "description" || k == "color"));
        if !known || !(1..=LONGEST_DESCRIPTION).contains(&description.encode_utf16().count()) {
            return Err(("embeds", "a description has 1 to 4096 characters"));
        }
        if color.is_none_or(|color| color > 0xFF_FF_FF) {
            return Err(("embeds", "a colour is 0 to 16777215"));
        }
    }
    Ok(())
}
