//! What we see of ourselves: how late answers are, and how full everything on a delivery's way is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::event_log::state::LogState;
use crate::rate_limiter::actor::Gauge;
use crate::rate_limiter::adaptive::Signals;
use crate::receiver::admission::{Gate, Outside};
use crate::receiver::tally::Tallies;
use crate::store::Store;
use crate::supervisor::Roster;

/// The components that a delivery goes through.
const ON_THE_WAY: [&str; 5] = ["receiver", "validator", "deduplicator", "router", "event_log"];

/// Where it is looked.
pub struct Sight {
    /// Every supervised instance.
    pub roster: Roster,
    /// How long the log takes.
    pub log_state: Arc<LogState>,
    /// How long answers took.
    pub tallies: Tallies,
    /// What is in flight.
    pub gate: Arc<Gate>,
    /// What waits.
    pub store: Arc<dyn Store>,
}

/// A gauge that looks there.
pub fn of(sight: Sight) -> Gauge {
    let answered = Mutex::new((0, 0));
    Arc::new(move || {
        let before = &mut *answered.lock().unwrap_or_else(PoisonError::into_inner);
        let after = sight.answered();
        let latency = mean(*before, after);
        *before = after;
        Signals { latency, mailboxes: sight.fullest(), log_lag: sight.log_state.lag(), load: sight.load() }
    })
}

impl Sight {
    /// Deliveries that were accepted so far, and the microseconds that they took.
    fn answered(&self) -> (u64, u64) {
        let totals = self.tallies.all().into_iter().map(|(_, tally)| tally.latency().totals());
        totals.fold((0, 0), |(count, micros), (more, took)| (count + more, micros + took))
    }

    #[allow(clippy::cast_precision_loss, reason = "a share")]
    fn fullest(&self) -> f64 {
        let instances = ON_THE_WAY.into_iter().flat_map(|component| self.roster.of(component));
        instances.map(|vitals| vitals.depth() as f64 / vitals.capacity().max(1) as f64).fold(0.0, f64::max)
    }

    fn load(&self) -> f64 {
        self.gate.used(&Outside::of(&self.log_state, &*self.store))
    }
}

fn mean(before: (u64, u64), after: (u64, u64)) -> Duration {
    let (count, micros) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    Duration::from_micros(micros.checked_div(count).unwrap_or(0))
}
