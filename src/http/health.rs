//! `/health`, `/health/live`, `/health/ready`.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use pointsman_actors::circuit_breaker::circuit::{BreakerRecord, Condition};
use pointsman_actors::supervisor::{Escalation, Life};
use serde_json::{Value, json};

use super::Edge;

/// Whether deliveries are welcome, as far as only the process knows it.
#[derive(Debug, Default)]
pub struct Readiness {
    given_up: AtomicBool,
}

impl Readiness {
    /// A component whose row says so was given up.
    pub fn lose(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }
}

/// How the process is, in the words of its health answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Healthy,
    Degraded,
    Unhealthy,
}

impl Edge {
    /// What is in the way of taking deliveries; empty when nothing is.
    fn obstacles(&self) -> Vec<String> {
        let tree = &self.shared.tree;
        let mut obstacles = Vec::new();
        if tree.gate.is_draining() {
            obstacles.push("the server is shutting down".to_owned());
        }
        if !tree.log_state.is_writable() {
            // What is wrong with the disk is in the log: anybody may ask here.
            obstacles.push("the event log cannot write".to_owned());
        }
        if self.shared.readiness.given_up.load(Ordering::SeqCst) {
            let lost = tree.roster.all().into_iter().filter(|vitals| vitals.life() == Life::GivenUp);
            let lost = lost.filter(|vitals| vitals.row().escalation != Escalation::Park);
            obstacles.extend(
                lost.map(|vitals| format!("{} was given up: {}", vitals.row().component, vitals.row().meaning)),
            );
        }
        obstacles
    }

    /// The services that are not called as they should be. What they said stands where a token is asked for.
    fn not_called(&self) -> Vec<Value> {
        let all = self.shared.tree.work.breakers.all().into_iter();
        let shown = |breaker: BreakerRecord| json!({ "id": breaker.name, "status": breaker.condition.name(), "since": breaker.since.to_rfc3339() });
        all.filter(|breaker| breaker.condition != Condition::Closed).map(shown).collect()
    }

    /// Runs that do not stand as they should, by the last audit.
    fn broken(&self) -> u64 {
        self.shared.tree.work.findings.last().map_or(0, |(_, report)| report.broken)
    }

    fn health(&self) -> Health {
        if !self.obstacles().is_empty() {
            return Health::Unhealthy;
        }
        let roster = self.shared.tree.roster.all();
        let all_run = roster.iter().all(|vitals| vitals.life() == Life::Running);
        let roomy = roster.iter().all(|vitals| vitals.depth() * 5 < vitals.capacity() * 4);
        if all_run
            && roomy
            && self.not_called().is_empty()
            && self.broken() == 0
            && self.shared.store.counts().damaged == 0
        {
            Health::Healthy
        } else {
            Health::Degraded
        }
    }
}

/// `GET /health`
pub async fn health(edge: Data<Edge>) -> HttpResponse {
    let now = edge.shared.clock.now();
    let (status, code) = match edge.health() {
        Health::Healthy => ("healthy", StatusCode::OK),
        Health::Degraded => ("degraded", StatusCode::OK),
        Health::Unhealthy => ("unhealthy", StatusCode::SERVICE_UNAVAILABLE),
    };
    HttpResponse::build(code).json(json!({
        "status": status,
        "timestamp": now.to_rfc3339(),
        "uptime": now.since(edge.shared.started_at).as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
        "obstacles": edge.obstacles(),
        "brokenRuns": edge.broken(),
        "breakers": edge.not_called(),
        "components": super::metrics::components(&edge.shared.tree.roster),
    }))
}

/// `GET /health/live`: the process answers.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "live"}))
}

/// `GET /health/ready`: deliveries are welcome.
pub async fn ready(edge: Data<Edge>) -> HttpResponse {
    let obstacles = edge.obstacles();
    if obstacles.is_empty() {
        HttpResponse::Ok().json(json!({"status": "ready"}))
    } else {
        HttpResponse::ServiceUnavailable().json(json!({"status": "not_ready", "obstacles": obstacles}))
    }
}
