//! Each component falls under load, is restarted, and nobody else notices.

use futures_util::future::join_all;
use pointsman_actors::supervisor::{Drill, Escalation, Life};
use pointsman_actors::tree::TABLE;

use crate::server::{TestServer, until};

/// Sends deliveries until all are accepted, as a provider does that retries.
async fn deliver_all(server: &TestServer, prefix: &str, number: usize) {
    join_all((0..number).map(async |n| {
        let delivery = format!("{prefix}-{n}");
        until(&delivery, async || {
            let answer = server.github("push", &delivery, "1", b"{}").await;
            assert!(answer.status == 200 || answer.status == 503, "{answer:?}");
            answer.status == 200
        })
        .await;
    }))
    .await;
}

#[actix::test]
async fn a_fall_of_any_component_loses_nothing() {
    let server = TestServer::start("").await;
    deliver_all(&server, "before", 50).await;
    let on_the_way = ["receiver", "validator", "deduplicator", "router", "event_log"];
    for component in on_the_way {
        let instances = server.tree().roster.of(component);
        for vitals in &instances {
            vitals.rehearse(Drill::NextMessage);
        }
        let stored = server.events_stored().await;
        deliver_all(&server, component, 200).await;
        until("every instance to fall and come back", async || {
            deliver_all(&server, &format!("{component}-{}", uuid::Uuid::new_v4()), 8).await;
            instances.iter().all(|vitals| vitals.falls() == 1 && vitals.life() == Life::Running)
        })
        .await;
        assert!(server.events_stored().await >= stored + 200);
        let others =
            server.tree().roster.all().into_iter().filter(|vitals| !on_the_way.contains(&vitals.row().component));
        assert!(others.into_iter().all(|vitals| vitals.falls() == 0 && vitals.life() == Life::Running));
    }
    let actors = server.get("/metrics/actors").await.body;
    for row in actors["components"].as_array().unwrap() {
        let falls = if on_the_way.contains(&row["component"].as_str().unwrap()) { 1 } else { 0 };
        for instance in row["instances"].as_array().unwrap() {
            assert_eq!(
                (instance["restarts"].as_u64(), instance["state"].as_str()),
                (Some(falls), Some("running")),
                "{row}"
            );
        }
    }
}

#[actix::test]
async fn events_of_a_fallen_router_are_pending_and_routed_later() {
    let server = TestServer::start("").await;
    for vitals in server.tree().roster.of("router") {
        vitals.rehearse(Drill::NextMessage);
    }
    let answer = server.github("push", "d", "1", b"{}").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.body["eventId"].as_str().unwrap();
    let status = async || server.get(&format!("/api/v1/events/{id}/status")).await.body["status"].clone();
    assert_eq!(status().await, "pending");
    server.tree().backlog.offer(pointsman_actors::router::backlog::RouteBacklog).unwrap();
    until("the backlog to route it", async || status().await == "unrouted").await;
}

#[actix::test]
async fn a_component_that_falls_at_every_start_escalates_as_its_row_says() {
    for row in TABLE.iter().filter(|row| row.component != "backlog") {
        let server = TestServer::start("").await;
        let instances = server.tree().roster.of(row.component);
        for vitals in &instances {
            vitals.rehearse(Drill::EveryStart);
        }
        until(row.component, async || {
            join_all(
                (0..16)
                    .map(async |n| server.github("push", &format!("{}-{n}", uuid::Uuid::new_v4()), "1", b"{}").await),
            )
            .await;
            instances.iter().all(|vitals| vitals.life() == Life::GivenUp)
        })
        .await;
        let answer = server.github("push", "after", "1", b"{}").await;
        let ready = server.get("/health/ready").await.status;
        match row.escalation {
            Escalation::Park => assert_eq!((answer.status, ready), (200, 200), "{}", row.component),
            Escalation::Unready => assert_eq!((answer.status, ready), (503, 503), "{}", row.component),
            Escalation::Halt => {
                assert_eq!(answer.status, 503);
                let mut server = server;
                let end = server.server.take().unwrap().serve_until(std::future::pending()).await;
                assert_eq!(end, pointsman::boot::End::Halted);
            }
        }
    }
}

#[actix::test]
async fn a_shutdown_under_load_loses_nothing_acknowledged() {
    let mut server = TestServer::start("").await;
    let load = async {
        let answers = join_all((0..300).map(async |n| {
            let body = b"{}".to_vec();
            let signature = crate::server::sign(&body);
            let request = server.http.post(server.url("/webhooks/github")).header("content-type", "application/json");
            let request = request.header("x-github-event", "push").header("x-github-delivery", format!("{n}"));
            request
                .header("x-hub-signature-256", signature)
                .body(body)
                .send()
                .await
                .map(|answer| answer.status().as_u16())
        }));
        answers.await
    };
    let gate = std::sync::Arc::clone(&server.tree().gate);
    let stop = async {
        until("some to be inside", async || gate.requests() > 0).await;
        gate.drain();
    };
    let (answers, ()) = tokio::join!(load, stop);
    let acknowledged = answers.iter().filter(|answer| matches!(answer, Ok(200))).count() as u64;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(200 | 503))), "{answers:?}");
    server.server.take().unwrap().stop().await;
    let server = TestServer::start_in(server.directory, "").await;
    assert_eq!(server.events_stored().await, acknowledged);
}
