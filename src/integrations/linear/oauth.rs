//! An app of OAuth as a credential: its tokens end after a day, or after thirty when they are got by client credentials.
//!
//! Rules: linear.app/developers, "OAuth 2.0 authentication" (form-encoded, scopes separated by commas, each refresh token is
//! followed by another one, client credentials get none) and RFC 6749, section 5.2 (refusals). Whoever needs a token while one is
//! asked for waits for that one. What is refused is not asked for again for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::{SharedClock, Timestamp};
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;

use super::header;
use super::kept::Kept;
use crate::config::settings::SecretText;
use crate::integrations::http::{self, Answer};
use crate::integrations::secrets::hide;

/// A token that has less left is replaced: a call may take a while.
const LEFT: Duration = Duration::from_secs(300);

/// How long what was refused is not asked for again. It needs a person, and many steps may wait for them.
const REST: Duration = Duration::from_secs(300);

/// What a token lives that does not say so (linear.app/developers, "OAuth 2.0 authentication").
const LIFE: u64 = 86_400;

/// Most characters that are told of a refusal.
const LONGEST_SAID: usize = 200;

/// What an app shows.
#[derive(Clone, Debug)]
pub struct OAuthSettings {
    /// Where tokens are got.
    pub url: String,
    /// Its client id.
    pub client_id: String,
    /// Its client secret.
    pub client_secret: SecretText,
    /// The refresh token of its installation; without one client credentials are used.
    pub refresh_token: Option<SecretText>,
    /// What client credentials ask for.
    pub scopes: Vec<String>,
    /// The data directory, where refresh tokens that follow are kept.
    pub kept_in: std::path::PathBuf,
}

impl OAuthSettings {
    /// What is sent to get a token.
    fn form(&self, refresh: Option<&SecretText>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        match refresh {
            Some(token) => form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token.expose()),
            None => form.append_pair("grant_type", "client_credentials").append_pair("scope", &self.scopes.join(",")),
        };
        form.append_pair("client_id", &self.client_id).append_pair("client_secret", self.client_secret.expose());
        form.finish()
    }
}

/// A token.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    authorization: HeaderValue,
    expires_at: Timestamp,
    /// Whether Linear has taken it.
    works: AtomicBool,
}

impl Token {
    /// What goes into the header.
    pub fn authorization(&self) -> HeaderValue {
        self.0.authorization.clone()
    }

    /// Linear has taken it.
    pub fn works(&self) {
        self.0.works.store(true, Ordering::Relaxed);
    }
}

/// An app, with the token that it has.
pub struct OAuth {
    http: Client,
    settings: OAuthSettings,
    clock: SharedClock,
    /// Held while a token is asked for.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The refresh token that is good next, once the kept one was looked for.
    refresh: Option<SecretText>,
    /// Until when nobody asks again, and why.
    rests: Option<(Timestamp, Failure)>,
}

impl State {
    fn good(&self, now: Timestamp) -> Option<Token> {
        self.token.clone().filter(|token| token.0.expires_at > now.plus(LEFT))
    }
}

#[derive(Deserialize)]
struct NewToken {
    access_token: String,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
}

/// RFC 6749, section 5.2.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

impl OAuth {
    /// The app that shows this.
    pub fn new(http: Client, settings: OAuthSettings, clock: SharedClock) -> Self {
        Self { http, settings, clock, state: tokio::sync::Mutex::default() }
    }

    /// A token that is good for a while.
    pub async fn token(self: &Arc<Self>) -> Result<Token, Failure> {
        if let Some(token) = self.state.lock().await.good(self.clock.now()) {
            return Ok(token);
        }
        // Whoever asks may be dropped at any moment; the refresh token that is good next must not go with them.
        let app = Arc::clone(self);
        let asked = tokio::spawn(async move { app.replace().await }).await;
        asked.unwrap_or_else(|error| Err(Failure::new(ErrorClass::Internal, format!("{WHAT}: {error}"))))
    }

    async fn replace(&self) -> Result<Token, Failure> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        if let Some(token) = state.good(now) {
            return Ok(token);
        }
        if let Some((until, failure)) = &state.rests
            && *until > now
        {
            return Err(failure.clone());
        }
        let asked = self.get(&mut state, now).await;
        state.rests = match &asked {
            Err(failure) if !failure.class.is_retryable() => Some((now.plus(REST), failure.clone())),
            _ => None,
        };
        state.token = asked.as_ref().ok().cloned();
        asked
    }

    /// Linear has refused a token. True if another one may be asked for: one that has never worked would not be better.
    pub async fn refused(&self, token: &Token) -> bool {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_none_or(|known| !Arc::ptr_eq(&known.0, &token.0)) {
            // Somebody has replaced it already.
            return true;
        }
        state.token = None;
        let worked = token.0.works.load(Ordering::Relaxed);
        if !worked {
            let message = "Linear has refused a token that it had just given; is LINEAR_API_URL Linear's, and the app still \
                           installed?";
            let failure = Failure::new(ErrorClass::Authentication, message);
            state.rests = Some((self.clock.now().plus(REST), failure));
        }
        worked
    }

    async fn get(&self, state: &mut State, now: Timestamp) -> Result<Token, Failure> {
        let kept = self.settings.refresh_token.as_ref().map(|token| Kept::new(&self.settings.kept_in, token));
        if let (Some(kept), None) = (&kept, &state.refresh) {
            let last = kept.read().map_err(|error| {
                Failure::new(ErrorClass::Temporary, format!("Linear's refresh token cannot be read: {error}"))
            })?;
            state.refresh = last.or_else(|| self.settings.refresh_token.clone());
        }
        let new = self.ask(state.refresh.as_ref()).await?;
        if let (Some(kept), Some(next)) = (kept, new.refresh_token) {
            let next = SecretText::new(next);
            state.refresh = Some(next.clone());
            keep(kept, next).await;
        }
        let expires_at = now.plus(Duration::from_secs(new.expires_in.unwrap_or(LIFE)));
        let authorization = header(&format!("Bearer {}", new.access_token));
        Ok(Token(Arc::new(Inner { authorization, expires_at, works: AtomicBool::new(false) })))
    }

    async fn ask(&self, refresh: Option<&SecretText>) -> Result<NewToken, Failure> {
        let request = self.http.post(&self.settings.url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.body(self.settings.form(refresh));
        let answer = http::send_as(WHAT, false, request, http::LARGEST_ANSWER).await?;
        let secrets = [Some(&self.settings.client_secret), refresh].into_iter().flatten().map(SecretText::expose);
        judge(&answer, refresh.is_some()).map_err(|failure| {
            let message = hide(&failure.message, secrets);
            Failure { message, ..failure }
        })
    }
}

const WHAT: &str = "Linear, OAuth";

/// What the answer means. That a token was made which nobody holds does no harm, so nothing is in doubt.
fn judge(answer: &Answer, is_refresh: bool) -> Result<NewToken, Failure> {
    let failure = |class, words: &str| Failure::new(class, format!("{WHAT}: {} {words}", answer.status));
    if answer.status == 200 {
        let read = serde_json::from_slice::<NewToken>(&answer.body).ok().filter(|new| !new.access_token.is_empty());
        return read.ok_or_else(|| failure(ErrorClass::Temporary, "there is no token in the answer"));
    }
    let Refused { error, error_description } = serde_json::from_slice(&answer.body).unwrap_or_default();
    let said: String = format!("{error} {error_description}").trim().chars().take(LONGEST_SAID).collect();
    match (answer.status, error.as_str()) {
        (429, _) => Err(failure(ErrorClass::RateLimit, &said)),
        (408 | 500.., _) => Err(failure(ErrorClass::ServiceUnavailable, &said)),
        (_, "invalid_client") => Err(failure(
            ErrorClass::Authentication,
            &format!("{said}; check LINEAR_CLIENT_ID and LINEAR_CLIENT_SECRET"),
        )),
        (_, "invalid_grant") if is_refresh => Err(failure(
            ErrorClass::Authentication,
            &format!(
                "{said}; the refresh token is not good any more: authorize the app again, and set LINEAR_REFRESH_TOKEN to the new one"
            ),
        )),
        _ if is_refresh => Err(failure(
            ErrorClass::Authentication,
            &format!("{said}; no token is given to the app of LINEAR_CLIENT_ID"),
        )),
        _ => Err(failure(
            ErrorClass::Authentication,
            &format!(
                "{said}; does the app of LINEAR_CLIENT_ID allow client credentials, with what LINEAR_SCOPES asks for? Else set LINEAR_REFRESH_TOKEN"
            ),
        )),
    }
}

/// Keeps the refresh token that is good next. Without it the process goes on, and only its next start is in trouble.
async fn keep(kept: Kept, token: SecretText) {
    let written = tokio::task::spawn_blocking(move || kept.write(&token)).await;
    let error = match written {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(%error, "Linear's new refresh token cannot be kept in `linear.token` of the data directory; if it is not by \
        the next start, the app must be authorized again");
}
