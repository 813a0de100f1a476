//! How senders prove who they are: a hex HMAC in a header, or Standard Webhooks 1.0.0.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pointsman_actors::event::{Header, Headers};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::Proof;

use super::keyring::Keyring;

/// The header of GitHub's signature.
pub const GITHUB: &str = "x-hub-signature-256";
/// The header of Linear's.
pub const LINEAR: &str = "linear-signature";

/// The 32 bytes of `hex` in lower case after `prefix`: exactly as the provider writes it.
pub fn code_in(headers: &Headers, name: &str, prefix: &str) -> Result<[u8; 32], Refusal> {
    match headers.get(name) {
        Header::Absent => Err(Refusal::SignatureMissing),
        Header::Ambiguous => Err(Refusal::SignatureInvalid),
        Header::Text(text) => {
            let digits = text.strip_prefix(prefix).ok_or(Refusal::SignatureInvalid)?;
            if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(Refusal::SignatureInvalid);
            }
            let mut code = [0; 32];
            hex::decode_to_slice(digits, &mut code).map_err(|_| Refusal::SignatureInvalid)?;
            Ok(code)
        }
    }
}

/// Which secret that is valid now signed `body`.
pub fn verify(secrets: &Keyring, body: &[u8], code: &[u8], now: Timestamp) -> Result<Proof, Refusal> {
    secrets.prove(now, |secret| secret.signs(body, code))
}

/// What the headers of Standard Webhooks are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardHeaders {
    /// The delivery's id, the same on every retry.
    pub id: &'static str,
    /// When this attempt was made, in Unix seconds.
    pub timestamp: &'static str,
    /// The signatures.
    pub signature: &'static str,
}

impl StandardHeaders {
    /// As the specification has them.
    pub const WEBHOOK: Self = Self { id: "webhook-id", timestamp: "webhook-timestamp", signature: "webhook-signature" };
    /// As Svix has them, from whom the specification comes.
    pub const SVIX: Self = Self { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" };

    /// Those with this signature.
    pub fn signed_in(signature: &str) -> Option<Self> {
        [Self::WEBHOOK, Self::SVIX].into_iter().find(|names| names.signature == signature)
    }
}

/// What the headers of Standard Webhooks say.
pub struct Standard<'a> {
    id: &'a str,
    timestamp: &'a str,
    signatures: &'a str,
}

impl<'a> Standard<'a> {
    /// The header that says a delivery is signed in this way.
    pub const SIGNATURE: &'static str = StandardHeaders::WEBHOOK.signature;
    /// The delivery's id, the same on every retry.
    pub const ID: &'static str = StandardHeaders::WEBHOOK.id;
    /// When this attempt was made, in Unix seconds.
    pub const TIMESTAMP: &'static str = StandardHeaders::WEBHOOK.timestamp;

    /// The headers, if the delivery is signed in this way.
    pub fn of(headers: &'a Headers) -> Result<Option<Self>, Refusal> {
        Self::within(headers, &StandardHeaders::WEBHOOK)
    }

    /// The same, where the headers have these names.
    pub fn within(headers: &'a Headers, names: &StandardHeaders) -> Result<Option<Self>, Refusal> {
        let signatures = match headers.get(names.signature) {
            Header::Absent => return Ok(None),
            Header::Ambiguous => return Err(Refusal::SignatureInvalid),
            Header::Text(text) => text,
        };
        let id = headers.text(names.id).ok_or(Refusal::BadHeader(names.id))?;
        let timestamp = headers.text(names.timestamp).ok_or(Refusal::BadHeader(names.timestamp))?;
        Ok(Some(Self { id, timestamp, signatures }))
    }

    /// Proves the signature over `id.timestamp.body`, then that the timestamp is within `tolerance`.
    /// One right `v1` entry of the list is enough; other versions are passed over.
    pub fn verify(
        &self,
        secrets: &Keyring,
        body: &[u8],
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<Proof, Refusal> {
        let parts = [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", body];
        let codes = self.signatures.split(' ').filter_map(|entry| entry.strip_prefix("v1,"));
        let codes: Vec<Vec<u8>> = codes.filter_map(|code| STANDARD.decode(code).ok()).collect();
        let proof = secrets.prove(now, |secret| codes.iter().any(|code| secret.signs_standard(&parts, code)))?;
        let seconds: i64 = self.timestamp.parse().map_err(|_| Refusal::TimestampInvalid)?;
        within(Timestamp::from_millis(seconds.saturating_mul(1000)), now, tolerance)?;
        Ok(proof)
    }
}

/// Whether a signed point in time is close enough to now, before or after.
pub fn within(signed: Timestamp, now: Timestamp, tolerance: Duration) -> Result<(), Refusal> {
    if signed.distance(now) <= tolerance { Ok(()) } else { Err(Refusal::TimestampOutsideTolerance) }
}
