//! Makes what sled has written survive the machine.
//!
//! On Linux sled's own flush ends in `sync_file_range`, which writes neither the file's metadata nor
//! the disk's cache (sync_file_range(2) warns of it), and pages too large for a segment go to files of
//! their own under `blobs`, which sled does not sync at all. So each flush is followed by a sync of
//! ours: of the database's file, and of the whole file system when blobs were written.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Syncs of the whole file system after a change under `blobs` was seen: the directory's time has the
/// granularity of a kernel tick, and within one tick fewer flushes than this fit.
const AFTER_BLOBS: u8 = 64;

/// Syncs the files of one database.
pub struct Sync {
    database: File,
    blobs: PathBuf,
    seen: Option<SystemTime>,
    whole: u8,
}

impl Sync {
    /// For the database in `directory`, whose own directory entries are made durable by this.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let database = File::open(directory.join("db"))?;
        rustix::fs::syncfs(&database)?;
        Ok(Self { database, blobs: directory.join("blobs"), seen: None, whole: 0 })
    }

    /// Makes all that was written before durable.
    pub fn sync(&mut self) -> io::Result<()> {
        let changed = self.blobs.metadata().and_then(|blobs| blobs.modified()).ok();
        if changed != self.seen {
            self.seen = changed;
            self.whole = AFTER_BLOBS;
        }
        if self.whole == 0 {
            return self.database.sync_data();
        }
        self.whole -= 1;
        Ok(rustix::fs::syncfs(&self.database)?)
    }
}
