//! Runs of GitHub Actions: their jobs, what these wrote, and having them done again.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value as Json;

use super::GitHub;
use super::call::Call;
use super::paths::{part, repository_path};
use super::pulls::read;

/// Pages of jobs that are read, of a hundred each: a matrix has at most 256.
const JOB_PAGES: usize = 10;

/// Pages of runs that are read, of a hundred each: a commit has a few for each workflow.
const RUN_PAGES: usize = 3;

/// Most bytes of a log that are kept: what matters of a failure stands at its end.
const LARGEST_LOG: usize = 512 << 10;

/// A run.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkflowRun {
    /// Its number.
    pub id: u64,
    /// Name of the workflow.
    #[serde(default)]
    pub name: Option<String>,
    /// Number of the workflow.
    #[serde(default)]
    pub workflow_id: Option<u64>,
    /// What started it, such as `pull_request`.
    #[serde(default)]
    pub event: Option<String>,
    /// The commit.
    pub head_sha: String,
    /// Its branch.
    #[serde(default)]
    pub head_branch: Option<String>,
    /// `queued`, `in_progress`, `completed`, …
    #[serde(default)]
    pub status: Option<String>,
    /// How it ended.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// 1 for the first.
    #[serde(default)]
    pub run_attempt: u64,
    /// Its page.
    #[serde(default)]
    pub html_url: String,
}

/// A job of a run.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// How it ended.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// Its page.
    #[serde(default)]
    pub html_url: Option<String>,
    /// Its steps.
    #[serde(default)]
    pub steps: Vec<JobStep>,
}

/// A step of a job.
#[derive(Clone, Debug, Deserialize)]
pub struct JobStep {
    /// Its name.
    pub name: String,
    /// How it ended.
    #[serde(default)]
    pub conclusion: Option<String>,
}

/// The end of what a job wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The text.
    pub text: String,
    /// Whether it is all.
    pub is_whole: bool,
}

impl GitHub {
    /// A run.
    pub async fn workflow_run(&self, repository: &str, run: u64) -> Result<WorkflowRun, Failure> {
        self.get(&format!("/repos/{}/actions/runs/{run}", repository_path(repository)?)).await
    }

    /// The runs for a commit, newest first.
    pub async fn workflow_runs(&self, repository: &str, sha: &str) -> Result<Vec<WorkflowRun>, Failure> {
        let path = format!("/repos/{}/actions/runs?head_sha={}&per_page=100", repository_path(repository)?, part(sha)?);
        let runs_of = |mut page: Json| serde_json::from_value(page.get_mut("workflow_runs")?.take()).ok();
        let (items, _) = self.list_in(&path, RUN_PAGES, runs_of).await?;
        items.into_iter().map(|item| read(&path, item)).collect()
    }

    /// The jobs of the last attempt at a run.
    pub async fn jobs(&self, repository: &str, run: u64) -> Result<Vec<Job>, Failure> {
        let path =
            format!("/repos/{}/actions/runs/{run}/jobs?filter=latest&per_page=100", repository_path(repository)?);
        let jobs_of = |mut page: Json| serde_json::from_value(page.get_mut("jobs")?.take()).ok();
        let (items, _) = self.list_in(&path, JOB_PAGES, jobs_of).await?;
        items.into_iter().map(|item| read(&path, item)).collect()
    }

    /// What a job wrote; none when that is not kept any more.
    pub async fn job_log(&self, repository: &str, job: u64) -> Result<Option<Log>, Failure> {
        let path = format!("/repos/{}/actions/jobs/{job}/logs", repository_path(repository)?);
        let call = Call { largest: LARGEST_LOG, end: true, ..Call::get(&path) };
        match self.call(&call).await {
            Err(failure) if failure.class == ErrorClass::NotFound => Ok(None),
            other => other.map(|answer| {
                Some(Log { text: String::from_utf8_lossy(&answer.body).into_owned(), is_whole: !answer.cut })
            }),
        }
    }

    /// Has the jobs of a run that failed done again, and those that need them.
    pub async fn rerun_failed_jobs(&self, repository: &str, run: u64, key: &str) -> Result<(), Failure> {
        let path = format!("/repos/{}/actions/runs/{run}/rerun-failed-jobs", repository_path(repository)?);
        let call = Call { method: Method::POST, key: Some(key), ..Call::get(&path) };
        self.call(&call).await.map(drop)
    }
}
