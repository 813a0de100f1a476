//! The trail of what operators do, in files of the data directory: lines that any tool can read, also when no server runs.
//!
//! What is asked for is on the disk before it is done; what cannot be written down is not done. Two files hold it. When the
//! newer one is full it takes the place of the older one, so that the trail takes no more than twice its bound.
//! Only what somebody may do is written here, so nobody without the scope for it can fill the trail and push out what is in it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::audit::{self, Deed, Line, Outcome, Query, Record};
use crate::data_dir::private;

/// The file that is written to.
pub const FILE: &str = "audit.jsonl";
/// The one before it.
pub const FORMER: &str = "audit.1.jsonl";
/// From how many bytes on a file is full: some ten thousand actions.
const FULL: u64 = 8 << 20;

/// The trail.
#[derive(Debug)]
pub struct Trail {
    directory: PathBuf,
    full: u64,
    end: Mutex<End>,
}

/// Where it is written on.
#[derive(Debug)]
struct End {
    file: File,
    length: u64,
    last: u64,
    /// Whether the last line was not written whole.
    is_torn: bool,
}

impl Trail {
    /// The trail in this directory, which nobody else writes.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Self::open_with(directory, FULL)
    }

    fn open_with(directory: &Path, full: u64) -> io::Result<Self> {
        let lines = read(directory)?;
        let file = append_to(directory)?;
        let length = file.metadata()?.len();
        let is_torn = !lines.is_empty() && !lines.ends_with('\n');
        let end = End { file, length, last: audit::last(&lines), is_torn };
        Ok(Self { directory: directory.to_owned(), full, end: Mutex::new(end) })
    }

    /// Writes down what is asked for, and gives its number. When this returns it is on the disk.
    pub fn asked(&self, deed: Deed) -> io::Result<u64> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.length >= self.full {
            self.turn_over()?;
            let file = append_to(&self.directory)?;
            *end = End { file, length: 0, last: end.last, is_torn: false };
        }
        let id = end.last + 1;
        end.write(&Line::Asked { id, deed })?;
        end.last = id;
        Ok(id)
    }

    /// Puts a full file aside. When the next one could not be begun, that is done already.
    fn turn_over(&self) -> io::Result<()> {
        let file = self.directory.join(FILE);
        match file.metadata() {
            Ok(metadata) if metadata.len() >= self.full => std::fs::rename(file, self.directory.join(FORMER)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes down what became of it.
    pub fn answered(&self, id: u64, outcome: Outcome) -> io::Result<()> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).write(&Line::Answered { id, outcome })
    }

    /// Records, newest first, and whether there are more.
    pub fn list(&self, query: &Query) -> io::Result<(Vec<Record>, bool)> {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = read(&self.directory)?;
        drop(end);
        Ok(audit::select(&lines, query))
    }
}

impl End {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let line = serde_json::to_string(line)?;
        let line = if self.is_torn { format!("\n{line}\n") } else { format!("{line}\n") };
        self.is_torn = true;
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.is_torn = false;
        self.length += line.len() as u64;
        Ok(())
    }
}

/// The newer file, which only its owner can read.
fn append_to(directory: &Path) -> io::Result<File> {
    let file = private().append(true).create(true).open(directory.join(FILE))?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

/// All lines, oldest first.
fn read(directory: &Path) -> io::Result<String> {
    let mut lines = Vec::new();
    for name in [FORMER, FILE] {
        match std::fs::read(directory.join(name)) {
            Ok(more) => {
                // The last line of a file may be torn.
                if lines.last().is_some_and(|last| *last != b'\n') {
                    lines.push(b'\n');
                }
                lines.extend(more);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    // A line that was torn in the middle of a letter is no reason to lose the others.
    Ok(String::from_utf8_lossy(&lines).into_owned())
}

#[cfg(test)]
mod tests {
    use pointsman_actors::time::Timestamp;
    use serde_json::Value as Json;

    use super::*;

    fn deed(action: &str) -> Deed {
        let at = Timestamp::from_millis(1_000);
        Deed { at, operator: "ci".into(), from: None, action: action.into(), body: Json::Null }
    }

    fn done() -> Outcome {
        Outcome { at: Timestamp::from_millis(2_000), status: 200, error: None }
    }

    fn listed(trail: &Trail) -> Vec<String> {
        let (records, _) = trail.list(&Query { limit: 100, ..Query::default() }).unwrap();
        records.iter().map(|record| format!("{} {} {}", record.id, record.deed.action, record.status())).collect()
    }

    #[test]
    fn it_goes_on_where_it_was_also_behind_a_torn_line() {
        let directory = tempfile::tempdir().unwrap();
        let trail = Trail::open(directory.path()).unwrap();
        let id = trail.asked(deed("a")).unwrap();
        trail.answered(id, done()).unwrap();
        drop(trail);
        let path = directory.path().join(FILE);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend(b"{\"line\":\"asked\",\"id\":2,\"operator\":\"\xc3");
        std::fs::write(&path, torn).unwrap();
        let trail = Trail::open(directory.path()).unwrap();
        assert_eq!(trail.asked(deed("b")).unwrap(), 2);
        assert_eq!(listed(&trail), ["2 b unknown", "1 a done"]);
    }

    #[test]
    fn it_takes_no_more_room_than_two_files() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let trail = Trail::open_with(directory.path(), 500).unwrap();
        for _ in 0..50 {
            let id = trail.asked(deed("a")).unwrap();
            trail.answered(id, done()).unwrap();
        }
        let sizes: Vec<u64> = [FORMER, FILE]
            .map(|name| {
                let file = std::fs::metadata(directory.path().join(name)).unwrap();
                assert_eq!(file.permissions().mode() & 0o777, 0o600);
                file.len()
            })
            .to_vec();
        assert!(sizes.iter().all(|size| *size < 800), "{sizes:?}");
        let kept = listed(&trail);
        assert!(kept.len() > 4 && kept[0] == "50 a done", "{kept:?}");
        drop(trail);
        assert_eq!(Trail::open(directory.path()).unwrap().asked(deed("b")).unwrap(), 51);
    }

    #[test]
    fn what_cannot_be_written_is_not_said_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let trail = Trail::open(directory.path()).unwrap();
        trail.end.lock().unwrap().file = File::open(directory.path().join(FILE)).unwrap();
        assert!(trail.asked(deed("a")).is_err());
        trail.end.lock().unwrap().file = append_to(directory.path()).unwrap();
        assert_eq!(trail.asked(deed("b")).unwrap(), 1);
        assert_eq!(listed(&trail), ["1 b unknown"]);
    }
}
