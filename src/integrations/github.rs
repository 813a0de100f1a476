//! GitHub's REST API, as far as steps use it.
//!
//! Rules: docs.github.com/rest, "Best practices", "Rate limits for the REST API", "Troubleshooting".
//! The token goes into one header and nowhere else.

use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::SharedClock;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::http::{self, Answer};
use crate::config::settings::SecretText;

/// The version of the API that this was written for; GitHub supports it until 2028.
const VERSION: &str = "2022-11-28";

/// Longest description of a status; a longer one is a 422.
const LONGEST_DESCRIPTION: usize = 140;

/// Longest context of a status.
const LONGEST_CONTEXT: usize = 255;

/// Most bytes of a diff that are kept: more than any reviewer reads.
const LARGEST_DIFF: usize = 1 << 20;

/// Pages of changed files that are read when the diff is too large to be given whole: 1,000 files.
const FILE_PAGES: u32 = 10;

/// What GitHub answers when a status was set.
const CREATED: u16 = 201;

/// What GitHub answers when a diff is too large to be given whole.
const TOO_LARGE: u16 = 406;

/// What GitHub asks clients to wait for when it limits them and does not say how long.
const SLOW_DOWN: Duration = Duration::from_secs(60);

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
        let answer = self.call(Method::GET, &path, JSON, None).await?;
        read_pull(&json_of(&path, &answer)?)
            .ok_or_else(|| Failure::new(ErrorClass::Validation, format!("GET {path}: the answer has no head.sha")))
    }

    /// What a pull request changes. A diff that GitHub does not give whole is put together from its files.
    pub async fn diff(&self, repository: &str, number: u64) -> Result<String, Failure> {
        let path = format!("/repos/{}/pulls/{number}", repository_path(repository)?);
        let answer = self.ask(Method::GET, &path, DIFF, None).await?;
        if answer.status == TOO_LARGE {
            return self.diff_by_files(&path).await;
        }
        let answer = self.accepted(&Method::GET, &path, answer)?;
        Ok(cut(String::from_utf8_lossy(&answer.body).into_owned(), answer.cut))
    }

    async fn diff_by_files(&self, pull: &str) -> Result<String, Failure> {
        let (mut diff, mut is_whole) = (String::new(), false);
        for page in 1..=FILE_PAGES {
            let path = format!("{pull}/files?per_page=100&page={page}");
            let answer = self.call(Method::GET, &path, JSON, None).await?;
            let files = changed_files(&path, &answer)?;
            for file in &files {
                let patch = file.patch.as_deref().unwrap_or("(too large or binary)");
                diff.push_str(&format!("diff --git a/{0} b/{0}\n{patch}\n", file.filename));
            }
            is_whole = files.len() < 100;
            if is_whole || diff.len() > LARGEST_DIFF {
                break;
            }
        }
        Ok(cut(diff, !is_whole))
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
        let answer = self.call(Method::POST, &path, JSON, Some((&body, key))).await?;
        if answer.status != CREATED {
            // A redirect turns a POST into a GET, which succeeds and sets nothing.
            let message = format!("POST {path}: {} instead of 201; was the repository renamed?", answer.status);
            return Err(Failure::new(ErrorClass::Validation, message));
        }
        json_of(&path, &answer)
    }

    /// Asks, and takes only what was accepted.
    async fn call(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Option<(&Json, &str)>,
    ) -> Result<Answer, Failure> {
        let answer = self.ask(method.clone(), path, accept, body).await?;
        self.accepted(&method, path, answer)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
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
        if accept == DIFF {
            return http::send_up_to(&what, &method, request, LARGEST_DIFF).await;
        }
        http::send(&what, &method, request).await
    }

    fn accepted(&self, method: &Method, path: &str, answer: Answer) -> Result<Answer, Failure> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(refused(&format!("{method} {path}"), method, &answer, self.clock.now().seconds()))
    }
}

const JSON: &str = "application/vnd.github+json";
const DIFF: &str = "application/vnd.github.diff";

#[derive(Deserialize)]
struct ChangedFile {
    filename: String,
    #[serde(default)]
    patch: Option<String>,
}

fn read_pull(answer: &Json) -> Option<Pull> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    let head_sha = Some(text("/head/sha")).filter(|sha| !sha.is_empty())?;
    Some(Pull { head_sha, title: text("/title"), body: text("/body"), base_ref: text("/base/ref") })
}

fn json_of(what: &str, answer: &Answer) -> Result<Json, Failure> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::new(ErrorClass::Temporary, format!("{what}: the answer is not JSON: {error}")))
}

/// A list that cannot be read is not an empty one: nobody is to judge a change without what it changes.
fn changed_files(path: &str, answer: &Answer) -> Result<Vec<ChangedFile>, Failure> {
    serde_json::from_value(json_of(path, answer)?).map_err(|error| {
        Failure::new(ErrorClass::Validation, format!("GET {path}: the answer is no list of files: {error}"))
    })
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

/// A diff is cut at a line, and says so.
fn cut(mut diff: String, was_cut: bool) -> String {
    if !was_cut && diff.len() <= LARGEST_DIFF {
        return diff;
    }
    let mut end = diff.len().min(LARGEST_DIFF);
    while !diff.is_char_boundary(end) {
        end -= 1;
    }
    let end = diff.get(..end).and_then(|kept| kept.rfind('\n')).map_or(end, |line| line + 1);
    diff.truncate(end);
    diff.push_str("[the diff is cut off here]\n");
    diff
}

/// What a refusal means, and whether it may pass.
fn refused(what: &str, method: &Method, answer: &Answer, now: i64) -> Failure {
    let said = message_of(&answer.body);
    let failure = |class, remedy: &str| Failure::new(class, format!("{what}: {} {said}{remedy}", answer.status));
    if let Some(pause) = limited(answer, &said, now) {
        return failure(ErrorClass::RateLimit, "").retry_after(pause);
    }
    match answer.status {
        401 => failure(ErrorClass::Authentication, "; the token in GITHUB_TOKEN was refused"),
        403 => {
            let needed = header(&answer.headers, "x-accepted-github-permissions");
            let needed = needed.map_or_else(String::new, |needed| format!("; the token needs {needed}"));
            failure(ErrorClass::Authorization, &needed)
        }
        404 => failure(ErrorClass::NotFound, "; it is not there, or the token cannot see it"),
        410 => failure(ErrorClass::NotFound, ""),
        408 | 500.. => {
            let failure = failure(ErrorClass::ServiceUnavailable, "");
            if method == Method::GET { failure } else { failure.in_doubt() }
        }
        _ => failure(ErrorClass::Validation, ""),
    }
}

/// How long to wait when GitHub limits us: `retry-after`, else until the limit is lifted, else a minute.
/// A 403 without any of these is about permissions.
fn limited(answer: &Answer, said: &str, now: i64) -> Option<Duration> {
    if !matches!(answer.status, 403 | 429) {
        return None;
    }
    let number = |name| header(&answer.headers, name)?.parse::<i64>().ok();
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    if let Some(after) = number(RETRY_AFTER.as_str()) {
        return Some(seconds(after));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        return Some(number("x-ratelimit-reset").map_or(SLOW_DOWN, |reset| seconds(reset - now)));
    }
    (answer.status == 429 || said.contains("secondary rate limit")).then_some(SLOW_DOWN)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// GitHub's own words: the message, and what is wrong with which field. `errors` holds objects or texts.
fn message_of(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Json>(body) else {
        return String::from_utf8_lossy(body).chars().take(200).collect();
    };
    let message = body.get("message").and_then(Json::as_str).unwrap_or("(no message)");
    let errors: Vec<String> = body.get("errors").and_then(Json::as_array).into_iter().flatten().map(error_of).collect();
    if errors.is_empty() { message.to_owned() } else { format!("{message} ({})", errors.join("; ")) }
}

fn error_of(error: &Json) -> String {
    let text = |name: &str| error.get(name).and_then(Json::as_str);
    match (error.as_str(), text("message")) {
        (Some(plain), _) => plain.to_owned(),
        (None, Some(message)) => message.to_owned(),
        (None, None) => format!("{} {}", text("field").unwrap_or("-"), text("code").unwrap_or("-")),
    }
}

#[cfg(test)]
#[path = "github_tests.rs"]
mod tests;
