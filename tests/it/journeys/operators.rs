//! Did it arrive, what became of it, is all well.

use serde_json::json;

use crate::server::{TOKEN, TestServer};

#[actix::test]
async fn the_operator_api_asks_for_its_token() {
    let server = TestServer::start("").await;
    for (token, challenge) in [(None, ""), (Some("wrong"), ", error=\"invalid_token\"")] {
        let mut request = server.http.get(server.url("/api/v1/events"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["www-authenticate"], format!("Bearer realm=\"pointsman\"{challenge}"));
        assert!(!answer.text().await.unwrap().contains(TOKEN));
    }
    assert_eq!(server.get("/api/v1/events").await.status, 200);
    assert_eq!(server.http.get(server.url("/metrics")).send().await.unwrap().status(), 200);
    let guarded = TestServer::start("[admin]\nguard_metrics = true").await;
    assert_eq!(guarded.http.get(guarded.url("/metrics")).send().await.unwrap().status(), 401);
    assert_eq!(guarded.get("/metrics").await.status, 200);
}

#[actix::test]
async fn lists_have_their_envelope_and_name_a_wrong_parameter() {
    let server = TestServer::start("").await;
    for n in 0..5 {
        server.github("push", &format!("{n}"), "1", b"{\"repository\":{\"full_name\":\"o/r\"}}").await;
    }
    let first = server.get("/api/v1/events?limit=3&type=push").await.body;
    assert_eq!(first["items"].as_array().map(Vec::len), Some(3));
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = server.get(&format!("/api/v1/events?limit=3&cursor={cursor}")).await.body;
    assert_eq!((rest["items"].as_array().map(Vec::len), &rest["nextCursor"]), (Some(2), &json!(null)));
    assert!(first["items"][0]["id"].is_string() && first["items"][0]["status"] == "unrouted");
    assert_eq!(
        server.get("/api/v1/events?subject=o/r&limit=9999").await.body["items"].as_array().map(Vec::len),
        Some(5)
    );
    for (path, status, code) in [
        ("/api/v1/events?since=yesterday", 400, "bad_parameter"),
        ("/api/v1/events?limit=x", 400, "bad_parameter"),
        ("/api/v1/events?status=lost", 400, "bad_parameter"),
        ("/api/v1/events?colour=red", 400, "bad_parameter"),
        ("/api/v1/events?cursor=x", 400, "bad_parameter"),
        ("/api/v1/events/nonsense", 400, "bad_parameter"),
        ("/api/v1/events/evt_00000000000070008000000000000000", 404, "not_found"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.body["error"].as_str()), (status, Some(code)), "{path}");
    }
}

#[actix::test]
async fn health_and_metrics_have_the_promised_shape() {
    let server = TestServer::start("").await;
    let health = server.get("/health").await;
    assert_eq!((health.status, health.body["status"].as_str()), (200, Some("healthy")), "{health:?}");
    assert!(["timestamp", "uptime", "version"].iter().all(|name| !health.body[name].is_null()));
    assert_eq!((server.get("/health/live").await.status, server.get("/health/ready").await.status), (200, 200));
    for (method, path, status) in
        [("HEAD", "/health", 200), ("DELETE", "/health", 405), ("POST", "/api/v1/events", 405)]
    {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = server.http.request(method, server.url(path)).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert!(status == 200 || answer.text().await.unwrap().contains("method_not_allowed"), "{path}");
    }
    let metrics = server.get("/metrics").await.body;
    for pointer in [
        "/server/uptime",
        "/server/memoryUsage/rss",
        "/server/memoryUsage/heapTotal",
        "/eventQueue/eventsQueued",
        "/eventQueue/eventsProcessed",
        "/eventQueue/queueSize",
        "/eventStore/eventsStored",
        "/eventStore/storageSize",
    ] {
        assert!(metrics.pointer(pointer).is_some_and(serde_json::Value::is_number), "{pointer}: {metrics}");
    }
    let actors = server.get("/metrics/actors").await.body;
    let names: Vec<_> =
        actors["components"].as_array().unwrap().iter().map(|row| row["component"].as_str().unwrap()).collect();
    assert_eq!(names, pointsman_actors::tree::TABLE.iter().map(|row| row.component).collect::<Vec<_>>());
}

#[actix::test]
async fn a_data_directory_in_use_is_refused_by_name() {
    let server = TestServer::start("").await;
    let error = pointsman::boot::start(crate::server::plan(server.directory.path(), "")).await.err().unwrap();
    assert!(error.to_string().contains("is in use by another process"), "{error:#}");
}

#[actix::test]
async fn a_generated_token_lies_in_the_data_directory_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let mut plan = crate::server::plan(directory.path(), "");
    plan.in_force.admin_token = None;
    let server = pointsman::boot::start(plan).await.unwrap();
    let path = directory.path().join("admin.token");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&path).unwrap().trim().len() >= 32);
    assert_eq!(std::fs::read_to_string(directory.path().join("server.addr")).unwrap(), server.address.to_string());
    server.stop().await;
    assert!(!directory.path().join("server.addr").exists());
}
