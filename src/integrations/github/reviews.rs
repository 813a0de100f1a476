//! Reviews of pull requests.

use pointsman_actors::executor::failure::Failure;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::comments::{MOST_PAGES, too_many};
use super::paths::repository_path;
use super::pulls::read;
use super::{GitHub, mark, marked};

/// A review to be posted.
#[derive(Clone, Debug)]
pub struct NewReview<'a> {
    /// `APPROVE`, `REQUEST_CHANGES` or `COMMENT`.
    pub event: &'a str,
    /// What it says of the whole.
    pub body: &'a str,
    /// The commit that it is about.
    pub head_sha: &'a str,
    /// What it says of single lines.
    pub comments: &'a [LineComment],
}

/// What is said of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineComment {
    /// The file.
    pub path: String,
    /// The line, as it is after the change.
    pub line: u64,
    /// What is said.
    pub body: String,
}

/// A review.
#[derive(Clone, Debug, Deserialize)]
pub struct Review {
    /// Its number.
    pub id: u64,
    /// Its place on the page.
    #[serde(default)]
    pub html_url: String,
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED` or `PENDING`.
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    body: Option<String>,
}

impl GitHub {
    /// Posts a review with a mark.
    pub async fn review(
        &self,
        repository: &str,
        number: u64,
        new: &NewReview<'_>,
        key: &str,
    ) -> Result<Review, Failure> {
        let path = format!("/repos/{}/pulls/{number}/reviews", repository_path(repository)?);
        let of_line = |comment: &LineComment| json!({ "path": comment.path, "line": comment.line, "side": "RIGHT", "body": comment.body });
        let comments: Vec<_> = new.comments.iter().map(of_line).collect();
        let (event, body) = (new.event, marked(new.body, key));
        let body = json!({ "event": event, "body": body, "commit_id": new.head_sha, "comments": comments });
        self.write(Method::POST, &path, &body, key).await
    }

    /// The review that carries the mark of this key.
    pub async fn find_review(&self, repository: &str, number: u64, key: &str) -> Result<Option<Review>, Failure> {
        let path = format!("/repos/{}/pulls/{number}/reviews?per_page=100", repository_path(repository)?);
        let (items, is_whole) = self.list(&path, MOST_PAGES).await?;
        let mark = mark(key);
        for item in items {
            let review: Review = read(&path, item)?;
            if review.body.as_deref().is_some_and(|body| body.contains(&mark)) {
                return Ok(Some(review));
            }
        }
        if is_whole { Ok(None) } else { Err(too_many(&path)) }
    }
}
