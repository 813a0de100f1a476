//! What must hold when an entry of a run becomes durable that has to do with other runs, or with what it has done: who is
//! started, who may still begin something, who ends before whom, and what is undone.

use std::collections::{BTreeMap, BTreeSet};

use pointsman_actors::ids::RunId;
use pointsman_actors::run::{Entry, Ruling, RunStatus, StoredRun, What};
use pointsman_actors::wait::record::{Resolution, WaitState};

use crate::world::State;

/// What begins the name of a step that undoes another one.
const UNDO: &str = "undo/";

/// Steps that can be undone, each after those that are built on it.
const UNDONE: [(&str, &[&str]); 3] = [("graph", &["d", "b", "a"]), ("family", &["prepare"]), ("child", &["build"])];

/// Whether a run speaks of something that is to be undone.
pub fn is_undo(step: &str) -> bool {
    step.starts_with(UNDO)
}

/// How many steps of a run of this workflow may be at work at once.
pub fn parallelism(workflow: &str) -> usize {
    if workflow == "graph" { 4 } else { 1 }
}

/// An entry of a run is durable, after those that are known of it. Says what must not be.
pub fn durable(state: &mut State, run: RunId, entry: &Entry) -> Result<(), String> {
    match &entry.what {
        // Whoever ends it lets go on what stopped it, to its end.
        What::Resumed | What::CancelAsked { .. } | What::SupersedeAsked { .. } => {
            state.stopped.remove(&run);
            Ok(())
        }
        What::Undoing { status, .. } => {
            if *status == RunStatus::Cancelled {
                state.stopped.remove(&run);
            }
            ends_last(state, run)
        }
        What::Waiting { run: Some(child), .. } => {
            if !state.records.contains_key(child) {
                return Err(format!("{run} waits for {child}, which was never started"));
            }
            match state.parents.insert(*child, run) {
                Some(other) => Err(format!("{child} was started by {other}, and by {run}")),
                None => Ok(()),
            }
        }
        What::Attempted { step, .. } if !is_undo(step) => may_begin(state, run),
        What::Succeeded { step, attempt: 0, .. } => match started(journal(state, run), step) {
            // Whoever makes way has given nothing, and neither has failed.
            Some(child)
                if !matches!(end(journal(state, child)), Some(RunStatus::Succeeded | RunStatus::Superseded)) =>
            {
                Err(format!("{step} of {run} succeeded, and {child} did not"))
            }
            _ => Ok(()),
        },
        What::Ended { status, .. } => {
            ends_last(state, run)?;
            is_undone(state, run, *status)
        }
        _ => Ok(()),
    }
}

fn journal(state: &State, run: RunId) -> &[Entry] {
    state.journals.get(&run).map(Vec::as_slice).unwrap_or_default()
}

/// The run that this step has started last, if it is one that starts runs.
fn started(journal: &[Entry], step: &str) -> Option<RunId> {
    journal.iter().rev().find_map(|entry| match &entry.what {
        What::Waiting { step: of, run, .. } if of == step => Some(*run),
        _ => None,
    })?
}

/// How a run has ended, if it has.
fn end(journal: &[Entry]) -> Option<RunStatus> {
    journal.iter().rev().find_map(|entry| match &entry.what {
        What::Ended { status, .. } => Some(Some(*status)),
        What::Restarted { .. } => Some(None),
        _ => None,
    })?
}

/// Nobody who is told to end, or whom nobody wants any more, begins anything.
fn may_begin(state: &State, run: RunId) -> Result<(), String> {
    let mut this = run;
    loop {
        if state.ending.contains(&this) {
            return Err(format!("{run} begins an attempt, and an operator was told that {this} ends"));
        }
        let Some(parent) = state.records.get(&this).and_then(|record| record.parent.as_deref()) else { return Ok(()) };
        if let Some(why) = given_up(journal(state, parent.run), this) {
            return Err(format!("{run} begins an attempt, and {} does not want {this}: {why}", parent.run));
        }
        this = parent.run;
    }
}

/// Why whoever has this journal waits for `child` no longer, other than for its end.
fn given_up(journal: &[Entry], child: RunId) -> Option<String> {
    let place =
        journal.iter().position(|entry| matches!(&entry.what, What::Waiting { run, .. } if *run == Some(child)));
    let after = journal.get(place? + 1..).unwrap_or_default();
    after.iter().find_map(|entry| match &entry.what {
        What::CancelAsked { .. }
        | What::SupersedeAsked { .. }
        | What::EndAsked { .. }
        | What::Undoing { .. }
        | What::Ended { .. } => Some(format!("{:?}", entry.what)),
        What::Unwanted { step, .. } if started(journal, step) == Some(child) => Some(format!("{:?}", entry.what)),
        _ => None,
    })
}

/// Whoever ends, or undoes what it has done, does so after those whom it has started have ended.
fn ends_last(state: &State, run: RunId) -> Result<(), String> {
    for entry in journal(state, run) {
        let What::Waiting { run: Some(child), .. } = &entry.what else { continue };
        // An operator may have begun it again since then.
        if !journal(state, *child).iter().any(|entry| matches!(entry.what, What::Ended { .. })) {
            return Err(format!("{run} ends before {child}, which it has started"));
        }
    }
    Ok(())
}

/// Of a run that fails, was cancelled or is out of time all is undone that was done, and of any other nothing.
fn is_undone(state: &State, run: RunId, status: RunStatus) -> Result<(), String> {
    let workflow = state.records.get(&run).map(|record| record.workflow.as_str()).unwrap_or_default();
    let Some((_, steps)) = UNDONE.iter().find(|(of, _)| *of == workflow) else { return Ok(()) };
    let undoes = matches!(status, RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut);
    let (mut keys, mut done): (BTreeMap<&str, &str>, BTreeSet<&str>) = (BTreeMap::new(), BTreeSet::new());
    let mut order = Vec::new();
    for entry in journal(state, run) {
        match &entry.what {
            What::Attempted { step, key, .. } => _ = keys.insert(step, key),
            What::Succeeded { step, .. } | What::Decided { step, ruling: Ruling::Done { .. }, .. } => {
                done.insert(step);
                order.extend(step.strip_prefix(UNDO));
            }
            What::Restarted { steps, .. } => {
                done.retain(|step| !steps.iter().any(|again| again == step));
                keys.retain(|step, _| !steps.iter().any(|again| again == step));
                order.clear();
            }
            _ => {}
        }
    }
    for step in *steps {
        let (is_done, is_undone) = (done.contains(step), done.contains(format!("{UNDO}{step}").as_str()));
        if is_undone != (is_done && undoes) {
            return Err(format!("{run} has {}; {step} is done: {is_done}, undone: {is_undone}", status.name()));
        }
        let key = keys.get(step).copied().unwrap_or_default();
        let shelf = &state.ledger.shelf;
        if shelf.has_unmade(key) != is_undone || is_done && !shelf.has(key) {
            return Err(format!("{run} has {}; {key} is not as its journal says", status.name()));
        }
    }
    let is_before = |one: &str, other: &str| {
        let place = |step: &str| order.iter().position(|of| *of == step);
        place(one).zip(place(other)).is_none_or(|(one, other)| one < other)
    };
    if workflow == "graph" && !(is_before("d", "a") && is_before("d", "b")) {
        return Err(format!("{run} undoes in the order {order:?}"));
    }
    Ok(())
}

/// What must be of a run at the end, as far as others have to do with it. Says what is not.
pub fn at_rest(state: &State, stored: &StoredRun) -> Result<(), String> {
    let StoredRun { record, head, .. } = stored;
    let parent = record.parent.as_deref().map(|parent| parent.run);
    if state.parents.get(&record.id).copied() != parent {
        return Err(format!("it was started by {parent:?}, whose journal says nothing of it"));
    }
    if head.in_doubt {
        return Err("nobody decides about it".to_owned());
    }
    let is_unwanted = || parent.is_some_and(|parent| given_up(journal(state, parent), record.id).is_some());
    match head.status {
        RunStatus::Succeeded | RunStatus::Superseded => Ok(()),
        RunStatus::Cancelled if state.cancelled.contains(&record.id) || is_unwanted() => Ok(()),
        // That is its parent's affair.
        RunStatus::Failed | RunStatus::TimedOut if parent.is_some() => Ok(()),
        _ => Err(format!("it has {}: {:?}", head.status.name(), head.reason)),
    }
}

/// Whether a wait that is resolved by the end of a run is resolved by one that has ended.
pub fn is_resolved(state: &State, wait: WaitState) -> bool {
    match wait {
        WaitState::Open => false,
        WaitState::Resolved { by: Resolution::Run(run), .. } => end(journal(state, run)).is_some(),
        WaitState::Resolved { .. } => true,
    }
}
