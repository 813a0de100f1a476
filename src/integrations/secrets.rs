//! Secrets that steps name and never hold: a definition is stored, listed and kept with its runs, what it names
//! is in a file of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::config::settings::SecretText;

/// What stands where a secret stood.
const HIDDEN: &str = "***";

/// What is shorter would be found by chance in what others say.
const SHORTEST: usize = 4;

/// The secrets by name.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<BTreeMap<String, SecretText>>);

impl Secrets {
    /// Reads a directory that has a file for each, as container platforms mount them. Hidden files and directories
    /// are none; the end of a line at the end of a file is none of it.
    pub fn read(directory: &Path) -> Result<Self, String> {
        let shown = directory.display();
        let entries = std::fs::read_dir(directory).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
        let mut secrets = BTreeMap::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.starts_with('.') || !path.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(|error| format!("`{name}` cannot be read: {error}"))?;
            let text = text.trim_end_matches(['\r', '\n']);
            if text.len() < SHORTEST {
                return Err(format!("`{name}` holds less than {SHORTEST} characters; that is no secret"));
            }
            secrets.insert(name.to_owned(), SecretText::new(text));
        }
        Ok(Self(Arc::new(secrets)))
    }

    /// The secret of this name.
    pub fn get(&self, name: &str) -> Option<&SecretText> {
        self.0.get(name)
    }

    /// Why a step cannot have the secret of this name, if it cannot.
    pub fn lacks(&self, name: &str) -> Option<String> {
        self.get(name).is_none().then(|| format!("there is no secret `{name}`; put it into workflow.secrets_dir"))
    }

    /// A text without any of them.
    pub fn hide(&self, text: &str) -> String {
        hide(text, self.0.values().map(SecretText::expose))
    }

    /// A value without any of them in its texts.
    pub fn hide_in(&self, value: Json) -> Json {
        match value {
            Json::String(text) => Json::String(self.hide(&text)),
            Json::Array(items) => items.into_iter().map(|item| self.hide_in(item)).collect(),
            Json::Object(fields) => {
                Json::Object(fields.into_iter().map(|(name, value)| (self.hide(&name), self.hide_in(value))).collect())
            }
            other => other,
        }
    }
}

/// A text without these words, nor the parts of them that blanks separate: of `Bearer …` the token alone is as
/// much a secret. What is too short to be one stays.
pub fn hide<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> =
        words.flat_map(|word| [word].into_iter().chain(word.split_whitespace().skip(1))).collect();
    words.retain(|word| word.len() >= SHORTEST);
    // One that holds another goes first.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    // Of `Bearer …` the first part is none.
    let bare = words.iter().filter(|word| !word.contains(char::is_whitespace));
    let text = bare.fold(text.to_owned(), |text, word| without_torn(&text, word));
    words.iter().fold(text, |text, word| text.replace(word, HIDDEN))
}

/// A text that was cut off in the middle of a word, without the part that was left of it.
fn without_torn(text: &str, word: &str) -> String {
    let cuts = || word.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
    let end = cuts().rev().filter(|at| *at >= SHORTEST).find_map(|at| text.strip_suffix(word.get(..at)?));
    let text = end.map_or_else(|| text.to_owned(), |rest| format!("{rest}{HIDDEN}"));
    let start = cuts().filter(|at| word.len() - at >= SHORTEST).find_map(|at| text.strip_prefix(word.get(at..)?));
    start.map_or_else(|| text.clone(), |rest| format!("{HIDDEN}{rest}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secrets(files: &[(&str, &str)]) -> Result<Secrets, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("..data")).unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Secrets::read(directory.path())
    }

    #[test]
    fn each_has_a_file() {
        let secrets = secrets(&[("deploy", "Bearer hunter2\n"), (".hidden", "x")]).unwrap();
        assert_eq!(secrets.get("deploy").unwrap().expose(), "Bearer hunter2");
        assert_eq!(secrets.lacks("deploy"), None);
        assert!(secrets.lacks(".hidden").unwrap().contains("workflow.secrets_dir"));
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_secret_is_named() {
        assert_eq!(
            secrets(&[("deploy", "\n")]).unwrap_err(),
            "`deploy` holds less than 4 characters; that is no secret"
        );
        assert!(Secrets::read(Path::new("/no/such/place")).unwrap_err().contains("/no/such/place"));
    }

    #[test]
    fn they_stand_in_nothing_that_is_kept() {
        let secrets = secrets(&[("a", "Bearer hunter2"), ("b", "hunter2-and-more")]).unwrap();
        assert_eq!(secrets.hide("you said Bearer hunter2, hunter2 or hunter2-and-more"), "you said ***, *** or ***");
        // Somebody cuts off what is long, also in the middle of a secret.
        assert_eq!(secrets.hide("and-more, you said: hunter2-and-"), "***, you said: ***");
        assert_eq!(secrets.hide("nter2 said the hun"), "*** said the hun");
        let hidden = secrets.hide_in(json!({"said": ["hunter2", 7], "hunter2": "Bearer"}));
        assert_eq!(hidden, json!({"said": ["***", 7], "***": "Bearer"}));
    }
}
