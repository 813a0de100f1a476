//! `post_github_review`: reviews a pull request. A hidden mark in it tells whether it was posted.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Working,
};
use serde::Serialize;
use serde_json::Value as Json;

use super::super::pull_request::{HEAD_SHA, Head, PR_NUMBER, REPOSITORY};
use super::super::with::With;
use super::lines::{self, Dropped};
use super::{Client, SERVICES, SETTLES, done, seen, superseded};
use crate::integrations::github::{GitHub, LineComment, NewReview, Review};

static INFO: ActionInfo = ActionInfo {
    name: "post_github_review",
    class: EffectClass::Probe,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        PR_NUMBER,
        HEAD_SHA,
        Parameter { name: "event", accepts: Accepts::OneOf(&EVENTS), default: Some("COMMENT") },
        Parameter { name: "body", accepts: Accepts::Text, default: None },
        Parameter {
            name: "comments",
            accepts: Accepts::ListOf(&Accepts::TableOf(&Accepts::Text)),
            default: Some("{{ [] }}"),
        },
    ],
    timeout: None,
    waits: None,
    services: SERVICES,
};

/// What a review can say.
static EVENTS: [&str; 3] = ["APPROVE", "REQUEST_CHANGES", COMMENT];

/// What anybody may say, also of a pull request of one's own.
const COMMENT: &str = "COMMENT";

/// How GitHub ends what it says to those who approve their own pull request, or want it changed.
const OWN: &str = "your own pull request";

/// The action.
pub struct PostGithubReview(pub Client);

/// What later steps see.
#[derive(Serialize)]
struct Output {
    /// Number of the review.
    id: u64,
    /// Its place on the page.
    html_url: String,
    /// What it became: `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
    state: String,
    /// Whether it only comments because the pull request is our own.
    own: Option<bool>,
    /// How many lines it speaks about; not known of one that was looked for.
    comments: Option<usize>,
    /// What stands in its body, because GitHub takes no comment there.
    dropped: Option<Vec<Dropped>>,
}

impl Output {
    /// Of a review that was looked for.
    fn found(review: Review) -> Self {
        let Review { id, html_url, state, .. } = review;
        Self { id, html_url, state, own: None, comments: None, dropped: None }
    }
}

impl Action for PostGithubReview {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move { post(github.get()?, &attempt).await })
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move {
            let with = With(&attempt.with);
            let (repository, number) = (with.text("repository")?, with.number("pr_number")?);
            seen(github.get()?.find_review(&repository, number, &attempt.key).await?.map(Output::found))
        })
    }

    fn settles(&self) -> std::time::Duration {
        SETTLES
    }
}

async fn post(github: &GitHub, attempt: &Attempt) -> Outcome {
    let (head, with) = (Head::of(&attempt.with)?, With(&attempt.with));
    let (event, text) = (with.text("event")?, with.text("body")?);
    let comments = comments(&attempt.with)?;
    if let Some(superseded) = superseded(github, &head).await? {
        return Ok(superseded);
    }
    let files = if comments.is_empty() { Vec::new() } else { github.files(&head.repository, head.number).await?.0 };
    let (comments, dropped) = lines::sorted(comments, &files);
    let body = with_dropped(&text, &dropped);
    let new = NewReview { event: &event, body: &body, head_sha: &head.sha, comments: &comments };
    let posted = github.review(&head.repository, head.number, &new, &attempt.key).await;
    let (review, own) = match posted {
        Err(failure) if event != COMMENT && failure.message.contains(OWN) => {
            let new = NewReview { event: COMMENT, ..new };
            (github.review(&head.repository, head.number, &new, &attempt.key).await?, true)
        }
        other => (other?, false),
    };
    let (own, comments, dropped) = (Some(own), Some(comments.len()), Some(dropped));
    done(&Output { own, comments, dropped, ..Output::found(review) })
}

/// The comments of a step. A line may be a text: a template made it so.
fn comments(with: &serde_json::Map<String, Json>) -> Result<Vec<LineComment>, Failure> {
    let items = with.get("comments").and_then(Json::as_array).into_iter().flatten();
    items.zip(1..).map(|(item, place)| comment(item, place)).collect()
}

fn comment(item: &Json, place: usize) -> Result<LineComment, Failure> {
    let text = |name: &str| item.get(name).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let line = item.get("line").and_then(|line| line.as_u64().or_else(|| line.as_str()?.trim().parse().ok()));
    let read = || Some(LineComment { path: text("path")?, line: line?, body: text("body")? });
    read().ok_or_else(|| {
        let message = format!("with.comments.{place}: a comment has `path`, `line` and `body`");
        Failure::new(ErrorClass::Validation, message)
    })
}

/// What can stand at no line stands below the rest.
fn with_dropped(text: &str, dropped: &[Dropped]) -> String {
    let line = |dropped: &Dropped| {
        let LineComment { path, line, body } = &dropped.comment;
        format!("\n- `{path}:{line}`: {body}")
    };
    let lines: String = dropped.iter().map(line).collect();
    if lines.is_empty() { text.to_owned() } else { format!("{text}\n\nOutside of the diff:\n{lines}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_are_read_or_named() {
        let with =
            json!({"comments": [{"path": "a", "line": "7", "body": "x"}, {"path": "a", "line": 8, "body": "y"}]});
        let read = comments(with.as_object().unwrap()).unwrap();
        assert_eq!(read.iter().map(|comment| comment.line).collect::<Vec<_>>(), [7, 8]);
        let with = json!({"comments": [{"path": "a", "line": 1, "body": "x"}, {"path": "a", "body": "x"}]});
        let failure = comments(with.as_object().unwrap()).unwrap_err();
        assert_eq!(failure.message, "with.comments.2: a comment has `path`, `line` and `body`");
    }

    #[test]
    fn nothing_is_lost() {
        let comment = LineComment { path: "a.rs".into(), line: 7, body: "Why?".into() };
        let dropped = [Dropped { comment, reason: "x" }];
        assert_eq!(with_dropped("Good.", &dropped), "Good.\n\nOutside of the diff:\n\n- `a.rs:7`: Why?");
        assert_eq!(with_dropped("Good.", &[]), "Good.");
    }
}
