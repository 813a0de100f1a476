//! Opens the database, and says in words why it does not open.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pointsman_actors::store::Counts;
use sled::{Db, Mode, Tree};

use super::claims::Claims;
use super::letters;
use super::runs::RunTrees;
use super::sync::Sync;
use super::waits::WaitTrees;
use crate::data_dir::{close_to_others, make_private, private};

/// Memory for sled's cache of pages. Its default of 1 GB would be most of a small machine; with much
/// less than this the leaf that is being filled is evicted and read back between batches.
const CACHE_BYTES: u64 = 64 << 20;

/// Size of a segment of sled's log. A page above a quarter of it goes to a file of its own, which is
/// slow; sixteen records of 64 KiB stay below.
const SEGMENT_BYTES: usize = 4 << 20;

/// The version of the whole layout: trees and keys. Records carry their own.
const LAYOUT: &[u8] = b"1";

/// The database's trees. Cloning is cheap; while a clone lives, the database is open.
#[derive(Clone)]
pub struct Trees {
    /// The database, for flushing.
    pub db: Db,
    /// Event id → record.
    pub events: Tree,
    /// Full segment and block → its claims.
    pub blocks: Tree,
    /// Full segment → its filter.
    pub filters: Tree,
    /// Segment that is being filled and batch → the batch's claims.
    pub recent: Tree,
    /// Event id of a pending event → lease.
    pub pending: Tree,
    /// Runs.
    pub runs: RunTrees,
    /// Waits.
    pub waits: WaitTrees,
    /// Service → how its circuit is.
    pub breakers: Tree,
    /// Hook → how far it was caught up with.
    pub checkpoints: Tree,
    /// Since when it is a dead letter, and its id → what is wanted of it.
    pub letters: Tree,
    /// Key of what was damaged → the bytes that were found.
    pub damaged: Tree,
    /// Counts and the layout's version.
    pub meta: Tree,
}

/// An open database with what is kept in memory of it.
pub struct Opened {
    /// The trees.
    pub trees: Trees,
    /// The claims.
    pub claims: Claims,
    /// The counts.
    pub counts: Counts,
    /// The mark.
    pub mark: Mark,
    /// What makes a flush durable.
    pub sync: Sync,
}

/// Why the database does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data directory `{0}` is in use by another process; stop that one, or give this one its own `server.data_dir`"
    )]
    InUse(PathBuf),
    /// The directory cannot be written.
    #[error(
        "the data directory `{path}` cannot be written: {reason}; make it writable for this user, or set `server.data_dir`"
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Its files are damaged.
    #[error(
        "the event log in `{path}` does not open, its files are damaged ({reason}); \
         move the directory aside and restore it from a backup, or start with an empty one and replay from the providers"
    )]
    Damaged {
        /// The database's directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A newer version wrote it.
    #[error(
        "the event log in `{path}` has layout {found}, this version reads layout 1; start the version that wrote it"
    )]
    NewerLayout {
        /// The database's directory.
        path: PathBuf,
        /// The layout that was found.
        found: String,
    },
}

/// Opens or creates the database in `directory`.
///
/// sled panics on a damaged file instead of returning an error, so it is opened under `catch_unwind`.
pub fn open(directory: &Path, keep_claims: Duration) -> Result<Opened, OpenError> {
    let path = directory.join("log");
    // sled makes its files as the umask says; nobody else comes as far as to them.
    make_private(&path)
        .map_err(|error| OpenError::NotWritable { path: directory.to_owned(), reason: error.to_string() })?;
    let opened = catch_unwind(AssertUnwindSafe(|| open_trees(&path, keep_claims)));
    match opened {
        Ok(Ok((trees, claims, counts))) => {
            check_layout(&trees, &path)?;
            let mark = Mark::check(directory, counts.commits)?;
            let sync = Sync::open(&path)
                .map_err(|error| OpenError::NotWritable { path: directory.to_owned(), reason: error.to_string() })?;
            Ok(Opened { trees, claims, counts, mark, sync })
        }
        Ok(Err(error)) => Err(explain(&error, directory, path)),
        Err(_) => Err(OpenError::Damaged { path, reason: "its structure is not consistent".to_owned() }),
    }
}

/// Waits, for a bounded time, until sled's own threads have let go of a database whose handles were
/// dropped: they hold its lock a moment longer.
pub fn wait_until_released(directory: &Path) {
    let Ok(file) = File::open(directory.join("log").join("db")) else { return };
    for _ in 0..1_000 {
        if file.try_lock().is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn open_trees(path: &Path, keep_claims: Duration) -> sled::Result<(Trees, Claims, Counts)> {
    let db = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .mode(Mode::HighThroughput)
        // Every batch is flushed when it is complete; a timer would only flush halves.
        .flush_every_ms(None)
        .open()?;
    let trees = Trees {
        events: db.open_tree("events")?,
        blocks: db.open_tree("blocks")?,
        filters: db.open_tree("filters")?,
        recent: db.open_tree("recent")?,
        pending: db.open_tree("pending")?,
        runs: RunTrees::open(&db)?,
        waits: WaitTrees::open(&db)?,
        breakers: db.open_tree("breakers")?,
        checkpoints: db.open_tree("checkpoints")?,
        letters: db.open_tree("dead_letters")?,
        damaged: db.open_tree("damaged")?,
        meta: db.open_tree("meta")?,
        db,
    };
    let claims = Claims::open(trees.blocks.clone(), &trees.filters, &trees.recent, keep_claims)?;
    let row = trees.meta.get("counts")?;
    let mut counts = row.as_deref().map(counts_from_bytes).unwrap_or_default();
    if row.is_some_and(|row| row.len() < WITH_LETTERS) {
        letters::index(&trees, &mut counts)?;
    }
    Ok((trees, claims, counts))
}

fn check_layout(trees: &Trees, path: &Path) -> Result<(), OpenError> {
    let damaged = |error: sled::Error| OpenError::Damaged { path: path.to_owned(), reason: error.to_string() };
    match trees.meta.get("layout").map_err(damaged)? {
        Some(found) if &*found != LAYOUT => {
            let found = String::from_utf8_lossy(&found).into_owned();
            Err(OpenError::NewerLayout { path: path.to_owned(), found })
        }
        Some(_) => Ok(()),
        None => trees.meta.insert("layout", LAYOUT).map(|_| ()).map_err(damaged),
    }
}

/// How many batches have been committed, in a file beside the database.
///
/// When a part of its file is damaged, sled may take it for the torn end of the log and open without
/// what came after: acknowledged events would be gone and nobody told. The mark is written after
/// every flush, so a database with fewer commits than its mark has lost some.
pub struct Mark(File);

impl Mark {
    const FILE: &str = "log.mark";

    fn check(directory: &Path, commits: u64) -> Result<Self, OpenError> {
        let path = directory.join(Self::FILE);
        let not_writable =
            |error: std::io::Error| OpenError::NotWritable { path: path.clone(), reason: error.to_string() };
        let file = private().read(true).write(true).create(true).truncate(false).open(&path).map_err(not_writable)?;
        close_to_others(&file).map_err(not_writable)?;
        let mut marked = [0; 8];
        let marked =
            if file.read_at(&mut marked, 0).map_err(not_writable)? == 8 { u64::from_be_bytes(marked) } else { 0 };
        if marked > commits {
            let reason = format!(
                "it holds {commits} commits, but {marked} were acknowledged; \
                 if you restored an older backup on purpose, delete `{}`",
                path.display()
            );
            return Err(OpenError::Damaged { path: directory.join("log"), reason });
        }
        Ok(Self(file))
    }

    /// Marks so many commits. A mark that cannot be written only makes a later check weaker.
    pub fn set(&self, commits: u64) {
        let _ = self.0.write_at(&commits.to_be_bytes(), 0);
    }
}

fn explain(error: &sled::Error, directory: &Path, path: PathBuf) -> OpenError {
    let reason = error.to_string();
    match error {
        sled::Error::Io(_) if reason.contains("could not acquire lock") => OpenError::InUse(directory.to_owned()),
        sled::Error::Io(_) => OpenError::NotWritable { path: directory.to_owned(), reason },
        _ => OpenError::Damaged { path, reason },
    }
}

/// The counts as they are stored: numbers of eight bytes each.
pub fn counts_to_bytes(counts: &Counts) -> Vec<u8> {
    let mut counts = *counts;
    numbers(&mut counts).into_iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Those of an older version are fewer; what it did not count is zero.
fn counts_from_bytes(row: &[u8]) -> Counts {
    let mut counts = Counts::default();
    let (stored, _) = row.as_chunks::<8>();
    for (number, stored) in numbers(&mut counts).into_iter().zip(stored) {
        *number = u64::from_be_bytes(*stored);
    }
    counts
}

/// Bytes of the counts of a version that knows of dead letters. When they are fewer, one that does not was the
/// last to write, and the index of dead letters is not to be believed.
const WITH_LETTERS: usize = 23 * 8;

/// The counts in the order in which they are stored. New ones are added at the end.
fn numbers(counts: &mut Counts) -> [&mut u64; 23] {
    [
        &mut counts.events,
        &mut counts.redeliveries,
        &mut counts.duplicates,
        &mut counts.pending,
        &mut counts.bytes,
        &mut counts.damaged,
        &mut counts.commits,
        &mut counts.runs,
        &mut counts.queued,
        &mut counts.active,
        &mut counts.succeeded,
        &mut counts.failed,
        &mut counts.dropped,
        &mut counts.run_ms,
        &mut counts.delayed_ms,
        &mut counts.open_waits,
        &mut counts.resolved_waits,
        &mut counts.purged_events,
        &mut counts.purged_runs,
        &mut counts.dead_letters,
        &mut counts.redrives,
        &mut counts.redriven,
        &mut counts.dismissed,
    ]
}
