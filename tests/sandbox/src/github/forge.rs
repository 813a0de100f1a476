//! What GitHub holds beside pull requests and statuses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::hooks::{Access, SendingHook};

/// Who the sandbox's token belongs to.
pub const WHO: &str = "pointsman";

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Forge {
    /// Branches by repository and name.
    pub branches: BTreeMap<(String, String), Branch>,
    /// The code of commits, packed, by repository and commit.
    pub tarballs: BTreeMap<(String, String), Vec<u8>>,
    /// Comments, oldest first.
    pub comments: Vec<Comment>,
    /// Reviews, oldest first.
    pub reviews: Vec<Review>,
    /// Check runs, oldest first.
    pub checks: Vec<CheckRun>,
    /// Tokens of the App's installation that are good.
    pub tokens: Vec<String>,
    /// How long new ones are said to live, in seconds; an hour without it.
    pub tokens_live: Option<i64>,
    /// Hooks, by `owner/name#1`, `organisation#1`, or `app`.
    pub hooks: BTreeMap<String, SendingHook>,
    /// What whoever asks with a token may do with them.
    pub access: Access,
    /// Networks from which it says that it delivers.
    pub hook_ranges: Vec<String>,
    /// Runs of GitHub Actions by repository and number.
    pub runs: BTreeMap<(String, u64), Run>,
}

/// A check run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRun {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The commit.
    pub head_sha: String,
    /// How it ended.
    pub conclusion: Option<String>,
    /// What its maker calls it.
    pub external_id: String,
}

/// A run of GitHub Actions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Name of its workflow; `CI` when it is empty.
    pub name: String,
    /// The commit.
    pub head_sha: String,
    /// `completed`, `in_progress` or `queued`.
    pub status: String,
    /// How it ended.
    pub conclusion: Option<String>,
    /// 1 for the first.
    pub attempt: u64,
    /// Its jobs.
    pub jobs: Vec<Job>,
}

/// A job of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub conclusion: String,
    /// The names of its steps that failed.
    pub failed_steps: Vec<String>,
    /// What it wrote; none when that has expired.
    pub log: Option<String>,
}

/// A branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Commit at its end.
    pub sha: String,
    /// Whether rules protect it.
    #[serde(default)]
    pub protected: bool,
}

/// A comment on an issue or a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// `owner/name`.
    pub repository: String,
    /// The issue or pull request.
    pub number: u64,
    /// Its own number.
    pub id: u64,
    /// What it says.
    pub body: String,
}

/// A review of a pull request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// `owner/name`.
    pub repository: String,
    /// The pull request.
    pub number: u64,
    /// Its own number.
    pub id: u64,
    /// `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
    pub state: String,
    /// What it says of the whole.
    pub body: String,
    /// The commit that it is about.
    pub commit_id: String,
    /// What it says of lines.
    pub comments: Vec<Json>,
}

impl Forge {
    /// The number of the next comment or review.
    pub fn next_id(&self) -> u64 {
        1_000 + self.comments.len() as u64 + self.reviews.len() as u64
    }
}
