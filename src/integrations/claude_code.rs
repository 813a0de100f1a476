//! Claude Code as a program: headless, without tools, with nothing of ours in its environment.
//!
//! The code that it judges is somebody else's: it gets it as text on standard input, may call no tool,
//! and reads no settings of a repository. The input is written only after its process stands in the
//! journal: should we end before, it finds its input closed and ends by itself; should we end later, the
//! next process finds it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::Notebook;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::process;
use super::verdict::{self, Ended, SCHEMA, Verdict};
use crate::config::settings::SecretText;

/// Most bytes of an answer that are read.
const LARGEST_ANSWER: u64 = 8 << 20;

/// Most bytes of complaints that are kept, the last ones: the last line of them is shown.
const LARGEST_COMPLAINT: usize = 4 << 10;

/// How long it may take to end by itself after it was asked to.
const FAREWELL: Duration = Duration::from_secs(5);

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
        if self.program.contains('/') {
            return Some(PathBuf::from(&self.program)).filter(|path| is_program(path));
        }
        let (_, path) = self.environment.iter().find(|(name, _)| name == "PATH")?;
        std::env::split_paths(path).map(|directory| directory.join(&self.program)).find(|path| is_program(path))
    }

    /// Has a prompt judged. Dropping the future ends the program and all that it started.
    pub async fn judge(&self, question: Question<'_>) -> Result<Verdict, Failure> {
        let Question { prompt, mark, notebook, limit } = question;
        let directory = tempfile::tempdir()
            .map_err(|error| Failure::new(ErrorClass::Temporary, format!("no temporary directory: {error}")))?;
        let mut group = self.spawn(directory.path(), mark)?;
        // One that has ended already says why on its own.
        if let Some(note) = group.leader.and_then(|leader| process::note(leader, mark)) {
            notebook.note(note).await?;
        }
        match tokio::time::timeout(limit, talk(&mut group, prompt)).await {
            Ok(ended) => verdict::read(&ended?),
            Err(_) => {
                group.end().await;
                Err(Failure::new(ErrorClass::Timeout, format!("Claude Code did not answer within {limit:?}")))
            }
        }
    }

    fn spawn(&self, directory: &Path, mark: &str) -> Result<Group, Failure> {
        // It works in another directory than ours, from which a relative path would lead elsewhere.
        let program = self.find().and_then(|path| std::path::absolute(path).ok());
        let program = program.ok_or_else(|| Failure::new(ErrorClass::Validation, self.missing()))?;
        let child = Command::new(program)
            .args(&self.arguments)
            .args(ARGUMENTS)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env(process::MARK, mark)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let child = child.map_err(|error| {
            // A machine without room for a process has it again later; a program that is replaced comes back.
            let class = match error.kind() {
                std::io::ErrorKind::PermissionDenied => ErrorClass::Validation,
                _ => ErrorClass::Temporary,
            };
            Failure::new(class, format!("`{}` cannot be started: {error}", self.program))
        })?;
        Ok(Group { leader: child.id(), child })
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// A process group; nothing of it outlives this value.
struct Group {
    leader: Option<u32>,
    child: Child,
}

impl Group {
    /// Asks it to end, and ends it.
    async fn end(&mut self) {
        if let Some(leader) = self.leader {
            process::end_group(leader, Signal::TERM);
            let _ = tokio::time::timeout(FAREWELL, self.child.wait()).await;
            process::end_group(leader, Signal::KILL);
            let _ = self.child.wait().await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            process::end_group(leader, Signal::KILL);
        }
    }
}

/// Writes the prompt, reads what comes, and waits for the end. What it has started ends with it: it
/// could hold the pipes open for ever.
async fn talk(group: &mut Group, prompt: &str) -> Result<Ended, Failure> {
    let Group { leader, child } = group;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ask = async {
        if let Some(mut stdin) = stdin {
            // One that does not read says why on standard error.
            let _ = stdin.write_all(prompt.as_bytes()).await;
        }
    };
    let end = async {
        let status = child.wait().await;
        leader.iter().for_each(|leader| process::end_group(*leader, Signal::KILL));
        status
    };
    let ((), stdout, stderr, status) =
        tokio::join!(ask, read(stdout, LARGEST_ANSWER), read_last(stderr, LARGEST_COMPLAINT), end);
    let status = status.map_err(|error| Failure::new(ErrorClass::Temporary, format!("Claude Code: {error}")))?;
    Ok(Ended { code: status.code(), stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

async fn read(from: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut read = Vec::new();
    if let Some(mut from) = from {
        let _ = (&mut from).take(limit).read_to_end(&mut read).await;
        // What is over the limit is read and dropped, so that nobody waits for a full pipe.
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    read
}

/// Reads everything and keeps the last `limit` bytes.
async fn read_last(from: Option<impl AsyncRead + Unpin>, limit: usize) -> Vec<u8> {
    let mut last = Vec::with_capacity(2 * limit);
    if let Some(mut from) = from {
        while from.read_buf(&mut last).await.is_ok_and(|count| count > 0) {
            last.drain(..last.len().saturating_sub(limit));
        }
    }
    last
}

#[cfg(test)]
#[path = "claude_code_tests.rs"]
mod tests;
