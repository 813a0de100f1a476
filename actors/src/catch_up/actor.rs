//! The door of catching up: starts the watch of each hook of its plan, and has all of them look when it is asked to.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use tokio::sync::Notify;

use super::port::Deliveries;
use super::watch::Watch;
use super::watched::Watches;
use crate::event_log::actor::LogDoor;
use crate::mailbox::Letter;
use crate::receiver::messages::Receivers;
use crate::receiver::tally::Tallies;
use crate::store::Store;
use crate::time::SharedClock;

/// Asks to look at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LookNow;

/// How what is missing is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The provider is asked to deliver it again: it comes through the front door, signed.
    Redeliver,
    /// It is fetched from the provider and taken in.
    Ingest,
}

impl Mode {
    /// The name that the configuration uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redeliver => "redeliver",
            Self::Ingest => "ingest",
        }
    }
}

/// What is to be caught up with.
#[derive(Clone)]
pub enum Plan {
    /// Nothing.
    Nothing {
        /// Why, in words.
        why: &'static str,
    },
    /// The hooks of a provider.
    Watch {
        /// The provider.
        deliveries: Arc<dyn Deliveries>,
        /// How what is missing is got.
        mode: Mode,
        /// From one look to the next.
        every: Duration,
    },
}

/// What catching up needs beside its plan.
#[derive(Clone)]
pub struct Tools {
    /// For reading.
    pub store: Arc<dyn Store>,
    /// For keeping how far it has come.
    pub log: LogDoor,
    /// Take in what was fetched.
    pub receivers: Receivers,
    /// Where that is counted.
    pub tallies: Tallies,
    /// How long the log recognises a delivery.
    pub window: Duration,
    /// Where `now` comes from.
    pub clock: SharedClock,
    /// Set when the process is about to end.
    pub draining: Arc<AtomicBool>,
    /// Where it shows how it stands.
    pub watches: Watches,
}

/// The actor that catches up.
pub struct CatchUp {
    plan: Plan,
    tools: Tools,
    /// One for each hook.
    asked: Vec<Arc<Notify>>,
}

impl CatchUp {
    /// Catches up as `plan` says.
    pub fn new(plan: Plan, tools: Tools) -> Self {
        Self { plan, tools, asked: Vec::new() }
    }
}

impl Actor for CatchUp {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.asked.clear();
        let (deliveries, mode, every) = match &self.plan {
            Plan::Nothing { why } => {
                tracing::info!("what could not be delivered is not asked for: {why}");
                return;
            }
            Plan::Watch { deliveries, mode, every } => (deliveries, *mode, *every),
        };
        for hook in deliveries.hooks() {
            let asked = Arc::new(Notify::new());
            self.asked.push(Arc::clone(&asked));
            self.tools.watches.note(&hook, |_| ());
            let watch = Watch::new(hook, (Arc::clone(deliveries), mode, every), self.tools.clone(), asked);
            ctx.spawn(watch.go_on().into_actor(self));
        }
    }
}

/// After a fall each hook goes on from its checkpoint.
impl Supervised for CatchUp {}

impl Handler<Letter<LookNow>> for CatchUp {
    type Result = ();

    fn handle(&mut self, letter: Letter<LookNow>, _: &mut Context<Self>) {
        let LookNow = letter.open();
        self.asked.iter().for_each(|asked| asked.notify_one());
    }
}
