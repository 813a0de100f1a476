//! `/api/v1/events`: did it arrive, what became of it, and why.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use pointsman_actors::event::{Event, Verdict};
use pointsman_actors::ids::{EventId, RunId};
use pointsman_actors::store::EventQuery;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Edge;
use super::answer::{self, ApiError, List};

/// The parameters of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    action: Option<String>,
    status: Option<String>,
    subject: Option<String>,
    since: Option<String>,
    until: Option<String>,
    q: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /api/v1/events`
pub async fn list(
    request: HttpRequest,
    edge: Data<Edge>,
    parameters: Result<Query<Parameters>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    edge.authorize(&request)?;
    let parameters = parameters.map_err(|error| answer::bad_parameter("query", &error.to_string()))?;
    let query = query(parameters.into_inner())?;
    let page = edge.shared.store.events(query).await.map_err(|error| answer::store_error(&error))?;
    let items: Vec<Value> = page.items.iter().map(summary).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(|id| id.to_string()) }))
}

/// `GET /api/v1/events/{id}`
pub async fn show(request: HttpRequest, edge: Data<Edge>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    edge.authorize(&request)?;
    let event = find(&edge, &id).await?;
    let mut shown = summary(&event);
    let payload = event.payload.as_deref().unwrap_or_default();
    // A payload that serde cannot hold as a whole (too deep) is shown as text.
    let payload = serde_json::from_slice::<Value>(payload).unwrap_or_else(|_| String::from_utf8_lossy(payload).into());
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("facts".to_owned(), json!(event.meta.facts));
        fields.insert(
            "headers".to_owned(),
            json!(event.meta.headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()),
        );
        fields.insert("peer".to_owned(), json!(event.meta.peer));
        fields.insert("payload".to_owned(), payload);
    }
    Ok(HttpResponse::Ok().json(shown))
}

/// `GET /api/v1/events/{id}/status`
pub async fn status(request: HttpRequest, edge: Data<Edge>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    edge.authorize(&request)?;
    let event = find(&edge, &id).await?;
    Ok(HttpResponse::Ok().json(json!({
        "id": event.meta.id,
        "status": event.verdict.status(),
        "verdict": event.verdict,
        "runs": runs(&event.verdict),
        "waits": event.verdict.waits(),
        "receivedAt": event.meta.received_at.to_rfc3339(),
    })))
}

async fn find(edge: &Edge, id: &str) -> Result<Event, ApiError> {
    let id: EventId = id.parse().map_err(|_| answer::bad_parameter("id", "not an event id; they begin with `evt_`"))?;
    let found = edge.shared.store.event(id).await.map_err(|error| answer::store_error(&error))?;
    found.ok_or_else(|| answer::not_found("event with this id"))
}

fn query(parameters: Parameters) -> Result<EventQuery, ApiError> {
    let before = match parameters.cursor {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|_| answer::bad_parameter("cursor", "not a `nextCursor` of this list"))?)
        }
    };
    if let Some(unknown) = parameters.status.as_ref().filter(|status| !Verdict::STATUSES.contains(&status.as_str())) {
        let reason = format!("there is no status `{unknown}`; there are {}", Verdict::STATUSES.join(", "));
        return Err(answer::bad_parameter("status", &reason));
    }
    Ok(EventQuery {
        source: parameters.source,
        event_type: parameters.event_type,
        action: parameters.action,
        status: parameters.status,
        subject: parameters.subject,
        since: answer::time("since", parameters.since)?,
        until: answer::time("until", parameters.until)?,
        text: parameters.q,
        limit: answer::limit(parameters.limit),
        before,
    })
}

/// The runs that the event started.
fn runs(verdict: &Verdict) -> &[RunId] {
    match verdict {
        Verdict::Started { runs, .. } => runs,
        _ => &[],
    }
}

/// An event as lists show it.
fn summary(event: &Event) -> Value {
    let facts = &event.meta.facts;
    json!({
        "id": event.meta.id,
        "status": event.verdict.status(),
        "verdict": event.verdict,
        "runs": runs(&event.verdict),
        "waits": event.verdict.waits(),
        "source": event.meta.source,
        "type": facts.event_type,
        "action": facts.action,
        "subject": facts.subject,
        "title": facts.title,
        "sender": facts.sender,
        "deliveryId": event.meta.delivery_id,
        "receivedAt": event.meta.received_at.to_rfc3339(),
        "payloadBytes": event.meta.payload_bytes,
    })
}
