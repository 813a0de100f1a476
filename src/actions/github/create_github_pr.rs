//! `create_github_pr`: sees to it that there is a pull request from a branch: the one that Codegen opened, the open
//! one of the same branch, or a new one. A hidden mark tells whether a new one was opened.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Working,
};
use serde::Serialize;

use super::super::pull_request::REPOSITORY;
use super::super::with::With;
use super::{Client, SERVICES, SETTLES, done, seen};
use crate::integrations::github::{GitHub, NewPull, Pull, mark, marked};

const NOTHING: Option<&str> = Some("");

static INFO: ActionInfo = ActionInfo {
    name: "create_github_pr",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        // The pull request that there is already; with one of them nothing else is needed.
        Parameter { name: "pr_url", accepts: Accepts::OptionalText, default: NOTHING },
        Parameter { name: "pr_number", accepts: Accepts::OptionalText, default: NOTHING },
        Parameter { name: "head", accepts: Accepts::OptionalText, default: NOTHING },
        // Nothing for the default branch.
        Parameter { name: "base", accepts: Accepts::OptionalText, default: NOTHING },
        Parameter { name: "title", accepts: Accepts::OptionalText, default: NOTHING },
        Parameter { name: "body", accepts: Accepts::OptionalText, default: NOTHING },
        Parameter { name: "draft", accepts: Accepts::Flag, default: Some("false") },
    ],
    timeout: None,
    waits: None,
    services: SERVICES,
};

/// What GitHub says when there is one already.
const EXISTS: &str = "A pull request already exists";

/// The action.
pub struct CreateGithubPr(pub Client);

/// What later steps see.
#[derive(Serialize)]
struct Output {
    /// Number of the pull request.
    number: u64,
    /// Its page.
    url: String,
    /// Whether it was there already.
    adopted: bool,
    /// Commit at its head.
    head_sha: String,
}

impl Output {
    fn of(pull: Pull, key: &str) -> Self {
        let adopted = !pull.body.contains(&mark(key));
        Self { number: pull.number, url: pull.html_url, adopted, head_sha: pull.head_sha }
    }
}

impl Action for CreateGithubPr {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move { create(github.get()?, &attempt).await })
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move {
            let with = With(&attempt.with);
            let (repository, head) = (with.text("repository")?, with.text("head")?);
            // Also one that was closed or merged meanwhile was opened.
            let pulls = github.get()?.pulls_from(&repository, &head, "all").await?;
            let mark = mark(&attempt.key);
            let ours = pulls.into_iter().find(|pull| pull.body.contains(&mark));
            seen(ours.map(|pull| Output::of(pull, &attempt.key)))
        })
    }

    fn settles(&self) -> std::time::Duration {
        SETTLES
    }
}

async fn create(github: &GitHub, attempt: &Attempt) -> Outcome {
    let (with, key) = (With(&attempt.with), attempt.key.as_str());
    let repository = with.text("repository")?;
    if let Some(number) = named(&with, &repository)? {
        return done(&Output::of(github.pull(&repository, number).await?, key));
    }
    let (head, title) = (with.text("head")?, with.text("title")?);
    let base = with.text_or_empty("base")?;
    let base = if base.is_empty() { github.repository(&repository).await?.default_branch } else { base };
    if let Some(pull) = open_one(github, &repository, (&head, &base)).await? {
        return done(&Output::of(pull, key));
    }
    let body = marked(&with.text_or_empty("body")?, key);
    let new = NewPull { head: &head, base: &base, title: &title, body: &body, draft: with.flag("draft") };
    match github.open_pull(&repository, &new, key).await {
        // Somebody was faster.
        Err(failure) if failure.message.contains(EXISTS) => {
            let pull = open_one(github, &repository, (&head, &base)).await?;
            done(&Output::of(pull.ok_or(failure)?, key))
        }
        other => done(&Output::of(other?, key)),
    }
}

async fn open_one(github: &GitHub, repository: &str, (head, base): (&str, &str)) -> Result<Option<Pull>, Failure> {
    let pulls = github.pulls_from(repository, head, "open").await?;
    Ok(pulls.into_iter().find(|pull| pull.base_ref == base))
}

/// The pull request that a step names, by number or by its page. A page of another repository is a mistake.
fn named(with: &With<'_>, repository: &str) -> Result<Option<u64>, Failure> {
    if !with.text_or_empty("pr_number")?.is_empty() {
        return with.number("pr_number").map(Some);
    }
    let url = with.text_or_empty("pr_url")?;
    if url.is_empty() {
        return Ok(None);
    }
    number_in(&url, repository).map(Some).ok_or_else(|| {
        let message = format!("with.pr_url: `{url}` is no pull request of {repository}");
        Failure::new(ErrorClass::Validation, message)
    })
}

/// The number in `https://HOST/owner/name/pull/7`.
pub(super) fn number_in(url: &str, repository: &str) -> Option<u64> {
    let path = url.split(['?', '#']).next()?.split_once("://")?.1.split_once('/')?.1;
    let (of, rest) = path.split_once("/pull/")?;
    let number = rest.split('/').next()?.parse().ok()?;
    of.eq_ignore_ascii_case(repository).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_its_pull_request() {
        let check = |url: &str, expect: Option<u64>| assert_eq!(number_in(url, "acme/shop"), expect, "{url}");
        check("https://github.com/acme/shop/pull/7", Some(7));
        check("https://ghe.example/Acme/Shop/pull/7/files?x=1#y", Some(7));
        check("https://github.com/acme/other/pull/7", None);
        check("https://github.com/acme/shop/issues/7", None);
        check("acme/shop/pull/7", None);
        check("https://github.com/acme/shop/pull/x", None);
    }
}
