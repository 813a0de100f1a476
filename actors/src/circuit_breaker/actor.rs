//! The door of a circuit breaker, one for each service: hears how calls ended, shows on the board whether there
//! may be more, and tells the executors when there may be again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, Supervised, WrapFuture};

use super::board::Board;
use super::circuit::{BreakerRecord, Circuit, Condition, Policy};
use crate::event_log::actor::LogDoor;
use crate::executor::messages::Executors;
use crate::mailbox::{Door, Letter};
use crate::store::Transition;
use crate::time::{SharedClock, Timestamp};

/// How often those who wait are told again that a circuit is half open: whoever was to probe may not have.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// The clock is looked at this often while a circuit is open, so that a jump of the wall clock is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Says how a call of the service has ended. The answer comes when the board shows what follows.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Observe {
    /// Whether the service is to blame.
    pub failed: bool,
}

/// An operator knows that the service is well.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reset;

/// The service has said that it will never answer as it is configured.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Disable {
    /// Its answer, in words.
    pub reason: String,
}

/// Asks for the calls of the window: how many there were, and how many of them failed.
#[derive(Message)]
#[rtype(result = "(u32, u32)")]
pub struct Count;

/// What all breakers share.
#[derive(Clone)]
pub struct Shared {
    /// When circuits open.
    pub policy: Policy,
    /// Where it is shown.
    pub board: Board,
    /// For writing.
    pub log: LogDoor,
    /// Told when a service may be called again.
    pub executors: Executors,
    /// Where `now` comes from.
    pub clock: SharedClock,
}

/// The ways into one breaker.
#[derive(Clone)]
pub struct Doors {
    /// How calls ended.
    pub observe: Door<Observe>,
    /// It is well again.
    pub reset: Door<Reset>,
    /// It never will be.
    pub disable: Door<Disable>,
    /// What was counted.
    pub count: Door<Count>,
}

/// The ways into the breakers, by service.
#[derive(Clone, Default)]
pub struct Breakers {
    doors: Arc<HashMap<String, Doors>>,
    /// What they show.
    pub board: Board,
}

impl Breakers {
    /// Those with these doors, who show on this board.
    pub fn new(doors: HashMap<String, Doors>, board: Board) -> Self {
        Self { doors: Arc::new(doors), board }
    }

    /// How each circuit is; one that has never opened is closed.
    pub fn all(&self) -> Vec<BreakerRecord> {
        let shown = self.board.all();
        let closed = |name: &String| BreakerRecord {
            name: name.clone(),
            condition: Condition::Closed,
            since: Timestamp::default(),
            reason: "it has never opened".to_owned(),
        };
        let of = |name: &String| shown.iter().find(|record| record.name == *name).cloned();
        let mut all: Vec<BreakerRecord> =
            self.doors.keys().map(|name| of(name).unwrap_or_else(|| closed(name))).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Says how a call has ended. A breaker that is gone hears nothing, and opens nothing any more.
    pub async fn observe(&self, service: &str, failed: bool) {
        if let Some(doors) = self.doors.get(service) {
            let _ = doors.observe.ask(Observe { failed }).await;
        }
    }

    /// Nobody calls a service any more until its circuit is closed, or it is configured otherwise.
    pub async fn disable(&self, service: &str, reason: String) {
        if let Some(doors) = self.doors.get(service) {
            let _ = doors.disable.ask(Disable { reason }).await;
        }
    }

    /// The calls of a service within the window, since its circuit was closed: how many there were, and how many of them
    /// failed. `None` when nobody counts them.
    pub async fn count(&self, service: &str) -> Option<(u32, u32)> {
        self.doors.get(service)?.count.ask(Count).await.ok()
    }

    /// Closes a circuit; `false` if there is none of this name.
    pub async fn reset(&self, service: &str) -> bool {
        match self.doors.get(service) {
            Some(doors) => doors.reset.ask(Reset).await.is_ok(),
            None => false,
        }
    }
}

/// The actor of a circuit breaker.
pub struct CircuitBreaker {
    name: String,
    /// The hash of what is configured of the service, when that may be disabled.
    configuration: u64,
    circuit: Circuit,
    shared: Shared,
    /// Counts the conditions, so that a timer of an earlier one is recognised.
    conditions: u64,
}

impl CircuitBreaker {
    /// The breaker of a service. How its circuit was left is on the board; one that was disabled is so as long as its
    /// `configuration` has this hash.
    pub fn new(name: &str, configuration: u64, shared: Shared) -> Self {
        let circuit = Circuit::new(shared.policy, Condition::Closed);
        Self { name: name.to_owned(), configuration, circuit, shared, conditions: 0 }
    }

    fn changed(&mut self, condition: Condition, reason: &str, ctx: &mut Context<Self>) {
        let (name, since) = (self.name.clone(), self.shared.clock.now());
        match condition {
            Condition::Open { .. } => {
                tracing::warn!(service = name, reason, "a circuit is open: nobody calls the service")
            }
            Condition::Disabled { .. } => {
                tracing::warn!(
                    service = name,
                    reason,
                    "a circuit is disabled: nobody calls the service until it is reset"
                )
            }
            Condition::HalfOpen => {
                tracing::info!(service = name, "a circuit is half open: one call probes the service")
            }
            Condition::Closed => {
                tracing::info!(service = name, reason, "a circuit is closed: the service is called again")
            }
        }
        let record = BreakerRecord { name, condition, since, reason: reason.to_owned() };
        self.shared.board.show(record.clone());
        // Whoever starts without it finds out by failing calls.
        let log = self.shared.log.clone();
        let kept = async move { log.commit(Transition::KeepBreaker(record)).await };
        ctx.spawn(kept.into_actor(self).map(|kept, breaker, _| {
            if let Err(error) = kept {
                tracing::warn!(service = breaker.name, %error, "how its circuit is could not be written down");
            }
        }));
        self.stand(ctx);
    }

    /// Does what the condition asks for: wait for the end of an open one, tell those who wait of any other.
    fn stand(&mut self, ctx: &mut Context<Self>) {
        self.conditions += 1;
        match self.circuit.condition() {
            Condition::Open { until } => self.wait_until(until, ctx),
            Condition::HalfOpen => self.tell(ctx),
            Condition::Closed | Condition::Disabled { .. } => self.shared.executors.circuit_moved(&self.name),
        }
    }

    fn wait_until(&mut self, until: Timestamp, ctx: &mut Context<Self>) {
        let (this, wait) = (self.conditions, until.since(self.shared.clock.now()).min(LOOK_AGAIN));
        let pause = tokio::time::sleep(wait).into_actor(self);
        ctx.spawn(pause.map(move |(), breaker, ctx| {
            if breaker.conditions != this {
                return;
            }
            match breaker.circuit.tick(breaker.shared.clock.now()) {
                Some(condition) => breaker.changed(condition, "its rest is over", ctx),
                None => breaker.wait_until(until, ctx),
            }
        }));
    }

    fn tell(&mut self, ctx: &mut Context<Self>) {
        let this = self.conditions;
        self.shared.executors.circuit_moved(&self.name);
        let pause = tokio::time::sleep(TELL_AGAIN).into_actor(self);
        ctx.spawn(pause.map(move |(), breaker, ctx| {
            if breaker.conditions == this {
                breaker.tell(ctx);
            }
        }));
    }
}

impl Actor for CircuitBreaker {
    type Context = Context<Self>;

    /// What the board shows outlives a fall; what the calls were until then does not.
    fn started(&mut self, ctx: &mut Context<Self>) {
        let shown = self.shared.board.all().into_iter().find(|record| record.name == self.name);
        let condition = shown.map_or(Condition::Closed, |record| record.condition);
        self.circuit = Circuit::new(self.shared.policy, condition);
        match condition {
            Condition::Disabled { configuration } if configuration != self.configuration => {
                if let Some(condition) = self.circuit.reset() {
                    self.changed(condition, "it is configured otherwise", ctx);
                }
            }
            _ => self.stand(ctx),
        }
    }
}

impl Supervised for CircuitBreaker {}

impl Handler<Letter<Observe>> for CircuitBreaker {
    type Result = MessageResult<Letter<Observe>>;

    fn handle(&mut self, letter: Letter<Observe>, ctx: &mut Context<Self>) -> Self::Result {
        let Observe { failed } = letter.open();
        let now = self.shared.clock.now();
        if let Some(condition) = self.circuit.observe(failed, now) {
            let reason = if failed { "calls fail again and again" } else { "a call has succeeded" };
            self.changed(condition, reason, ctx);
        }
        MessageResult(())
    }
}

impl Handler<Letter<Reset>> for CircuitBreaker {
    type Result = MessageResult<Letter<Reset>>;

    fn handle(&mut self, letter: Letter<Reset>, ctx: &mut Context<Self>) -> Self::Result {
        let Reset = letter.open();
        if let Some(condition) = self.circuit.reset() {
            self.changed(condition, "an operator closed it", ctx);
        }
        MessageResult(())
    }
}

impl Handler<Letter<Disable>> for CircuitBreaker {
    type Result = MessageResult<Letter<Disable>>;

    fn handle(&mut self, letter: Letter<Disable>, ctx: &mut Context<Self>) -> Self::Result {
        let Disable { reason } = letter.open();
        if let Some(condition) = self.circuit.disable(self.configuration) {
            self.changed(condition, &reason, ctx);
        }
        MessageResult(())
    }
}

impl Handler<Letter<Count>> for CircuitBreaker {
    type Result = MessageResult<Letter<Count>>;

    fn handle(&mut self, letter: Letter<Count>, _: &mut Context<Self>) -> Self::Result {
        let Count = letter.open();
        MessageResult(self.circuit.calls(self.shared.clock.now()))
    }
}
