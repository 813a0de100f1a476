//! How an executor learns that waits of its runs were completed: the store knows, and is asked when a run is
//! taken up, whenever somebody says so, and when an attempt has ended that left a wait open.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use serde_json::json;

use super::actor::{Executor, STORE_PAUSE};
use super::decide::Happening;
use super::failure::{ErrorClass, Failure};
use super::messages::CalledBack;
use super::port::{Action, Actions, Outcome, Success, callback_output};
use super::progress::Progress;
use crate::event::Event;
use crate::ids::{EventId, RunId, WaitId};
use crate::mailbox::Letter;
use crate::store::{Store, StoreError};
use crate::wait::record::{Resolution, WaitState};
use crate::workflow::definition::Definition;

/// A wait that an event has completed.
pub struct Answered {
    wait: WaitId,
    event: EventId,
    outcome: Outcome,
}

impl From<Answered> for Happening {
    fn from(answered: Answered) -> Self {
        let Answered { wait, event, outcome } = answered;
        Self::Called(wait, Some(event), outcome)
    }
}

/// Waits that the journal of a run has as open, each with the action that has it; a step that only waits has none.
pub type Questions = Vec<(WaitId, Option<Arc<dyn Action>>)>;

/// What is to be asked of a run that stands so.
pub fn questions(progress: &Progress, definition: &Definition, actions: &Actions) -> Questions {
    let action = |step: &String| Some(Arc::clone(actions.get(definition.step(step)?.action.as_str())?));
    progress.open_waits().map(|(step, wait)| (wait.id, action(step))).collect()
}

/// Those of them that were completed. What else resolves a wait stands in the journal with it.
pub async fn answers(store: &dyn Store, questions: Questions) -> Result<Vec<Answered>, StoreError> {
    let mut answers = Vec::new();
    for (wait, action) in questions {
        let state = match store.wait(wait).await {
            Ok(found) => found.map(|wait| wait.state),
            Err(StoreError::Damaged { id, reason }) => {
                tracing::error!(wait = %id, reason, "the record of a wait is damaged; its run goes on at the deadline");
                None
            }
            Err(error) => return Err(error),
        };
        let Some(WaitState::Resolved { by: Resolution::Callback(event), .. }) = state else { continue };
        let outcome = match store.event(event).await {
            Ok(Some(found)) => says(action.as_deref(), &found),
            Ok(None) => unreadable(event, "it is not in the log any more"),
            Err(StoreError::Damaged { reason, .. }) => unreadable(event, &reason),
            Err(error) => return Err(error),
        };
        answers.push(Answered { wait, event, outcome });
    }
    Ok(answers)
}

/// What an event says of its step is the action's word. A fall in it is a failure of the step.
fn says(action: Option<&dyn Action>, event: &Event) -> Outcome {
    let Some(action) = action else { return Ok(Success::Done(callback_output(event))) };
    let fell = || Failure::new(ErrorClass::Internal, "the action fell over its callback; the log says where");
    catch_unwind(AssertUnwindSafe(|| action.called(event))).unwrap_or_else(|_| Err(fell()))
}

fn unreadable(event: EventId, reason: &str) -> Outcome {
    Ok(Success::Done(json!({ "event": event, "unreadable": reason })))
}

impl Executor {
    /// Looks whether waits of a run were completed.
    pub(super) fn look_at_waits(&self, run: RunId, ctx: &mut Context<Self>) {
        let Some(live) = self.live.get(&run) else { return };
        let questions = questions(&live.progress, &live.definition, &self.shared.actions);
        if questions.is_empty() {
            return;
        }
        let store = Arc::clone(&self.shared.store);
        let answers = async move { answers(store.as_ref(), questions).await };
        ctx.spawn(answers.into_actor(self).map(move |answers, executor, ctx| match answers {
            Ok(answers) => answers.into_iter().for_each(|answer| {
                executor.take(run, Happening::from(answer).into(), ctx);
            }),
            Err(error) => {
                tracing::warn!(%run, %error, "waits could not be read; trying again");
                let pause = tokio::time::sleep(STORE_PAUSE).into_actor(executor);
                ctx.spawn(pause.map(move |(), executor, ctx| executor.look_at_waits(run, ctx)));
            }
        }));
    }
}

impl Handler<Letter<CalledBack>> for Executor {
    type Result = ();

    fn handle(&mut self, letter: Letter<CalledBack>, ctx: &mut Context<Self>) {
        let CalledBack(run) = letter.open();
        if self.live.contains_key(&run) {
            self.look_at_waits(run, ctx);
        } else {
            self.load(run, Duration::ZERO, ctx);
        }
    }
}
