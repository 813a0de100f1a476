//! What an executor has to do with the circuits of services: how an attempt ended is told to the breakers of
//! the services that it called, before anything follows from it; runs that a circuit holds are told when it lets pass.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};

use super::actor::Executor;
use super::decide::{Execute, Happening};
use super::messages::CircuitMoved;
use super::outages::observed;
use super::port::{Circuits, Outcome, Passage, Working};
use crate::circuit_breaker::actor::Breakers;
use crate::ids::RunId;
use crate::mailbox::Letter;
use crate::time::{SharedClock, Timestamp};

/// An attempt that is about to be made. If it is not, because it could not be written down or the executor fell before
/// that was known, it has said nothing of its services, and another one may be the probe.
pub(super) struct Call {
    breakers: Breakers,
    clock: SharedClock,
    services: &'static [&'static str],
    until: Timestamp,
    is_made: bool,
}

impl Call {
    /// It is made: from now on its end says so.
    pub(super) fn made(mut self) {
        self.is_made = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_made {
            self.breakers.board.ended(self.services, self.until, self.clock.now());
        }
    }
}

/// What an attempt sees of circuits, and tells them.
pub(super) struct OfAttempt {
    pub(super) breakers: Breakers,
    pub(super) clock: SharedClock,
    /// When it is dropped if it has not ended.
    pub(super) until: Timestamp,
}

impl Circuits for OfAttempt {
    fn enter(&self, service: &str) -> Passage {
        self.breakers.board.enter(service, self.until, self.clock.now())
    }

    fn ended(&self, service: &str, failed: Option<bool>) -> Working<()> {
        let (breakers, now, until) = (self.breakers.clone(), self.clock.now(), self.until);
        let service = service.to_owned();
        Box::pin(async move {
            if let Some(failed) = failed {
                breakers.observe(&service, failed).await;
            }
            breakers.board.ended(&[&service], until, now);
        })
    }

    fn disable(&self, service: &str, reason: String) -> Working<()> {
        let (breakers, service) = (self.breakers.clone(), service.to_owned());
        Box::pin(async move { breakers.disable(&service, reason).await })
    }
}

impl Executor {
    /// An attempt has ended. Its breakers hear of it first: one that opens over it keeps it from being used up.
    pub(super) fn ended(&mut self, run: RunId, serial: u32, outcome: Outcome, ctx: &mut Context<Self>) {
        let (services, until) = self.call_of(run, serial);
        let said = observed(services, &outcome);
        let happening = Happening::Ended(serial, outcome);
        let (breakers, clock) = (self.shared.breakers.clone(), Arc::clone(&self.shared.clock));
        if said.is_empty() {
            breakers.board.ended(services, until, clock.now());
            return self.take(run, happening.into(), ctx);
        }
        let heard = async move {
            for (service, failed) in said {
                breakers.observe(&service, failed).await;
            }
            breakers.board.ended(services, until, clock.now());
        };
        ctx.spawn(heard.into_actor(self).map(move |(), executor, ctx| executor.take(run, happening.into(), ctx)));
    }

    /// The services that an attempt in flight calls, and until when.
    fn call_of(&self, run: RunId, serial: u32) -> (&'static [&'static str], Timestamp) {
        let call = self.live.get(&run).and_then(|live| {
            let (step, flying) = live.progress.in_flight().find(|(_, flying)| flying.serial == serial)?;
            Some((live.definition.step(step)?.services, flying.until))
        });
        call.unwrap_or_default()
    }

    /// An attempt is about to be made: of a service whose circuit is half open it is the probe.
    pub(super) fn calls(&self, run: RunId, execute: &Execute) -> Call {
        self.call(self.services_of(run, execute), execute.until)
    }

    /// These services are about to be called.
    pub(super) fn call(&self, services: &'static [&'static str], until: Timestamp) -> Call {
        let (breakers, clock) = (self.shared.breakers.clone(), Arc::clone(&self.shared.clock));
        breakers.board.calls(services, until);
        Call { breakers, clock, services, until, is_made: false }
    }

    /// Attempts are not in flight any more. One that was dropped has said nothing of its services.
    pub(super) fn have_landed(&self, run: RunId, serials: &[u32]) {
        let now = self.shared.clock.now();
        for (services, until) in serials.iter().map(|serial| self.call_of(run, *serial)) {
            self.shared.breakers.board.ended(services, until, now);
        }
    }

    fn services_of(&self, run: RunId, execute: &Execute) -> &'static [&'static str] {
        let step = self.live.get(&run).and_then(|live| live.definition.step(&execute.step));
        step.map_or(&[], |step| step.services)
    }

    /// Tells the dispatcher anew of runs that a service holds, or any.
    pub(super) fn report_held(&mut self, by: Option<&str>, ctx: &mut Context<Self>) {
        let is_held = |run: &&RunId| {
            let progress = self.live.get(run).map(|live| &live.progress);
            progress.is_some_and(|progress| by.map_or_else(|| progress.is_held(), |by| progress.is_held_by(by)))
        };
        let held: Vec<RunId> = self.live.keys().filter(is_held).copied().collect();
        for run in held {
            // One that is at work has its slot, and can go on with it.
            let is_at_work = self.live.get(&run).is_some_and(|live| live.progress.in_flight().next().is_some());
            if is_at_work {
                self.take(run, Happening::Woke.into(), ctx);
            } else {
                self.report(run, ctx);
            }
        }
    }
}

impl Handler<Letter<CircuitMoved>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<CircuitMoved>, ctx: &mut Context<Self>) {
        let CircuitMoved(service) = letter.open();
        self.report_held(Some(&service), ctx);
        self.ask(ctx);
    }
}
