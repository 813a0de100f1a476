//! Kills a real server under load, again and again, and then counts: is every acknowledged delivery an
//! event, and every delivery at most one?
//!
//! Clients on loopback send signed deliveries with new ids, repeat earlier ones, and note every answer
//! that says 200. The server is ended with SIGKILL after a random time and started again on the same
//! data. In the end the log is read whole and held against the notes.

#![allow(clippy::indexing_slicing, reason = "JSON answers: what is missing is null")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use pointsman_load::{SECRET, signature};
use rand::{Rng, RngExt, SeedableRng};
use serde_json::Value;

/// Kills a server under load and checks what it promised.
#[derive(Parser)]
struct Options {
    /// The server's binary
    #[arg(long)]
    binary: PathBuf,
    /// How often it is killed
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Clients at once
    #[arg(long, default_value_t = 16)]
    clients: u32,
    /// End it with SIGTERM instead, and expect exit code 0
    #[arg(long)]
    term: bool,
    /// The same seed gives the same times and repetitions
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const TOKEN: &str = "crash";

/// What was acknowledged: delivery id → event id.
type Notes = Arc<Mutex<HashMap<String, String>>>;

struct Running {
    child: Child,
    base: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn start(binary: &Path, data: &Path) -> anyhow::Result<Running> {
    let address = data.join("server.addr");
    let _ = std::fs::remove_file(&address);
    let child = Command::new(binary)
        .args(["serve", "--host", "127.0.0.1", "--port", "0", "--data-dir"])
        .arg(data)
        .env("GITHUB_WEBHOOK_SECRET", SECRET)
        .env("POINTSMAN_ADMIN_TOKEN", TOKEN)
        .env("LOG_LEVEL", "error")
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("`{}` does not start", binary.display()))?;
    let mut running = Running { child, base: String::new() };
    for _ in 0..6_000 {
        if let Some(status) = running.child.try_wait()? {
            bail!("the server ended at start-up: {status}");
        }
        match std::fs::read_to_string(&address) {
            Ok(text) if !text.is_empty() => {
                running.base = format!("http://{text}");
                return Ok(running);
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    bail!("the server did not come up within 30 s")
}

/// Ends a server: with SIGKILL there is no goodbye, with SIGTERM it ends in order.
fn end(child: &mut Child, term: bool) -> anyhow::Result<std::process::ExitStatus> {
    if term {
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    } else {
        child.kill()?;
    }
    Ok(child.wait()?)
}

/// One client's life in one round: new deliveries, and now and then an earlier one again.
async fn send(http: reqwest::Client, base: String, round: u32, client: u32, notes: Notes) -> anyhow::Result<u64> {
    let mut chance = rand::rngs::SmallRng::seed_from_u64(u64::from(round) << 32 | u64::from(client));
    let (mut number, mut wrong) = (0_u32, 0);
    loop {
        let earlier = number > 0 && chance.random_ratio(1, 5);
        let delivery = if earlier {
            format!("{round}-{client}-{}", chance.random_range(0..number))
        } else {
            format!("{round}-{client}-{number}")
        };
        number += u32::from(!earlier);
        let body = format!(
            "{{\"ref\":\"refs/heads/{delivery}\",\"filler\":\"{}\"}}",
            "x".repeat((chance.next_u32() % 4096) as usize)
        );
        let request = http
            .post(format!("{base}/webhooks/github"))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", &delivery)
            .header("x-hub-signature-256", signature(body.as_bytes())?)
            .body(body);
        let Ok(answer) = request.send().await else { return Ok(wrong) };
        if answer.status() != 200 {
            continue;
        }
        let Ok(answer) = answer.json::<Value>().await else { return Ok(wrong) };
        let event = answer["eventId"].as_str().unwrap_or_default().to_owned();
        let mut notes = notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if notes.get(&delivery).is_some_and(|noted| *noted != event) {
            wrong += 1;
        }
        notes.insert(delivery, event);
    }
}

/// Reads the whole log: delivery id → its events.
async fn read_all(http: &reqwest::Client, base: &str) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let (mut all, mut cursor) = (BTreeMap::<String, Vec<String>>::new(), None::<String>);
    loop {
        let mut request = http.get(format!("{base}/api/v1/events?limit=500")).bearer_auth(TOKEN);
        if let Some(cursor) = &cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let page: Value = request.send().await?.error_for_status()?.json().await?;
        for event in page["items"].as_array().context("a list has items")? {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            all.entry(text("deliveryId")).or_default().push(text("id"));
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(all),
        }
    }
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let data = tempfile::tempdir()?;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
    let notes = Notes::default();
    let mut chance = rand::rngs::SmallRng::seed_from_u64(options.seed);
    let mut renamed = 0;
    for round in 0..options.rounds {
        let mut server = start(&options.binary, data.path()).await?;
        let clients: Vec<_> = (0..options.clients)
            .map(|client| actix_rt::spawn(send(http.clone(), server.base.clone(), round, client, Arc::clone(&notes))))
            .collect();
        tokio::time::sleep(Duration::from_millis(chance.random_range(30..500))).await;
        let ended = end(&mut server.child, options.term)?;
        anyhow::ensure!(!options.term || ended.success(), "after SIGTERM the server ended with {ended}");
        for client in clients {
            renamed += client.await??;
        }
    }
    let server = start(&options.binary, data.path()).await?;
    let log = read_all(&http, &server.base).await?;
    let notes = notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let lost = notes
        .iter()
        .filter(|(delivery, event)| !log.get(*delivery).is_some_and(|events| events.contains(event)))
        .count();
    let doubled = log.values().filter(|events| events.len() > 1).count();
    println!(
        "{} ends, {} deliveries acknowledged, {} in the log: {lost} acknowledged lost, {doubled} doubled, {renamed} answered with another id",
        options.rounds,
        notes.len(),
        log.len()
    );
    if lost + doubled > 0 || renamed > 0 || notes.is_empty() {
        bail!("a promise was broken");
    }
    Ok(())
}
