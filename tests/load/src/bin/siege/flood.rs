//! Requests that nobody has signed, or has signed wrongly, as fast as one core can send them, while somebody signs 500 a second.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use pointsman_load::process::Running;
use pointsman_load::{quantile, signature};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use uuid::Uuid;

/// What the flood consists of.
#[derive(Clone, Copy, Debug)]
enum Flood {
    /// Requests without a signature: refused from the head.
    Unsigned,
    /// Requests whose signature is one, and wrong: their bodies have to be read and hashed.
    Forged,
}

/// Connections on which the flood comes.
const CONNECTIONS: usize = 200;
/// Addresses of a flood from many.
const MANY: usize = 2_000;
/// Requests that are written at once. Nobody waits for the answers; half of the connections are written on until they are closed.
const AT_ONCE: usize = 8;
/// A body of a size that webhooks have.
const BODY: usize = 4 << 10;
/// Deliveries that are signed, a second.
const RATE: u32 = 500;
/// Where the signed ones come from.
const OWN: [u8; 4] = [127, 0, 0, 9];

/// What the flood has sent, and what came back.
#[derive(Default)]
struct Offered {
    requests: AtomicU64,
    bytes_back: AtomicU64,
    connections: AtomicU64,
}

/// Floods the server from many addresses and from the signed sender's own; whether all signed deliveries were answered with 200.
pub async fn besiege(server: &Running, lasts: Duration) -> anyhow::Result<bool> {
    let address: SocketAddr = server.base.replace("http://0.0.0.0", "127.0.0.1").parse()?;
    let mut fine = steady(address, Duration::from_secs(3), "in peace").await?;
    for flood in [Flood::Unsigned, Flood::Forged] {
        for (from, addresses) in [("many addresses", MANY), ("the signed sender's own address", 1)] {
            let (offered, ends) = (Arc::new(Offered::default()), Arc::new(AtomicBool::new(false)));
            let sender = {
                let (offered, ends) = (Arc::clone(&offered), Arc::clone(&ends));
                thread::spawn(move || pour(address, flood, addresses, &offered, &ends))
            };
            let began = Instant::now();
            fine &= steady(address, lasts, &format!("{flood:?} from {from}")).await?;
            ends.store(true, Ordering::Relaxed);
            let seconds = began.elapsed().as_secs_f64();
            sender.join().map_err(|_| anyhow::anyhow!("the flood fell"))??;
            println!("  {}; the server's memory peaked at {} MB", offered.report(seconds), peak_memory(server)?);
        }
    }
    Ok(fine)
}

impl Offered {
    #[allow(clippy::cast_precision_loss, reason = "a rate to show")]
    fn report(&self, seconds: f64) -> String {
        let (requests, connections) = (self.requests.load(Ordering::Relaxed), self.connections.load(Ordering::Relaxed));
        let back = self.bytes_back.load(Ordering::Relaxed) >> 10;
        let (rate, opened) = (requests as f64 / seconds, connections as f64 / seconds);
        format!("offered {rate:.0} requests/s on {opened:.0} connections/s, {back} KiB of answers read")
    }
}

/// Of so many deliveries one comes on a connection of its own, on which nobody has proved anything yet.
const FRESH_EACH: u64 = 5;

/// Sends signed deliveries, each at its time, whether or not the earlier ones were answered.
async fn steady(server: SocketAddr, lasts: Duration, beside: &str) -> anyhow::Result<bool> {
    let client = || reqwest::Client::builder().no_proxy().local_address(IpAddr::from(OWN));
    let (kept, fresh) = (client().build()?, client().pool_max_idle_per_host(0).build()?);
    let body = bytes::Bytes::from(payload(21 << 10));
    let signature = signature(&body)?;
    let mut clock = tokio::time::interval(Duration::from_secs(1) / RATE);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let number = u64::from(RATE) * lasts.as_secs();
    let mut sent = Vec::new();
    for n in 0..number {
        let due = clock.tick().await;
        let is_fresh = n % FRESH_EACH == 0;
        let http = if is_fresh { &fresh } else { &kept };
        let request = http.post(format!("http://{server}/webhooks/github")).header("content-type", "application/json");
        let request = request.header("x-github-event", "push").header("x-github-delivery", Uuid::new_v4().to_string());
        let request = request.header("x-hub-signature-256", &signature).body(body.clone());
        sent.push(actix_rt::spawn(async move {
            let status = request.send().await.map(|answer| answer.status().as_u16());
            (status, due.elapsed(), is_fresh)
        }));
    }
    let (mut on_kept, mut on_fresh, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for answer in sent {
        match answer.await? {
            (Ok(200), time, true) => on_fresh.push(time),
            (Ok(200), time, false) => on_kept.push(time),
            (Ok(status), ..) => others.push(status.to_string()),
            (Err(error), ..) => others.push(error.to_string()),
        }
    }
    let answered = on_kept.len() + on_fresh.len();
    let wrong = others.first().map_or_else(String::new, |first| format!(", {} others, such as: {first}", others.len()));
    println!("{beside}: {number} signed at {RATE}/s, {answered} answered with 200{wrong}");
    for (which, mut took) in [("kept connections", on_kept), ("connections of their own", on_fresh)] {
        took.sort_unstable();
        let time = |percent| quantile(&took, percent).map_or_else(|| "-".to_owned(), |time| format!("{time:.1?}"));
        println!("  on {which}: p50 {}, p99 {}, max {}", time(50), time(99), time(100));
    }
    Ok(others.is_empty() && answered > 0)
}

/// The second core sends, and does nothing else.
const SECOND_CORE: usize = 1;

fn pour(
    server: SocketAddr,
    flood: Flood,
    addresses: usize,
    offered: &Arc<Offered>,
    ends: &Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let mut core = CpuSet::new();
    core.set(SECOND_CORE);
    // With one core there is no second one.
    let _ = sched_setaffinity(None, &core);
    let burst: Arc<[u8]> = request(flood)?.repeat(AT_ONCE).into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut floods = Vec::new();
        for number in 0..CONNECTIONS {
            let (burst, offered, ends) = (Arc::clone(&burst), Arc::clone(offered), Arc::clone(ends));
            floods.push(tokio::task::spawn_local(async move {
                let mut turn = number;
                while !ends.load(Ordering::Relaxed) {
                    let from = if addresses == 1 { OWN } else { source(turn % addresses) };
                    // A connection that is closed is followed by another one from elsewhere.
                    let _ = pour_on(server, from, &burst, (&offered, number % 2 == 0), &ends).await;
                    turn += CONNECTIONS;
                }
            }));
        }
        for flood in floods {
            flood.await?;
        }
        anyhow::Ok(())
    })
}

/// Sends on a connection until it is closed: on and on, or one burst, so that the next connection comes as soon as can be.
async fn pour_on(
    server: SocketAddr,
    from: [u8; 4],
    burst: &[u8],
    (offered, goes_on): (&Offered, bool),
    ends: &AtomicBool,
) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::from(from), 0).into())?;
    let mut connection = socket.connect(server).await?;
    offered.connections.fetch_add(1, Ordering::Relaxed);
    let (mut back, mut forth) = connection.split();
    let read = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length @ 1..) = back.read(&mut buffer).await {
            offered.bytes_back.fetch_add(length as u64, Ordering::Relaxed);
        }
    };
    let write = async {
        while !ends.load(Ordering::Relaxed) && forth.write_all(burst).await.is_ok() {
            offered.requests.fetch_add(AT_ONCE as u64, Ordering::Relaxed);
            if !goes_on {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
    Ok(())
}

fn source(number: usize) -> [u8; 4] {
    let [.., high, low] = (number + 256).to_be_bytes();
    [127, 2, high, low]
}

fn request(flood: Flood) -> anyhow::Result<Vec<u8>> {
    let body = payload(BODY);
    let proof = match flood {
        Flood::Unsigned => String::new(),
        Flood::Forged => format!("x-hub-signature-256: {}\r\n", signature(b"something else")?),
    };
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-github-delivery: 1\r\n{proof}content-length: {}\r\n\r\n",
        body.len()
    );
    Ok([head.into_bytes(), body].concat())
}

fn payload(size: usize) -> Vec<u8> {
    format!("{{\"ref\":\"refs/heads/main\",\"pad\":\"{}\"}}", "x".repeat(size)).into_bytes()
}

/// The most memory that the server has held at once, in MB.
fn peak_memory(server: &Running) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id()))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel says nothing of memory")?;
    let kilobytes: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kilobytes >> 10)
}
