//! What must hold, in words. Most of it is looked at where something changes (`world.rs`); here is what must hold when
//! nothing more happens by itself.

use pointsman_actors::executor::outages::Outages;
use pointsman_actors::ids::EventId;
use pointsman_actors::run::{RunStatus, Standing, What};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::record::{Callback, Resolution, WaitRecord, WaitState};

use crate::process::{Live, Power, Process};
use crate::seen::Seen;
use crate::setup::Setup;
use crate::world::{Run, World};

/// Invariants 5 and 13.
pub const INTENT: &str = "no request leaves before its attempt, and the wait of that, are durable";
/// Invariant 15.
pub const RESOLVED_ONCE: &str = "a wait is resolved once and stays so";
/// Invariants 6 and 7.
pub const ONE_OUTCOME: &str = "a step has one outcome in each generation";
/// Invariant 9.
pub const ONCE: &str = "what must not happen twice happens once, unless an operator says again";
/// Invariant 14.
pub const DELIVERED: &str = "a callback that was first is what its step ends with";
/// Invariant 19.
pub const SILENT: &str = "after the answer to cancel or pause no attempt is begun";
/// Invariant 24.
pub const NO_SILENT_STOP: &str = "what is not over waits for a time, a callback, an operator or its turn";
/// Invariant 10: nobody adds to a journal but who knows all of it.
pub const FOLD: &str = "what is added to a journal was decided where it ends";
/// Invariant 16.
pub const SLOTS: &str = "no more are at work than there are slots";
/// Invariant 17.
pub const MAKES_WAY: &str = "a run that makes way begins nothing more";
/// Invariant 17.
pub const BESIDE: &str = "nobody of a group is at work beside another one";
/// Invariant 17.
pub const NEWEST: &str = "the last effect is that of the newest";

/// All of them.
pub const ALL: [&str; 12] = [
    INTENT,
    RESOLVED_ONCE,
    ONE_OUTCOME,
    ONCE,
    DELIVERED,
    SILENT,
    NO_SILENT_STOP,
    FOLD,
    SLOTS,
    MAKES_WAY,
    BESIDE,
    NEWEST,
];

/// Whether an event in the log calls this wait back, and would have to resolve it.
pub fn is_called(events: &[Seen<(EventId, Callback)>], wait: &WaitRecord) -> bool {
    events.iter().any(|event| {
        let (id, callback) = &**event;
        callback.keys.iter().any(|key| wait.keys.contains(key)) && wait.accepts(*id, callback)
    })
}

/// The rule that does not hold when nothing more happens by itself.
pub fn broken_at_rest(setup: &Setup, world: &World) -> Option<&'static str> {
    if !is_at_rest(world) {
        return None;
    }
    let stands_still = world.runs.iter().any(|run| stands_still(setup, world, run));
    let is_dropped = world.shelves.waits().any(|wait| is_dropped(world, wait));
    match (stands_still, is_dropped, is_newest_last(setup, world)) {
        (true, ..) => Some(NO_SILENT_STOP),
        (_, true, _) => Some(DELIVERED),
        (.., false) => Some(NEWEST),
        _ => None,
    }
}

/// Whether nothing more happens unless time passes, somebody calls back, or an operator says something.
pub fn is_at_rest(world: &World) -> bool {
    let mut on = world.processes.iter().filter(|process| process.is_on()).peekable();
    // One that is stopped while another one has taken over may be so for ever. Of two that both went on the one that
    // knows more may be the one that is stopped.
    let is_stopped = world.processes.iter().any(|process| process.power == Power::Stopped);
    let is_awaited = world.calls.iter().any(|call| call.is_awaited && world.processes[call.process].is_on());
    on.peek().is_some()
        && !(is_stopped && world.is_shared)
        && !is_awaited
        && on.all(|process| !process.is_at_work(world.now))
}

fn stands_still(setup: &Setup, world: &World, run: &Run) -> bool {
    let number = world.number_of(run.record.id);
    let is_fine = |process: &Process| {
        let (live, armed) = (process.live.get(&number), process.armed.get(&number).copied());
        live.is_some_and(|live| {
            let is_known = live.progress.revision == run.progress.revision;
            // One that somebody else has added to is read again when it is woken.
            if is_known { waits_for_something(setup, world, run, (live, armed)) } else { armed.is_some() }
        })
    };
    !run.progress.is_over() && !world.processes.iter().any(|process| process.is_on() && is_fine(process))
}

fn waits_for_something(setup: &Setup, world: &World, run: &Run, (live, armed): (&Live, Option<Timestamp>)) -> bool {
    let progress = &live.progress;
    if progress.wake(world.now) != armed {
        return false;
    }
    match progress.standing(&setup.definition, world.now, &Outages::default()) {
        Standing::Held => true,
        Standing::Parked => armed.is_some() || progress.paused || progress.is_in_doubt(),
        // Its turn comes when that of another one is over.
        Standing::Queued | Standing::Runnable => {
            let is_begun = |other: &Run| !other.progress.is_over() && other.progress.left.is_some();
            setup.definition.concurrency.is_some()
                && world.runs.iter().any(|other| other.record.id != run.record.id && is_begun(other))
        }
        Standing::Busy | Standing::Settling | Standing::Over => false,
    }
}

/// Whether an event has resolved this wait, and its step does not say so.
fn is_dropped(world: &World, wait: &WaitRecord) -> bool {
    let WaitState::Resolved { by: Resolution::Callback(event), .. } = wait.state else { return false };
    let run = &world.runs[world.number_of(wait.run.id)];
    let is_heard = run.journal.iter().any(|entry| match &entry.what {
        What::Succeeded { step, event: by, .. } => *step == wait.step && *by == Some(event),
        What::Decided { step, .. } => *step == wait.step,
        What::Restarted { .. } => true,
        What::Ended { status, .. } => matches!(status, RunStatus::Cancelled | RunStatus::Superseded),
        _ => false,
    });
    // A process that was not told looks when the time of its run has come.
    let number = world.number_of(wait.run.id);
    let will_look =
        world.processes.len() > 1 && world.processes.iter().any(|process| process.armed.contains_key(&number));
    !is_heard && !run.progress.paused && !will_look
}

/// Whether the last effect belongs to the newest run of a group, when all are over.
fn is_newest_last(setup: &Setup, world: &World) -> bool {
    let newest = world.runs.iter().map(Run::order).max();
    setup.definition.concurrency.is_none()
        || world.runs.iter().any(|run| !run.progress.is_over())
        || world.last_effect == newest
}
