//! Connections that somebody holds open and says nothing on, or a byte now and then: whoever is signed is served all the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::time::{ManualClock, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::server::{TestServer, sign, until};

/// A connection from this address of loopback.
async fn connect(server: &TestServer, [third, last]: [u8; 2]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, third, last], 0))).unwrap();
    socket.connect(server.server.as_ref().unwrap().address).await.unwrap()
}

/// A signed delivery as bytes, with so much of its body.
fn delivery(id: &str, body: &str, sent: usize) -> Vec<u8> {
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-github-delivery: {id}\r\nx-hub-signature-256: {}\r\ncontent-length: {}\r\n\r\n{}",
        sign(body.as_bytes()),
        body.len(),
        &body[..sent]
    );
    head.into_bytes()
}

/// What comes until the server closes the connection.
async fn rest(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(60), connection.read_to_end(&mut answer));
    // A connection that is closed with something unread is reset.
    let _ = reading.await.expect("the connection to be closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of the answer that comes next.
async fn status(connection: &mut TcpStream) -> u16 {
    let mut answer = vec![0; 4_096];
    let length = connection.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).split(' ').nth(1).unwrap().parse().unwrap()
}

async fn connections(server: &TestServer) -> Value {
    server.get("/metrics").await.body["connections"].clone()
}

/// Waits until so many are open; the one that asks is among them.
async fn until_open(server: &TestServer, number: u64) {
    until("all to be let in", async || connections(server).await["open"] == number).await;
}

fn named<'a>(counted: &'a Value, names: &[&str]) -> Vec<&'a Value> {
    names.iter().map(|name| &counted[*name]).collect()
}

#[actix::test]
async fn whoever_has_waited_longest_without_a_request_makes_way() {
    let server = TestServer::start("[server]\nmax_connections = 6\nmax_in_flight = 2").await;
    // The operator who asks for metrics has proved who he is as well, and so has whoever delivers.
    assert_eq!(server.get("/api/v1/events").await.status, 200);
    let mut sender = connect(&server, [0, 9]).await;
    sender.write_all(&delivery("1", "{}", 2)).await.unwrap();
    assert_eq!(status(&mut sender).await, 200);
    let mut silent = Vec::new();
    for n in 1..=4 {
        silent.push(connect(&server, [0, n]).await);
        until_open(&server, 2 + u64::from(n)).await;
    }
    assert_eq!(named(&connections(&server).await, &["accepted", "displaced", "refused"]), [6, 0, 0]);
    let mut more = vec![connect(&server, [0, 5]).await, connect(&server, [0, 6]).await];
    assert_eq!([rest(&mut silent[0]).await, rest(&mut silent[1]).await], [String::new(), String::new()]);
    let counted = connections(&server).await;
    assert_eq!(named(&counted, &["open", "waiting", "accepted", "displaced", "refused"]), [6, 5, 8, 2, 0]);
    for (n, connection) in silent[2..].iter_mut().chain(&mut more).chain([&mut sender]).enumerate() {
        connection.write_all(&delivery(&format!("late {n}"), "{}", 2)).await.unwrap();
        assert_eq!(status(connection).await, 200, "the others are still there");
    }
}

#[actix::test]
async fn an_address_that_floods_loses_its_own_and_its_signed_deliveries_arrive() {
    let server = TestServer::start("[server]\nmax_connections_per_address = 4").await;
    let mut other = connect(&server, [0, 2]).await;
    let mut flood = Vec::new();
    for n in 0..20 {
        flood.push(connect(&server, [0, 3]).await);
        until_open(&server, 2 + (n + 1).min(4)).await;
        let mut sender = connect(&server, [0, 3]).await;
        sender.write_all(&delivery(&n.to_string(), "{}", 2)).await.unwrap();
        assert_eq!(status(&mut sender).await, 200);
        drop(sender);
        until("it to be gone", async || connections(&server).await["open"] == 2 + (n + 1).min(3)).await;
    }
    other.write_all(&delivery("other", "{}", 2)).await.unwrap();
    assert_eq!(status(&mut other).await, 200, "nobody else has lost anything");
}

#[actix::test]
async fn where_all_are_at_work_another_one_is_refused_and_counted() {
    let server = TestServer::start("[server]\nmax_connections_per_address = 1").await;
    let mut at_work = connect(&server, [0, 2]).await;
    at_work.write_all(&delivery("1", "{}", 1)).await.unwrap();
    let is_at_work = async || named(&connections(&server).await, &["open", "waiting"]) == [&json!(2), &json!(0)];
    until("it is at work", is_at_work).await;
    assert_eq!(rest(&mut connect(&server, [0, 2]).await).await, "");
    assert_eq!(connections(&server).await["refused"], json!(1));
    at_work.write_all(b"}").await.unwrap();
    assert_eq!(status(&mut at_work).await, 200);
}

#[actix::test]
async fn a_head_that_does_not_come_ends_its_connection() {
    // actix looks at the clock twice a second.
    let server = TestServer::start("[server]\nhead_timeout = \"2s\"").await;
    for begun in [&b""[..], b"POST /webhooks/github HT"] {
        let mut slow = connect(&server, [0, 2]).await;
        slow.write_all(begun).await.unwrap();
        let answer = rest(&mut slow).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    let mut slow = connect(&server, [0, 2]).await;
    slow.write_all(&delivery("1", "{}", 2)).await.unwrap();
    assert_eq!(status(&mut slow).await, 200);
    slow.write_all(b"POST /webhooks/github HT").await.unwrap();
    assert_eq!(rest(&mut slow).await, "", "the second head has a time as well");
}

#[actix::test]
async fn a_connection_without_a_request_ends_after_a_while() {
    let server = TestServer::start("[server]\nkeep_alive = \"300ms\"").await;
    let mut idle = connect(&server, [0, 2]).await;
    idle.write_all(&delivery("1", "{}", 2)).await.unwrap();
    assert_eq!(status(&mut idle).await, 200);
    assert_eq!(rest(&mut idle).await, "");
}

#[actix::test]
async fn a_head_has_a_size_and_a_number_of_headers() {
    let server = TestServer::start("").await;
    let head = |headers: String| format!("GET /health/live HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
    let many = |number| (0..number).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let long = |length| format!("x: {}\r\n", "y".repeat(length));
    for (headers, expect) in [(many(94), "200"), (many(95), "431"), (long(100_000), "200"), (long(140_000), "431")] {
        let mut connection = connect(&server, [0, 2]).await;
        // Whoever is answered before all of it was sent may find the connection closed.
        let _ = connection.write_all(head(headers).as_bytes()).await;
        let answer = rest(&mut connection).await;
        assert_eq!(answer.split(' ').nth(1), Some(expect), "{answer}");
    }
    assert_eq!(server.github("push", "1", "1", b"{}").await.status, 200);
}

#[actix::test]
async fn a_body_that_does_not_come_makes_way_for_one_that_does() {
    let clock = ManualClock::at(Timestamp::from_rfc3339("2026-01-05T10:00:00Z").unwrap());
    let server = TestServer::start_at(Arc::clone(&clock), "[server]\nmax_in_flight = 3").await;
    let mut slow = Vec::new();
    for n in 1..=3 {
        let mut connection = connect(&server, [0, n]).await;
        connection.write_all(&delivery(&format!("slow {n}"), "{\"a\": 1}", 3)).await.unwrap();
        let in_flight = async || server.tree().gate.requests() == u64::from(n);
        until(&format!("head {n} to be there"), in_flight).await;
        clock.advance(Duration::from_millis(1));
        slow.push(connection);
    }
    assert_eq!(server.github("push", "1", "1", b"{}").await.status, 503, "nobody is behind yet");
    clock.advance(Duration::from_secs(1));
    assert_eq!(server.github("push", "1", "1", b"{}").await.status, 200);
    let answer = rest(&mut slow[0]).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("overloaded"), "{answer}");
    for connection in &mut slow[1..] {
        connection.write_all(b"\": 1}").await.unwrap();
        assert_eq!(status(connection).await, 200, "nobody else had to");
    }
}

/// Opens a connection from one of 50 addresses, twice a second if it is lost, and sends a byte of a head, or of a body, on it
/// now and then.
async fn besiege(server: &TestServer, n: u16) {
    // One after the other: what comes all at once is a flood.
    let begins = tokio::time::Instant::now() + Duration::from_millis(n.into()) / 2;
    let mut tick = tokio::time::interval_at(begins, Duration::from_millis(500));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let body = " ".repeat(10_000);
    let begun =
        if n.is_multiple_of(2) { b"POST /webhooks/github HTTP/1.1\r\nx".to_vec() } else { delivery("x", &body, 1) };
    loop {
        tick.tick().await;
        let mut connection = connect(server, [1, (n % 50) as u8 + 1]).await;
        let mut sent = connection.write_all(&begun).await;
        while sent.is_ok() {
            tick.tick().await;
            sent = connection.write_all(b" ").await;
        }
    }
}

#[actix::test]
async fn a_thousand_slow_connections_keep_no_signed_sender_out() {
    pointsman::process::raise_open_files();
    let limits = "[server]\nmax_connections = 700\nmax_in_flight = 300";
    let server = TestServer::start(limits).await;
    // Whoever has shown a token stays connected.
    assert_eq!(server.get("/api/v1/events").await.status, 200);
    let besieged = futures_util::future::join_all((0..1_000).map(|n| besiege(&server, n)));
    let served = async {
        let full = async || connections(&server).await["displaced"].as_u64() > Some(200);
        until("all connections to be taken", full).await;
        for n in 0..200 {
            let mut sender = connect(&server, [0, (n % 50) as u8 + 1]).await;
            sender.write_all(&delivery(&n.to_string(), "{}", 2)).await.unwrap();
            assert_eq!(status(&mut sender).await, 200, "{n}");
        }
        assert_eq!(server.events_stored().await, 200);
        let counted = connections(&server).await;
        assert!(counted["open"].as_u64() <= Some(700), "{counted}");
    };
    tokio::select! {
        _ = besieged => panic!("nobody gives up"),
        () = served => {}
    }
}
