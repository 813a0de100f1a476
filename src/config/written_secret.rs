//! Secrets of a source as a file writes them: a text, or a table that also says when the secret counts.

use pointsman_actors::time::Timestamp;

use super::merged::{Origin, Problem, nearest};
use super::place::Places;
use super::settings::SecretText;
use crate::sources::Validity;

/// A secret as it is written.
#[derive(Clone, PartialEq)]
pub struct WrittenSecret {
    /// What people call it, if they do.
    pub name: Option<String>,
    /// Where it is.
    pub kept: Kept,
    /// When it counts.
    pub validity: Validity,
    /// Where that was written.
    pub origin: Origin,
}

/// Where a secret is.
#[derive(Clone, PartialEq)]
pub enum Kept {
    /// Here.
    Value(SecretText),
    /// In the file of this path.
    File(String),
    /// In the file of this name among the service's credentials (systemd.exec(5), `$CREDENTIALS_DIRECTORY`).
    Credential(String),
}

/// The keys of a table.
const KEYS: [&str; 6] = ["name", "value", "file", "credential", "from", "until"];

/// What is expected where there is something else. The value may be a secret and is never shown.
const EXPECTED: &str =
    "give a list of texts, or of tables such as { name = \"2026-12\", file = \"…\", until = \"2027-01-01T00:00:00Z\" }";

impl WrittenSecret {
    /// A secret that is written in a list of texts.
    pub fn plain(text: &str, origin: Origin) -> Self {
        Self { name: None, kept: Kept::Value(SecretText::new(text)), validity: Validity::ALWAYS, origin }
    }

    /// The list at `path` of a file. All that is wrong is found at once.
    pub fn list(path: &str, value: &toml::Value, places: &Places<'_>) -> Result<Vec<Self>, Vec<Problem>> {
        let mut reader = Reader { places, problems: Vec::new() };
        let Some(items) = value.as_array() else {
            reader.wrong(path, EXPECTED);
            return Err(reader.problems);
        };
        let read = |(number, item)| reader.secret(&format!("{path}[{number}]"), item);
        let secrets: Vec<Self> = items.iter().enumerate().filter_map(read).collect();
        if reader.problems.is_empty() { Ok(secrets) } else { Err(reader.problems) }
    }
}

struct Reader<'a> {
    places: &'a Places<'a>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn origin(&self, path: &str) -> Origin {
        self.places.origin_of(path)
    }

    fn wrong(&mut self, path: &str, reason: impl Into<String>) {
        self.problems.push(Problem { key: path.to_owned(), origin: self.origin(path), reason: reason.into() });
    }

    fn secret(&mut self, path: &str, item: &toml::Value) -> Option<WrittenSecret> {
        let table = match item {
            toml::Value::String(text) => return Some(WrittenSecret::plain(text, self.origin(path))),
            toml::Value::Table(table) => table,
            _ => {
                self.wrong(path, EXPECTED);
                return None;
            }
        };
        for key in table.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let near = nearest(key, KEYS.into_iter());
            self.wrong(&format!("{path}.{key}"), format!("unknown key{near}"));
        }
        let name = self.text(path, table, "name");
        if name.as_ref().is_some_and(|name| !is_name(name)) {
            let reason = "a secret's name has letters, digits, `-`, `_` and `.` only, and no more than 40";
            self.wrong(&format!("{path}.name"), reason);
        }
        let kept = self.kept(path, table);
        let validity = Validity { from: self.time(path, table, "from"), until: self.time(path, table, "until") };
        if validity.from.zip(validity.until).is_some_and(|(from, until)| from >= until) {
            self.wrong(&format!("{path}.until"), "it must be later than `from`; the secret would never count");
        }
        Some(WrittenSecret { name, kept: kept?, validity, origin: self.origin(path) })
    }

    fn kept(&mut self, path: &str, table: &toml::Table) -> Option<Kept> {
        let value = self.text(path, table, "value").map(|text| Kept::Value(SecretText::new(text)));
        let file = self.text(path, table, "file").map(Kept::File);
        let credential = self.text(path, table, "credential");
        if credential.as_ref().is_some_and(|name| name.is_empty() || name.contains('/') || name.starts_with('.')) {
            self.wrong(&format!("{path}.credential"), "give the name of a credential, without a path");
        }
        let given = ["value", "file", "credential"].into_iter().filter(|key| table.contains_key(*key)).count();
        if given != 1 {
            self.wrong(path, "give exactly one of `value`, `file` and `credential`");
        }
        value.or(file).or(credential.map(Kept::Credential))
    }

    fn text(&mut self, path: &str, table: &toml::Table, key: &str) -> Option<String> {
        let value = table.get(key)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong(&format!("{path}.{key}"), "give a text in quotes");
        }
        text
    }

    /// A point in time, with or without quotes: TOML knows them itself.
    fn time(&mut self, path: &str, table: &toml::Table, key: &str) -> Option<Timestamp> {
        let text = match table.get(key)? {
            toml::Value::String(text) => text.clone(),
            toml::Value::Datetime(time) => time.to_string(),
            _ => String::new(),
        };
        let time = Timestamp::from_rfc3339(&text);
        if time.is_none() {
            let reason = "give a point in time with its zone, such as \"2026-12-01T00:00:00Z\"";
            self.wrong(&format!("{path}.{key}"), reason);
        }
        time
    }
}

/// It is shown in lists, and part of an id there.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=40).contains(&name.len()) && name.chars().all(fits)
}
