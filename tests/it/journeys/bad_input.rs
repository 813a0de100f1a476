//! Bad input gets an answer that says what to do, or a closed connection; the others are served.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{SECRET, TestServer, sign};

async fn check(server: &TestServer, headers: &[(&str, &str)], body: &[u8], expect: (u16, &str)) {
    let answer = server.post("/webhooks/github", headers, body.to_vec()).await;
    assert_eq!((answer.status, answer.body["error"].as_str()), (expect.0, Some(expect.1)), "{headers:?} {answer:?}");
    assert_eq!(answer.body["success"], false);
    assert!(answer.body["message"].as_str().unwrap().len() > 20, "{answer:?}");
    assert!(!answer.body.to_string().contains(SECRET), "{answer:?}");
}

#[actix::test]
async fn every_refusal_has_its_code_and_stores_nothing() {
    let server = TestServer::start("").await;
    let good = sign(b"{}");
    let json = ("content-type", "application/json");
    let event = ("x-github-event", "push");
    let id = ("x-github-delivery", "d");
    let signed = ("x-hub-signature-256", good.as_str());
    check(&server, &[json, event, id], b"{}", (401, "signature_missing")).await;
    check(&server, &[json, event, id, ("x-hub-signature-256", "sha256=00")], b"{}", (401, "signature_invalid")).await;
    check(&server, &[json, event, id, signed], b"{} ", (401, "signature_invalid")).await;
    check(&server, &[json, id, signed], b"{}", (400, "bad_header")).await;
    check(&server, &[json, event, signed], b"{}", (400, "bad_header")).await;
    check(&server, &[json, event, id, id, signed], b"{}", (400, "bad_header")).await;
    check(&server, &[event, id, signed], b"{}", (415, "unsupported_content_type")).await;
    for broken in [&b"{\"a\":"[..], b"\xff\xfe", b"{\"a\":\"\xff\"}", b""] {
        let signature = sign(broken);
        check(&server, &[json, event, id, ("x-hub-signature-256", &signature)], broken, (400, "invalid_json")).await;
    }
    let unknown = server.post("/webhooks/gitlab", &[], "").await;
    assert_eq!((unknown.status, unknown.body["error"].as_str()), (404, Some("unknown_source")));
    let got = server.get("/webhooks/github").await;
    assert_eq!((got.status, got.body["error"].as_str()), (405, Some("method_not_allowed")));
    assert_eq!(server.get("/nothing").await.status, 404);
    assert_eq!(server.events_stored().await, 0);
    let metrics = server.get("/metrics").await.body;
    let counts = &metrics["intake"]["github"]["counts"];
    assert_eq!((counts["requests"].as_u64(), counts["refused"]["invalid_json"].as_u64()), (Some(12), Some(4)));
    assert_eq!(metrics["strays"]["refused"]["unknown_source"], 1, "who calls for nobody is counted as well");
}

#[actix::test]
async fn deep_nesting_is_an_event_like_any_other() {
    let server = TestServer::start("").await;
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let answer = server.github("push", "d", "1", deep.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let event = server.get(&format!("/api/v1/events/{}", answer.body["eventId"].as_str().unwrap())).await;
    assert_eq!(event.body["payload"].as_str().map(str::len), Some(400_000));
}

#[actix::test]
async fn bodies_up_to_the_limit_are_taken_and_larger_ones_refused_unread() {
    let server = TestServer::start("").await;
    let padded = |size: usize| format!("{{\"pad\":\"{}\"}}", "x".repeat(size - 10)).into_bytes();
    let largest = padded(25 << 20);
    let answer = server.github("push", "largest", "1", &largest).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let too_large =
        server.http.post(server.url("/webhooks/github")).header("content-length", (30_u64 << 20).to_string());
    let head = b"POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 31457280\r\n\r\n";
    drop(too_large);
    let answer = raw(&server, head).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    let chunked =
        [("x-hub-signature-256", sign(b"x")), ("x-github-event", "push".into()), ("x-github-delivery", "d".into())];
    let mut request = server.http.post(server.url("/webhooks/github")).header("content-type", "application/json");
    for (name, value) in chunked {
        request = request.header(name, value);
    }
    let endless = futures_util::stream::iter((0..30).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1 << 20])));
    let refused = request.body(reqwest::Body::wrap_stream(endless)).send().await;
    assert!(refused.as_ref().map_or(true, |answer| answer.status() == 413), "{refused:?}");
    assert_eq!(server.github("push", "next", "1", b"{}").await.status, 200);
}

/// Sends bytes as they are and reads until the server closes.
async fn raw(server: &TestServer, request: &[u8]) -> String {
    let address = server.server.as_ref().unwrap().address;
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    connection.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[actix::test]
async fn a_body_that_never_comes_ends_with_408_and_holds_nobody_up() {
    let server = TestServer::start("[server]\nread_timeout = \"300ms\"").await;
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-github-delivery: slow\r\nx-hub-signature-256: {}\r\ncontent-length: 10\r\n\r\n{{",
        sign(b"{}")
    );
    let slow = raw(&server, head.as_bytes());
    let others = futures_util::future::join_all(
        (0..50).map(async |n| server.github("push", &format!("{n}"), "1", b"{}").await.status),
    );
    let (slow, others) = tokio::join!(slow, others);
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("body_too_slow"), "{slow}");
    assert!(others.iter().all(|status| *status == 200), "{others:?}");
    // A form of nobody holds its connection no longer.
    let form = raw(&server, b"POST /session HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ntoken=").await;
    assert!(form.starts_with("HTTP/1.1 400"), "{form}");
}

#[actix::test]
async fn overload_is_503_with_retry_after_and_loses_nothing_acknowledged() {
    let server = TestServer::start("[server]\nmax_in_flight = 4").await;
    let answers = futures_util::future::join_all((0..400).map(|n| {
        let server = &server;
        async move { server.github("push", &format!("{n}"), "1", b"{}").await }
    }))
    .await;
    let accepted = answers.iter().filter(|answer| answer.status == 200).count() as u64;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(refused.iter().all(|answer| answer.status == 503 && answer.body["error"] == "overloaded"), "{refused:?}");
    assert!(refused.iter().all(|answer| answer.retry_after.as_deref() == Some("1")), "{refused:?}");
    assert_eq!(server.events_stored().await, accepted);
    assert_eq!(server.get("/metrics").await.body["server"]["requestsInFlight"], json!(0));
    tokio::time::timeout(Duration::from_secs(60), server.github("push", "after", "1", b"{}")).await.unwrap();
}
