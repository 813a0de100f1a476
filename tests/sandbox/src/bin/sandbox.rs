//! Serves a sandbox until it gets SIGTERM or SIGINT.

use std::path::PathBuf;

use clap::Parser;
use pointsman_sandbox::Sandbox;
use tokio::signal::unix::{SignalKind, signal};

/// A small GitHub, Linear, Codegen and Slack on loopback
#[derive(Parser)]
struct Options {
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Write the URL into this file
    #[arg(long)]
    address_file: Option<PathBuf>,
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let sandbox = Sandbox::start(options.port).await?;
    if let Some(file) = &options.address_file {
        std::fs::write(file, sandbox.url())?;
    }
    println!("sandbox at {}", sandbox.url());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
}
