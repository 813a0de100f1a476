//! A Bloom filter in blocks of one cache line: says "surely not" of most keys without a look at the
//! tree. Its bits are stored, so the form must not change with a library's version; hence our own.

use pointsman_actors::deduplicator::fingerprint::Key;

/// Bits in a block: one cache line.
const BLOCK_BITS: u64 = 512;
/// Bits set for a key, all in one block.
const PROBES: u32 = 8;
/// Bits spent for a key; with 8 probes in one block about one look-up in five hundred is in vain.
const BITS_PER_KEY: usize = 16;

/// A filter for a number of keys that is known when it is made.
#[derive(Clone)]
pub struct Filter(Vec<u64>);

impl Filter {
    /// An empty filter for about `keys` keys.
    pub fn for_keys(keys: usize) -> Self {
        let words = (keys * BITS_PER_KEY).div_ceil(64).next_multiple_of(8).max(8);
        Self(vec![0; words])
    }

    /// Adds a key.
    pub fn add(&mut self, key: &Key) {
        for (word, bit) in positions(key, self.0.len()) {
            if let Some(word) = self.0.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Whether the key may have been added; `false` is certain.
    pub fn may_hold(&self, key: &Key) -> bool {
        positions(key, self.0.len()).all(|(word, bit)| self.0.get(word).is_some_and(|word| word & bit != 0))
    }

    /// The bits, to be stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Back from stored bits; `None` if they cannot be a filter's.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let fits = rest.is_empty() && !words.is_empty() && words.len().is_multiple_of(8);
        fits.then(|| Self(words.iter().map(|word| u64::from_le_bytes(*word)).collect()))
    }
}

/// The words and bits of a key. A key is already a hash: its first half picks the block, the second
/// the bits in it.
fn positions(key: &Key, words: usize) -> impl Iterator<Item = (usize, u64)> + use<> {
    let whole = u128::from_be_bytes(key.0);
    let (high, low) = ((whole >> 64) as u64, whole as u64);
    let blocks = (words as u64 * 64) / BLOCK_BITS;
    let block = ((u128::from(high) * u128::from(blocks)) >> 64) as u64;
    (0..PROBES).map(move |probe| {
        // Nine bits for each probe, from a walk that visits all of `low`.
        let bit = low.rotate_left(probe * 9).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - 9);
        let word = block * (BLOCK_BITS / 64) + bit / 64;
        (word as usize, 1 << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn key(number: u32) -> Key {
        let digest = Sha256::digest(number.to_be_bytes());
        Key(digest[..16].try_into().unwrap())
    }

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let mut filter = Filter::for_keys(65_536);
        (0..65_536).for_each(|number| filter.add(&key(number)));
        assert!((0..65_536).all(|number| filter.may_hold(&key(number))));
        let in_vain = (65_536..165_536).filter(|number| filter.may_hold(&key(*number))).count();
        assert!(in_vain < 500, "{in_vain} of 100,000");
    }

    #[test]
    fn bits_come_back_from_the_store() {
        let mut filter = Filter::for_keys(100);
        filter.add(&key(1));
        let back = Filter::from_bytes(&filter.to_bytes()).unwrap();
        assert!(back.may_hold(&key(1)) && !back.may_hold(&key(2)));
        assert!(Filter::from_bytes(b"odd").is_none() && Filter::from_bytes(b"").is_none());
    }
}
