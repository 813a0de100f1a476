//! Where in a file of TOML something stands.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::merged::Origin;

/// A step on the way to a value of a file.
pub enum Way<'a> {
    /// What a table has below this key.
    Key(&'a str),
    /// The table of a list whose `name` is this.
    Named(&'a str),
    /// The value of a list with this number, from 0 on.
    At(usize),
}

/// A file that can be asked for places.
pub struct Places<'a> {
    /// The file, as it is named in errors.
    pub name: &'a str,
    text: &'a str,
    document: Option<Spanned<DeTable<'a>>>,
}

impl<'a> Places<'a> {
    /// The places of a file of this name with this text; none when it is not TOML.
    pub fn of(name: &'a str, text: &'a str) -> Self {
        Self { name, text, document: DeTable::parse(text).ok() }
    }

    /// Where the value of a key comes from, by its path as in [`Places::line_of`].
    pub fn origin_of(&self, path: &str) -> Origin {
        Origin::File(self.name.to_owned(), self.line_of(path))
    }

    /// The line to which the way leads, as far as there is anything.
    pub fn line(&self, way: &[Way<'_>]) -> Option<usize> {
        let (mut at, mut found) = (None, Here::Table(self.document.as_ref()?.get_ref()));
        for each in way {
            let Some((start, value)) = found.follow(each) else { break };
            (at, found) = (Some(start), Here::of(value));
        }
        at.map(|at| line_at(self.text, at))
    }

    /// The line of a key by its path, such as `webhooks.github.secrets[1].from`.
    pub fn line_of(&self, path: &str) -> Option<usize> {
        let parts =
            path.split(['.', '[']).map(|part| match part.strip_suffix(']').and_then(|part| part.parse().ok()) {
                Some(number) => Way::At(number),
                None => Way::Key(part),
            });
        self.line(&parts.collect::<Vec<_>>())
    }
}

/// The line of a byte of a text, from 1 on.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
}

/// What the parser says of a key that is there twice.
const TWICE: &str = "duplicate key";

/// Why a text is not TOML. A key that is there twice is named; nothing else of the text is, which may be a secret.
pub fn reason_of(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let twice = error.span().filter(|_| message == TWICE).and_then(|span| text.get(span));
    twice.map_or_else(|| message.to_owned(), |key| format!("{message} `{key}`"))
}

/// What the way has led to so far.
enum Here<'a> {
    Table(&'a DeTable<'a>),
    List(&'a [Spanned<DeValue<'a>>]),
    Value,
}

impl<'a> Here<'a> {
    fn of(value: &'a DeValue<'a>) -> Self {
        match value {
            DeValue::Table(table) => Self::Table(table),
            DeValue::Array(list) => Self::List(list),
            _ => Self::Value,
        }
    }

    fn follow(&self, way: &Way<'_>) -> Option<(usize, &'a DeValue<'a>)> {
        let value = match (self, way) {
            (Self::Table(table), Way::Key(key)) => {
                let (key, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
                return Some((key.span().start, value.get_ref()));
            }
            (Self::List(list), Way::Named(name)) => list.iter().find(|value| is_named(value.get_ref(), name))?,
            (Self::List(list), Way::At(number)) => list.get(*number)?,
            _ => return None,
        };
        Some((value.span().start, value.get_ref()))
    }
}

fn is_named(value: &DeValue<'_>, wanted: &str) -> bool {
    let DeValue::Table(table) = value else { return false };
    table.iter().any(|(key, value)| {
        key.get_ref() == "name" && matches!(value.get_ref(), DeValue::String(name) if name == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_that_of_the_key_or_of_what_should_have_it() {
        let text = "[workflows.w]\ntimeout = \"5m\"\n\n[[workflows.w.steps]]\nname = \"a\"\naction = \"x\"\n\n\
                    [[workflows.w.steps]]\nname = \"b\"\nwith = { text = \"y\" }\n\n[[routes]]\nname = \"r\"\nwhen = \"z\"\n";
        let check = |way: &[Way<'_>], expect: usize| assert_eq!(Places::of("f.toml", text).line(way), Some(expect));
        let step = |name, below: Vec<Way<'static>>| {
            let start = vec![Way::Key("workflows"), Way::Key("w"), Way::Key("steps"), Way::Named(name)];
            start.into_iter().chain(below).collect::<Vec<_>>()
        };
        check(&[Way::Key("workflows"), Way::Key("w"), Way::Key("timeout")], 2);
        check(&step("a", vec![Way::Key("action")]), 6);
        check(&step("b", vec![Way::Key("with"), Way::Key("text")]), 10);
        check(&step("b", vec![Way::Key("retry"), Way::Key("max_attempts")]), 8);
        check(&[Way::Key("routes"), Way::Named("r"), Way::Key("when")], 14);
        assert_eq!(Places::of("f.toml", "not toml").line(&[Way::Key("workflows")]), None);
    }

    #[test]
    fn a_path_may_lead_through_lists() {
        let text = "[a.b]\nc = [\n  \"x\",\n  { d = 1,\n    e = 2 },\n]\n[[f]]\ng = 1\n[[f]]\n\ng = 2\n";
        let check =
            |path: &str, expect: Option<usize>| assert_eq!(Places::of("f.toml", text).line_of(path), expect, "{path}");
        check("a.b", Some(1));
        check("a.b.c", Some(2));
        check("a.b.c[0]", Some(3));
        check("a.b.c[1]", Some(4));
        check("a.b.c[1].e", Some(5));
        check("a.b.c[1].unknown", Some(4));
        check("f[1].g", Some(11));
        check("unknown", None);
    }
    #[test]
    fn of_what_is_no_toml_only_a_key_that_is_there_twice_is_named() {
        let check = |text: &str, expect: &str| {
            let error = toml::from_str::<toml::Table>(text).unwrap_err();
            assert_eq!(reason_of(text, &error), expect, "{text}");
        };
        check("a = \"hunter2\"\na = \"hunter2\"", "duplicate key `a`");
        check("[a]\nb = 1\nb = 2", "duplicate key `b`");
        check("[a.b]\n[a.b]", "duplicate key `b`");
        check("a = { b = 1, b = 2 }", "duplicate key `b`");
        let unquoted = toml::from_str::<toml::Table>("a = hunter2").unwrap_err();
        assert!(!reason_of("a = hunter2", &unquoted).contains("hunter2"));
    }
}
