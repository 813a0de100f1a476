//! Reads what a step hands over.

use std::str::FromStr;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use serde_json::{Map, Value as Json};

/// What a step hands over.
pub struct With<'a>(pub &'a Map<String, Json>);

impl With<'_> {
    /// A text that is not empty; also a number, which a template that is one expression leaves as it is.
    pub fn text(&self, name: &str) -> Result<String, Failure> {
        match self.0.get(name) {
            Some(Json::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(Json::Number(number)) => Ok(number.to_string()),
            other => Err(wrong(name, "a text", other)),
        }
    }

    /// A text, or a number as one; empty when there is none.
    pub fn text_or_empty(&self, name: &str) -> Result<String, Failure> {
        match self.0.get(name) {
            None | Some(Json::Null) => Ok(String::new()),
            Some(Json::String(text)) => Ok(text.clone()),
            Some(Json::Number(number)) => Ok(number.to_string()),
            other => Err(wrong(name, "a text", other)),
        }
    }

    /// A whole number, also when a template made a text of it.
    pub fn number(&self, name: &str) -> Result<u64, Failure> {
        let value = self.0.get(name);
        let number = value.and_then(|value| value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()));
        number.ok_or_else(|| wrong(name, "a whole number", value))
    }

    /// True or false, also when a template made a text of it.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Json::Bool(true))) || self.0.get(name).and_then(Json::as_str) == Some("true")
    }

    /// The texts of a list; none when there is no list. That each is one was checked when it was filled in.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let items = self.0.get(name).and_then(Json::as_array).into_iter().flatten();
        items.map(text_of).collect()
    }

    /// The texts of a table by name; none when there is no table.
    pub fn table(&self, name: &str) -> Vec<(String, String)> {
        let fields = self.0.get(name).and_then(Json::as_object).into_iter().flatten();
        fields.map(|(name, value)| (name.clone(), text_of(value))).collect()
    }

    /// The whole numbers of a list; none when there is no list.
    pub fn numbers<T: FromStr>(&self, name: &str) -> Result<Vec<T>, Failure> {
        let read = |text: &String| text.trim().parse().map_err(|_| wrong(name, "smaller numbers", self.0.get(name)));
        self.texts(name).iter().map(read).collect()
    }
}

fn text_of(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn wrong(name: &str, expected: &str, found: Option<&Json>) -> Failure {
    let found = match found {
        None | Some(Json::Null) => "nothing".to_owned(),
        Some(found) => found.to_string().chars().take(80).collect(),
    };
    Failure::new(ErrorClass::Validation, format!("with.{name}: expected {expected}, found {found}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_or_named() {
        let values = json!({"a": "x", "n": "12", "m": 7, "e": "", "z": null, "o": {}});
        let with = With(values.as_object().unwrap());
        assert_eq!((with.text("a"), with.number("n"), with.number("m")), (Ok("x".into()), Ok(12), Ok(7)));
        assert_eq!((with.text_or_empty("e"), with.text_or_empty("z")), (Ok(String::new()), Ok(String::new())));
        assert_eq!((with.text("m"), with.text_or_empty("m")), (Ok("7".into()), Ok("7".into())));
        let several = json!({"l": ["a", 7], "t": {"x": "y", "n": 1}, "f": "true", "g": false, "c": [200, " 201"]});
        let with = With(several.as_object().unwrap());
        assert_eq!(with.texts("l"), ["a", "7"]);
        assert_eq!(with.table("t"), [("n".to_owned(), "1".to_owned()), ("x".to_owned(), "y".to_owned())]);
        assert_eq!((with.flag("f"), with.flag("g"), with.flag("q")), (true, false, false));
        assert_eq!((with.numbers::<u16>("c"), with.texts("q"), with.table("l")), (Ok(vec![200, 201]), vec![], vec![]));
        let large = json!({"c": [1, 300]});
        let large = With(large.as_object().unwrap()).numbers::<u8>("c").unwrap_err();
        assert_eq!(large.message, "with.c: expected smaller numbers, found [1,300]");
        let with = With(values.as_object().unwrap());
        let error = |failure: Failure| failure.message;
        assert_eq!(error(with.text("e").unwrap_err()), "with.e: expected a text, found \"\"");
        assert_eq!(error(with.number("a").unwrap_err()), "with.a: expected a whole number, found \"x\"");
        assert_eq!(error(with.text("q").unwrap_err()), "with.q: expected a text, found nothing");
        assert_eq!(error(with.text_or_empty("o").unwrap_err()), "with.o: expected a text, found {}");
    }
}
