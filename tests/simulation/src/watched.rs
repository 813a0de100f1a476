//! The product's actions, each behind a look at what must hold when an attempt begins: its entry is durable, nothing that is done
//! is done again, nobody who was told to make way begins anything, and no limit is passed.

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::event::Event;
use pointsman_actors::executor::port::{
    Action, ActionInfo, Actions, Attempt, Effect, Misfit, Outcome, Working, Written,
};
use pointsman_actors::ids::RunId;
use pointsman_actors::run::{Entry, What};
use serde_json::Value as Json;

use crate::world::{State, World};

/// An action that is watched.
struct Watched {
    action: Arc<dyn Action>,
    world: World,
}

/// Has all of these watched.
pub fn watched(actions: Vec<Arc<dyn Action>>, world: &World) -> Actions {
    let watch = |action: Arc<dyn Action>| {
        let name = action.info().name;
        (name, Arc::new(Watched { action, world: world.clone() }) as Arc<dyn Action>)
    };
    Arc::new(actions.into_iter().map(watch).collect())
}

/// An attempt that is at work as long as this lives.
struct AtWork(World, (RunId, u32));

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.state().at_work.remove(&self.1);
    }
}

impl Action for Watched {
    fn info(&self) -> &'static ActionInfo {
        self.action.info()
    }

    fn unavailable(&self) -> Option<String> {
        self.action.unavailable()
    }

    fn lacks(&self, written: &Written) -> Option<String> {
        self.action.lacks(written)
    }

    fn examine(&self, written: &Written) -> Result<Effect, Vec<Misfit>> {
        self.action.examine(written)
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let (world, action) = (self.world.clone(), Arc::clone(&self.action));
        Box::pin(async move {
            world.live().await;
            world.tell(format_args!("attempt {} {} {}", attempt.run, attempt.serial, attempt.step));
            let wrong = begins(&mut world.state(), &attempt, world.plan().slots);
            if let Err(what) = wrong {
                world.wrong(format!("{} {} of {}: {what}", attempt.step, attempt.serial, attempt.run));
            }
            let _at_work = AtWork(world.clone(), (attempt.run, attempt.serial));
            let outcome = action.execute(attempt).await;
            world.live().await;
            outcome
        })
    }

    /// Looks, of which no rule says how often.
    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        self.action.look(attempt)
    }

    fn settles(&self) -> Duration {
        self.action.settles()
    }

    fn called(&self, event: &Event) -> Outcome {
        self.action.called(event)
    }

    /// What is written down here names nothing of the machine.
    fn clean_up(&self, notes: Vec<Json>) -> Working<()> {
        let world = self.world.clone();
        Box::pin(async move {
            world.tell(format_args!("clean up {}", notes.len()));
            tokio::time::sleep(world.pause(30)).await;
        })
    }
}

fn begins(state: &mut State, attempt: &Attempt, slots: usize) -> Result<(), String> {
    let (run, serial) = (attempt.run, attempt.serial);
    let journal = state.journals.get(&run).map(Vec::as_slice).unwrap_or_default();
    let (before, after) = journal.split_at((serial as usize).min(journal.len()));
    match after.first().map(|entry| &entry.what) {
        Some(What::Attempted { step, key, attempt: number, .. }) => {
            if (step, key, *number) != (&attempt.step, &attempt.key, attempt.number) {
                return Err(format!("its entry is of {step} {key} {number}"));
            }
        }
        other => return Err(format!("its entry is not durable; there is {other:?}")),
    }
    may_begin(before, attempt)?;
    if let Some(before) = state.ledger.attempts.insert((run, serial), attempt.step.clone()) {
        return Err(format!("it is made a second time, before as {before}"));
    }
    if state.stopped.contains(&run) {
        return Err("an operator was told that its run begins nothing any more".to_owned());
    }
    // What it does has no steps that could be at work side by side.
    let group = state.groups.get(&run);
    if state.at_work.iter().any(|(other, _)| state.groups.get(other) == group) {
        return Err("another attempt of its group is at work".to_owned());
    }
    if state.at_work.len() >= slots {
        return Err(format!("{} others are at work, of {slots}", state.at_work.len()));
    }
    state.at_work.insert((run, serial));
    Ok(())
}

/// What the entries before its own say against it.
fn may_begin(before: &[Entry], attempt: &Attempt) -> Result<(), String> {
    for entry in before.iter().rev() {
        match &entry.what {
            What::Restarted { steps, .. } if steps.contains(&attempt.step) => return Ok(()),
            What::Ended { status, .. } => return Err(format!("its run has {}", status.name())),
            What::SupersedeAsked { .. } | What::CancelAsked { .. } => {
                return Err("its run was told to make way".to_owned());
            }
            What::Succeeded { step, .. } if *step == attempt.step => return Err("it is done".to_owned()),
            What::Attempted { step, key, .. } if *step == attempt.step && *key != attempt.key => {
                return Err(format!("its key was {key} before"));
            }
            _ => {}
        }
    }
    Ok(())
}
