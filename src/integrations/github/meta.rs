//! From where GitHub delivers, as its meta endpoint says.
//!
//! Rules: docs.github.com, "REST API endpoints for meta data" (`GET /meta` asks for no credential); "Best practices for using the
//! REST API", conditional requests: that nothing has changed costs nothing of the rate limit.

use std::sync::Arc;

use pointsman_actors::address_book::port::{Asked, Ranges as Port};
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::SharedClock;
use reqwest::header::{ACCEPT, AUTHORIZATION, ETAG, IF_NONE_MATCH};
use reqwest::{Client, Method};
use serde::Deserialize;

use super::call::{JSON, NOT_MODIFIED, UNAUTHORIZED, VERSION, bearer};
use super::json_of;
use super::refusal::{header, refused};
use crate::addresses::kept::Kept;
use crate::addresses::ranges::{self, CurrentRanges, Origin, Ranges};
use crate::config::settings::SecretText;
use crate::integrations::http::{self, Answer};

/// What is asked.
const WHAT: &str = "GET /meta";

/// Asks GitHub, and keeps what it says.
#[derive(Clone)]
pub struct Meta {
    http: Client,
    url: String,
    token: Option<SecretText>,
    clock: SharedClock,
    kept: Kept,
    current: CurrentRanges,
}

/// What is read of the answer.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    hooks: Vec<String>,
}

impl Meta {
    /// Asks the API at `base`, where there is a token with that: a server of one's own may answer nobody else. What it says is
    /// kept, and is `current` from then on.
    pub fn new(
        base: &str,
        token: Option<SecretText>,
        clock: SharedClock,
        (kept, current): (Kept, CurrentRanges),
    ) -> Self {
        let url = format!("{}/meta", base.trim_end_matches('/'));
        Self { http: http::client(), url, token, clock, kept, current }
    }

    async fn ask(&self, etag: Option<&str>, token: Option<&SecretText>) -> Result<Answer, Failure> {
        let request = self.http.get(&self.url).header(ACCEPT, JSON).header("x-github-api-version", VERSION);
        let request =
            token.into_iter().fold(request, |request, token| request.header(AUTHORIZATION, bearer(token.expose())));
        let request = etag.into_iter().fold(request, |request, etag| request.header(IF_NONE_MATCH, etag));
        http::send(WHAT, &Method::GET, request).await
    }

    async fn look(&self) -> Result<(), Failure> {
        let known = Arc::clone(&self.current.get());
        let etag = known.etag.as_deref();
        let mut answer = self.ask(etag, self.token.as_ref()).await?;
        if answer.status == UNAUTHORIZED && self.token.is_some() {
            // A token that has run out is no reason to go by an old list.
            answer = self.ask(etag, None).await?;
        }
        let now = self.clock.now();
        let confirmed = (Origin::Provider, Some(now), None);
        match answer.status {
            NOT_MODIFIED if etag.is_some() => {
                let (origin, confirmed_at, failing) = confirmed;
                self.current.replace(Ranges { origin, confirmed_at, failing, ..Ranges::clone(&known) });
                Ok(())
            }
            200 => {
                let said: Said = json_of(WHAT, &answer)?;
                let networks = ranges::read(said.hooks.iter().map(String::as_str)).map_err(|unusable| {
                    Failure::new(ErrorClass::Validation, format!("{WHAT}: its list is not taken: {unusable}"))
                })?;
                let (origin, confirmed_at, failing) = confirmed;
                let etag = header(&answer.headers, ETAG.as_str()).map(str::to_owned);
                self.take(&known, Ranges { networks, origin, etag, fetched_at: now, confirmed_at, failing }).await;
                Ok(())
            }
            _ => Err(refused(WHAT, &Method::GET, &answer, now.seconds())),
        }
    }

    /// Puts a list in force, then keeps it: one that cannot be kept is asked for again by the next process.
    async fn take(&self, known: &Ranges, ranges: Ranges) {
        if ranges.networks != known.networks {
            let number = ranges.networks.len();
            tracing::info!(ranges = number, "GitHub has named other ranges from which it delivers; they are in force");
        }
        self.current.replace(ranges.clone());
        let kept = self.kept.clone();
        let written = tokio::task::spawn_blocking(move || kept.write(&ranges)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        if let Err(error) = written {
            tracing::warn!("GitHub's ranges are in force and cannot be kept in the data directory: {error}");
        }
    }
}

impl Port for Meta {
    fn renew(&self) -> Asked {
        let meta = self.clone();
        Box::pin(async move {
            let looked = meta.look().await;
            if let Err(failure) = &looked {
                let known = Ranges::clone(&meta.current.get());
                meta.current.replace(Ranges { failing: Some(failure.message.clone()), ..known });
            }
            looked
        })
    }
}
