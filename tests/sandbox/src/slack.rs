//! Slack's incoming webhook: one channel, texts only (api.slack.com, "Incoming webhooks").

use serde_json::Value as Json;

use crate::SLACK_PATH;
use crate::server::{Reply, Request};
use crate::world::State;

/// Longer texts are refused here, so that nobody relies on their being cut.
const LONGEST_TEXT: usize = 40_000;

/// Answers a call.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    if format!("/slack{}", request.path) != SLACK_PATH {
        return Reply::text(404, "no_service");
    }
    let body = request.json();
    match body.get("text").and_then(Json::as_str) {
        _ if request.method != "POST" || !body.is_object() => Reply::text(400, "invalid_payload"),
        Some(text) if text.chars().count() > LONGEST_TEXT => Reply::text(400, "invalid_payload"),
        Some(text) if !text.is_empty() => {
            state.notifications.push(text.to_owned());
            Reply::text(200, "ok")
        }
        _ => Reply::text(400, "no_text"),
    }
}
