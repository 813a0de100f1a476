//! What the configuration says of catching up with what GitHub could not deliver.

use std::time::Duration;

use pointsman_actors::catch_up::actor::Mode;

use super::settings::Checker;
use crate::integrations::github::Hook;

const MODE: &str = "integrations.github.catch_up.mode";
const INTERVAL: &str = "integrations.github.catch_up.interval";
const HOOKS: &str = "integrations.github.catch_up.hooks";

/// What is caught up with, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatchUpSettings {
    /// How what is missing is got; not at all without it.
    pub mode: Option<Mode>,
    /// From one look to the next.
    pub every: Duration,
    /// The hooks that are watched beside an App's own.
    pub hooks: Vec<Hook>,
}

impl Checker<'_> {
    pub(super) fn catch_up(&mut self) -> CatchUpSettings {
        let mode = match self.text(MODE).as_deref() {
            Some("off") => None,
            Some("ingest") => Some(Mode::Ingest),
            _ => Some(Mode::Redeliver),
        };
        if self.span(INTERVAL).is_zero() {
            self.wrong(INTERVAL, "must be longer than nothing".to_owned());
        }
        let mut hooks: Vec<Hook> = Vec::new();
        for text in self.list(HOOKS) {
            match Hook::read(&text) {
                Some(hook) if !hooks.contains(&hook) => hooks.push(hook),
                Some(_) => {}
                None => self.wrong(
                    HOOKS,
                    format!("`{text}` names no hook; give OWNER/REPOSITORY#NUMBER or ORGANISATION#NUMBER, with the number from the address of its settings"),
                ),
            }
        }
        CatchUpSettings { mode, every: self.span(INTERVAL), hooks }
    }
}
