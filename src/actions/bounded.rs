//! What others say, as text that fits into a journal. Pure.

/// The beginning of what was said, at most `limit` bytes.
pub fn first(said: &[u8], limit: usize) -> String {
    let mut text = String::from_utf8_lossy(said).into_owned();
    // What is no text takes more room as one.
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// The end of what was said, at most `limit` bytes.
pub fn last(said: &[u8], limit: usize) -> String {
    let mut text = String::from_utf8_lossy(said).into_owned();
    text.drain(..text.ceil_char_boundary(text.len().saturating_sub(limit)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_cut_between_characters() {
        assert_eq!((first(b"abc", 2), last(b"abc", 2)), ("ab".into(), "bc".into()));
        assert_eq!((first("üü".as_bytes(), 3), last("üü".as_bytes(), 3)), ("ü".into(), "ü".into()));
        assert_eq!((first(b"a", 9), last(b"a", 9), last(b"", 9)), ("a".into(), "a".into(), String::new()));
        assert_eq!(first(&[0xff; 8], 8).len(), 6, "two of the characters that stand for what is none");
    }
}
