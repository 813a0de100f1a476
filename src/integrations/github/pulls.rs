//! Pull requests: as they are, those of a branch, what they change, and new ones.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::call::Call;
use super::paths::{part, repository_path};
use super::{GitHub, json_of};

/// Pages of changed files that are read, of a hundred each; GitHub lists at most 3,000 files.
const FILE_PAGES: usize = 30;

/// Pages of pull requests that are read, of a hundred each: those of one branch are few.
const PULL_PAGES: usize = 3;

/// A pull request, as far as steps ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Commit at its head.
    pub head_sha: String,
    /// Branch that it comes from.
    pub head_ref: String,
    /// `owner/name` of where that branch is; none when that was deleted.
    pub head_repository: Option<String>,
    /// Branch that it goes into.
    pub base_ref: String,
    /// Its title.
    pub title: String,
    /// What its author wrote.
    pub body: String,
    /// Who opened it.
    pub author: String,
    /// `open` or `closed`.
    pub state: String,
    /// Whether it was merged. A list does not say; it says when.
    pub merged: bool,
    /// Whether it is a draft.
    pub draft: bool,
    /// Its page.
    pub html_url: String,
    /// When it was opened.
    pub created_at: Option<Timestamp>,
}

/// A pull request to be opened.
#[derive(Clone, Debug)]
pub struct NewPull<'a> {
    /// Branch that it comes from.
    pub head: &'a str,
    /// Branch that it goes into.
    pub base: &'a str,
    /// Its title.
    pub title: &'a str,
    /// What it says.
    pub body: &'a str,
    /// Whether it is a draft.
    pub draft: bool,
}

/// A file that a pull request changes.
#[derive(Clone, Debug, Deserialize)]
pub struct ChangedFile {
    /// Its path.
    pub filename: String,
    /// `added`, `removed`, `modified`, `renamed`, `copied`, `changed` or `unchanged`.
    #[serde(default)]
    pub status: String,
    /// Lines that are new.
    #[serde(default)]
    pub additions: u64,
    /// Lines that are gone.
    #[serde(default)]
    pub deletions: u64,
    /// The lines; left out by GitHub of what is binary or too long.
    #[serde(default)]
    pub patch: Option<String>,
}

impl GitHub {
    /// A pull request as it is now.
    pub async fn pull(&self, repository: &str, number: u64) -> Result<Pull, Failure> {
        let path = format!("/repos/{}/pulls/{number}", repository_path(repository)?);
        let call = Call { conditional: true, ..Call::get(&path) };
        let answer = self.call(&call).await?;
        json_of::<Shown>(&format!("GET {path}"), &answer).map(Into::into)
    }

    /// The pull requests from a branch of the repository itself, newest first. `state` is `open`, `closed` or `all`.
    pub async fn pulls_from(&self, repository: &str, branch: &str, state: &str) -> Result<Vec<Pull>, Failure> {
        let owner = repository.split('/').next().unwrap_or_default();
        self.pulls(repository, &format!("state={state}&head={}", part(&format!("{owner}:{branch}"))?)).await
    }

    /// The open pull requests, newest first.
    pub async fn open_pulls(&self, repository: &str) -> Result<Vec<Pull>, Failure> {
        self.pulls(repository, "state=open").await
    }

    /// The open pull requests into a branch, newest first.
    pub async fn pulls_into(&self, repository: &str, branch: &str) -> Result<Vec<Pull>, Failure> {
        self.pulls(repository, &format!("state=open&base={}", part(branch)?)).await
    }

    /// The pull requests with a commit; a run of a fork does not name its own.
    pub async fn pulls_with(&self, repository: &str, sha: &str) -> Result<Vec<Pull>, Failure> {
        let path = format!("/repos/{}/commits/{}/pulls?per_page=100", repository_path(repository)?, part(sha)?);
        let (items, _) = self.list(&path, PULL_PAGES).await?;
        items.into_iter().map(|item| read::<Shown>(&path, item).map(Into::into)).collect()
    }

    async fn pulls(&self, repository: &str, query: &str) -> Result<Vec<Pull>, Failure> {
        let path = format!("/repos/{}/pulls?{query}&per_page=100", repository_path(repository)?);
        let (items, _) = self.list(&path, PULL_PAGES).await?;
        items.into_iter().map(|item| read::<Shown>(&path, item).map(Into::into)).collect()
    }

    /// What a pull request changes, file by file, and whether that is all of it.
    pub async fn files(&self, repository: &str, number: u64) -> Result<(Vec<ChangedFile>, bool), Failure> {
        let path = format!("/repos/{}/pulls/{number}/files?per_page=100", repository_path(repository)?);
        let (items, is_whole) = self.list(&path, FILE_PAGES).await?;
        let files: Vec<ChangedFile> = items.into_iter().map(|item| read(&path, item)).collect::<Result<_, _>>()?;
        let is_whole = is_whole && files.len() < MOST_FILES;
        Ok((files, is_whole))
    }

    /// Opens a pull request.
    pub async fn open_pull(&self, repository: &str, new: &NewPull<'_>, key: &str) -> Result<Pull, Failure> {
        let path = format!("/repos/{}/pulls", repository_path(repository)?);
        let NewPull { head, base, title, body, draft } = new;
        let body = json!({ "head": head, "base": base, "title": title, "body": body, "draft": draft });
        self.write::<Shown>(Method::POST, &path, &body, key).await.map(Into::into)
    }
}

/// Most files that GitHub lists of a pull request: when it lists so many, there may be more.
const MOST_FILES: usize = 3_000;

/// An item of a list.
pub(super) fn read<T: serde::de::DeserializeOwned>(path: &str, item: Json) -> Result<T, Failure> {
    serde_json::from_value(item)
        .map_err(|error| Failure::new(ErrorClass::Validation, format!("GET {path}: an item cannot be read: {error}")))
}

/// A pull request as GitHub shows it.
#[derive(Deserialize)]
struct Shown {
    number: u64,
    #[serde(default)]
    state: String,
    #[serde(default)]
    merged: bool,
    #[serde(default)]
    merged_at: Option<String>,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    html_url: String,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    user: Option<User>,
    head: End,
    base: End,
}

/// Whoever did something; none when the account was deleted.
#[derive(Deserialize)]
pub(super) struct User {
    pub login: String,
}

#[derive(Deserialize)]
struct End {
    #[serde(default, rename = "ref")]
    branch: String,
    sha: String,
    #[serde(default)]
    repo: Option<Repo>,
}

#[derive(Deserialize)]
struct Repo {
    full_name: String,
}

impl From<Shown> for Pull {
    fn from(shown: Shown) -> Self {
        Self {
            number: shown.number,
            head_sha: shown.head.sha,
            head_ref: shown.head.branch,
            head_repository: shown.head.repo.map(|repo| repo.full_name),
            base_ref: shown.base.branch,
            title: shown.title,
            body: shown.body.unwrap_or_default(),
            author: shown.user.map(|user| user.login).unwrap_or_default(),
            state: shown.state,
            merged: shown.merged || shown.merged_at.is_some(),
            draft: shown.draft,
            html_url: shown.html_url,
            created_at: shown.created_at.as_deref().and_then(Timestamp::from_rfc3339),
        }
    }
}
