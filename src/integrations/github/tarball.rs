//! The files of a commit, which GitHub packs and another host hands out. They are unpacked as they come.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use serde::Serialize;
use tokio::sync::mpsc::{self, Receiver};

use super::GitHub;
use super::call::Call;
use super::paths::{part, repository_path};
use crate::integrations::tarball::{self, Bounds, Unpacked, Unusable};
use crate::integrations::workplace::Workplace;

/// Most bytes of a tarball that are fetched: ten runs at once fill no disk, and nearly every repository is smaller.
const LARGEST_TARBALL: usize = 64 << 20;

/// What is unpacked of it. Git takes no longer paths than these.
const BOUNDS: Bounds = Bounds { bytes: 256 << 20, entries: 50_000, depth: 64, path: 4_096 };

/// Pieces that have come and are not unpacked yet, some tens of KiB each.
const PIECES: usize = 8;

/// How much of a commit's code is there to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it.
    Whole,
    /// All but links and what would configure whoever reads it.
    Partial,
    /// None: there is more than anybody reads.
    #[serde(rename = "too large")]
    TooLarge,
    /// None: what came is not what git packs.
    Unusable,
    /// None: GitHub does not give it to us.
    Unavailable,
    /// None: nobody asked.
    Unread,
}

/// The code of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// How much of it is there.
    pub extent: Extent,
    /// Links and settings that are not.
    pub left_out: u64,
}

impl Code {
    /// Nobody asked for it.
    pub const UNREAD: Self = Self::none(Extent::Unread);

    const fn none(extent: Extent) -> Self {
        Self { extent, left_out: 0 }
    }

    /// Whether there is something to be read.
    pub fn is_there(self) -> bool {
        matches!(self.extent, Extent::Whole | Extent::Partial)
    }
}

impl GitHub {
    /// Puts the files of a commit into the part `name` of a workplace, which is there and empty. A commit of a fork is
    /// found in the repository that the pull request goes to. What can never be had fails nothing: there is a diff.
    pub async fn code(
        &self,
        (repository, sha): (&str, &str),
        workplace: Arc<Workplace>,
        name: &'static str,
    ) -> Result<Code, Failure> {
        let path = format!("/repos/{}/tarball/{}", repository_path(repository)?, part(sha)?);
        let directory = workplace.part(name);
        let (to, from) = mpsc::channel(PIECES);
        let into = directory.clone();
        let unpacking = tokio::task::spawn_blocking(move || {
            let unpacked = tarball::unpack(Pieces { from, piece: Bytes::new() }, &into, &BOUNDS);
            // Until then it may write there, also when nobody waits for it any more.
            drop(workplace);
            unpacked
        });
        let call = Call { through: Some(&to), largest: LARGEST_TARBALL, ..Call::get(&path) };
        let answer = self.call(&call).await;
        drop(to);
        let fell = |error| Failure::new(ErrorClass::Internal, format!("unpacking {path}: {error}"));
        let unpacked = unpacking.await.map_err(fell)?;
        let code = match answer {
            Err(failure) if is_final(&failure) => {
                tracing::warn!(
                    failure = failure.to_string(),
                    "the code of a pull request cannot be had; it is judged by its diff alone"
                );
                Code::none(Extent::Unavailable)
            }
            Err(failure) => return Err(failure),
            Ok(answer) if answer.cut => Code::none(Extent::TooLarge),
            Ok(_) => judged(&path, unpacked)?,
        };
        if !code.is_there() {
            empty(&directory)?;
        }
        Ok(code)
    }
}

/// That GitHub does not give it: it may lack the permission, or be gone.
fn is_final(failure: &Failure) -> bool {
    matches!(failure.class, ErrorClass::NotFound | ErrorClass::Authorization | ErrorClass::Validation)
}

fn judged(path: &str, unpacked: Result<Unpacked, Unusable>) -> Result<Code, Failure> {
    match unpacked {
        Ok(Unpacked { left_out: 0, .. }) => Ok(Code::none(Extent::Whole)),
        Ok(Unpacked { left_out, .. }) => Ok(Code { extent: Extent::Partial, left_out }),
        Err(Unusable::TooLarge) => Ok(Code::none(Extent::TooLarge)),
        Err(Unusable::Wrong(reason)) => {
            tracing::warn!(path, reason, "the code of a pull request is not used; it is judged by its diff alone");
            Ok(Code::none(Extent::Unusable))
        }
        Err(error @ Unusable::Disk(_)) => {
            Err(Failure::new(ErrorClass::Temporary, format!("unpacking {path}: {error}")))
        }
    }
}

/// What was unpacked before it was given up is no part of anything.
fn empty(directory: &Path) -> Result<(), Failure> {
    std::fs::remove_dir_all(directory)
        .and_then(|()| std::fs::create_dir(directory))
        .map_err(|error| Failure::new(ErrorClass::Temporary, format!("no directory to work in: {error}")))
}

/// What comes, for somebody who reads; it ends when nobody sends any more.
struct Pieces {
    from: Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let Some(piece) = self.from.blocking_recv() else { return Ok(0) };
            self.piece = piece;
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.split_to(count).copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
