//! The Messages API (docs.claude.com, "Messages" and "Streaming messages"), as far as the real `claude` calls it: what
//! the model says is planned, and comes as server-sent events.

#![allow(clippy::indexing_slicing, reason = "JSON: what is missing is null")]

use serde_json::{Value as Json, json};

use crate::server::{Reply, Request};
use crate::world::State;

/// The key that is accepted.
pub const KEY: &str = "sandbox-anthropic-key";

/// What the model says, a turn each; the usual one when nothing else is planned.
#[derive(Clone, Debug)]
pub struct Model {
    /// From now on.
    pub usual: Turn,
    /// Before that.
    pub next: Vec<Turn>,
    /// Turns that were taken.
    taken: u64,
}

/// What the model says once.
#[derive(Clone, Debug)]
pub enum Turn {
    /// A text, and that is all.
    Says(String),
    /// It calls a tool.
    Calls(String, Json),
}

impl Turn {
    /// A call of a tool.
    #[must_use]
    pub fn calls(tool: &str, input: Json) -> Self {
        Self::Calls(tool.to_owned(), input)
    }

    /// A verdict in the form that is asked for: `claude` offers a tool for that.
    #[must_use]
    pub fn judges(verdict: &str, score: u8) -> Self {
        Self::calls("StructuredOutput", json!({"verdict": verdict, "score": score, "issues": []}))
    }
}

impl Default for Model {
    fn default() -> Self {
        Self { usual: Turn::judges("pass", 92), next: Vec::new(), taken: 0 }
    }
}

/// Answers a call.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    if (request.method.as_str(), request.path.split('?').next()) != ("POST", Some("/v1/messages")) {
        return trouble(404);
    }
    if request.header("x-api-key") != Some(KEY) {
        return trouble(401);
    }
    let body = request.json();
    let is_whole = body["model"].is_string() && body["max_tokens"].is_u64() && body["messages"].is_array();
    if !is_whole || body["stream"] != true || request.header("anthropic-version").is_none() {
        return trouble(400);
    }
    let model = &mut state.model;
    model.taken += 1;
    let turn = if model.next.is_empty() { model.usual.clone() } else { model.next.remove(0) };
    Reply { is_events: true, ..Reply::text(200, &events(&turn, model.taken, &body["model"])) }
}

/// A turn as it streams.
fn events(turn: &Turn, number: u64, model: &Json) -> String {
    let (block, delta, stop) = match turn {
        Turn::Says(text) => {
            (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": text}), "end_turn")
        }
        Turn::Calls(tool, input) => (
            json!({"type": "tool_use", "id": format!("toolu_{number:024}"), "name": tool, "input": {}}),
            json!({"type": "input_json_delta", "partial_json": input.to_string()}),
            "tool_use",
        ),
    };
    let message = json!({
        "id": format!("msg_{number:024}"), "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1},
    });
    let all = [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
            "usage": {"output_tokens": 2},
        }),
        json!({"type": "message_stop"}),
    ];
    let event = |data: &Json| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
    all.iter().map(event).collect()
}

/// An error in the API's form.
pub fn trouble(status: u16) -> Reply {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    Reply::json(status, json!({"type": "error", "error": {"type": kind, "message": "by plan"}}))
}

/// What tools have answered, as the model was told in its last turn.
#[must_use]
pub fn tool_results(request: &Json) -> Vec<String> {
    let text = |content: &Json| match content {
        Json::String(text) => text.clone(),
        Json::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        _ => String::new(),
    };
    let messages = request["messages"].as_array().into_iter().flatten();
    let blocks = messages.filter_map(|message| message["content"].as_array()).flatten();
    blocks.filter(|block| block["type"] == "tool_result").map(|block| text(&block["content"])).collect()
}
