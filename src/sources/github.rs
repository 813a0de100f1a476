//! GitHub: `X-Hub-Signature-256` over the raw body, JSON or form-encoded.
//!
//! Protocol: docs.github.com, "Validating webhook deliveries" and "Webhook events and payloads".

use bytes::Bytes;
use pointsman_actors::event::{Delivery, Header, Headers, Reading, SourceName};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::{Proof, Source};

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

    fn authenticate(&self, delivery: &Delivery, now: Timestamp) -> Result<Proof, Refusal> {
        if self.settings.allow_unsigned {
            return Ok(Proof(None));
        }
        let code = signature::code_in(&delivery.headers, signature::GITHUB, "sha256=")?;
        signature::verify(&self.settings.secrets, &delivery.body, &code, now)
    }

    fn proved(&self, proof: Proof, at: Timestamp) {
        self.settings.secrets.note(proof, at);
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
            redacted: 0,
            delivery_id: headers.text(DELIVERY).ok_or(Refusal::BadHeader(DELIVERY))?.to_owned(),
            hook: headers.text(HOOK).map(str::to_owned),
            fingerprint: Some(fingerprint.unwrap_or_else(|| github_payload::fingerprint_of_all(event, &payload))),
            ignored: ping.or_else(|| self.settings.ignores(&facts)),
            headers: stored(headers, &STORED),
            facts,
            payload,
        })
    }

    fn headers(&self) -> Vec<&str> {
        const READ: [&str; 9] = {
            let [a, b, c, d, e, f, g, h] = STORED;
            [a, b, c, d, e, f, g, h, signature::GITHUB]
        };
        READ.to_vec()
    }
}

/// The JSON: the body itself, or the form's only field `payload`.
fn payload(delivery: &Delivery) -> Result<Bytes, Refusal> {
    if media_type(&delivery.headers)?.as_deref() != Some(FORM) {
        return Ok(delivery.body.clone());
    }
    let mut payloads = delivery.body.split(|byte| *byte == b'&').filter_map(|field| field.strip_prefix(b"payload="));
    match (payloads.next(), payloads.next()) {
        (Some(json), None) => {
            let json = unescaped(json);
            if std::str::from_utf8(&json).is_ok() { Ok(json.into()) } else { Err(Refusal::BadForm) }
        }
        _ => Err(Refusal::BadForm),
    }
}

/// The value of a form's field. `form_urlencoded` replaces what is not UTF-8, and then nobody can tell it
/// from a replacement that the sender wrote.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut plain, mut rest) = (Vec::with_capacity(field.len()), field);
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().and_then(|[high, low]| Some(digit(high)? << 4 | digit(low)?));
        match (first, escaped) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _) => {
                plain.push(b' ');
                rest = after;
            }
            (other, _) => {
                plain.push(*other);
                rest = after;
            }
        }
    }
    plain
}
