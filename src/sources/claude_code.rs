//! Claude Code: its HTTP hooks cannot sign and carry a static bearer token; other senders on this
//! path sign with `X-Claude-Signature` (`sha256=` and hex), or with Standard Webhooks 1.0.0.
//!
//! Protocol of the hooks: code.claude.com, "Hooks reference"; the bodies were observed. A hook has no id of its delivery and
//! is not sent again; every turn has another `prompt_id`, also the end of a session that was resumed, so the hash of the
//! body tells one from the next. In an answer Claude Code looks for decisions and passes over what it does not know.

use pointsman_actors::event::{Delivery, Facts, Fingerprint, Header, Headers, Reading, SourceName};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::{Proof, Source};
use serde::Deserialize;

use super::codegen::type_and_action;
use super::loose::{self, Id, Number, Object, Text};
use super::signature::{self, Standard};
use super::{SourceSettings, body_hash, is_json, stored};

const SIGNATURE: &str = "x-claude-signature";
const TOKEN: &str = "authorization";
const STORED: [&str; 4] = [Standard::ID, Standard::TIMESTAMP, "user-agent", "content-type"];

/// The source.
pub struct ClaudeCode {
    settings: SourceSettings,
}

impl ClaudeCode {
    /// The source with these settings.
    pub fn new(settings: SourceSettings) -> Self {
        Self { settings }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Payload<'a> {
    event_type: Text<'a>,
    event_id: Text<'a>,
    timestamp: Text<'a>,
    data: Object<Data<'a>>,
    hook_event_name: Text<'a>,
    session_id: Text<'a>,
    prompt_id: Text<'a>,
    reason: Text<'a>,
    error: Text<'a>,
    last_assistant_message: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Data<'a> {
    validation_id: Id,
    session_id: Text<'a>,
    pr_number: Number,
    repository: Text<'a>,
    status: Text<'a>,
    error: Text<'a>,
}

/// What a delivery shows to prove itself.
enum Shown<'a> {
    Standard(Standard<'a>),
    Code([u8; 32]),
    Token(&'a str),
}

fn shown(headers: &Headers) -> Result<Shown<'_>, Refusal> {
    if let Some(standard) = Standard::of(headers)? {
        return Ok(Shown::Standard(standard));
    }
    if headers.get(SIGNATURE) != Header::Absent {
        return signature::code_in(headers, SIGNATURE, "sha256=").map(Shown::Code);
    }
    match headers.get(TOKEN) {
        Header::Absent => Err(Refusal::SignatureMissing),
        Header::Ambiguous => Err(Refusal::SignatureInvalid),
        Header::Text(text) => {
            let (scheme, token) = text.split_once(' ').ok_or(Refusal::SignatureInvalid)?;
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            if is_bearer { Ok(Shown::Token(token.trim())) } else { Err(Refusal::SignatureInvalid) }
        }
    }
}

impl Source for ClaudeCode {
    fn name(&self) -> &SourceName {
        &self.settings.name
    }

    fn inspect(&self, headers: &Headers) -> Result<(), Refusal> {
        if !self.settings.allow_unsigned {
            shown(headers)?;
        }
        if is_json(headers)? { Ok(()) } else { Err(Refusal::WrongContentType) }
    }

    fn authenticate(&self, delivery: &Delivery, now: Timestamp) -> Result<Proof, Refusal> {
        let SourceSettings { secrets, timestamp_tolerance, allow_unsigned, .. } = &self.settings;
        if *allow_unsigned {
            return Ok(Proof(None));
        }
        match shown(&delivery.headers)? {
            Shown::Standard(standard) => standard.verify(secrets, &delivery.body, now, *timestamp_tolerance),
            Shown::Code(code) => signature::verify(secrets, &delivery.body, &code, now),
            Shown::Token(token) => secrets.prove(now, |secret| secret.is(token)),
        }
    }

    fn proved(&self, proof: Proof, at: Timestamp) {
        self.settings.secrets.note(proof, at);
    }

    fn read(&self, delivery: &Delivery) -> Result<Reading, Refusal> {
        let payload: Option<Payload<'_>> = loose::read(&delivery.body).map_err(|_| Refusal::NotJson)?;
        let payload = payload.unwrap_or_default();
        let facts = facts(&payload);
        let signed_id = delivery.headers.text(Standard::SIGNATURE).and_then(|_| delivery.headers.text(Standard::ID));
        let delivery_id = signed_id.map(str::to_owned).or_else(|| payload.event_id.owned());
        Ok(Reading {
            redacted: 0,
            payload: delivery.body.clone(),
            delivery_id: delivery_id.unwrap_or_else(|| body_hash(&delivery.body)),
            hook: None,
            fingerprint: Some(Fingerprint(vec![body_hash(&delivery.body)])),
            ignored: self.settings.ignores(&facts),
            headers: stored(&delivery.headers, &STORED),
            facts,
        })
    }

    fn headers(&self) -> Vec<&str> {
        const READ: [&str; 7] = {
            let [a, b, c, d] = STORED;
            [a, b, c, d, SIGNATURE, Standard::SIGNATURE, TOKEN]
        };
        READ.to_vec()
    }
}

fn facts(payload: &Payload<'_>) -> Facts {
    let (event_type, action) = match payload.hook_event_name.owned() {
        Some(hook) => (type_of_hook(&hook), None),
        None => type_and_action(payload.event_type.as_str()),
    };
    let data = payload.data.0.as_ref();
    let session = payload.session_id.owned().or_else(|| data.and_then(|data| data.session_id.owned()));
    let validation = data.and_then(|data| data.validation_id.owned());
    let mut facts = Facts {
        event_type,
        action,
        repository: data.and_then(|data| data.repository.owned()),
        pr_number: data.and_then(|data| data.pr_number.0),
        conclusion: data.and_then(|data| data.status.owned()).or_else(|| payload.reason.owned()),
        ..Facts::default()
    };
    let keys = [("claude:session", &session), ("claude:validation", &validation)];
    facts.correlation_keys = keys.iter().filter_map(|(kind, id)| Some(format!("{kind}:{}", id.as_ref()?))).collect();
    let error = payload.error.owned().or_else(|| data.and_then(|data| data.error.owned()));
    let more = [
        ("session_id", session),
        ("validation_id", validation),
        ("prompt_id", payload.prompt_id.owned()),
        ("error", error.map(bounded)),
        ("last_assistant_message", payload.last_assistant_message.owned().map(bounded)),
    ];
    facts.more.extend(more.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    facts.fair_key = facts.repository.clone();
    facts.subject = match (&facts.repository, facts.pr_number) {
        (Some(repository), Some(number)) => Some(format!("{repository}#{number}")),
        (repository, _) => repository.clone(),
    };
    facts
}

/// Most bytes of what an agent said that are facts: they are journaled with every run that waits for them. The event
/// keeps the whole.
const LONGEST_TEXT: usize = 16 << 10;

fn bounded(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}

/// The type of the events of a hook: `StopFailure` gives `stop_failure`.
pub fn type_of_hook(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
