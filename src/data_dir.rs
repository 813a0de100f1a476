//! The data directory: for its owner only, and for one server at a time.
//!
//! What lies in it was sent by others in confidence. So each file of ours is made for its owner alone, whatever the umask
//! says, and the store's lie in a directory that is. The umask itself stays as it is: programs that steps run inherit it, and what
//! they write for others must not become unreadable because of us.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file that the server which has the directory holds locked; its process number stands in it.
pub const LOCK_FILE: &str = "server.lock";

/// The file that says where the server listens.
pub const ADDRESS_FILE: &str = "server.addr";

/// What group and others may do.
const OTHERS: u32 = 0o077;

/// What of that is writing.
const OTHERS_WRITE: u32 = 0o022;

/// Makes a directory for its owner only, with those above it; one that is there stays as it is.
pub fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The same, and one that is there becomes so.
pub fn make_private(path: &Path) -> io::Result<()> {
    make(path)?;
    let mode = path.metadata()?.permissions().mode();
    if mode & OTHERS == 0 { Ok(()) } else { std::fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS)) }
}

/// How files in it are opened: what is made is for its owner only.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Makes a file that is open, and that a former version may have made for everybody, one for its owner only.
pub fn close_to_others(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    if mode & OTHERS == 0 { Ok(()) } else { file.set_permissions(Permissions::from_mode(mode & !OTHERS)) }
}

/// What is to be said of a directory in which others have a hand.
pub fn concern(path: &Path) -> io::Result<Option<String>> {
    let metadata = path.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    Ok(concern_of(metadata.uid(), own, metadata.permissions().mode())
        .map(|said| format!("`{}` {said}", path.display())))
}

fn concern_of(owner: u32, own: u32, mode: u32) -> Option<String> {
    if owner != own {
        return Some(format!(
            "belongs to another user ({owner}, this process is {own}), who can replace what lies in it; chown it"
        ));
    }
    let who = match mode & OTHERS_WRITE {
        0 => return None,
        0o020 => "its group",
        _ => "everybody",
    };
    Some(format!("can be written to by {who}, who can replace what lies in it; chmod go-w"))
}

/// Why a server cannot have the directory.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another one has it.
    #[error(
        "the data directory `{path}` is in use by another process{who}; stop that one, or give this one its own `server.data_dir`"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other one, as far as it is known.
        who: String,
    },
    /// The lock cannot be had, for whatever reason.
    #[error("`{path}` cannot be locked: {reason}; make it writable for this user, or set `server.data_dir`")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
}

/// The directory is this server's until this is dropped, or the process ends, however it does.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Lock {
    /// Takes the directory, if nobody has it.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(LOCK_FILE);
        let failed = |reason| LockError::Failed { path: path.clone(), reason };
        // It is never removed: whoever waits for a removed one would have it beside whoever made it anew.
        let mut file = private().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::InUse { path: directory.to_owned(), who: holder(directory) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let written = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        written.map_err(failed)?;
        Ok(Self(file))
    }
}

/// The server that has the directory, as far as it says so.
fn holder(directory: &Path) -> String {
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).ok().filter(|text| !text.is_empty());
    match (read(LOCK_FILE), read(ADDRESS_FILE)) {
        (Some(pid), Some(address)) => format!(" ({pid}, which listens on http://{address})"),
        (Some(pid), None) => format!(" ({pid})"),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_who_can_write_into_it_are_named() {
        let check = |owner: u32, mode: u32, expect: Option<&str>| {
            let concern = concern_of(owner, 1_000, mode);
            assert!(
                concern.as_deref().is_some_and(|said| expect.is_some_and(|expect| said.contains(expect)))
                    || concern.is_none() && expect.is_none(),
                "{owner} {mode:o}: {concern:?}"
            );
        };
        check(1_000, 0o40_700, None);
        check(1_000, 0o40_755, None);
        check(1_000, 0o40_775, Some("its group"));
        check(1_000, 0o40_777, Some("everybody"));
        check(1_000, 0o40_702, Some("everybody"));
        check(0, 0o40_700, Some("another user (0, this process is 1000)"));
    }

    #[test]
    fn what_is_there_becomes_private_and_what_is_made_is() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let part = directory.path().join("part");
        std::fs::create_dir(&part).unwrap();
        std::fs::set_permissions(&part, Permissions::from_mode(0o755)).unwrap();
        make(&part).unwrap();
        assert_eq!(mode(&part), 0o755, "that is its owner's decision");
        make_private(&part).unwrap();
        assert_eq!(mode(&part), 0o700);
        let path = part.join("file");
        let file = private().write(true).create(true).open(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        file.set_permissions(Permissions::from_mode(0o644)).unwrap();
        close_to_others(&file).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_directory_is_one_servers_until_it_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::take(directory.path()).unwrap();
        let said = Lock::take(directory.path()).unwrap_err().to_string();
        assert!(said.contains(&format!("in use by another process ({})", std::process::id())), "{said}");
        std::fs::write(directory.path().join(ADDRESS_FILE), "127.0.0.1:3000").unwrap();
        let said = Lock::take(directory.path()).unwrap_err().to_string();
        assert!(said.contains(", which listens on http://127.0.0.1:3000); stop that one"), "{said}");
        drop(lock);
        Lock::take(directory.path()).unwrap();
    }
}
