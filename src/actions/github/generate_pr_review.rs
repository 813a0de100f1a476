//! `generate_pr_review`: has Claude Code write a review of a pull request, ready for `post_github_review`. Changes
//! nothing outside.

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use serde::Serialize;
use serde_json::Value as Json;

use super::super::pull_request::{self, HEAD_SHA, PR_NUMBER, REPOSITORY};
use super::super::validate_pr::{Judged, Seen, judged};
use super::done;
use crate::integrations::github::{Extent, GitHub, LineComment};
use crate::integrations::program;
use crate::integrations::reviewer::Reviewer;
use crate::integrations::verdict::{Issue, Judgement, Verdict};

static INFO: ActionInfo = ActionInfo {
    name: "generate_pr_review",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        PR_NUMBER,
        HEAD_SHA,
        Parameter { name: "instructions", accepts: Accepts::OptionalText, default: Some("") },
    ],
    timeout: Some(Duration::from_secs(300)),
    waits: None,
    services: &["github", "claude_code"],
};

/// The action.
pub struct GeneratePrReview {
    github: Option<Arc<GitHub>>,
    claude_code: Arc<Reviewer>,
}

/// What later steps see.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Output {
    /// `APPROVE`, `REQUEST_CHANGES` or `COMMENT`.
    event: &'static str,
    /// What the review says of the whole.
    body: String,
    /// What it says of single lines.
    comments: Vec<LineComment>,
    /// 0 to 100.
    score: u8,
    /// Whether all of the change was seen.
    whole: bool,
    /// How much of the code around it.
    code: Extent,
}

impl GeneratePrReview {
    /// With these clients.
    pub fn new(github: Option<Arc<GitHub>>, claude_code: Arc<Reviewer>) -> Self {
        Self { github, claude_code }
    }
}

impl Action for GeneratePrReview {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        match &self.github {
            None => Some(pull_request::NOT_CONFIGURED.to_owned()),
            Some(_) => self.claude_code.unavailable(),
        }
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let (github, claude_code) = (self.github.clone(), Arc::clone(&self.claude_code));
        Box::pin(async move {
            let github = github.ok_or_else(pull_request::not_configured)?;
            match judged(github.as_ref(), claude_code.as_ref(), &attempt).await? {
                Judged::Old(reason) => Ok(Success::Superseded(reason)),
                Judged::Now { verdict, seen, .. } => done(&output(verdict, seen)),
            }
        })
    }

    fn clean_up(&self, notes: Vec<Json>) -> Working<()> {
        Box::pin(program::clean_up(notes))
    }
}

/// Nobody approves what was not seen whole, or what something is said about.
fn output(verdict: Verdict, Seen { is_whole, code }: Seen) -> Output {
    let event = match verdict.verdict {
        Judgement::Fail => "REQUEST_CHANGES",
        Judgement::Pass if is_whole && verdict.issues.is_empty() => "APPROVE",
        Judgement::Pass => "COMMENT",
    };
    let (mut comments, mut others) = (Vec::new(), Vec::new());
    for issue in verdict.issues {
        match at_line(&issue) {
            Some(comment) => comments.push(comment),
            None => others.push(in_words(&issue)),
        }
    }
    let mut body = format!("Score {} of 100.", verdict.score);
    if !is_whole {
        body.push_str(" The change is too large to be seen whole; this is about a part of it.");
    }
    if !others.is_empty() {
        body.push_str(&format!("\n\n{}", others.join("\n")));
    }
    Output { event, body, comments, score: verdict.score, whole: is_whole, code: code.extent }
}

fn at_line(issue: &Issue) -> Option<LineComment> {
    let line = issue.line.and_then(|line| u64::try_from(line).ok()).filter(|line| *line > 0)?;
    let path = issue.file.clone().filter(|file| !file.is_empty())?;
    Some(LineComment { path, line, body: format!("**{}**: {}", issue.severity, issue.message) })
}

fn in_words(issue: &Issue) -> String {
    let place = issue.file.as_ref().map(|file| format!(" `{file}`:")).unwrap_or_default();
    format!("- **{}**:{place} {}", issue.severity, issue.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrations::github::Code;

    #[test]
    fn a_verdict_becomes_a_review() {
        let issue = |file: Option<&str>, line| Issue {
            severity: "high".into(),
            message: "It leaks.".into(),
            file: file.map(str::to_owned),
            line,
        };
        let verdict = |verdict, issues: &[Issue]| Verdict { verdict, score: 40, issues: issues.to_vec() };
        let check = |verdict: Verdict, whole, event: &str, comments: usize, said: &str| {
            let output = output(verdict, Seen { is_whole: whole, code: Code::UNREAD });
            assert_eq!((output.event, output.comments.len()), (event, comments), "{output:?}");
            assert!(output.body.contains(said), "{}", output.body);
        };
        check(verdict(Judgement::Pass, &[]), true, "APPROVE", 0, "Score 40 of 100.");
        check(verdict(Judgement::Pass, &[]), false, "COMMENT", 0, "too large to be seen whole");
        check(verdict(Judgement::Pass, &[issue(None, None)]), true, "COMMENT", 0, "- **high**: It leaks.");
        check(verdict(Judgement::Fail, &[issue(Some("a"), Some(3))]), true, "REQUEST_CHANGES", 1, "Score");
        check(verdict(Judgement::Fail, &[issue(Some("a"), Some(-1))]), true, "REQUEST_CHANGES", 0, "`a`: It leaks.");
    }
}
