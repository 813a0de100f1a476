//! Comments on issues and pull requests.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::paths::repository_path;
use super::pulls::read;
use super::{GitHub, mark, marked};

/// Pages of comments that are looked through, of a hundred each.
pub(super) const MOST_PAGES: usize = 30;

/// A comment.
#[derive(Clone, Debug, Deserialize)]
pub struct Comment {
    /// Its number.
    pub id: u64,
    /// Its place on the page.
    #[serde(default)]
    pub html_url: String,
    #[serde(default)]
    body: Option<String>,
}

impl GitHub {
    /// Writes a comment on an issue or a pull request, with a mark.
    pub async fn comment(&self, repository: &str, number: u64, text: &str, key: &str) -> Result<Comment, Failure> {
        let path = format!("/repos/{}/issues/{number}/comments", repository_path(repository)?);
        self.write(Method::POST, &path, &json!({ "body": marked(text, key) }), key).await
    }

    /// The comment that carries the mark of this key.
    pub async fn find_comment(&self, repository: &str, number: u64, key: &str) -> Result<Option<Comment>, Failure> {
        let path = format!("/repos/{}/issues/{number}/comments?per_page=100", repository_path(repository)?);
        let (items, is_whole) = self.list(&path, MOST_PAGES).await?;
        let mark = mark(key);
        for item in items {
            let comment: Comment = read(&path, item)?;
            if comment.body.as_deref().is_some_and(|body| body.contains(&mark)) {
                return Ok(Some(comment));
            }
        }
        if is_whole { Ok(None) } else { Err(too_many(&path)) }
    }
}

/// What was not found may be in what was not read.
pub(super) fn too_many(path: &str) -> Failure {
    Failure::new(ErrorClass::Validation, format!("GET {path}: too many to be looked through"))
}
