//! `http_request`: calls anybody who speaks HTTP. The method, or the definition's own word, says whether it may
//! be repeated.
//!
//! A secret goes only to a host that the definition writes out, and neither it nor any header, user or query
//! stands in what a failure says.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, Effect, EffectClass, Misfit, OnDoubt, Outcome, Parameter, Success, Working,
    Written,
};
use pointsman_actors::time::SharedClock;
use pointsman_actors::workflow::recipe::is_template;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value as Json, json};

use super::named_secrets::EMPTY;
use super::with::With;
use super::{bounded, named_secrets};
use crate::integrations::http::Answer;
use crate::integrations::secrets::{self, Secrets};
use crate::integrations::web::refusal::refused;
use crate::integrations::web::{self, Call, LARGEST_ANSWER, Web};

static INFO: ActionInfo = ActionInfo {
    name: "http_request",
    class: EffectClass::Once,
    on_doubt: OnDoubt::Park,
    parameters: &[
        Parameter { name: "url", accepts: Accepts::Text, default: None },
        Parameter { name: "method", accepts: Accepts::OneOf(&METHODS), default: Some("GET") },
        Parameter { name: "headers", accepts: Accepts::TableOf(&Accepts::OptionalText), default: Some(EMPTY) },
        named_secrets::parameter("secret_headers"),
        Parameter { name: "body", accepts: Accepts::Anything, default: Some("{{ none }}") },
        Parameter { name: "expect", accepts: Accepts::ListOf(&Accepts::Number), default: Some("{{ [] }}") },
        Parameter { name: "effect", accepts: Accepts::OneOf(&EFFECTS), default: Some(BY_METHOD) },
        Parameter { name: "idempotency_header", accepts: Accepts::OptionalText, default: Some("Idempotency-Key") },
    ],
    timeout: None,
    waits: None,
    services: &[],
};

static METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

static EFFECTS: [&str; 5] = [BY_METHOD, "pure", "idempotent", "keyed", "once"];

/// What the method promises (RFC 9110, 9.2).
const BY_METHOD: &str = "by_method";

/// Headers that belong to the connection, or say where a request goes.
const OURS: [&str; 7] = ["host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade"];

/// Headers of an answer that later steps see.
const SHOWN: [&str; 7] = ["content-type", "etag", "last-modified", "link", "location", "retry-after", "x-request-id"];

/// Most bytes of each of them.
const LONGEST_HEADER: usize = 2 << 10;

/// Most bytes of an answer that a failure shows.
const LONGEST_SAID: usize = 200;

/// The action.
pub struct HttpRequest {
    web: Arc<Web>,
    secrets: Secrets,
    clock: SharedClock,
}

impl HttpRequest {
    /// Calls through `web`; `clock` says how long it is until a date that somebody names.
    pub fn new(web: Arc<Web>, secrets: Secrets, clock: SharedClock) -> Self {
        Self { web, secrets, clock }
    }
}

impl Action for HttpRequest {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn lacks(&self, written: &Written) -> Option<String> {
        named_secrets::lacks(&self.secrets, written, "secret_headers")
    }

    fn examine(&self, written: &Written) -> Result<Effect, Vec<Misfit>> {
        let mut misfits = misfits(written);
        match effect(written) {
            Ok(effect) if misfits.is_empty() => Ok(effect),
            Ok(_) => Err(misfits),
            Err(misfit) => {
                misfits.push(misfit);
                Err(misfits)
            }
        }
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let (web, secrets, clock) = (Arc::clone(&self.web), self.secrets.clone(), Arc::clone(&self.clock));
        Box::pin(async move {
            let request = Request::of(&attempt, &secrets)?;
            let answer = web.call(&request.call()).await?;
            request.judge(&answer, &secrets, clock.now().seconds())
        })
    }
}

/// What doing it again would do.
fn effect(written: &Written) -> Result<Effect, Misfit> {
    let fixed = |name: &str| {
        let reason = "write it out: whether an attempt in doubt may be repeated follows from it";
        written.fixed_text(name).ok_or_else(|| Misfit::new(name, reason))
    };
    let (method, effect) = (fixed("method")?, fixed("effect")?);
    let looks = matches!(method, "GET" | "HEAD");
    Ok(match (effect, method) {
        ("keyed", _) if looks || written.fixed_text("idempotency_header") == Some("") => {
            let reason = "nothing is sent by which a repetition could be recognised; `idempotency_header` goes with \
                          POST, PUT, PATCH and DELETE";
            return Err(Misfit::new("effect", reason));
        }
        ("pure", _) => EffectClass::Pure,
        ("idempotent", _) => EffectClass::Idempotent,
        ("keyed", _) => EffectClass::Keyed,
        (BY_METHOD, _) if looks => EffectClass::Pure,
        (BY_METHOD, "PUT" | "DELETE") => EffectClass::Idempotent,
        _ => EffectClass::Once,
    }
    .into())
}

/// What is wrong with what is written out, beyond its kinds.
fn misfits(written: &Written) -> Vec<Misfit> {
    let mut found: Vec<Misfit> = named_secrets::misfit(written, "secret_headers").into_iter().collect();
    let url = written.get("url").and_then(Json::as_str).unwrap_or_default();
    let host = written_origin(url);
    found.extend(wrong_address(url).map(|reason| Misfit::new("url", reason)));
    for table in ["headers", "secret_headers"] {
        for (name, value) in written.get(table).and_then(Json::as_object).into_iter().flatten() {
            let key = format!("{table}.{name}");
            found.extend(header_name(name).err().map(|reason| Misfit::new(&key, reason)));
            let fixed = value.as_str().filter(|_| table == "headers" && !is_template(value));
            if fixed.is_some_and(|text| HeaderValue::from_str(text).is_err()) {
                found.push(Misfit::new(&key, NO_HEADER));
            }
        }
    }
    if named_secrets::are_named(written, "secret_headers") && host.is_none() {
        found.push(Misfit::new("secret_headers", TO_ANYBODY));
    }
    let codes = written.fixed("expect").and_then(Json::as_array).into_iter().flatten();
    let is_status = |code: &Json| code.as_u64().is_none_or(|code| (100..600).contains(&code));
    if let Some(none) = codes.into_iter().find(|code| !is_status(code)) {
        found.push(Misfit::new("expect", format!("`{none}` is no status; they are within 100 and 599")));
    }
    found
}

const NO_HEADER: &str = "its value has characters that no header has";

const TO_ANYBODY: &str = "a secret goes only to a host that is written out; write the host of `url` out";

/// A header that a step may set.
fn header_name(name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "there is no header of such a name".to_owned())?;
    if OURS.contains(&header.as_str()) { Err("this header is not a step's to set".to_owned()) } else { Ok(header) }
}

/// What is wrong with an address, as far as it is written out.
fn wrong_address(url: &str) -> Option<String> {
    let (url, is_whole) = (url.trim_start(), !is_template(&url.into()));
    let head = url.split('{').next().unwrap_or_default().to_ascii_lowercase();
    let may_begin = |scheme: &str| head.starts_with(scheme) || scheme.starts_with(&head);
    let known = match written_host(url) {
        _ if is_whole => url,
        Some(host) => host,
        None if may_begin("http://") || may_begin("https://") => return None,
        None => &head,
    };
    web::address(known).err()
}

/// The origin that a definition writes out.
fn written_origin(url: &str) -> Option<String> {
    web::address(written_host(url)?).ok().map(|url| web::origin(&url))
}

/// An address up to the first `/`, `?` or `#` behind its host, if there is no template in that: what comes behind it
/// cannot lead to another host.
fn written_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let behind = url.len() - rest.len();
    let host = match rest.find(['/', '?', '#']) {
        Some(end) => url.get(..=behind + end)?,
        None => url,
    };
    Some(host).filter(|host| !host.contains('{'))
}

/// A request, ready to be sent.
struct Request {
    method: Method,
    url: reqwest::Url,
    written: Option<String>,
    headers: HeaderMap,
    body: Option<Bytes>,
    changes: bool,
    expected: Vec<u16>,
    limit: std::time::Duration,
}

impl Request {
    fn of(attempt: &Attempt, secrets: &Secrets) -> Result<Self, Failure> {
        let with = With(&attempt.with);
        let wrong = |key: &str, reason: &str| Failure::new(ErrorClass::Validation, format!("with.{key}: {reason}"));
        let url = web::address(&with.text("url")?).map_err(|reason| wrong("url", &reason))?;
        let class = effect(&attempt.written).map_err(|misfit| wrong(&misfit.key, &misfit.reason))?.class;
        let method: Method = with.text("method")?.parse().map_err(|_| wrong("method", "there is no such method"))?;
        let written = attempt.written.get("url").and_then(Json::as_str).and_then(written_origin);
        let (body, kind) = body(attempt.with.get("body")).unzip();
        let mut headers = HeaderMap::new();
        let mut set = |key: String, name: &str, value: &str| {
            let name = header_name(name).map_err(|reason| wrong(&key, &reason))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong(&key, NO_HEADER))?;
            value.set_sensitive(true);
            headers.insert(name, value);
            Ok(())
        };
        if let Some(kind) = kind {
            set("body".to_owned(), CONTENT_TYPE.as_str(), kind)?;
        }
        let key_in = with.text_or_empty("idempotency_header")?;
        if !method.is_safe() && !key_in.is_empty() {
            set("idempotency_header".to_owned(), &key_in, &attempt.key)?;
        }
        for (name, value) in with.table("headers") {
            set(format!("headers.{name}"), &name, &value)?;
        }
        for (name, secret) in named_secrets::read(secrets, &with, "secret_headers")? {
            if written.as_ref() != Some(&web::origin(&url)) {
                return Err(wrong("secret_headers", TO_ANYBODY));
            }
            set(format!("secret_headers.{name}"), &name, secret.expose())?;
        }
        let (changes, expected) = (class != EffectClass::Pure, with.numbers("expect")?);
        Ok(Self { method, url, written, headers, body, changes, expected, limit: attempt.timeout })
    }

    fn call(&self) -> Call<'_> {
        Call {
            method: self.method.clone(),
            url: self.url.clone(),
            written: self.written.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            changes: self.changes,
            expected: &self.expected,
            limit: self.limit,
        }
    }

    /// Whether an answer is what was expected, and what later steps see of it. `now` is in seconds of the Unix epoch.
    fn judge(&self, answer: &Answer, secrets: &Secrets, now: i64) -> Result<Success, Failure> {
        let is_expected = match self.expected.as_slice() {
            [] => (200..300).contains(&answer.status),
            expected => expected.contains(&answer.status),
        };
        if is_expected {
            return Ok(Success::Done(secrets.hide_in(output(answer))));
        }
        let said = secrets.hide(&self.hide(&bounded::first(&answer.body, LARGEST_ANSWER)));
        let said = bounded::first(said.as_bytes(), LONGEST_SAID);
        Err(refused(&web::what(&self.call(), &self.url), self.changes, answer, said.trim(), now))
    }

    /// What somebody says who says again what was sent to him.
    fn hide(&self, said: &str) -> String {
        let headers = self.headers.values().filter_map(|value| value.to_str().ok());
        let of_url = [self.url.query(), Some(self.url.path()), Some(self.url.username()), self.url.password()];
        let of_url = of_url.into_iter().flatten();
        let of_query: Vec<String> = self.url.query_pairs().map(|(_, value)| value.into_owned()).collect();
        secrets::hide(said, headers.chain(of_url).chain(of_query.iter().map(String::as_str)))
    }
}

/// What is sent, and what it is: a text as it is, anything else as JSON.
fn body(value: Option<&Json>) -> Option<(Bytes, &'static str)> {
    match value? {
        Json::Null => None,
        Json::String(text) => Some((text.clone().into(), "text/plain; charset=utf-8")),
        value => Some((value.to_string().into(), "application/json")),
    }
}

/// What later steps see of an answer.
fn output(answer: &Answer) -> Json {
    let shown = |value: &str| bounded::first(value.as_bytes(), LONGEST_HEADER);
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let headers: Map<String, Json> =
        SHOWN.iter().filter_map(|name| Some(((*name).to_owned(), shown(header(name)?).into()))).collect();
    let kind = header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let is_said_to_be = kind == "application/json" || kind.ends_with("+json");
    // Of what is not said to be JSON a number may be any text; an object is nothing else.
    let read = serde_json::from_slice::<Json>(&answer.body).ok().filter(|_| !answer.cut);
    let read = read.filter(|read| is_said_to_be || read.is_object() || read.is_array());
    let body = read.unwrap_or_else(|| bounded::first(&answer.body, LARGEST_ANSWER).into());
    json!({ "status": answer.status, "headers": headers, "body": body, "truncated": answer.cut })
}

#[cfg(test)]
#[path = "http_request_tests.rs"]
mod tests;
