//! A GitHub App: its installation, the tokens of that, and check runs, which only it can make.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use serde_json::{Value as Json, json};

use super::forge::CheckRun;
use super::hooks::{self, Access};
use super::{error, invalid};
use crate::server::{Reply, Request};
use crate::world::{PullRequest, State};

/// The number of the one App that there is.
pub const ID: &str = "7";

/// Its private key, made for these tests and known to nobody else.
pub const KEY: &str = include_str!("app_key.pem");

/// The public half.
const PUBLIC: &[u8] = include_bytes!("app_key_public.der");

/// The number of its one installation, which is everywhere.
const INSTALLATION: u64 = 70;

/// How long what an App signs may be good, in seconds.
const LONGEST: i64 = 600;

/// Whether a request carries what the App has signed, and that is good now.
pub fn signed(request: &Request, now: i64) -> bool {
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let parts: Vec<&str> = token.unwrap_or_default().split('.').collect();
    let [header, claims, signature] = parts[..] else { return false };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    let claims: Json = serde_json::from_slice(&decode(claims)).unwrap_or_default();
    let (from, until) = (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or_default());
    let is_good = from <= now && now < until && until <= now + LONGEST && claims["iss"] == ID;
    is_good && verifies(&format!("{header}.{}", parts[1]), &decode(signature))
}

fn verifies(message: &str, signature: &[u8]) -> bool {
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let its = algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256);
    let Some((_, algorithms)) = its else { return false };
    algorithms.iter().any(|algorithm| algorithm.verify_signature(PUBLIC, message.as_bytes(), signature).is_ok())
}

/// What only the App itself may ask; none for anything else.
pub fn answer(state: &mut State, request: &Request, now_ms: i64) -> Option<Reply> {
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let is_its = matches!(parts[..], ["repos", _, _, "installation"] | ["orgs", _, "installation"] | ["app", ..]);
    let now = now_ms / 1_000;
    if !is_its {
        return None;
    }
    if !signed(request, now) {
        return Some(error(401, "A JSON web token could not be decoded"));
    }
    Some(match (request.method.as_str(), &parts[..]) {
        (_, ["app", "hook", "deliveries", rest @ ..]) => {
            hooks::answer(state, ("app", rest), request, Access::Write, now_ms)
        }
        ("GET", ["repos" | "orgs", ..]) => Reply::json(200, json!({"id": INSTALLATION, "app_id": 7})),
        ("POST", ["app", "installations", id, "access_tokens"]) if *id == INSTALLATION.to_string() => {
            // Longer than any token was.
            let token = format!("ghs_7_{}{}", "x".repeat(1_500), state.forge.tokens.len());
            state.forge.tokens.push(token.clone());
            let expires_at = chrono::DateTime::from_timestamp(now + state.forge.tokens_live.unwrap_or(3_600), 0);
            let expires_at = expires_at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
            Reply::json(201, json!({"token": token, "expires_at": expires_at, "permissions": {"checks": "write"}}))
        }
        _ => error(404, "Not Found"),
    })
}

/// Whether a request carries a token of the installation that was not taken back.
pub fn is_installation(state: &State, request: &Request) -> bool {
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    token.is_some_and(|token| state.forge.tokens.iter().any(|known| known == token))
}

/// Makes a check run.
pub fn create(state: &mut State, repository: &str, request: &Request) -> Reply {
    let body = request.json();
    if !is_installation(state, request) {
        return error(403, "You must authenticate via a GitHub App.");
    }
    for field in ["name", "head_sha"] {
        if body[field].as_str().is_none_or(str::is_empty) {
            return invalid(&json!({"resource": "CheckRun", "field": field, "code": "missing_field"}));
        }
    }
    let has =
        |pull: &PullRequest| pull.repository == repository && pull.heads.iter().any(|head| body["head_sha"] == **head);
    if !state.pulls.values().any(has) {
        return error(422, "No commit found for SHA");
    }
    let id = 500 + state.forge.checks.len() as u64;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let check = CheckRun { id, name: text("name"), head_sha: text("head_sha"), ..CheckRun::default() };
    state.forge.checks.push(check);
    let reply = update(state, id, request);
    if reply.status == 200 {
        return Reply { status: 201, ..reply };
    }
    state.forge.checks.pop();
    reply
}

/// Changes a check run.
pub fn update(state: &mut State, id: u64, request: &Request) -> Reply {
    let body = request.json();
    if !is_installation(state, request) {
        return error(403, "You must authenticate via a GitHub App.");
    }
    let Some(check) = state.forge.checks.iter_mut().find(|check| check.id == id) else {
        return error(404, "Not Found");
    };
    let conclusions = ["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];
    let conclusion = body["conclusion"].as_str();
    if conclusion.is_some_and(|conclusion| !conclusions.contains(&conclusion)) {
        return invalid(&json!({"resource": "CheckRun", "field": "conclusion", "code": "invalid"}));
    }
    if body["status"] == "completed" && conclusion.is_none() {
        return invalid(&json!({"resource": "CheckRun", "field": "conclusion", "code": "missing_field"}));
    }
    if body["output"].is_object() && body["output"]["summary"].as_str().is_none() {
        return invalid(&json!({"resource": "CheckRun", "field": "summary", "code": "missing_field"}));
    }
    check.conclusion = conclusion.map(str::to_owned);
    body["external_id"].as_str().unwrap_or_default().clone_into(&mut check.external_id);
    Reply::json(200, json!(check))
}

/// The check runs of a commit with this name.
pub fn list(state: &State, sha: &str, request: &Request) -> Reply {
    let name = request.query("check_name");
    let fits = |check: &&CheckRun| check.head_sha == sha && name.as_ref().is_none_or(|name| *name == check.name);
    let checks: Vec<&CheckRun> = state.forge.checks.iter().filter(fits).collect();
    Reply::json(200, json!({"total_count": checks.len(), "check_runs": checks}))
}
