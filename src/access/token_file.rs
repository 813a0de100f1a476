//! The operator's token in the data directory. The only place of [`crate::access`] beside the trail that touches files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;

use super::token;
use crate::files::write_whole;

/// The file in the data directory that holds a generated token.
pub const FILE: &str = "admin.token";

/// The operator's token: the one given, or the one in the data directory, or a new one there. One that others could read is
/// nobody's any more.
pub fn admin_token(data_dir: &Path, given: Option<&str>) -> anyhow::Result<String> {
    if let Some(token) = given {
        return Ok(token.to_owned());
    }
    let path = data_dir.join(FILE);
    let kept = std::fs::read_to_string(&path).map(|token| token.trim().to_owned()).unwrap_or_default();
    if !kept.is_empty() {
        if !is_open(&path)? {
            return Ok(kept);
        }
        tracing::warn!(path = %path.display(), "others could read the operator's token, so there is a new one");
    }
    let token = token::random()?;
    write_whole(&path, &format!("{token}\n")).with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(token)
}

/// Whether others than its owner can do anything with a file.
fn is_open(path: &Path) -> anyhow::Result<bool> {
    let metadata = path.metadata().with_context(|| format!("`{}` cannot be looked at", path.display()))?;
    Ok(metadata.permissions().mode() & 0o077 != 0)
}
