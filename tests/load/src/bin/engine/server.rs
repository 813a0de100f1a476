//! The server's own binary at work, and what the system says of its memory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use pointsman_load::SECRET;
use pointsman_load::process::Running;
use serde_json::Value;
use tempfile::TempDir;

/// A server that can be started again and again on the same data.
pub struct Setting<'a> {
    binary: &'a Path,
    directory: TempDir,
    /// Where GitHub's API is thought to be.
    github: String,
}

/// Runs that may be at work at once: with the default of ten it would take long until all are parked.
pub const SLOTS: usize = 64;

impl<'a> Setting<'a> {
    /// With these workflows and routes.
    pub fn new(binary: &'a Path, definitions: &str, github: String) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("config.toml"), definitions)?;
        std::fs::create_dir(directory.path().join("data"))?;
        Ok(Self { binary, directory, github })
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A directory for a copy of its data.
    pub fn copy(&self) -> PathBuf {
        self.directory.path().join("copy")
    }

    /// Starts it.
    pub async fn start(&self) -> anyhow::Result<Running> {
        Running::start(&self.data(), || self.spawn()).await
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        Command::new(self.binary)
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--config"])
            .arg(self.directory.path().join("config.toml"))
            .arg("--data-dir")
            .arg(self.data())
            .env("GITHUB_WEBHOOK_SECRET", SECRET)
            .env("GITHUB_TOKEN", "load")
            .env("GITHUB_API_URL", &self.github)
            .env("GITHUB_WRITE_INTERVAL", "0s")
            .env("EVENT_QUEUE_MAX_SIZE", "10000000")
            .env("WORKFLOW_MAX_CONCURRENT", SLOTS.to_string())
            .env("LOG_LEVEL", "error")
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("`{}` does not start", self.binary.display()))
    }
}

/// `GET` of an answer in JSON.
pub async fn get(base: &str, path: &str) -> anyhow::Result<Value> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    Ok(http.get(format!("{base}{path}")).send().await?.error_for_status()?.json().await?)
}

/// Runs that have not begun, and runs that have and are not over.
pub async fn open_runs(base: &str) -> anyhow::Result<(u64, u64)> {
    let metrics = get(base, "/metrics").await?;
    let count = |name: &str| metrics.pointer(&format!("/workflows/{name}")).and_then(Value::as_u64);
    count("runsQueued").zip(count("runsActive")).context("/metrics counts runs")
}

/// Waits until this many have not begun and this many have.
pub async fn until_open(base: &str, queued: u64, active: u64) -> anyhow::Result<()> {
    while open_runs(base).await? != (queued, active) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Memory of a process in MiB: what is resident, and what was at most.
pub fn memory(process: &Child) -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
    };
    field("VmRSS:").zip(field("VmHWM:")).context("the system says how much memory a process has")
}
