//! Sends signed deliveries at a steady rate, each at its own time whether or not earlier ones were
//! answered, and prints how long the answers took.

#![allow(clippy::disallowed_methods, reason = "this measures time")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use pointsman_load::{quantile, signature};

/// Deliveries at a steady rate.
#[derive(Parser)]
struct Options {
    /// Where the server listens, such as http://127.0.0.1:3000
    #[arg(long)]
    url: String,
    /// The body
    #[arg(long)]
    body: PathBuf,
    /// Deliveries a second
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// How long
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let body = bytes::Bytes::from(std::fs::read(&options.body)?);
    let signature = signature(&body)?;
    let mut clock = tokio::time::interval(Duration::from_secs(1) / options.rate);
    let mut sent = Vec::new();
    for _ in 0..options.rate * options.seconds {
        clock.tick().await;
        let request = http
            .post(format!("{}/webhooks/github", options.url))
            .header("content-type", "application/json")
            .header("x-github-event", "pull_request")
            .header("x-github-delivery", uuid::Uuid::new_v4().to_string())
            .header("x-hub-signature-256", &signature)
            .body(body.clone());
        sent.push(actix_rt::spawn(async move {
            let start = Instant::now();
            request.send().await.map(|answer| (answer.status(), start.elapsed()))
        }));
    }
    let mut took = Vec::new();
    for answer in sent {
        let (status, elapsed) = answer.await??;
        ensure!(status == 200, "a delivery was answered with {status}");
        took.push(elapsed);
    }
    took.sort();
    let quantile = |percent| quantile(&took, percent).context("nothing was sent");
    println!("{} deliveries at {}/s: p50 {:?}, p99 {:?}", took.len(), options.rate, quantile(50)?, quantile(99)?);
    Ok(())
}
