//! Hooks, what was tried to be delivered through them, and trying it again.
//!
//! Rules: docs.github.com/rest, "Webhooks" of apps, repositories and organisations. Nothing is delivered again unless
//! somebody asks for it.

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::error;
use crate::server::{self, Reply, Request};
use crate::world::{Hook, State, World};

/// For so many milliseconds an attempt is kept, and can be made again.
const KEPT_MS: i64 = 3 * 24 * 3_600_000;

/// A hook with what was tried to be delivered through it.
#[derive(Clone, Debug)]
pub struct SendingHook {
    /// Where it delivers to, and what signs that.
    pub target: Hook,
    /// What was tried, oldest first.
    pub attempts: Vec<Attempt>,
}

/// An attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number.
    pub id: u64,
    /// The delivery.
    pub guid: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Whether somebody asked for it.
    pub redelivery: bool,
    /// `OK`, or what went wrong.
    pub status: String,
    /// The status of the answer, or of what went wrong.
    pub status_code: u16,
    /// The event.
    pub event: String,
    /// What it said.
    pub payload: Json,
}

/// What whoever asks with a token may do with hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Look, and have things delivered again.
    #[default]
    Write,
    /// Look.
    Read,
    /// Nothing.
    Nothing,
}

/// How an attempt goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It is sent, and what is answered counts.
    #[default]
    Sent,
    /// It is sent, and the answer is lost.
    AnswerLost,
    /// It is not sent: nobody is there.
    NobodyThere,
}

/// Something to be delivered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Occurrence {
    /// Through which hook: `owner/name#1`, `organisation#1` or `app`.
    pub hook: String,
    /// The event.
    pub event: String,
    /// What it says.
    pub payload: Json,
    /// How it goes.
    #[serde(default)]
    pub way: Way,
    /// So many milliseconds ago.
    #[serde(default)]
    pub ago_ms: i64,
}

/// An attempt that is to be made.
pub struct Try {
    hook: String,
    guid: String,
    event: String,
    payload: Json,
    way: Way,
    at_ms: i64,
    redelivery: bool,
}

impl World {
    /// There is this hook now, or it delivers to there now.
    pub fn put_hook(&self, hook: &str, url: &str, secret: &str) {
        let target = Hook { url: url.to_owned(), secret: secret.to_owned() };
        let mut state = self.state();
        match state.forge.hooks.get_mut(hook) {
            Some(known) => known.target = target,
            None => _ = state.forge.hooks.insert(hook.to_owned(), SendingHook { target, attempts: Vec::new() }),
        }
    }

    /// Something happens that a hook tells of. Gives the delivery's id, when it was tried once.
    pub async fn happen(&self, occurrence: Occurrence) -> String {
        let Occurrence { hook, event, payload, way, ago_ms } = occurrence;
        let guid = uuid::Uuid::new_v4().to_string();
        let at_ms = server::now() - ago_ms;
        attempt(self, Try { hook, guid: guid.clone(), event, payload, way, at_ms, redelivery: false }).await;
        guid
    }

    /// What was tried through a hook, oldest first.
    pub fn attempts(&self, hook: &str) -> Vec<Attempt> {
        self.state().forge.hooks.get(hook).map(|hook| hook.attempts.clone()).unwrap_or_default()
    }
}

/// Makes an attempt and writes down how it went.
pub async fn attempt(world: &World, which: Try) {
    let Try { hook, guid, event, payload, way, at_ms, redelivery } = which;
    let Some(target) = world.state().forge.hooks.get(&hook).map(|hook| hook.target.clone()) else { return };
    let answered = match way {
        Way::NobodyThere => None,
        Way::Sent | Way::AnswerLost => {
            let headers = json!({
                "user-agent": "GitHub-Hookshot/sandbox", "x-github-event": event, "x-github-delivery": guid,
                "x-github-hook-id": id_of(&hook),
            });
            server::deliver(payload.clone(), target, (headers, "x-hub-signature-256")).await
        }
    };
    let (status, status_code) = match (way, answered) {
        (Way::AnswerLost, _) => ("timed out".to_owned(), 504),
        (_, Some(code @ 200..=299)) => ("OK".to_owned(), code),
        (_, Some(code)) => (format!("Invalid HTTP Response: {code}"), code),
        (_, None) => ("failed to connect to host".to_owned(), 502),
    };
    let mut state = world.state();
    let id = 9_000_000_000 + state.forge.hooks.values().map(|hook| hook.attempts.len() as u64).sum::<u64>();
    let attempt = Attempt { id, guid, at_ms, redelivery, status, status_code, event, payload };
    if let Some(hook) = state.forge.hooks.get_mut(&hook) {
        hook.attempts.push(attempt);
    }
}

fn id_of(hook: &str) -> &str {
    hook.split_once('#').map_or("1", |(_, id)| id)
}

/// Answers a call below the deliveries of a hook, of which `rest` is left; the caller may do what `access` says.
pub fn answer(state: &State, (hook, rest): (&str, &[&str]), request: &Request, access: Access, now_ms: i64) -> Reply {
    let wanted = if request.method == "POST" { "repository_hooks=write" } else { "repository_hooks=read" };
    let may = match access {
        Access::Write => true,
        Access::Read => request.method != "POST",
        Access::Nothing => false,
    };
    if !may {
        let headers = vec![("x-accepted-github-permissions", wanted.to_owned())];
        return Reply { headers, ..error(403, "Resource not accessible by personal access token") };
    }
    let Some(known) = state.forge.hooks.get(hook) else { return error(404, "Not Found") };
    let kept = |attempt: &&Attempt| attempt.at_ms > now_ms - KEPT_MS;
    let find = |id: &str| known.attempts.iter().filter(kept).find(|attempt| attempt.id.to_string() == id);
    match (request.method.as_str(), rest) {
        ("GET", []) => list(known.attempts.iter().filter(kept).collect(), request),
        ("GET", [id]) => {
            find(id).map_or_else(|| error(404, "Not Found"), |attempt| Reply::json(200, whole(hook, attempt)))
        }
        ("POST", [id, "attempts"]) => match find(id) {
            Some(attempt) => {
                let (guid, event, payload) = (attempt.guid.clone(), attempt.event.clone(), attempt.payload.clone());
                let hook = hook.to_owned();
                let again = Try { hook, guid, event, payload, way: Way::Sent, at_ms: now_ms, redelivery: true };
                Reply { redelivery: Some(again), ..Reply::json(202, json!({})) }
            }
            None => error(404, "Not Found"),
        },
        _ => error(404, "Not Found"),
    }
}

/// A page of attempts, newest first.
fn list(mut attempts: Vec<&Attempt>, request: &Request) -> Reply {
    let codes = match request.query("status").as_deref() {
        None => 0..=u16::MAX,
        Some("success") => 200..=399,
        Some("failure") => 400..=599,
        Some(_) => return error(422, "Invalid status"),
    };
    let before = match request.query("cursor").map(|cursor| cursor.strip_prefix("v1_").map(str::parse::<u64>)) {
        None => u64::MAX,
        Some(Some(Ok(id))) => id,
        Some(_) => return error(422, "Invalid cursor"),
    };
    let size = request.query("per_page").and_then(|text| text.parse().ok()).unwrap_or(30_usize).clamp(1, 100);
    attempts.sort_by_key(|attempt| std::cmp::Reverse((attempt.at_ms, attempt.id)));
    let from = attempts.iter().position(|attempt| attempt.id == before).unwrap_or(0);
    let fit: Vec<&Attempt> =
        attempts.into_iter().skip(from).filter(|attempt| codes.contains(&attempt.status_code)).collect();
    let link = fit.get(size).map(|next| {
        let path = request.path.split('?').next().unwrap_or_default();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(request.queries().into_iter().filter(|(name, _)| name != "cursor"));
        let query = query.append_pair("cursor", &format!("v1_{}", next.id)).finish();
        format!("<https://api.github.com{path}?{query}>; rel=\"next\"")
    });
    let shown: Vec<Json> = fit.into_iter().take(size).map(item).collect();
    super::named(request, Reply { link, ..Reply::json(200, json!(shown)) })
}

fn item(attempt: &Attempt) -> Json {
    let at = DateTime::from_timestamp_millis(attempt.at_ms).map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    json!({
        "id": attempt.id, "guid": attempt.guid, "delivered_at": at, "redelivery": attempt.redelivery, "duration": 0.03,
        "status": attempt.status, "status_code": attempt.status_code, "event": attempt.event,
        "action": attempt.payload["action"], "installation_id": null, "repository_id": null, "throttled_at": null,
    })
}

fn whole(hook: &str, attempt: &Attempt) -> Json {
    let mut shown = item(attempt);
    shown["url"] = json!("https://example.com/webhooks/github");
    shown["request"] = json!({
        "headers": {
            "Accept": "*/*", "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/sandbox",
            "X-GitHub-Delivery": attempt.guid, "X-GitHub-Event": attempt.event, "X-GitHub-Hook-ID": id_of(hook),
            "X-Hub-Signature-256": "sha256=0000",
        },
        "payload": attempt.payload,
    });
    shown["response"] = json!({"headers": {}, "payload": ""});
    shown
}
