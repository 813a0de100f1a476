//! `cleanup_branches`: deletes the branch of a pull request that was merged. A branch that anybody may still want
//! stays, and the output says why. Deleting it twice is as deleting it once.

use pointsman_actors::executor::failure::Failure;
use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Working,
};
use serde::Serialize;

use super::super::pull_request::{PR_NUMBER, REPOSITORY};
use super::super::with::With;
use super::{Client, SERVICES, done};
use crate::integrations::github::{Branch, GitHub, Pull};
use crate::sources::is_codegens_branch;

static INFO: ActionInfo = ActionInfo {
    name: "cleanup_branches",
    class: EffectClass::Idempotent,
    on_doubt: OnDoubt::Repeat,
    parameters: &[
        REPOSITORY,
        PR_NUMBER,
        Parameter { name: "any_branch", accepts: Accepts::Flag, default: Some("false") },
    ],
    timeout: None,
    waits: None,
    services: SERVICES,
};

/// The action.
pub struct CleanupBranches(pub Client);

/// What later steps see.
#[derive(Serialize)]
struct Output {
    /// The branch.
    branch: String,
    /// Whether it is gone.
    deleted: bool,
    /// Why it is not, or that it was gone already.
    reason: Option<String>,
}

impl Action for CleanupBranches {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn unavailable(&self) -> Option<String> {
        self.0.unavailable()
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let github = self.0.clone();
        Box::pin(async move { clean_up(github.get()?, &attempt).await })
    }
}

async fn clean_up(github: &GitHub, attempt: &Attempt) -> Outcome {
    let with = With(&attempt.with);
    let (repository, number) = (with.text("repository")?, with.number("pr_number")?);
    let pull = github.pull(&repository, number).await?;
    let output = |deleted: bool, reason: Option<String>| Output { branch: pull.head_ref.clone(), deleted, reason };
    if let Some(reason) = keeps(&repository, &pull, with.flag("any_branch")) {
        return done(&output(false, Some(reason)));
    }
    if github.repository(&repository).await?.default_branch == pull.head_ref {
        return done(&output(false, Some("it is the default branch".to_owned())));
    }
    let Some(branch) = github.branch(&repository, &pull.head_ref).await? else {
        return done(&output(true, Some("it was gone already".to_owned())));
    };
    if let Some(reason) = is_wanted(&branch, &pull) {
        return done(&output(false, Some(reason)));
    }
    if let Some(other) = another(github, &repository, &pull.head_ref).await? {
        return done(&output(false, Some(format!("#{other} still uses it"))));
    }
    github.delete_branch(&repository, &pull.head_ref, &attempt.key).await?;
    done(&output(true, None))
}

/// Why the branch of a pull request is not ours to delete, by what the pull request says.
fn keeps(repository: &str, pull: &Pull, any_branch: bool) -> Option<String> {
    if !pull.merged {
        return Some("the pull request is not merged".to_owned());
    }
    match &pull.head_repository {
        None => return Some("its repository is gone".to_owned()),
        Some(other) if !other.eq_ignore_ascii_case(repository) => return Some(format!("it is in {other}")),
        Some(_) => {}
    }
    (!any_branch && !is_codegens_branch(&pull.head_ref)).then(|| "it is not one of Codegen's".to_owned())
}

/// Why a branch is not deleted, by what stands at its end.
fn is_wanted(branch: &Branch, pull: &Pull) -> Option<String> {
    if branch.protected {
        return Some("it is protected".to_owned());
    }
    (branch.commit.sha != pull.head_sha).then(|| "there are commits on it that were not merged".to_owned())
}

/// An open pull request from the branch or into it: it would be closed with it.
async fn another(github: &GitHub, repository: &str, branch: &str) -> Result<Option<u64>, Failure> {
    let from = github.pulls_from(repository, branch, "open").await?;
    let pulls = if from.is_empty() { github.pulls_into(repository, branch).await? } else { from };
    Ok(pulls.first().map(|pull| pull.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_merged_branches_of_codegen_in_the_same_repository_are_ours() {
        let merged =
            Pull { merged: true, head_ref: "codegen/x".into(), head_repository: Some("o/r".into()), ..Pull::default() };
        let check = |pull: &Pull, any: bool, expect: Option<&str>| {
            assert_eq!(keeps("o/r", pull, any).as_deref(), expect, "{pull:?}");
        };
        check(&merged, false, None);
        check(&Pull { head_repository: Some("O/R".into()), ..merged.clone() }, false, None);
        check(&Pull { merged: false, ..merged.clone() }, true, Some("the pull request is not merged"));
        check(&Pull { head_repository: Some("a/r".into()), ..merged.clone() }, true, Some("it is in a/r"));
        check(&Pull { head_repository: None, ..merged.clone() }, true, Some("its repository is gone"));
        let other = Pull { head_ref: "feature".into(), ..merged.clone() };
        check(&other, false, Some("it is not one of Codegen's"));
        check(&other, true, None);
        check(&Pull { head_ref: "codegen-7".into(), ..merged }, false, None);
    }
}
