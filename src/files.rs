//! Small files that are there whole or not at all.

use std::io::Write;
use std::path::Path;

/// Writes a file that only its owner can read, whole or not at all: nobody sees a part of it, and when this returns it
/// outlasts a loss of power.
pub fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // Temporary files are made for their owner only.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(directory)?.sync_all()
}
