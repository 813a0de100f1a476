//! Whether a process on this data directory ended as it was asked to. A file says that one is alive; who finds it
//! at its start comes after one that died.
//!
//! It decides nothing: what a death says of the attempts that were in flight is the engine's.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::data_dir::{close_to_others, private};

/// The file in the data directory that is there while a server is alive.
pub const ALIVE_FILE: &str = "server.alive";

/// A process that is alive until this is dropped. One that is killed drops nothing.
pub struct Alive(PathBuf);

impl Alive {
    /// Says that this process is alive; beside it whether a former one died.
    pub fn say(data_dir: &Path) -> io::Result<(Self, bool)> {
        let path = data_dir.join(ALIVE_FILE);
        let after_death = path.try_exists()?;
        let mut file = private().write(true).create(true).truncate(true).open(&path)?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        close_to_others(&file)?;
        Ok((Self(path), after_death))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // One that cannot be removed makes the next process believe in a death, and that alone harms nobody.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_found_by_what_it_leaves() {
        let directory = tempfile::tempdir().unwrap();
        let (alive, after_death) = Alive::say(directory.path()).unwrap();
        assert!(!after_death);
        drop(alive);
        let (alive, after_death) = Alive::say(directory.path()).unwrap();
        assert!(!after_death, "it ended in order");
        std::mem::forget(alive);
        assert!(Alive::say(directory.path()).unwrap().1);
    }
}
