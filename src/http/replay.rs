//! `POST /api/v1/events/{id}/retry` and `POST /api/v1/events/replay`: events are routed now, or once more.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path};
use pointsman_actors::ids::EventId;
use pointsman_actors::router::backlog::{Retried, Retry};
use pointsman_actors::store::EventQuery;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::answer::{self, ApiError};
use super::control::read;
use super::dead_letters::fell;
use super::{Edge, events};

/// Events that one request replays when it names no limit.
const REPLAYED: usize = 100;
/// Those that one request replays at most; more is clamped.
const MOST_REPLAYED: usize = 1_000;
/// Longest name of a request that is kept.
const LONGEST_REQUEST: usize = 100;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct One {
    request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    filter: events::Filter,
    #[serde(default)]
    dry_run: bool,
    limit: Option<usize>,
    request_id: Option<String>,
}

/// `POST /api/v1/events/{id}/retry`
pub async fn retry(edge: Data<Edge>, id: Path<String>, body: Bytes) -> Result<HttpResponse, ApiError> {
    let One { request_id } = read(&body)?;
    let event = events::find(&edge, &id).await?.meta.id;
    let retried = ask(&edge, event, known(request_id)?, false).await?;
    if let Retried::Nothing { reason } = &retried {
        return Err(answer::error(StatusCode::CONFLICT, "not_possible", &format!("it starts nothing: {reason}")));
    }
    Ok(HttpResponse::Ok().json(shown(&edge, event, &retried).await?))
}

/// `POST /api/v1/events/replay`
pub async fn replay(edge: Data<Edge>, body: Bytes) -> Result<HttpResponse, ApiError> {
    let Many { filter, dry_run, limit, request_id } = read(&body)?;
    if filter.is_empty() {
        return Err(answer::bad_parameter("filter", "it would be every event; say which, at least `since`"));
    }
    let (request_id, limit) = (known(request_id)?, limit.unwrap_or(REPLAYED).clamp(1, MOST_REPLAYED));
    let (events, more) = select(&edge, filter.query()?, limit).await?;
    let (mut items, mut replayed) = (Vec::new(), 0);
    for event in events {
        let retried = ask(&edge, event, request_id.clone(), dry_run).await?;
        replayed += usize::from(matches!(retried, Retried::Routed | Retried::Replayed { .. } | Retried::Would { .. }));
        items.push(shown(&edge, event, &retried).await?);
    }
    tracing::info!(events = items.len(), replayed, dry_run, "an operator has events replayed");
    Ok(HttpResponse::Ok().json(json!({ "dryRun": dry_run, "taken": replayed, "items": items, "more": more })))
}

/// The newest events of a query, oldest first, and whether there are more.
async fn select(edge: &Edge, query: EventQuery, limit: usize) -> Result<(Vec<EventId>, bool), ApiError> {
    let (mut found, mut before) = (Vec::new(), query.before);
    loop {
        let query = EventQuery { limit: limit - found.len(), before, ..query.clone() };
        let page = edge.shared.store.events(query).await.map_err(|error| answer::store_error(&error))?;
        found.extend(page.items.iter().map(|event| event.meta.id));
        before = page.next;
        if before.is_none() || found.len() >= limit {
            found.reverse();
            return Ok((found, before.is_some()));
        }
    }
}

async fn ask(edge: &Edge, event: EventId, request: Option<String>, dry_run: bool) -> Result<Retried, ApiError> {
    let (reply, answered) = oneshot::channel();
    edge.shared.tree.work.retry.ask(Retry { event, request, dry_run, reply }).await.map_err(|_| fell())?;
    answered.await.map_err(|_| fell())?.map_err(|error| answer::store_error(&error))
}

/// What became of one event.
async fn shown(edge: &Edge, event: EventId, retried: &Retried) -> Result<Value, ApiError> {
    let stored = edge.shared.store.event(event).await.map_err(|error| answer::store_error(&error))?;
    let status = stored.as_ref().map(pointsman_actors::event::Event::status);
    let told = match retried {
        Retried::NotThere => json!({ "outcome": "not_found" }),
        Retried::Routed => json!({ "outcome": "routed", "runs": stored.map(|event| event.runs()) }),
        Retried::Replayed { generation, runs } => {
            json!({ "outcome": "replayed", "generation": generation, "runs": runs })
        }
        Retried::Repeated { runs } => json!({ "outcome": "already_replayed", "runs": runs }),
        Retried::Would { workflows } => json!({ "outcome": "would_replay", "workflows": workflows }),
        Retried::Nothing { reason } => json!({ "outcome": "nothing", "reason": reason }),
    };
    let mut shown = json!({ "id": event, "status": status });
    if let (Some(fields), Value::Object(told)) = (shown.as_object_mut(), told) {
        fields.extend(told);
    }
    Ok(shown)
}

fn known(request: Option<String>) -> Result<Option<String>, ApiError> {
    let is_usable = |text: &String| !text.is_empty() && text.chars().count() <= LONGEST_REQUEST;
    match request {
        Some(text) if !is_usable(&text) => {
            Err(answer::bad_parameter("request_id", &format!("give up to {LONGEST_REQUEST} characters, at least one")))
        }
        request => Ok(request),
    }
}
