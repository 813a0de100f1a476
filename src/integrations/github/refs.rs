//! Repositories and their branches.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::Method;
use serde::Deserialize;

use super::GitHub;
use super::call::Call;
use super::paths::{part, repository_path};

/// What GitHub says of a branch that is to be deleted and is not there.
const IS_GONE: &str = "Reference does not exist";

/// A repository.
#[derive(Clone, Debug, Deserialize)]
pub struct Repository {
    /// The branch that everything goes into.
    pub default_branch: String,
}

/// A branch.
#[derive(Clone, Debug, Deserialize)]
pub struct Branch {
    /// Whether rules of the repository protect it.
    #[serde(default)]
    pub protected: bool,
    /// The commit at its end.
    pub commit: Commit,
}

/// A commit.
#[derive(Clone, Debug, Deserialize)]
pub struct Commit {
    /// Its name.
    pub sha: String,
}

impl GitHub {
    /// A repository.
    pub async fn repository(&self, repository: &str) -> Result<Repository, Failure> {
        self.get(&format!("/repos/{}", repository_path(repository)?)).await
    }

    /// A branch, if it is there.
    pub async fn branch(&self, repository: &str, branch: &str) -> Result<Option<Branch>, Failure> {
        let path = format!("/repos/{}/branches/{}", repository_path(repository)?, part(branch)?);
        match self.get(&path).await {
            Err(failure) if failure.class == ErrorClass::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Deletes a branch. One that is gone already is deleted, too.
    pub async fn delete_branch(&self, repository: &str, branch: &str, key: &str) -> Result<(), Failure> {
        let reference = part(&format!("heads/{branch}"))?;
        let path = format!("/repos/{}/git/refs/{reference}", repository_path(repository)?);
        let call = Call { method: Method::DELETE, key: Some(key), ..Call::get(&path) };
        match self.call(&call).await {
            Err(failure) if failure.message.contains(IS_GONE) => Ok(()),
            other => other.map(drop),
        }
    }
}
