//! Explores a model, and says how far it came.

use std::fmt;
use std::sync::Arc;

use stateright::{Checker, HasDiscoveries, Model};

use crate::model::{COMES_TO_REST, Explored};
use crate::rules;
use crate::setup::Setup;

/// What an exploration has seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The model.
    pub name: &'static str,
    /// Different states.
    pub states: usize,
    /// Ways into them.
    pub steps: usize,
    /// The longest way that was followed.
    pub depth: usize,
    /// Whether there was nothing more to see.
    pub is_all: bool,
    /// Whether some way leads to the end of all runs.
    pub ends: bool,
    /// A shortest way to something that must not be, step by step.
    pub counterexample: Option<String>,
}

/// Explores a model up to a depth, breadth first, so that what is found is found on a shortest way.
pub fn explore(setup: Setup, depth: usize) -> Seen {
    let name = setup.name;
    let any = HasDiscoveries::AnyFailures;
    let checker = Explored(Arc::new(setup)).checker().target_max_depth(depth).finish_when(any);
    let checker = checker.spawn_bfs().join();
    let (states, steps, depth_seen) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    let counterexample = rules::ALL.iter().find_map(|rule| {
        let path = checker.discovery(rule)?;
        let moves: Vec<String> = path.into_actions().iter().map(|step| format!("  {step:?}")).collect();
        Some(format!("{name}: {rule}\n{} steps:\n{}", moves.len(), moves.join("\n")))
    });
    let ends = checker.discovery(COMES_TO_REST).is_some();
    Seen { name, states, steps, depth: depth_seen, is_all: depth_seen < depth, ends, counterexample }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, states, steps, depth, is_all, .. } = self;
        let all = if *is_all { ", all there is" } else { "" };
        write!(f, "{name}: {states} states, {steps} steps, depth {depth}{all}")
    }
}
