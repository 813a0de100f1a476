//! `/api/v1/secrets`: which secrets there are, which count, and which senders still use. Never a secret itself.

use actix_web::HttpResponse;
use actix_web::web::Data;
use pointsman_actors::event::SourceName;
use pointsman_actors::time::Timestamp;
use serde_json::{Value, json};

use super::Edge;
use super::answer::List;
use crate::config::webhooks::NOTICE;
use crate::sources::{NamedSecret, Standing};

/// `GET /api/v1/secrets`
pub async fn list(edge: Data<Edge>) -> HttpResponse {
    let now = edge.shared.clock.now();
    let mut items = Vec::new();
    for inlet in edge.shared.surface.get().inlets() {
        items.extend(inlet.secrets.all().iter().map(|secret| shown(inlet.source.name(), secret, now)));
    }
    HttpResponse::Ok().json(List { items, next_cursor: None })
}

/// A secret as everything shows it.
fn shown(source: &SourceName, secret: &NamedSecret, now: Timestamp) -> Value {
    let (status, left) = match secret.validity.standing(now) {
        Standing::NotYet => ("not_yet_valid", None),
        Standing::Valid(Some(left)) if left < NOTICE => ("expiring", Some(left)),
        Standing::Valid(left) => ("valid", left),
        Standing::Expired => ("expired", None),
    };
    let used = secret.used();
    json!({
        "id": format!("{source}/{}", secret.name),
        "source": source,
        "name": secret.name,
        "fingerprint": secret.fingerprint(),
        "from": secret.validity.from.map(Timestamp::to_rfc3339),
        "until": secret.validity.until.map(Timestamp::to_rfc3339),
        "status": status,
        "expiresInMs": left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        "verified": used.count,
        "lastVerifiedAt": used.last.map(Timestamp::to_rfc3339),
    })
}
