//! `/api/v1/dead-letters`: what failed for good, why, and having it done again.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query, ReqData};
use pointsman_actors::dead_letter::actor::{Dismiss, RedriveMany, RedriveOne};
use pointsman_actors::dead_letter::letter::{Body, Letter, LetterId, LetterQuery, Place};
use pointsman_actors::dead_letter::selection::Selection;
use pointsman_actors::executor::messages::Refused;
use pointsman_actors::mailbox::NotTaken;
use pointsman_actors::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::answer::{self, ApiError, List};
use super::control::{LONGEST_REASON, not_followed, read};
use super::{Edge, events, runs};
use crate::access::Operator;

/// Dead letters that one request takes when it names no limit.
const TAKEN: usize = 1_000;
/// Those that one request takes at most; more is clamped.
const MOST_TAKEN: usize = 10_000;

/// Which dead letters.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    kind: Option<String>,
    workflow: Option<String>,
    source: Option<String>,
    status: Option<String>,
    subject: Option<String>,
    poison: Option<bool>,
    q: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

/// The parameters of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    kind: Option<String>,
    workflow: Option<String>,
    source: Option<String>,
    status: Option<String>,
    subject: Option<String>,
    poison: Option<bool>,
    q: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// The body of a redrive: one, or a filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redrive {
    id: Option<String>,
    filter: Option<Filter>,
    #[serde(default)]
    dry_run: bool,
    limit: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reason {
    reason: Option<String>,
}

/// `GET /api/v1/dead-letters`
pub async fn list(
    edge: Data<Edge>,
    parameters: Result<Query<Parameters>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let parameters = parameters.map_err(|error| answer::bad_parameter("query", &error.to_string()))?.into_inner();
    let Parameters { kind, workflow, source, status, subject, poison, q, since, until, limit, cursor } = parameters;
    let query = query(Filter { kind, workflow, source, status, subject, poison, q, since, until })?;
    let before = |text: String| {
        read_cursor(&text).ok_or_else(|| answer::bad_parameter("cursor", "not a `nextCursor` of this list"))
    };
    let query = LetterQuery { limit: answer::limit(limit), before: cursor.map(before).transpose()?, ..query };
    let page = edge.shared.store.dead_letters(query).await.map_err(|error| answer::store_error(&error))?;
    let items: Vec<Value> = page.items.iter().map(summary).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(cursor_of) }))
}

/// `GET /api/v1/dead-letters/{id}`
pub async fn show(edge: Data<Edge>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let id = read_id(&id)?;
    let letter = edge.shared.store.dead_letter(id).await.map_err(|error| answer::store_error(&error))?;
    let letter = letter.ok_or_else(|| answer::not_found("dead letter with this id"))?;
    let history = match &letter.body {
        Body::Run(run) => {
            let stored = edge.shared.store.run(run.0.id).await.map_err(|error| answer::store_error(&error))?;
            stored.map(|stored| stored.journal.iter().map(runs::entry).collect::<Value>())
        }
        Body::Event(event) => Some(events::history(event)),
    };
    let mut shown = summary(&letter);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("history".to_owned(), history.unwrap_or_default());
    }
    Ok(HttpResponse::Ok().json(shown))
}

/// `POST /api/v1/dead-letters/redrive`
pub async fn redrive(edge: Data<Edge>, operator: ReqData<Operator>, body: Bytes) -> Result<HttpResponse, ApiError> {
    let Redrive { id, filter, dry_run, limit } = read(&body)?;
    match (id, filter) {
        (Some(id), None) if !dry_run => one(&edge, &operator, read_id(&id)?).await,
        (None, Some(filter)) => {
            let limit = limit.unwrap_or(TAKEN).clamp(1, MOST_TAKEN);
            many(&edge, LetterQuery { limit, ..query(filter)? }, dry_run).await
        }
        (Some(_), None) => Err(answer::bad_parameter("dry_run", "one by its id is redriven or not; leave it out")),
        _ => Err(answer::bad_parameter("body", "name either `id` or `filter`; an empty filter means all")),
    }
}

async fn one(edge: &Edge, operator: &Operator, id: LetterId) -> Result<HttpResponse, ApiError> {
    let by = Some(operator.name.to_string());
    let (reply, answered) = oneshot::channel();
    let asked = edge.shared.tree.work.dead_letters.one.ask(RedriveOne { id, by, reply }).await;
    followed(asked, answered).await?;
    Ok(HttpResponse::Ok().json(json!({ "taken": 1, "items": [{ "id": id }], "refused": [], "dryRun": false })))
}

async fn many(edge: &Edge, query: LetterQuery, dry_run: bool) -> Result<HttpResponse, ApiError> {
    let (reply, answered) = oneshot::channel();
    let asked = edge.shared.tree.work.dead_letters.many.ask(RedriveMany { query, dry_run, reply }).await;
    asked.map_err(|_| fell())?;
    let selection = answered.await.map_err(|_| fell())?.map_err(|error| answer::store_error(&error))?;
    let Selection { taken, waiting, refused, more } = selection;
    if !dry_run {
        tracing::info!(taken = taken.len(), refused = refused.len(), "an operator has dead letters redriven");
    }
    let refused: Vec<Value> = refused.iter().map(|(id, reason)| json!({ "id": id, "reason": reason })).collect();
    Ok(HttpResponse::Ok().json(json!({
        "dryRun": dry_run,
        "taken": taken.len(),
        "items": taken.iter().map(summary).collect::<Vec<_>>(),
        "alreadyTaken": waiting,
        "refused": refused,
        "more": more,
    })))
}

/// `POST /api/v1/dead-letters/{id}/dismiss`
pub async fn dismiss(
    edge: Data<Edge>,
    operator: ReqData<Operator>,
    id: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, ApiError> {
    let (id, Reason { reason }) = (read_id(&id)?, read(&body)?);
    let reason = reason.unwrap_or_else(|| "an operator wants nothing more of it".to_owned());
    let reason = reason.chars().take(LONGEST_REASON).collect();
    let by = Some(operator.name.to_string());
    let (reply, answered) = oneshot::channel();
    let asked = edge.shared.tree.work.dead_letters.dismiss.ask(Dismiss { id, reason, by, reply }).await;
    followed(asked, answered).await?;
    Ok(HttpResponse::Ok().json(json!({ "id": id, "dismissed": true })))
}

async fn followed(
    asked: Result<(), NotTaken>,
    answered: oneshot::Receiver<Result<(), Refused>>,
) -> Result<(), ApiError> {
    asked.map_err(|_| fell())?;
    answered.await.map_err(|_| fell())?.map_err(|refused| not_followed(&refused))
}

/// Nobody knows how far it came.
pub(super) fn fell() -> ApiError {
    let why = "the component fell with this in hand, or was given up; look before you say it again";
    answer::error(StatusCode::SERVICE_UNAVAILABLE, "not_known", why)
}

fn read_id(text: &str) -> Result<LetterId, ApiError> {
    text.parse().map_err(|_| answer::bad_parameter("id", "not the id of a run (`run_…`) or of an event (`evt_…`)"))
}

fn query(filter: Filter) -> Result<LetterQuery, ApiError> {
    let runs = match filter.kind.as_deref() {
        None => None,
        Some("run") => Some(true),
        Some("event") => Some(false),
        Some(_) => return Err(answer::bad_parameter("kind", "there is no such kind; there are run, event")),
    };
    let statuses = ["failed", "timed_out", "dead_lettered"];
    if filter.status.as_deref().is_some_and(|status| !statuses.contains(&status)) {
        return Err(answer::bad_parameter(
            "status",
            &format!("no dead letter has it; there are {}", statuses.join(", ")),
        ));
    }
    Ok(LetterQuery {
        runs,
        workflow: filter.workflow,
        source: filter.source,
        status: filter.status,
        subject: filter.subject,
        poison: filter.poison,
        text: filter.q,
        since: answer::time("since", filter.since)?,
        until: answer::time("until", filter.until)?,
        limit: 0,
        before: None,
    })
}

/// A cursor names the last dead letter of a page by since when it is one and its id.
fn cursor_of(place: Place) -> String {
    format!("{}.{}", place.since.millis(), place.id)
}

fn read_cursor(text: &str) -> Option<Place> {
    let (millis, id) = text.split_once('.')?;
    Some(Place { since: Timestamp::from_millis(millis.parse().ok()?), id: id.parse().ok()? })
}

/// A dead letter as lists show it.
fn summary(letter: &Letter) -> Value {
    let (kind, of) = match &letter.body {
        Body::Run(run) => (
            "run",
            json!({
                "workflow": run.0.workflow,
                "route": run.0.route,
                "event": run.0.event,
                "startedAt": run.0.started_at.to_rfc3339(),
                "inDoubt": run.1.in_doubt,
            }),
        ),
        Body::Event(event) => (
            "event",
            json!({
                "source": event.meta.source,
                "type": event.meta.facts.event_type,
                "action": event.meta.facts.action,
                "deliveryId": event.meta.delivery_id,
                "receivedAt": event.meta.received_at.to_rfc3339(),
            }),
        ),
    };
    let mut shown = json!({
        "id": letter.place().id,
        "kind": kind,
        "status": letter.status(),
        "reason": letter.reason(),
        "poison": letter.is_poison(),
        "since": letter.since.to_rfc3339(),
        "subject": letter.subject(),
        "redriveAskedAt": letter.mark.asked_at.map(Timestamp::to_rfc3339),
        "redriveRefused": letter.mark.refused,
    });
    if let (Some(fields), Value::Object(of)) = (shown.as_object_mut(), of) {
        fields.extend(of);
    }
    shown
}

#[cfg(test)]
mod tests {
    use pointsman_actors::ids::RunId;

    use super::*;

    #[test]
    fn a_cursor_goes_both_ways() {
        let place = Place { since: Timestamp::from_millis(77), id: LetterId::Run(RunId::from_bytes([7; 16])) };
        assert_eq!(read_cursor(&cursor_of(place)), Some(place));
        assert_eq!(read_cursor("77"), None);
    }

    #[test]
    fn a_filter_that_fits_nothing_is_named() {
        let wrong = |filter: Filter, expect: &str| {
            let error = query(filter).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        wrong(Filter { kind: Some("wait".into()), ..Filter::default() }, "there are run, event");
        wrong(Filter { status: Some("succeeded".into()), ..Filter::default() }, "there are failed, timed_out");
        wrong(Filter { since: Some("soon".into()), ..Filter::default() }, "since: not a time");
        assert!(query(Filter::default()).is_ok());
    }
}
