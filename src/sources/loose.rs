//! Reading foreign JSON without trusting its shape: a field that is missing, or of another kind than
//! expected, is absent; only what is not JSON is an error. Values are borrowed where they can be.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

/// A text, or a number as one, or nothing: senders write ids as either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Id(pub Option<String>);

/// A whole number that is not negative, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number(pub Option<u64>);

/// True or false; anything else is false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(pub bool);

/// An object, or nothing.
#[derive(Clone, Debug)]
pub struct Object<T>(pub Option<T>);

/// The first element of a list of objects, or nothing.
#[derive(Clone, Debug)]
pub struct First<T>(pub Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl Text<'_> {
    /// The text; empty if there is none.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// The text, if it is there and not empty.
    pub fn owned(&self) -> Option<String> {
        self.0.as_deref().filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

impl Id {
    /// The id, if it is there and not empty.
    pub fn owned(&self) -> Option<String> {
        self.0.clone().filter(|id| !id.is_empty())
    }
}

impl<T> Object<T> {
    /// A field of the object, if there is one.
    pub fn get<'s, U: 's>(&'s self, field: impl FnOnce(&'s T) -> Option<U>) -> Option<U> {
        self.0.as_ref().and_then(field)
    }
}

/// A visitor that takes every kind of value; `$wanted` are the kinds that mean something.
macro_rules! lenient {
    ($visitor:ty, $lt:lifetime, $value:ty, { $($wanted:item)* }, { $($unwanted:ident),* }) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("anything")
        }
        $($wanted)*
        $(lenient!(@ $unwanted $lt $value);)*
    };
    (@ bool $lt:lifetime $value:ty) => { fn visit_bool<E>(self, _: bool) -> Result<$value, E> { Ok(Default::default()) } };
    (@ i64 $lt:lifetime $value:ty) => { fn visit_i64<E>(self, _: i64) -> Result<$value, E> { Ok(Default::default()) } };
    (@ u64 $lt:lifetime $value:ty) => { fn visit_u64<E>(self, _: u64) -> Result<$value, E> { Ok(Default::default()) } };
    (@ f64 $lt:lifetime $value:ty) => { fn visit_f64<E>(self, _: f64) -> Result<$value, E> { Ok(Default::default()) } };
    (@ str $lt:lifetime $value:ty) => { fn visit_str<E>(self, _: &str) -> Result<$value, E> { Ok(Default::default()) } };
    (@ unit $lt:lifetime $value:ty) => { fn visit_unit<E>(self) -> Result<$value, E> { Ok(Default::default()) } };
    (@ seq $lt:lifetime $value:ty) => {
        fn visit_seq<A: SeqAccess<$lt>>(self, mut list: A) -> Result<$value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
    (@ map $lt:lifetime $value:ty) => {
        fn visit_map<A: MapAccess<$lt>>(self, mut map: A) -> Result<$value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;
    lenient!(TextVisitor, 'de, Text<'de>, {
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
            Ok(Text(Some(Cow::Borrowed(text))))
        }
        fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
            Ok(Text(Some(Cow::Owned(text.to_owned()))))
        }
    }, { bool, i64, u64, f64, unit, seq, map });
}

struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = Id;
    lenient!(IdVisitor, 'de, Id, {
        fn visit_str<E>(self, text: &str) -> Result<Id, E> {
            Ok(Id(Some(text.to_owned())))
        }
        fn visit_u64<E>(self, number: u64) -> Result<Id, E> {
            Ok(Id(Some(number.to_string())))
        }
    }, { bool, i64, f64, unit, seq, map });
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;
    lenient!(NumberVisitor, 'de, Number, {
        fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
            Ok(Number(Some(number)))
        }
    }, { bool, i64, f64, str, unit, seq, map });
}

struct FlagVisitor;

impl<'de> Visitor<'de> for FlagVisitor {
    type Value = Flag;
    lenient!(FlagVisitor, 'de, Flag, {
        fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
            Ok(Flag(flag))
        }
    }, { i64, u64, f64, str, unit, seq, map });
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;
    lenient!(ObjectVisitor, 'de, Object<T>, {
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(|object| Object(Some(object)))
        }
    }, { bool, i64, u64, f64, str, unit, seq });
}

struct FirstVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FirstVisitor<T> {
    type Value = First<T>;
    lenient!(FirstVisitor, 'de, First<T>, {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T>, A::Error> {
            let first = list.next_element::<Object<T>>()?;
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(First(first.and_then(|object| object.0)))
        }
    }, { bool, i64, u64, f64, str, unit, map });
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NumberVisitor)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FlagVisitor)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ObjectVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FirstVisitor(PhantomData))
    }
}

/// Reads `json` as an object of the shape `T`. `Ok(None)` is valid JSON of another kind: not an
/// object, with a key twice, or nested deeper than anything that a provider sends.
///
/// # Errors
/// When it is not JSON in UTF-8.
pub fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<Option<T>, NotJson> {
    let text = std::str::from_utf8(json).map_err(|_| NotJson)?;
    match serde_json::from_str::<Object<T>>(text) {
        Ok(object) => Ok(object.0),
        // `IgnoredAny` is read without recursion, so that depth is no excuse.
        Err(_) => serde_json::from_str::<IgnoredAny>(text).map(|_| None).map_err(|_| NotJson),
    }
}

/// The bytes are not JSON in UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub struct NotJson;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, Default)]
    #[serde(default)]
    struct Sample<'a> {
        #[serde(borrow)]
        action: Text<'a>,
        number: Number,
        draft: Flag,
        #[serde(borrow)]
        user: Object<User<'a>>,
        #[serde(borrow)]
        list: First<User<'a>>,
    }

    #[derive(Deserialize, Debug, Default)]
    #[serde(default)]
    struct User<'a> {
        #[serde(borrow)]
        login: Text<'a>,
    }

    fn sample(json: &str) -> Sample<'_> {
        read(json.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn what_has_another_kind_is_absent() {
        for value in ["5", "-5", "1.5", "null", "true", "[1,[2]]", "{\"a\":{\"b\":1}}", "\"text\""] {
            let json = format!(
                r#"{{"action":{value},"number":{value},"draft":{value},"user":{value},"list":{value},"x":{value}}}"#
            );
            let read = sample(&json);
            assert_eq!(read.action.owned(), (value == "\"text\"").then(|| "text".to_owned()), "{value}");
            assert_eq!(read.number.0, (value == "5").then_some(5), "{value}");
            assert_eq!(read.draft.0, value == "true", "{value}");
            assert_eq!(read.user.0.is_some(), value.starts_with('{'), "{value}");
            assert!(read.list.0.is_none(), "{value}");
        }
    }

    #[test]
    fn what_has_the_right_kind_is_read() {
        let read = sample(r#"{"action":"a\u00e9","user":{"login":"x"},"list":[{"login":"first"},{"login":2}]}"#);
        assert_eq!((read.action.as_str(), read.user.get(|user| user.login.owned())), ("aé", Some("x".into())));
        assert_eq!(read.list.0.unwrap().login.as_str(), "first");
    }

    #[test]
    fn only_what_is_not_json_is_refused() {
        let deep = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
        let nested = format!(r#"{{"number":5,"action":{}}}"#, deep(100_000));
        assert_eq!(sample(&nested).number.0, Some(5));
        let other = ["[1]", "5", r#"{"action":"a","action":"b"}"#, &deep(100_000)];
        for json in other {
            assert!(matches!(read::<Sample<'_>>(json.as_bytes()), Ok(None)), "{}", &json[..json.len().min(40)]);
        }
        let unbalanced = deep(100_000);
        let broken: [&[u8]; 6] = [b"", b"{", b"{} x", b"{\"a\":1,}", b"\"\xff\"", &unbalanced.as_bytes()[1..]];
        for json in broken {
            assert_eq!(read::<Sample<'_>>(json).unwrap_err(), NotJson);
        }
    }
}
