//! Makes a definition that can be executed of what was written, or says all that is wrong with it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::child::{Children, RUN_INFO};
use super::definition::{
    Argument, Concurrency, DELAY, Debounce, Definition, DefinitionError, Pinned, RUN_WORKFLOW, Spot, Step,
    WAIT_FOR_EVENT,
};
use super::graph::Graph;
use super::recipe::Recipe;
use super::retry::RetryPolicy;
use super::spec::{ConcurrencySpec, DebounceSpec, MOST_PARALLEL, OnNewer, RetrySpec, StepSpec};
use super::waits::WAIT_INFO;
use crate::event::Facts;
use crate::executor::port::{
    Accepts, Action, ActionInfo, Actions, Effect, EffectClass, Misfit, OnDoubt, Parameter, Polling, Written,
};
use crate::expression::{Expression, ExpressionError, Template};
use crate::ids;
use crate::time::parse_span;

/// What is known of the action that the engine does itself.
static DELAY_INFO: ActionInfo = ActionInfo {
    name: DELAY,
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[Parameter { name: "duration", accepts: Accepts::Text, default: None }],
    timeout: None,
    waits: None,
    services: &[],
};

/// Who does a step.
enum Does<'a> {
    /// The engine, which waits.
    Engine(&'static ActionInfo),
    /// An action.
    Action(&'a dyn Action),
}

impl Does<'_> {
    fn info(&self) -> &'static ActionInfo {
        match self {
            Self::Engine(info) => info,
            Self::Action(action) => action.info(),
        }
    }

    fn resumes(&self) -> bool {
        match self {
            Self::Engine(_) => false,
            Self::Action(action) => action.resumes(),
        }
    }

    fn settles(&self) -> Duration {
        match self {
            Self::Engine(_) => Duration::ZERO,
            Self::Action(action) => action.settles(),
        }
    }

    fn polling(&self) -> Option<Polling> {
        match self {
            Self::Engine(_) => None,
            Self::Action(action) => action.polling(),
        }
    }
}

/// What a step writes, with the defaults of its action: what an earlier version pinned may lack a parameter that
/// its action did not have.
fn written(spec: &StepSpec, info: &ActionInfo) -> Written {
    let mut with = spec.with.clone();
    for parameter in info.parameters {
        if let Some(default) = parameter.default {
            with.entry(parameter.name.to_owned()).or_insert_with(|| default.into());
        }
    }
    Written::new(with)
}

/// So many times as long as it must be quiet a run waits for quiet, when the definition does not say.
const PATIENCE: u32 = 10;

pub(super) struct Compiler<'a> {
    workflow: &'a str,
    actions: &'a Actions,
    pub(super) children: &'a Children,
    errors: Vec<DefinitionError>,
    /// What its templates read of the input.
    inputs: RefCell<BTreeSet<String>>,
    /// Whether they read the event or its facts.
    pub(super) reads_event: Cell<bool>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(workflow: &'a str, actions: &'a Actions, children: &'a Children) -> Self {
        let (errors, inputs, reads_event) = (Vec::new(), RefCell::default(), Cell::new(false));
        Self { workflow, actions, children, errors, inputs, reads_event }
    }

    pub(super) fn definition(mut self, pinned: &Pinned) -> Result<Definition, Vec<DefinitionError>> {
        let spec = &pinned.spec;
        let timeout = self.span(&Spot::of_workflow("timeout"), spec.timeout.as_deref().unwrap_or_default());
        if timeout.is_zero() {
            self.wrong(&Spot::of_workflow("timeout"), "must be longer than nothing");
        }
        if spec.steps.is_empty() {
            self.wrong(&Spot::of_workflow("steps"), "a workflow has at least one step");
        }
        let parallelism = spec.parallelism.unwrap_or(1);
        if !(1..=MOST_PARALLEL).contains(&parallelism) {
            self.wrong(&Spot::of_workflow("parallelism"), format!("must be within 1 and {MOST_PARALLEL}"));
        }
        let concurrency = spec.concurrency.as_ref().and_then(|spec| self.concurrency(spec));
        let debounce = spec.debounce.as_ref().and_then(|spec| self.debounce(spec));
        let graph = Graph::of(&spec.steps);
        graph.mistakes().into_iter().for_each(|(spot, reason)| self.wrong(&spot, reason));
        let steps: Vec<Step> = spec.steps.iter().filter_map(|step| self.step(step, &graph)).collect();
        let declared = longest(&steps, &|_| Duration::ZERO);
        self.fits((timeout, declared), &steps);
        let content = match serde_json::to_string(pinned) {
            Ok(content) => content,
            Err(error) => {
                self.wrong(&Spot::of_workflow("content"), error.to_string());
                String::new()
            }
        };
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let hash = hex(&ids::first_16(&Sha256::digest(&content)));
        let inputs = self.inputs.take();
        let name = pinned.name.clone();
        let reads_event = self.reads_event.get();
        let groups = concurrency.iter().map(|concurrency| concurrency.group.clone()).collect();
        Ok(Definition {
            name,
            hash,
            content,
            timeout,
            parallelism,
            concurrency,
            debounce,
            inputs,
            reads_event,
            groups,
            declared,
            steps,
        })
    }

    fn concurrency(&mut self, spec: &ConcurrencySpec) -> Option<Concurrency> {
        if spec.limit == 0 {
            self.wrong(&Spot::of_workflow("concurrency.limit"), "must be at least 1");
        }
        if spec.skip_behind.is_some() && spec.on_newer != OnNewer::Skip {
            let reason = "goes with `on_newer = \"skip\"` only: nothing else ends a newer run for an older one";
            self.wrong(&Spot::of_workflow("concurrency.skip_behind"), reason);
        }
        let (key, order_by) = {
            let known = |name: &str| self.is_variable(name, &BTreeSet::new());
            let order_by = spec.order_by.as_ref().map(|text| Expression::compile(text, &known)).transpose();
            (Template::compile(&spec.key, &known), order_by)
        };
        let (key, order_by) = (
            self.keep(&Spot::of_workflow("concurrency.key"), key),
            self.keep(&Spot::of_workflow("concurrency.order_by"), order_by),
        );
        Some(Concurrency {
            group: spec.group.clone(),
            key: key?,
            limit: spec.limit,
            on_newer: spec.on_newer,
            skip_behind: spec.skip_behind.clone().map(Arc::from),
            order_by: order_by?,
        })
    }

    fn debounce(&mut self, spec: &DebounceSpec) -> Option<Debounce> {
        let at = |key: &str| Spot::of_workflow(&format!("debounce.{key}"));
        let key = Template::compile(&spec.key, &|name: &str| self.is_variable(name, &BTreeSet::new()));
        let key = self.keep(&at("key"), key);
        let quiet = self.span(&at("quiet"), &spec.quiet);
        let at_most = spec.at_most.as_ref().map(|text| self.span(&at("at_most"), text));
        let at_most = at_most.unwrap_or(quiet.saturating_mul(PATIENCE));
        if at_most < quiet {
            self.wrong(&at("at_most"), format!("must be at least `quiet`, {quiet:?}"));
        }
        Some(Debounce { key: key?, quiet, at_most })
    }

    fn step(&mut self, spec: &StepSpec, graph: &Graph) -> Option<Step> {
        if spec.name.is_empty() || !spec.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.wrong(&Spot::of_step(&spec.name, "name"), "a name has letters, digits and underscores only");
        }
        let mut earlier = graph.before(&spec.name);
        let step = self.work(spec, graph.needs(&spec.name), &earlier);
        earlier.insert(spec.name.clone());
        let undo = spec.undo.as_ref().map(|undo| self.undo(&undo.as_step(&spec.name), &spec.name, &earlier));
        let mut step = step?;
        step.undo = undo.flatten().map(Box::new);
        Some(step)
    }

    /// Nothing is said of attempts of a step that makes none: what the engine does itself.
    pub(super) fn has_attempts(&mut self, spec: &StepSpec) {
        let instead = match spec.action.as_str() {
            DELAY => "`with.duration`",
            WAIT_FOR_EVENT | RUN_WORKFLOW => "`deadline`",
            _ => return,
        };
        let at = |key: &str| Spot::of_step(&spec.name, key);
        if spec.timeout.is_some() {
            let reason = format!("`{}` makes no attempt; {instead} says how long it takes", spec.action);
            self.wrong(&at("timeout"), reason);
        }
        if spec.on_doubt.is_some() {
            let reason = format!("`{}` makes no attempt that could be in doubt", spec.action);
            self.wrong(&at("on_doubt"), reason);
        }
    }

    /// What undoes a step. What is wrong with it stands under `undo` there.
    fn undo(&mut self, spec: &StepSpec, of: &str, earlier: &BTreeSet<String>) -> Option<Step> {
        let before = self.errors.len();
        let undo = self.work(spec, Vec::new(), earlier);
        if undo.as_ref().is_some_and(Step::is_engines_own) {
            self.wrong(&Spot::of_step(&spec.name, "action"), format!("`{}` undoes nothing", spec.action));
        } else if self.actions.get(spec.action.as_str()).is_some_and(|action| action.info().waits.is_some()) {
            let reason = format!("`{}` is done only when it is called back, and no undo waits for that", spec.action);
            self.wrong(&Spot::of_step(&spec.name, "action"), reason);
        }
        // Nor has it a place for that.
        let own = self.errors.split_off(before);
        self.errors.extend(own.into_iter().filter(|error| error.spot.key != "deadline"));
        for error in self.errors.iter_mut().skip(before) {
            error.spot = Spot::of_step(of, &format!("undo.{}", error.spot.key));
        }
        undo
    }

    /// What a step does, whatever comes before it.
    fn work(&mut self, spec: &StepSpec, needs: Vec<String>, earlier: &BTreeSet<String>) -> Option<Step> {
        let at = |key: &str| Spot::of_step(&spec.name, key);
        let action = self.action(spec)?;
        let written = written(spec, action.info());
        let effect = self.effect(spec, &action, &written);
        let on_doubt = spec.on_doubt.unwrap_or(effect.on_doubt);
        if effect.class == EffectClass::Once && on_doubt == OnDoubt::Repeat {
            self.wrong(&at("on_doubt"), "what must never happen twice cannot be repeated; use `park` or `assume_done`");
        }
        let with = self.with(spec, (action.info(), &written), earlier);
        let when = spec.when.as_ref();
        let when = when.map(|text| Expression::compile(text, &|name: &str| self.is_variable(name, earlier)));
        let when = self.keep(&at("when"), when.transpose()).flatten();
        let timeout = self.span(&at("timeout"), spec.timeout.as_deref().unwrap_or_default());
        if timeout.is_zero() {
            self.wrong(&at("timeout"), "must be longer than nothing");
        }
        let (waits, child) = (self.waits(spec, action.info(), action.polling()), self.child(spec));
        let retry = self.retry(&at("retry"), &spec.retry.clone().unwrap_or_default());
        let on_failure = spec.on_failure.clone();
        let (class, services, settles) = (effect.class, action.info().services, action.settles());
        let dispensable = if spec.optional { self.lacks(spec, &written) } else { None };
        let resumes = action.resumes();
        Some(Step {
            name: spec.name.clone(),
            action: spec.action.clone(),
            timeout,
            retry,
            class,
            on_doubt,
            resumes,
            settles,
            needs,
            on_failure,
            waits,
            child,
            undo: None,
            services,
            written,
            dispensable,
            when,
            with,
        })
    }

    /// Why a step that its workflow can do without cannot be done as this process is configured.
    fn lacks(&mut self, spec: &StepSpec, written: &Written) -> Option<String> {
        let action = self.actions.get(spec.action.as_str());
        if action.is_none() {
            let reason = format!("`{}` is done by the engine, and there whatever is configured", spec.action);
            self.wrong(&Spot::of_step(&spec.name, "optional"), reason);
        }
        action?.lacks(written)
    }

    fn action(&mut self, spec: &StepSpec) -> Option<Does<'a>> {
        match self.actions.get(spec.action.as_str()) {
            _ if spec.action == DELAY => Some(Does::Engine(&DELAY_INFO)),
            _ if spec.action == WAIT_FOR_EVENT => Some(Does::Engine(&WAIT_INFO)),
            _ if spec.action == RUN_WORKFLOW => Some(Does::Engine(&RUN_INFO)),
            Some(action) => Some(Does::Action(action.as_ref())),
            None => {
                let names: Vec<&str> =
                    self.actions.keys().copied().chain([DELAY, RUN_WORKFLOW, WAIT_FOR_EVENT]).collect();
                let reason = format!("there is no action `{}`; there are {}", spec.action, names.join(", "));
                self.wrong(&Spot::of_step(&spec.name, "action"), reason);
                None
            }
        }
    }

    /// What doing it again would do, by what it writes.
    fn effect(&mut self, spec: &StepSpec, action: &Does<'_>, written: &Written) -> Effect {
        let ActionInfo { class, on_doubt, .. } = *action.info();
        let Does::Action(action) = action else { return Effect { class, on_doubt } };
        action.examine(written).unwrap_or_else(|misfits| {
            misfits.into_iter().for_each(|misfit| self.unfit(spec, misfit));
            Effect { class, on_doubt }
        })
    }

    fn unfit(&mut self, spec: &StepSpec, misfit: Misfit) {
        self.wrong(&Spot::of_step(&spec.name, &format!("with.{}", misfit.key)), misfit.reason);
    }

    fn with(
        &mut self,
        spec: &StepSpec,
        (info, written): (&ActionInfo, &Written),
        earlier: &BTreeSet<String>,
    ) -> Vec<Argument> {
        let at = |key: &str| Spot::of_step(&spec.name, &format!("with.{key}"));
        for name in spec.with.keys().filter(|name| !info.parameters.iter().any(|known| known.name == *name)) {
            let takes: Vec<&str> = info.parameters.iter().map(|known| known.name).collect();
            self.wrong(&at(name), format!("`{}` does not take this; it takes {}", spec.action, takes.join(", ")));
        }
        let mut with = Vec::new();
        for Parameter { name, accepts, .. } in info.parameters {
            let at = at(name);
            let Some(value) = written.get(name) else {
                self.wrong(&at, format!("`{}` needs this", spec.action));
                continue;
            };
            let recipe = Recipe::compile(value, &|name: &str| self.is_variable(name, earlier));
            let Some(recipe) = self.keep(&at, recipe) else { continue };
            let misfits = accepts.misfits_as_written(name, value);
            if let (true, true, Some(fixed)) = (misfits.is_empty(), spec.action == DELAY, recipe.fixed()) {
                self.span(&at, fixed.as_str().unwrap_or_default());
            }
            misfits.into_iter().for_each(|misfit| self.unfit(spec, misfit));
            with.push(Argument { name: (*name).to_owned(), accepts: *accepts, recipe });
        }
        with
    }

    /// What templates of a step may name: the input, the event with its facts, the run, and outputs of `earlier` steps.
    fn is_variable(&self, name: &str, earlier: &BTreeSet<String>) -> bool {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            ["input"] => true,
            ["input", input, ..] => {
                self.inputs.borrow_mut().insert((*input).to_owned());
                true
            }
            ["facts", fact, ..] if Facts::NAMES.contains(fact) => {
                self.reads_event.set(true);
                true
            }
            ["event", "id" | "source" | "type" | "action" | "received_at"] => {
                self.reads_event.set(true);
                true
            }
            ["run", "id" | "workflow" | "event" | "subject" | "started_at"] => true,
            ["steps", step, "output" | "status" | "error", ..] => earlier.contains(*step),
            _ => crate::router::routes::BUILT_IN_FUNCTIONS.contains(&name),
        }
    }

    fn retry(&mut self, spot: &Spot, spec: &RetrySpec) -> RetryPolicy {
        let max_attempts = spec.max_attempts.unwrap_or(1);
        if max_attempts == 0 {
            self.wrong(spot, "max_attempts counts the first one and is at least 1");
        }
        let multiplier = spec.multiplier.unwrap_or(2.0);
        if !(1.0..=100.0).contains(&multiplier) {
            self.wrong(spot, "multiplier must be within 1 and 100");
        }
        let jitter = spec.jitter.unwrap_or_default();
        if !(0.0..=1.0).contains(&jitter) {
            self.wrong(spot, "jitter must be within 0 and 1");
        }
        let mut span = |name: &str, text: &Option<String>| {
            text.as_ref().map_or(Duration::ZERO, |text| self.span(&spot.within(name), text))
        };
        let (base_delay, max_delay) = (span("base_delay", &spec.base_delay), span("max_delay", &spec.max_delay));
        RetryPolicy { max_attempts, base_delay, max_delay, multiplier, jitter, on: spec.on.clone() }
    }

    /// Declared delays alone must leave time for the rest.
    fn fits(&mut self, (timeout, delays): (Duration, Duration), steps: &[Step]) {
        if !timeout.is_zero() && delays >= timeout {
            self.wrong(
                &Spot::of_workflow("timeout"),
                format!("the delays take {delays:?}, the whole run may take {timeout:?}"),
            );
        }
        if let Some(long) = steps.iter().find(|step| !step.is_engines_own() && step.timeout > timeout) {
            let reason = format!("an attempt may take {:?}, the whole run {timeout:?}", long.timeout);
            self.wrong(&Spot::of_step(&long.name, "timeout"), reason);
        }
        let deadline = |step: &Step| step.waits.as_ref().map(|waits| waits.deadline);
        let deadlines = steps.iter().filter_map(|step| Some((step, deadline(step)?)));
        for (long, deadline) in deadlines.filter(|(_, deadline)| !timeout.is_zero() && *deadline >= timeout) {
            let what = if long.child.is_some() { "the run that it starts" } else { "its callback" };
            let reason = format!("{what} may take {deadline:?}, the whole run {timeout:?}");
            self.wrong(&Spot::of_step(&long.name, "deadline"), reason);
        }
    }

    pub(super) fn span(&mut self, spot: &Spot, text: &str) -> Duration {
        parse_span(text).unwrap_or_else(|| {
            self.wrong(spot, format!("`{text}` is not a span of time; write it like 500ms, 5s, 10m, 2h or 3d"));
            Duration::ZERO
        })
    }

    fn keep<T>(&mut self, spot: &Spot, compiled: Result<T, ExpressionError>) -> Option<T> {
        compiled.map_err(|error| self.wrong(spot, error.to_string())).ok()
    }

    pub(super) fn wrong(&mut self, spot: &Spot, reason: impl Into<String>) {
        let (workflow, spot, reason) = (self.workflow.to_owned(), spot.clone(), reason.into());
        self.errors.push(DefinitionError { workflow, spot, reason });
    }
}

impl Step {
    fn fixed_delay(&self) -> Option<Duration> {
        let argument = self.with.iter().find(|_| self.action == DELAY)?;
        parse_span(argument.recipe.fixed()?.as_str()?)
    }
}

/// What declared delays take on the longest way through the steps, with what `runs` says of the run that one starts.
pub(super) fn longest(steps: &[Step], runs: &dyn Fn(&Step) -> Duration) -> Duration {
    let mut until: BTreeMap<&str, Duration> = BTreeMap::new();
    // Each round knows the ways of one step more; a circle was refused before and ends with the rounds.
    for _ in steps {
        for step in steps {
            let before = step.needs.iter().filter_map(|needed| until.get(needed.as_str())).max();
            let own = step.fixed_delay().unwrap_or_else(|| runs(step));
            until.insert(&step.name, before.copied().unwrap_or_default().saturating_add(own));
        }
    }
    until.into_values().max().unwrap_or_default()
}

fn hex(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
