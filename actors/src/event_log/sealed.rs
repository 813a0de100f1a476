//! The form in which everything but events is stored: runs, journals, definitions.
//!
//! ```text
//! format 1:  1 │ crc32 of the rest │ JSON
//!           u8 │ u32, little-endian │
//! ```
//!
//! JSON, so that fields can be added without a new format and a record can be read with bare hands.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::Damage;

/// The format that is written.
const FORMAT: u8 = 1;

/// Encodes `value`.
pub fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>, Damage> {
    let json = serde_json::to_vec(value).map_err(|error| undecodable(&error))?;
    let mut sealed = Vec::with_capacity(json.len() + 5);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&crc32fast::hash(&json).to_le_bytes());
    sealed.extend_from_slice(&json);
    Ok(sealed)
}

/// Decodes what [`seal`] made.
pub fn open<T: DeserializeOwned>(sealed: &[u8]) -> Result<T, Damage> {
    let (format, rest) = sealed.split_first().ok_or(Damage::CutOff)?;
    let (checksum, json) = rest.split_first_chunk::<4>().ok_or(Damage::CutOff)?;
    match *format {
        FORMAT if crc32fast::hash(json) != u32::from_le_bytes(*checksum) => Err(Damage::Checksum),
        FORMAT => serde_json::from_slice(json).map_err(|error| undecodable(&error)),
        newer => Err(Damage::NewerFormat(newer)),
    }
}

fn undecodable(error: &serde_json::Error) -> Damage {
    Damage::Undecodable { part: "record", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_opened_and_damage_is_found() {
        let mut sealed = seal(&("a", 7)).unwrap();
        assert_eq!(open::<(String, u8)>(&sealed), Ok(("a".into(), 7)));
        assert_eq!(open::<u8>(&sealed[..3]), Err(Damage::CutOff));
        *sealed.last_mut().unwrap() ^= 1;
        assert_eq!(open::<(String, u8)>(&sealed), Err(Damage::Checksum));
        sealed[0] = 9;
        assert_eq!(open::<(String, u8)>(&sealed), Err(Damage::NewerFormat(9)));
    }

    #[test]
    fn the_first_format_is_still_read() {
        let stored = b"\x01\xaf\xac\x1b\x56{\"a\":1}";
        assert_eq!(open::<serde_json::Value>(stored), Ok(serde_json::json!({"a": 1})));
    }
}
