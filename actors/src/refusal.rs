//! Why a delivery is refused: one exhaustive list, the same in answers, metrics and the dashboard.
//!
//! Every sentence that a sender can read about a refusal stands in this file. None of them shows a
//! secret, an expected signature, or a part of the body.

use std::time::Duration;

/// A reason to refuse a delivery. Nothing of a refused delivery is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// No source has this path, or it has no secret and is off.
    UnknownSource,
    /// It was not sent with POST.
    MethodNotAllowed,
    /// The process is shutting down.
    Draining,
    /// Too many requests or body bytes in flight.
    Overloaded,
    /// Too much waits to be worked on.
    BacklogFull,
    /// Too many requests came from where this one did that could not be verified, or too many deliveries to its source; when
    /// it may come again.
    RateLimited(Duration),
    /// The store cannot write.
    StoreUnavailable,
    /// A component fell while it had this delivery in hand.
    ComponentRestarted,
    /// The address is not on the source's list.
    AddressNotAllowed,
    /// The body is larger than the source takes.
    BodyTooLarge,
    /// The body came too slowly.
    BodyTooSlow,
    /// The connection ended before the body did.
    BodyIncomplete,
    /// Neither JSON nor what else the source accepts.
    WrongContentType,
    /// A header that the source's protocol requires is missing, or is there more than once.
    BadHeader(&'static str),
    /// There is no signature or token.
    SignatureMissing,
    /// The signature or token is not right.
    SignatureInvalid,
    /// The signed timestamp is missing or not in the form that the provider sends.
    TimestampInvalid,
    /// The signed timestamp is too far from now.
    TimestampOutsideTolerance,
    /// The body is not JSON, or not UTF-8.
    NotJson,
    /// The form has no `payload` field, or it is not properly encoded.
    BadForm,
}

impl Refusal {
    /// The stable code: `error` in the answer, the label in metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownSource => "unknown_source",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Draining => "draining",
            Self::Overloaded => "overloaded",
            Self::BacklogFull => "backlog_full",
            Self::RateLimited(_) => "rate_limited",
            Self::StoreUnavailable => "store_unavailable",
            Self::ComponentRestarted => "component_restarted",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyIncomplete => "body_incomplete",
            Self::WrongContentType => "unsupported_content_type",
            Self::BadHeader(_) => "bad_header",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureInvalid => "signature_invalid",
            Self::TimestampInvalid => "timestamp_invalid",
            Self::TimestampOutsideTolerance => "timestamp_outside_tolerance",
            Self::NotJson => "invalid_json",
            Self::BadForm => "invalid_form",
        }
    }

    /// The HTTP status of the answer.
    pub fn http_status(self) -> u16 {
        match self {
            Self::UnknownSource => 404,
            Self::MethodNotAllowed => 405,
            Self::Draining
            | Self::Overloaded
            | Self::BacklogFull
            | Self::StoreUnavailable
            | Self::ComponentRestarted => 503,
            Self::RateLimited(_) => 429,
            Self::AddressNotAllowed => 403,
            Self::BodyTooLarge => 413,
            Self::BodyTooSlow => 408,
            Self::WrongContentType => 415,
            Self::SignatureMissing
            | Self::SignatureInvalid
            | Self::TimestampInvalid
            | Self::TimestampOutsideTolerance => 401,
            Self::BadHeader(_) | Self::NotJson | Self::BadForm | Self::BodyIncomplete => 400,
        }
    }

    /// When the sender should try again, for refusals that pass.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Overloaded | Self::ComponentRestarted => Some(Duration::from_secs(1)),
            Self::Draining | Self::BacklogFull | Self::StoreUnavailable => Some(Duration::from_secs(5)),
            Self::RateLimited(pause) => Some(pause),
            _ => None,
        }
    }

    /// Whether nobody had proved to be a sender of ours when it was refused, and it was refused for what it is.
    pub fn is_unverified(self) -> bool {
        match self {
            Self::UnknownSource
            | Self::MethodNotAllowed
            | Self::AddressNotAllowed
            | Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::BodyIncomplete
            | Self::WrongContentType
            | Self::BadHeader(_)
            | Self::SignatureMissing
            | Self::SignatureInvalid
            | Self::TimestampInvalid
            | Self::TimestampOutsideTolerance => true,
            // We could not take it in, or its sender is known.
            Self::Draining
            | Self::Overloaded
            | Self::BacklogFull
            | Self::RateLimited(_)
            | Self::StoreUnavailable
            | Self::ComponentRestarted
            | Self::NotJson
            | Self::BadForm => false,
        }
    }

    /// Whether it may come before the body was read to its end, so that the connection cannot go on.
    pub fn leaves_body_unread(self) -> bool {
        matches!(self, Self::BodyTooLarge | Self::BodyTooSlow | Self::BodyIncomplete)
            || self.http_status() == 503
            || self.http_status() == 403
    }

    /// What the sender is told: what is wrong and what to do.
    pub fn message(self) -> String {
        let text = match self {
            Self::UnknownSource => {
                "no such webhook source, or it is off because it has no secret; see `webhooks` in the configuration"
            }
            Self::MethodNotAllowed => "webhooks are delivered with POST",
            Self::Draining => "the server is shutting down; send it again",
            Self::Overloaded => "too many deliveries are in flight; send it again",
            Self::BacklogFull => "too many events wait to be worked on; send it again later",
            Self::RateLimited(_) => "too many requests; send it again when `retry-after` is over",
            Self::StoreUnavailable => "the event log cannot write, nothing was accepted; send it again later",
            Self::ComponentRestarted => "a component fell and was restarted, nothing was accepted; send it again",
            Self::AddressNotAllowed => {
                "this address may not deliver to this source; see its `addresses` in the configuration, and behind a proxy `server.trusted_proxies`"
            }
            Self::BodyTooLarge => "the body is larger than this source accepts; see `max_body` in the configuration",
            Self::BodyTooSlow => "the body did not arrive in time",
            Self::BodyIncomplete => "the body ended before its announced length",
            Self::WrongContentType => "send application/json, or for GitHub application/x-www-form-urlencoded",
            Self::BadHeader(name) => {
                return format!(
                    "the header `{name}` is required exactly once and in the form that its provider documents"
                );
            }
            Self::SignatureMissing => "the delivery carries no signature or token; set the secret at the sender",
            Self::SignatureInvalid => {
                "the signature or token does not match; check that sender and server share the secret and that nothing between them changes the body"
            }
            Self::TimestampInvalid => "the delivery's timestamp is missing or not in its provider's form",
            Self::TimestampOutsideTolerance => {
                "the delivery's timestamp is too far from the server's clock; check both clocks, or `timestamp_tolerance`"
            }
            Self::NotJson => "the body is not valid JSON in UTF-8",
            Self::BadForm => "the form has no properly encoded `payload` field",
        };
        text.to_owned()
    }
}
