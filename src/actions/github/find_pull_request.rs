//! `find_pull_request`: which of the linked pull requests of a repository is open. Changes nothing outside.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Working,
};
use serde::Serialize;

use super::super::with::With;
use super::create_github_pr::number_in;
use super::{Client, SERVICES, done};
use crate::integrations::github::{GitHub, Pull};

static INFO: ActionInfo = ActionInfo {
    name: "find_pull_request",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        // Nothing is found where no repository is named.
        Parameter { name: "repository", accepts: Accepts::OptionalText, default: Some("{{ input.repository }}") },
        // Links to others are passed over.
        Parameter { name: "urls", accepts: Accepts::ListOf(&Accepts::Text), default: None },
    ],
    timeout: None,
    waits: None,
    services: SERVICES,
};

/// Most links that are followed.
const MOST: usize = 10;

/// The action.
pub struct FindPullRequest(pub Client);

/// What later steps see; nothing when none is open.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Output {
    /// Its number.
    number: Option<u64>,
    /// Its page.
    url: Option<String>,
    /// Its branch.
    head_ref: Option<String>,
    /// Commit at its head.
    head_sha: Option<String>,
}

impl From<Pull> for Output {
    fn from(pull: Pull) -> Self {
        let Pull { number, html_url, head_ref, head_sha, .. } = pull;
        Self { number: Some(number), url: Some(html_url), head_ref: Some(head_ref), head_sha: Some(head_sha) }
    }
}

impl Action for FindPullRequest {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move {
            let with = With(&attempt.with);
            let repository = with.text_or_empty("repository")?;
            let urls = with.texts("urls");
            let numbers = urls.iter().filter_map(|url| number_in(url, &repository)).take(MOST);
            done(&open_one(github.get()?, &repository, numbers).await?)
        })
    }
}

async fn open_one(github: &GitHub, repository: &str, numbers: impl Iterator<Item = u64>) -> Result<Output, Failure> {
    for number in numbers {
        match github.pull(repository, number).await {
            Ok(pull) if pull.state == "open" => return Ok(Output::from(pull)),
            Ok(_) => {}
            // A link may lead nowhere.
            Err(failure) if failure.class == ErrorClass::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Output::default())
}
