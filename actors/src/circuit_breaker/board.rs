//! What everybody can see of the circuits, without asking their actors: which services are not to be called now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::circuit::{BreakerRecord, Condition};
use crate::executor::outages::Outages;
use crate::executor::port::Passage;
use crate::time::Timestamp;

/// The circuits of a process. Every clone shows the same.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<BTreeMap<String, Shown>>>);

struct Shown {
    record: BreakerRecord,
    /// Until when a probe of a half-open circuit may be under way.
    probing_until: Option<Timestamp>,
    /// Since when calls pass, or do not.
    since: Timestamp,
}

impl Board {
    fn circuits(&self) -> MutexGuard<'_, BTreeMap<String, Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows how a circuit is now. A probe that was under way is over.
    pub fn show(&self, record: BreakerRecord) {
        let since = record.since;
        self.circuits().insert(record.name.clone(), Shown { record, probing_until: None, since });
    }

    /// A circuit that nobody watches any more stops nobody.
    pub fn forget(&self, service: &str) {
        self.circuits().remove(service);
    }

    /// All circuits.
    pub fn all(&self) -> Vec<BreakerRecord> {
        self.circuits().values().map(|shown| shown.record.clone()).collect()
    }

    /// The services that nobody is to call at `now`, and those that one call may probe.
    pub fn outages(&self, now: Timestamp) -> Outages {
        let (mut out, mut probed) = (BTreeSet::new(), BTreeSet::new());
        for (name, shown) in &*self.circuits() {
            let is_probed = shown.probing_until.is_some_and(|until| until > now);
            match shown.record.condition {
                // Whoever would call a disabled one is told when it asks, and does without.
                Condition::Closed | Condition::Disabled { .. } => {}
                Condition::HalfOpen if !is_probed => _ = probed.insert(name.clone()),
                Condition::Open { .. } | Condition::HalfOpen => _ = out.insert(name.clone()),
            }
        }
        Outages::new(out, probed)
    }

    /// A call of these services is about to be made, and ends by `until`. It is the probe of those that are
    /// half-open.
    pub fn calls(&self, services: &[&str], until: Timestamp) {
        let mut circuits = self.circuits();
        for service in services {
            if let Some(shown) = circuits.get_mut(*service) {
                shown.probing_until = Some(until);
            }
        }
    }

    /// Whether a call of this service may be made at `now`, which ends by `until`. Of a half-open one it is the probe.
    pub fn enter(&self, service: &str, until: Timestamp, now: Timestamp) -> Passage {
        let mut circuits = self.circuits();
        let Some(shown) = circuits.get_mut(service) else { return Passage::Passes };
        match (shown.record.condition, shown.probing_until.filter(|until| *until > now)) {
            (Condition::Closed, _) => Passage::Passes,
            (Condition::Disabled { .. }, _) => Passage::Disabled { reason: shown.record.reason.clone() },
            (Condition::Open { until }, _) | (Condition::HalfOpen, Some(until)) => Passage::Rests { until },
            (Condition::HalfOpen, None) => {
                shown.probing_until = Some(until);
                Passage::Passes
            }
        }
    }

    /// A call of these services that was to end by `until` has ended at `now`. Of one that was the probe and has said
    /// nothing of its service there may be another.
    pub fn ended(&self, services: &[&str], until: Timestamp, now: Timestamp) {
        let mut circuits = self.circuits();
        for service in services {
            if let Some(shown) = circuits.get_mut(*service).filter(|shown| shown.probing_until == Some(until)) {
                (shown.probing_until, shown.since) = (None, now);
            }
        }
    }

    /// Since when calls of each service pass, or do not: when its circuit moved, or its last probe was over.
    pub fn moved(&self, now: Timestamp) -> BTreeMap<String, Timestamp> {
        let probed = |shown: &Shown| shown.probing_until.filter(|until| *until <= now);
        let since = |shown: &Shown| probed(shown).map_or(shown.since, |until| until.max(shown.since));
        self.circuits().iter().map(|(name, shown)| (name.clone(), since(shown))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn it_is_known_since_when_calls_pass() {
        let board = Board::default();
        let moved = |now| board.moved(at(now)).get("github").map(|at| at.millis());
        assert_eq!(moved(0), None);
        let condition = Condition::HalfOpen;
        board.show(BreakerRecord { name: "github".into(), condition, since: at(10), reason: String::new() });
        assert_eq!(moved(100), Some(10));
        board.calls(&["github"], at(30));
        assert_eq!((moved(20), moved(40)), (Some(10), Some(30)), "it did not come back");
        board.calls(&["github"], at(60));
        board.ended(&["github"], at(60), at(50));
        assert_eq!(moved(100), Some(50));
    }

    #[test]
    fn whoever_asks_one_by_one_is_told_how_each_is() {
        let board = Board::default();
        let show = |condition| {
            board.show(BreakerRecord { name: "ops".into(), condition, since: at(0), reason: "gone".into() });
        };
        let enter = |now| board.enter("ops", at(now + 10), at(now));
        assert_eq!(enter(0), Passage::Passes, "nobody counts its calls");
        show(Condition::Open { until: at(30) });
        assert_eq!(enter(1), Passage::Rests { until: at(30) });
        show(Condition::HalfOpen);
        assert_eq!((enter(40), enter(41)), (Passage::Passes, Passage::Rests { until: at(50) }));
        board.ended(&["ops"], at(50), at(45));
        assert_eq!(enter(46), Passage::Passes);
        assert_eq!(enter(60), Passage::Passes, "the probe before it did not come back");
        show(Condition::Disabled { configuration: 1 });
        assert_eq!(enter(70), Passage::Disabled { reason: "gone".into() });
        assert!(board.outages(at(70)).of(&["ops"]).is_none(), "nobody waits for it");
    }

    #[test]
    fn a_half_open_circuit_lets_one_call_pass() {
        let board = Board::default();
        let show = |condition| {
            board.show(BreakerRecord { name: "github".into(), condition, since: at(0), reason: String::new() });
        };
        let is_out = |now| board.outages(at(now)).of(&["slack", "github"]).is_some();
        show(Condition::Open { until: at(10) });
        assert!(is_out(5) && is_out(15), "until its actor says otherwise");
        show(Condition::HalfOpen);
        assert!(!is_out(20) && board.outages(at(20)).let_one_pass("github"));
        board.calls(&["github"], at(30));
        assert!(is_out(20), "one is under way");
        assert!(!is_out(30), "it did not come back");
        board.calls(&["github"], at(40));
        board.ended(&["github"], at(30), at(21));
        assert!(is_out(20), "another one has ended");
        board.ended(&["github"], at(40), at(22));
        assert!(!is_out(20), "it has ended, and nothing is known");
        board.calls(&["github"], at(60));
        show(Condition::HalfOpen);
        assert!(!is_out(40));
        show(Condition::Closed);
        board.calls(&["github"], at(60));
        assert!(!is_out(50));
    }
}
