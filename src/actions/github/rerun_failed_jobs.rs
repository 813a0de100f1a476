//! `rerun_failed_jobs`: has what failed of a run of GitHub Actions done again. The number of the attempt tells whether
//! it was.

use pointsman_actors::executor::failure::Failure;
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Working,
};
use serde::Serialize;

use super::super::pull_request::REPOSITORY;
use super::super::with::With;
use super::analyze_workflow_failure::RUN_ID;
use super::{Client, SERVICES, SETTLES, done, seen};
use crate::integrations::github::GitHub;

static INFO: ActionInfo = ActionInfo {
    name: "rerun_failed_jobs",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        RUN_ID,
        // The attempt that failed: a later one is what is asked for, whoever began it.
        Parameter { name: "run_attempt", accepts: Accepts::Number, default: Some("{{ input.run_attempt }}") },
    ],
    timeout: None,
    waits: None,
    services: SERVICES,
};

/// The action.
pub struct RerunFailedJobs(pub Client);

/// What later steps see.
#[derive(Serialize)]
struct Output {
    /// The attempt that is under way.
    run_attempt: u64,
}

impl Action for RerunFailedJobs {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move {
            let (github, with) = (github.get()?, With(&attempt.with));
            let failed = with.number("run_attempt")?;
            if let Some(later) = later(github, &with).await? {
                return done(&later);
            }
            github.rerun_failed_jobs(&with.text("repository")?, with.number("run_id")?, &attempt.key).await?;
            done(&Output { run_attempt: failed + 1 })
        })
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move { seen(later(github.get()?, &With(&attempt.with)).await?) })
    }

    fn settles(&self) -> std::time::Duration {
        SETTLES
    }
}

/// An attempt after the one that failed.
async fn later(github: &GitHub, with: &With<'_>) -> Result<Option<Output>, Failure> {
    let failed = with.number("run_attempt")?;
    let run = github.workflow_run(&with.text("repository")?, with.number("run_id")?).await?;
    Ok((run.run_attempt > failed).then_some(Output { run_attempt: run.run_attempt }))
}
