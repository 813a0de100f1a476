//! A GitHub App as a credential: it signs who it is with its key, and gets a token for each installation, which lives
//! for an hour.
//!
//! Rules: docs.github.com, "Generating a JSON Web Token (JWT) for a GitHub App", "Generating an installation access
//! token". Signing is RS256, which the TLS library that is here anyway does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::Timestamp;
use reqwest::Method;
use reqwest::header::HeaderValue;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde::Deserialize;
use serde_json::json;

use super::call::{Call, bearer};
use super::limits::Account;
use super::{GitHub, json_of};

/// GitHub's clock may be behind ours.
const BACKDATED: i64 = 60;

/// How long what is signed is good, in seconds; GitHub takes at most 600.
const GOOD_FOR: i64 = 540;

/// A token that has less left is replaced: a call may take a while.
const LEFT: Duration = Duration::from_secs(300);

/// Most repositories and organisations of which the installation is remembered.
const MOST_PLACES: usize = 1_000;

/// Whose limit calls as the App itself fall under.
const ITSELF: Account = Account::MAX;

/// A private key of an App.
#[derive(Clone)]
pub struct AppKey(Arc<dyn SigningKey>);

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl AppKey {
    /// Reads a key as GitHub gives it, in PEM. A variable may hold the ends of its lines as `\n`.
    pub fn read(pem: &str) -> Result<Self, &'static str> {
        let pem = pem.replace("\\n", "\n");
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "it is no private key in PEM")?;
        let key = rustls::crypto::ring::sign::any_supported_type(&der).map_err(|_| "the key cannot be read")?;
        match key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]) {
            Some(_) => Ok(Self(key)),
            None => Err("it is no RSA key"),
        }
    }

    /// What says at `now` that it is the App `id` that asks.
    fn token(&self, id: &str, now: Timestamp) -> Option<String> {
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let now = now.seconds();
        let claims = json!({ "iat": now - BACKDATED, "exp": now + GOOD_FOR, "iss": id });
        let signed = format!("{}.{}", encode(json!({ "alg": "RS256", "typ": "JWT" })), encode(claims));
        let signer = self.0.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
        let signature = signer.sign(signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// What an App shows.
#[derive(Clone, Debug)]
pub struct AppCredential {
    /// Its client id, or its number.
    pub id: String,
    /// Its key.
    pub key: AppKey,
}

/// An App, with the tokens that it has.
pub struct App {
    credential: AppCredential,
    /// Held while a token is asked for: whoever needs the same one waits for it.
    known: tokio::sync::Mutex<Known>,
}

#[derive(Default)]
struct Known {
    installations: BTreeMap<String, u64>,
    tokens: BTreeMap<u64, Token>,
}

struct Token {
    authorization: HeaderValue,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Deserialize)]
struct NewToken {
    token: String,
    expires_at: String,
}

impl App {
    /// The App that shows this.
    pub fn new(credential: AppCredential) -> Self {
        Self { credential, known: tokio::sync::Mutex::default() }
    }

    /// The token for `repos/owner/name` or `orgs/login`, and whose limit it falls under.
    pub async fn authorization(&self, github: &GitHub, place: &str) -> Result<(Account, HeaderValue), Failure> {
        let mut known = self.known.lock().await;
        let id = match known.installations.get(place) {
            Some(id) => *id,
            None => self.installation(github, place, &mut known).await?,
        };
        let now = github.clock.now();
        if let Some(token) = known.tokens.get(&id).filter(|token| token.expires_at > now.plus(LEFT)) {
            return Ok((id, token.authorization.clone()));
        }
        let path = format!("/app/installations/{id}/access_tokens");
        let call = Call { method: Method::POST, body: Some(&json!({})), ..Call::get(&path) };
        let new: NewToken = self.ask(github, &call).await.inspect_err(|_| {
            // It may have been removed from there and put there again.
            known.installations.remove(place);
        })?;
        let expires_at = Timestamp::from_rfc3339(&new.expires_at).unwrap_or(now);
        let authorization = bearer(&new.token);
        known.tokens.insert(id, Token { authorization: authorization.clone(), expires_at });
        Ok((id, authorization))
    }

    async fn installation(&self, github: &GitHub, place: &str, known: &mut Known) -> Result<u64, Failure> {
        let path = format!("/{place}/installation");
        let Installation { id } = self.ask(github, &Call::get(&path)).await?;
        if known.installations.len() >= MOST_PLACES {
            known.installations.clear();
        }
        known.installations.insert(place.to_owned(), id);
        Ok(id)
    }

    /// A token was refused: another one is asked for when it is needed.
    pub async fn forget(&self, account: Account) {
        self.known.lock().await.tokens.remove(&account);
    }

    /// What says that it is the App itself, and whose limit that falls under.
    pub fn itself(&self, now: Timestamp) -> Result<(Account, HeaderValue), Failure> {
        let AppCredential { id, key } = &self.credential;
        let token = key.token(id, now);
        let token =
            token.ok_or_else(|| Failure::new(ErrorClass::Internal, "the key of the GitHub App does not sign"))?;
        Ok((ITSELF, bearer(&token)))
    }

    /// Asks as the App itself. That a token was made which nobody holds does no harm: such a call is never in doubt.
    async fn ask<T: serde::de::DeserializeOwned>(&self, github: &GitHub, call: &Call<'_>) -> Result<T, Failure> {
        let (account, authorization) = self.itself(github.clock.now())?;
        let asked = github.ask_as(call, account, &authorization).await;
        let read = asked.and_then(|answer| github.accepted(call, answer));
        let read = read.and_then(|answer| json_of(&call.what(), &answer));
        read.map_err(|failure| Failure { in_doubt: false, ..failure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_named() {
        for (pem, expect) in [
            ("hunter2", "it is no private key in PEM"),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "the key cannot be read"),
        ] {
            assert_eq!(AppKey::read(pem).unwrap_err(), expect);
        }
    }

    #[test]
    fn a_token_says_who_asks_and_until_when() {
        let key = AppKey::read(pointsman_sandbox::github::app::KEY).unwrap();
        let escaped = AppKey::read(&pointsman_sandbox::github::app::KEY.replace('\n', "\\n")).unwrap();
        let token = key.token("7", Timestamp::from_millis(1_000_000_000)).unwrap();
        assert_eq!(escaped.token("7", Timestamp::from_millis(1_000_000_000)).unwrap(), token);
        let parts: Vec<&str> = token.split('.').collect();
        let read = |part: &str| serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(part).unwrap());
        assert_eq!(read(parts[0]).unwrap(), json!({"alg": "RS256", "typ": "JWT"}));
        assert_eq!(read(parts[1]).unwrap(), json!({"iat": 999_940, "exp": 1_000_540, "iss": "7"}));
        assert_eq!((parts.len(), format!("{key:?}").as_str()), (3, "***"));
    }
}
