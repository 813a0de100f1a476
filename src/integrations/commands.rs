//! Programs that the operator lets steps run.
//!
//! A program must not do anything before it stands in the journal, or a crash of ours would leave one at work
//! that nobody finds. Its number is known only when it is there, so what is started is a gate: a shell that reads
//! one line and then becomes the program, keeping number, time of start and the rest of its input. The line is
//! written when the note is durable. Should we end before, the gate finds its input closed and ends; should we
//! end later, the next process finds the program by its note.

use std::path::Path;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::Notebook;
use tokio::process::Command;

use super::program::{self, Group, Limits, Said};
use super::workplace::Workplace;

/// The shell of POSIX, as gate and for scripts.
const SHELL: &str = "/bin/sh";

/// Reads its line byte by byte, as POSIX asks of `read`, so that the rest is left for the program. The directory that
/// the program is to work in is made only after it was written down as well.
const GATE: &str = "read -r _ && cd \"$0\" && exec \"$@\"";

/// What opens it.
const GO: &str = "go\n";

/// What of our environment programs see: where they find things, and how people here read and write.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// How much is kept of what a program says.
pub const LIMITS: Limits = Limits { stdout: 64 << 10, stderr: 8 << 10 };

/// The programs that may be run.
pub struct Commands {
    allowed: Vec<String>,
    allow_shell: bool,
    environment: Vec<(String, String)>,
}

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work<'a> {
    /// A program, by name or absolute path.
    Program(&'a str),
    /// A script.
    Script(&'a str),
}

/// An order to run something.
pub struct Order<'a> {
    /// What.
    pub work: Work<'a>,
    /// Its arguments; those of a script are `$1` and so on.
    pub arguments: &'a [String],
    /// What it sees beside what all programs see.
    pub environment: &'a [(String, String)],
    /// What it reads.
    pub stdin: &'a str,
    /// By which what it leaves behind is recognised; another one for each attempt.
    pub mark: &'a str,
    /// Where it is written down before it begins.
    pub notebook: &'a Notebook,
    /// How long it may take.
    pub limit: Duration,
}

impl Commands {
    /// Those of this list, and scripts if `allow_shell`; of our environment they see what is `passed_on` and
    /// tells them where things are.
    pub fn new(allowed: Vec<String>, allow_shell: bool, passed_on: &[(String, String)]) -> Self {
        let environment = passed_on.iter().filter(|(name, _)| PASSED_ON.contains(&name.as_str())).cloned().collect();
        Self { allowed, allow_shell, environment }
    }

    /// Why nothing can be run at all, if nothing can.
    pub fn unavailable(&self) -> Option<String> {
        if self.allowed.is_empty() && !self.allow_shell {
            return Some("no program may be run; list those that may in workflow.commands".to_owned());
        }
        program::find(SHELL, &[]).is_none().then(|| format!("{SHELL} was not found, which starts every program"))
    }

    /// Why this cannot be run, if it cannot.
    pub fn lacks(&self, work: Work<'_>) -> Option<String> {
        match work {
            Work::Script(_) if !self.allow_shell => {
                Some("scripts may not be run; set workflow.allow_shell, or run a program".to_owned())
            }
            Work::Script(_) => None,
            Work::Program(name) if !self.allowed.iter().any(|allowed| allowed == name) => {
                Some(format!("`{name}` may not be run; list it in workflow.commands"))
            }
            Work::Program(name) => {
                program::find(name, &self.environment).is_none().then(|| format!("the program `{name}` was not found"))
            }
        }
    }

    /// Runs it. Dropping the future ends it with all that it started.
    pub async fn run(&self, order: Order<'_>) -> Result<Said, Failure> {
        if let Some(reason) = self.unavailable().or_else(|| self.lacks(order.work)) {
            return Err(Failure::new(ErrorClass::Validation, reason));
        }
        let workplace = Workplace::planned();
        let mut group = self.gate(&order, workplace.path())?;
        let gone = || Failure::new(ErrorClass::Temporary, "its process ended before it could be written down");
        let mut note = group.note(order.mark).ok_or_else(gone)?;
        workplace.add_to(&mut note);
        order.notebook.note(note).await?;
        workplace.make(&[])?;
        let input = format!("{GO}{}", order.stdin);
        match tokio::time::timeout(order.limit, group.talk(input.as_bytes(), LIMITS)).await {
            Ok(said) => said.map_err(|error| Failure::new(ErrorClass::Temporary, error.to_string()).in_doubt()),
            Err(_) => {
                group.end().await;
                let message = format!("it did not end within {:?} and was ended", order.limit);
                Err(Failure::new(ErrorClass::Timeout, message).in_doubt())
            }
        }
    }

    fn gate(&self, order: &Order<'_>, directory: &Path) -> Result<Group, Failure> {
        let mut command = Command::new(SHELL);
        command.args(["-c", GATE]).arg(directory);
        let name = match order.work {
            Work::Script(script) => {
                command.args([SHELL, "-c", script, "script"]);
                SHELL
            }
            Work::Program(name) => {
                let missing = || Failure::new(ErrorClass::Validation, format!("the program `{name}` was not found"));
                command.arg(program::find(name, &self.environment).ok_or_else(missing)?);
                name
            }
        };
        command.args(order.arguments);
        let environment = [&self.environment, order.environment].concat();
        Group::start(command, &environment, order.mark, Path::new("/"))
            .map_err(|error| program::not_started(name, &error))
    }
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
