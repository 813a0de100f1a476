//! What the engine takes from the configuration. A part of [`super::settings`].

use std::sync::Arc;

use pointsman_actors::circuit_breaker::circuit::Policy;
use pointsman_actors::workflow::spec::{Defaults, RetrySpec};

use super::settings::Checker;
use crate::redaction::Redaction;

impl Checker<'_> {
    /// None at all would be taken for no limit by some and for an empty log by others.
    pub(super) fn max_events(&mut self) -> Option<u64> {
        let path = "event_store.max_events";
        let given = self.merged.entry(path).map(|_| self.count(path));
        if given == Some(0) {
            self.wrong(path, "must be at least 1; leave it unset for no limit".to_owned());
        }
        given
    }

    pub(super) fn redaction(&mut self) -> Arc<Redaction> {
        const REDACT: &str = "event_store.redact";
        let read = Redaction::read(&self.list(REDACT)).unwrap_or_else(|wrong| {
            wrong.into_iter().for_each(|reason| self.wrong(REDACT, reason));
            Redaction::default()
        });
        Arc::new(read)
    }

    pub(super) fn circuits(&self) -> Policy {
        Policy {
            threshold: u32::try_from(self.count("circuit_breaker.threshold")).unwrap_or(u32::MAX),
            failure_rate: self.ratio("circuit_breaker.failure_rate"),
            window: self.span("circuit_breaker.window"),
            open_for: self.span("circuit_breaker.timeout"),
        }
    }

    pub(super) fn workflow_defaults(&self) -> Defaults {
        let span = |path: &str| format!("{}ms", self.span(path).as_millis());
        let retries = if self.flag("workflow.retry") { self.count("workflow.max_retries") } else { 0 };
        Defaults {
            run_timeout: span("workflow.timeout"),
            step_timeout: span("event_queue.timeout"),
            retry: RetrySpec {
                max_attempts: Some(u32::try_from(retries.saturating_add(1)).unwrap_or(u32::MAX)),
                base_delay: Some(span("workflow.retry_delay")),
                max_delay: Some(span("retry_manager.max_delay")),
                multiplier: Some(self.ratio("retry_manager.backoff_multiplier")),
                jitter: Some(self.ratio("retry_manager.jitter_factor")),
                on: None,
            },
        }
    }
}
