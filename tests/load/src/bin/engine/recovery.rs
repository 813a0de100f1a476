//! Recovery: a server with open runs, half of them parked, the others waiting for a slot or at work, is ended
//! with SIGKILL and started again.
//!
//! No figure of the product says how many runs its executors hold. But the dispatcher lets no run go on
//! before every executor has told it of all its open runs, so the first attempt after the start proves that
//! all are in somebody's hands. Attempts call a provider of ours, which notes the time and never answers.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::net::{TcpListener, TcpStream};

use super::server::{SLOTS, Setting, get, open_runs, until_open};
use super::{bare, deliveries, parked};

/// Runs whose only step calls somebody who does not answer.
const DEFINITION: &str = r#"
[workflows.held]
timeout = "2d"

[[workflows.held.steps]]
name = "call"
action = "update_pr_status"
timeout = "1h"
with = { repository = "{{ input.repository }}", pr_number = 1, head_sha = "1", state = "success" }

[[routes]]
name = "held"
source = "github"
event = "push"
when = "facts.head_ref == 'held'"
workflow = "held"
input = { repository = "facts.repository" }
"#;

/// Somebody who takes every call and answers none.
#[derive(Clone, Default)]
struct Silence(Arc<Mutex<Vec<(Instant, TcpStream)>>>);

impl Silence {
    /// Takes calls from now on; says where.
    async fn listen(&self) -> anyhow::Result<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (url, calls) = (format!("http://{}", listener.local_addr()?), self.clone());
        actix_rt::spawn(async move {
            while let Ok((call, _)) = listener.accept().await {
                calls.0.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), call));
            }
        });
        Ok(url)
    }

    fn hang_up(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn calls(&self) -> Vec<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(at, _)| *at).collect()
    }

    /// When the first of this many came.
    async fn first_of(&self, number: usize) -> Option<Instant> {
        while self.calls().len() < number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.calls().first().copied()
    }
}

/// Recovers `number` open runs, and prints how long it takes beside what the bare store takes to read them.
pub async fn measure(binary: &Path, number: u32) -> anyhow::Result<()> {
    println!("\nrecovery: {number} open runs, half of them parked, {SLOTS} attempts in flight; goal 5 s for 10000\n");
    let silence = Silence::default();
    let definitions = format!("{}{DEFINITION}", parked::DEFINITION);
    let setting = Setting::new(binary, &definitions, silence.listen().await?)?;
    let mut server = setting.start().await?;
    let (paused, held) = (number / 2, number - number / 2);
    deliveries::push(&server.base, "parked", paused).await?;
    until_open(&server.base, 0, paused.into()).await?;
    deliveries::push(&server.base, "held", held).await?;
    let at_work = SLOTS.min(usize::try_from(held)?);
    silence.first_of(at_work).await;
    server.child.kill()?;
    server.child.wait()?;
    silence.hang_up();
    copy(&setting.data(), &setting.copy())?;
    let (bare, read) = bare::read_open(&setting.copy()).await?;
    ensure!(read == usize::try_from(number)?, "{read} of {number} open runs are in the store");

    let begin = Instant::now();
    let server = setting.start().await?;
    get(&server.base, "/health/ready").await?;
    let ready = begin.elapsed();
    let first = silence.first_of(1).await.context("a call came")?.duration_since(begin);
    silence.first_of(at_work).await;
    let all_slots = begin.elapsed();
    let open = open_runs(&server.base).await?;
    ensure!(open.0 + open.1 == u64::from(number), "{open:?} of {number} runs are open after the start");
    let all = ready.max(first);
    println!("ready after {ready:.2?}, all open runs known after {first:.2?}, all slots at work after {all_slots:.2?}");
    println!(
        "bare store: opened and all read after {bare:.2?}; ratio {:.2} (recovery {:.2?})",
        bare.as_secs_f64() / all.as_secs_f64(),
        all
    );
    Ok(())
}

/// Copies a directory with all that is in it, down to the disk: opening a store flushes the whole file
/// system, and must not find our own copy there.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}
