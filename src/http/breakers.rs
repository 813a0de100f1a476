//! `/api/v1/breakers`: which services are called, and which are given a rest.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use pointsman_actors::circuit_breaker::circuit::BreakerRecord;
use pointsman_actors::circuit_breaker::circuit::Condition;
use pointsman_actors::time::Timestamp;
use serde_json::{Value, json};

use super::Edge;
use super::answer::{self, ApiError, List};

/// `GET /api/v1/breakers`
pub async fn list(edge: Data<Edge>) -> HttpResponse {
    let mut items = Vec::new();
    for breaker in edge.shared.tree.work.breakers.all() {
        items.push(with_calls(&edge, &breaker).await);
    }
    HttpResponse::Ok().json(List { items, next_cursor: None })
}

/// `POST /api/v1/breakers/{name}/reset`
pub async fn reset(edge: Data<Edge>, name: Path<String>) -> Result<HttpResponse, ApiError> {
    let breakers = &edge.shared.tree.work.breakers;
    if !breakers.reset(&name).await {
        let names: Vec<String> = breakers.all().into_iter().map(|breaker| breaker.name).collect();
        return Err(answer::not_found(&format!("circuit of `{name}`; there are {}", names.join(", "))));
    }
    let reset = breakers.all().into_iter().find(|breaker| breaker.name == *name);
    let reset = reset.ok_or_else(|| answer::not_found(&format!("circuit of `{name}`")))?;
    Ok(HttpResponse::Ok().json(with_calls(&edge, &reset).await))
}

/// A breaker with the calls of its window since it was closed; `null` when nobody counts them.
async fn with_calls(edge: &Edge, breaker: &BreakerRecord) -> Value {
    let mut shown = shown(breaker);
    let (calls, failures) = edge.shared.tree.work.breakers.count(&breaker.name).await.unzip();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("calls".to_owned(), json!(calls));
        fields.insert("failures".to_owned(), json!(failures));
    }
    shown
}

/// A breaker as everything shows it. One that has never opened is closed since no time.
pub(super) fn shown(breaker: &BreakerRecord) -> Value {
    let until = match breaker.condition {
        Condition::Open { until } => Some(until),
        Condition::Closed | Condition::HalfOpen | Condition::Disabled { .. } => None,
    };
    json!({
        "id": breaker.name,
        "status": breaker.condition.name(),
        "reason": breaker.reason,
        "since": (breaker.since > Timestamp::default()).then(|| breaker.since.to_rfc3339()),
        "until": until.map(Timestamp::to_rfc3339),
    })
}
