//! `/api/v1/runs`: where is it, what has it done, why did it end.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use pointsman_actors::ids::RunId;
use pointsman_actors::run::{Entry, RunHead, RunRecord, RunRef, RunStatus, StoredRun};
use pointsman_actors::store::RunQuery;
use pointsman_actors::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Edge;
use super::answer::{self, ApiError, List};

/// The parameters of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    workflow: Option<String>,
    status: Option<String>,
    subject: Option<String>,
    event: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /api/v1/runs`
pub async fn list(
    edge: Data<Edge>,
    parameters: Result<Query<Parameters>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let parameters = parameters.map_err(|error| answer::bad_parameter("query", &error.to_string()))?;
    let query = query(parameters.into_inner())?;
    let page = edge.shared.store.runs(query).await.map_err(|error| answer::store_error(&error))?;
    let items: Vec<Value> = page.items.iter().map(|(run, head)| summary(run, head)).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(cursor) }))
}

/// `GET /api/v1/runs/{id}`
pub async fn show(edge: Data<Edge>, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let run = find(&edge, &id).await?;
    let mut shown = summary(&run.record, &run.head);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("input".to_owned(), json!(run.record.input));
        fields.insert("journal".to_owned(), run.journal.iter().map(entry).collect());
    }
    Ok(HttpResponse::Ok().json(shown))
}

/// A run by the id that a path has.
pub(super) async fn find(edge: &Edge, id: &str) -> Result<StoredRun, ApiError> {
    let id: RunId = id.parse().map_err(|_| answer::bad_parameter("id", "not a run id; they begin with `run_`"))?;
    let run = edge.shared.store.run(id).await.map_err(|error| answer::store_error(&error))?;
    run.ok_or_else(|| answer::not_found("run with this id"))
}

fn query(parameters: Parameters) -> Result<RunQuery, ApiError> {
    let status = |text: String| {
        RunStatus::ALL.into_iter().find(|status| status.name() == text).ok_or_else(|| {
            let names = RunStatus::ALL.map(RunStatus::name).join(", ");
            answer::bad_parameter("status", &format!("no such status; there are {names}"))
        })
    };
    let event = |text: String| {
        text.parse().map_err(|_| answer::bad_parameter("event", "not an event id; they begin with `evt_`"))
    };
    let before = |text: String| {
        read_cursor(&text).ok_or_else(|| answer::bad_parameter("cursor", "not a `nextCursor` of this list"))
    };
    Ok(RunQuery {
        workflow: parameters.workflow,
        status: parameters.status.map(status).transpose()?,
        subject: parameters.subject,
        event: parameters.event.map(event).transpose()?,
        since: answer::time("since", parameters.since)?,
        until: answer::time("until", parameters.until)?,
        limit: answer::limit(parameters.limit),
        before: parameters.cursor.map(before).transpose()?,
    })
}

/// A cursor names the last run of a page by its start and its id.
fn cursor(run: RunRef) -> String {
    format!("{}.{}", run.started_at.millis(), run.id)
}

fn read_cursor(text: &str) -> Option<RunRef> {
    let (millis, id) = text.split_once('.')?;
    Some(RunRef { started_at: Timestamp::from_millis(millis.parse().ok()?), id: id.parse().ok()? })
}

/// A run as lists show it.
pub(super) fn summary(run: &RunRecord, head: &RunHead) -> Value {
    json!({
        "id": run.id,
        "status": head.status,
        "reason": head.reason,
        "workflow": run.workflow,
        "definition": run.definition,
        "step": head.step,
        "subject": run.subject,
        "event": run.event,
        "route": run.route,
        "priority": run.priority,
        "parent": run.parent.as_ref().map(|parent| json!({ "run": parent.run, "workflow": parent.workflow, "step": parent.step })),
        "startedAt": run.started_at.to_rfc3339(),
        "updatedAt": head.updated_at.to_rfc3339(),
        "wakeAt": head.wake.map(Timestamp::to_rfc3339),
        "delayedMs": head.delayed_ms,
        "inDoubt": head.in_doubt,
    })
}

/// An entry of a journal, with its times as people read them.
pub(super) fn entry(entry: &Entry) -> Value {
    let mut shown = json!(entry.what);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("at".to_owned(), entry.at.to_rfc3339().into());
        fields.extend(entry.by.iter().map(|by| ("by".to_owned(), by.as_str().into())));
    }
    for time in ["/until", "/retry_at", "/look_at", "/wait/until"] {
        if let Some(shown) = shown.pointer_mut(time)
            && let Some(millis) = shown.as_i64()
        {
            *shown = Timestamp::from_millis(millis).to_rfc3339().into();
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_both_ways() {
        let run = RunRef { started_at: Timestamp::from_millis(77), id: RunId::from_bytes([7; 16]) };
        assert_eq!(read_cursor(&cursor(run)), Some(run));
        assert_eq!(read_cursor("77"), None);
    }
}
