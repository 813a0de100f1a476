//! Where a JSON pointer (RFC 6901) leads to in a text. Pure.

use std::fmt;
use std::ops::Range;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A pointer such as `/client_payload/token`; `*` stands for every member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads one.
    pub fn read(text: &str) -> Option<Self> {
        let parts: Vec<String> =
            text.strip_prefix('/')?.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
        (!parts.iter().any(String::is_empty)).then_some(Self(parts))
    }

    /// Where the values that it leads to stand in a text of JSON, in order.
    pub fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if let Ok(whole) = serde_json::from_str::<&RawValue>(text) {
            follow(whole, &self.0, &mut found);
        }
        let begin = text.as_ptr().addr();
        let place = |value: &&RawValue| {
            let at = value.get().as_ptr().addr() - begin;
            at..at + value.get().len()
        };
        let mut places: Vec<Range<usize>> = found.iter().map(place).collect();
        places.sort_by_key(|place| place.start);
        places
    }
}

fn follow<'a>(value: &'a RawValue, parts: &[String], found: &mut Vec<&'a RawValue>) {
    let Some((part, rest)) = parts.split_first() else { return found.push(value) };
    for (name, member) in members(value) {
        if part == "*" || *part == name {
            follow(member, rest, found);
        }
    }
}

/// The members of an object by name, of a list by number.
fn members(value: &RawValue) -> Vec<(String, &RawValue)> {
    let text = value.get();
    if text.starts_with('{') {
        return serde_json::from_str(text).map(|Members(members)| members).unwrap_or_default();
    }
    let members: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    members.into_iter().enumerate().map(|(number, member)| (number.to_string(), member)).collect()
}

/// All members of an object, also those that have the same name: readers take one of them, and all are kept.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_values_wherever_they_stand() {
        let text = r#"{ "a": { "b/c": [ "x", {"t": 7} , {"t":"y"} ] }, "\u0061\u0062": null, "ab":2 }"#;
        let check = |pointer: &str, expect: &[&str]| {
            let found = Pointer::read(pointer).unwrap().find(text);
            assert_eq!(found.into_iter().map(|place| &text[place]).collect::<Vec<_>>(), expect, "{pointer}");
        };
        check("/a/b~1c/0", &["\"x\""]);
        check("/a/b~1c/*/t", &["7", "\"y\""]);
        check("/a/b~1c/1", &["{\"t\": 7}"]);
        check("/ab", &["null", "2"]);
        check("/nowhere/else", &[]);
        check("/a/b~1c/0/deeper", &[]);
        for wrong in ["", "a", "/", "/a//b"] {
            assert_eq!(Pointer::read(wrong), None, "{wrong}");
        }
    }
}
