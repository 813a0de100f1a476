//! Where callbacks and waits meet: what every store does, inside its commit, when an event comes and when
//! a run changes its waits. Learning a key and the arrival of its callback commute: whichever is later finds the
//! other.

use super::record::{Callback, Resolution, WaitChange, WaitRecord, WaitRef, WaitState, kind_of};
use crate::ids::{EventId, WaitId};
use crate::time::Timestamp;

/// Where a store keeps waits and the callbacks that came early. What one call changes, the next ones see.
pub trait Shelves {
    /// How reading fails.
    type Error;

    /// A wait.
    fn wait(&mut self, id: WaitId) -> Result<Option<WaitRecord>, Self::Error>;
    /// Puts a wait, instead of the one that has its id.
    fn put(&mut self, wait: &WaitRecord) -> Result<(), Self::Error>;
    /// The waits that have this key, resolved ones among them.
    fn with_key(&mut self, key: &str) -> Result<Vec<WaitId>, Self::Error>;
    /// Whether an open wait of this kind has no key yet.
    fn is_reserved(&mut self, kind: &str) -> Result<bool, Self::Error>;
    /// Keeps a callback for later waits.
    fn keep(&mut self, key: &str, kept: &Kept) -> Result<(), Self::Error>;
    /// The callbacks with this key that were received at `since` or later, in the order of their arrival.
    fn kept(&mut self, key: &str, since: Timestamp) -> Result<Vec<Kept>, Self::Error>;
}

/// A callback that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    /// The event.
    pub event: EventId,
    /// What it says.
    pub callback: Callback,
}

/// What an event does to waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// Those that it completes.
    pub completed: Vec<WaitRef>,
    /// Those that it would have completed, had it come before they were resolved.
    pub late: Vec<WaitId>,
    /// Until when it is kept for waits that come later.
    pub kept_until: Option<Timestamp>,
}

/// A wait that a run's changes have completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The wait.
    pub wait: WaitRef,
    /// The event that had called back before; none if it is the run's end that was waited for.
    pub event: Option<EventId>,
}

/// An event comes: every open wait that it matches is completed, and it is kept for those to come.
pub fn call<S: Shelves>(shelves: &mut S, event: EventId, callback: &Callback) -> Result<Called, S::Error> {
    let mut called = Called::default();
    let window = callback.until.since(callback.received_at);
    for key in &callback.keys {
        for id in shelves.with_key(key)? {
            let Some(wait) = shelves.wait(id)?.filter(|wait| wait.accepts(event, callback)) else { continue };
            match wait.state {
                WaitState::Open => {
                    called.completed.push(wait.reference());
                    resolve(shelves, wait, Resolution::Callback(event), callback.received_at)?;
                }
                // It had two of the keys.
                WaitState::Resolved { by: Resolution::Callback(by), .. } if by == event => {}
                WaitState::Resolved { at, .. } if callback.received_at.since(at) < window => called.late.push(id),
                WaitState::Resolved { .. } => {}
            }
        }
    }
    for key in &callback.keys {
        // Another wait of the same kind, or a run that has not come to its own, may still want it.
        if callback.awaited || shelves.is_reserved(kind_of(key))? {
            shelves.keep(key, &Kept { event, callback: callback.clone() })?;
            called.kept_until = Some(callback.until);
        }
    }
    Ok(called)
}

/// Whether these changes can be made as the waits are.
pub fn holds<S: Shelves>(shelves: &mut S, changes: &[WaitChange]) -> Result<bool, S::Error> {
    for change in changes {
        let holds = match change {
            WaitChange::Reserve(wait) => shelves.wait(wait.id)?.is_none(),
            // One that was lost with a damage is nobody's any more, and must not stop its run.
            WaitChange::Expect(wait) | WaitChange::Settle { wait, .. } => {
                shelves.wait(*wait)?.is_none_or(|wait| wait.is_open())
            }
            WaitChange::Want { wait, run } => shelves.wait(*wait)?.is_none_or(|wait| wait.wants(*run)),
            WaitChange::Bind { .. } | WaitChange::Close(_) | WaitChange::MakeWay(_) | WaitChange::Return { .. } => true,
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes changes that hold, and gives the waits that they complete.
pub fn change<S: Shelves>(shelves: &mut S, changes: &[WaitChange], now: Timestamp) -> Result<Vec<Met>, S::Error> {
    let mut met = Vec::new();
    for change in changes {
        match change {
            WaitChange::Reserve(wait) => {
                shelves.put(wait)?;
                met.extend(look_up(shelves, WaitRecord::clone(wait), now)?);
            }
            WaitChange::Expect(_) | WaitChange::Want { .. } => {}
            WaitChange::Bind { wait, keys } => {
                let Some(wait) = shelves.wait(*wait)? else { continue };
                let bound = WaitRecord { keys: keys.clone(), ..wait };
                shelves.put(&bound)?;
                match bound.state {
                    WaitState::Open => met.extend(look_up(shelves, bound, now)?),
                    // It had other keys before, and whoever binds it does not know yet.
                    WaitState::Resolved { by: Resolution::Callback(event), .. } => {
                        met.push(Met { wait: bound.reference(), event: Some(event) });
                    }
                    WaitState::Resolved { .. } => {}
                }
            }
            WaitChange::Settle { wait, by } => {
                if let Some(wait) = shelves.wait(*wait)? {
                    resolve(shelves, wait, *by, now)?;
                }
            }
            WaitChange::Close(wait) => close(shelves, *wait, Resolution::Cancel, now)?,
            WaitChange::MakeWay(wait) => close(shelves, *wait, Resolution::Supersede, now)?,
            WaitChange::Return { wait, run } => {
                let Some(wait) = shelves.wait(*wait)? else { continue };
                // Also whoever does not want it any more may wait until it is over.
                if !matches!(wait.state, WaitState::Resolved { by: Resolution::Run(_), .. }) {
                    met.push(Met { wait: wait.reference(), event: None });
                }
                if wait.is_open() {
                    resolve(shelves, wait, Resolution::Run(*run), now)?;
                }
            }
        }
    }
    Ok(met)
}

/// The earliest callback of a wait that came before its keys were known.
fn look_up<S: Shelves>(shelves: &mut S, wait: WaitRecord, now: Timestamp) -> Result<Option<Met>, S::Error> {
    let mut found: Option<Kept> = None;
    for key in &wait.keys {
        let kept = shelves.kept(key, wait.since)?.into_iter();
        let its_own = |kept: &Kept| wait.accepts(kept.event, &kept.callback) && kept.callback.until > now;
        let first = kept.chain(found).filter(its_own).min_by_key(|kept| (kept.callback.received_at, kept.event));
        found = first;
    }
    let Some(Kept { event, .. }) = found else { return Ok(None) };
    let met = Met { wait: wait.reference(), event: Some(event) };
    resolve(shelves, wait, Resolution::Callback(event), now)?;
    Ok(Some(met))
}

fn close<S: Shelves>(shelves: &mut S, wait: WaitId, by: Resolution, now: Timestamp) -> Result<(), S::Error> {
    match shelves.wait(wait)?.filter(WaitRecord::is_open) {
        Some(wait) => resolve(shelves, wait, by, now),
        None => Ok(()),
    }
}

fn resolve<S: Shelves>(shelves: &mut S, wait: WaitRecord, by: Resolution, at: Timestamp) -> Result<(), S::Error> {
    shelves.put(&WaitRecord { state: WaitState::Resolved { by, at }, ..wait })
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
