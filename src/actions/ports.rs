//! What actions need of the services that they call. Integrations are that in the product; a simulation
//! stands in for them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::executor::failure::Failure;
use serde_json::Value as Json;

use crate::integrations::claude_code::Question;
use crate::integrations::github::{Code, Diff, GitHub, Pull, Status};
use crate::integrations::notifications::{Message, Target, Undelivered};
use crate::integrations::reviewer::Reviewer;
use crate::integrations::verdict::Verdict;
use crate::integrations::workplace::Workplace;

/// Where pull requests are.
pub trait PullRequests: Send + Sync + 'static {
    /// A pull request as it is now.
    fn pull(&self, repository: &str, number: u64) -> impl Future<Output = Result<Pull, Failure>> + Send;

    /// What it changes.
    fn diff(&self, repository: &str, number: u64) -> impl Future<Output = Result<Diff, Failure>> + Send;

    /// Puts the files of a commit into the part `name` of a workplace.
    fn code(
        &self,
        commit: (&str, &str),
        workplace: Arc<Workplace>,
        name: &'static str,
    ) -> impl Future<Output = Result<Code, Failure>> + Send {
        let _ = (commit, workplace, name);
        async { Ok(Code::UNREAD) }
    }

    /// Sets a commit status; doing that again is as doing it once.
    fn set_status(
        &self,
        repository: &str,
        sha: &str,
        status: &Status,
        key: &str,
    ) -> impl Future<Output = Result<Json, Failure>> + Send;

    /// Says the same in a check run, where that can be; gives its number. Doing that again is as doing it once.
    fn set_check(
        &self,
        repository: &str,
        sha: &str,
        status: &Status,
        key: &str,
    ) -> impl Future<Output = Result<Option<u64>, Failure>> + Send {
        let _ = (repository, sha, status, key);
        async { Ok(None) }
    }
}

/// Who judges a change.
pub trait Judge: Send + Sync + 'static {
    /// Why it cannot be asked, if it cannot.
    fn unavailable(&self) -> Option<String>;

    /// Whether it may read the code of a change.
    fn reads_code(&self) -> bool {
        false
    }

    /// Judges a prompt. Dropping the future ends the work.
    fn judge(&self, question: Question<'_>) -> impl Future<Output = Result<Verdict, Failure>> + Send;
}

/// Where people read.
pub trait Channel: Send + Sync + 'static {
    /// Whether whoever reads there recognises the key of a message: then one in doubt may be sent again.
    fn is_keyed(&self) -> bool {
        false
    }

    /// Waits until another message may be sent, if that is soon. Otherwise the failure says when, and nothing was sent.
    fn admit(&self) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Sends a message, and waits at most `limit` for the answer.
    fn post(&self, message: &Message, limit: Duration) -> impl Future<Output = Result<(), Undelivered>> + Send;
}

impl PullRequests for GitHub {
    async fn pull(&self, repository: &str, number: u64) -> Result<Pull, Failure> {
        Self::pull(self, repository, number).await
    }

    async fn diff(&self, repository: &str, number: u64) -> Result<Diff, Failure> {
        Self::diff(self, repository, number).await
    }

    async fn code(&self, commit: (&str, &str), workplace: Arc<Workplace>, name: &'static str) -> Result<Code, Failure> {
        Self::code(self, commit, workplace, name).await
    }

    async fn set_status(&self, repository: &str, sha: &str, status: &Status, key: &str) -> Result<Json, Failure> {
        Self::set_status(self, repository, sha, status, key).await
    }

    async fn set_check(&self, repository: &str, sha: &str, status: &Status, key: &str) -> Result<Option<u64>, Failure> {
        Self::set_check(self, repository, sha, status, key).await
    }
}

impl Judge for Reviewer {
    fn unavailable(&self) -> Option<String> {
        Self::unavailable(self)
    }

    fn reads_code(&self) -> bool {
        Self::reads_code(self)
    }

    async fn judge(&self, question: Question<'_>) -> Result<Verdict, Failure> {
        Self::judge(self, question).await
    }
}

impl Channel for Target {
    fn is_keyed(&self) -> bool {
        Self::is_keyed(self)
    }

    async fn admit(&self) -> Result<(), Failure> {
        Self::admit(self).await
    }

    async fn post(&self, message: &Message, limit: Duration) -> Result<(), Undelivered> {
        Self::post(self, message, limit).await
    }
}
