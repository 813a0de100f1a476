//! The operator's token in the data directory. The only place of [`crate::access`] beside the trail that touches files.

use std::path::Path;

use anyhow::Context;

use super::token;
use crate::files::write_whole;

/// The file in the data directory that holds a generated token.
pub const FILE: &str = "admin.token";

/// The operator's token: the one given, or the one in the data directory, or a new one there.
pub fn admin_token(data_dir: &Path, given: Option<&str>) -> anyhow::Result<String> {
    if let Some(token) = given {
        return Ok(token.to_owned());
    }
    let path = data_dir.join(FILE);
    let kept = std::fs::read_to_string(&path).map(|token| token.trim().to_owned()).unwrap_or_default();
    if !kept.is_empty() {
        only_for_owner(&path).with_context(|| format!("`{}` must be readable by its owner only", path.display()))?;
        return Ok(kept);
    }
    let token = token::random()?;
    write_whole(&path, &format!("{token}\n")).with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(token)
}

fn only_for_owner(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = path.metadata()?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "others could read the operator's token; they cannot any more");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}
