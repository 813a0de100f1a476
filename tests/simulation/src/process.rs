//! One process: the whole tree on this thread and on virtual time, what is sent to it, what befalls it, and the operator
//! who does again what has failed when nothing goes wrong any more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pointsman::actions as product;
use pointsman::actions::send_notification::{Named, SendNotification};
use pointsman::actions::update_pr_status::UpdatePrStatus;
use pointsman::actions::validate_pr::ValidatePr;
use pointsman::config::{self, DefinitionFile, Flags, Loaded};
use pointsman::integrations::Integrations;
use pointsman::sources::{self, Keyring, NamedSecret, Secret, SourceSettings, Validity};
use pointsman::workflows;
use pointsman_actors::address_book::actor::Plan as AddressPlan;
use pointsman_actors::catch_up::actor::Plan as CatchUpPlan;
use pointsman_actors::circuit_breaker::circuit::Policy as CircuitPolicy;
use pointsman_actors::current::Current;
use pointsman_actors::deduplicator::actor::Windows;
use pointsman_actors::dispatcher::actor::Slots;
use pointsman_actors::event::{Delivery, Headers, SourceName};
use pointsman_actors::executor::port::{Action, Actions};
use pointsman_actors::receiver::actor::{Admit, Receipt, Receive};
use pointsman_actors::receiver::admission::Limits;
use pointsman_actors::retention::policy::Policy as RetentionPolicy;
use pointsman_actors::router::actor::CurrentRules;
use pointsman_actors::router::patience::Patience;
use pointsman_actors::supervisor::{Drill, Escalation, Life, Vitals};
use pointsman_actors::time::{Clock, SystemClock};
use pointsman_actors::tree::{Ports, Tree, WorkerDoors};
use pointsman_actors::validator::port::Source;
use pointsman_actors::workflow::catalog::Catalog;

use crate::deliveries::Delivery as Sent;
use crate::plan::Moment;
use crate::rules;
use crate::services::{Desk, Generate, Services};
use crate::store::{Disk, SimStore};
use crate::watched::watched;
use crate::workshop::crafts;
use crate::world::World;

/// Something that is called back, in bursts, and in its turn.
const GENERATION: &str = r#"
[workflows.generation]
timeout = "3h"
debounce = { key = "{{ input.branch }}", quiet = "4s", at_most = "30s" }
concurrency = { group = "branch", key = "{{ input.branch }}", limit = 1, on_newer = "queue" }
[[workflows.generation.steps]]
name = "generate"
action = "generate"
deadline = "20m"
retry = { max_attempts = 4, base_delay = "1s", max_delay = "1m" }
[[workflows.generation.steps]]
name = "tell"
action = "send_notification"
with = { text = "{{ input.number }} is there" }
[[routes]]
name = "asked"
source = "github"
event = "push"
workflow = "generation"
input = { branch = "facts.head_ref", number = "payload.number" }
"#;

const SECRET: &str = "simulated-secret";

/// From one audit to the next.
const AUDIT_EVERY: Duration = Duration::from_secs(60);

/// So many audits after each other that find something are not misled by a clock that was set: an attempt ends by its own time.
const MOST_AUDITS: u32 = 8;

/// How often it is looked whether everything is at rest.
const LOOK: Duration = Duration::from_secs(7);

/// So long a world may take at most to come to rest: more than what it does, and the largest jumps of the clock.
const LONGEST: Duration = Duration::from_secs(12 * 3_600);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is nothing left to do.
    AtRest,
    /// It died.
    Died,
    /// It was asked to end, and did.
    Asked,
}

/// A process at work.
pub(crate) struct Process {
    pub(crate) world: World,
    pub(crate) disk: Disk,
    pub(crate) tree: Tree,
    workers: [WorkerDoors; 2],
}

/// Lives one process, on a fresh runtime.
pub async fn live(world: World, disk: Disk, after_death: bool) -> End {
    world.tell(format_args!("a process begins"));
    let mut died = std::pin::pin!(world.died());
    let mut life = std::pin::pin!(begin(world.clone(), disk, after_death));
    // Whichever is first, always looked at in the same order.
    std::future::poll_fn(|task| {
        if died.as_mut().poll(task).is_ready() {
            return std::task::Poll::Ready(End::Died);
        }
        life.as_mut().poll(task)
    })
    .await
}

async fn begin(world: World, disk: Disk, after_death: bool) -> End {
    let tree = match Tree::start_here(ports(&world, &disk, after_death)).await {
        Ok(tree) => tree,
        Err(error) => {
            world.die(&format!("it does not start: {error}"));
            return End::Died;
        }
    };
    let workers = [tree.start_worker(0), tree.start_worker(1)];
    let process = Arc::new(Process { world, disk, tree, workers });
    tokio::task::spawn_local(Arc::clone(&process).send_all());
    let restarts = Arc::new(tokio::sync::Notify::new());
    tokio::task::spawn_local(Arc::clone(&process).befall(Arc::clone(&restarts)));
    let mut asked = std::pin::pin!(restarts.notified());
    let mut rest = std::pin::pin!(process.come_to_rest());
    let end = std::future::poll_fn(|task| {
        if asked.as_mut().poll(task).is_ready() {
            return std::task::Poll::Ready(End::Asked);
        }
        rest.as_mut().poll(task).map(|()| End::AtRest)
    })
    .await;
    if end == End::Asked {
        process.tree.drain(Duration::from_secs(20)).await;
    }
    end
}

/// What all worlds share: it does not depend on what services do.
fn compiled() -> &'static (Catalog, CurrentRules) {
    static COMPILED: OnceLock<(Catalog, CurrentRules)> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let mut loaded = nothing_configured();
        let file = |name: &str, text: &str| DefinitionFile { name: name.into(), text: text.into() };
        loaded.definitions =
            vec![file("generation.toml", GENERATION), file("stories.toml", include_str!("stories.toml"))];
        let nowhere =
            World::new(crate::plan::Plan::of(&mut fastrand::Rng::with_seed(0)), fastrand::Rng::with_seed(0), false);
        let compiled = workflows::compile(&loaded, &actions(&nowhere)).unwrap();
        (compiled.catalog, CurrentRules::new(compiled.rules))
    })
}

/// What is configured where nothing is; no file of whoever runs this is read.
fn nothing_configured() -> Loaded {
    let flags = Flags { file: Some("/dev/null".into()), values: Vec::new() };
    config::load(&std::collections::BTreeMap::new(), &flags, 2).unwrap()
}

/// All that the product can do, as it is where nothing is configured: workflows of these are there and unavailable.
fn unconfigured() -> &'static Actions {
    static UNCONFIGURED: OnceLock<Actions> = OnceLock::new();
    UNCONFIGURED.get_or_init(|| {
        product::all(&Integrations::new(&nothing_configured().settings.integrations, &[], Arc::new(SystemClock::new())))
    })
}

fn actions(world: &World) -> Actions {
    let services = Arc::new(Services(world.clone()));
    let own: Vec<Arc<dyn Action>> = vec![
        Arc::new(ValidatePr::new(Some(Arc::clone(&services)), Arc::clone(&services))),
        Arc::new(UpdatePrStatus::new(Some(Arc::clone(&services)))),
        Arc::new(SendNotification::new(desks(&services))),
        Arc::new(Generate(Arc::clone(&services))),
    ];
    let own = own.into_iter().chain(crafts(&services));
    watched(unconfigured().values().cloned().chain(own).collect(), world)
}

/// Where people are told: one place that is always there, and one that may be gone for good.
fn desks(services: &Arc<Services>) -> Vec<Named<Arc<Desk>>> {
    let desk = |name, ends| Desk { name, services: Arc::clone(services), ends }.named();
    vec![desk("ops", false), desk("dev", true)]
}

/// A source as every process has it.
fn source_of(name: &str) -> (SourceName, Arc<dyn Source>) {
    let name = SourceName::new(name);
    let source = sources::build(SourceSettings {
        name: name.clone(),
        secrets: Keyring::new(vec![NamedSecret::new("secret", Secret::new(SECRET), Validity::ALWAYS)]),
        events: Vec::new(),
        timestamp_tolerance: Duration::from_secs(300),
        allow_unsigned: false,
    });
    (name, source.unwrap())
}

fn ports(world: &World, disk: &Disk, after_death: bool) -> Ports {
    let (catalog, rules) = compiled();
    let (died, plan) = (world.clone(), world.plan());
    let day = Duration::from_secs(24 * 3_600);
    Ports {
        store: SimStore::open(disk, world),
        sources: Current::new(HashMap::from([source_of("github"), source_of("codegen")])),
        rules: rules.clone(),
        catalog: catalog.clone(),
        actions: actions(world),
        slots: Current::new(Slots { number: plan.slots, fair: true }),
        circuits: plan.circuits.then_some(CircuitPolicy {
            threshold: 3,
            failure_rate: 0.5,
            window: Duration::from_secs(60),
            open_for: Duration::from_secs(30),
        }),
        windows: Windows { delivery: 3 * day, occurrence: Some(day) },
        inbox_window: day,
        limits: Limits {
            requests: 64,
            address_requests: 64,
            body_bytes: 1 << 20,
            address_bytes: 1 << 20,
            backlog: 1_000,
        },
        rate_limits: None,
        audit_every: AUDIT_EVERY,
        retention: RetentionPolicy { keep: 30 * day, most: None },
        patience: Patience { attempts: 10 },
        redrives_per_second: 5,
        address_book: AddressPlan::Nothing,
        catch_up: CatchUpPlan::Nothing { why: "it is no part of this" },
        after_death,
        clock: Arc::new(world.clone()),
        ids: Arc::new(world.clone()),
        on_given_up: Arc::new(move |lost: &Vitals| {
            if lost.row().escalation != Escalation::Park {
                died.die("a component was given up");
            }
        }),
    }
}

/// Whether anything that happens here starts runs of this workflow.
fn has_work(workflow: &str) -> bool {
    let is_of = |kind: &str| workflow.starts_with(kind);
    !is_of("codegen_")
        && !is_of("linear_agent_")
        && !["pr_merged", "workflow_failure", "issue_completed"].contains(&workflow)
}

impl Process {
    /// Sends what is not answered, and what is to be sent from now on.
    async fn send_all(self: Arc<Self>) {
        let mut next = 0;
        loop {
            let answered = self.world.state().answered.clone();
            for (number, answered) in answered.iter().enumerate().skip(next) {
                if !answered {
                    tokio::task::spawn_local(Arc::clone(&self).send(number));
                }
            }
            next = answered.len();
            self.world.mailed().await;
        }
    }

    /// Sends a delivery until it is answered with success.
    async fn send(self: Arc<Self>, number: usize) {
        let world = &self.world;
        let sending = world.state().mail.sendings[number];
        tokio::time::sleep(sending.at.saturating_sub(world.at())).await;
        loop {
            match self.deliver(world.delivery(sending.delivery), number).await {
                Ok(receipt) => {
                    world.point("before an answer").await;
                    rules::acknowledged(world, sending.delivery, receipt);
                    world.state().answered[number] = true;
                    return;
                }
                Err(why) => {
                    world.tell(format_args!("delivery {} is refused: {why}", sending.delivery));
                    tokio::time::sleep(Duration::from_secs(1) + world.pause(20_000)).await;
                }
            }
        }
    }

    async fn deliver(&self, delivery: Sent, number: usize) -> Result<Receipt, String> {
        let world = &self.world;
        let doors = &self.workers[number % 2];
        let received_at = world.now();
        let code = format!("sha256={}", hex::encode(Secret::new(SECRET).sign(&delivery.body)));
        let headers: Headers = [
            ("x-github-event", delivery.event),
            ("x-github-delivery", &delivery.id),
            ("x-github-hook-id", delivery.hook),
            ("content-type", "application/json"),
            ("x-hub-signature-256", &code),
            ("x-codegen-signature", &code),
        ]
        .into_iter()
        .collect();
        let (source, peer) = (SourceName::new(delivery.source), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let announced = delivery.body.len() as u64;
        let of = source_of(delivery.source).1;
        let admit = Admit { source: Arc::clone(&of), headers, peer, announced };
        let said = |error: &dyn std::fmt::Debug| format!("{error:?}");
        let (admitted, headers) = doors.admit.ask(admit).await.map_err(|e| said(&e))?.map_err(|e| said(&e))?;
        tokio::time::sleep(world.pause(20)).await;
        let delivery = Delivery { source, headers, body: delivery.body.clone(), peer, received_at };
        doors
            .receive
            .ask(Receive { delivery, admitted, source: of, turn: None })
            .await
            .map_err(|e| said(&e))?
            .map_err(|e| said(&e))
    }

    /// What happens at its time.
    async fn befall(self: Arc<Self>, restarts: Arc<tokio::sync::Notify>) {
        let world = &self.world;
        let since = world.at();
        for (at, moment) in world.plan().moments.iter().filter(|(at, _)| *at > since) {
            tokio::time::sleep(at.saturating_sub(world.at())).await;
            match *moment {
                Moment::Jump(by) => world.jump(by),
                Moment::Death => world.die("by chance"),
                Moment::Restart => {
                    world.tell(format_args!("the process is asked to end"));
                    return restarts.notify_one();
                }
                Moment::Cut => world.state().cut = true,
                Moment::Pause(which, long) => _ = tokio::task::spawn_local(Arc::clone(&self).pause(which, long)),
                Moment::Cancel(which) => _ = tokio::task::spawn_local(Arc::clone(&self).cancel(which)),
                Moment::Fall(which) => {
                    // Of executors, those that have something to do.
                    let mut all = self.tree.roster.all();
                    all.retain(|vitals| vitals.row().component != "executor" || has_work(vitals.instance()));
                    let vitals = &all[which % all.len()];
                    let (component, instance) = (vitals.row().component, vitals.instance());
                    world.tell(format_args!("{component} {instance} will fall"));
                    vitals.rehearse(Drill::NextMessage);
                }
            }
        }
    }

    /// Returns when nothing is left to do, or something is wrong.
    async fn come_to_rest(&self) {
        let mut suspected = (0, String::new());
        loop {
            tokio::time::sleep(LOOK).await;
            let world = &self.world;
            if world.state().wrong.is_some() {
                return;
            }
            self.audited(&mut suspected);
            if world.at() > LONGEST {
                return world.wrong(format!("it does not come to rest: {}", rules::left(&self.disk, world).await));
            }
            if world.is_calm() && world.state().answered.iter().all(|answered| *answered) {
                let failed = self.do_again().await;
                if !failed && rules::left(&self.disk, world).await.is_empty() {
                    for vitals in self.tree.roster.all().iter().filter(|vitals| vitals.life() == Life::GivenUp) {
                        world.wrong(format!("at the end {} is {}", vitals.row().component, vitals.life().name()));
                    }
                    return;
                }
            }
        }
    }

    /// A run that audits find wrong again and again does stand wrong.
    fn audited(&self, (times, last): &mut (u32, String)) {
        let Some((at, report)) = self.tree.work.findings.last() else { return };
        let this = at.to_rfc3339();
        if *last == this {
            return;
        }
        *last = this;
        *times = if report.broken > 0 { *times + 1 } else { 0 };
        if *times >= MOST_AUDITS {
            self.world.wrong(format!("{MOST_AUDITS} audits after each other: {:?}", report.findings));
        }
    }
}
