//! `analyze_workflow_failure`: which jobs of a run of GitHub Actions failed, where, with which words, and what kind of
//! failure that is; if asked to, together with what else has failed for the same commit. Changes nothing outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pointsman_actors::executor::failure::Failure;
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde::Serialize;

use super::super::pull_request::{REPOSITORY, short};
use super::super::with::With;
use super::failure_log::{self, Kind};
use super::{Client, SERVICES, done};
use crate::integrations::github::{GitHub, Job, Pull, WorkflowRun};

/// Which run, taken from the run's input unless the step says otherwise.
pub const RUN_ID: Parameter =
    Parameter { name: "run_id", accepts: Accepts::Number, default: Some("{{ input.run_id }}") };

static INFO: ActionInfo = ActionInfo {
    name: "analyze_workflow_failure",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        RUN_ID,
        // The attempt that failed; with it nothing is said of one that was done again since.
        Parameter { name: "run_attempt", accepts: Accepts::OptionalText, default: Some("") },
        // Whether it is about the head of a pull request: then what else has failed for that is looked at as well, and nothing is
        // said of a commit that is no head any more.
        Parameter { name: "whole_head", accepts: Accepts::Flag, default: Some("false") },
    ],
    timeout: Some(Duration::from_secs(180)),
    waits: None,
    services: SERVICES,
};

/// Most failed jobs whose logs are read: those of a matrix fail alike.
const MOST_LOGS: usize = 10;

/// Most other runs that are looked at.
const MOST_OTHERS: usize = 10;

/// How a job ends that did not fail.
const FINE: [&str; 4] = ["success", "skipped", "neutral", "cancelled"];

/// How a run ends that says nothing about the commit: it was not done, or not to its end.
const SILENT: [&str; 5] = ["skipped", "cancelled", "neutral", "stale", "action_required"];

/// How a run ends that failed.
const FAILED: [&str; 3] = ["failure", "timed_out", "startup_failure"];

/// The action.
pub struct AnalyzeWorkflowFailure(pub Client);

/// What later steps see.
#[derive(Serialize)]
struct Output {
    /// The run.
    #[serde(flatten)]
    run: FailedRun,
    /// The pull requests with its commit.
    pull_requests: Vec<u64>,
    /// What else has failed for its commit, of each workflow the newest; only if that was asked for.
    others: Vec<FailedRun>,
}

/// A run that failed.
#[derive(Serialize)]
struct FailedRun {
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
    let (repository, run_id, whole_head) = (with.text("repository")?, with.number("run_id")?, with.flag("whole_head"));
    let run = github.workflow_run(&repository, run_id).await?;
    let attempt = if with.text_or_empty("run_attempt")?.is_empty() { None } else { Some(with.number("run_attempt")?) };
    if let Some(reason) = attempt.and_then(|attempt| again(&run, attempt)) {
        return Ok(Success::Superseded(reason));
    }
    let pulls = github.pulls_with(&repository, &run.head_sha).await?;
    let others = if whole_head {
        if let Some(reason) = no_head(&pulls, &run.head_sha) {
            return Ok(Success::Superseded(reason));
        }
        let all = github.workflow_runs(&repository, &run.head_sha).await?;
        if let Some(reason) = newer(&all, &run) {
            return Ok(Success::Superseded(reason));
        }
        failed_beside(all, &run)
    } else {
        Vec::new()
    };
    let mut logs = MOST_LOGS;
    let run = failed_run(github, &repository, run, &mut logs).await?;
    let mut read = Vec::new();
    for other in others {
        read.push(failed_run(github, &repository, other, &mut logs).await?);
    }
    done(&Output { run, pull_requests: pulls.iter().map(|pull| pull.number).collect(), others: read })
}

/// Why an attempt at a run is not its last word any more.
fn again(run: &WorkflowRun, attempt: u64) -> Option<String> {
    let is_again = run.run_attempt > attempt;
    is_again.then(|| format!("run {} was begun again since, as attempt {}", run.id, run.run_attempt))
}

/// Why nothing is to be said of a commit as the head of a pull request.
fn no_head(pulls: &[Pull], sha: &str) -> Option<String> {
    let is_head = |pull: &Pull| pull.state == "open" && pull.head_sha.eq_ignore_ascii_case(sha);
    (!pulls.iter().any(is_head)).then(|| format!("{} is the head of no open pull request any more", short(sha)))
}

/// What starts a workflow and how is part of what it does.
fn is_same_workflow(a: &WorkflowRun, b: &WorkflowRun) -> bool {
    (a.workflow_id, &a.event) == (b.workflow_id, &b.event)
}

/// Whether a run says, or will say, something about the commit.
fn speaks(run: &WorkflowRun) -> bool {
    !run.conclusion.as_deref().is_some_and(|end| SILENT.contains(&end))
}

/// Why the run is not the last word of its workflow about the commit.
fn newer(all: &[WorkflowRun], run: &WorkflowRun) -> Option<String> {
    let newest = all.iter().find(|other| is_same_workflow(other, run) && speaks(other))?;
    let is_newer = newest.id != run.id && all.iter().any(|other| other.id == run.id);
    is_newer
        .then(|| format!("run {} is of the same workflow for the same commit, and newer than {}", newest.id, run.id))
}

/// What has failed beside a run: of each workflow its last word.
fn failed_beside(all: Vec<WorkflowRun>, run: &WorkflowRun) -> Vec<WorkflowRun> {
    let mut seen = BTreeSet::from([(run.workflow_id, run.event.clone())]);
    let newest = all.into_iter().filter(|it| speaks(it) && seen.insert((it.workflow_id, it.event.clone())));
    let has_failed = |run: &WorkflowRun| run.conclusion.as_deref().is_some_and(|end| FAILED.contains(&end));
    newest.filter(has_failed).take(MOST_OTHERS).collect()
}

/// What failed of a run; of so many jobs, less those whose logs are read, the log.
async fn failed_run(
    github: &GitHub,
    repository: &str,
    run: WorkflowRun,
    logs: &mut usize,
) -> Result<FailedRun, Failure> {
    let jobs = failed_jobs(github, repository, run.id, logs).await?;
    let conclusion = run.conclusion.unwrap_or_default();
    Ok(FailedRun {
        run_id: run.id,
        run_attempt: run.run_attempt,
        name: run.name.unwrap_or_default(),
        html_url: run.html_url,
        head_sha: run.head_sha,
        head_branch: run.head_branch.unwrap_or_default(),
        classification: common(&jobs).unwrap_or_else(|| failure_log::kind(&conclusion, &[], "")),
        summary: summary(&conclusion, &jobs),
        conclusion,
        jobs,
    })
}

async fn failed_jobs(github: &GitHub, repository: &str, run: u64, logs: &mut usize) -> Result<Vec<FailedJob>, Failure> {
    let jobs = github.jobs(repository, run).await?;
    let failed = jobs.into_iter().filter(|job| job.conclusion.as_deref().is_some_and(|end| !FINE.contains(&end)));
    let mut read = Vec::new();
    for job in failed {
        let log = if *logs > 0 { github.job_log(repository, job.id).await? } else { None };
        *logs = logs.saturating_sub(1);
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

fn summary(conclusion: &str, jobs: &[FailedJob]) -> String {
    if jobs.is_empty() {
        let never_began = conclusion == "startup_failure";
        return if never_began { "It could not be started; most often its file is wrong" } else { "No job failed" }
            .to_owned();
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
        assert_eq!(summary("failure", &[job(Kind::Test), job(Kind::Lint)]), "Failed: j (s), j (s)");
        assert_eq!(summary("startup_failure", &[]), "It could not be started; most often its file is wrong");
    }

    fn run(id: u64, workflow: u64, conclusion: &str) -> WorkflowRun {
        let run = serde_json::json!({
            "id": id, "workflow_id": workflow, "event": "pull_request", "head_sha": "a1", "status": "completed",
            "conclusion": conclusion, "run_attempt": 1,
        });
        serde_json::from_value(run).unwrap()
    }

    #[test]
    fn a_run_is_spoken_of_as_long_as_it_is_the_last_word() {
        let failed = run(7, 1, "failure");
        assert_eq!(again(&failed, 1), None);
        let later = WorkflowRun { run_attempt: 2, ..failed.clone() };
        assert_eq!(again(&later, 1).as_deref(), Some("run 7 was begun again since, as attempt 2"));
        assert_eq!(again(&later, 2), None);
        assert_eq!(newer(&[run(8, 2, "success"), failed.clone(), run(6, 1, "success")], &failed), None);
        assert!(newer(&[run(9, 1, "success"), failed.clone()], &failed).is_some_and(|reason| reason.contains("run 9")));
        assert_eq!(newer(&[run(6, 1, "success")], &failed), None, "it is not listed yet");
        assert_eq!(newer(&[run(9, 1, "skipped"), run(8, 1, "cancelled"), failed.clone()], &failed), None);
        let of_push = WorkflowRun { event: Some("push".into()), ..run(9, 1, "success") };
        assert_eq!(newer(&[of_push, failed.clone()], &failed), None);
        let pull = |state: &str, sha: &str| Pull { state: state.into(), head_sha: sha.into(), ..Pull::default() };
        assert_eq!(no_head(&[pull("open", "b1"), pull("open", "A1")], "a1"), None);
        let expect = Some("a1 is the head of no open pull request any more".to_owned());
        assert_eq!(
            [no_head(&[pull("closed", "a1"), pull("open", "b1")], "a1"), no_head(&[], "a1")],
            [expect.clone(), expect]
        );
    }

    #[test]
    fn of_each_other_workflow_the_newest_run_counts() {
        let own = run(7, 1, "failure");
        let all = vec![
            run(12, 2, "failure"),
            run(11, 3, "success"),
            run(10, 3, "failure"),
            run(13, 4, "skipped"),
            run(9, 4, "timed_out"),
            own.clone(),
            run(6, 1, "failure"),
            run(5, 2, "failure"),
            run(4, 5, "cancelled"),
        ];
        let found: Vec<u64> = failed_beside(all, &own).into_iter().map(|run| run.id).collect();
        assert_eq!(found, [12, 9]);
    }
}
