//! The strings in a text of JSON, with what their escapes stand for. All else of the text stays byte for byte. Pure.
//!
//! Rule: RFC 8259, section 7. The text has been read as JSON before, so that it is well-formed is not looked at again.

use std::borrow::Cow;

/// Which strings are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those that mean something else than what stands there.
    Escaped,
}

/// A text with some of its strings changed.
pub fn rewrite(text: &str, which: Which, mut change: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let (mut made, mut copied, mut at) = (String::new(), 0, 0);
    while let Some((begin, end)) = next(text, at, which) {
        at = end + 1;
        let raw = text.get(begin..end).unwrap_or_default();
        if let Some(changed) = change(&meaning(raw)) {
            made.push_str(text.get(copied..begin).unwrap_or_default());
            let written = serde_json::to_string(&changed).unwrap_or_default();
            made.push_str(written.get(1..written.len().saturating_sub(1)).unwrap_or_default());
            copied = end;
        }
    }
    if copied == 0 {
        return None;
    }
    made.push_str(text.get(copied..).unwrap_or_default());
    Some(made)
}

/// Where the inside of the next string begins and ends, from `at` on, which is outside of any.
fn next(text: &str, at: usize, which: Which) -> Option<(usize, usize)> {
    let rest = text.get(at..)?;
    let quote = match which {
        Which::All => rest.find('"')?,
        // Backslashes are in strings only, and before its first one there is no quote in a string but that at its begin.
        Which::Escaped => rest.get(..rest.find('\\')?)?.rfind('"')?,
    };
    let begin = at + quote + 1;
    let mut end = begin;
    loop {
        let rest = text.get(end..)?;
        let found = rest.find(['"', '\\'])?;
        if rest.as_bytes().get(found) == Some(&b'"') {
            return Some((begin, end + found));
        }
        // What is escaped is ASCII, and no end.
        end += found + 2;
    }
}

/// What a string says. Half of a pair of surrogates, which says nothing, becomes U+FFFD.
fn meaning(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let (mut said, mut rest) = (String::with_capacity(raw.len()), raw);
    while let Some(at) = rest.find('\\') {
        said.push_str(rest.get(..at).unwrap_or_default());
        let escape = rest.get(at + 1..).unwrap_or_default();
        let (letter, length) = escaped(escape);
        said.push(letter);
        rest = escape.get(length..).unwrap_or_default();
    }
    said.push_str(rest);
    Cow::Owned(said)
}

/// What an escape stands for, and how long it is behind its backslash.
fn escaped(escape: &str) -> (char, usize) {
    let plain = match escape.as_bytes().first() {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return of_unit(escape),
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (plain, 1)
}

fn of_unit(escape: &str) -> (char, usize) {
    let unit = |from: usize| u16::from_str_radix(escape.get(from..from + 4)?, 16).ok();
    let first = unit(1).unwrap_or(0xd800);
    let second = (escape.get(5..7) == Some("\\u")).then(|| unit(7)).flatten();
    // A pair is one character; a unit alone may be.
    let pair = char::decode_utf16([first].into_iter().chain(second)).next().and_then(Result::ok);
    match pair {
        Some(letter) if letter > '\u{ffff}' => (letter, 11),
        Some(letter) => (letter, 5),
        None => (char::REPLACEMENT_CHARACTER, 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_seen_as_they_are_meant_and_the_rest_stays_as_it_is() {
        let check = |text: &str, seen: &[&str]| {
            let mut found = Vec::new();
            assert_eq!(
                rewrite(text, Which::All, |said| {
                    found.push(said.to_owned());
                    None
                }),
                None
            );
            assert_eq!(found, seen, "{text}");
        };
        check("7", &[]);
        check(r#"{"a": 1.0, "b":["c",null]}"#, &["a", "b", "c"]);
        check(r#""\u0067hp\u005f \/ \\ \" \n""#, &["ghp_ / \\ \" \n"]);
        check(r#"["\\", "\\\""]"#, &["\\", "\\\""]);
        check(r#""\ud83d\ude00 \ud83dx \ude00 é""#, &["😀 \u{fffd}x \u{fffd} é"]);
    }

    #[test]
    fn those_that_are_escaped_are_found_between_the_others() {
        let mut found = Vec::new();
        let text = r#"["a", "b\n", "c", {"d\\": "\"", "e": "f"}, "\u0067"]"#;
        let seen = rewrite(text, Which::Escaped, |said| {
            found.push(said.to_owned());
            None
        });
        assert_eq!((seen, found.as_slice()), (None, &["b\n", "d\\", "\"", "g"].map(str::to_owned)[..]));
        assert_eq!(rewrite(r#"["a", 1]"#, Which::Escaped, |_| Some(String::new())), None);
    }

    #[test]
    fn what_changes_is_written_as_json_again() {
        let upper = |said: &str| (said.starts_with('x')).then(|| said.to_uppercase());
        let text = "{ \"x\\u0079\" : [1.50, \"xé\\n\"],\n\"z\":\"a\" }";
        assert_eq!(rewrite(text, Which::All, upper).unwrap(), "{ \"XY\" : [1.50, \"XÉ\\n\"],\n\"z\":\"a\" }");
    }
}
