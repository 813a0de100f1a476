//! What operators do is written down before it is done, and with its outcome after; `GET /api/v1/audit` reads it.
//!
//! What could not be written down is not done. Nothing here decides whether somebody may.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes, Data, Query as Parameter};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use futures_util::{future, stream};
use pointsman_actors::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, ApiError, List};
use super::{Edge, auth};
use crate::access::Operator;
use crate::access::audit::{Deed, Outcome, Query, Record, kept};

/// The target of its lines in the log: `logging.level = "warn,audit=info"` keeps them when all else is quiet.
pub(super) const TARGET: &str = "audit";

/// Has a request answered that somebody may make, and writes down both. Its handler is told who it is.
pub(super) async fn audited(
    edge: &Edge,
    operator: &Operator,
    from: Option<IpAddr>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let limit = edge.shared.surface.get().read_timeout;
    let Ok(body) = tokio::time::timeout(limit, request.extract::<Bytes>()).await else {
        let message = "the body did not arrive in time";
        return Ok(auth::refuse(request, &answer::error(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message)));
    };
    let body = body?;
    let action = action(request.request());
    let deed = Deed {
        at: edge.shared.clock.now(),
        operator: operator.name.to_string(),
        from,
        action: action.clone(),
        body: kept(&body),
    };
    request.extensions_mut().insert(operator.clone());
    // Its handler reads it once more.
    request.set_payload(Payload::Stream { payload: Box::pin(stream::once(future::ready(Ok(body)))) });
    let Some(id) = asked(edge, deed).await else {
        let message = "it cannot be written down who asks for this, so it was not done; is the disk full?";
        let refused = answer::error(StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable", message);
        return Ok(auth::refuse(request, &refused));
    };
    let response = next.call(request).await?.map_into_boxed_body();
    let outcome = outcome(&response, edge.shared.clock.now());
    tracing::info!(
        target: TARGET,
        id,
        operator = &*operator.name,
        from = shown(from),
        action,
        status = outcome.status,
        error = outcome.error,
        "an operator said so"
    );
    answered(edge, id, outcome).await;
    Ok(response)
}

/// Writes down what somebody asks for; gives its number, if it could be written.
pub(super) async fn asked(edge: &Edge, deed: Deed) -> Option<u64> {
    let trail = Arc::clone(&edge.shared.trail);
    written(web::block(move || trail.asked(deed)).await)
}

/// Writes down what became of it.
pub(super) async fn answered(edge: &Edge, id: u64, outcome: Outcome) {
    let trail = Arc::clone(&edge.shared.trail);
    written(web::block(move || trail.answered(id, outcome)).await);
}

fn written<T>(result: Result<std::io::Result<T>, actix_web::error::BlockingError>) -> Option<T> {
    let result = result.map_err(std::io::Error::other).and_then(|result| result);
    result.map_err(|error| tracing::error!(target: TARGET, %error, "the audit trail cannot be written")).ok()
}

fn outcome(response: &ServiceResponse<BoxBody>, at: Timestamp) -> Outcome {
    let error = response.response().error().and_then(|error| error.as_error::<ApiError>());
    Outcome { at, status: response.status().as_u16(), error: error.map(|error| error.code().to_owned()) }
}

/// What a request is for: its method and path.
pub(super) fn action(request: &HttpRequest) -> String {
    format!("{} {}", request.method(), request.path())
}

/// An address, if it is known.
pub(super) fn shown(from: Option<IpAddr>) -> String {
    from.map_or_else(|| "unknown".to_owned(), |from| from.to_string())
}

/// The parameters of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    operator: Option<String>,
    about: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /api/v1/audit`
pub async fn list(
    edge: Data<Edge>,
    parameters: Result<Parameter<Parameters>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let parameters = parameters.map_err(|error| answer::bad_parameter("query", &error.to_string()))?;
    let Parameters { operator, about, limit, cursor } = parameters.into_inner();
    let before =
        |text: String| text.parse().map_err(|_| answer::bad_parameter("cursor", "not a `nextCursor` of this list"));
    let query = Query { operator, about, limit: answer::limit(limit), before: cursor.map(before).transpose()? };
    let trail = Arc::clone(&edge.shared.trail);
    let read = web::block(move || trail.list(&query)).await.map_err(std::io::Error::other).and_then(|read| read);
    let (records, more) = read.map_err(|error| {
        let message = format!("the audit trail cannot be read: {error}");
        answer::error(StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable", &message)
    })?;
    let next_cursor = records.last().filter(|_| more).map(|record| record.id.to_string());
    Ok(HttpResponse::Ok().json(List { items: records.iter().map(record).collect(), next_cursor }))
}

fn record(record: &Record) -> Value {
    let Deed { at, operator, from, action, body } = &record.deed;
    json!({
        "id": record.id.to_string(),
        "status": record.status(),
        "at": at.to_rfc3339(),
        "operator": operator,
        "from": from,
        "action": action,
        "body": body,
        "answeredAt": record.outcome.as_ref().map(|outcome| outcome.at.to_rfc3339()),
        "httpStatus": record.outcome.as_ref().map(|outcome| outcome.status),
        "error": record.outcome.as_ref().and_then(|outcome| outcome.error.clone()),
    })
}
