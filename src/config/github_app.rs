//! The GitHub App of a configuration: its id and its key belong together.

use super::settings::Checker;
use crate::integrations::github::{AppCredential, AppKey};

const ID: &str = "integrations.github.app_id";
const KEY: &str = "integrations.github.app_key";
const FILE: &str = "integrations.github.app_key_file";

impl Checker<'_> {
    /// The App, if there is one. It is read now: a key that is none is no news for the first pull request.
    pub(super) fn github_app(&mut self) -> Option<AppCredential> {
        let (id, key, file) = (self.text(ID), self.text(KEY), self.text(FILE));
        let id = match (id, &key, &file) {
            (None, None, None) => return None,
            (None, _, _) => return self.not_whole(KEY, "set GITHUB_APP_ID, too"),
            (Some(_), None, None) => {
                return self.not_whole(ID, "set GITHUB_APP_PRIVATE_KEY or GITHUB_APP_PRIVATE_KEY_FILE, too");
            }
            (Some(_), Some(_), Some(_)) => return self.not_whole(FILE, "the key is given twice; leave one out"),
            (Some(id), _, _) => id.trim().to_owned(),
        };
        let (place, pem) = match (key, file) {
            (Some(key), _) => (KEY, Ok(key)),
            (None, file) => {
                let file = file.unwrap_or_default();
                let read = std::fs::read_to_string(&file);
                (FILE, read.map_err(|error| format!("`{file}` cannot be read: {error}")))
            }
        };
        let key = pem.and_then(|pem| AppKey::read(&pem).map_err(str::to_owned));
        key.map(|key| AppCredential { id, key }).map_err(|reason| self.wrong(place, reason)).ok()
    }

    fn not_whole(&mut self, key: &str, reason: &str) -> Option<AppCredential> {
        self.wrong(key, reason.to_owned());
        None
    }
}
