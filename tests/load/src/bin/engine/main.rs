//! Measures the workflow engine: durable steps a second and what a step costs beyond its attempt, memory of
//! parked runs, recovery after SIGKILL. What the bare store does on this machine is measured in the same run,
//! and the ratios to it decide; absolute figures are this machine's.
//!
//! Steps are measured on the engine in this process, with an action that does nothing added to it: the
//! product has none. Parked runs and recovery are measured on the server's own binary. Every part has a
//! time limit, works in a directory of its own and ends what it has started.

#![allow(clippy::disallowed_methods, reason = "this measures time")]

mod bare;
mod deliveries;
mod nothing;
mod parked;
mod recovery;
mod server;
mod steps;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

/// The allocator of the server's binary.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long one part may take.
const LONGEST: Duration = Duration::from_secs(240);

/// Measures the workflow engine.
#[derive(Parser)]
struct Options {
    /// What to measure; everything when none is named
    #[arg(value_enum)]
    part: Option<Part>,
    /// The server's binary
    #[arg(long)]
    binary: PathBuf,
    #[command(flatten)]
    sizes: Sizes,
}

/// How much of everything.
#[derive(clap::Args)]
struct Sizes {
    /// Seconds of one measurement of steps
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Measurements of steps, of which the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of runs at a time for which steps are measured
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    runs: Vec<usize>,
    /// Steps of one run
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Parked runs whose memory is measured
    #[arg(long, default_value_t = 100_000)]
    parked: u32,
    /// Open runs that are recovered
    #[arg(long, default_value_t = 10_000)]
    open: u32,
}

/// A part of what is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Steps a second, and what a step costs beyond its attempt
    Steps,
    /// Memory of parked runs
    Parked,
    /// Recovery of open runs after SIGKILL
    Recovery,
}

impl Part {
    async fn measure(self, options: &Options) -> anyhow::Result<()> {
        let (sizes, binary) = (&options.sizes, options.binary.as_path());
        match self {
            Self::Steps => steps::measure(sizes).await,
            Self::Parked => parked::measure(binary, sizes.parked).await,
            Self::Recovery => recovery::measure(binary, sizes.open).await,
        }
    }
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    let all = [Part::Steps, Part::Parked, Part::Recovery];
    for part in all.into_iter().filter(|part| options.part.is_none_or(|wanted| wanted == *part)) {
        let measured = tokio::time::timeout(LONGEST, part.measure(options)).await;
        measured.with_context(|| format!("it was not done within {LONGEST:?}"))??;
    }
    Ok(())
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut asked = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let [terminate, interrupt] = &mut asked;
    // Whatever comes first: what was started ends with what is dropped here.
    tokio::select! {
        measured = measure(&options) => measured,
        _ = terminate.recv() => anyhow::bail!("ended by SIGTERM"),
        _ = interrupt.recv() => anyhow::bail!("ended by SIGINT"),
    }
}
