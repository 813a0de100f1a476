//! The ranges that GitHub has named last, kept in the data directory: a server that starts while GitHub cannot be asked goes by
//! them, and one that can asks whether they are still so.

use std::path::{Path, PathBuf};

use pointsman_actors::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::ranges::{self, Origin, Ranges};
use crate::files::write_whole;

/// The file in the data directory.
pub const FILE: &str = "github-ranges.json";

/// What stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// The API that has named them: another one has others.
    api: String,
    etag: Option<String>,
    fetched_at: String,
    hooks: Vec<String>,
}

/// Where ranges are kept.
#[derive(Clone, Debug)]
pub struct Kept {
    path: PathBuf,
    api: String,
}

impl Kept {
    /// In this data directory, what the API at `api` names.
    pub fn new(data_dir: &Path, api: &str) -> Self {
        Self { path: data_dir.join(FILE), api: api.to_owned() }
    }

    /// Those kept last, or those that are built in. A file that cannot be read, or is of another API, is as none.
    pub fn read(&self) -> Ranges {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ranges::built_in(),
            Err(error) => return self.unread(&error.to_string()),
        };
        match serde_json::from_str::<Record>(&text) {
            Ok(record) if record.api == self.api => record.ranges().unwrap_or_else(|reason| self.unread(&reason)),
            Ok(_) => Ranges::built_in(),
            Err(error) => self.unread(&error.to_string()),
        }
    }

    fn unread(&self, reason: &str) -> Ranges {
        let path = self.path.display();
        tracing::warn!(
            "`{path}` cannot be read, GitHub's built-in ranges are in force until it has been asked: {reason}"
        );
        Ranges::built_in()
    }

    /// Keeps these. They are durable when this returns.
    pub fn write(&self, ranges: &Ranges) -> std::io::Result<()> {
        let record = Record {
            api: self.api.clone(),
            etag: ranges.etag.clone(),
            fetched_at: ranges.fetched_at.to_rfc3339(),
            hooks: ranges.networks.iter().map(ToString::to_string).collect(),
        };
        write_whole(&self.path, &serde_json::to_string_pretty(&record).map_err(std::io::Error::other)?)
    }
}

impl Record {
    fn ranges(self) -> Result<Ranges, String> {
        let networks = ranges::read(self.hooks.iter().map(String::as_str)).map_err(|unusable| unusable.to_string())?;
        let fetched_at = Timestamp::from_rfc3339(&self.fetched_at);
        let fetched_at = fetched_at.ok_or_else(|| format!("`{}` is not a time", self.fetched_at))?;
        let (origin, etag) = (Origin::Kept, self.etag);
        Ok(Ranges { networks, origin, etag, fetched_at, confirmed_at: None, failing: None })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_kept_is_read_again_by_whoever_asks_the_same_api() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(directory.path(), "https://api.github.com");
        assert_eq!(kept.read(), Ranges::built_in());
        let ranges = Ranges {
            networks: vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            origin: Origin::Provider,
            etag: Some("W/\"1\"".to_owned()),
            fetched_at: Timestamp::from_millis(1_800_000_000_123),
            confirmed_at: Some(Timestamp::from_millis(1_800_000_000_123)),
            failing: None,
        };
        kept.write(&ranges).unwrap();
        assert_eq!(kept.read(), Ranges { origin: Origin::Kept, confirmed_at: None, ..ranges });
        assert_eq!(Kept::new(directory.path(), "https://ghe.example/api/v3").read(), Ranges::built_in());
        let path = directory.path().join(FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for damaged in [
            "{",
            "{\"api\":\"https://api.github.com\",\"etag\":null,\"fetchedAt\":\"2026-11-23T00:00:00Z\",\"hooks\":[\"0.0.0.0/0\"]}",
        ] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(kept.read(), Ranges::built_in(), "{damaged}");
        }
    }
}
