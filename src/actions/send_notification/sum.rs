//! What an attempt came to, of all that became of its targets. Pure.

use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{Outcome, Success};
use pointsman_actors::time::Timestamp;
use serde_json::{Map, Value as Json, json};

/// What became of a message to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// It was taken, now or before.
    Sent,
    /// Nobody knows, and it is not sent again.
    InDoubt(String),
    /// The target takes nothing any more.
    Disabled(String),
    /// It was not taken.
    Failed(Failure),
    /// The target is given a rest until then.
    Rests(Timestamp),
}

/// The service that a target is to its breaker.
pub fn service(target: &str) -> String {
    format!("notification:{target}")
}

/// The outcome of an attempt. As long as a target can be told later, the attempt has failed over the one that can be told
/// first; one whose circuit is open comes last, so that it holds up nobody else.
pub fn outcome(told: &[(String, Became)]) -> Outcome {
    let open =
        told.iter().filter_map(|(target, became)| failure(target, became).map(|failure| (rank(became), failure)));
    if let Some((_, first)) = open.min_by_key(|(rank, _)| *rank) {
        return Err(Failure { message: all(told), ..first });
    }
    let taken = told.iter().any(|(_, became)| matches!(became, Became::Sent | Became::InDoubt(_)));
    let targets: Map<String, Json> =
        told.iter().map(|(target, became)| (target.clone(), word(became).into())).collect();
    let output = json!({ "sent": taken, "targets": targets });
    let in_doubt = told.iter().any(|(_, became)| matches!(became, Became::InDoubt(_)));
    Ok(if in_doubt { Success::InDoubt { output, why: all(told) } } else { Success::Done(output) })
}

fn failure(target: &str, became: &Became) -> Option<Failure> {
    match became {
        Became::Failed(failure) if failure.class.is_outage() => Some(failure.clone().of(&service(target))),
        Became::Failed(failure) => Some(failure.clone()),
        Became::Rests(_) => Some(Failure::new(ErrorClass::ServiceUnavailable, "").of(&service(target)).unsent()),
        Became::Sent | Became::InDoubt(_) | Became::Disabled(_) => None,
    }
}

/// What may pass by itself comes first, and of that what passes first.
fn rank(became: &Became) -> (u8, Duration) {
    match became {
        Became::Failed(failure) if failure.class.is_outage() => (1, Duration::ZERO),
        Became::Failed(failure) if failure.class.is_retryable() => {
            (0, Duration::from_millis(failure.retry_after_ms.unwrap_or_default()))
        }
        Became::Rests(until) => (2, until.since(Timestamp::default())),
        _ => (3, Duration::ZERO),
    }
}

/// What became of all of them, in words.
fn all(told: &[(String, Became)]) -> String {
    let lines: Vec<String> = told.iter().map(|(target, became)| format!("{target}: {}", word(became))).collect();
    lines.join("; ")
}

/// What later steps and operators read.
fn word(became: &Became) -> String {
    match became {
        Became::Sent => "sent".to_owned(),
        Became::InDoubt(why) => format!("assumed: {why}"),
        Became::Disabled(why) => format!("disabled: {why}"),
        Became::Failed(failure) => failure.message.clone(),
        Became::Rests(_) => "not sent: its circuit is open".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(all: &[(&str, Became)]) -> Outcome {
        outcome(&all.iter().map(|(target, became)| ((*target).to_owned(), became.clone())).collect::<Vec<_>>())
    }

    fn failed(class: ErrorClass) -> Became {
        Became::Failed(Failure::new(class, class.name()))
    }

    #[test]
    fn whoever_takes_nothing_any_more_fails_nothing() {
        let gone = || Became::Disabled("gone".into());
        let output = json!({ "sent": true, "targets": { "ops": "sent", "dev": "disabled: gone" } });
        assert_eq!(told(&[("ops", Became::Sent), ("dev", gone())]), Ok(Success::Done(output)));
        let output = json!({ "sent": false, "targets": { "dev": "disabled: gone" } });
        assert_eq!(told(&[("dev", gone())]), Ok(Success::Done(output)));
    }

    #[test]
    fn what_nobody_knows_is_said_when_all_else_is_done() {
        let doubt = || Became::InDoubt("cut off".into());
        let output = json!({ "sent": true, "targets": { "ops": "sent", "dev": "assumed: cut off" } });
        let why = "ops: sent; dev: assumed: cut off".to_owned();
        let said = told(&[("ops", Became::Sent), ("dev", doubt())]);
        assert_eq!(said, Ok(Success::InDoubt { output, why }));
        let failure = told(&[("ops", failed(ErrorClass::Network)), ("dev", doubt())]).unwrap_err();
        assert!(!failure.in_doubt && failure.message == "ops: network; dev: assumed: cut off", "{failure:?}");
    }

    #[test]
    fn an_attempt_fails_over_whoever_can_be_told_first() {
        let limited = |seconds| {
            let failure = Failure::new(ErrorClass::RateLimit, "rate_limit");
            Became::Failed(failure.retry_after(Duration::from_secs(seconds)).unsent())
        };
        let rests = |at| Became::Rests(Timestamp::from_millis(at));
        let check = |all: &[(&str, Became)], class, service: Option<&str>, unsent: bool| {
            let failure = told(all).unwrap_err();
            assert_eq!(
                (failure.class, failure.service.as_deref(), failure.unsent),
                (class, service, unsent),
                "{all:?}"
            );
        };
        let (network, wrong) = (failed(ErrorClass::Network), failed(ErrorClass::Validation));
        let all = [("a", wrong.clone()), ("b", rests(1)), ("c", network.clone()), ("d", limited(9)), ("e", limited(3))];
        check(&all, ErrorClass::RateLimit, None, true);
        assert_eq!(told(&all).unwrap_err().retry_after_ms, Some(3_000));
        check(&all[..3], ErrorClass::Network, Some("notification:c"), false);
        check(&all[..2], ErrorClass::ServiceUnavailable, Some("notification:b"), true);
        check(&all[..1], ErrorClass::Validation, None, false);
        check(&[("a", rests(9)), ("b", rests(5))], ErrorClass::ServiceUnavailable, Some("notification:b"), true);
    }
}
