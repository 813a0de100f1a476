//! GitHub's REST API, as far as steps use it.
//!
//! Rules: docs.github.com/rest, "Best practices", "Rate limits for the REST API", "Troubleshooting".
//! A credential goes into one header of requests to the API itself and nowhere else: where an answer sends us to
//! another host, it stays here.

mod app;
mod cache;
mod call;
mod checks;
mod comments;
mod deliveries;
mod diff;
mod limits;
mod meta;
mod paths;
mod pulls;
mod refs;
pub mod refusal;
mod reviews;
mod runs;
mod tarball;
mod writes;

use std::sync::Mutex;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::SharedClock;
use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::http::Answer;
use crate::sources::github_payload::MARK;
pub use app::{AppCredential, AppKey};
use cache::Cache;
pub use call::Credential;
pub use comments::Comment;
pub use deliveries::{Hook, WatchedHooks};
pub use diff::Diff;
use limits::Limits;
pub use meta::Meta;
use paths::{part, repository_path};
pub use pulls::{ChangedFile, NewPull, Pull};
pub use refs::{Branch, Repository};
pub use reviews::{LineComment, NewReview, Review};
pub use runs::{Job, JobStep, Log, WorkflowRun};
pub use tarball::{Code, Extent};
use writes::Writes;

/// Longest description of a status; a longer one is a 422.
const LONGEST_DESCRIPTION: usize = 140;

/// Longest context of a status.
const LONGEST_CONTEXT: usize = 255;

/// Longest body of a comment, a review or a pull request.
const LONGEST_BODY: usize = 65_536;

/// GitHub, with a credential.
pub struct GitHub {
    http: Client,
    base: String,
    credential: Credential,
    clock: SharedClock,
    limits: Mutex<Limits>,
    cache: Mutex<Cache>,
    writes: Writes,
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
    /// The API at `base`, through a client that follows no redirect; writes go `apart` from each other.
    pub fn new(http: Client, base: &str, credential: Credential, clock: SharedClock, apart: Duration) -> Self {
        let (limits, cache, writes) = (Mutex::default(), Mutex::default(), Writes::new(apart));
        let base = base.trim_end_matches('/').to_owned();
        Self { http, base, credential, clock, limits, cache, writes }
    }

    /// Sets a commit status. Setting it again is as setting it once: GitHub shows the last of a context.
    pub async fn set_status(&self, repository: &str, sha: &str, status: &Status, key: &str) -> Result<Json, Failure> {
        let path = format!("/repos/{}/statuses/{}", repository_path(repository)?, part(sha)?);
        let body = json!({
            "state": status.state,
            "context": shortened(&status.context, LONGEST_CONTEXT),
            "description": shortened(&status.description, LONGEST_DESCRIPTION),
            "target_url": Some(&status.target_url).filter(|url| !url.is_empty()),
        });
        self.write(Method::POST, &path, &body, key).await
    }
}

fn json_of<T: DeserializeOwned>(what: &str, answer: &Answer) -> Result<T, Failure> {
    if answer.cut {
        return Err(Failure::new(ErrorClass::Validation, format!("{what}: the answer is larger than anybody expects")));
    }
    let read: Json = serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::new(ErrorClass::Temporary, format!("{what}: the answer is not JSON: {error}")))?;
    serde_json::from_value(read)
        .map_err(|error| Failure::new(ErrorClass::Validation, format!("{what}: the answer cannot be read: {error}")))
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// A text with a mark that only GitHub's API shows, by which a repetition is recognised.
pub fn marked(text: &str, key: &str) -> String {
    let mark = mark(key);
    format!("{}\n\n{mark}", shortened(text, LONGEST_BODY - 2 - mark.chars().count()))
}

/// What [`marked`] leaves in a text.
pub fn mark(key: &str) -> String {
    format!("{MARK}{key} -->")
}

#[cfg(test)]
mod tests;
