//! What is shown to Linear: a key, or an app of OAuth. Never both: nobody could say which of them acts.

use std::path::PathBuf;

use super::settings::Checker;
use crate::integrations::linear::{LinearCredential, OAuthSettings};

const KEY: &str = "integrations.linear.api_key";
const ID: &str = "integrations.linear.client_id";
const SECRET: &str = "integrations.linear.client_secret";
const SECRET_FILE: &str = "integrations.linear.client_secret_file";
const REFRESH: &str = "integrations.linear.refresh_token";
const REFRESH_FILE: &str = "integrations.linear.refresh_token_file";

impl Checker<'_> {
    pub(super) fn linear(&mut self) -> Option<LinearCredential> {
        let key = self.credential(KEY);
        let oauth_url = self.url("integrations.linear.oauth_url").unwrap_or_default().0;
        let Some(client_id) = self.text(ID).map(|id| id.trim().to_owned()) else {
            for stray in [SECRET, SECRET_FILE, REFRESH, REFRESH_FILE] {
                if self.text(stray).is_some() {
                    self.wrong(stray, "it is of no use without a client id; set LINEAR_CLIENT_ID, too".to_owned());
                }
            }
            return key.map(LinearCredential::Key);
        };
        if key.is_some() {
            let reason = "a key and an app are given, and nobody could say which of them acts; leave LINEAR_API_KEY or \
                          LINEAR_CLIENT_ID out";
            self.wrong(KEY, reason.to_owned());
            return None;
        }
        let Some(client_secret) = self.one_of(SECRET, SECRET_FILE) else {
            self.wrong(ID, "set LINEAR_CLIENT_SECRET or LINEAR_CLIENT_SECRET_FILE, too".to_owned());
            return None;
        };
        let refresh_token = self.one_of(REFRESH, REFRESH_FILE);
        let kept_in = PathBuf::from(self.text("server.data_dir").unwrap_or_default());
        let scopes = self.list("integrations.linear.scopes");
        Some(LinearCredential::App(OAuthSettings {
            url: oauth_url,
            client_id,
            client_secret,
            refresh_token,
            scopes,
            kept_in,
        }))
    }

    /// A secret, or what stands in its file. Blanks around it are none of it.
    fn one_of(&mut self, path: &str, file: &str) -> Option<crate::config::settings::SecretText> {
        if self.text(path).is_some() && self.text(file).is_some() {
            self.wrong(file, "it is given twice; leave one out".to_owned());
        }
        let text = self.secret(path, file)?.0.trim().to_owned();
        if text.is_empty() {
            self.wrong(path, "it is blank".to_owned());
            return None;
        }
        Some(crate::config::settings::SecretText(text))
    }
}
