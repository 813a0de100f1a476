//! Which steps come before which, as it is written, and what is wrong with that. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::definition::Spot;
use super::spec::{OnFailure, StepSpec};

/// The steps of a workflow with what each needs.
#[derive(Debug)]
pub struct Graph<'a> {
    steps: &'a [StepSpec],
    needs: BTreeMap<&'a str, Vec<&'a str>>,
    /// Whether none says what it needs.
    in_order: bool,
}

impl<'a> Graph<'a> {
    /// Of these steps. When none names what it needs, each comes after the one before it.
    pub fn of(steps: &'a [StepSpec]) -> Self {
        let in_order = steps.iter().all(|step| step.needs.is_none());
        let mut needs = BTreeMap::new();
        let mut before = None;
        for step in steps {
            let named = step.needs.iter().flatten().map(String::as_str).collect();
            needs.insert(step.name.as_str(), if in_order { before.into_iter().collect() } else { named });
            before = Some(step.name.as_str());
        }
        Self { steps, needs, in_order }
    }

    /// The steps that come right before this one.
    pub fn needs(&self, step: &str) -> Vec<String> {
        self.needs.get(step).into_iter().flatten().map(|needed| (*needed).to_owned()).collect()
    }

    /// All steps that come before this one, near and far.
    pub fn before(&self, step: &str) -> BTreeSet<String> {
        let mut before = BTreeSet::new();
        let mut open: Vec<&str> = self.needs.get(step).cloned().unwrap_or_default();
        while let Some(each) = open.pop() {
            if before.insert(each.to_owned()) {
                open.extend(self.needs.get(each).into_iter().flatten());
            }
        }
        before
    }

    /// What is wrong with it: where, and why.
    pub fn mistakes(&self) -> Vec<(Spot, String)> {
        let mut mistakes = Vec::new();
        let mut seen = BTreeSet::new();
        let Some(first) = self.steps.first() else { return mistakes };
        for step in self.steps {
            let at = |key: &str| Spot::of_step(&step.name, key);
            if !seen.insert(&step.name) {
                mistakes.push((at(""), "another step has this name".to_owned()));
            }
            if step.needs.is_none() && !self.in_order && !std::ptr::eq(step, first) {
                let reason =
                    "other steps say what they need; say so here as well, `needs = []` if it is to begin at once";
                mistakes.push((at("needs"), reason.to_owned()));
            }
            for unknown in self.needs(&step.name).iter().filter(|needed| !self.needs.contains_key(needed.as_str())) {
                mistakes.push((at("needs"), format!("there is no step `{unknown}`")));
            }
            let before = self.before(&step.name);
            if before.contains(&step.name) {
                mistakes.push((at("needs"), "it comes after itself; break the circle".to_owned()));
            }
            let ways = [("on_failure", Some(&step.on_failure)), ("on_timeout", step.on_timeout.as_ref())];
            for (key, way) in ways {
                let Some((how, target)) = way.and_then(OnFailure::target) else { continue };
                let reason = match () {
                    () if !self.needs.contains_key(target) => Some(format!("there is no step `{target}`")),
                    () if *target == step.name => Some("it cannot go on at itself; `retry` tries it again".to_owned()),
                    () if before.contains(target) => Some(format!("`{target}` comes before it; name a later step")),
                    () if !self.before(target).contains(&step.name) => {
                        Some(format!("`{target}` does not come after it; name a step that does"))
                    }
                    () => None,
                };
                mistakes.extend(reason.map(|reason| (at(&format!("{key}.{how}")), reason)));
            }
        }
        mistakes
    }
}
