//! Kills a real server under load, again and again, and then counts: is every acknowledged delivery an
//! event, and every delivery at most one? Does every run that was started end, is nothing done again
//! that was recorded as done, and is nothing left running?
//!
//! Clients on loopback send signed deliveries with new ids, repeat earlier ones, and note every answer
//! that says 200; among them are pull requests that start validations in a sandbox which misbehaves. The
//! server is ended with SIGKILL after a random time and started again on the same data. In the end log
//! and journals are read whole and held against the notes and the sandbox's ledger.

#![allow(clippy::indexing_slicing, reason = "JSON answers: what is missing is null")]

mod deliveries;
mod runs;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use pointsman_load::SECRET;
use pointsman_load::process::Running;
use pointsman_sandbox::{SLACK_PATH, Sandbox, TOKEN as GITHUB_TOKEN};
use rand::{RngExt, SeedableRng};

use deliveries::Notes;

/// Kills a server under load and checks what it promised.
#[derive(Parser)]
struct Options {
    /// The server's binary
    #[arg(long)]
    binary: PathBuf,
    /// The fake `claude` of the sandbox
    #[arg(long)]
    claude: PathBuf,
    /// How often it is killed
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Clients at once
    #[arg(long, default_value_t = 16)]
    clients: u32,
    /// Pull requests opened in each round
    #[arg(long, default_value_t = 12)]
    pulls: u32,
    /// End it with SIGTERM instead, and expect exit code 0
    #[arg(long)]
    term: bool,
    /// The same seed gives the same times and repetitions
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const TOKEN: &str = "crash";

/// Starts a server and kills it at a random point of its start-up, recovery and all.
async fn fall_at_start(setting: &Setting<'_>, after: Duration) -> anyhow::Result<()> {
    let mut child = spawn(setting)?;
    tokio::time::sleep(after).await;
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// What the server is started with.
struct Setting<'a> {
    options: &'a Options,
    data: &'a Path,
    sandbox: &'a str,
}

fn spawn(setting: &Setting<'_>) -> anyhow::Result<Child> {
    let Setting { options, data, sandbox } = setting;
    Command::new(&options.binary)
        .args(["serve", "--host", "127.0.0.1", "--port", "0", "--data-dir"])
        .arg(data)
        .env("GITHUB_WEBHOOK_SECRET", SECRET)
        .env("POINTSMAN_ADMIN_TOKEN", TOKEN)
        .env("GITHUB_API_URL", format!("{sandbox}/github"))
        .env("GITHUB_TOKEN", GITHUB_TOKEN)
        .env("SLACK_WEBHOOK_URL", format!("{sandbox}{SLACK_PATH}"))
        .env("CLAUDE_CODE_COMMAND", format!("{} --sandbox {sandbox}", options.claude.display()))
        .env("GITHUB_HANDLER_PR_VALIDATION_DELAY", "100")
        .env("EVENT_QUEUE_MAX_SIZE", "100000")
        .env("LOG_LEVEL", "off")
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("`{}` does not start", options.binary.display()))
}

async fn start(setting: &Setting<'_>) -> anyhow::Result<Running> {
    Running::start(setting.data, || spawn(setting)).await
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

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let sandbox = Sandbox::start(0).await?;
    sandbox.world().state().claude.delay_ms = 40;
    let data = tempfile::tempdir()?;
    let setting = Setting { options: &options, data: data.path(), sandbox: sandbox.url() };
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
    let (notes, pulls) = (Notes::default(), Notes::default());
    let mut chance = rand::rngs::SmallRng::seed_from_u64(options.seed);
    let mut renamed = 0;
    for round in 0..options.rounds {
        if !options.term && chance.random_ratio(1, 4) {
            fall_at_start(&setting, Duration::from_millis(chance.random_range(1..120))).await?;
        }
        let mut server = start(&setting).await?;
        runs::misbehave(sandbox.world(), &mut chance);
        if round + 1 < options.rounds {
            // One that will not be done before the next kill, and leaves more than itself behind.
            sandbox.world().state().claude_next.push(runs::slow_claude());
        }
        let mut clients: Vec<_> = (0..options.clients)
            .map(|client| {
                let (http, base, notes) = (http.clone(), server.base.clone(), Arc::clone(&notes));
                actix_rt::spawn(deliveries::send(http, base, (round, client), notes))
            })
            .collect();
        let (http, base, world) = (http.clone(), server.base.clone(), sandbox.world().clone());
        let numbers = round * options.pulls..(round + 1) * options.pulls;
        clients.push(actix_rt::spawn(runs::open_pulls(http, base, world, (numbers, Arc::clone(&pulls)))));
        tokio::time::sleep(Duration::from_millis(chance.random_range(30..500))).await;
        let ended = end(&mut server.child, options.term)?;
        anyhow::ensure!(!options.term || ended.success(), "after SIGTERM the server ended with {ended}");
        for client in clients {
            renamed += client.await??;
        }
    }
    let server = start(&setting).await?;
    let deliveries = deliveries::check(&http, &server.base, &notes, renamed).await;
    let runs = runs::check(&http, &server.base, sandbox.world(), &pulls).await;
    deliveries.and(runs)
}
