//! Runs that start other runs: the child is started in the commit of its parent's journal, and resolves the wait of
//! its parent in the commit of its own end. Pure; a part of [`super::decide`].
//!
//! A child that its parent waits for no longer is not wanted any more: it begins no attempt, and ends when it hears of it.

use serde_json::{Map, Value as Json, json};

use super::command::Command;
use super::decide::{Decision, Happening, Next};
use super::failure::{ErrorClass, Failure};
use super::port::{Outcome, Success};
use super::progress::{Life, Progress, StepState};
use crate::ids::RunId;
use crate::run::{Ancestor, Parent, RunRecord, RunStatus, StoredRun, What};
use crate::wait::record::{Resolution, WaitChange, WaitRecord, WaitState};
use crate::workflow::definition::{Definition, Step};

/// The kind of the keys of waits for the end of a run.
const KIND: &str = "pointsman:run";

impl Next<'_> {
    /// A step that starts a run, and waits for its end. The run is what its own would be: of the same event, as urgent,
    /// and in the same turn.
    pub(super) fn run_workflow(&mut self, step: &Step, mut with: Map<String, Json>) {
        let Some((waits, child)) = step.waits.as_ref().zip(step.child.as_ref()) else { return };
        let id = RunId::child_of(self.run.id, self.progress.revision);
        let keys = vec![format!("{KIND}:{id}")];
        let wait = self.open_wait(step, waits, (keys.clone(), KIND.to_owned()), self.now);
        let input = match with.remove("input") {
            Some(Json::Object(input)) => input,
            _ => Map::new(),
        };
        let Self { run: parent, now, .. } = *self;
        self.starts.push(RunRecord {
            id,
            workflow: child.workflow.clone(),
            definition: child.definition.clone(),
            event: parent.event,
            route: parent.route.clone(),
            generation: parent.generation,
            priority: parent.priority,
            subject: parent.subject.clone(),
            fair_key: parent.fair_key.clone(),
            input,
            seen: parent.seen.clone().filter(|_| child.reads_event),
            started_at: now,
            begins_at: child.quiet().map(|quiet| now.plus(quiet)),
            parent: Some(Box::new(Parent {
                run: parent.id,
                workflow: parent.workflow.clone(),
                step: step.name.clone(),
                wait: wait.id,
                above: parent.lineage(),
            })),
        });
        let (step, output) = (step.name.clone(), Json::Null);
        self.write(What::Waiting { step, attempt: 0, wait, keys, output, run: Some(id) });
    }
}

/// What the end of a run says to the one that has started it.
pub(super) fn returns(run: &RunRecord) -> Option<WaitChange> {
    run.parent.as_ref().map(|parent| WaitChange::Return { wait: parent.wait, run: run.id })
}

/// On what an attempt of a run depends that another one has started: that it is wanted, and so is that one.
pub(super) fn is_wanted(run: &RunRecord) -> Vec<WaitChange> {
    run.lineage().into_iter().map(|Ancestor { wait, run }| WaitChange::Want { wait, run }).collect()
}

/// The runs that a run has started, and with this decision waits for no longer: they are to look, each in its workflow.
pub(super) fn left(definition: &Definition, before: &Progress, decision: &Decision) -> Vec<(String, RunId)> {
    let is_left = |wait| {
        let ends = |change: &WaitChange| match change {
            WaitChange::Settle { wait: of, .. } | WaitChange::Close(of) | WaitChange::MakeWay(of) => *of == wait,
            _ => false,
        };
        decision.waits.iter().any(ends)
    };
    let left = before.children().filter(|(_, _, wait)| is_left(*wait));
    left.filter_map(|(step, run, _)| Some((definition.step(step)?.child.as_ref()?.workflow.clone(), run))).collect()
}

/// What a run hears of `wait`, which is its parent's or that of one above; nothing while it is wanted. When that makes way
/// it does so as well, and undoes nothing: neither has a further effect.
pub(super) fn hears(run: &RunRecord, wait: &WaitRecord) -> Option<Happening> {
    let reason = unwanted(run, wait)?;
    Some(match wait.state {
        WaitState::Resolved { by: Resolution::Supersede, .. } => Happening::Superseded(reason),
        _ => Happening::Told(Command::Cancel { reason }),
    })
}

/// Why a run is not wanted that has such a `wait` above it, in words.
pub(super) fn unwanted(run: &RunRecord, wait: &WaitRecord) -> Option<String> {
    let of = run.lineage().into_iter().find(|above| above.wait == wait.id && !wait.wants(above.run))?;
    let (whom, start) =
        if of.run == run.id { ("it", "which has started it") } else { ("what has started it", "far above") };
    let why = match wait.state {
        WaitState::Resolved { by: Resolution::Timeout, .. } => format!("did not wait any longer for {whom}"),
        WaitState::Resolved { by: Resolution::Supersede, .. } => "makes way for a newer run".to_owned(),
        _ => format!("does not want {whom} any more"),
    };
    Some(format!("{}, {start}, {why}", wait.run.id))
}

/// What the end of a run says to the step that has started it. An operator may have begun it again since then; that is
/// another end.
pub(super) fn outcome(run: &StoredRun) -> Outcome {
    let StoredRun { record, journal, .. } = run;
    let (id, workflow) = (record.id, &record.workflow);
    let failed = |why: String| Failure::new(ErrorClass::RunFailed, format!("{id} of `{workflow}` {why}"));
    let mut progress = Progress::new(record);
    for entry in journal {
        progress.add(entry);
        if progress.is_over() {
            break;
        }
    }
    let is_in_doubt = progress.is_in_doubt();
    let is_poison = progress.head(progress.at).poison;
    let Life::Over { status, reason } = progress.life else { return Err(failed("is not over".to_owned())) };
    let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let ended = format!("ended as {}{why}", status.name());
    if is_in_doubt {
        let doubt = format!("{ended}; nobody knows whether an attempt of it had its effect: decide about that first");
        return Err(failed(doubt).in_doubt());
    }
    match status {
        RunStatus::Succeeded => {}
        RunStatus::Superseded => return Ok(Success::Superseded(format!("{id} of `{workflow}` {ended}"))),
        _ if is_poison => return Err(failed(ended).poison()),
        _ => return Err(failed(ended)),
    }
    let outputs = progress.steps.into_iter().filter_map(|(step, state)| match state {
        StepState::Done { output } => Some((step, output)),
        _ => None,
    });
    let outputs: Map<String, Json> = outputs.collect();
    Ok(Success::Done(json!({ "run": id, "workflow": workflow, "status": status, "outputs": outputs })))
}

#[cfg(test)]
#[path = "child_tests.rs"]
mod tests;
