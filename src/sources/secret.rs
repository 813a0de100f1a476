//! Secrets of senders: kept keyed and ready, never printed.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// What an HMAC is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Some senders know no better; as an HMAC it still holds (RFC 6194).
    Sha1,
    /// The usual one.
    Sha256,
    /// The longest.
    Sha512,
}

impl Algorithm {
    /// Bytes of a code.
    pub fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// One secret of a source.
#[derive(Clone)]
pub struct Secret {
    /// The keyed state, so that a delivery only hashes its own bytes.
    keyed: Hmac<Sha256>,
    /// The state keyed for Standard Webhooks, whose secrets are written in base64 after `whsec_`.
    standard: Hmac<Sha256>,
    /// The states keyed for the other algorithms that a source may ask for.
    sha1: Hmac<Sha1>,
    sha512: Hmac<Sha512>,
    /// For bearer tokens: comparing hashes of equal length in constant time tells nothing of the token.
    digest: [u8; 32],
    /// What people may see, to tell one from another.
    fingerprint: Option<String>,
}

impl Secret {
    /// The secret `text`, as the sender was given it.
    pub fn new(text: &str) -> Self {
        let standard = text.strip_prefix("whsec_").and_then(decode_base64);
        let standard = standard.filter(|key| !key.is_empty()).unwrap_or_else(|| text.as_bytes().to_vec());
        Self {
            keyed: keyed(text.as_bytes()),
            standard: keyed(&standard),
            sha1: keyed(text.as_bytes()),
            sha512: keyed(text.as_bytes()),
            digest: Sha256::digest(text).into(),
            fingerprint: fingerprint(text),
        }
    }

    /// Eight hex digits that tell it from another one; none of a short secret.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Whether a secret that is written as Standard Webhooks writes them can be read.
    pub fn is_usable(text: &str) -> bool {
        text.strip_prefix("whsec_").is_none_or(|key| decode_base64(key).is_some_and(|key| !key.is_empty()))
    }

    /// Whether `code` is the HMAC-SHA256 of `bytes`, compared in constant time.
    pub fn signs(&self, bytes: &[u8], code: &[u8]) -> bool {
        self.keyed.clone().chain_update(bytes).verify_slice(code).is_ok()
    }

    /// The same with an algorithm that the source asks for.
    pub fn signs_with(&self, algorithm: Algorithm, bytes: &[u8], code: &[u8]) -> bool {
        match algorithm {
            Algorithm::Sha1 => self.sha1.clone().chain_update(bytes).verify_slice(code).is_ok(),
            Algorithm::Sha256 => self.signs(bytes, code),
            Algorithm::Sha512 => self.sha512.clone().chain_update(bytes).verify_slice(code).is_ok(),
        }
    }

    /// The code of `bytes` with such an algorithm, for whoever sends.
    pub fn sign_with(&self, algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
        match algorithm {
            Algorithm::Sha1 => self.sha1.clone().chain_update(bytes).finalize().into_bytes().to_vec(),
            Algorithm::Sha256 => self.sign(bytes).to_vec(),
            Algorithm::Sha512 => self.sha512.clone().chain_update(bytes).finalize().into_bytes().to_vec(),
        }
    }

    /// The same with the key of Standard Webhooks.
    pub fn signs_standard(&self, parts: &[&[u8]], code: &[u8]) -> bool {
        let mut mac = self.standard.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.verify_slice(code).is_ok()
    }

    /// Whether the other was made of the same text.
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest.ct_eq(&other.digest).into()
    }

    /// Whether `token` is the secret itself.
    pub fn is(&self, token: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(token).into();
        self.digest.ct_eq(&given).into()
    }

    /// The HMAC-SHA256 of these parts with the key of Standard Webhooks, for whoever sends.
    pub fn sign_standard(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.standard.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// Whether this is a secret as Standard Webhooks wants one: `whsec_` and the base64 of 24 to 64 bytes.
    pub fn is_standard(text: &str) -> bool {
        let key = text.strip_prefix("whsec_").and_then(decode_base64);
        key.is_some_and(|key| (24..=64).contains(&key.len()))
    }

    /// The HMAC-SHA256 of `bytes`, for whoever sends.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        self.keyed.clone().chain_update(bytes).finalize().into_bytes().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// HMAC takes keys of any length (RFC 2104): longer than a block they are hashed first.
fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).unwrap_or_else(|_| M::new(&Default::default()))
}

/// From here on a secret is taken for random: 32 hex digits are 128 bits.
const LONG: usize = 32;

/// Of a random secret 32 bits of a hash tell nothing that helps to find it. Whoever made up a short one himself would
/// have given whoever sees the fingerprint something to hold guesses against, so there is none.
fn fingerprint(text: &str) -> Option<String> {
    let digest = Sha256::new_with_prefix("pointsman: fingerprint of a secret\n").chain_update(text).finalize();
    (text.len() >= LONG).then(|| digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
