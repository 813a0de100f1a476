//! How many connections there may be, how long they may take, and whether they are encrypted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::merged::{Origin, Problem};
use super::settings::{Checker, is_open};
use crate::http::connections::Limits;
use crate::tls::Files;

const TOTAL: &str = "server.max_connections";
const PER_ADDRESS: &str = "server.max_connections_per_address";
const CERTIFICATE: &str = "server.tls.certificate";
const KEY: &str = "server.tls.key";

/// Of connections.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// How many.
    pub limits: Limits,
    /// How long the head of a request may take.
    pub head_timeout: Duration,
    /// How long one may be without a request.
    pub keep_alive: Duration,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Our certificate; without one they are not encrypted.
    pub tls: Option<Files>,
    /// How often it is looked whether it was renewed.
    pub check_interval: Duration,
}

impl Checker<'_> {
    pub(super) fn doors(&mut self) -> DoorSettings {
        for path in
            ["server.head_timeout", "server.keep_alive", "server.tls.handshake_timeout", "server.tls.check_interval"]
        {
            if self.span(path).is_zero() {
                self.wrong(path, "must be longer than nothing".to_owned());
            }
        }
        DoorSettings {
            limits: self.connections(),
            head_timeout: self.span("server.head_timeout"),
            keep_alive: self.span("server.keep_alive"),
            handshake_timeout: self.span("server.tls.handshake_timeout"),
            tls: self.tls(),
            check_interval: self.span("server.tls.check_interval"),
        }
    }

    fn connections(&mut self) -> Limits {
        let at_work = self.count("server.max_in_flight");
        if self.count(TOTAL) <= at_work {
            let reason = format!(
                "must be more than `server.max_in_flight` ({at_work}): a connection with a request makes way for nobody"
            );
            self.wrong(TOTAL, reason);
        }
        if self.count(PER_ADDRESS) == 0 {
            self.wrong(PER_ADDRESS, "must be at least 1".to_owned());
        }
        let number = |count| usize::try_from(count).unwrap_or(usize::MAX);
        let total = number(self.count(TOTAL));
        Limits { total, per_address: number(self.count(PER_ADDRESS)).min(total) }
    }

    /// Both files or none. What stands in them is looked at when they are read.
    fn tls(&mut self) -> Option<Files> {
        let (certificate, key) = (self.text(CERTIFICATE), self.text(KEY));
        for (given, other, path) in [(&certificate, &key, KEY), (&key, &certificate, CERTIFICATE)] {
            if given.is_some() && other.is_none() {
                let named = if path == KEY { CERTIFICATE } else { KEY };
                let origin = self.merged.entry(named).map_or(Origin::Default, |entry| entry.origin.clone());
                let reason = format!("it is missing; `{named}` is of no use without it");
                self.problems.push(Problem { key: path.to_owned(), origin, reason });
            }
        }
        let files = Files { certificate: PathBuf::from(certificate?), key: PathBuf::from(key?) };
        if is_open(Path::new(&files.key)) {
            let reason = format!("everybody on this machine can read `{}`; chmod o-r", files.key.display());
            let origin = self.merged.entry(KEY).map_or(Origin::Default, |entry| entry.origin.clone());
            self.warnings.push(Problem { key: KEY.to_owned(), origin, reason });
        }
        Some(files)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{merge, problem};
    use super::*;

    #[test]
    fn there_are_more_connections_than_deliveries() {
        let check = |toml: &str, expect: &str| assert_eq!(problem(toml, &[]), expect, "{toml}");
        check(
            "[server]\nmax_connections = 2048",
            "server.max_connections (config.toml, line 2): must be more than `server.max_in_flight` (2048): a connection with a \
             request makes way for nobody",
        );
        check(
            "[server]\nmax_connections_per_address = 0",
            "server.max_connections_per_address (config.toml, line 2): must be at least 1",
        );
        check(
            "[server]\nhead_timeout = \"0s\"",
            "server.head_timeout (config.toml, line 2): must be longer than nothing",
        );
        let limits = |toml| merge(toml, &[]).unwrap().1.doors.limits;
        assert_eq!(limits(""), Limits { total: 10_000, per_address: 2_500 });
        let few = limits("[server]\nmax_connections = 100\nmax_in_flight = 10");
        assert_eq!(few, Limits { total: 100, per_address: 100 });
    }

    #[test]
    fn a_certificate_has_a_key_and_a_key_a_certificate() {
        let check = |toml: &str, expect: &str| assert_eq!(problem(toml, &[]), expect, "{toml}");
        check(
            "[server.tls]\ncertificate = \"c.pem\"",
            "server.tls.key (config.toml, line 2): it is missing; `server.tls.certificate` is of no use without it",
        );
        check(
            "[server.tls]\nkey = \"k.pem\"",
            "server.tls.certificate (config.toml, line 2): it is missing; `server.tls.key` is of no use without it",
        );
        assert_eq!(merge("", &[]).unwrap().1.doors.tls, None);
    }

    #[test]
    fn a_key_that_everybody_can_read_is_warned_of() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key.pem");
        std::fs::write(&key, "-").unwrap();
        let toml = format!("[server.tls]\ncertificate = \"c.pem\"\nkey = \"{}\"", key.display());
        let warned = |mode| {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            let warnings = merge(&toml, &[]).unwrap().1.warnings;
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(warned(0o600).is_empty());
        let warnings = warned(0o644);
        assert!(warnings.len() == 1 && warnings[0].contains("everybody on this machine can read"), "{warnings:?}");
    }
}
