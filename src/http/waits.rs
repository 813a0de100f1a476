//! `/api/v1/waits`: what do runs wait for, and what became of it.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use pointsman_actors::ids::WaitId;
use pointsman_actors::store::{WaitCursor, WaitQuery};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::record::{Resolution, WaitRecord, WaitState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Edge;
use super::answer::{self, ApiError, List};

/// The parameters of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    status: Option<String>,
    run: Option<String>,
    key: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /api/v1/waits`
pub async fn list(
    edge: Data<Edge>,
    parameters: Result<Query<Parameters>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let parameters = parameters.map_err(|error| answer::bad_parameter("query", &error.to_string()))?;
    let query = query(parameters.into_inner())?;
    let page = edge.shared.store.waits(query).await.map_err(|error| answer::store_error(&error))?;
    let items: Vec<Value> = page.items.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(cursor) }))
}

/// `GET /api/v1/waits/{id}`
pub async fn show(edge: Data<Edge>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let id: WaitId = id.parse().map_err(|_| answer::bad_parameter("id", "not a wait id; they begin with `wait_`"))?;
    let wait = edge.shared.store.wait(id).await.map_err(|error| answer::store_error(&error))?;
    let wait = wait.ok_or_else(|| answer::not_found("wait with this id"))?;
    Ok(HttpResponse::Ok().json(shown(&wait)))
}

fn query(parameters: Parameters) -> Result<WaitQuery, ApiError> {
    let open = match parameters.status.as_deref() {
        None => None,
        Some("open") => Some(true),
        Some("resolved") => Some(false),
        Some(_) => return Err(answer::bad_parameter("status", "there is no such status; there are open, resolved")),
    };
    let run =
        |text: String| text.parse().map_err(|_| answer::bad_parameter("run", "not a run id; they begin with `run_`"));
    let before = |text: String| {
        read_cursor(&text).ok_or_else(|| answer::bad_parameter("cursor", "not a `nextCursor` of this list"))
    };
    Ok(WaitQuery {
        open,
        run: parameters.run.map(run).transpose()?,
        key: parameters.key,
        limit: answer::limit(parameters.limit),
        before: parameters.cursor.map(before).transpose()?,
    })
}

/// A cursor names the last wait of a page by when it was reserved and its id.
fn cursor((at, id): WaitCursor) -> String {
    format!("{}.{id}", at.millis())
}

fn read_cursor(text: &str) -> Option<WaitCursor> {
    let (millis, id) = text.split_once('.')?;
    Some((Timestamp::from_millis(millis.parse().ok()?), id.parse().ok()?))
}

fn shown(wait: &WaitRecord) -> Value {
    let (status, by, at) = match wait.state {
        WaitState::Open => ("open", None, None),
        WaitState::Resolved { by, at } => ("resolved", Some(by), Some(at)),
    };
    let (event, end_of) = match by {
        Some(Resolution::Callback(event)) => (Some(event), None),
        Some(Resolution::Run(run)) => (None, Some(run)),
        _ => (None, None),
    };
    json!({
        "id": wait.id,
        "status": status,
        "run": wait.run.id,
        "workflow": wait.workflow,
        "step": wait.step,
        "keys": wait.keys,
        "topics": wait.topics,
        "reservedAt": wait.reserved_at.to_rfc3339(),
        "deadline": wait.deadline.to_rfc3339(),
        "resolvedBy": by.map(Resolution::name),
        "resolvedAt": at.map(Timestamp::to_rfc3339),
        "event": event,
        "endOf": end_of,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_both_ways() {
        let wait = (Timestamp::from_millis(77), WaitId::from_bytes([7; 16]));
        assert_eq!(read_cursor(&cursor(wait)), Some(wait));
        assert_eq!(read_cursor("77"), None);
    }
}
