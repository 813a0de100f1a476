//! `github_comment`: writes a comment on an issue or a pull request. A hidden mark in it tells whether it was
//! written.

use pointsman_actors::executor::failure::Failure;
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Working,
};
use serde::Serialize;

use super::super::pull_request::{Head, REPOSITORY};
use super::super::with::With;
use super::{Client, SERVICES, SETTLES, done, seen, superseded};
use crate::integrations::github::Comment;

static INFO: ActionInfo = ActionInfo {
    name: "github_comment",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        Parameter { name: "number", accepts: Accepts::Number, default: Some("{{ input.pr_number }}") },
        // With it, the comment is about this head of a pull request, and nothing is said of an older one.
        Parameter { name: "head_sha", accepts: Accepts::OptionalText, default: Some("") },
        Parameter { name: "body", accepts: Accepts::Text, default: None },
    ],
    timeout: None,
    waits: None,
    services: SERVICES,
};

/// The action.
pub struct GithubComment(pub Client);

/// What later steps see.
#[derive(Serialize)]
struct Output {
    /// Number of the comment.
    id: u64,
    /// Its place on the page.
    html_url: String,
}

impl From<Comment> for Output {
    fn from(comment: Comment) -> Self {
        Self { id: comment.id, html_url: comment.html_url }
    }
}

impl Action for GithubComment {
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
            let (repository, number) = place(&with)?;
            let head = Head { repository, number, sha: with.text_or_empty("head_sha")? };
            if !head.sha.is_empty()
                && let Some(superseded) = superseded(github, &head).await?
            {
                return Ok(superseded);
            }
            let comment = github.comment(&head.repository, number, &with.text("body")?, &attempt.key).await?;
            done(&Output::from(comment))
        })
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move {
            let (repository, number) = place(&With(&attempt.with))?;
            seen(github.get()?.find_comment(&repository, number, &attempt.key).await?.map(Output::from))
        })
    }

    fn settles(&self) -> std::time::Duration {
        SETTLES
    }
}

fn place(with: &With<'_>) -> Result<(String, u64), Failure> {
    Ok((with.text("repository")?, with.number("number")?))
}
