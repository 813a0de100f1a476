//! `/api/v1/config` and `/api/v1/reload`: what is in force, and how it is replaced.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, ReqData};
use serde_json::{Value, json};

use super::Edge;
use super::answer::{self, ApiError, List};
use crate::access::{Operator, Scope};
use crate::config::Change;
use crate::reload::NotReloaded;

/// `GET /api/v1/config`: every key that has a value, with its origin. Secrets are hidden.
pub async fn config(edge: Data<Edge>) -> HttpResponse {
    let listing = edge.shared.reloader.listing().await.into_iter();
    let items = listing
        .map(|(key, value, origin)| json!({ "id": key, "status": "in_force", "value": value, "origin": origin }));
    HttpResponse::Ok().json(List { items: items.collect(), next_cursor: None })
}

/// `POST /api/v1/reload`: reads the configuration again and puts it in force, whole or not at all.
pub async fn reload(edge: Data<Edge>, operator: ReqData<Operator>) -> Result<HttpResponse, ApiError> {
    if operator.scope < Scope::Admin {
        return Err(answer::too_little(Scope::Admin));
    }
    // It goes on to its end also when whoever has asked for it goes away.
    let reloader = Arc::clone(&edge.shared.reloader);
    let reloaded = actix_rt::spawn(async move { reloader.reload().await }).await;
    let reloaded = reloaded.unwrap_or_else(|fell| Err(NotReloaded::Failed(fell.into())));
    let changes = reloaded.map_err(|not_reloaded| {
        let (status, code) = not_reloaded.answered();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        answer::error(status, code, &format!("{not_reloaded}; everything is as it was"))
    })?;
    Ok(HttpResponse::Ok().json(json!({ "success": true, "changes": changes.iter().map(shown).collect::<Vec<_>>() })))
}

fn shown(change: &Change) -> Value {
    let status = if change.needs_restart { "needs_restart" } else { "in_force" };
    json!({ "id": change.key, "status": status, "from": change.from, "to": change.to })
}
