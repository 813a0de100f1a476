//! What can be replaced while the tree runs: sources, routes, workflows and limits.

use std::collections::HashMap;
use std::sync::Arc;

use super::{StartError, Tree, keep_definitions};
use crate::dispatcher::actor::{Slots, SlotsChanged};
use crate::event::SourceName;
use crate::rate_limiter::limits::Policy as RatePolicy;
use crate::receiver::admission::Limits;
use crate::router::backlog::RouteBacklog;
use crate::router::routing::Rules;
use crate::validator::port::Source;
use crate::workflow::catalog::Catalog;

/// What takes the place of what is in force.
pub struct Replacement {
    /// The sources that are on.
    pub sources: HashMap<SourceName, Arc<dyn Source>>,
    /// Routes and workflows.
    pub rules: Rules,
    /// What runs are pinned to.
    pub catalog: Catalog,
    /// How much may be in flight.
    pub limits: Limits,
    /// How often whom nobody could verify may come. Whether anybody is held back at all is decided when the tree starts.
    pub rate_limits: Option<RatePolicy>,
}

impl Tree {
    /// Puts this in force, or, when the log cannot keep the definitions, nothing of it. Runs go on with what they are pinned
    /// to. A delivery that is on its way may be judged by the one or the other, never by a part of each.
    pub async fn replace(&self, with: Replacement) -> Result<(), StartError> {
        let Replacement { sources, rules, catalog, limits, rate_limits } = with;
        keep_definitions(&catalog, (&self.ports.store, &self.log)).await?;
        self.work.hiring.hire_for(&catalog).await?;
        self.tallies.enter(sources.keys());
        self.ports.sources.replace(sources);
        self.gate.limit(limits);
        if let Some((limiter, policy)) = self.rate_limits.as_ref().zip(rate_limits) {
            limiter.follow(policy);
        }
        self.ports.rules.replace(rules);
        // What no rule could route may be routed now; without room it is looked at all the same, later.
        let _ = self.work.backlog.offer(RouteBacklog);
        Ok(())
    }

    /// Hands out other slots, as soon as the dispatcher comes to it: one that has fallen begins with them.
    pub async fn hand_out(&self, slots: Slots) {
        if **self.ports.slots.get() != slots {
            self.ports.slots.replace(slots);
            let _ = self.work.slots_changed.ask(SlotsChanged).await;
        }
    }
}
