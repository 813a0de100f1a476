//! How an attempt fails: a class that says whether trying again can help, and a text for people.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What kind of failure it was. The names are those that definitions write in `retry.on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// No connection, or one that broke.
    Network,
    /// No answer in time.
    Timeout,
    /// The provider asks to slow down.
    RateLimit,
    /// The provider says that it is not well (5xx).
    ServiceUnavailable,
    /// Anything else that may pass by itself.
    Temporary,
    /// The action fell; that is a defect of this program.
    Internal,
    /// The provider does not accept what was asked (400, 422).
    Validation,
    /// The credential is missing or wrong (401).
    Authentication,
    /// The credential may not do this (403).
    Authorization,
    /// It is not there (404, 410).
    NotFound,
    /// It is there already.
    Duplicate,
    /// A run that the step has started did not succeed.
    RunFailed,
}

impl ErrorClass {
    /// All classes.
    pub const ALL: [Self; 12] = [
        Self::Network,
        Self::Timeout,
        Self::RateLimit,
        Self::ServiceUnavailable,
        Self::Temporary,
        Self::Internal,
        Self::Validation,
        Self::Authentication,
        Self::Authorization,
        Self::NotFound,
        Self::Duplicate,
        Self::RunFailed,
    ];

    /// Whether trying again can help, when the definition does not say.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Network
            | Self::Timeout
            | Self::RateLimit
            | Self::ServiceUnavailable
            | Self::Temporary
            | Self::Internal => true,
            Self::Validation
            | Self::Authentication
            | Self::Authorization
            | Self::NotFound
            | Self::Duplicate
            | Self::RunFailed => false,
        }
    }

    /// Whether a service is not well that ends its calls so.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Network | Self::Timeout | Self::ServiceUnavailable)
    }

    /// The name that records, answers and definitions use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::RateLimit => "rate_limit",
            Self::ServiceUnavailable => "service_unavailable",
            Self::Temporary => "temporary",
            Self::Internal => "internal",
            Self::Validation => "validation",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::NotFound => "not_found",
            Self::Duplicate => "duplicate",
            Self::RunFailed => "run_failed",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Longest text of a failure that is kept: a provider's error page is no news.
const LONGEST_TEXT: usize = 2_000;

/// Why an attempt did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{class}: {message}")]
pub struct Failure {
    /// The kind.
    pub class: ErrorClass,
    /// For people; never holds a credential.
    pub message: String,
    /// Whether the effect may have happened although no answer says so: the connection broke or the
    /// time was up after the request had left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
    /// How long the provider asks to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The service that failed, of an action that calls several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Whether nothing was done because a limit held it back, one of ours, or of a provider that says until when: that uses
    /// up no attempt of a step's budget.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsent: bool,
    /// Whether trying it is what does harm: each attempt fell, or the process died of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub poison: bool,
}

impl Failure {
    /// A failure after which it is certain that nothing happened.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(LONGEST_TEXT) {
            message.truncate(end);
            message.push('…');
        }
        Self { class, message, in_doubt: false, retry_after_ms: None, service: None, unsent: false, poison: false }
    }

    /// The same, but the effect may have happened.
    #[must_use]
    pub fn in_doubt(mut self) -> Self {
        self.in_doubt = true;
        self
    }

    /// The same, and a limit held it back.
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.unsent = true;
        self
    }

    /// How many attempts of a step's budget it uses up: none when nothing was sent, or when a provider has done nothing and
    /// says from when on it will.
    pub fn costs(&self) -> u32 {
        u32::from(!self.unsent && !self.is_told_when())
    }

    /// How often in a row a step was held back by what nobody here knows the end of, this being the last of its failures after
    /// so many.
    pub fn refusals(&self, before: u32) -> u32 {
        match (self.unsent, self.retry_after_ms) {
            // We know ourselves when there is room.
            (true, Some(_)) => before,
            (true, None) => before.saturating_add(1),
            (false, _) if self.is_told_when() => before.saturating_add(1),
            (false, _) => 0,
        }
    }

    fn is_told_when(&self) -> bool {
        self.class == ErrorClass::RateLimit && self.retry_after_ms.is_some_and(|ms| ms > 0) && !self.in_doubt
    }

    /// The same, and trying it is what does harm.
    #[must_use]
    pub fn poison(mut self) -> Self {
        self.poison = true;
        self
    }

    /// The same, and it was this service.
    #[must_use]
    pub fn of(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    /// The same, and the provider asks to wait so long.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_written_as_they_are_named() {
        for class in ErrorClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
    }

    #[test]
    fn whoever_is_told_when_to_come_again_loses_nothing() {
        let limited = || Failure::new(ErrorClass::RateLimit, "x");
        let second = Duration::from_secs(1);
        assert_eq!((limited().costs(), limited().retry_after(second).costs(), limited().unsent().costs()), (1, 0, 0));
        assert_eq!(limited().retry_after(Duration::ZERO).costs(), 1, "or nothing would ever end it");
        assert_eq!(limited().retry_after(second).in_doubt().costs(), 1, "it may have been done");
        assert_eq!(Failure::new(ErrorClass::ServiceUnavailable, "x").retry_after(second).costs(), 1);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let failure = Failure::new(ErrorClass::Temporary, "ü".repeat(5_000));
        assert_eq!(failure.message.chars().count(), LONGEST_TEXT + 1);
    }
}
