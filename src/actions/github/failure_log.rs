//! What a failed job's log tells: the lines that matter, and what kind of failure it was. Pure.

use serde::Serialize;

/// Most lines that are kept of a log.
const MOST_LINES: usize = 40;

/// Most characters of each.
const LONGEST_LINE: usize = 300;

/// Lines that are shown when none of a log says that something is wrong.
const LAST: usize = 15;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The machine, the network or a service let the job down.
    Infrastructure,
    /// It took too long.
    Timeout,
    /// What it depends on could not be fetched or resolved.
    Dependency,
    /// It does not compile, or how it is built and checked makes no sense.
    Build,
    /// A test failed.
    Test,
    /// Form or style is not as agreed.
    Lint,
    /// None of these.
    Unknown,
}

/// Signs of each kind, in lower case. The first kind of which there is a sign is it: what fails for want of a network
/// has failing tests, too.
const SIGNS: [(Kind, &[&str]); 6] = [
    (
        Kind::Infrastructure,
        &[
            "no space left on device",
            "the runner has received a shutdown signal",
            "lost communication with the server",
            "the hosted runner",
            "cannot connect to the docker daemon",
            "oomkilled",
            "out of memory",
            "502 bad gateway",
            "503 service unavailable",
            "internal server error",
        ],
    ),
    (
        Kind::Timeout,
        &["has exceeded the maximum execution time", "timed out after", "exceeded timeout of", "timeout exceeded"],
    ),
    (
        Kind::Dependency,
        &[
            "npm err! code eresolve",
            "npm error code eresolve",
            "npm err! 404",
            "could not resolve dependencies",
            "no matching distribution found",
            "failed to select a version",
            "failed to download",
            "unable to resolve dependency",
            "cannot find module",
            "modulenotfounderror",
            "could not resolve host",
            "lockfile needs to be updated",
        ],
    ),
    (
        Kind::Build,
        &[
            "error: could not compile",
            "error[e",
            "compilation failed",
            "build failed",
            "syntaxerror",
            "error ts",
            "undefined reference to",
            "fatal error:",
            "cannot find symbol",
            "failed to compile",
        ],
    ),
    (
        Kind::Test,
        &[
            "test result: failed",
            "failing tests",
            "tests failed",
            "test failed",
            "assertionerror",
            "assertion failed",
            "--- fail:",
            "failures:",
            "✕",
            "failed tests/",
            "panicked at",
        ],
    ),
    (
        Kind::Lint,
        &[
            "eslint",
            "prettier",
            "rustfmt",
            "clippy::",
            "diff in ",
            "flake8",
            "ruff",
            "pylint",
            "golangci-lint",
            "would reformat",
        ],
    ),
];

/// Words of steps that tell the kind when the log does not.
const NAMES: [(Kind, &[&str]); 4] = [
    (Kind::Lint, &["lint", "format", "fmt", "style", "clippy"]),
    (Kind::Test, &["test", "spec"]),
    (Kind::Dependency, &["install", "dependenc", "restore"]),
    (Kind::Build, &["build", "compile", "typecheck"]),
];

/// Words of lines that say what is wrong.
const LOUD: [&str; 9] =
    ["##[error]", "error", "failed", "failure", "panicked", "exception", "traceback", "fatal", "assert"];

/// What kind of failure it was, by how a job ended, the names of its steps that failed, and its log.
pub fn kind(conclusion: &str, steps: &[String], log: &str) -> Kind {
    match conclusion {
        "timed_out" => return Kind::Timeout,
        // Nothing of it was begun, because nobody can make sense of its file: the machine had no part in that.
        "startup_failure" => return Kind::Build,
        _ => {}
    }
    let log = log.to_lowercase();
    let said = SIGNS.iter().find(|(_, signs)| signs.iter().any(|sign| log.contains(sign)));
    let steps = steps.join("\n").to_lowercase();
    let named = NAMES.iter().find(|(_, words)| words.iter().any(|word| steps.contains(word)));
    said.map(|(kind, _)| *kind).or_else(|| named.map(|(kind, _)| *kind)).unwrap_or(Kind::Unknown)
}

/// The lines of a log that say what is wrong, each with the one after it; the last ones when none does.
pub fn lines(log: &str) -> Vec<String> {
    let plain: Vec<String> = log.lines().map(plain).filter(|line| !line.is_empty()).collect();
    let is_loud = |line: &String| {
        let line = line.to_lowercase();
        LOUD.iter().any(|word| line.contains(word))
    };
    let loud: Vec<bool> = plain.iter().map(is_loud).collect();
    let matters = |place: usize| {
        let is = |place: usize| loud.get(place).copied().unwrap_or(false);
        is(place) || place.checked_sub(1).is_some_and(is)
    };
    let mut kept: Vec<String> =
        plain.iter().enumerate().filter(|(place, _)| matters(*place)).map(|(_, line)| line.clone()).collect();
    let most = if kept.is_empty() { LAST } else { MOST_LINES };
    if kept.is_empty() {
        kept = plain;
    }
    // What failed last is what the job ended with.
    kept.split_off(kept.len().saturating_sub(most))
}

/// A line without its time and its colours.
fn plain(line: &str) -> String {
    let line = match line.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') && time.contains('T') => rest,
        _ => line,
    };
    let (mut text, mut in_colour) = (String::new(), false);
    for c in line.trim_start_matches('\u{feff}').chars() {
        match (c, in_colour) {
            ('\u{1b}', _) => in_colour = true,
            (c, true) => in_colour = !c.is_ascii_alphabetic(),
            (c, false) => text.push(c),
        }
    }
    text.trim_end().chars().take(LONGEST_LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_tell_what_kind_of_failure_it_was() {
        let check = |conclusion: &str, step: &str, log: &str, expect: Kind| {
            assert_eq!(kind(conclusion, &[step.to_owned()], log), expect, "{log}");
        };
        check("failure", "Run", "test result: FAILED. 3 passed; 1 failed", Kind::Test);
        check("failure", "Run", "FAILED tests/test_a.py::test_b - AssertionError", Kind::Test);
        check("failure", "Run", "error[E0308]: mismatched types\nerror: could not compile `x`", Kind::Build);
        check("failure", "Run", "src/a.ts(1,2): error TS2322: Type", Kind::Build);
        check("failure", "Run", "npm ERR! code ERESOLVE", Kind::Dependency);
        check("failure", "Run", "Diff in src/a.rs at line 3", Kind::Lint);
        check("failure", "Run", "write: No space left on device\ntest result: FAILED", Kind::Infrastructure);
        check("failure", "Run", "The job has exceeded the maximum execution time of 6h0m0s", Kind::Timeout);
        check("timed_out", "Run", "", Kind::Timeout);
        check("startup_failure", "", "", Kind::Build);
        check("failure", "Run unit tests", "exit code 1", Kind::Test);
        check("failure", "Lint", "exit code 1", Kind::Lint);
        check("failure", "Deploy", "exit code 1", Kind::Unknown);
    }

    #[test]
    fn the_lines_that_matter_are_kept_without_their_times_and_colours() {
        let log = "2026-01-05T10:00:00.1234567Z Compiling x\n2026-01-05T10:00:01.1Z \u{1b}[31merror\u{1b}[0m: no\n  --> a.rs:1\nfine\nfine";
        assert_eq!(lines(log), ["error: no", "  --> a.rs:1"]);
        let quiet: String = (0..20).map(|number| format!("line {number}\n")).collect();
        assert_eq!((lines(&quiet).len(), lines(&quiet)[0].as_str()), (15, "line 5"));
        let loud: String = (0..99).map(|number| format!("error {number}\n")).collect();
        assert_eq!((lines(&loud).len(), lines(&loud)[39].as_str()), (40, "error 98"));
        assert_eq!(lines(&"error".repeat(200))[0].len(), 300);
    }
}
