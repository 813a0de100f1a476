//! How an executor learns that waits of its runs were completed, or that the run which has started one of its own waits
//! for it no longer: the store knows, and is asked when a run is taken up, whenever somebody says so, and when an attempt
//! has ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use serde_json::{Value as Json, json};

use super::actor::{Executor, STORE_PAUSE};
use super::child;
use super::decide::Happening;
use super::failure::{ErrorClass, Failure};
use super::messages::CalledBack;
use super::port::{Action, Actions, Outcome, Success, callback_output};
use super::progress::{Progress, StepState};
use crate::event::Event;
use crate::ids::{EventId, RunId, WaitId};
use crate::mailbox::Letter;
use crate::run::{Reserved, RunRecord};
use crate::store::{Store, StoreError};
use crate::wait::record::{Resolution, WaitRecord, WaitState};
use crate::workflow::definition::Definition;

/// What a run must ask its waits.
pub struct Questions {
    /// Those that its journal has as open.
    waits: Vec<Asked>,
    /// Itself, if it is to hear when its parent waits for it no longer.
    child: Option<Arc<RunRecord>>,
}

/// A wait that is asked.
struct Asked {
    wait: WaitId,
    /// The action that has it; a step that only waits has none.
    action: Option<Arc<dyn Action>>,
    /// What the attempt gave, if that is known.
    output: Json,
    /// The run for whose end it waits, also when the run wants nothing of that but to know that it is over.
    child: Option<RunId>,
}

impl Questions {
    /// Of a run that stands so.
    pub fn of(run: &Arc<RunRecord>, progress: &Progress, definition: &Definition, actions: &Actions) -> Self {
        let action = |step: &String| Some(Arc::clone(actions.get(definition.step(step)?.action.as_str())?));
        let child_of = |step: &String| progress.children().find(|(of, ..)| *of == step).map(|(_, run, _)| run);
        let asked = |(step, wait): (&String, Reserved)| Asked {
            wait: wait.id,
            action: action(step),
            output: progress.steps.get(step).and_then(StepState::given).cloned().unwrap_or_default(),
            child: child_of(step),
        };
        let waits = progress.open_waits().map(asked).collect();
        let may_be_unwanted = !progress.is_over() && !progress.is_undoing() && progress.leaving.is_none();
        let child = (may_be_unwanted && run.parent.is_some()).then(|| Arc::clone(run));
        Self { waits, child }
    }

    fn is_empty(&self) -> bool {
        self.waits.is_empty() && self.child.is_none()
    }
}

/// What the run hears: of its waits that were completed, and of its parent's. What else resolves a wait of its own stands
/// in the journal with it.
pub async fn answers(store: &dyn Store, questions: Questions) -> Result<Vec<Happening>, StoreError> {
    let mut answers = Vec::new();
    for Asked { wait, action, output, child } in questions.waits {
        let Some(WaitState::Resolved { by, .. }) = read(store, wait).await?.map(|wait| wait.state) else { continue };
        let said = match (by, child) {
            (Resolution::Callback(event), _) => Some((by, heard(store, event, (action.as_deref(), &output)).await?)),
            (Resolution::Run(run), _) => Some((by, returned(store, run).await?)),
            (_, Some(run)) if is_over(store, run).await? => Some((Resolution::Run(run), returned(store, run).await?)),
            (Resolution::Poll | Resolution::Timeout | Resolution::Cancel | Resolution::Supersede, _) => None,
        };
        answers.extend(said.map(|(by, outcome)| Happening::Called(wait, by, outcome)));
    }
    let Some(child) = questions.child else { return Ok(answers) };
    for above in child.lineage() {
        let heard = read(store, above.wait).await?.and_then(|wait| child::hears(&child, &wait));
        if heard.is_some() {
            answers.extend(heard);
            break;
        }
    }
    Ok(answers)
}

pub(super) async fn read(store: &dyn Store, wait: WaitId) -> Result<Option<WaitRecord>, StoreError> {
    match store.wait(wait).await {
        Err(StoreError::Damaged { id, reason }) => {
            tracing::error!(wait = %id, reason, "the record of a wait is damaged; its run goes on at the deadline");
            Ok(None)
        }
        found => found,
    }
}

async fn heard(
    store: &dyn Store,
    event: EventId,
    (action, output): (Option<&dyn Action>, &Json),
) -> Result<Outcome, StoreError> {
    match store.event(event).await {
        Ok(Some(found)) => Ok(says(action, &found, output)),
        Ok(None) => Ok(unreadable(event, "it is not in the log any more")),
        Err(StoreError::Damaged { reason, .. }) => Ok(unreadable(event, &reason)),
        Err(error) => Err(error),
    }
}

async fn is_over(store: &dyn Store, run: RunId) -> Result<bool, StoreError> {
    match store.run(run).await {
        Ok(found) => Ok(found.is_none_or(|run| run.head.status.is_end())),
        Err(StoreError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

async fn returned(store: &dyn Store, run: RunId) -> Result<Outcome, StoreError> {
    let lost = |reason: &str| Err(Failure::new(ErrorClass::RunFailed, format!("{run} cannot be read: {reason}")));
    match store.run(run).await {
        Ok(Some(found)) => Ok(child::outcome(&found)),
        Ok(None) => Ok(lost("it is not in the store any more")),
        Err(StoreError::Damaged { reason, .. }) => Ok(lost(&reason)),
        Err(error) => Err(error),
    }
}

/// What an event says of its step is the action's word. A fall in it is a failure of the step.
fn says(action: Option<&dyn Action>, event: &Event, output: &Json) -> Outcome {
    let Some(action) = action else { return Ok(Success::Done(callback_output(event))) };
    let fell = || Failure::new(ErrorClass::Internal, "the action fell over its callback; the log says where");
    catch_unwind(AssertUnwindSafe(|| action.called(event, output))).unwrap_or_else(|_| Err(fell()))
}

fn unreadable(event: EventId, reason: &str) -> Outcome {
    Ok(Success::Done(json!({ "event": event, "unreadable": reason })))
}

impl Executor {
    /// Looks whether waits of a run were completed.
    pub(super) fn look_at_waits(&self, run: RunId, ctx: &mut Context<Self>) {
        let Some(live) = self.live.get(&run) else { return };
        let questions = Questions::of(&live.run, &live.progress, &live.definition, &self.shared.actions);
        if questions.is_empty() {
            return;
        }
        let store = Arc::clone(&self.shared.store);
        let answers = async move { answers(store.as_ref(), questions).await };
        ctx.spawn(answers.into_actor(self).map(move |answers, executor, ctx| match answers {
            Ok(answers) => answers.into_iter().for_each(|answer| {
                executor.take(run, answer.into(), ctx);
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
