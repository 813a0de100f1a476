//! Unpacks the files of a repository that somebody else wrote, as `git archive` packs them, into a fresh directory.
//!
//! What comes out is text to be read: plain files and directories of ours, at the places that they have in the
//! repository, within bounds. Links are left out, because one is enough to lead a reader anywhere; so is whatever
//! would tell a tool that works there how to behave, or what to do. Both stand in honest repositories, so they are
//! counted, and the rest is there. What git never packs (a way up, an absolute path, a device, a hard link, the same
//! file twice) is no accident: then nothing of the archive is used.
//!
//! The archive is read as it comes, extended headers by us: a library that puts them together would hold as much of
//! them in memory as the sender likes. Never here: a network, or a program.
//!
//! Source of the format: pax(1) of POSIX, "ustar Interchange Format" and "pax Extended Header".

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::read::GzDecoder;
use tar::{Archive, Entry, EntryType, PaxExtensions};

/// How much is unpacked at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of the archive when it is decompressed, headers and all.
    pub bytes: u64,
    /// What stands in it, files, directories and headers.
    pub entries: usize,
    /// Directories that one path leads through.
    pub depth: usize,
    /// Bytes of one path.
    pub path: usize,
}

/// What has been unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Files that are there now.
    pub files: u64,
    /// Links, settings, and what has a name that nobody can read: not there.
    pub left_out: u64,
}

/// Why nothing of an archive is used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// There is more of it than anybody reads.
    #[error("it is too large")]
    TooLarge,
    /// It is not what git packs.
    #[error("it is not an archive of git: {0}")]
    Wrong(String),
    /// It could not be written.
    #[error("it could not be written: {0}")]
    Disk(#[from] io::Error),
}

/// Longest extended header: a path and a few words.
const LONGEST_HEADER: u64 = 64 << 10;

/// Longest name in a directory; file systems take no longer one.
const LONGEST_NAME: usize = 255;

/// What would configure or instruct Claude Code, or a git that it starts, at whatever depth: it reads each where it
/// comes by.
const SETTINGS: [&str; 5] = [".git", ".mcp.json", "agents.md", "claude.md", "claude.local.md"];

/// And whatever begins so: `.claude/`, `.claude.json`, `.claude-plugin/`.
const SETTINGS_BEGIN: &str = ".claude";

/// Unpacks `from` into the directory `into`, which is there and empty. When it fails, what is there is a part.
pub fn unpack(from: impl Read, into: &Path, bounds: &Bounds) -> Result<Unpacked, Unusable> {
    let exceeded = Rc::new(Cell::new(false));
    let bounded = Bounded { from: GzDecoder::new(from), left: bounds.bytes, exceeded: Rc::clone(&exceeded) };
    let mut archive = Archive::new(bounded);
    let mut unpacking = Unpacking { into, bounds, seen: HashSet::new(), found: Unpacked::default() };
    let done = unpacking.all(&mut archive).and_then(|()| {
        // Whether all has come is known at the end of the compressed data, behind that of the archive.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken).map(|_| ())
    });
    match done {
        Err(Unusable::Wrong(_)) if exceeded.get() => Err(Unusable::TooLarge),
        other => other.map(|()| unpacking.found),
    }
}

fn broken(error: io::Error) -> Unusable {
    Unusable::Wrong(error.to_string())
}

fn wrong<T>(what: &str) -> Result<T, Unusable> {
    Err(Unusable::Wrong(what.to_owned()))
}

struct Unpacking<'a> {
    into: &'a Path,
    bounds: &'a Bounds,
    /// The directories that are there.
    seen: HashSet<PathBuf>,
    found: Unpacked,
}

impl Unpacking<'_> {
    fn all<R: Read>(&mut self, archive: &mut Archive<R>) -> Result<(), Unusable> {
        let (mut entries, mut named) = (0, None);
        for entry in archive.entries().map_err(broken)?.raw(true) {
            let mut entry = entry.map_err(broken)?;
            entries += 1;
            if entries > self.bounds.entries {
                return Err(Unusable::TooLarge);
            }
            match entry.header().entry_type() {
                // The id of the commit, for the whole archive.
                EntryType::XGlobalHeader => {}
                EntryType::XHeader => named = path_of(&mut entry)?,
                kind => {
                    let path = named.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
                    self.one(&mut entry, kind, &path)?;
                }
            }
        }
        Ok(())
    }

    fn one(&mut self, entry: &mut Entry<'_, impl Read>, kind: EntryType, path: &[u8]) -> Result<(), Unusable> {
        if !matches!(kind, EntryType::Regular | EntryType::Directory | EntryType::Symlink) {
            return wrong("something in it is neither a file nor a directory nor a symbolic link");
        }
        let place = match place(path, self.bounds)? {
            Place::Top => return Ok(()),
            Place::At(place) => Some(place).filter(|_| kind != EntryType::Symlink),
            Place::LeftOut => None,
        };
        let Some(place) = place else {
            self.found.left_out += 1;
            return Ok(());
        };
        if kind == EntryType::Directory {
            return self.directory(&place);
        }
        self.directory(place.parent().unwrap_or(Path::new("")))?;
        self.found.files += 1;
        self.file(entry, &place)
    }

    fn directory(&mut self, place: &Path) -> Result<(), Unusable> {
        if place.as_os_str().is_empty() || self.seen.contains(place) {
            return Ok(());
        }
        self.directory(place.parent().unwrap_or(Path::new("")))?;
        DirBuilder::new().mode(0o700).create(self.into.join(place)).map_err(twice)?;
        self.seen.insert(place.to_owned());
        Ok(())
    }

    fn file(&self, entry: &mut Entry<'_, impl Read>, place: &Path) -> Result<(), Unusable> {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.into.join(place)).map_err(twice)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = entry.read(&mut buffer).map_err(broken)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            io::Write::write_all(&mut file, bytes)?;
        }
        // A file that ends early is not noticed by whoever reads it.
        if file.metadata()?.len() == entry.header().entry_size().map_err(broken)? {
            return Ok(());
        }
        wrong("it ends in the middle of a file")
    }
}

/// Whatever is at a place was put there by this archive.
fn twice(error: io::Error) -> Unusable {
    match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Unusable::Wrong("two things in it have the same path".to_owned())
        }
        _ => Unusable::Disk(error),
    }
}

/// The path in an extended header, which is that of the entry after it.
fn path_of(entry: &mut Entry<'_, impl Read>) -> Result<Option<Vec<u8>>, Unusable> {
    let mut header = Vec::new();
    entry.take(LONGEST_HEADER + 1).read_to_end(&mut header).map_err(broken)?;
    if header.len() as u64 > LONGEST_HEADER {
        return Err(Unusable::TooLarge);
    }
    let mut path = None;
    for extension in PaxExtensions::new(&header) {
        let extension = extension.map_err(broken)?;
        match extension.key_bytes() {
            b"path" => path = Some(extension.value_bytes().to_vec()),
            // Of a file that says its size in two ways nobody knows where it ends.
            b"size" => return Err(Unusable::TooLarge),
            _ => {}
        }
    }
    Ok(path)
}

/// Where something goes.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// The directory that GitHub puts around everything.
    Top,
    /// There, from the directory on.
    At(PathBuf),
    /// Nowhere.
    LeftOut,
}

fn place(path: &[u8], bounds: &Bounds) -> Result<Place, Unusable> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if path.is_empty() || path.contains(&0) {
        return wrong("something in it has no name");
    }
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    if parts.iter().any(|part| matches!(*part, b"" | b"." | b"..")) {
        return wrong("a path in it leads elsewhere");
    }
    let Some((_, inside)) = parts.split_first().filter(|(_, inside)| !inside.is_empty()) else { return Ok(Place::Top) };
    let is_long = inside.len() > bounds.depth || path.len() > bounds.path;
    if is_long || inside.iter().any(|part| is_odd(part) || is_setting(part)) {
        return Ok(Place::LeftOut);
    }
    Ok(Place::At(inside.iter().map(|part| OsStr::from_bytes(part)).collect()))
}

/// A name that could pass for something else when it is shown.
fn is_odd(name: &[u8]) -> bool {
    name.len() > LONGEST_NAME || std::str::from_utf8(name).map_or(true, |name| name.chars().any(char::is_control))
}

/// Also in another case: nobody knows what the file system, or the tool, takes for the same.
fn is_setting(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_lowercase();
    SETTINGS.contains(&name.as_str()) || name.starts_with(SETTINGS_BEGIN)
}

/// Fails at the first byte that is too many.
struct Bounded<R> {
    from: R,
    left: u64,
    exceeded: Rc<Cell<bool>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                self.exceeded.set(true);
                return Err(io::Error::other("too large"));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
#[path = "tarball_tests.rs"]
mod tests;
