//! GitHub's REST API, as far as steps use it.
//!
//! Rules: docs.github.com/rest, "Best practices", "Rate limits for the REST API", "Troubleshooting".
//! The token goes into one header and nowhere else.

mod diff;
pub mod refusal;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::SharedClock;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Method};
use serde_json::{Value as Json, json};

use super::http::{self, Answer};
use crate::config::settings::SecretText;
pub use diff::Diff;
use refusal::refused;

/// The version of the API that this was written for; GitHub supports it until 2028.
const VERSION: &str = "2022-11-28";

/// Longest description of a status; a longer one is a 422.
const LONGEST_DESCRIPTION: usize = 140;

/// Longest context of a status.
const LONGEST_CONTEXT: usize = 255;

/// What GitHub answers when a status was set.
const CREATED: u16 = 201;

/// GitHub, with a token.
pub struct GitHub {
    http: Client,
    base: String,
    authorization: HeaderValue,
    clock: SharedClock,
}

/// A pull request, as far as steps ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Commit at its head.
    pub head_sha: String,
    /// Its title.
    pub title: String,
    /// What its author wrote.
    pub body: String,
    /// Branch that it goes into.
    pub base_ref: String,
}

/// A commit status to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `error`, `failure`, `pending` or `success`.
    pub state: String,
    /// What it is about; one state is shown for each.
    pub context: String,
    /// A line for people; cut to what GitHub takes.
    pub description: String,
    /// Where more is said; empty for nowhere.
    pub target_url: String,
}

impl GitHub {
    /// The API at `base`.
    pub fn new(http: Client, base: &str, token: SecretText, clock: SharedClock) -> Self {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        authorization.set_sensitive(true);
        Self { http, base: base.trim_end_matches('/').to_owned(), authorization, clock }
    }

    /// A pull request as it is now.
    pub async fn pull(&self, repository: &str, number: u64) -> Result<Pull, Failure> {
        let path = format!("/repos/{}/pulls/{number}", repository_path(repository)?);
        let answer = self.call(Method::GET, &path, None).await?;
        read_pull(&json_of(&path, &answer)?)
            .ok_or_else(|| Failure::new(ErrorClass::Validation, format!("GET {path}: the answer has no head.sha")))
    }

    /// Sets a commit status. Setting it again is as setting it once: GitHub shows the last of a context.
    pub async fn set_status(&self, repository: &str, sha: &str, status: &Status, key: &str) -> Result<Json, Failure> {
        let sha: String = form_urlencoded::byte_serialize(sha.as_bytes()).collect();
        let path = format!("/repos/{}/statuses/{sha}", repository_path(repository)?);
        let body = json!({
            "state": status.state,
            "context": shortened(&status.context, LONGEST_CONTEXT),
            "description": shortened(&status.description, LONGEST_DESCRIPTION),
            "target_url": Some(&status.target_url).filter(|url| !url.is_empty()),
        });
        let answer = self.call(Method::POST, &path, Some((&body, key))).await?;
        if answer.status != CREATED {
            // A redirect turns a POST into a GET, which succeeds and sets nothing.
            let message = format!("POST {path}: {} instead of 201; was the repository renamed?", answer.status);
            return Err(Failure::new(ErrorClass::Validation, message));
        }
        json_of(&path, &answer)
    }

    /// Asks, and takes only what was accepted.
    async fn call(&self, method: Method, path: &str, body: Option<(&Json, &str)>) -> Result<Answer, Failure> {
        let answer = self.ask(method.clone(), path, (JSON, http::LARGEST_ANSWER), body).await?;
        self.accepted(&method, path, answer)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        (accept, largest): (&'static str, usize),
        body: Option<(&Json, &str)>,
    ) -> Result<Answer, Failure> {
        let what = format!("{method} {path}");
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base))
            .header(ACCEPT, accept)
            .header(AUTHORIZATION, self.authorization.clone())
            .header("x-github-api-version", VERSION);
        if let Some((body, key)) = body {
            // GitHub does not look at the key; whoever reads a proxy's log does.
            request = request.json(body).header("x-idempotency-key", key);
        }
        http::send_up_to(&what, &method, request, largest).await
    }

    fn accepted(&self, method: &Method, path: &str, answer: Answer) -> Result<Answer, Failure> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(refused(&format!("{method} {path}"), method, &answer, self.clock.now().seconds()))
    }
}

const JSON: &str = "application/vnd.github+json";

fn read_pull(answer: &Json) -> Option<Pull> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    let head_sha = Some(text("/head/sha")).filter(|sha| !sha.is_empty())?;
    Some(Pull { head_sha, title: text("/title"), body: text("/body"), base_ref: text("/base/ref") })
}

fn json_of(what: &str, answer: &Answer) -> Result<Json, Failure> {
    if answer.cut {
        return Err(Failure::new(ErrorClass::Validation, format!("{what}: the answer is larger than anybody expects")));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::new(ErrorClass::Temporary, format!("{what}: the answer is not JSON: {error}")))
}

/// `owner/name`, fit for a path.
fn repository_path(repository: &str) -> Result<String, Failure> {
    let part = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && part != "." && part != ".." && part.chars().all(fits)
    };
    match repository.split_once('/') {
        Some((owner, name)) if part(owner) && part(name) => Ok(repository.to_owned()),
        _ => {
            Err(Failure::new(ErrorClass::Validation, format!("`{repository}` is not a repository, such as owner/name")))
        }
    }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
