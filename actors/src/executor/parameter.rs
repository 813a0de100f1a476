//! What a step may hand to its action: kinds of values, what is wrong with one, and what a definition has
//! written out before any template is filled in. Pure.
//!
//! What is wrong with a list or a table is said without what stands in it: there are headers and
//! environments among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::workflow::recipe;

/// What a parameter may be. What a definition writes out is checked when it is loaded, what its templates
/// give when they have been filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// A text that is not empty, or a number as one.
    Text,
    /// A text, also none.
    OptionalText,
    /// A whole number, also as a text.
    Number,
    /// True or false, also as a text.
    Flag,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list of such values.
    ListOf(&'static Accepts),
    /// A table of such values.
    TableOf(&'static Accepts),
    /// Any value, also none.
    Anything,
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The parameter, and with dots what in it; the items of a list are counted from 1.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl Misfit {
    /// The value of `key` cannot be used because of `reason`.
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), reason: reason.into() }
    }
}

impl Accepts {
    /// What of `value`, which is that of `key`, cannot be used.
    pub fn misfits(self, key: &str, value: &Json) -> Vec<Misfit> {
        let mut found = Vec::new();
        self.look(key, value, |_| false, &mut found);
        found
    }

    /// The same of what a definition writes: what a template in it gives is not known yet.
    pub fn misfits_as_written(self, key: &str, value: &Json) -> Vec<Misfit> {
        let mut found = Vec::new();
        self.look(key, value, recipe::is_template, &mut found);
        found
    }

    fn look(self, key: &str, value: &Json, is_open: fn(&Json) -> bool, found: &mut Vec<Misfit>) {
        match (self, value) {
            _ if is_open(value) => {}
            (Self::Anything, _) => {}
            (Self::ListOf(each), Json::Array(items)) => {
                let items = (1..).zip(items);
                items.for_each(|(place, item)| each.look(&format!("{key}.{place}"), item, is_open, found));
            }
            (Self::TableOf(each), Json::Object(fields)) => {
                fields.iter().for_each(|(name, field)| each.look(&format!("{key}.{name}"), field, is_open, found));
            }
            _ if self.fits(value) => {}
            _ => found.push(Misfit::new(key, format!("expected {}, found {}", self.expected(), shown(value)))),
        }
    }

    /// Whether a single value can be used.
    fn fits(self, value: &Json) -> bool {
        let text = match value {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            Json::Null => return self == Self::OptionalText,
            Json::Bool(_) => return self == Self::Flag,
            Json::Array(_) | Json::Object(_) => return false,
        };
        match self {
            Self::Text => !text.is_empty(),
            Self::OptionalText | Self::Anything => true,
            Self::Number => text.trim().parse::<u64>().is_ok(),
            Self::Flag => text == "true" || text == "false",
            Self::OneOf(all) => all.contains(&text.as_str()),
            Self::ListOf(_) | Self::TableOf(_) => false,
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Text | Self::OptionalText => "a text".to_owned(),
            Self::Number => "a whole number".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::OneOf(all) => format!("one of {}", all.join(", ")),
            Self::ListOf(_) => "a list".to_owned(),
            Self::TableOf(_) => "a table".to_owned(),
            Self::Anything => "a value".to_owned(),
        }
    }
}

fn shown(value: &Json) -> String {
    match value {
        Json::Null => "nothing".to_owned(),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "a table".to_owned(),
        single => single.to_string().chars().take(80).collect(),
    }
}

/// A value that a step hands to its action under `with`.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub accepts: Accepts,
    /// The template that is used when the step does not name it; without one the step must. One that is a
    /// single expression gives any value: `{{ [] }}`, `{{ none }}`.
    pub default: Option<&'static str>,
}

/// What the definition of a step writes under `with`, with the defaults of its action and no template filled
/// in: what of it is fixed is the operator's word, whatever a payload says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written(Arc<BTreeMap<String, Json>>);

impl Written {
    /// What was written.
    pub fn new(with: BTreeMap<String, Json>) -> Self {
        Self(Arc::new(with))
    }

    /// The value of a parameter, templates and all.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// The value of a parameter, if there is no template in it.
    pub fn fixed(&self, name: &str) -> Option<&Json> {
        self.get(name).filter(|value| !recipe::has_templates(value))
    }

    /// The same, if it is a text.
    pub fn fixed_text(&self, name: &str) -> Option<&str> {
        self.fixed(name)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXTS: Accepts = Accepts::TableOf(&Accepts::Text);
    const NUMBERS: Accepts = Accepts::ListOf(&Accepts::Number);

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let check = |accepts: Accepts, value: Json, expect: &[&str]| {
            let found = accepts.misfits("p", &value);
            let said: Vec<String> = found.iter().map(|misfit| format!("{}: {}", misfit.key, misfit.reason)).collect();
            assert_eq!(said, expect, "{accepts:?} {value}");
        };
        check(Accepts::Text, json!("x"), &[]);
        check(Accepts::Text, json!(7), &[]);
        check(Accepts::Text, json!(""), &["p: expected a text, found \"\""]);
        check(Accepts::Text, json!(["x"]), &["p: expected a text, found a list"]);
        check(Accepts::OptionalText, json!(null), &[]);
        check(Accepts::Number, json!(null), &["p: expected a whole number, found nothing"]);
        check(Accepts::Number, json!("12"), &[]);
        check(Accepts::Flag, json!("true"), &[]);
        check(Accepts::Flag, json!(false), &[]);
        check(Accepts::Flag, json!("yes"), &["p: expected true or false, found \"yes\""]);
        check(Accepts::Text, json!(true), &["p: expected a text, found true"]);
        check(Accepts::OneOf(&["a", "b"]), json!("c"), &["p: expected one of a, b, found \"c\""]);
        check(NUMBERS, json!([200, "201"]), &[]);
        check(NUMBERS, json!([200, "x"]), &["p.2: expected a whole number, found \"x\""]);
        check(NUMBERS, json!(200), &["p: expected a list, found 200"]);
        check(TEXTS, json!({"a": "x", "b": 1}), &[]);
        check(
            TEXTS,
            json!({"a": ["secret"], "b": null}),
            &["p.a: expected a text, found a list", "p.b: expected a text, found nothing"],
        );
        check(TEXTS, json!(["x"]), &["p: expected a table, found a list"]);
        check(Accepts::Anything, json!({"a": [null]}), &[]);
    }

    #[test]
    fn what_a_template_gives_is_not_known_before_it_is_filled_in() {
        let table = json!({"a": "{{ input.a }}", "b": []});
        assert_eq!(TEXTS.misfits_as_written("p", &table), [Misfit::new("p.b", "expected a text, found a list")]);
        assert_eq!(NUMBERS.misfits_as_written("p", &json!("{{ input.codes }}")), []);
        assert_eq!(NUMBERS.misfits("p", &json!("{{ input.codes }}")).len(), 1, "one that came from outside is a text");
    }

    #[test]
    fn what_has_a_template_anywhere_is_not_fixed() {
        let with = json!({"a": "x", "b": ["{{ input.b }}"], "c": {"d": [1]}});
        let written = Written::new(serde_json::from_value(with).unwrap());
        assert_eq!((written.fixed_text("a"), written.fixed("b")), (Some("x"), None));
        assert_eq!(written.fixed("c"), Some(&json!({"d": [1]})));
    }
}
