//! Where a run stands: its journal, folded. Running and recovering use the same fold, so that what a
//! process knows of a run is what the next one will know. What follows from it is in `outlook.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::failure::ErrorClass;
use super::port::Earlier;
pub use super::step_state::{Flying, Pause, StepState, Tries};
pub use super::steps::Steps;
use crate::run::{Entry, Ruling, RunRecord, RunStatus, Unclear, What};
use crate::time::Timestamp;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Whether it has begun, and whether it is over.
    pub life: Life,
    /// Its steps, as far as anything has happened to them.
    pub steps: Steps,
    /// How often it was restarted: part of the keys of its attempts.
    pub generation: u32,
    /// The generation in the key of a step that was done again, if it is not the first.
    keys: BTreeMap<String, u32>,
    /// Steps of which an attempt may have had its effect that is known of none: done again, they keep their key.
    doubtful: BTreeSet<String>,
    /// What the attempts at a step wrote down, as long as that is not done.
    noted: BTreeMap<String, Earlier>,
    /// When the first attempt was made under the key that a step has, of those that are called back.
    asked_at: BTreeMap<String, Timestamp>,
    /// It begins then at the soonest.
    pub begins_at: Option<Timestamp>,
    /// When it was started, or restarted: nothing older is meant for it.
    pub since: Timestamp,
    /// Number of entries in its journal.
    pub revision: u32,
    /// How much of its time was left at the last entry, once it has begun. Attempts and declared pauses
    /// use it up; waiting for a turn, or for a person, does not.
    pub left: Option<Duration>,
    /// How it ends once the attempts in flight have ended, and why.
    pub leaving: Option<(RunStatus, String)>,
    /// Whether another run has started it.
    pub child: bool,
    /// Whether an operator has stopped it for a while.
    pub paused: bool,
    /// Why its definition cannot be executed.
    pub blocked: Option<String>,
    /// Milliseconds spent in declared delays.
    pub delayed_ms: u64,
    /// How long limits have held it back.
    pub limited: Duration,
    /// When its last entry was written.
    pub at: Timestamp,
    /// The step whose failure for good ended it.
    pub culprit: Option<String>,
    /// The steps of whose failure it fails when what tells of that is done.
    pub fatal: BTreeSet<String>,
    /// When it ended, once it has.
    pub ended_at: Option<Timestamp>,
    /// Whether an operator wants nothing more of it, although it failed.
    pub dismissed: bool,
}

/// Whether a run has begun, and whether it is over.
#[derive(Clone, Debug, PartialEq)]
pub enum Life {
    /// It has not begun.
    Queued,
    /// It has.
    Begun,
    /// It ends so, when what it has done is undone.
    Undoing {
        /// How it will end.
        status: RunStatus,
        /// Why, in words.
        reason: Option<String>,
    },
    /// It is over.
    Over {
        /// How it ended.
        status: RunStatus,
        /// Why, in words.
        reason: Option<String>,
    },
}

impl Progress {
    /// Of a run that was just started.
    pub fn new(run: &RunRecord) -> Self {
        let RunRecord { started_at, begins_at, .. } = *run;
        Self {
            life: Life::Queued,
            steps: Steps::default(),
            generation: 0,
            keys: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            noted: BTreeMap::new(),
            asked_at: BTreeMap::new(),
            begins_at,
            since: started_at,
            revision: 0,
            left: None,
            leaving: None,
            child: run.parent.is_some(),
            paused: false,
            blocked: None,
            delayed_ms: 0,
            limited: Duration::ZERO,
            at: started_at,
            culprit: None,
            fatal: BTreeSet::new(),
            ended_at: None,
            dismissed: false,
        }
    }

    /// Of a run with this journal.
    pub fn of(run: &RunRecord, journal: &[Entry]) -> Self {
        let mut progress = Self::new(run);
        for entry in journal {
            progress.add(entry);
        }
        progress
    }

    /// Folds one more entry in.
    pub fn add(&mut self, entry: &Entry) {
        self.spend(entry.at);
        let serial = self.revision;
        self.revision += 1;
        self.blame(&entry.what);
        self.doubt(entry);
        self.note(&entry.what);
        match &entry.what {
            What::Begun { may_take_ms } => {
                self.left = Some(Duration::from_millis(*may_take_ms));
                self.life = Life::Begun;
            }
            What::SupersedeAsked { reason } => self.leave(RunStatus::Superseded, reason),
            What::CancelAsked { reason } => self.leave(RunStatus::Cancelled, reason),
            // Whatever it has to undo waits until it may go on.
            What::EndAsked { status, reason } => self.leaving = Some((*status, reason.clone())),
            What::Paused => self.paused = true,
            What::Resumed => self.paused = false,
            What::Blocked { reason } => self.blocked = Some(reason.clone()),
            What::Unblocked => self.blocked = None,
            What::Restarted { steps, generation } => {
                self.restarted(steps, *generation);
                self.since = entry.at;
            }
            What::Undoing { status, reason } => {
                self.life = Life::Undoing { status: *status, reason: reason.clone() };
                // What must be undone has the time that it takes.
                (self.left, self.leaving, self.limited) = (None, None, Duration::ZERO);
                self.steps.values_mut().for_each(StepState::abandon);
                // Whoever cancels it wants it to end.
                self.paused &= *status != RunStatus::Cancelled;
            }
            What::Dismissed { .. } => self.dismissed = true,
            What::Ended { status, reason } => {
                self.life = Life::Over { status: *status, reason: reason.clone() };
                self.ended_at = Some(entry.at);
            }
            of_a_step => {
                let Some((step, state)) = self.step_after(of_a_step, serial) else { return };
                self.steps.insert(step, state);
            }
        }
    }

    /// It ends so: nothing holds it up any more but what is at work.
    fn leave(&mut self, status: RunStatus, reason: &str) {
        self.leaving = Some((status, reason.to_owned()));
        self.paused = false;
    }

    /// Remembers which steps may have had an effect that nobody knows of.
    fn doubt(&mut self, entry: &Entry) {
        match &entry.what {
            What::Attempted { step, wait: Some(_), .. } => _ = self.asked_at.entry(step.clone()).or_insert(entry.at),
            What::Interrupted { step, .. } | What::WillLook { step, .. } => _ = self.doubtful.insert(step.clone()),
            What::Failed { step, error, .. } if error.in_doubt => _ = self.doubtful.insert(step.clone()),
            What::Succeeded { step, .. } | What::Waiting { step, .. } | What::Decided { step, .. } => {
                self.doubtful.remove(step);
            }
            _ => {}
        }
    }

    /// Remembers what attempts wrote down. What has failed goes on from there when it is begun again, also in another
    /// generation; what is done and is done again begins anew.
    fn note(&mut self, what: &What) {
        match what {
            What::Noted { step, note, .. } => self.noted.entry(step.clone()).or_default().notes.push(note.clone()),
            What::Succeeded { step, .. }
            | What::Waiting { step, .. }
            | What::Skipped { step, .. }
            | What::Decided { step, ruling: Ruling::Done { .. }, .. } => _ = self.noted.remove(step),
            What::Decided { step, .. } => {
                if let Some(noted) = self.noted.get_mut(step) {
                    noted.ruled = noted.notes.len();
                }
            }
            _ => {}
        }
    }

    /// What the attempts at a step wrote down that is not done.
    pub fn earlier(&self, step: &str) -> Earlier {
        self.noted.get(step).cloned().unwrap_or_default()
    }

    /// Since when a step may be called back under the key that it has, if it was attempted.
    pub fn asked_at(&self, step: &str) -> Option<Timestamp> {
        self.asked_at.get(step).copied()
    }

    /// The generation in the key of a step's attempts.
    pub fn key_generation(&self, step: &str) -> u32 {
        self.keys.get(step).copied().unwrap_or_default()
    }

    /// Remembers which step it is that ends the run.
    fn blame(&mut self, what: &What) {
        if let What::Failed { step, fatal: true, .. } = what {
            self.fatal.insert(step.clone());
        }
        match what {
            What::Ended { status: RunStatus::Failed, .. } if self.culprit.is_none() => {
                self.culprit = self.fatal.first().cloned();
            }
            What::Ended { .. } | What::EndAsked { .. } | What::Undoing { .. } | What::Dismissed { .. } => {}
            // What happens on its way out is not why it ends.
            _ if self.is_over() || self.leaving.is_some() || self.is_undoing() => {}
            What::Failed { step, retry_at: None, .. } => self.culprit = Some(step.clone()),
            _ => self.culprit = None,
        }
    }

    /// What an entry makes of its step.
    fn step_after(&self, what: &What, serial: u32) -> Option<(String, StepState)> {
        let tries = |step: &str| self.steps.get(step).map(StepState::tries).unwrap_or_default();
        let (step, state) = match what {
            What::Attempted { step, attempt, until, wait, .. } => {
                let tries = Tries { attempts: *attempt, wait: *wait, unclear: None, ..tries(step) };
                (step, StepState::Attempting(Flying { serial, until: *until, notes: Vec::new(), tries }))
            }
            What::Looking { step, until, .. } => {
                let tries = tries(step);
                (step, StepState::Attempting(Flying { serial, until: *until, notes: Vec::new(), tries }))
            }
            What::Absent { step, .. } => (step, StepState::Again(Tries { unclear: None, looks: 0, ..tries(step) })),
            What::Noted { step, note, .. } => {
                let StepState::Attempting(mut flying) = self.steps.get(step)?.clone() else { return None };
                flying.notes.push(note.clone());
                (step, StepState::Attempting(flying))
            }
            What::Succeeded { step, output, .. } | What::Decided { step, ruling: Ruling::Done { output }, .. } => {
                (step, StepState::Done { output: output.clone() })
            }
            What::Failed { step, error, retry_at, unclear, .. } => {
                let before = tries(step);
                // A callback that says so has ended its wait; the next attempt has another.
                let is_flying = matches!(self.steps.get(step), Some(StepState::Attempting(_)));
                let (wait, unclear) = (before.wait.filter(|_| is_flying), *unclear);
                let falls = before.falls + u32::from(error.class == ErrorClass::Internal);
                let tries = match before.unclear {
                    // It was a look that failed.
                    Some(_) if is_flying => {
                        let (looks, refusals) = (before.looks + error.costs(), error.refusals(before.refusals));
                        Tries { looks, refusals, deaths: 0, unclear, ..before }
                    }
                    _ => Tries {
                        failures: before.failures + error.costs(),
                        refusals: error.refusals(before.refusals),
                        falls,
                        deaths: 0,
                        wait,
                        unclear,
                        looks: 0,
                        ..before
                    },
                };
                let pause = if error.costs() > 0 { Pause::Retry } else { Pause::Limit };
                let retry = |until| StepState::Pausing { until, pause, tries };
                (step, retry_at.map_or_else(|| StepState::Failed(error.clone()), retry))
            }
            What::Interrupted { step, alone, look_at, .. } => {
                let before = tries(step);
                // A death among others counts against no one.
                let tries = Tries { deaths: before.deaths + u32::from(*alone), ..before };
                let unclear = before.unclear.or(Some(Unclear::Repeat));
                let look = |until| StepState::Pausing { until, pause: Pause::Retry, tries: Tries { unclear, ..tries } };
                (step, look_at.map_or(StepState::Again(tries), look))
            }
            What::WillLook { step, at_soonest, .. } => {
                (step, StepState::Pausing { until: *at_soonest, pause: Pause::Retry, tries: tries(step) })
            }
            What::Decided { step, ruling: Ruling::Repeat, .. } => {
                (step, StepState::Again(Tries { wait: None, unclear: None, ..tries(step) }))
            }
            What::Waiting { step, wait, keys, run, output, .. } => {
                let tries = Tries { wait: Some(*wait), unclear: None, ..tries(step) };
                let output = Some(output).filter(|output| !output.is_null()).cloned().map(Box::new);
                (step, StepState::Waiting { keys: keys.clone(), run: *run, until: wait.until, output, tries })
            }
            What::Held { step, service, unclear, .. } => {
                let before = tries(step);
                let tries = Tries { deaths: 0, unclear: unclear.or(before.unclear), ..before };
                (step, StepState::Held { service: service.clone(), tries })
            }
            What::Delayed { step, until } => {
                (step, StepState::Pausing { until: *until, pause: Pause::Delay, tries: Tries::default() })
            }
            What::Parked { step, reason, .. } => {
                (step, StepState::InDoubt { reason: reason.clone(), tries: tries(step) })
            }
            What::Unwanted { step, past } => {
                let StepState::Waiting { run: Some(run), tries, .. } = *self.steps.get(step)? else { return None };
                (step, StepState::Unwanted { run, past: past.clone(), tries })
            }
            What::Skipped { step, past, .. } => (step, StepState::Skipped { past: past.clone() }),
            // What follows from the failure stands in an entry of its own.
            What::Decided { .. }
            | What::Begun { .. }
            | What::SupersedeAsked { .. }
            | What::CancelAsked { .. }
            | What::EndAsked { .. }
            | What::Paused
            | What::Resumed
            | What::Blocked { .. }
            | What::Unblocked
            | What::Restarted { .. }
            | What::Undoing { .. }
            | What::Dismissed { .. }
            | What::Ended { .. } => return None,
        };
        Some((step.clone(), state))
    }

    fn restarted(&mut self, steps: &[String], generation: u32) {
        self.steps.retain(|step| !steps.contains(step));
        self.fatal.retain(|step| !steps.contains(step));
        // Whoever recognises the key does nothing twice.
        for step in steps.iter().filter(|step| !self.doubtful.contains(*step)) {
            self.keys.insert(step.clone(), generation);
            self.asked_at.remove(step);
        }
        self.generation = generation;
        self.life = Life::Queued;
        self.left = None;
        self.leaving = None;
        self.paused = false;
        (self.culprit, self.ended_at, self.dismissed) = (None, None, false);
        self.limited = Duration::ZERO;
    }

    /// What has passed of its time between the last entry and `now`. A pause counts up to its end, an
    /// attempt up to when it is dropped, however late anybody finds out.
    fn spent(&self, now: Timestamp) -> Duration {
        let active = self.steps.values().filter_map(|step| step.active_until(self.paused));
        active.map(|until| now.min(until).since(self.at)).max().unwrap_or_default()
    }

    /// How long limits have held it back between the last entry and `now`.
    fn limited_since(&self, now: Timestamp) -> Duration {
        let limits = self.steps.values().filter_map(|step| match step {
            StepState::Pausing { until, pause: Pause::Limit, .. } if !self.paused => Some(*until),
            _ => None,
        });
        limits.map(|until| now.min(until).since(self.at)).max().unwrap_or_default()
    }

    /// How much of its time is left; `None` as long as it has not begun.
    pub fn left_at(&self, now: Timestamp) -> Option<Duration> {
        self.left.map(|left| left.saturating_sub(self.spent(now)))
    }

    fn spend(&mut self, now: Timestamp) {
        if self.is_over() {
            self.at = self.at.max(now);
            return;
        }
        let delays = self.steps.values().filter_map(|step| match step {
            StepState::Pausing { until, pause: Pause::Delay, .. } | StepState::Waiting { until, .. }
                if !self.paused =>
            {
                Some(*until)
            }
            _ => None,
        });
        self.limited = self.limited.saturating_add(self.limited_since(now));
        let delayed = delays.map(|until| now.min(until).since(self.at)).max().unwrap_or_default();
        self.delayed_ms = self.delayed_ms.saturating_add(u64::try_from(delayed.as_millis()).unwrap_or(u64::MAX));
        self.left = self.left_at(now);
        // A clock that was set back makes nothing happen twice.
        self.at = self.at.max(now);
    }
}
