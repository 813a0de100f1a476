//! Who may call the operator API, as the configuration says: the one token, and a table for each further one.

use pointsman_actors::time::Timestamp;

use super::keys::TOKENS;
use super::merged::{Origin, Problem};
use super::settings::{Checker, SecretText};
use crate::access::lockout::Policy;
use crate::access::token::TokenHash;
use crate::access::{ADMIN, Known, Scope};

const MAX_FAILURES: &str = "admin.max_failures";
/// 128 random bits in hexadecimal: what is shorter is no chance, or too little of it.
const SHORTEST_TOKEN: usize = 32;
const FAILURE_WINDOW: &str = "admin.failure_window";

/// A named token.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// The token.
    pub known: Known,
    /// Where its end is configured.
    pub expires_at: Origin,
}

impl TokenSettings {
    /// What is to be said of one that opens nothing any more.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let end = self.known.expires.filter(|_| self.known.is_over(now))?;
        let (name, origin) = (&self.known.name, &self.expires_at);
        Some(format!("{TOKENS}.{name}.expires ({origin}): its time was over at {end}; this token opens nothing"))
    }
}

impl Checker<'_> {
    pub(super) fn admin_token(&mut self) -> Option<SecretText> {
        let token = self.secret("admin.token", "admin.token_file")?.0.trim().to_owned();
        if token.len() < SHORTEST_TOKEN {
            let reason = format!(
                "a token has at least {SHORTEST_TOKEN} characters, so that nobody guesses it; `openssl rand -hex 32` makes one, and \
                 without any one is generated"
            );
            self.wrong("admin.token", reason);
        }
        Some(SecretText(token))
    }

    pub(super) fn lockout(&mut self) -> Policy {
        if self.count(MAX_FAILURES) == 0 {
            self.wrong(MAX_FAILURES, "must be at least 1".to_owned());
        }
        if self.span(FAILURE_WINDOW).is_zero() {
            self.wrong(FAILURE_WINDOW, "must be longer than nothing".to_owned());
        }
        Policy { most: self.number(MAX_FAILURES), window: self.span(FAILURE_WINDOW) }
    }

    /// The named tokens. What is wrong with one is said without its hash.
    pub(super) fn tokens(&mut self) -> Vec<TokenSettings> {
        let mut tokens: Vec<TokenSettings> = Vec::new();
        for (name, origin) in self.merged.tokens.clone() {
            let Some(token) = self.token(&name, &origin) else { continue };
            if let Some(same) = tokens.iter().find(|other| other.known.hash == token.known.hash) {
                let reason = format!("it is that of `{}`; nobody would know who it is", same.known.name);
                self.wrong(&format!("{TOKENS}.{name}.hash"), reason);
            }
            tokens.push(token);
        }
        tokens
    }

    fn token(&mut self, name: &str, origin: &Origin) -> Option<TokenSettings> {
        let path = format!("{TOKENS}.{name}");
        if let Err(reason) = usable_name(name) {
            self.problems.push(Problem { key: path, origin: origin.clone(), reason });
            return None;
        }
        let key = |key: &str| format!("{path}.{key}");
        let (hash, scope) = (self.hash(&key("hash"), origin), self.scope(&key("scopes"), origin));
        let expires = self.text(&key("expires")).and_then(|text| {
            let end = Timestamp::from_rfc3339(&text);
            if end.is_none() {
                self.wrong(&key("expires"), format!("`{text}` is not a time; write it like 2027-01-01T00:00:00Z"));
            }
            end
        });
        let expires_at = self.merged.entry(&key("expires")).map_or(Origin::Default, |entry| entry.origin.clone());
        let known = Known { name: name.into(), hash: hash?, scope: scope?, expires };
        Some(TokenSettings { known, expires_at })
    }

    fn hash(&mut self, path: &str, origin: &Origin) -> Option<TokenHash> {
        let Some(text) = self.text(path) else {
            let reason = "it is missing; `pointsman tokens new NAME` prints one".to_owned();
            self.missing(path.to_owned(), origin, reason);
            return None;
        };
        TokenHash::read(&text).map_err(|reason| self.wrong(path, reason.to_owned())).ok()
    }

    /// The largest of its scopes, which includes the others.
    fn scope(&mut self, path: &str, origin: &Origin) -> Option<Scope> {
        let names = self.list(path);
        if names.is_empty() {
            self.missing(path.to_owned(), origin, format!("it is missing or empty; there are {}", scopes()));
        }
        for name in names.iter().filter(|name| Scope::of(name).is_none()) {
            self.wrong(path, format!("there is no scope `{name}`; there are {}", scopes()));
        }
        names.iter().filter_map(|name| Scope::of(name)).max()
    }
}

/// The names of all scopes.
pub fn scopes() -> String {
    Scope::ALL.map(Scope::name).join(", ")
}

/// Whether a token may be called so: it becomes a part of the names of keys, and stands in the log.
pub fn usable_name(name: &str) -> Result<(), String> {
    if !super::is_name(name) {
        return Err("a token's name has small letters, digits, `-` and `_` only, and no more than 40".to_owned());
    }
    if name == ADMIN {
        return Err(format!("`{ADMIN}` is the one of `admin.token`; name this one otherwise"));
    }
    Ok(())
}
