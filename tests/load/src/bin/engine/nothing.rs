//! The action that does nothing, and notes when it was called and when it returned. Its attempts wait until
//! the measurement begins, so that all runs are there by then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pointsman_actors::executor::port::{
    Accepts, Action, ActionInfo, Attempt, EffectClass, OnDoubt, Outcome, Parameter, Success, Working,
};
use pointsman_actors::ids::RunId;
use serde_json::{Value, json};
use tokio::sync::watch;

static INFO: ActionInfo = ActionInfo {
    name: "nothing",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[Parameter { name: "text", accepts: Accepts::Text, default: None }],
    timeout: Some(Duration::from_secs(3_600)),
    waits: None,
    services: &[],
};

/// The action.
pub struct Nothing {
    begun: watch::Sender<bool>,
    notes: Arc<Mutex<Notes>>,
}

/// What was noted.
#[derive(Default)]
pub struct Notes {
    /// How many attempts have returned.
    pub returned: u64,
    /// Of every attempt after the first of its run: the time since the one before it returned.
    pub gaps: Vec<Duration>,
    /// When the last attempt returned.
    pub last: Option<Instant>,
    returned_at: HashMap<RunId, Instant>,
}

/// What every attempt gives.
pub fn output(step: &str) -> Value {
    json!({ "step": step, "ok": true })
}

impl Nothing {
    /// An action whose attempts wait.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { begun: watch::Sender::new(false), notes: Arc::default() })
    }

    /// Lets the attempts return.
    pub fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// Waits until this many attempts wait.
    pub async fn until_waiting(&self, number: usize) {
        while self.begun.receiver_count() < number {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Takes what was noted so far.
    pub fn take_notes(&self) -> Notes {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Notes {
    fn called(&mut self, run: RunId) {
        if let Some(before) = self.returned_at.remove(&run) {
            self.gaps.push(before.elapsed());
        }
    }

    fn returns(&mut self, run: RunId) {
        let now = Instant::now();
        self.returned += 1;
        self.last = Some(now);
        self.returned_at.insert(run, now);
    }
}

impl Action for Nothing {
    fn info(&self) -> &'static ActionInfo {
        &INFO
    }

    fn execute(&self, attempt: Attempt) -> Working<Outcome> {
        let notes = Arc::clone(&self.notes);
        notes.lock().unwrap_or_else(PoisonError::into_inner).called(attempt.run);
        let mut begun = self.begun.subscribe();
        Box::pin(async move {
            // Nobody waits any more when the measurement is over.
            let _ = begun.wait_for(|begun| *begun).await;
            notes.lock().unwrap_or_else(PoisonError::into_inner).returns(attempt.run);
            Ok(Success::Done(output(&attempt.step)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_noted_for_every_attempt_after_the_first_of_its_run() {
        let mut notes = Notes::default();
        let [first, second] = [1, 2].map(|number| RunId::from_bytes([number; 16]));
        for run in [first, second, first, first] {
            notes.called(run);
            notes.returns(run);
        }
        assert_eq!((notes.returned, notes.gaps.len()), (4, 2));
    }
}
