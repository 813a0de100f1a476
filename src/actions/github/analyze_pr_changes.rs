//! `analyze_pr_changes`: what a pull request changes, by area, and what of it deserves a second look. Changes nothing
//! outside.

use std::collections::BTreeMap;

use pointsman_actors::executor::port::{Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Working};
use serde::Serialize;

use super::super::pull_request::{HEAD_SHA, Head, PR_NUMBER, REPOSITORY};
use super::{Client, SERVICES, done, superseded};
use crate::integrations::github::{ChangedFile, GitHub};

static INFO: ActionInfo = ActionInfo {
    name: "analyze_pr_changes",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[REPOSITORY, PR_NUMBER, HEAD_SHA],
    timeout: None,
    waits: None,
    services: SERVICES,
};

/// From so many changed lines on, few people read all of them.
const LARGE: u64 = 1_000;

/// The action.
pub struct AnalyzePrChanges(pub Client);

/// What later steps see.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Output {
    /// How many files change.
    files: usize,
    /// New lines.
    additions: u64,
    /// Lines that are gone.
    deletions: u64,
    /// How many files change in each area: `tests`, `docs`, `ci`, `dependencies`, `migrations`, `code`.
    areas: BTreeMap<&'static str, usize>,
    /// What deserves a second look, in words.
    risks: Vec<String>,
    /// Whether GitHub listed all files.
    whole: bool,
}

impl Action for AnalyzePrChanges {
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
    let head = Head::of(&attempt.with)?;
    if let Some(superseded) = superseded(github, &head).await? {
        return Ok(superseded);
    }
    let (files, whole) = github.files(&head.repository, head.number).await?;
    done(&output(&files, whole))
}

fn output(files: &[ChangedFile], whole: bool) -> Output {
    let sum = |of: fn(&ChangedFile) -> u64| files.iter().map(of).sum();
    let mut areas = BTreeMap::new();
    for file in files {
        *areas.entry(area(&file.filename)).or_default() += 1;
    }
    let (additions, deletions) = (sum(|file| file.additions), sum(|file| file.deletions));
    let risks = risks(files, &areas, (additions + deletions, whole));
    Output { files: files.len(), additions, deletions, areas, risks, whole }
}

/// What a file is about, by its path.
fn area(path: &str) -> &'static str {
    let path = path.to_ascii_lowercase();
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let is_in = |folders: &[&str]| path.split('/').rev().skip(1).any(|folder| folders.contains(&folder));
    const LOCKS: [&str; 12] = [
        "cargo.toml",
        "cargo.lock",
        "package.json",
        "package-lock.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "go.mod",
        "go.sum",
        "requirements.txt",
        "pyproject.toml",
        "poetry.lock",
        "gemfile.lock",
    ];
    if LOCKS.contains(&name) {
        "dependencies"
    } else if path.starts_with(".github/workflows/") || is_in(&[".circleci", ".ci"]) || name == ".gitlab-ci.yml" {
        "ci"
    } else if is_in(&["migrations", "migration"]) {
        "migrations"
    } else if is_in(&["test", "tests", "__tests__", "spec"])
        || ["_test", "_tests", "_spec"].iter().any(|end| stem.ends_with(end))
        || [".test.", ".spec."].iter().any(|part| name.contains(part))
    {
        "tests"
    } else if is_in(&["doc", "docs"]) || name.ends_with(".md") || name.ends_with(".rst") {
        "docs"
    } else {
        "code"
    }
}

fn risks(files: &[ChangedFile], areas: &BTreeMap<&'static str, usize>, (lines, whole): (u64, bool)) -> Vec<String> {
    let mut risks = Vec::new();
    let mut note = |holds: bool, risk: &str| {
        if holds {
            risks.push(risk.to_owned())
        }
    };
    let has = |area: &str| areas.contains_key(area);
    note(!whole, "more files change than GitHub lists");
    note(lines >= LARGE, "many lines change");
    note(has("ci"), "how it is built and checked changes");
    note(has("dependencies"), "dependencies change");
    note(has("migrations"), "stored data is migrated");
    note(has("code") && !has("tests"), "code changes and no test does");
    let removed = |file: &ChangedFile| file.status == "removed" && area(&file.filename) == "tests";
    note(files.iter().any(removed), "tests are removed");
    let is_secret = |file: &ChangedFile| {
        let name = file.filename.rsplit('/').next().unwrap_or_default();
        name == ".env" || name.starts_with(".env.") || name.ends_with(".pem") || name.ends_with(".key")
    };
    note(files.iter().any(is_secret), "a file of a kind that holds secrets changes");
    risks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(filename: &str, status: &str, additions: u64) -> ChangedFile {
        ChangedFile { filename: filename.into(), status: status.into(), additions, deletions: 1, patch: None }
    }

    #[test]
    fn paths_tell_what_a_file_is_about() {
        for (path, expect) in [
            ("src/lib.rs", "code"),
            ("Cargo.lock", "dependencies"),
            ("web/package.json", "dependencies"),
            (".github/workflows/ci.yml", "ci"),
            ("db/migrations/1.sql", "migrations"),
            ("tests/a.rs", "tests"),
            ("web/a.test.ts", "tests"),
            ("pkg/a_test.go", "tests"),
            ("README.md", "docs"),
            ("src/latest.rs", "code"),
        ] {
            assert_eq!(area(path), expect, "{path}");
        }
    }

    #[test]
    fn what_deserves_a_second_look_is_named() {
        let check = |files: &[ChangedFile], whole, expect: &[&str]| assert_eq!(output(files, whole).risks, expect);
        check(&[file("src/a.rs", "modified", 1), file("tests/a.rs", "modified", 1)], true, &[]);
        check(&[file("src/a.rs", "modified", 1)], true, &["code changes and no test does"]);
        check(&[file("tests/a.rs", "removed", 1)], true, &["tests are removed"]);
        check(&[file("docs/a.md", "added", 5_000)], true, &["many lines change"]);
        check(&[file("docs/a.md", "added", 1)], false, &["more files change than GitHub lists"]);
        check(&[file("tests/.env", "added", 1)], true, &["a file of a kind that holds secrets changes"]);
        let sum = output(&[file("a.md", "added", 2), file("b.md", "added", 3)], true);
        assert_eq!((sum.files, sum.additions, sum.deletions, sum.areas["docs"]), (2, 5, 2, 2));
    }
}
