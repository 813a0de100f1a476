//! The code of commits, packed as `git archive` does. It lies at another host, as the real one does.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

use super::error;
use crate::server::{Reply, Request};
use crate::world::State;

/// An archive, entry by entry. It packs whatever it is told to, also what git never would.
#[derive(Clone, Debug, Default)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// With a file at this whole path.
    #[must_use]
    pub fn file(self, path: &str, data: &str) -> Self {
        self.entry(EntryType::Regular, (path, ""), data.as_bytes())
    }

    /// With a symbolic link there.
    #[must_use]
    pub fn link(self, path: &str, to: &str) -> Self {
        self.entry(EntryType::Symlink, (path, to), b"")
    }

    /// With an entry that is executable by everybody.
    #[must_use]
    pub fn entry(mut self, kind: EntryType, (path, to): (&str, &str), data: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        let old = header.as_old_mut();
        for (field, text) in [(&mut old.name, path), (&mut old.linkname, to)] {
            field.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
        }
        header.set_mode(0o777);
        header.set_size(data.len() as u64);
        header.set_entry_type(kind);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The compressed whole.
    #[must_use]
    pub fn finished(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Memory takes all that is written to it.
        let _ = encoder.write_all(&self.0);
        encoder.finish().unwrap_or_default()
    }
}

/// The directory that GitHub puts around a commit's files.
pub fn top(repository: &str, sha: &str) -> String {
    format!("{}-{sha}", repository.replace('/', "-"))
}

/// Where the tarball of a commit lies.
pub fn tarball(state: &State, repository: &str, sha: &str, request: &Request) -> Reply {
    if packed(state, repository, sha).is_none() {
        return error(404, "Not Found");
    }
    let here = request.header("host").unwrap_or_default();
    let port = here.rsplit(':').next().unwrap_or_default();
    let location = Some(format!("http://localhost:{port}/codeload/{repository}/legacy.tar.gz/{sha}?token=x"));
    Reply { location, ..Reply::text(302, "") }
}

/// A tarball, at its host: whoever shows a credential of GitHub there is refused.
pub fn download(state: &State, request: &Request) -> Reply {
    if request.header("authorization").is_some() {
        return Reply::text(400, "a credential that was meant for somebody else");
    }
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let [owner, name, "legacy.tar.gz", sha] = parts.as_slice() else { return Reply::text(404, "404: Not Found") };
    match packed(state, &format!("{owner}/{name}"), sha) {
        Some(packed) => Reply { body: packed.into(), ..Reply::text(200, "") },
        None => Reply::text(404, "404: Not Found"),
    }
}

/// What was put there, or a small repository for each commit that was ever the head of a pull request.
fn packed(state: &State, repository: &str, sha: &str) -> Option<Vec<u8>> {
    let known = (repository.to_owned(), sha.to_owned());
    if let Some(packed) = state.forge.tarballs.get(&known) {
        return Some(packed.clone());
    }
    let is_there = state.pulls.values().any(|pull| pull.repository == repository && pull.heads.contains(&known.1));
    let top = top(repository, sha);
    let small = Packed::default().file(&format!("{top}/README.md"), "A shop.\n");
    is_there.then(|| small.file(&format!("{top}/src/lib.rs"), "fn new() {}\n").finished())
}
