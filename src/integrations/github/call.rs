//! One call of GitHub's API: who asks, what is asked again, and where an answer that lies elsewhere is fetched.

use std::sync::PoisonError;

use bytes::Bytes;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::header::{ACCEPT, AUTHORIZATION, ETAG, HeaderValue, IF_NONE_MATCH, LINK, LOCATION};
use reqwest::{Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::sync::mpsc::Sender;

use super::app::{App, AppCredential};
use super::cache::Known;
use super::limits::Account;
use super::refusal::{self, refused};
use super::{GitHub, json_of, paths};
use crate::config::settings::SecretText;
use crate::integrations::http::{self, Answer};

/// The version of the API that this was written for; GitHub supports it until 2028.
pub(super) const VERSION: &str = "2022-11-28";

/// What nearly every call asks for.
pub(super) const JSON: &str = "application/vnd.github+json";

/// Most hosts that an answer is looked for at.
const MOST_REDIRECTS: usize = 3;

/// Most bytes that are read to get to an end.
const LONGEST_READ: usize = 64 << 20;

/// What GitHub answers when it does not take a credential.
pub(super) const UNAUTHORIZED: u16 = 401;

/// What GitHub answers to a conditional request when nothing has changed.
pub(super) const NOT_MODIFIED: u16 = 304;

/// What is asked.
pub(super) struct Call<'a> {
    pub method: Method,
    /// From the base of the API on, with its query.
    pub path: &'a str,
    pub accept: &'static str,
    /// Most bytes that are read of the answer.
    pub largest: usize,
    /// Whether these are its last.
    pub end: bool,
    /// Who takes what a good answer brings, while it comes.
    pub through: Option<&'a Sender<Bytes>>,
    /// What is sent.
    pub body: Option<&'a Json>,
    /// By which a repetition of a write is recognised.
    pub key: Option<&'a str>,
    /// Whether what was answered before is answered again while GitHub says that it is still so.
    pub conditional: bool,
}

impl<'a> Call<'a> {
    /// A look.
    pub fn get(path: &'a str) -> Self {
        let (largest, body, key, through) = (http::LARGEST_ANSWER, None, None, None);
        Self { method: Method::GET, path, accept: JSON, largest, end: false, through, body, key, conditional: false }
    }

    pub fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// The header of a credential, which no log shows.
pub(super) fn bearer(token: &str) -> HeaderValue {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}

async fn send(call: &Call<'_>, request: RequestBuilder) -> Result<Answer, Failure> {
    if let Some(to) = call.through {
        return http::send_through(&call.what(), request, (to, call.largest)).await;
    }
    if call.end {
        return http::send_for_end(&call.what(), request, (call.largest, LONGEST_READ)).await;
    }
    http::send_up_to(&call.what(), &call.method, request, call.largest).await
}

/// What we show.
pub enum Credential {
    /// A token.
    Token(SecretText),
    /// An App.
    App(Box<App>),
}

impl Credential {
    /// An App that shows this.
    pub fn app(credential: AppCredential) -> Self {
        Self::App(Box::new(App::new(credential)))
    }
}

impl GitHub {
    /// Looks, and takes only what was accepted.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.call(&Call::get(path)).await?;
        json_of(&format!("GET {path}"), &answer)
    }

    /// The items of a list, over at most so many pages, and whether these are all.
    pub(super) async fn list(&self, path: &str, most_pages: usize) -> Result<(Vec<Json>, bool), Failure> {
        self.list_in(path, most_pages, |page| serde_json::from_value(page).ok()).await
    }

    /// The same of pages whose items stand somewhere in them.
    pub(super) async fn list_in(
        &self,
        path: &str,
        most_pages: usize,
        items_of: impl Fn(Json) -> Option<Vec<Json>>,
    ) -> Result<(Vec<Json>, bool), Failure> {
        let (mut items, mut next) = (Vec::new(), Some(path.to_owned()));
        for _ in 0..most_pages {
            let Some(page) = next.take() else { break };
            let answer = self.call(&Call::get(&page)).await?;
            let read = items_of(json_of(&format!("GET {page}"), &answer)?);
            items.extend(
                read.ok_or_else(|| Failure::new(ErrorClass::Validation, format!("GET {page}: the answer is no list")))?,
            );
            next = refusal::header(&answer.headers, LINK.as_str()).and_then(|link| paths::next_page(&page, link));
        }
        Ok((items, next.is_none()))
    }

    /// Changes something.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Json,
        key: &str,
    ) -> Result<T, Failure> {
        let call = Call { method, body: Some(body), key: Some(key), ..Call::get(path) };
        let answer = self.call(&call).await?;
        // It was done; that nobody can read what was said of it must not pass for a failure that is repeated.
        json_of(&call.what(), &answer).map_err(Failure::in_doubt)
    }

    /// Asks, and takes only what was accepted.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let answer = self.ask(call).await?;
        self.accepted(call, answer)
    }

    pub(super) fn accepted(&self, call: &Call<'_>, answer: Answer) -> Result<Answer, Failure> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(refused(&call.what(), &call.method, &answer, self.clock.now().seconds()))
    }

    /// Asks, whatever is answered. Writes go one after the other and apart, and nothing goes while GitHub limits us.
    pub(super) async fn ask(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        // Kept until it is answered.
        let mut kept = None;
        if !call.method.is_safe() {
            let turn = kept.insert(self.writes.turn(&call.what(), || self.clock.elapsed()).await?);
            tokio::time::sleep(turn.pause).await;
        }
        let (account, authorization) = self.authorization(call).await?;
        let answer = self.ask_as(call, account, &authorization).await?;
        match &self.credential {
            // A token may be taken back before its time; that the next one is refused, too, is final.
            Credential::App(app) if answer.status == UNAUTHORIZED => {
                app.forget(account).await;
                let (account, authorization) = self.authorization(call).await?;
                self.ask_as(call, account, &authorization).await
            }
            _ => Ok(answer),
        }
    }

    async fn authorization(&self, call: &Call<'_>) -> Result<(Account, HeaderValue), Failure> {
        match &self.credential {
            Credential::Token(token) => Ok((0, bearer(token.expose()))),
            Credential::App(app) => {
                if paths::is_of_app(call.path) {
                    return app.itself(self.clock.now());
                }
                let place = paths::place_of(call.path).ok_or_else(|| {
                    let message = format!("{}: an App asks of a repository or an organisation only", call.what());
                    Failure::new(ErrorClass::Internal, message)
                })?;
                app.authorization(self, &place).await
            }
        }
    }

    /// Asks with this credential, whatever is answered, unless GitHub limits it.
    pub(super) async fn ask_as(
        &self,
        call: &Call<'_>,
        account: Account,
        authorization: &HeaderValue,
    ) -> Result<Answer, Failure> {
        let what = call.what();
        let now = self.clock.now();
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).check(account, &what, now)?;
        let known = call.conditional.then(|| self.known(call.path)).flatten();
        let url = format!("{}{}", self.base, call.path);
        let mut request = self.request(call, &url, authorization);
        if let Some(known) = &known {
            request = request.header(IF_NONE_MATCH, known.etag.clone());
        }
        let mut answer = send(call, request).await?;
        let now = self.clock.now();
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).note(account, &answer, now);
        if let Some(known) = known.filter(|_| answer.status == NOT_MODIFIED) {
            if let Some(link) = known.link {
                answer.headers.insert(LINK, link);
            }
            return Ok(Answer { status: 200, body: known.body, ..answer });
        }
        if call.method == Method::GET {
            answer = self.follow(call, answer, &url, authorization).await?;
        }
        if call.conditional && answer.status == 200 && !answer.cut {
            self.remember(call.path, &answer);
        }
        Ok(answer)
    }

    fn request(&self, call: &Call<'_>, url: &str, authorization: &HeaderValue) -> RequestBuilder {
        let request = self
            .http
            .request(call.method.clone(), url)
            .header(ACCEPT, call.accept)
            .header(AUTHORIZATION, authorization.clone())
            .header("x-github-api-version", VERSION);
        let request = call.body.into_iter().fold(request, RequestBuilder::json);
        // GitHub does not look at the key; whoever reads a proxy's log does.
        call.key.into_iter().fold(request, |request, key| request.header("x-idempotency-key", key))
    }

    /// Fetches what lies elsewhere: a repository's new name is our own API, a file is at a host that gets nothing of ours.
    async fn follow(
        &self,
        call: &Call<'_>,
        mut answer: Answer,
        url: &str,
        authorization: &HeaderValue,
    ) -> Result<Answer, Failure> {
        let mut at = url.to_owned();
        for _ in 0..MOST_REDIRECTS {
            let Some((next, is_ours)) = self.elsewhere(&at, &answer) else { break };
            let request = if is_ours { self.request(call, &next, authorization) } else { self.http.get(next.clone()) };
            answer = send(call, request).await?;
            at = next;
        }
        Ok(answer)
    }

    /// Where an answer sends us, and whether that is the API itself.
    fn elsewhere(&self, at: &str, answer: &Answer) -> Option<(String, bool)> {
        if !matches!(answer.status, 301 | 302 | 307 | 308) {
            return None;
        }
        let next = Url::parse(at).ok()?.join(refusal::header(&answer.headers, LOCATION.as_str())?).ok()?;
        let base = Url::parse(&self.base).ok()?;
        // What was asked for in private is not fetched in public.
        let as_private = next.scheme() == "https" || base.scheme() == "http" && next.scheme() == "http";
        let is_ours = next.origin() == base.origin();
        as_private.then(|| (next.to_string(), is_ours))
    }

    fn known(&self, path: &str) -> Option<Known> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(path)
    }

    fn remember(&self, path: &str, answer: &Answer) {
        if let Some(etag) = answer.headers.get(ETAG) {
            let (etag, link) = (etag.clone(), answer.headers.get(LINK).cloned());
            let known = Known { etag, link, body: Bytes::clone(&answer.body) };
            self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(path, known);
        }
    }
}
