//! What steps can do at GitHub: a file for each, beside `validate_pr` and `update_pr_status`.

pub mod analyze_pr_changes;
pub mod analyze_workflow_failure;
pub mod cleanup_branches;
pub mod create_github_pr;
pub mod failure_log;
pub mod find_pull_request;
pub mod generate_pr_review;
pub mod github_comment;
pub mod lines;
pub mod post_github_review;
pub mod rerun_failed_jobs;

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{Action, Outcome, Success};
use serde::Serialize;

use super::pull_request::{self, Head, Standing};
use crate::integrations::Integrations;
use crate::integrations::github::GitHub;

/// All of them, with what they call.
pub fn all(integrations: &Integrations) -> Vec<Arc<dyn Action>> {
    let github = || Client(integrations.github.clone());
    vec![
        Arc::new(github_comment::GithubComment(github())),
        Arc::new(post_github_review::PostGithubReview(github())),
        Arc::new(create_github_pr::CreateGithubPr(github())),
        Arc::new(find_pull_request::FindPullRequest(github())),
        Arc::new(cleanup_branches::CleanupBranches(github())),
        Arc::new(analyze_pr_changes::AnalyzePrChanges(github())),
        Arc::new(analyze_workflow_failure::AnalyzeWorkflowFailure(github())),
        Arc::new(rerun_failed_jobs::RerunFailedJobs(github())),
        Arc::new(generate_pr_review::GeneratePrReview::new(
            integrations.github.clone(),
            Arc::clone(&integrations.claude_code),
        )),
    ]
}

/// What these actions call.
const SERVICES: &[&str] = &["github"];

/// How long after a write a look may still not show it: lists of GitHub are not always of this moment.
const SETTLES: Duration = Duration::from_secs(3);

/// GitHub, if it is configured.
#[derive(Clone)]
pub struct Client(Option<Arc<GitHub>>);

impl Client {
    fn unavailable(&self) -> Option<String> {
        self.0.is_none().then(|| pull_request::NOT_CONFIGURED.to_owned())
    }

    fn get(&self) -> Result<&GitHub, Failure> {
        self.0.as_deref().ok_or_else(pull_request::not_configured)
    }
}

/// What an action gives.
fn done(output: &impl Serialize) -> Outcome {
    let output = serde_json::to_value(output);
    output.map(Success::Done).map_err(|error| Failure::new(ErrorClass::Internal, error.to_string()))
}

/// What a look gives: what was found as an output, or that nothing has happened.
fn seen<T: Serialize>(found: Option<T>) -> Outcome {
    found.map_or(Ok(Success::Absent), |found| done(&found))
}

/// Why nothing is to be said of a head any more, if it is no longer the newest.
async fn superseded(github: &GitHub, head: &Head) -> Result<Option<Success>, Failure> {
    Ok(match head.look(github).await? {
        Standing::Current(_) => None,
        Standing::Old(reason) => Some(Success::Superseded(reason)),
    })
}
