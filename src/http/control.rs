//! `POST /api/v1/runs/{id}/{cancel|pause|resume|restart|decide}`: what operators say of runs.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, ReqData};
use pointsman_actors::executor::command::Command;
use pointsman_actors::executor::messages::Refused;
use pointsman_actors::run::{Ruling, RunRecord};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{self, ApiError};
use super::{Edge, runs};
use crate::access::Operator;

/// Longest reason that is kept.
pub(super) const LONGEST_REASON: usize = 500;

/// `POST /api/v1/runs/{id}/{verb}`
pub async fn control(
    edge: Data<Edge>,
    operator: ReqData<Operator>,
    path: Path<(String, String)>,
    body: Bytes,
) -> Result<HttpResponse, ApiError> {
    let (id, verb) = path.into_inner();
    let command = command(&verb, &body)?;
    let run = runs::find(&edge, &id).await?.record;
    tell(&edge, &run, command, &operator).await?;
    let run = runs::find(&edge, &id).await?;
    Ok(HttpResponse::Ok().json(runs::summary(&run.record, &run.head)))
}

/// Has the executor of the run follow a command; what it answers is durable.
async fn tell(edge: &Edge, run: &RunRecord, command: Command, operator: &Operator) -> Result<(), ApiError> {
    let by = Some(operator.name.to_string());
    let told = edge.shared.tree.executors.tell(run.id, &run.workflow, command, by).await;
    told.map_err(|refused| not_followed(&refused))
}

/// Something that operators said and that was not followed.
pub(super) fn not_followed(refused: &Refused) -> ApiError {
    match refused {
        Refused::NotPossible(why) => answer::error(StatusCode::CONFLICT, "not_possible", why),
        Refused::Unknown(why) => answer::error(StatusCode::SERVICE_UNAVAILABLE, "not_known", why),
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reason {
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    step: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decide {
    step: Option<String>,
    decision: String,
    #[serde(default)]
    output: Value,
    reason: Option<String>,
}

fn command(verb: &str, body: &[u8]) -> Result<Command, ApiError> {
    let reason = |given: Option<String>, otherwise: &str| {
        given.unwrap_or_else(|| otherwise.to_owned()).chars().take(LONGEST_REASON).collect::<String>()
    };
    match verb {
        "cancel" => {
            let Reason { reason: given } = read(body)?;
            Ok(Command::Cancel { reason: reason(given, "an operator cancelled it") })
        }
        "pause" => read(body).map(|Nothing {}| Command::Pause),
        "resume" => read(body).map(|Nothing {}| Command::Resume),
        "restart" => read(body).map(|From { step }| Command::Restart { step }),
        "decide" => {
            let Decide { step, decision, output, reason: given } = read(body)?;
            let ruling = match decision.as_str() {
                "repeat" => Ruling::Repeat,
                "done" => Ruling::Done { output },
                "fail" => Ruling::Fail { reason: reason(given, "no reason was given") },
                other => {
                    let reason = format!("`{other}` is none of repeat, done, fail");
                    return Err(answer::bad_parameter("decision", &reason));
                }
            };
            Ok(Command::Decide { step, ruling })
        }
        other => Err(answer::not_found(&format!(
            "way to tell a run to `{other}`; there are cancel, pause, resume, restart, decide"
        ))),
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| answer::bad_parameter("body", &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_or_named() {
        assert_eq!(command("pause", b"").unwrap(), Command::Pause);
        assert_eq!(command("restart", br#"{"step":"a"}"#).unwrap(), Command::Restart { step: "a".into() });
        let decide = command("decide", br#"{"decision":"done","output":{"n":1}}"#).unwrap();
        let ruling = Ruling::Done { output: serde_json::json!({"n": 1}) };
        assert_eq!(decide, Command::Decide { step: None, ruling });
        let wrong = |verb, body: &[u8], expect: &str| {
            let error = command(verb, body).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        wrong("restart", b"", "missing field `step`");
        wrong("pause", br#"{"now":true}"#, "unknown field `now`");
        wrong("decide", br#"{"decision":"maybe"}"#, "`maybe` is none of repeat, done, fail");
        wrong("explode", b"", "there are cancel, pause, resume, restart, decide");
    }
}
