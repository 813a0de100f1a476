//! What actions share that speak about the head of a pull request.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{Accepts, Parameter};
use serde_json::{Map, Value as Json};

use super::ports::PullRequests;
use super::with::With;
use crate::integrations::github::Pull;

/// Which pull request, taken from the run's input unless the step says otherwise.
pub const REPOSITORY: Parameter =
    Parameter { name: "repository", accepts: Accepts::Text, default: Some("{{ input.repository }}") };
/// Its number.
pub const PR_NUMBER: Parameter =
    Parameter { name: "pr_number", accepts: Accepts::Number, default: Some("{{ input.pr_number }}") };
/// The head that is spoken about.
pub const HEAD_SHA: Parameter =
    Parameter { name: "head_sha", accepts: Accepts::Text, default: Some("{{ input.head_sha }}") };

/// Why nothing can be done without GitHub.
pub const NOT_CONFIGURED: &str = "GitHub is not configured; set GITHUB_TOKEN, or GITHUB_APP_ID and its key";

/// The head of a pull request.
pub struct Head {
    /// `owner/name`.
    pub repository: String,
    /// Number of the pull request.
    pub number: u64,
    /// The commit.
    pub sha: String,
}

/// A head against what GitHub says.
pub enum Standing {
    /// It still is the head.
    Current(Box<Pull>),
    /// It is not, in words.
    Old(String),
}

impl Head {
    /// The head that a step names.
    pub fn of(with: &Map<String, Json>) -> Result<Self, Failure> {
        let with = With(with);
        Ok(Self {
            repository: with.text("repository")?,
            number: with.number("pr_number")?,
            sha: with.text("head_sha")?,
        })
    }

    /// Asks whether it still is the head: pushes overtake each other on their way here, and what is said
    /// last about a pull request must be about its newest head.
    pub async fn look(&self, github: &impl PullRequests) -> Result<Standing, Failure> {
        let pull = github.pull(&self.repository, self.number).await?;
        if pull.head_sha.eq_ignore_ascii_case(&self.sha) {
            return Ok(Standing::Current(Box::new(pull)));
        }
        Ok(Standing::Old(format!(
            "the head of {}#{} is now {}, not {}",
            self.repository,
            self.number,
            short(&pull.head_sha),
            short(&self.sha)
        )))
    }
}

/// A commit as people write it.
pub fn short(sha: &str) -> String {
    sha.chars().take(7).collect()
}

/// A step that needs GitHub where it is not configured.
pub fn not_configured() -> Failure {
    Failure::new(ErrorClass::Authentication, NOT_CONFIGURED)
}
