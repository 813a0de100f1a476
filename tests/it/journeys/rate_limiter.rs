//! Whoever cannot be verified is held back when it comes too often; whoever is, is not.

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::server::{TestServer, sign, until};

/// Limits that no test outlives.
const FIVE_AN_HOUR: &str = r#"
[rate_limiter]
window = "1h"
max_requests = 5
burst = false
slow_down = false
"#;

/// A connection on which the head of a signed delivery has come, whose body is `{}`.
async fn head(server: &TestServer) -> TcpStream {
    let mut connection = TcpStream::connect(server.server.as_ref().unwrap().address).await.unwrap();
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-github-delivery: slow\r\nx-hub-signature-256: {}\r\ncontent-length: 2\r\n\r\n",
        sign(b"{}")
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

/// A request that proves nothing, and what of its answer tells how its sender stands.
async fn unverified(server: &TestServer, signature: Option<&str>) -> (u16, [Option<u64>; 4]) {
    let mut request = server.http.post(server.url("/webhooks/github")).header("content-type", "application/json");
    request = request.header("x-github-event", "push").header("x-github-delivery", "x").body("{}");
    if let Some(signature) = signature {
        request = request.header("x-hub-signature-256", signature);
    }
    let answer = request.send().await.unwrap();
    let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().parse().unwrap());
    let names = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"];
    (answer.status().as_u16(), names.map(header))
}

#[actix::test]
async fn whoever_proves_nothing_is_held_back_and_the_signed_are_not() {
    let server = TestServer::start(FIVE_AN_HOUR).await;
    let wrong = sign(b"something else");
    for (remaining, signature) in [(4, None), (3, Some(wrong.as_str())), (2, Some("sha256=zz")), (1, None), (0, None)] {
        let (status, [limit, left, reset, after]) = unverified(&server, signature).await;
        assert_eq!((status, limit, left, after), (401, Some(5), Some(remaining), None));
        assert!((1..=7_200).contains(&reset.unwrap()), "{reset:?}");
    }
    for signature in [None, Some(wrong.as_str())] {
        let (status, [limit, left, reset, after]) = unverified(&server, signature).await;
        assert_eq!((status, limit, left), (429, Some(5), Some(0)));
        assert_eq!(reset, after);
        assert!((1..=7_200).contains(&after.unwrap()), "{after:?}");
    }
    assert_eq!(server.post("/webhooks/nobody", &[], "").await.status, 429, "guessing paths is no way around it");
    let signed = join_all((0..50).map(async |n| server.github("push", &format!("{n}"), "1", b"{}").await.status)).await;
    assert!(signed.iter().all(|status| *status == 200), "{signed:?}");
    assert_eq!(server.get("/health").await.status, 200);
    let metrics = server.get("/metrics").await.body;
    let counts = &metrics["intake"]["github"]["counts"];
    let refused = |reason: &str| counts["refused"][reason].as_u64();
    assert_eq!(
        (refused("rate_limited"), refused("signature_missing"), refused("signature_invalid")),
        (Some(2), Some(3), Some(2))
    );
    assert_eq!(counts["requests"], 57, "each is counted once");
}

#[actix::test]
async fn verified_deliveries_are_held_back_where_an_operator_says_so() {
    let server = TestServer::start("[webhooks.github]\nmax_requests = 2\n[rate_limiter]\nwindow = \"1h\"").await;
    let mut statuses = Vec::new();
    for n in 0..4 {
        let answer = server.github("push", &format!("{n}"), "1", b"{}").await;
        assert_eq!(answer.retry_after.is_some(), answer.status == 429, "{answer:?}");
        statuses.push(answer.status);
    }
    assert_eq!((statuses, server.events_stored().await), (vec![200, 200, 429, 429], 2));
}

#[actix::test]
async fn answers_that_come_later_are_few() {
    let toml = "[rate_limiter]\nslow_down_threshold = 0.0\nslow_down_delay = \"1m\"\nslow_down_at_most = 2";
    let server = TestServer::start(toml).await;
    let delayed = || async { server.get("/metrics").await.body["rateLimiter"]["delayed"].as_u64() };
    let (first, second) = (unverified(&server, None), unverified(&server, None));
    let rest = async {
        until("two wait for their answer", async || delayed().await == Some(2)).await;
        assert_eq!(unverified(&server, None).await.0, 401, "there is no room for a third, so it is answered");
        assert_eq!(server.github("push", "1", "1", b"{}").await.status, 200);
    };
    tokio::select! {
        _ = async { tokio::join!(first, second) } => panic!("they are answered in a minute"),
        () = rest => {}
    }
}

#[actix::test]
async fn whoever_is_over_its_limit_is_not_listened_to_when_there_is_much_to_do() {
    let limits = "[server]\nmax_in_flight = 2\nmax_share_per_address = 1.0\n";
    let server =
        TestServer::start(&format!("{limits}{FIVE_AN_HOUR}backpressure_threshold = 0.5\nadaptive = false")).await;
    let mut slow = head(&server).await;
    let in_flight = || async { server.get("/metrics").await.body["server"]["requestsInFlight"].as_u64() };
    until("half of what may be in flight is", async || in_flight().await == Some(1)).await;
    assert_eq!(server.github("push", "1", "1", b"{}").await.status, 200, "it has not failed to prove anything");
    for _ in 0..5 {
        assert_eq!(unverified(&server, None).await.0, 401);
    }
    let unheard = server.github("push", "2", "1", b"{}").await;
    assert_eq!((unheard.status, unheard.body["error"].as_str()), (503, Some("overloaded")), "{unheard:?}");
    slow.write_all(b"{}").await.unwrap();
    until("it is done", async || in_flight().await == Some(0)).await;
    assert_eq!(server.github("push", "2", "1", b"{}").await.status, 200);
}

#[actix::test]
async fn whoever_is_held_back_waits_for_no_body_of_others() {
    let mut server = TestServer::start(FIVE_AN_HOUR).await;
    for _ in 0..6 {
        unverified(&server, None).await;
    }
    // More than both workers deal with at a time.
    let mut slow = Vec::new();
    for _ in 0..40 {
        slow.push(head(&server).await);
    }
    let in_flight = async || server.get("/metrics").await.body["server"]["requestsInFlight"].as_u64();
    until("all have been let in", async || in_flight().await == Some(40)).await;
    // On connections on which nobody has proved who he is.
    for delivery in ["1", "2", "3", "4"] {
        server.http = reqwest::Client::builder().no_proxy().build().unwrap();
        assert_eq!(server.github("push", delivery, "1", b"{}").await.status, 200);
    }
}
