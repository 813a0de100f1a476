//! How an executor asks whether what its runs wait for is done, as long as nobody calls back. Whoever is first ends the
//! wait: that it is open is a condition of the commit, for an answer as for a callback.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use serde_json::Value as Json;

use super::actor::Executor;
use super::decide::Happening;
use super::failure::{ErrorClass, Failure};
use super::outages::observed;
use super::polling;
use super::port::{Action, Answer, Inquiry, Success};
use super::progress::StepState;
use crate::ids::{RunId, WaitId};
use crate::wait::record::Resolution;
use crate::workflow::definition::Step;

impl Executor {
    /// A run may wait for something else now, or for nothing.
    pub(super) fn keep_polls(&mut self, run: RunId, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let open = self.live.get(&run).map(|live| polling::open(run, &live.progress, &live.definition, now));
        if self.polls.keep(run, open.unwrap_or_default(), self.shared.clock.elapsed()) {
            self.ask(ctx);
        }
    }

    /// Asks whoever is due, and again when the next one is.
    pub(super) fn ask(&mut self, ctx: &mut Context<Self>) {
        if self.shared.draining.load(Ordering::SeqCst) {
            return;
        }
        loop {
            // The first call of a half-open circuit makes it one that nobody else is to call.
            let outages = self.shared.breakers.board.outages(self.shared.clock.now());
            let may_call = |services: &[&str]| outages.of(services).is_none();
            let Some((run, wait)) = self.polls.next(self.shared.clock.elapsed(), may_call) else { break };
            self.ask_after(run, wait, ctx);
        }
        self.ask_later(ctx);
    }

    fn ask_later(&mut self, ctx: &mut Context<Self>) {
        let now = self.shared.clock.elapsed();
        let wake = self.polls.wake(now);
        if self.asks_at == wake {
            return;
        }
        self.asks_at = wake;
        let Some(at) = wake else { return };
        let pause = tokio::time::sleep(at.saturating_sub(now)).into_actor(self);
        ctx.spawn(pause.map(move |(), executor, ctx| {
            if executor.asks_at == Some(at) {
                executor.asks_at = None;
                executor.ask(ctx);
            }
        }));
    }

    fn ask_after(&mut self, run: RunId, wait: WaitId, ctx: &mut Context<Self>) {
        let Some((action, inquiry, step)) = self.inquiry(run, wait) else {
            return self.polls.asked(run, wait, self.shared.clock.elapsed(), None);
        };
        let (services, limit) = (step.services, step.timeout);
        let call = self.call(services, self.shared.clock.now().plus(limit));
        let asking = self.attempts.ask(&action, inquiry, limit);
        let breakers = self.shared.breakers.clone();
        let asked = async move {
            let answer = asking.await;
            for (service, failed) in said(services, &answer) {
                breakers.observe(&service, failed).await;
            }
            // It was the probe until the breakers had heard of it.
            drop(call);
            answer
        };
        ctx.spawn(asked.into_actor(self).map(move |answer, executor, ctx| executor.answered(run, wait, answer, ctx)));
    }

    /// What is asked after a wait.
    fn inquiry(&self, run: RunId, wait: WaitId) -> Option<(Arc<dyn Action>, Inquiry, &Step)> {
        let live = self.live.get(&run)?;
        let is_it = |state: &StepState| state.wait().is_some_and(|open| open.id == wait);
        let (name, state) = live.progress.steps.iter().find(|(_, state)| is_it(state))?;
        let StepState::Waiting { keys, .. } = state else { return None };
        let step = live.definition.step(name)?;
        let action = self.shared.actions.get(step.action.as_str())?;
        let output = state.given().cloned().unwrap_or_default();
        Some((Arc::clone(action), Inquiry { run, step: name.clone(), keys: keys.clone(), output }, step))
    }

    fn answered(&mut self, run: RunId, wait: WaitId, answer: Answer, ctx: &mut Context<Self>) {
        let asked_for = answer.as_ref().err().and_then(|failure| failure.retry_after_ms);
        let now = self.shared.clock.elapsed();
        self.polls.asked(run, wait, now, asked_for.map(Duration::from_millis));
        match answer {
            Ok(Some(outcome)) => self.take(run, Happening::Called(wait, Resolution::Poll, outcome).into(), ctx),
            Ok(None) => {}
            Err(failure) if failure.class == ErrorClass::Internal => {
                tracing::error!(%run, %wait, failure = failure.to_string(), "it cannot be asked whether what a run waits for is done");
            }
            // Nobody else says so before the deadline, and somebody may have to mend it.
            Err(failure) if !failure.class.is_retryable() => {
                tracing::warn!(%run, %wait, failure = failure.to_string(), "asking whether what a run waits for is done is refused");
            }
            Err(failure) => {
                tracing::debug!(%run, %wait, failure = failure.to_string(), "nobody could be asked whether what a run waits for is done");
            }
        }
        self.ask(ctx);
    }
}

/// What an answer says of the services that were called for it.
fn said(services: &[&str], answer: &Answer) -> Vec<(String, bool)> {
    let failure: Option<&Failure> = answer.as_ref().err();
    observed(services, &failure.map_or(Ok(Success::Done(Json::Null)), |failure| Err(failure.clone())))
}
