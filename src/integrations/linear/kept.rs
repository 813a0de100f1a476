//! The refresh token that Linear has given last, kept in the data directory: each is good once, and the one of the
//! configuration is used up by the first refresh.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::settings::SecretText;
use crate::files::write_whole;

/// The file in the data directory.
const FILE: &str = "linear.token";

/// What stands in the file.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The hash of the token of the configuration that it follows: whoever configures another one has begun anew.
    follows: String,
    refresh_token: String,
}

/// Where the token is kept.
#[derive(Clone)]
pub struct Kept {
    path: PathBuf,
    follows: String,
}

impl Kept {
    /// In this data directory, for what follows the token of the configuration.
    pub fn new(data_dir: &Path, configured: &SecretText) -> Self {
        Self { path: data_dir.join(FILE), follows: hex::encode(Sha256::digest(configured.expose())) }
    }

    /// The last one, if one has followed that of the configuration.
    pub fn read(&self) -> std::io::Result<Option<SecretText>> {
        let text = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        // What cannot be read is nothing: the token of the configuration is tried, and Linear says whether it is good.
        let record = serde_json::from_str::<Record>(&text).ok().filter(|record| record.follows == self.follows);
        Ok(record.map(|record| SecretText::new(record.refresh_token)))
    }

    /// Keeps one. It is durable when this returns.
    pub fn write(&self, token: &SecretText) -> std::io::Result<()> {
        let record = Record { follows: self.follows.clone(), refresh_token: token.expose().to_owned() };
        write_whole(&self.path, &serde_json::to_string(&record).map_err(std::io::Error::other)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_last_one_is_kept_for_its_owner_until_another_is_configured() {
        let directory = tempfile::tempdir().unwrap();
        let kept = |configured: &str| Kept::new(directory.path(), &SecretText::new(configured));
        let read = |configured: &str| kept(configured).read().unwrap().map(|token| token.expose().to_owned());
        assert_eq!(read("first"), None);
        kept("first").write(&SecretText::new("second")).unwrap();
        kept("first").write(&SecretText::new("third")).unwrap();
        assert_eq!((read("first").as_deref(), read("other")), (Some("third"), None));
        let path = directory.path().join(FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read("first"), None);
    }
}
