//! Whose request it is: the address that it came from, or what a trusted proxy says.

use crate::server::{TestServer, sign};

const LISTED: &str = "[webhooks.github]\naddresses = [\"203.0.113.0/24\"]\n";

/// The status of a signed delivery that came with this header.
async fn status(server: &TestServer, forwarded: (&str, &str), delivery: &str) -> u16 {
    let headers = [
        forwarded,
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("x-github-delivery", delivery),
        ("x-hub-signature-256", &sign(b"{}")),
    ];
    server.post("/webhooks/github", &headers, "{}").await.status
}

#[actix::test]
async fn only_a_trusted_proxy_says_who_has_sent_a_request() {
    let for_of = |value| ("x-forwarded-for", value);
    let server = TestServer::start(LISTED).await;
    assert_eq!(status(&server, for_of("203.0.113.5"), "1").await, 403, "anybody can write this");
    let trusting = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let server = server.restart(&format!("{trusting}{LISTED}")).await;
    assert_eq!(status(&server, for_of("203.0.113.5"), "2").await, 200);
    assert_eq!(status(&server, for_of("203.0.113.5, 192.0.2.1"), "3").await, 403, "this is what the sender wrote");
    assert_eq!(status(&server, for_of("192.0.2.1, 203.0.113.5"), "4").await, 200);
    assert_eq!(status(&server, ("forwarded", "for=203.0.113.5"), "5").await, 403, "the proxy does not write that");
    let event = server.get("/api/v1/events?limit=1").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    let peer = server.get(&format!("/api/v1/events/{event}")).await.body["peer"].clone();
    assert_eq!(peer, "203.0.113.5", "and this is what an operator sees");
    let standard = format!("{trusting}forwarded_header = \"forwarded\"\n{LISTED}");
    let server = server.restart(&standard).await;
    assert_eq!(status(&server, ("forwarded", "for=\"203.0.113.5:4711\";proto=https"), "6").await, 200);
    assert_eq!(status(&server, for_of("203.0.113.5"), "7").await, 403);
}

#[actix::test]
async fn behind_a_proxy_senders_are_held_back_one_by_one() {
    let limits = "[rate_limiter]\nwindow = \"1h\"\nmax_requests = 2\nburst = false\nslow_down = false";
    let server = TestServer::start(&format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{limits}")).await;
    let mut statuses = Vec::new();
    for sender in ["203.0.113.5", "203.0.113.5", "203.0.113.5", "203.0.113.6"] {
        statuses.push(server.post("/webhooks/github", &[("x-forwarded-for", sender)], "{}").await.status);
    }
    assert_eq!(statuses, [401, 401, 429, 401]);
}
