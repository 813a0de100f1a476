//! Stories: runs that wait, pause, try again and are decided about, longer than the server lives. Each is told by
//! somebody who goes on whenever the server is there: he starts it, calls back when the plan says so, and decides
//! what an operator has to decide, until it has ended.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use pointsman_actors::time::{Clock, SystemClock};
use pointsman_sandbox::{Fault, FaultKind, World};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::deliveries::Notes;
use super::door::{Delivery, Door};
use super::journal::{is_over, text};
use super::operator::Operator;

/// The pause between two looks at a run.
const LOOK: Duration = Duration::from_millis(150);

/// When a run that waits is called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallBack {
    /// Before it has come to the wait.
    Early,
    /// While it waits.
    InTime,
    /// When its time is up.
    Late,
    /// Not at all.
    Never,
}

/// The workflows in `stories.toml`, in the order in which their stories are told.
const PLAN: [(&str, CallBack); 10] = [
    ("waits", CallBack::Early),
    ("timers", CallBack::Never),
    ("waits", CallBack::InTime),
    ("retries", CallBack::Never),
    ("once", CallBack::Never),
    ("waits", CallBack::Late),
    ("assumed", CallBack::Never),
    ("commands", CallBack::Never),
    ("waits", CallBack::Never),
    ("undoes", CallBack::Never),
];

/// Services are given a short rest, so that their circuits open and close all the time, and runs are audited often.
const CONFIGURATION: &str = r#"
[workflow]
allow_shell = true
max_concurrent = 24
[circuit_breaker]
timeout = "1s"
[monitoring]
audit_interval = "2s"
"#;

/// Writes the definitions where a server with a configuration in `directory` finds them, and gives its path.
pub fn write_definitions(directory: &Path, sandbox: &str, place: &Path) -> anyhow::Result<std::path::PathBuf> {
    let definitions = directory.join("workflows");
    std::fs::create_dir_all(&definitions)?;
    let text = include_str!("stories.toml").replace("SANDBOX", sandbox).replace("PLACE", &place.to_string_lossy());
    std::fs::write(definitions.join("stories.toml"), text)?;
    let file = directory.join("config.toml");
    std::fs::write(&file, CONFIGURATION)?;
    Ok(file)
}

/// Some of what somebody does wrong whom stories call.
pub fn misbehave(world: &World, chance: &mut SmallRng) {
    let kinds = [
        FaultKind::Refuse(503),
        FaultKind::RateLimit(1),
        FaultKind::DropBefore,
        FaultKind::DropAfter,
        FaultKind::ErrorAfter(500),
        FaultKind::HoldAnswer(400),
        FaultKind::Delay(200),
    ];
    plan(world, chance, "echo", &kinds);
}

/// Plans faults of these kinds with the next calls of a service. There are always as many, not more: a world in which
/// nothing works shows nothing.
pub fn plan(world: &World, chance: &mut SmallRng, service: &str, kinds: &[FaultKind]) {
    let planned = world.state().faults.iter().filter(|fault| fault.service == service && fault.times > 0).count();
    for _ in planned..kinds.len() {
        if let Some(kind) = kinds.get(chance.random_range(0..kinds.len())).copied() {
            world.plan(Fault { service: service.to_owned(), method: None, path_contains: None, times: 1, kind });
        }
    }
}

/// A story that was told to its end.
#[derive(Debug)]
pub struct Told {
    /// Its number.
    pub number: u64,
    /// Its workflow.
    pub workflow: &'static str,
    /// Its run.
    pub run: String,
    /// Its callback, if it was called back.
    pub called: Option<Called>,
}

/// A callback that was acknowledged.
#[derive(Debug)]
pub struct Called {
    /// Its event.
    pub event: String,
    /// When it was acknowledged, in milliseconds since the Unix epoch.
    pub at: i64,
}

/// What has been told so far, and what went wrong.
#[derive(Default)]
pub struct Book {
    /// Stories that have ended.
    pub told: Vec<Told>,
    /// What nobody should have answered so.
    pub wrong: Vec<String>,
}

/// Tells stories, one after the other.
#[derive(Clone)]
pub struct Teller {
    /// The way to the server.
    pub door: Door,
    /// The operator who is asked when nobody knows.
    pub operator: Operator,
    /// What was acknowledged.
    pub notes: Notes,
    /// Where stories are written down.
    pub book: Arc<Mutex<Book>>,
    /// The number of the next one.
    pub next: Arc<AtomicU64>,
    /// Whether none is to be begun any more.
    pub stop: Arc<AtomicBool>,
    /// What chance follows from.
    pub seed: u64,
}

impl Teller {
    /// Tells stories until none is to be begun any more.
    pub async fn tell(self) {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let told = self.tell_one(number).await;
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            match told {
                Ok(told) => book.told.push(told),
                Err(error) => book.wrong.push(format!("story {number}: {error:#}")),
            }
        }
    }

    async fn tell_one(&self, number: u64) -> anyhow::Result<Told> {
        let place = usize::try_from(number)? % PLAN.len();
        let (workflow, when) = *PLAN.get(place).context("the plan has a place for each")?;
        let mut chance = SmallRng::seed_from_u64(self.seed << 32 | number);
        let body = json!({
            "action": workflow, "branch": "main", "repository": { "full_name": format!("acme/shop{}", number % 5) },
            "client_payload": { "number": number, "pause": format!("{}ms", chance.random_range(200..1_500)) },
        });
        let id = format!("story-{number}");
        let event = self.deliver(&id, &Delivery::of_github(&id, &body)?).await?;
        let started = self.door.get(&format!("/api/v1/events/{event}/status")).await?;
        let runs = started["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(runs.len() == 1, "{event} was acknowledged and has not started one run: {started}");
        let run = runs.first().and_then(Value::as_str).context("a run has an id")?.to_owned();
        let (ended, called) =
            futures_util::join!(self.follow(&run, chance.clone()), self.call_back((number, when), &run));
        ended?;
        Ok(Told { number, workflow, run, called: called? })
    }

    /// Sends a delivery until it is acknowledged, now and then once more, and notes its event.
    async fn deliver(&self, id: &str, delivery: &Delivery) -> anyhow::Result<String> {
        let event = self.door.deliver(delivery).await?;
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), event.clone());
        Ok(event)
    }

    /// Looks at a run until it has ended, and decides what has to be decided.
    async fn follow(&self, run: &str, mut chance: SmallRng) -> anyhow::Result<()> {
        let mut may_restart = chance.random_ratio(1, 3);
        loop {
            let shown = self.door.get(&format!("/api/v1/runs/{run}")).await?;
            match text(&shown, "status") {
                "needs_decision" | "stuck" => self.operator.decide(&self.door, &shown, &mut chance).await?,
                "failed" | "succeeded" if may_restart && text(&shown, "workflow") == "retries" => {
                    may_restart = false;
                    self.operator.restart(&self.door, &shown).await?;
                    continue;
                }
                _ if is_over(&shown) => return Ok(()),
                _ => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Calls a run back when the plan says so.
    async fn call_back(&self, (number, when): (u64, CallBack), run: &str) -> anyhow::Result<Option<Called>> {
        let comes = match when {
            CallBack::Never => false,
            CallBack::Early => true,
            CallBack::InTime => self.until_wait_is("open", run).await?,
            CallBack::Late => self.until_wait_is("resolved", run).await?,
        };
        if !comes {
            return Ok(None);
        }
        let say = async |id: String| {
            let body = json!({
                "event_type": "generation.complete", "event_id": id, "timestamp": "2026-01-05T10:00:00Z",
                "data": { "run_id": number, "pr_url": "https://github.com/acme/shop/pull/5" },
            });
            self.deliver(&id, &Delivery::of_codegen(&body)?).await
        };
        let event = say(format!("callback-{number}")).await?;
        let at = SystemClock::new().now().millis();
        // Providers deliver twice, and say the same twice.
        if number.is_multiple_of(3) {
            let again = say(format!("callback-{number}")).await?;
            ensure!(again == event, "the callback {event} was delivered again and answered with {again}");
            say(format!("second-callback-{number}")).await?;
        }
        Ok(Some(Called { event, at }))
    }

    /// Waits until the run has a wait with this status; says whether it ever has.
    async fn until_wait_is(&self, status: &str, run: &str) -> anyhow::Result<bool> {
        loop {
            let waits = self.door.list("/api/v1/waits", &format!("&run={run}&status={status}")).await?;
            if !waits.is_empty() {
                return Ok(true);
            }
            if is_over(&self.door.get(&format!("/api/v1/runs/{run}")).await?) {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
