//! An honest sender beside a siege: signed deliveries, one after the other, each on a connection of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix_rt::Arbiter;
use anyhow::Context;
use pointsman_load::{quantile, signature};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use uuid::Uuid;

/// What became of the deliveries.
#[derive(Default)]
pub struct Served {
    /// How long each took that was answered with 200.
    times: Vec<Duration>,
    /// What became of the others.
    others: Vec<String>,
}

/// The pause between two deliveries.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a delivery may take: GitHub hangs up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends until the time is over, on a thread of its own: what the besiegers do must not slow it down.
pub async fn send(server: SocketAddr, from: [u8; 4], lasts: Duration) -> anyhow::Result<Served> {
    let (thread, (tell, told)) = (Arbiter::new(), oneshot::channel());
    thread.spawn(async move {
        let _ = tell.send(send_here(server, from, lasts).await);
    });
    let served = told.await.context("the sender has fallen")?;
    thread.stop();
    served
}

async fn send_here(server: SocketAddr, from: [u8; 4], lasts: Duration) -> anyhow::Result<Served> {
    let (began, mut served) = (Instant::now(), Served::default());
    while began.elapsed() < lasts {
        let sent = Instant::now();
        match tokio::time::timeout(PATIENCE, deliver(server, from)).await {
            Ok(Ok(status)) if status == "200" => served.times.push(sent.elapsed()),
            Ok(Ok(status)) => served.others.push(status),
            Ok(Err(error)) => served.others.push(error.to_string()),
            Err(_) => served.others.push("nothing in ten seconds".to_owned()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    served.times.sort_unstable();
    Ok(served)
}

async fn deliver(server: SocketAddr, from: [u8; 4]) -> anyhow::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let mut connection = socket.connect(server).await?;
    let body = r#"{"ref":"refs/heads/main"}"#;
    let request = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-github-delivery: {}\r\nx-hub-signature-256: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        Uuid::new_v4(),
        signature(body.as_bytes())?,
        body.len(),
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer.split(' ').nth(1).unwrap_or("no answer").to_owned())
}

impl Served {
    /// Whether each was answered with 200, and there were some.
    pub fn all(&self) -> bool {
        self.others.is_empty() && !self.times.is_empty()
    }

    /// In one line.
    pub fn report(&self) -> String {
        let sent = self.times.len() + self.others.len();
        let took =
            |percent| quantile(&self.times, percent).map_or_else(|| "-".to_owned(), |time| format!("{time:.1?}"));
        let mut said =
            format!("{sent} sent, {} answered with 200, p50 {}, p99 {}", self.times.len(), took(50), took(99));
        if let Some(first) = self.others.first() {
            said.push_str(&format!("; {} others, such as: {first}", self.others.len()));
        }
        said
    }
}
