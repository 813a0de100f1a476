//! `/api/v1/events`: did it arrive, what became of it, and why.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use pointsman_actors::event::{Event, Happened, Verdict};
use pointsman_actors::ids::EventId;
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

/// Which events.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    action: Option<String>,
    status: Option<String>,
    subject: Option<String>,
    since: Option<String>,
    until: Option<String>,
    q: Option<String>,
}

/// `GET /api/v1/events`
pub async fn list(
    edge: Data<Edge>,
    parameters: Result<Query<Parameters>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let parameters = parameters.map_err(|error| answer::bad_parameter("query", &error.to_string()))?;
    let query = query(parameters.into_inner())?;
    let page = edge.shared.store.events(query).await.map_err(|error| answer::store_error(&error))?;
    let items: Vec<Value> = page.items.iter().map(summary).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(|id| id.to_string()) }))
}

/// `GET /api/v1/events/{id}`
pub async fn show(edge: Data<Edge>, id: Path<String>) -> Result<HttpResponse, ApiError> {
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
        fields.insert("history".to_owned(), history(&event));
        fields.insert("payload".to_owned(), payload);
    }
    Ok(HttpResponse::Ok().json(shown))
}

/// `GET /api/v1/events/{id}/status`
pub async fn status(edge: Data<Edge>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let event = find(&edge, &id).await?;
    Ok(HttpResponse::Ok().json(json!({
        "id": event.meta.id,
        "status": event.status(),
        "verdict": verdict(&event),
        "runs": event.runs(),
        "waits": event.verdict.waits(),
        "receivedAt": event.meta.received_at.to_rfc3339(),
    })))
}

pub(super) async fn find(edge: &Edge, id: &str) -> Result<Event, ApiError> {
    let id: EventId = id.parse().map_err(|_| answer::bad_parameter("id", "not an event id; they begin with `evt_`"))?;
    let found = edge.shared.store.event(id).await.map_err(|error| answer::store_error(&error))?;
    found.ok_or_else(|| answer::not_found("event with this id"))
}

fn query(parameters: Parameters) -> Result<EventQuery, ApiError> {
    let Parameters { source, event_type, action, status, subject, since, until, q, limit, cursor } = parameters;
    let query = Filter { source, event_type, action, status, subject, since, until, q }.query()?;
    let before =
        |text: String| text.parse().map_err(|_| answer::bad_parameter("cursor", "not a `nextCursor` of this list"));
    Ok(EventQuery { limit: answer::limit(limit), before: cursor.map(before).transpose()?, ..query })
}

impl Filter {
    /// Whether every event would fit.
    pub fn is_empty(&self) -> bool {
        let Self { source, event_type, action, status, subject, since, until, q } = self;
        [source, event_type, action, status, subject, since, until, q].iter().all(|field| field.is_none())
    }

    /// The query of what fits, without a limit.
    pub fn query(self) -> Result<EventQuery, ApiError> {
        if let Some(unknown) = self.status.as_ref().filter(|status| !Verdict::STATUSES.contains(&status.as_str())) {
            let reason = format!("there is no status `{unknown}`; there are {}", Verdict::STATUSES.join(", "));
            return Err(answer::bad_parameter("status", &reason));
        }
        Ok(EventQuery {
            source: self.source,
            event_type: self.event_type,
            action: self.action,
            status: self.status,
            subject: self.subject,
            since: answer::time("since", self.since)?,
            until: answer::time("until", self.until)?,
            text: self.q,
            limit: 0,
            before: None,
        })
    }
}

/// A verdict, with since when it is one of a dead letter as people read it.
fn verdict(event: &Event) -> Value {
    let mut shown = json!(event.verdict);
    if let (Verdict::DeadLettered { since, .. }, Some(fields)) = (&event.verdict, shown.as_object_mut()) {
        fields.insert("since".to_owned(), since.to_rfc3339().into());
    }
    shown
}

/// What has happened to an event since its verdict, with times as people read them.
pub(super) fn history(event: &Event) -> Value {
    let shown = |happened: &Happened| {
        let mut shown = json!(happened.what);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("at".to_owned(), happened.at.to_rfc3339().into());
        }
        shown
    };
    event.history.iter().map(shown).collect()
}

/// An event as lists show it.
fn summary(event: &Event) -> Value {
    let facts = &event.meta.facts;
    json!({
        "id": event.meta.id,
        "status": event.status(),
        "verdict": verdict(event),
        "runs": event.runs(),
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
        "redacted": event.meta.redacted,
    })
}
