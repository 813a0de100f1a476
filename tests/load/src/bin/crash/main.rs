//! Kills a real server under load, again and again, and then counts: is every acknowledged delivery an
//! event, and every delivery at most one? Does every run that was started end, is nothing done again
//! that was recorded as done, is what must be done once done once, are waits and timers kept, and is nothing
//! left running?
//!
//! Clients on loopback send signed deliveries with new ids, repeat earlier ones, and note every answer
//! that says 200; among them are pull requests that start validations, and stories (`stories.toml`) that wait, pause,
//! try again and are undone, in a sandbox which misbehaves. The server is ended with SIGKILL after a random time and
//! started again on the same data. In the end log, journals and waits are read whole and held against the notes
//! and the sandbox's ledger.

#![allow(clippy::indexing_slicing, reason = "JSON answers: what is missing is null")]

mod deliveries;
mod door;
mod evidence;
mod journal;
mod operator;
mod promises;
mod report;
mod stories;
mod validations;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use pointsman_actors::time::{Clock, SystemClock};
use pointsman_load::SECRET;
use pointsman_load::process::Running;
use pointsman_sandbox::{SLACK_PATH, Sandbox, TOKEN as GITHUB_TOKEN};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use deliveries::Notes;
use door::Door;
use evidence::Evidence;
use operator::Operator;
use stories::{Book, Teller};

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
    #[arg(long, default_value_t = 4)]
    clients: u32,
    /// Pull requests opened in each round
    #[arg(long, default_value_t = 4)]
    pulls: u32,
    /// Stories told at once
    #[arg(long, default_value_t = 24)]
    stories: u32,
    /// One round in so many lasts long enough for an audit, and for waits to end
    #[arg(long, default_value_t = 10)]
    long_every: u32,
    /// End it with SIGTERM instead, and expect exit code 0
    #[arg(long)]
    term: bool,
    /// The same seed gives the same times and repetitions
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const TOKEN: &str = "the token of a program that is to be killed";

/// How long stories may take to end once nobody kills the server any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the server is started with.
struct Setting<'a> {
    options: &'a Options,
    config: &'a Path,
    data: &'a Path,
    /// Where its programs work.
    workplaces: &'a Path,
    sandbox: &'a str,
}

fn spawn(setting: &Setting<'_>) -> anyhow::Result<Child> {
    let Setting { options, config, data, workplaces, sandbox } = setting;
    Command::new(&options.binary)
        .args(["serve", "--host", "127.0.0.1", "--port", "0", "--config"])
        .arg(config)
        .arg("--data-dir")
        .arg(data)
        .env("TMPDIR", workplaces)
        .env("GITHUB_WEBHOOK_SECRET", SECRET)
        .env("CODEGEN_WEBHOOK_SECRET", SECRET)
        .env("POINTSMAN_ADMIN_TOKEN", TOKEN)
        .env("GITHUB_API_URL", format!("{sandbox}/github"))
        .env("GITHUB_WRITE_INTERVAL", "0s")
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

/// Starts a server and kills it at a random point of its start-up, recovery and all.
async fn fall_at_start(setting: &Setting<'_>, after: Duration) -> anyhow::Result<()> {
    let mut child = spawn(setting)?;
    tokio::time::sleep(after).await;
    child.kill()?;
    child.wait()?;
    Ok(())
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

/// What happened over all rounds.
#[derive(Default)]
struct Tally {
    /// When, in milliseconds since the Unix epoch.
    kills: Vec<i64>,
    at_start: u32,
    renamed: u64,
    audits: u64,
    findings: Vec<String>,
}

/// The driver, with all that lasts longer than a round.
struct Driver<'a> {
    setting: Setting<'a>,
    sandbox: &'a Sandbox,
    http: reqwest::Client,
    address: watch::Sender<Option<String>>,
    notes: Notes,
    pulls: Notes,
    chance: SmallRng,
    tally: Tally,
}

impl Driver<'_> {
    /// Starts the server, and tells everybody where it is.
    async fn start(&self) -> anyhow::Result<Running> {
        let server = Running::start(self.setting.data, || spawn(&self.setting)).await?;
        self.address.send_replace(Some(server.base.clone()));
        Ok(server)
    }

    /// One life of the server, under load, and its end.
    async fn round(&mut self, round: u32) -> anyhow::Result<()> {
        let options = self.setting.options;
        if !options.term && self.chance.random_ratio(1, 4) {
            let after = Duration::from_millis(self.chance.random_range(1..120));
            fall_at_start(&self.setting, after).await?;
            self.tally.at_start += 1;
        }
        let mut server = self.start().await?;
        let world = self.sandbox.world();
        validations::misbehave(world, &mut self.chance);
        stories::misbehave(world, &mut self.chance);
        if round + 1 < options.rounds {
            // One that will not be done before the next kill, and leaves more than itself behind.
            world.state().claude_next.push(validations::slow_claude());
        }
        let mut clients: Vec<_> = (0..options.clients)
            .map(|client| {
                let (http, base, notes) = (self.http.clone(), server.base.clone(), Arc::clone(&self.notes));
                actix_rt::spawn(deliveries::send(http, base, (round, client), notes))
            })
            .collect();
        let numbers = round * options.pulls..(round + 1) * options.pulls;
        let opened = (numbers, Arc::clone(&self.pulls));
        let pulls = validations::open_pulls(self.http.clone(), server.base.clone(), world.clone(), opened);
        clients.push(actix_rt::spawn(pulls));
        if (round + 1).is_multiple_of(options.long_every) {
            tokio::time::sleep(Duration::from_millis(self.chance.random_range(4_500..5_500))).await;
            self.hear_auditor().await?;
        } else {
            tokio::time::sleep(Duration::from_millis(self.chance.random_range(30..500))).await;
        }
        let early = server.child.try_wait()?;
        anyhow::ensure!(early.is_none(), "the server ended by itself: {early:?}");
        self.tally.kills.push(SystemClock::new().now().millis());
        let ended = end(&mut server.child, options.term)?;
        self.address.send_replace(None);
        anyhow::ensure!(!options.term || ended.success(), "after SIGTERM the server ended with {ended}");
        for client in clients {
            self.tally.renamed += client.await??;
        }
        Ok(())
    }

    fn door(&self) -> Door {
        Door { http: self.http.clone(), address: self.address.subscribe() }
    }

    /// What the auditor makes of the runs that are open now.
    async fn hear_auditor(&mut self) -> anyhow::Result<()> {
        let metrics = self.door().get("/metrics").await?;
        let auditor = &metrics["auditor"];
        self.tally.audits += u64::from(!auditor.is_null());
        let counts =
            ["at", "runs", "ready", "atWork", "waiting", "parked"].map(|name| format!("{name} {}", auditor[name]));
        let about = format!("{}; circuits: {}", counts.join(", "), metrics["breakers"]);
        let findings = auditor["findings"].as_array().into_iter().flatten();
        self.tally.findings.extend(findings.map(|finding| format!("{finding} ({about})")));
        Ok(())
    }

    /// Says what became of everything.
    async fn report(&self, evidence: &Evidence, wrong: &[String], took: Duration) -> anyhow::Result<()> {
        let Tally { kills, at_start, renamed, audits, findings } = &self.tally;
        let how = if self.setting.options.term { "ended with SIGTERM" } else { "killed" };
        println!(
            "seed {}: {} times {how}, and {at_start} times at its start, in {} s",
            self.setting.options.seed,
            kills.len(),
            took.as_secs()
        );
        let door = self.door();
        let deliveries = deliveries::check(&door, &self.notes, *renamed).await;
        let validations = validations::check(&door, self.sandbox.world(), &self.pulls).await;
        let stories = report::tell(evidence, kills, &promises::check(evidence), wrong);
        println!("auditor: {audits} audits of open runs, {} findings", findings.len());
        findings.iter().for_each(|finding| println!("  {finding}"));
        let left = std::fs::read_dir(self.setting.workplaces)?.count();
        println!("workplaces of programs: {left} left behind");
        deliveries.and(validations).and(stories)?;
        anyhow::ensure!(left == 0, "where programs of killed servers worked was not cleaned up");
        anyhow::ensure!(findings.is_empty(), "the auditor found runs that do not stand as they should");
        Ok(())
    }
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let (options, clock) = (Options::parse(), SystemClock::new());
    let sandbox = Sandbox::start(0).await?;
    sandbox.world().state().claude.delay_ms = 40;
    let (home, data, place) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let workplaces = tempfile::tempdir()?;
    let config = stories::write_definitions(home.path(), sandbox.url(), place.path())?;
    let (data, workplaces) = (data.path(), workplaces.path());
    let setting = Setting { options: &options, config: &config, data, workplaces, sandbox: sandbox.url() };
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
    let (address, at) = watch::channel(None);
    let notes = Notes::default();
    let door = Door { http: http.clone(), address: at };
    let operator = Operator { world: sandbox.world().clone(), place: place.path().to_owned() };
    let (book, next, stop) = <(Arc<_>, Arc<_>, Arc<std::sync::atomic::AtomicBool>)>::default();
    let teller =
        Teller { door: door.clone(), operator, notes: Arc::clone(&notes), book, next, stop, seed: options.seed };
    let tellers: Vec<_> = (0..options.stories).map(|_| actix_rt::spawn(teller.clone().tell())).collect();
    let (chance, pulls, tally) = (SmallRng::seed_from_u64(options.seed), Notes::default(), Tally::default());
    let mut driver = Driver { setting, sandbox: &sandbox, http, address, notes, pulls, chance, tally };
    for round in 0..options.rounds {
        driver.round(round).await?;
    }
    let _server = driver.start().await?;
    teller.stop.store(true, Ordering::Relaxed);
    let told = tokio::time::timeout(PATIENCE, futures_util::future::join_all(tellers)).await;
    let Book { told: ended, mut wrong } =
        std::mem::take(&mut *teller.book.lock().unwrap_or_else(PoisonError::into_inner));
    if told.is_err() {
        wrong.push(format!("not all stories ended within {PATIENCE:?}"));
    }
    let evidence = Evidence::read(&door, sandbox.world(), place.path(), ended).await?;
    driver.report(&evidence, &wrong, clock.elapsed()).await
}
