//! Claude Code as a program: headless, with nothing of ours in its environment, and no more than the files of the
//! change before its eyes.
//!
//! The code that it judges is somebody else's. It gets what changes as text on standard input; the files themselves it
//! may read, search and list when they are in its working directory, and nothing outside of that, not even its own
//! environment: `--restricted` and the permission mode each confine it to that. It can run nothing, write nothing, call
//! nobody. No settings of a repository, of a user or of a machine's project reach it, and those of a repository are not
//! even unpacked ([`super::tarball`]). With a key of its API it has a home of its own; without one it must find where
//! its user has logged in.
//!
//! The input is written only after its process stands in the journal: should we end before, it finds its input closed
//! and ends by itself; should we end later, the next process finds it, and where it worked.

use std::path::PathBuf;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::Notebook;
use tokio::process::Command;

use super::program::{self, Group, Limits, Said};
use super::verdict::{self, Ended, SCHEMA, Verdict};
use super::workplace::Workplace;
use crate::config::settings::SecretText;

/// How much is read of an answer, and kept of complaints: the last line of them is shown.
const LIMITS: Limits = Limits { stdout: 8 << 20, stderr: 4 << 10 };

/// How it is run: one answer in JSON by a schema; no sessions, no settings, no servers, nobody who is asked for leave,
/// and no file outside of where it works.
const ARGUMENTS: [&str; 12] = [
    "-p",
    "--output-format",
    "json",
    "--json-schema",
    SCHEMA,
    "--permission-mode",
    "dontAsk",
    "--restricted",
    "--no-session-persistence",
    "--strict-mcp-config",
    "--setting-sources",
    "",
];

/// The tools that it has when there is code, and how often it may come back with what they said; and without code.
const READING: [&str; 4] = ["--tools", "Read,Grep,Glob", "--max-turns", "60"];
const ONLY_THINKING: [&str; 4] = ["--tools", "", "--max-turns", "8"];

/// The part of its workplace that holds the code, and that it works in.
pub const CODE: &str = "code";

/// Where it keeps what is its own.
const HOME: &str = "home";
const CONFIG: &str = "config";
const TEMPORARY: &str = "tmp";

/// Variables that would lead it home.
const LEAD_HOME: [&str; 3] = ["HOME", "CLAUDE_CONFIG_DIR", "TMPDIR"];

/// It says nothing to anybody but its API, and tries that twice again, not ten times: the step has retries of its own.
const QUIET: [(&str, &str); 3] =
    [("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"), ("DISABLE_AUTOUPDATER", "1"), ("CLAUDE_CODE_MAX_RETRIES", "2")];

/// The command that runs Claude Code.
pub struct ClaudeCode {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Whether that holds a key, so that it needs no login.
    has_key: bool,
    reads_code: bool,
}

/// What is to be judged.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// What is asked.
    pub prompt: &'a str,
    /// A place of [`ClaudeCode::workplace`] with the code that it may read; nothing may be read without it.
    pub code: Option<&'a Workplace>,
    /// By which what the program leaves behind is recognised; another one for each question.
    pub mark: &'a str,
    /// Where the process is written down before it sees the prompt.
    pub notebook: &'a Notebook,
    /// How long it may take.
    pub limit: Duration,
}

impl ClaudeCode {
    /// `command` is a program with leading arguments, separated by blanks; of our environment it sees
    /// only what is `passed_on`, and the key for its API. It may read the code of a change if it `reads_code`.
    pub fn new(command: &str, passed_on: &[(String, String)], api_key: Option<&SecretText>, reads_code: bool) -> Self {
        let mut words = command.split_whitespace().map(str::to_owned);
        let mut environment = passed_on.to_vec();
        environment.extend(api_key.map(|key| ("ANTHROPIC_API_KEY".to_owned(), key.expose().to_owned())));
        environment.extend(QUIET.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let (program, arguments) = (words.next().unwrap_or_default(), words.collect());
        Self { program, arguments, environment, has_key: api_key.is_some(), reads_code }
    }

    /// Why it cannot be run, if it cannot.
    pub fn unavailable(&self) -> Option<String> {
        if self.find().is_some() { None } else { Some(self.missing()) }
    }

    /// Whether it may read the code of a change.
    pub fn reads_code(&self) -> bool {
        self.reads_code
    }

    fn missing(&self) -> String {
        format!(
            "the command `{}` was not found; install Claude Code, or set CLAUDE_CODE_COMMAND or CLAUDE_CODE_API_URL",
            self.program
        )
    }

    fn find(&self) -> Option<PathBuf> {
        program::find(&self.program, &self.environment)
    }

    /// A place to work in, with an empty directory for code.
    pub async fn workplace(notebook: &Notebook) -> Result<Workplace, Failure> {
        Workplace::noted(notebook, &[CODE, HOME, CONFIG, TEMPORARY]).await
    }

    /// Has a prompt judged. Dropping the future ends the program and all that it started.
    pub async fn judge(&self, question: Question<'_>) -> Result<Verdict, Failure> {
        let Question { prompt, code, mark, notebook, limit } = question;
        let empty;
        let (workplace, may) = match code {
            Some(code) => (code, READING),
            None => {
                empty = Self::workplace(notebook).await?;
                (&empty, ONLY_THINKING)
            }
        };
        let mut group = self.start(workplace, may, mark)?;
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

    fn start(&self, workplace: &Workplace, may: [&str; 4], mark: &str) -> Result<Group, Failure> {
        let program = self.find().ok_or_else(|| Failure::new(ErrorClass::Validation, self.missing()))?;
        let mut command = Command::new(program);
        command.args(&self.arguments).args(ARGUMENTS).args(may);
        Group::start(command, &self.environment_in(workplace), mark, &workplace.part(CODE))
            .map_err(|error| program::not_started(&self.program, &error))
    }

    fn environment_in(&self, workplace: &Workplace) -> Vec<(String, String)> {
        let mut environment = self.environment.clone();
        if self.has_key {
            environment.retain(|(name, _)| !LEAD_HOME.contains(&name.as_str()));
            let parts = LEAD_HOME.iter().zip([HOME, CONFIG, TEMPORARY]);
            environment.extend(
                parts.map(|(name, part)| ((*name).to_owned(), workplace.part(part).to_string_lossy().into_owned())),
            );
        }
        environment
    }
}

#[cfg(test)]
#[path = "claude_code_tests.rs"]
mod tests;
