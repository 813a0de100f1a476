//! The product's actions, each behind a look at what must hold when an attempt begins: its entry is durable, nothing that is done
//! is done again, nobody who was told to make way begins anything, and no limit is passed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::event::Event;
use pointsman_actors::executor::port::{
    Action, ActionInfo, Actions, Answer, Attempt, Effect, Inquiry, Misfit, Outcome, Part, Polling, Working, Written,
};
use pointsman_actors::ids::RunId;
use pointsman_actors::run::{Entry, What};
use serde_json::Value as Json;

use crate::families;
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

impl Watched {
    /// Makes an attempt, or looks for one.
    fn work(&self, attempt: Attempt, looks: bool) -> Working<Outcome> {
        let (world, action) = (self.world.clone(), Arc::clone(&self.action));
        Box::pin(async move {
            world.live().await;
            let what = if looks { "look" } else { "attempt" };
            world.tell(format_args!("{what} {} {} {}", attempt.run, attempt.serial, attempt.step));
            let wrong = begins(&mut world.state(), &attempt, looks, world.plan().slots);
            if let Err(what) = wrong {
                world.wrong(format!("{} {} of {}: {what}", attempt.step, attempt.serial, attempt.run));
            }
            let _at_work = AtWork(world.clone(), (attempt.run, attempt.serial));
            let outcome = if looks { action.look(attempt) } else { action.execute(attempt) }.await;
            world.live().await;
            outcome
        })
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
        self.work(attempt, false)
    }

    fn look(&self, attempt: Attempt) -> Working<Outcome> {
        self.work(attempt, true)
    }

    fn resumes(&self) -> bool {
        self.action.resumes()
    }

    fn parts(&self) -> Vec<Part> {
        self.action.parts()
    }

    fn settles(&self) -> Duration {
        self.action.settles()
    }

    fn called(&self, event: &Event, output: &Json) -> Outcome {
        self.action.called(event, output)
    }

    fn polling(&self) -> Option<Polling> {
        self.action.polling()
    }

    fn poll(&self, inquiry: Inquiry) -> Working<Answer> {
        let (world, action) = (self.world.clone(), Arc::clone(&self.action));
        Box::pin(async move {
            world.live().await;
            world.tell(format_args!("poll {} {}", inquiry.run, inquiry.step));
            let answer = action.poll(inquiry).await;
            world.live().await;
            answer
        })
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

fn begins(state: &mut State, attempt: &Attempt, looks: bool, slots: usize) -> Result<(), String> {
    let (run, serial) = (attempt.run, attempt.serial);
    let journal = state.journals.get(&run).map(Vec::as_slice).unwrap_or_default();
    let (before, after) = journal.split_at((serial as usize).min(journal.len()));
    match after.first().map(|entry| &entry.what) {
        Some(What::Attempted { step, key, attempt: number, .. }) if !looks => {
            if (step, key, *number) != (&attempt.step, &attempt.key, attempt.number) {
                return Err(format!("its entry is of {step} {key} {number}"));
            }
        }
        Some(What::Looking { step, attempt: number, .. }) if looks => {
            if (step, *number) != (&attempt.step, attempt.number) {
                return Err(format!("its entry is of {step} {number}"));
            }
        }
        other => return Err(format!("its entry is not durable; there is {other:?}")),
    }
    if !looks {
        may_begin(before, attempt)?;
    }
    if let Some(before) = state.ledger.attempts.insert((run, serial), attempt.step.clone()) {
        return Err(format!("it is made a second time, before as {before}"));
    }
    if state.stopped.contains(&run) && !looks {
        return Err("an operator was told that its run begins nothing any more".to_owned());
    }
    let workflow = state.records.get(&run).map(|record| record.workflow.as_str()).unwrap_or_default();
    let beside = state.at_work.iter().filter(|((other, _), _)| *other == run);
    if beside.clone().count() >= families::parallelism(workflow) || beside.clone().any(|(_, of)| *of == attempt.step) {
        return Err(format!("of the same run are at work {:?}", beside.collect::<Vec<_>>()));
    }
    let others: BTreeSet<RunId> = state.at_work.keys().map(|(other, _)| *other).filter(|other| *other != run).collect();
    let group = state.groups.get(&run);
    if others.iter().any(|other| state.groups.get(other) == group) {
        return Err("another attempt of its group is at work".to_owned());
    }
    // Steps that are at work side by side share the slot of their run.
    if others.len() >= slots {
        return Err(format!("{} others are at work, of {slots}", others.len()));
    }
    state.at_work.insert((run, serial), attempt.step.clone());
    Ok(())
}

/// What the entries before its own say against it.
fn may_begin(before: &[Entry], attempt: &Attempt) -> Result<(), String> {
    let mut goes_on_again = false;
    for entry in before.iter().rev() {
        match &entry.what {
            What::Restarted { steps, .. } if steps.contains(&attempt.step) => return Ok(()),
            What::Restarted { .. } => goes_on_again = true,
            What::Ended { .. }
            | What::Undoing { .. }
            | What::SupersedeAsked { .. }
            | What::CancelAsked { .. }
            | What::EndAsked { .. }
                if goes_on_again => {}
            What::Ended { status, .. } => return Err(format!("its run has {}", status.name())),
            // What is undone is undone when it was told so.
            What::Undoing { .. } if families::is_undo(&attempt.step) => return Ok(()),
            What::Undoing { .. } => return Err("what its run has done is undone".to_owned()),
            What::SupersedeAsked { .. } | What::CancelAsked { .. } | What::EndAsked { .. } => {
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
