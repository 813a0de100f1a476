//! `/metrics` and `/metrics/actors`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use pointsman_actors::auditor::actor::Findings;
use pointsman_actors::catch_up::watched::{Watched, Watches};
use pointsman_actors::store::Counts;
use pointsman_actors::supervisor::Roster;
use pointsman_actors::tree::TABLE;
use serde_json::{Value, json};

use super::Edge;
use super::connections::Connections;
use crate::addresses::ranges::CurrentRanges;
use crate::process;

/// `GET /metrics`
pub async fn metrics(edge: Data<Edge>) -> HttpResponse {
    let now = edge.shared.clock.now();
    let (tree, counts) = (&edge.shared.tree, edge.shared.store.counts());
    let memory = process::memory();
    let ever_stored = counts.events + counts.purged_events;
    let intake: serde_json::Map<String, Value> = tree
        .tallies
        .all()
        .into_iter()
        .map(|(name, tally)| {
            let latency = tally.latency();
            let shown = json!({
                "counts": tally.counted(),
                "averageMs": latency.mean_ms(),
                "p50Ms": latency.quantile_ms(0.5),
                "p99Ms": latency.quantile_ms(0.99),
            });
            (name.to_string(), shown)
        })
        .collect();
    HttpResponse::Ok().json(json!({
        "server": {
            "uptime": now.since(edge.shared.started_at).as_secs(),
            "memoryUsage": { "rss": memory.resident, "heapTotal": memory.heap },
            "requestsInFlight": tree.gate.requests(),
            "bodyBytesInFlight": tree.gate.body_bytes(),
        },
        "operators": edge.shared.refused_operators.counted(),
        "connections": connections(&edge.shared.connections),
        "eventQueue": {
            "eventsQueued": ever_stored,
            "eventsProcessed": ever_stored.saturating_sub(counts.pending),
            "eventsCompleted": counts.succeeded,
            "eventsFailed": counts.failed,
            "queueSize": counts.pending + counts.queued,
            "processingCount": tree.attempts_in_flight(),
        },
        "workflows": workflows(&counts, tree.attempts_in_flight()),
        "eventStore": {
            "backend": edge.shared.store.name(),
            "eventsStored": counts.events,
            "eventsPurged": counts.purged_events,
            "storageSize": counts.bytes,
            "redeliveries": counts.redeliveries,
            "duplicates": counts.duplicates,
            "damagedRecords": counts.damaged,
            "commits": counts.commits,
        },
        "rateLimiter": tree.rate_limits.as_ref().map(|limits| json!({
            "share": limits.share(),
            "delayed": limits.delayed(),
        })),
        "addresses": { "github": edge.shared.surface.get().github_ranges.as_ref().map(ranges) },
        "auditor": auditor(&tree.work.findings),
        "catchUp": catch_up(&tree.watches),
        "deadLetters": {
            "deadLetters": counts.dead_letters,
            "waitingForRedrive": counts.redrives,
            "redriven": counts.redriven,
            "dismissed": counts.dismissed,
        },
        "breakers": tree.work.breakers.all().iter().map(super::breakers::shown).collect::<Vec<_>>(),
        "intake": intake,
        "strays": edge.shared.strays.counted(),
        "timestamp": now.to_rfc3339(),
    }))
}

/// From which networks GitHub delivers, and from where that is known.
fn ranges(current: &CurrentRanges) -> Value {
    let ranges = current.get();
    json!({
        "ranges": ranges.networks.len(),
        "from": ranges.origin.name(),
        "fetchedAt": ranges.fetched_at.to_rfc3339(),
        "confirmedAt": ranges.confirmed_at.map(|at| at.to_rfc3339()),
        "failing": ranges.failing,
    })
}

/// How many there are, and what became of others.
fn connections(connections: &Connections) -> Value {
    let (limits, counted) = (connections.limits(), connections.counted());
    json!({
        "open": counted.open,
        "waiting": counted.waiting,
        "limit": limits.total,
        "limitPerAddress": limits.per_address,
        "accepted": counted.accepted,
        "displaced": counted.displaced,
        "refused": counted.refused,
    })
}

/// What the last audit of the runs came to; `null` before the first.
fn auditor(findings: &Findings) -> Value {
    findings.last().map_or(Value::Null, |(at, report)| {
        let mut shown = json!(report);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("at".to_owned(), at.to_rfc3339().into());
        }
        shown
    })
}

/// What could not be delivered, hook by hook, since the process started.
fn catch_up(watches: &Watches) -> Value {
    let shown = |(hook, watched): (String, Watched)| {
        json!({
            "hook": hook,
            "looks": watched.looks,
            "lastLook": watched.last_look.map(|at| at.to_rfc3339()),
            "missed": watched.missed,
            "requested": watched.requested,
            "takenIn": watched.taken_in,
            "lost": watched.lost,
            "waiting": watched.waiting,
            "givenUp": watched.given_up,
            "failing": watched.failing,
        })
    };
    watches.all().into_iter().map(shown).collect()
}

/// What became of runs.
fn workflows(counts: &Counts, attempts_in_flight: usize) -> Value {
    // What made way for a newer run neither succeeded nor failed.
    let finished = counts.succeeded + counts.failed;
    json!({
        "runsStarted": counts.runs,
        "runsQueued": counts.queued,
        "runsActive": counts.active,
        "runsSucceeded": counts.succeeded,
        "runsFailed": counts.failed,
        "runsDropped": counts.dropped,
        "runsPurged": counts.purged_runs,
        "attemptsInFlight": attempts_in_flight,
        "waitsOpen": counts.open_waits,
        "waitsResolved": counts.resolved_waits,
        "successRate": ratio(counts.succeeded, finished),
        "averageProcessingTime": ratio(counts.run_ms, finished),
        "averageDelayTime": ratio(counts.delayed_ms, finished),
    })
}

/// A part of a whole; `null` while there is none.
#[allow(clippy::cast_precision_loss, reason = "shown, never counted with")]
fn ratio(part: u64, whole: u64) -> Value {
    if whole == 0 { Value::Null } else { json!(part as f64 / whole as f64) }
}

/// `GET /metrics/actors`: the supervision tree's table, live.
pub async fn actors(edge: Data<Edge>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "components": components(&edge.shared.tree.roster) }))
}

/// Every row of the table with its instances.
pub fn components(roster: &Roster) -> Vec<Value> {
    TABLE
        .iter()
        .map(|row| {
            let instances: Vec<Value> = roster
                .of(row.component)
                .iter()
                .map(|vitals| {
                    json!({
                        "instance": vitals.instance(),
                        "state": vitals.life().name(),
                        "mailbox": { "depth": vitals.depth(), "capacity": vitals.capacity() },
                        "falls": vitals.falls(),
                        "restarts": vitals.restarts(),
                        "lastFall": vitals.last_fall().map(|at| at.to_rfc3339()),
                    })
                })
                .collect();
            json!({
                "component": row.component,
                "thread": row.thread.name(),
                "restart": { "intensity": row.restart.intensity, "windowSeconds": row.restart.window.as_secs() },
                "escalation": row.escalation.name(),
                "meaning": row.meaning,
                "instances": instances,
            })
        })
        .collect()
}
