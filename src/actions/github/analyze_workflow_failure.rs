//! `analyze_workflow_failure`: which jobs of a run of GitHub Actions failed, where, with which words, and what kind of
//! failure that is. Changes nothing outside.

use std::collections::BTreeMap;
use std::time::Duration;

use pointsman_actors::executor::failure::Failure;
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Working,
};
use serde::Serialize;

use super::super::pull_request::REPOSITORY;
use super::super::with::With;
use super::failure_log::{self, Kind};
use super::{Client, SERVICES, done};
use crate::integrations::github::{GitHub, Job};

/// Which run, taken from the run's input unless the step says otherwise.
pub const RUN_ID: Parameter =
    Parameter { name: "run_id", accepts: Accepts::Number, default: Some("{{ input.run_id }}") };

static INFO: ActionInfo = ActionInfo {
    name: "analyze_workflow_failure",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[REPOSITORY, RUN_ID],
    timeout: Some(Duration::from_secs(180)),
    waits: None,
    services: SERVICES,
};

/// Most failed jobs whose logs are read: those of a matrix fail alike.
const MOST_LOGS: usize = 10;

/// How a job ends that did not fail.
const FINE: [&str; 4] = ["success", "skipped", "neutral", "cancelled"];

/// The action.
pub struct AnalyzeWorkflowFailure(pub Client);

/// What later steps see.
#[derive(Serialize)]
struct Output {
    /// Number of the run.
    run_id: u64,
    /// Which attempt at it.
    run_attempt: u64,
    /// Name of the workflow.
    name: String,
    /// How it ended.
    conclusion: String,
    /// Its page.
    html_url: String,
    /// The commit.
    head_sha: String,
    /// Its branch.
    head_branch: String,
    /// The pull requests with that commit.
    pull_requests: Vec<u64>,
    /// What most of the failed jobs have in common.
    classification: Kind,
    /// A line for people.
    summary: String,
    /// The jobs that failed.
    jobs: Vec<FailedJob>,
}

/// A job that failed.
#[derive(Debug, Serialize)]
struct FailedJob {
    /// Its number.
    id: u64,
    /// Its name.
    name: String,
    /// How it ended.
    conclusion: String,
    /// Its page.
    html_url: Option<String>,
    /// The steps that failed.
    failed_steps: Vec<String>,
    /// What kind of failure it was.
    classification: Kind,
    /// The lines of its log that matter; none when the log is not kept any more or was not read.
    lines: Vec<String>,
}

impl Action for AnalyzeWorkflowFailure {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move { analyze(github.get()?, &attempt).await })
    }
}

async fn analyze(github: &GitHub, attempt: &Attempt) -> Outcome {
    let with = With(&attempt.with);
    let (repository, run_id) = (with.text("repository")?, with.number("run_id")?);
    let run = github.workflow_run(&repository, run_id).await?;
    let pull_requests = github.pulls_with(&repository, &run.head_sha).await?;
    let jobs = failed_jobs(github, &repository, run_id).await?;
    let conclusion = run.conclusion.unwrap_or_default();
    let classification = common(&jobs).unwrap_or_else(|| failure_log::kind(&conclusion, &[], ""));
    done(&Output {
        run_id,
        run_attempt: run.run_attempt,
        name: run.name.unwrap_or_default(),
        conclusion,
        html_url: run.html_url,
        head_sha: run.head_sha,
        head_branch: run.head_branch.unwrap_or_default(),
        pull_requests,
        classification,
        summary: summary(&jobs),
        jobs,
    })
}

async fn failed_jobs(github: &GitHub, repository: &str, run: u64) -> Result<Vec<FailedJob>, Failure> {
    let jobs = github.jobs(repository, run).await?;
    let failed = jobs.into_iter().filter(|job| job.conclusion.as_deref().is_some_and(|end| !FINE.contains(&end)));
    let mut read = Vec::new();
    for job in failed {
        let log = if read.len() < MOST_LOGS { github.job_log(repository, job.id).await? } else { None };
        read.push(failed_job(job, log.map(|log| log.text).as_deref()));
    }
    Ok(read)
}

fn failed_job(job: Job, log: Option<&str>) -> FailedJob {
    let Job { id, name, conclusion, html_url, steps } = job;
    let conclusion = conclusion.unwrap_or_default();
    let failed = steps.into_iter().filter(|step| step.conclusion.as_deref().is_some_and(|end| !FINE.contains(&end)));
    let failed_steps: Vec<String> = failed.map(|step| step.name).collect();
    let classification = failure_log::kind(&conclusion, &failed_steps, log.unwrap_or_default());
    let lines = log.map(failure_log::lines).unwrap_or_default();
    FailedJob { id, name, conclusion, html_url, failed_steps, classification, lines }
}

/// What most jobs have in common; of several that as many have, the one that others may follow from.
fn common(jobs: &[FailedJob]) -> Option<Kind> {
    let mut count = BTreeMap::<Kind, usize>::new();
    for job in jobs {
        *count.entry(job.classification).or_default() += 1;
    }
    count.into_iter().rev().max_by_key(|(_, number)| *number).map(|(kind, _)| kind)
}

fn summary(jobs: &[FailedJob]) -> String {
    if jobs.is_empty() {
        return "No job failed".to_owned();
    }
    let one = |job: &FailedJob| match job.failed_steps.first() {
        Some(step) => format!("{} ({step})", job.name),
        None => job.name.clone(),
    };
    format!("Failed: {}", jobs.iter().map(one).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_most_jobs_is_that_of_the_run() {
        let job = |classification| FailedJob {
            id: 1,
            name: "j".into(),
            conclusion: "failure".into(),
            html_url: None,
            failed_steps: vec!["s".into()],
            classification,
            lines: Vec::new(),
        };
        let check = |kinds: &[Kind], expect: Option<Kind>| {
            let jobs: Vec<FailedJob> = kinds.iter().map(|kind| job(*kind)).collect();
            assert_eq!(common(&jobs), expect, "{kinds:?}");
        };
        check(&[], None);
        check(&[Kind::Test, Kind::Lint, Kind::Test], Some(Kind::Test));
        check(&[Kind::Lint, Kind::Infrastructure], Some(Kind::Infrastructure));
        assert_eq!(summary(&[job(Kind::Test), job(Kind::Lint)]), "Failed: j (s), j (s)");
    }
}
