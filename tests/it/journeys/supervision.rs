//! Each component falls under load, is restarted, and nobody else notices.

use futures_util::future::join_all;
use pointsman_actors::supervisor::{Drill, Escalation, Life};
use pointsman_actors::tree::TABLE;

use crate::server::{TestServer, until};
use crate::site::Site;

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
    server.tree().work.backlog.offer(pointsman_actors::router::backlog::RouteBacklog).unwrap();
    until("the backlog to route it", async || status().await == "unrouted").await;
}

#[actix::test]
async fn a_backlog_that_falls_goes_on_and_one_that_is_given_up_holds_up_nobody() {
    let server = TestServer::start("").await;
    let vitals = server.tree().roster.of("backlog").remove(0);
    vitals.rehearse(Drill::NextMessage);
    server.tree().work.backlog.offer(pointsman_actors::router::backlog::RouteBacklog).unwrap();
    until("it to fall and come back", async || vitals.falls() == 1 && vitals.life() == Life::Running).await;
    for router in server.tree().roster.of("router") {
        router.rehearse(Drill::NextMessage);
    }
    let answer = server.github("push", "d", "1", b"{}").await;
    let id = answer.body["eventId"].as_str().unwrap();
    server.tree().work.backlog.offer(pointsman_actors::router::backlog::RouteBacklog).unwrap();
    let status = async || server.get(&format!("/api/v1/events/{id}/status")).await.body["status"].clone();
    until("the backlog to route it", async || status().await == "unrouted").await;
    vitals.rehearse(Drill::EveryStart);
    server.tree().work.backlog.offer(pointsman_actors::router::backlog::RouteBacklog).unwrap();
    until("it to be given up", async || vitals.life() == Life::GivenUp).await;
    assert_eq!(server.github("push", "after", "1", b"{}").await.status, 200);
    assert_eq!(server.get("/health/ready").await.status, 200);
}

#[actix::test]
async fn a_component_that_falls_at_every_start_escalates_as_its_row_says() {
    let no_delivery = [
        "catch_up",
        "address_book",
        "dead_letter",
        "backlog",
        "executor",
        "dispatcher",
        "timer",
        "circuit_breaker",
        "auditor",
        "retention",
    ];
    for row in TABLE.iter().filter(|row| !no_delivery.contains(&row.component)) {
        let server = TestServer::start("[rate_limiter]\nslow_down = false").await;
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
            // Of what verifies the rate limiter hears nothing.
            join_all((0..16).map(async |_| server.post("/webhooks/github", &[], "").await)).await;
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

/// A site with validations that take a moment, and twelve of them on their way.
async fn busy_site() -> (Site, Vec<String>) {
    let site = Site::start("").await;
    site.world().state().claude.delay_ms = 30;
    let mut runs = Vec::new();
    for number in 1..=12 {
        let answer = site.open_pull(number, &format!("sha{number}")).await;
        runs.push(site.run_of(&answer).await);
    }
    (site, runs)
}

#[actix::test]
async fn a_fall_of_any_component_that_drives_runs_holds_up_none() {
    for component in ["executor", "dispatcher", "timer"] {
        let (site, mut runs) = busy_site().await;
        let mut all = site.server.tree().roster.of(component);
        all.retain(|vitals| component != "executor" || vitals.instance() == "pr_validation");
        let vitals = all.remove(0);
        for fall in 1..=3 {
            vitals.rehearse(Drill::NextMessage);
            let number = 100 + fall;
            let answer = site.open_pull(number, &format!("sha{number}")).await;
            runs.push(site.run_of(&answer).await);
            until("it to fall and come back", async || vitals.falls() == fall && vitals.life() == Life::Running).await;
        }
        for run in &runs {
            site.until(run, "succeeded").await;
        }
        for call in site.world().ledger().iter().filter(|call| call.service == "slack") {
            let same = site.world().ledger().iter().filter(|other| other.key == call.key).count();
            assert_eq!(same, 1, "{component}: a message that must be sent once was sent again");
        }
        let others = site.server.tree().roster.all().into_iter().filter(|other| other.row().component != component);
        assert!(others.into_iter().all(|other| other.falls() == 0), "{component}");
    }
}

#[actix::test]
async fn an_executor_that_is_given_up_leaves_the_others_alone() {
    let other = "[workflows.other]\nsteps = [{ name = \"say\", action = \"send_notification\", with = { text = \"hello\" } }]\n\
                 [[routes]]\nname = \"push\"\nsource = \"github\"\nevent = \"push\"\nworkflow = \"other\"";
    let site = Site::start(other).await;
    let executors = site.server.tree().roster.of("executor");
    let vitals = executors.iter().find(|vitals| vitals.instance() == "pr_validation").unwrap();
    vitals.rehearse(Drill::EveryStart);
    let answer = site.open_pull(1, "a1").await;
    let parked = site.run_of(&answer).await;
    until("it to be given up", async || vitals.life() == Life::GivenUp).await;
    let answer = site.server.github("push", "d", "1", b"{}").await;
    let run = site.run_of(&answer).await;
    site.until(&run, "succeeded").await;
    assert_eq!(site.world().notifications(), ["hello"]);
    let site = site.restart().await;
    site.until(&parked, "succeeded").await;
}

#[actix::test]
async fn without_dispatcher_or_timer_the_process_ends() {
    for component in ["dispatcher", "timer"] {
        let (mut site, _) = busy_site().await;
        let vitals = site.server.tree().roster.of(component).remove(0);
        vitals.rehearse(Drill::EveryStart);
        site.open_pull(99, "z").await;
        let server = site.server.server.take().unwrap();
        assert_eq!(server.serve_until(std::future::pending()).await, pointsman::boot::End::Halted, "{component}");
    }
}
