//! Connections that are held open: half of them with a head that does not end, half with a body.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use pointsman_load::process::Running;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use super::{TOKEN, sender};

/// How often a byte comes.
const BYTE_EVERY: Duration = Duration::from_secs(1);

/// The pause before whoever has lost a connection opens another.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an honest sender is measured without a siege.
const PEACE: Duration = Duration::from_secs(3);

/// How long it takes at most until all connections are open.
const ADVANCE: Duration = Duration::from_secs(5);

/// Addresses of the many.
const MANY: usize = 250;

/// A head that may come, and goes on; a head that is whole, and a body that goes on.
const BEGUN: [&[u8]; 2] = [
    b"POST /webhooks/github HTTP/1.1\r\nhost: x\r\nx-header: ",
    b"POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
      x-github-delivery: 1\r\nx-hub-signature-256: sha256=0000000000000000000000000000000000000000000000000000000000000000\r\n\
      content-length: 1000000\r\n\r\n ",
];

/// Connections of the besiegers that are open, as far as they know.
type Held = Rc<AtomicUsize>;

/// Besieges the server from many addresses, then from one; whether all signed deliveries were answered with 200.
pub async fn besiege(server: &Running, connections: usize, lasts: Duration) -> anyhow::Result<bool> {
    let address: SocketAddr = server.base.replace("http://0.0.0.0", "127.0.0.1").parse()?;
    println!("in peace:          {}", sender::send(address, [127, 0, 0, 9], PEACE).await?.report());
    let mut fine = true;
    for (from, addresses, own) in [("many addresses", MANY, [127, 0, 0, 9]), ("one address", 1, [127, 1, 0, 1])] {
        let held = Held::default();
        let besiegers: Vec<_> = (0..connections)
            .map(|n| actix_rt::spawn(hold(address, n, source(n % addresses), Rc::clone(&held))))
            .collect();
        // From the first moment on, also while they come.
        let served = sender::send(address, own, ADVANCE + lasts).await?;
        let open = held.load(Ordering::Relaxed);
        let metrics = metrics(address).await?;
        besiegers.iter().for_each(tokio::task::JoinHandle::abort);
        fine &= served.all();
        println!("from {from}: {}", served.report());
        println!("  the besiegers hold {open} of {connections}; {}", told(&metrics));
        sleep(PAUSE).await;
    }
    Ok(fine)
}

fn source(n: usize) -> [u8; 4] {
    [127, 1, 0, u8::try_from(n % MANY + 1).unwrap_or(1)]
}

fn told(metrics: &Value) -> String {
    let of = |pointer: &str| metrics.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    format!(
        "the server has {} open, has displaced {} and refused {}, and uses {} MB",
        of("/connections/open"),
        of("/connections/displaced"),
        of("/connections/refused"),
        of("/server/memoryUsage/rss") >> 20,
    )
}

/// Holds a connection open, and another one when it is lost.
async fn hold(server: SocketAddr, n: usize, from: [u8; 4], held: Held) {
    loop {
        if let Ok(mut connection) = open(server, n, from).await {
            held.fetch_add(1, Ordering::Relaxed);
            while connection.write_all(b"x").await.is_ok() {
                sleep(BYTE_EVERY).await;
            }
            held.fetch_sub(1, Ordering::Relaxed);
        }
        sleep(PAUSE).await;
    }
}

async fn open(server: SocketAddr, n: usize, from: [u8; 4]) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let mut connection = socket.connect(server).await?;
    let begun = BEGUN.get(n % BEGUN.len()).context("one of both")?;
    connection.write_all(begun).await?;
    Ok(connection)
}

async fn metrics(server: SocketAddr) -> anyhow::Result<Value> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    Ok(client.get(format!("http://{server}/metrics")).bearer_auth(TOKEN).send().await?.json().await?)
}
