//! Claude Code as a program: headless, without tools, with nothing of ours in its environment.
//!
//! The code that it judges is somebody else's: it gets it as text on standard input, may call no tool,
//! and reads no settings of a repository. The input is written only after its process stands in the
//! journal: should we end before, it finds its input closed and ends by itself; should we end later, the
//! next process finds it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::Notebook;
use tokio::process::Command;

use super::program::{self, Group, Limits, Said};
use super::verdict::{self, Ended, SCHEMA, Verdict};
use crate::config::settings::SecretText;

/// How much is read of an answer, and kept of complaints: the last line of them is shown.
const LIMITS: Limits = Limits { stdout: 8 << 20, stderr: 4 << 10 };

/// How it is run: one answer in JSON by a schema; no tools, no sessions, no settings, no servers.
const ARGUMENTS: [&str; 15] = [
    "-p",
    "--output-format",
    "json",
    "--json-schema",
    SCHEMA,
    "--max-turns",
    "8",
    "--tools",
    "",
    "--permission-mode",
    "dontAsk",
    "--no-session-persistence",
    "--strict-mcp-config",
    "--setting-sources",
    "",
];

/// The command that runs Claude Code.
pub struct ClaudeCode {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What is to be judged.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What is asked.
    pub prompt: &'a str,
    /// By which what the program leaves behind is recognised; another one for each question.
    pub mark: &'a str,
    /// Where the process is written down before it sees the prompt.
    pub notebook: &'a Notebook,
    /// How long it may take.
    pub limit: Duration,
}

impl ClaudeCode {
    /// `command` is a program with leading arguments, separated by blanks; of our environment it sees
    /// only what is `passed_on`, and the key for its API.
    pub fn new(command: &str, passed_on: &[(String, String)], api_key: Option<&SecretText>) -> Self {
        let mut words = command.split_whitespace().map(str::to_owned);
        let mut environment = passed_on.to_vec();
        environment.extend(api_key.map(|key| ("ANTHROPIC_API_KEY".to_owned(), key.expose().to_owned())));
        for quiet in ["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_AUTOUPDATER"] {
            environment.push((quiet.to_owned(), "1".to_owned()));
        }
        Self { program: words.next().unwrap_or_default(), arguments: words.collect(), environment }
    }

    /// Why it cannot be run, if it cannot.
    pub fn unavailable(&self) -> Option<String> {
        if self.find().is_some() { None } else { Some(self.missing()) }
    }

    fn missing(&self) -> String {
        format!("the command `{}` was not found; install Claude Code or set CLAUDE_CODE_COMMAND", self.program)
    }

    fn find(&self) -> Option<PathBuf> {
        program::find(&self.program, &self.environment)
    }

    /// Has a prompt judged. Dropping the future ends the program and all that it started.
    pub async fn judge(&self, question: Question<'_>) -> Result<Verdict, Failure> {
        let Question { prompt, mark, notebook, limit } = question;
        let directory = program::workplace()?;
        let mut group = self.start(directory.path(), mark)?;
        // One that has ended already says why on its own.
        if let Some(note) = group.note(mark) {
            notebook.note(note).await?;
        }
        match tokio::time::timeout(limit, group.talk(prompt.as_bytes(), LIMITS)).await {
            Ok(Ok(Said { code, stdout, stderr, .. })) => {
                verdict::read(&Ended { code, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
            }
            Ok(Err(error)) => Err(Failure::new(ErrorClass::Temporary, format!("Claude Code: {error}"))),
            Err(_) => {
                group.end().await;
                Err(Failure::new(ErrorClass::Timeout, format!("Claude Code did not answer within {limit:?}")))
            }
        }
    }

    fn start(&self, directory: &Path, mark: &str) -> Result<Group, Failure> {
        let program = self.find().ok_or_else(|| Failure::new(ErrorClass::Validation, self.missing()))?;
        let mut command = Command::new(program);
        command.args(&self.arguments).args(ARGUMENTS);
        Group::start(command, &self.environment, mark, directory)
            .map_err(|error| program::not_started(&self.program, &error))
    }
}

#[cfg(test)]
#[path = "claude_code_tests.rs"]
mod tests;
