//! Tokens and their hashes.
//!
//! A token is 256 bits of chance, so its plain SHA-256 is as good as unreadable: nobody tries 2^256 of them, and the slow and
//! salted hashes that passwords need would only make each request slower. For the same reason only tokens that
//! [`fresh`] made belong into a configuration by their hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// What tokens begin with, so that people and scanners of secrets know one when they see it.
pub const PREFIX: &str = "psm_";
/// What their hashes begin with.
const HASH_PREFIX: &str = "sha256:";

/// A token of these random bits.
pub fn fresh(random: [u8; 32]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// A token that nobody has seen, from the system's source of chance.
pub fn random() -> anyhow::Result<String> {
    random_bits().map(fresh)
}

/// Bits that nobody has seen, from there.
pub fn random_bits() -> anyhow::Result<[u8; 32]> {
    let mut bits = [0; 32];
    let source = rustls::crypto::ring::default_provider().secure_random;
    source.fill(&mut bits).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(bits)
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// That of this token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads `sha256:` and 64 hexadecimal digits. The error does not hold the text.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        if text.starts_with(PREFIX) {
            return Err("this is a token, not its hash; if others could read it here, make another one");
        }
        let digits = text.strip_prefix(HASH_PREFIX);
        let mut hash = [0; 32];
        match digits.map(|digits| hex::decode_to_slice(digits, &mut hash)) {
            Some(Ok(())) => Ok(Self(hash)),
            _ => Err("not a hash; give `sha256:` and 64 hexadecimal digits, as `pointsman tokens new` prints them"),
        }
    }

    /// As the configuration has it.
    pub fn written(&self) -> String {
        format!("{HASH_PREFIX}{}", hex::encode(self.0))
    }

    /// Whether both are of the same token, in a time that does not depend on it.
    pub fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written_and_never_shown() {
        let token = fresh([7; 32]);
        assert_eq!((token.len(), token.starts_with("psm_")), (47, true));
        assert_ne!(token, fresh([8; 32]));
        let hash = TokenHash::of(&token);
        assert_eq!(TokenHash::read(&hash.written()), Ok(hash));
        assert_eq!(format!("{hash:?}"), "***");
        // `printf psm_x | sha256sum`
        let known = "sha256:6bcbd82f5d2eb3bc1e53fee3c8874c0a2d163f92d66fa3bdb9cb55264c503ef8";
        assert_eq!(TokenHash::of("psm_x").written(), known);
    }

    #[test]
    fn what_is_no_hash_is_refused_without_being_shown() {
        let check = |text: &str, expect: &str| {
            let error = TokenHash::read(text).unwrap_err();
            assert!(error.contains(expect) && !error.contains("secret"), "{error}");
        };
        check("psm_secret", "this is a token");
        check("secret", "not a hash");
        check("sha256:secret", "not a hash");
        check(&format!("sha256:{}", "a".repeat(62)), "not a hash");
        check(&format!("sha1:{}", "a".repeat(64)), "not a hash");
    }
}
