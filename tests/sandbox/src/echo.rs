//! Somebody who speaks HTTP, and of whom nothing else is known.
//!
//! ```text
//! POST /things       makes a thing, once for each Idempotency-Key; 201, or 200 when it was made before
//! DELETE /things/7   takes the thing of this number away; 200, or 404 when there is none
//! ANY  /status/418   answers with this status, and says again what was sent
//! ANY  /to?URL       sends elsewhere, with 302
//! ANY  /large        200 KiB of text
//! ANY  …             says again what was sent
//! ```

use serde_json::json;

use crate::server::{Reply, Request};
use crate::world::State;

/// Words of a large answer, five bytes each.
const LARGE: usize = 40 << 10;

/// Answers a call.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    match (request.method.as_str(), path) {
        ("POST", "/things") => make(state, request.header("idempotency-key")),
        ("DELETE", path) if path.starts_with("/things/") => take_away(state, path.trim_start_matches("/things/")),
        (_, "/to") => Reply { location: Some(query.to_owned()), ..Reply::text(302, "over there") },
        (_, "/large") => Reply::text(200, &"much ".repeat(LARGE)),
        _ => {
            let status = path.strip_prefix("/status/").and_then(|status| status.parse().ok());
            Reply::json(status.unwrap_or(200), said(request))
        }
    }
}

fn make(state: &mut State, key: Option<&str>) -> Reply {
    let before = key.and_then(|key| state.things.iter().position(|thing| thing.as_deref() == Some(key)));
    let number = before.unwrap_or(state.things.len());
    if before.is_none() {
        state.things.push(key.map(str::to_owned));
    }
    Reply::json(if before.is_some() { 200 } else { 201 }, json!({ "number": number + 1 }))
}

fn take_away(state: &mut State, number: &str) -> Reply {
    let number = number.parse().ok().filter(|number| (1..=state.things.len()).contains(number));
    match number {
        Some(number) if state.taken_away.insert(number) => Reply::json(200, json!({ "number": number })),
        _ => Reply::json(404, json!({ "message": "there is no such thing" })),
    }
}

fn said(request: &Request) -> serde_json::Value {
    let text = String::from_utf8_lossy(&request.body);
    let headers: std::collections::BTreeMap<_, _> = request.headers.iter().cloned().collect();
    json!({ "method": request.method, "path": request.path, "headers": headers, "text": text, "json": request.json() })
}
