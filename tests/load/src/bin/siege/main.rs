//! Besieges a real server over loopback, and says whether its signed senders are served meanwhile. It ends by itself.
//!
//! `slowloris`: thousands of connections on which a byte of a head, or of a body, comes now and then; from many addresses, and
//! from one. Whoever loses one opens another.
//!
//! `flood`: requests that nobody has signed, or has signed wrongly, as fast as one core can send them; from many addresses, and from
//! the signed sender's own.

#![allow(clippy::disallowed_methods, reason = "this measures time")]

mod flood;
mod sender;
mod slowloris;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use pointsman_load::SECRET;
use pointsman_load::process::Running;

/// The operator's token of the besieged server.
const TOKEN: &str = "the token of a server that is besieged";

#[derive(Parser)]
struct Siege {
    #[command(subcommand)]
    kind: Kind,
    /// The server's binary
    #[arg(long, global = true, default_value = "target/release/pointsman")]
    binary: PathBuf,
}

#[derive(Subcommand)]
enum Kind {
    /// Connections on which a byte comes now and then
    Slowloris {
        /// How many
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// How long each of the two sieges lasts
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Requests that nobody has signed properly, as fast as they can be sent
    Flood {
        /// How long each of the four floods lasts
        #[arg(long, default_value_t = 15)]
        seconds: u64,
    },
}

#[actix_rt::main]
async fn main() -> anyhow::Result<ExitCode> {
    let siege = Siege::parse();
    pointsman::process::raise_open_files();
    // Fails only when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (data, binary) = (tempfile::tempdir()?, std::path::absolute(&siege.binary)?);
    let server = Running::start(data.path(), || {
        let mut command = Command::new(&binary);
        command.arg("--data-dir").arg(data.path()).args(["serve", "--host", "0.0.0.0", "--port", "0"]);
        command.env("GITHUB_WEBHOOK_SECRET", SECRET).env("POINTSMAN_ADMIN_TOKEN", TOKEN).env("LOG_LEVEL", "warn");
        let command = command.env("POINTSMAN_CONFIG", "").current_dir(data.path()).stdin(Stdio::null());
        command.spawn().with_context(|| format!("`{}` cannot be started", binary.display()))
    });
    let server = server.await?;
    let fine = match siege.kind {
        Kind::Slowloris { connections, seconds } => {
            slowloris::besiege(&server, connections, Duration::from_secs(seconds)).await?
        }
        Kind::Flood { seconds } => flood::besiege(&server, Duration::from_secs(seconds)).await?,
    };
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
