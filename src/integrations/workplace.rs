//! Where a program of ours works: a fresh directory that nobody else can look into, and that is gone when the program
//! is, also when this process was killed: it is written down before it is made.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::Notebook;
use serde_json::{Value as Json, json};

/// How the names of these directories begin; nothing else is ever removed.
const PREFIX: &str = "pointsman-";

/// In a note: where the program works.
const DIRECTORY: &str = "directory";

/// Pauses between attempts to remove what a dying program still writes to, and how many.
const REMOVING: (Duration, u32) = (Duration::from_millis(20), 250);

/// A directory that may not be there yet; it is removed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct Workplace(PathBuf);

impl Workplace {
    /// One that is not there yet, with a name that nobody has.
    pub fn planned() -> Self {
        let place = tempfile::env::temp_dir().join(format!("{PREFIX}{}", uuid::Uuid::new_v4().as_simple()));
        // The next process may be started elsewhere. Only an empty path has no absolute one.
        Self(std::path::absolute(&place).unwrap_or(place))
    }

    /// One with these directories in it. It is made when it stands in the notebook.
    pub async fn noted(notebook: &Notebook, parts: &[&str]) -> Result<Self, Failure> {
        let workplace = Self::planned();
        notebook.note(workplace.note()).await?;
        workplace.make(parts)?;
        Ok(workplace)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A directory in it.
    pub fn part(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What is to be written down before it is made.
    pub fn note(&self) -> Json {
        json!({ DIRECTORY: self.0 })
    }

    /// Puts that into the note of the program that is to work there.
    pub fn add_to(&self, note: &mut Json) {
        if let (Some(note), Json::Object(own)) = (note.as_object_mut(), self.note()) {
            note.extend(own);
        }
    }

    /// Makes it, and these directories in it.
    pub fn make(&self, parts: &[&str]) -> Result<(), Failure> {
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        let made = make(&self.0).and_then(|()| parts.iter().try_for_each(|part| make(&self.part(part))));
        made.map_err(|error| Failure::new(ErrorClass::Temporary, format!("no directory to work in: {error}")))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Leaves a workplace to be removed, and waits for that. There may be thousands of files, which is nothing for a thread
/// that others are to be served by.
pub async fn leave(workplace: Arc<Workplace>) {
    if tokio::task::spawn_blocking(move || drop(workplace)).await.is_err() {
        tracing::error!("removing a workplace fell");
    }
}

/// Removes what a former process has left, as its note says.
pub fn remove_leftover(note: &Json) {
    let Some(path) = note.get(DIRECTORY).and_then(Json::as_str).map(Path::new) else { return };
    let is_named_so = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
        let id = name.strip_prefix(PREFIX).unwrap_or_default();
        id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit())
    });
    let is_our_own =
        path.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw());
    if path.is_absolute() && is_named_so && is_our_own {
        tracing::warn!(path = %path.display(), "a directory that outlived a former process is removed");
        remove(path);
    }
}

/// A program that was just killed may still be writing: then it is tried again, while nobody waits for it.
fn remove(path: &Path) {
    let path = path.to_owned();
    if is_removed(&path) {
        return;
    }
    std::thread::spawn(move || {
        let (pause, most) = REMOVING;
        for _ in 0..most {
            std::thread::sleep(pause);
            if is_removed(&path) {
                return;
            }
        }
        tracing::error!(path = %path.display(), "a directory cannot be removed; remove it by hand");
    });
}

fn is_removed(path: &Path) -> bool {
    match std::fs::remove_dir_all(path) {
        Ok(()) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_ours_alone_and_gone_when_nobody_needs_it() {
        let workplace = Workplace::planned();
        assert!(!workplace.path().exists());
        workplace.make(&["code"]).unwrap();
        std::fs::write(workplace.part("code").join("file"), "x").unwrap();
        for path in [workplace.path(), &workplace.part("code")] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
        let path = workplace.path().to_owned();
        drop(workplace);
        assert!(!path.exists());
    }

    #[test]
    fn what_was_left_is_removed_and_nothing_else() {
        let left = Workplace::planned();
        left.make(&["code"]).unwrap();
        let (path, note) = (left.path().to_owned(), left.note());
        std::mem::forget(left);
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join(format!("{PREFIX}{}", "0".repeat(32)));
        symlink(&path, &link).unwrap();
        for other in
            [json!({}), json!({ DIRECTORY: elsewhere.path() }), json!({ DIRECTORY: link }), json!({ DIRECTORY: "/" })]
        {
            remove_leftover(&other);
        }
        assert!(path.exists() && elsewhere.path().exists() && link.exists());
        remove_leftover(&note);
        assert!(!path.exists());
        remove_leftover(&note);
    }
}
