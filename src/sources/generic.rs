//! A source that the configuration describes: how its deliveries prove themselves, and where in them facts stand.
//!
//! What proves a delivery is never at hand to expressions, and what they cannot give refuses nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pointsman_actors::event::{Delivery, Facts, Header, Headers, Reading, SourceName};
use pointsman_actors::expression::{self, Expression};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::{Proof, Source};
use serde_json::{Value, json};

use super::secret::{Algorithm, Secret};
use super::signature::{self, Standard, StandardHeaders};
use super::{SourceSettings, body_hash, is_json, stored};

/// How a hash is written in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// In lower case.
    Hex,
    /// With padding (RFC 4648, section 4).
    Base64,
}

/// How deliveries prove themselves.
#[derive(Debug)]
pub enum Scheme {
    /// Standard Webhooks 1.0.0, in these headers.
    Standard(StandardHeaders),
    /// The HMAC of the raw body in a header, after a prefix.
    Hmac {
        /// The header, in lower case.
        header: String,
        /// What stands before it.
        prefix: String,
        /// Of what it is.
        algorithm: Algorithm,
        /// How it is written.
        encoding: Encoding,
    },
    /// The secret itself in a header, after a prefix.
    Token {
        /// The header, in lower case.
        header: String,
        /// What stands before it.
        prefix: String,
    },
}

/// What the configuration says of such a source.
#[derive(Debug)]
pub struct Recipe {
    /// How deliveries prove themselves.
    pub scheme: Scheme,
    /// The event's type; without it the source's name.
    pub event_type: Option<Expression>,
    /// The action within it.
    pub action: Option<Expression>,
    /// The delivery's id; without it that of Standard Webhooks, or the hash of the body.
    pub delivery_id: Option<Expression>,
    /// What it is about.
    pub subject: Option<Expression>,
    /// Keys by which waits recognise it, below the source's name.
    pub correlation_keys: Vec<Expression>,
    /// When the sender signed it: Unix seconds or milliseconds, or RFC 3339.
    pub timestamp: Option<Expression>,
    /// The headers that expressions name, as they write them.
    pub headers: Vec<String>,
}

impl Scheme {
    /// The headers that prove a delivery: no expression may see them.
    pub fn headers(&self) -> Vec<&str> {
        match self {
            Self::Standard(names) => vec![names.signature],
            Self::Hmac { header, .. } | Self::Token { header, .. } => vec![header],
        }
    }

    /// What a sender with this secret writes into the headers of a delivery.
    pub fn prove(&self, secret: &str, id: &str, now: Timestamp, body: &[u8]) -> Vec<(String, String)> {
        match self {
            Self::Standard(names) => {
                let seconds = now.seconds().to_string();
                let code = Secret::new(secret).sign_standard(&[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
                let signature = format!("v1,{}", STANDARD.encode(code));
                let written = [(names.id, id.to_owned()), (names.timestamp, seconds), (names.signature, signature)];
                written.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }
            Self::Hmac { header, prefix, algorithm, encoding } => {
                let code = Secret::new(secret).sign_with(*algorithm, body);
                let code = match encoding {
                    Encoding::Hex => hex::encode(code),
                    Encoding::Base64 => STANDARD.encode(code),
                };
                vec![(header.clone(), format!("{prefix}{code}"))]
            }
            Self::Token { header, prefix } => vec![(header.clone(), format!("{prefix}{secret}"))],
        }
    }
}

/// The source.
pub struct Generic {
    settings: SourceSettings,
    recipe: Arc<Recipe>,
    stored: Vec<String>,
}

impl Generic {
    /// The source with these settings and this recipe.
    pub fn new(settings: SourceSettings, recipe: Arc<Recipe>) -> Self {
        let mut stored: Vec<String> = ["user-agent", "content-type"].map(str::to_owned).into();
        if let Scheme::Standard(names) = &recipe.scheme {
            stored.extend([names.id.to_owned(), names.timestamp.to_owned()]);
        }
        stored.extend(recipe.headers.iter().map(|name| name.to_ascii_lowercase()));
        stored.sort();
        stored.dedup();
        Self { settings, recipe, stored }
    }

    /// What expressions see.
    fn variables(&self, delivery: &Delivery) -> Result<Value, Refusal> {
        let payload: Value = serde_json::from_slice(&delivery.body).map_err(|_| Refusal::NotJson)?;
        let text = |name: &String| Some((name.clone(), delivery.headers.text(&name.to_ascii_lowercase())?.to_owned()));
        let headers: BTreeMap<String, String> = self.recipe.headers.iter().filter_map(text).collect();
        Ok(json!({"payload": payload, "headers": headers}))
    }

    fn facts(&self, texts: &dyn Fn(&Expression) -> Vec<String>) -> Facts {
        let name = self.settings.name.as_str();
        let text = |expression: &Option<Expression>| {
            expression.as_ref().and_then(|found| texts(found).pop()).filter(|text| text.len() <= LONGEST_FACT)
        };
        let keys = self.recipe.correlation_keys.iter().flat_map(texts);
        Facts {
            event_type: text(&self.recipe.event_type).unwrap_or_else(|| name.to_owned()),
            action: text(&self.recipe.action),
            subject: text(&self.recipe.subject),
            // `'order:' ~ payload.id` of a payload without id is no key.
            correlation_keys: keys.filter(|key| !key.ends_with(':')).map(|key| format!("{name}:{key}")).collect(),
            ..Facts::default()
        }
    }

    /// A signed point in time must be there where the configuration names one: without it nothing is known to be new.
    fn is_new(&self, delivery: &Delivery, now: Timestamp) -> Result<(), Refusal> {
        let Some(timestamp) = &self.recipe.timestamp else { return Ok(()) };
        let variables = expression::variables(&self.variables(delivery)?);
        let value = timestamp.evaluate_to_json(&variables).map_err(|_| Refusal::TimestampInvalid)?;
        let signed = point_in_time(&value).ok_or(Refusal::TimestampInvalid)?;
        signature::within(signed, now, self.settings.timestamp_tolerance)
    }
}

impl Source for Generic {
    fn name(&self) -> &SourceName {
        &self.settings.name
    }

    fn inspect(&self, headers: &Headers) -> Result<(), Refusal> {
        if !self.settings.allow_unsigned {
            match &self.recipe.scheme {
                Scheme::Standard(names) => {
                    Standard::within(headers, names)?.map(|_| ()).ok_or(Refusal::SignatureMissing)?
                }
                Scheme::Hmac { header, prefix, algorithm, encoding } => {
                    code(headers, (header, prefix), *algorithm, *encoding).map(|_| ())?;
                }
                Scheme::Token { header, prefix } => after(headers, header, prefix).map(|_| ())?,
            }
        }
        if is_json(headers)? { Ok(()) } else { Err(Refusal::WrongContentType) }
    }

    fn authenticate(&self, delivery: &Delivery, now: Timestamp) -> Result<Proof, Refusal> {
        let SourceSettings { secrets, timestamp_tolerance, allow_unsigned, .. } = &self.settings;
        let (headers, body) = (&delivery.headers, &delivery.body);
        if *allow_unsigned {
            return Ok(Proof(None));
        }
        match &self.recipe.scheme {
            Scheme::Standard(names) => {
                let standard = Standard::within(headers, names)?.ok_or(Refusal::SignatureMissing)?;
                standard.verify(secrets, body, now, *timestamp_tolerance)
            }
            Scheme::Hmac { header, prefix, algorithm, encoding } => {
                let code = code(headers, (header, prefix), *algorithm, *encoding)?;
                let proof = secrets.prove(now, |secret| secret.signs_with(*algorithm, body, &code))?;
                self.is_new(delivery, now)?;
                Ok(proof)
            }
            Scheme::Token { header, prefix } => {
                let token = after(headers, header, prefix)?;
                secrets.prove(now, |secret| secret.is(token))
            }
        }
    }

    fn proved(&self, proof: Proof, at: Timestamp) {
        self.settings.secrets.note(proof, at);
    }

    fn read(&self, delivery: &Delivery) -> Result<Reading, Refusal> {
        let variables = expression::variables(&self.variables(delivery)?);
        let given = |expression: &Expression| match expression.evaluate_to_json(&variables) {
            Ok(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
            Ok(value) => scalar(&value).into_iter().collect(),
            Err(_) => Vec::new(),
        };
        let facts = self.facts(&given);
        let id = self.recipe.delivery_id.as_ref().and_then(|id| given(id).pop());
        let id = id.or_else(|| match &self.recipe.scheme {
            Scheme::Standard(names) => delivery.headers.text(names.id).map(str::to_owned),
            Scheme::Hmac { .. } | Scheme::Token { .. } => None,
        });
        let names: Vec<&str> = self.stored.iter().map(String::as_str).collect();
        Ok(Reading {
            redacted: 0,
            payload: delivery.body.clone(),
            delivery_id: id.filter(|id| id.len() <= LONGEST_FACT).unwrap_or_else(|| body_hash(&delivery.body)),
            hook: None,
            fingerprint: None,
            ignored: self.settings.ignores(&facts),
            headers: stored(&delivery.headers, &names),
            facts,
        })
    }

    fn headers(&self) -> Vec<&str> {
        self.stored.iter().map(String::as_str).chain(self.recipe.scheme.headers()).collect()
    }
}

/// What stands in a header after its prefix. Nothing is not enough.
fn after<'a>(headers: &'a Headers, name: &str, prefix: &str) -> Result<&'a str, Refusal> {
    match headers.get(name) {
        Header::Absent => Err(Refusal::SignatureMissing),
        Header::Ambiguous => Err(Refusal::SignatureInvalid),
        Header::Text(text) => {
            text.strip_prefix(prefix).filter(|rest| !rest.is_empty()).ok_or(Refusal::SignatureInvalid)
        }
    }
}

/// The code in a header: exactly as long as the algorithm makes it, and written in the one way that there is.
fn code(
    headers: &Headers,
    (header, prefix): (&str, &str),
    algorithm: Algorithm,
    encoding: Encoding,
) -> Result<Vec<u8>, Refusal> {
    let text = after(headers, header, prefix)?;
    let code = match encoding {
        Encoding::Hex if text.bytes().any(|byte| byte.is_ascii_uppercase()) => None,
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
    };
    code.filter(|code| code.len() == algorithm.length()).ok_or(Refusal::SignatureInvalid)
}

/// A text of what is one; no text is none.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What is longer is no type, subject or id, and would stand in every list.
const LONGEST_FACT: usize = 1_024;

/// What is less are seconds: as milliseconds it would be in March 1973.
const FIRST_MILLIS: u64 = 100_000_000_000;

fn point_in_time(value: &Value) -> Option<Timestamp> {
    let number = match value {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => match text.parse() {
            Ok(number) => number,
            Err(_) => return Timestamp::from_rfc3339(text),
        },
        _ => return None,
    };
    let millis = if number.unsigned_abs() < FIRST_MILLIS { number * 1_000 } else { number };
    Some(Timestamp::from_millis(millis))
}
