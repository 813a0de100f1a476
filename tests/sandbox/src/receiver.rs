//! Somebody who takes webhooks that are signed as Standard Webhooks 1.0.0 says, proves every one of them, and does nothing
//! twice: the id of a message is known by it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::Sha256;

use crate::server::{Reply, Request};
use crate::world::State;

/// The secret that signs, as the sender was given it.
pub const SECRET: &str = "whsec_cG9pbnRzbWFuLXNhbmRib3gtcmVjZWl2ZXIh";

/// The path.
pub const PATH: &str = "/receiver/events";

/// How far a timestamp may be from now, in seconds.
const TOLERANCE: i64 = 300;

/// What was received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// Its id.
    pub id: String,
    /// Its body.
    pub body: Json,
    /// How often it came.
    pub times: u32,
}

/// Answers a call that comes at `now`, in seconds of the Unix epoch.
pub fn answer(state: &mut State, request: &Request, now: i64) -> Reply {
    if format!("/receiver{}", request.path) != PATH {
        return Reply::text(404, "nobody is here");
    }
    if state.receiver_is_gone {
        return Reply::text(410, "no more");
    }
    match proven(request, now) {
        Err(why) => Reply::text(401, why),
        Ok(id) => take(state, id, request.json()),
    }
}

fn proven(request: &Request, now: i64) -> Result<String, &'static str> {
    let header = |name| request.header(name).filter(|value| !value.is_empty());
    let id = header("webhook-id").ok_or("there is no id")?;
    let timestamp = header("webhook-timestamp").ok_or("there is no timestamp")?;
    let signatures = header("webhook-signature").ok_or("there is no signature")?;
    let at: i64 = timestamp.parse().map_err(|_| "the timestamp is none")?;
    if (now - at).abs() > TOLERANCE {
        return Err("the timestamp is too far from now");
    }
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).map_err(|_| "the secret is none")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| "the secret is none")?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body] {
        mac.update(part);
    }
    let expect = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    if signatures.split(' ').any(|signature| signature == expect) { Ok(id.to_owned()) } else { Err("it is not signed") }
}

fn take(state: &mut State, id: String, body: Json) -> Reply {
    let is_message = body.get("type").is_some_and(Json::is_string)
        && body.get("timestamp").is_some_and(Json::is_string)
        && body.pointer("/data/text").is_some_and(Json::is_string);
    if !is_message {
        return Reply::text(422, "it is no message");
    }
    match state.received.iter_mut().find(|received| received.id == id) {
        Some(before) => before.times += 1,
        None => state.received.push(Received { id, body, times: 1 }),
    }
    Reply::text(202, "")
}
