//! GitHub: `X-Hub-Signature-256` over the raw body, JSON or form-encoded.
//!
//! Protocol: docs.github.com, "Validating webhook deliveries" and "Webhook events and payloads".

use bytes::Bytes;
use pointsman_actors::event::{Delivery, Header, Headers, Reading, SourceName};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::Source;

use super::github_payload::{self, Envelope};
use super::loose;
use super::{SourceSettings, is_json, media_type, signature, stored};

const DELIVERY: &str = "x-github-delivery";
const EVENT: &str = "x-github-event";
const HOOK: &str = "x-github-hook-id";
const FORM: &str = "application/x-www-form-urlencoded";

/// Headers that are stored. GitHub has sent secrets in headers before, so nothing else is.
const STORED: [&str; 8] = [
    DELIVERY,
    EVENT,
    HOOK,
    "x-github-hook-installation-target-id",
    "x-github-hook-installation-target-type",
    "x-github-enterprise-host",
    "user-agent",
    "content-type",
];

/// The source.
pub struct Github {
    settings: SourceSettings,
}

impl Github {
    /// The source with these settings.
    pub fn new(settings: SourceSettings) -> Self {
        Self { settings }
    }
}

impl Source for Github {
    fn name(&self) -> &SourceName {
        &self.settings.name
    }

    fn inspect(&self, headers: &Headers) -> Result<(), Refusal> {
        if !self.settings.allow_unsigned {
            signature::code_in(headers, signature::GITHUB, "sha256=")?;
        }
        for name in [EVENT, DELIVERY] {
            headers.text(name).filter(|text| !text.is_empty()).ok_or(Refusal::BadHeader(name))?;
        }
        if headers.get(HOOK) == Header::Ambiguous {
            return Err(Refusal::BadHeader(HOOK));
        }
        let accepted = is_json(headers)? || media_type(headers)?.as_deref() == Some(FORM);
        if accepted { Ok(()) } else { Err(Refusal::WrongContentType) }
    }

    fn authenticate(&self, delivery: &Delivery, _: Timestamp) -> Result<(), Refusal> {
        if self.settings.allow_unsigned {
            return Ok(());
        }
        let code = signature::code_in(&delivery.headers, signature::GITHUB, "sha256=")?;
        signature::verify(&self.settings.secrets, &delivery.body, &code)
    }

    fn read(&self, delivery: &Delivery) -> Result<Reading, Refusal> {
        let headers = &delivery.headers;
        let event = headers.text(EVENT).ok_or(Refusal::BadHeader(EVENT))?;
        let payload = payload(delivery)?;
        let envelope: Option<Envelope<'_>> = loose::read(&payload).map_err(|_| Refusal::NotJson)?;
        let known = envelope.is_some();
        let envelope = envelope.unwrap_or_default();
        let facts = github_payload::facts(event, &envelope);
        let fingerprint = if known { github_payload::fingerprint(event, &envelope) } else { None };
        let ping = (event == "ping").then(|| "a ping only says that the hook was set up".to_owned());
        Ok(Reading {
            delivery_id: headers.text(DELIVERY).ok_or(Refusal::BadHeader(DELIVERY))?.to_owned(),
            hook: headers.text(HOOK).map(str::to_owned),
            fingerprint: Some(fingerprint.unwrap_or_else(|| github_payload::fingerprint_of_all(event, &payload))),
            ignored: ping.or_else(|| self.settings.ignores(&facts)),
            headers: stored(headers, &STORED),
            facts,
            payload,
        })
    }

    fn headers(&self) -> &'static [&'static str] {
        const READ: [&str; 9] = {
            let [a, b, c, d, e, f, g, h] = STORED;
            [a, b, c, d, e, f, g, h, signature::GITHUB]
        };
        &READ
    }
}

/// The JSON: the body itself, or the form's only field `payload`.
fn payload(delivery: &Delivery) -> Result<Bytes, Refusal> {
    if media_type(&delivery.headers)?.as_deref() != Some(FORM) {
        return Ok(delivery.body.clone());
    }
    let mut payloads = form_urlencoded::parse(&delivery.body).filter(|(name, _)| name == "payload");
    match (payloads.next(), payloads.next()) {
        // Bytes that are not UTF-8 were replaced while decoding: then it is not what was sent.
        (Some((_, json)), None) if !json.contains(char::REPLACEMENT_CHARACTER) => Ok(json.into_owned().into()),
        _ => Err(Refusal::BadForm),
    }
}
