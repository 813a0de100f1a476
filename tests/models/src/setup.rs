//! What a model is made of: the workflow, who drives it, and how often the world may misbehave.

use std::sync::Arc;

use pointsman_actors::executor::command::Command;
use pointsman_actors::executor::port::{
    Action, ActionInfo, Actions, Attempt, EffectClass, OnDoubt, Outcome, WaitInfo, Working,
};
use pointsman_actors::run::Ruling;
use pointsman_actors::workflow::child::Children;
use pointsman_actors::workflow::definition::Definition;
use pointsman_actors::workflow::spec::Defaults;
use serde_json::json;

/// What calls back.
pub const SOURCE: &str = "codegen";
/// As what.
pub const EVENT: &str = "generation";
/// What `wait_for_event` of these models waits for.
pub const LISTENED: &str = "codegen:run:x";
/// The workflow's name.
pub const WORKFLOW: &str = "w";

/// A model.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its name.
    pub name: &'static str,
    /// What is executed.
    pub definition: Arc<Definition>,
    /// What orders the runs. All of them are to come, in any order and at any time.
    pub orders: Vec<i64>,
    /// How many processes share the store. The first one is up; each other one starts when the one before it does not
    /// go on.
    pub processes: usize,
    /// How many runs may be at work at once.
    pub slots: usize,
    /// Whether words between executor and dispatcher take their time, as everything else does.
    pub slow_dispatcher: bool,
    /// Whether a request can reach the provider after whoever sent it has given it up, or is gone.
    pub strays: bool,
    /// Whether actions ask for the newest order before their effect, and leave it if theirs is older.
    pub heads: bool,
    /// What operators may say.
    pub words: &'static [Word],
    /// How often what may happen.
    pub budget: Budget,
    /// Runs with a longer journal are not followed.
    pub longest: usize,
}

/// How often what may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A process ends.
    pub crashes: u8,
    /// A process is stopped for a while.
    pub stops: u8,
    /// An executor falls, its process goes on.
    pub falls: u8,
    /// A dispatcher falls.
    pub recounts: u8,
    /// Nobody knows what became of a commit.
    pub doubtful_commits: u8,
    /// An executor has no room for a hint.
    pub lost_hints: u8,
    /// Operators say something.
    pub words: u8,
    /// An event comes that calls back.
    pub callbacks: u8,
    /// A run asks, and is told that it is done.
    pub polls: u8,
    /// The provider refuses.
    pub refusals: u8,
    /// The provider is not heard of.
    pub silences: u8,
    /// Time passes until the next point at which something is due.
    pub ticks: u8,
}

/// What operators say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// End it.
    Cancel,
    /// Begin nothing.
    Pause,
    /// Go on.
    Resume,
    /// What is in doubt is done again.
    Repeat,
    /// What is in doubt was done.
    Done,
    /// What is in doubt has failed.
    Fail,
    /// The first step is done again, and all that follows.
    Restart,
}

impl Word {
    /// As the product takes it, for a run of this workflow.
    pub fn command(self, definition: &Definition) -> Command {
        let decide = |ruling| Command::Decide { step: None, ruling };
        match self {
            Self::Cancel => Command::Cancel { reason: "said".into() },
            Self::Pause => Command::Pause,
            Self::Resume => Command::Resume,
            Self::Repeat => decide(Ruling::Repeat),
            Self::Done => decide(Ruling::Done { output: json!({ "ok": true }) }),
            Self::Fail => decide(Ruling::Fail { reason: "said".into() }),
            Self::Restart => Command::Restart { step: definition.steps[0].name.clone() },
        }
    }
}

/// An action of which the model's provider takes care.
struct Named(&'static ActionInfo);

impl Action for Named {
    fn info(&self) -> &'static ActionInfo {
        self.0
    }

    fn execute(&self, _: Attempt) -> Working<Outcome> {
        unreachable!("the provider of the model answers")
    }
}

const fn action(name: &'static str, class: EffectClass, on_doubt: OnDoubt) -> ActionInfo {
    ActionInfo { name, class, on_doubt, parameters: &[], timeout: None, waits: None, services: &[] }
}

const fn trigger(name: &'static str, class: EffectClass, on_doubt: OnDoubt) -> ActionInfo {
    let waits = WaitInfo { kind: "codegen:run", source: SOURCE, event: EVENT, actions: &[] };
    ActionInfo { waits: Some(waits), ..action(name, class, on_doubt) }
}

static ACTIONS: [ActionInfo; 4] = [
    action("set", EffectClass::Idempotent, OnDoubt::Repeat),
    action("send", EffectClass::Once, OnDoubt::Park),
    trigger("order", EffectClass::Keyed, OnDoubt::Repeat),
    trigger("launch", EffectClass::Once, OnDoubt::Park),
];

/// A workflow, compiled as the product does it.
pub fn definition(toml: &str) -> Arc<Definition> {
    let each = |info: &'static ActionInfo| (info.name, Arc::new(Named(info)) as Arc<dyn Action>);
    let actions: Actions = Arc::new(ACTIONS.iter().map(each).collect());
    let spec = toml::from_str(toml).unwrap_or_else(|error| panic!("{error}: {toml}"));
    let definition = Definition::compile(WORKFLOW, spec, &Defaults::default(), (&actions, &Children::new()));
    Arc::new(definition.unwrap_or_else(|errors| panic!("{errors:?}: {toml}")))
}
