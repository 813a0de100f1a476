//! Programs that we start and talk to: each in a process group of its own, with nothing of ours in its
//! environment, and with no more kept of what it says than somebody reads.
//!
//! What a program is given to do is none of this file's business, nor what its end means.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use rustix::process::Signal;
use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{process, workplace};

/// How long it may take to end by itself after it was asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long somebody who has left the group of a program that has ended may hold its outputs open.
const LINGER: Duration = Duration::from_secs(2);

/// The program that `name` means: a path, or what is found in the `PATH` of this environment.
pub fn find(name: &str, environment: &[(String, String)]) -> Option<PathBuf> {
    if name.contains('/') {
        let path = Some(PathBuf::from(name)).filter(|path| is_program(path))?;
        // It works in another directory than ours, from which a relative path would lead elsewhere.
        return std::path::absolute(path).ok();
    }
    let (_, path) = environment.iter().find(|(variable, _)| variable == "PATH")?;
    let found = std::env::split_paths(path).map(|directory| directory.join(name)).find(|path| is_program(path));
    std::path::absolute(found?).ok()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Cleans up what programs of a former process have left, as their notes say: first they, then where they worked.
pub async fn clean_up(notes: Vec<Json>) {
    notes.iter().for_each(process::end_leftover);
    // There may be thousands of files.
    let removed = tokio::task::spawn_blocking(move || notes.iter().for_each(workplace::remove_leftover)).await;
    if let Err(error) = removed {
        tracing::error!(%error, "cleaning up after a program fell");
    }
}

/// Why a program could not be started. A machine without room for a process has it again later; a program that
/// is replaced comes back.
pub fn not_started(name: &str, error: &io::Error) -> Failure {
    let class = match error.kind() {
        // Invalid is what holds a NUL.
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => ErrorClass::Validation,
        _ => ErrorClass::Temporary,
    };
    Failure::new(class, format!("`{name}` cannot be started: {error}"))
}

/// How much of what a program says is kept, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of its standard output, the first ones.
    pub stdout: usize,
    /// Of its complaints, the last ones.
    pub stderr: usize,
}

/// What a program that has ended said.
#[derive(Debug, Default)]
pub struct Said {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The beginning of its standard output.
    pub stdout: Vec<u8>,
    /// The end of its complaints.
    pub stderr: Vec<u8>,
    /// Whether there was more of either.
    pub cut: bool,
}

/// A process group; nothing of it outlives this value. Who leaves the group does.
pub struct Group {
    leader: Option<u32>,
    child: Child,
}

impl Group {
    /// Starts a program that sees this environment and the mark of its attempt, and nothing else of ours. Its
    /// program and arguments are the caller's.
    pub fn start(
        mut command: Command,
        environment: &[(String, String)],
        mark: &str,
        directory: &Path,
    ) -> io::Result<Self> {
        let child = command
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env(process::MARK, mark)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { leader: child.id(), child })
    }

    /// What is to be written down about it; nothing when it has ended already.
    pub fn note(&self, mark: &str) -> Option<Json> {
        process::note(self.leader?, mark)
    }

    /// Writes `input`, reads what comes, and waits for the end. What it has started ends with it: it could hold
    /// its outputs open for ever.
    pub async fn talk(&mut self, input: &[u8], limits: Limits) -> io::Result<Said> {
        let (stdin, stdout, stderr) = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let (mut first, mut last) = (Kept::new(limits.stdout), Kept::new(limits.stderr));
        let tell = async {
            if let Some(mut stdin) = stdin {
                // One that does not read says why on standard error.
                let _ = stdin.write_all(input).await;
            }
        };
        let leader = self.leader;
        let (status, lingers) = {
            let talk = async { tokio::join!(tell, first.read_first(stdout), last.read_last(stderr)) };
            tokio::pin!(talk);
            let (status, silent) = tokio::select! {
                biased;
                _ = &mut talk => (self.child.wait().await, true),
                status = self.child.wait() => (status, false),
            };
            leader.iter().for_each(|leader| process::end_group(*leader, Signal::KILL));
            let lingers = !silent && tokio::time::timeout(LINGER, &mut talk).await.is_err();
            (status?, lingers)
        };
        let cut = first.cut || last.cut || lingers;
        Ok(Said { code: status.code(), stdout: first.bytes, stderr: last.bytes, cut })
    }

    /// Asks it to end, and ends it.
    pub async fn end(&mut self) {
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

/// What is kept of an output. All of it is read, so that nobody waits for a full pipe.
struct Kept {
    limit: usize,
    bytes: Vec<u8>,
    cut: bool,
}

impl Kept {
    fn new(limit: usize) -> Self {
        Self { limit, bytes: Vec::new(), cut: false }
    }

    async fn read_first(&mut self, from: Option<impl AsyncRead + Unpin>) {
        if let Some(mut from) = from {
            let limit = u64::try_from(self.limit).unwrap_or(u64::MAX);
            let _ = (&mut from).take(limit).read_to_end(&mut self.bytes).await;
            self.cut = tokio::io::copy(&mut from, &mut tokio::io::sink()).await.is_ok_and(|more| more > 0);
        }
    }

    async fn read_last(&mut self, from: Option<impl AsyncRead + Unpin>) {
        if let Some(mut from) = from {
            while from.read_buf(&mut self.bytes).await.is_ok_and(|count| count > 0) {
                let over = self.bytes.len().saturating_sub(self.limit);
                self.bytes.drain(..over);
                self.cut |= over > 0;
            }
        }
    }
}
