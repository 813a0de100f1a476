//! What AgentAPI's errors mean. It answers by RFC 9457 (`application/problem+json`); what stands before it answers as
//! text. Pure.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use serde::Deserialize;

use super::super::http::Answer;

/// Most characters of an error that are shown.
const SHOWN: usize = 300;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    detail: String,
    errors: Vec<Detail>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Detail {
    message: String,
}

fn said(answer: &Answer) -> String {
    let text = match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(Problem { detail, errors }) => {
            let all = std::iter::once(detail).chain(errors.into_iter().map(|error| error.message));
            all.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
        }
        Err(_) => String::from_utf8_lossy(&answer.body).trim().to_owned(),
    };
    text.chars().take(SHOWN).collect()
}

/// Whether a message was refused because the agent works: it says so with the status of a fault of its own.
pub fn is_busy(answer: &Answer) -> bool {
    answer.status >= 400 && said(answer).contains("can only be sent when the agent is waiting")
}

/// What an answer means that is no good one.
pub fn refused(what: &str, answer: &Answer) -> Failure {
    let said = said(answer);
    let (class, remedy) = match answer.status {
        400 if said.contains("Invalid host header") => {
            (ErrorClass::Validation, "; start agentapi with --allowed-hosts for the host of CLAUDE_CODE_API_URL")
        }
        404 | 405 => (ErrorClass::NotFound, "; is agentapi at CLAUDE_CODE_API_URL?"),
        408 | 429 => (ErrorClass::RateLimit, ""),
        500.. => (ErrorClass::ServiceUnavailable, ""),
        _ => (ErrorClass::Validation, ""),
    };
    Failure::new(class, format!("{what}: answered {}: {said}{remedy}", answer.status))
}

/// An answer that is none of AgentAPI's.
pub fn unreadable(what: &str, error: &serde_json::Error) -> Failure {
    let message = format!("{what}: the answer cannot be read: {error}; is agentapi at CLAUDE_CODE_API_URL?");
    Failure::new(ErrorClass::Validation, message)
}
