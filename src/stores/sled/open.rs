//! Opens the database, and says in words why it does not open.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pointsman_actors::store::Counts;
use sled::{Db, Mode, Tree};

use super::claims::Claims;

/// Memory for sled's cache of pages. Its default of 1 GB would be most of a small machine; with this
/// a million events stay far below the budget.
const CACHE_BYTES: u64 = 32 << 20;

/// The version of the whole layout: trees and keys. Records carry their own.
const LAYOUT: &[u8] = b"1";

/// The database's trees. Cloning is cheap; while a clone lives, the database is open.
#[derive(Clone)]
pub struct Trees {
    /// The database, for flushing.
    pub db: Db,
    /// Event id → record.
    pub events: Tree,
    /// Segment and key → first claim.
    pub claims: Tree,
    /// Full segment → its filter.
    pub filters: Tree,
    /// Event id of a pending event → lease.
    pub pending: Tree,
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
    std::fs::create_dir_all(&path)
        .map_err(|error| OpenError::NotWritable { path: directory.to_owned(), reason: error.to_string() })?;
    let opened = catch_unwind(AssertUnwindSafe(|| open_trees(&path, keep_claims)));
    match opened {
        Ok(Ok(opened)) => check_layout(opened, &path),
        Ok(Err(error)) => Err(explain(&error, directory, path)),
        Err(_) => Err(OpenError::Damaged { path, reason: "its structure is not consistent".to_owned() }),
    }
}

fn open_trees(path: &Path, keep_claims: Duration) -> sled::Result<Opened> {
    let db = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .mode(Mode::HighThroughput)
        // Every batch is flushed when it is complete; a timer would only flush halves.
        .flush_every_ms(None)
        .open()?;
    let trees = Trees {
        events: db.open_tree("events")?,
        claims: db.open_tree("claims")?,
        filters: db.open_tree("filters")?,
        pending: db.open_tree("pending")?,
        damaged: db.open_tree("damaged")?,
        meta: db.open_tree("meta")?,
        db,
    };
    let claims = Claims::open(trees.claims.clone(), trees.filters.clone(), keep_claims)?;
    let counts = trees.meta.get("counts")?.and_then(|row| counts_from_bytes(&row)).unwrap_or_default();
    Ok(Opened { trees, claims, counts })
}

fn check_layout(opened: Opened, path: &Path) -> Result<Opened, OpenError> {
    let damaged = |error: sled::Error| OpenError::Damaged { path: path.to_owned(), reason: error.to_string() };
    match opened.trees.meta.get("layout").map_err(damaged)? {
        Some(found) if &*found != LAYOUT => {
            let found = String::from_utf8_lossy(&found).into_owned();
            Err(OpenError::NewerLayout { path: path.to_owned(), found })
        }
        Some(_) => Ok(opened),
        None => {
            opened.trees.meta.insert("layout", LAYOUT).map_err(damaged)?;
            Ok(opened)
        }
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

/// The counts as they are stored: six numbers, eight bytes each.
pub fn counts_to_bytes(counts: &Counts) -> Vec<u8> {
    let Counts { events, redeliveries, duplicates, pending, bytes, damaged } = *counts;
    [events, redeliveries, duplicates, pending, bytes, damaged].into_iter().flat_map(u64::to_be_bytes).collect()
}

fn counts_from_bytes(row: &[u8]) -> Option<Counts> {
    let (numbers, _) = row.as_chunks::<8>();
    let mut numbers = numbers.iter().map(|number| u64::from_be_bytes(*number));
    let mut next = || numbers.next();
    Some(Counts {
        events: next()?,
        redeliveries: next()?,
        duplicates: next()?,
        pending: next()?,
        bytes: next()?,
        damaged: next()?,
    })
}
