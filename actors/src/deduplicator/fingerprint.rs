//! The keys by which a delivery and an occurrence are recognised again.
//!
//! A key is 128 bits of SHA-256 over its parts, each with its length before it, so that no two
//! lists of parts run into each other. The store compares keys and never sees the parts.

use sha2::{Digest, Sha256};

use crate::event::{Fingerprint, SourceName};
use crate::ids::first_16;

/// What a claim is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 16]);

/// Which hook a delivery came through. A delivery that names no hook has the hook "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookKey(pub u64);

/// The key of a delivery: its source and the id that the provider gave it.
pub fn delivery(source: &SourceName, delivery_id: &str) -> Key {
    key(b"delivery", source, [delivery_id].into_iter())
}

/// The key of an occurrence.
pub fn occurrence(source: &SourceName, fingerprint: &Fingerprint) -> Key {
    key(b"occurrence", source, fingerprint.0.iter().map(String::as_str))
}

/// The key of a hook.
pub fn hook(id: Option<&str>) -> HookKey {
    let Some(id) = id else { return HookKey(0) };
    let [a, b, c, d, e, f, g, h, ..] = first_16(&Sha256::digest(id.as_bytes()));
    HookKey(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

fn key<'a>(kind: &[u8], source: &SourceName, parts: impl Iterator<Item = &'a str>) -> Key {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    };
    add(kind);
    add(source.as_str().as_bytes());
    for part in parts {
        add(part.as_bytes());
    }
    Key(first_16(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[&str]) -> Fingerprint {
        Fingerprint(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    #[test]
    fn keys_differ_by_kind_source_and_every_part() {
        let (github, linear) = (SourceName::new("github"), SourceName::new("linear"));
        let all = [
            delivery(&github, "a"),
            delivery(&linear, "a"),
            delivery(&github, "b"),
            occurrence(&github, &parts(&["a"])),
            occurrence(&github, &parts(&["a", ""])),
            occurrence(&github, &parts(&["ab", "c"])),
            occurrence(&github, &parts(&["a", "bc"])),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(delivery(&github, "a"), all[0]);
    }

    #[test]
    fn no_hook_id_is_one_hook() {
        assert_eq!(hook(None), hook(None));
        assert_ne!(hook(None), hook(Some("1")));
        assert_ne!(hook(Some("1")), hook(Some("2")));
    }
}
