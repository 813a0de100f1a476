//! The canonical stories: what is declared, what happens from outside, what the provider does, and how it
//! must end.

use std::sync::Arc;
use std::time::Duration;

use super::parts::PASSES;
use crate::executor::command::Command;
use crate::executor::failure::ErrorClass;
use crate::executor::port::{
    Action, ActionInfo, Actions, Attempt, EffectClass, OnDoubt, Outcome, Polling, WaitInfo, Working,
};
use crate::run::RunStatus;

pub struct Nothing(&'static ActionInfo);

impl Action for Nothing {
    fn info(&self) -> &'static ActionInfo {
        self.0
    }

    fn execute(&self, _: Attempt) -> Working<Outcome> {
        unreachable!("the provider of this file answers")
    }

    fn resumes(&self) -> bool {
        is_in_parts(self.0.name)
    }

    fn polling(&self) -> Option<Polling> {
        let polling = Polling { first: Duration::from_secs(10), most: Duration::from_secs(20) };
        (self.0.name == "hire").then_some(polling)
    }
}

/// Whether an action is done part by part, and goes on from its notes.
pub fn is_in_parts(action: &str) -> bool {
    matches!(action, "share" | "deal")
}

const fn action(name: &'static str, class: EffectClass, on_doubt: OnDoubt) -> ActionInfo {
    ActionInfo { name, class, on_doubt, parameters: &[], timeout: None, waits: None, services: &[] }
}

const fn trigger(name: &'static str, class: EffectClass, on_doubt: OnDoubt) -> ActionInfo {
    let waits = WaitInfo { kind: "codegen:run", source: SOURCE, event: EVENT, actions: &[] };
    ActionInfo { waits: Some(waits), ..action(name, class, on_doubt) }
}

/// What calls triggers back.
pub const SOURCE: &str = "codegen";
pub const EVENT: &str = "generation";

/// One for each effect class, and two of what must never happen twice; then four that are called back, the last
/// of which can be asked as well; then two that are done part by part.
pub static ACTIONS: [ActionInfo; 12] = [
    action("look", EffectClass::Pure, OnDoubt::Repeat),
    action("set", EffectClass::Idempotent, OnDoubt::Repeat),
    action("put", EffectClass::Keyed, OnDoubt::Repeat),
    action("make", EffectClass::Probe, OnDoubt::Repeat),
    action("tell", EffectClass::Once, OnDoubt::AssumeDone),
    action("send", EffectClass::Once, OnDoubt::Park),
    trigger("order", EffectClass::Keyed, OnDoubt::Repeat),
    trigger("begin", EffectClass::Probe, OnDoubt::Repeat),
    trigger("launch", EffectClass::Once, OnDoubt::Park),
    trigger("hire", EffectClass::Probe, OnDoubt::Repeat),
    action("share", EffectClass::Once, OnDoubt::AssumeDone),
    action("deal", EffectClass::Once, OnDoubt::Park),
];

/// What the provider does with a call.
#[derive(Clone, Copy)]
pub enum Plan {
    Fine,
    /// It is not done, and that is certain.
    Refused(ErrorClass),
    /// It is done, and nobody is told.
    Unanswered,
    /// It is not done, and nobody is told.
    Lost,
    /// It is done, and the process dies of it.
    Kills,
    /// What it has begun calls back after so many milliseconds.
    CallsBack(i64),
    /// The same, and nobody is told that it was begun.
    CallsBackUnanswered(i64),
    /// Only what it has begun since a restart calls back.
    CallsBackSinceRestart(i64),
    /// A part is refused for good until its run is restarted.
    FineSinceRestart,
    /// What it has begun ends after so many milliseconds, and only whoever asks hears of it.
    Ends(i64),
    /// The same, and it ends badly.
    EndsBadly(i64),
    /// The same as the first, and nobody is told that it was begun.
    EndsUnanswered(i64),
    /// What it has begun ends after so many milliseconds, and calls back so many later.
    EndsAndCallsBack(i64, i64),
    /// What it has begun ends after so many milliseconds, and calls back while the answer of whoever asks is on its way.
    CallsBackWhenAsked(i64),
}

/// So many milliseconds after something is done it can be seen.
pub const SEEN_AFTER: i64 = 3_000;

/// What happens from outside, at its time.
#[derive(Clone)]
pub enum Input {
    /// A run is started, with what orders it.
    Start(i64),
    /// An operator says something of the run with this number.
    Say(usize, Command),
    /// An event comes, the same one each time it has this number, under this key.
    Call(i64, String),
}

/// A story and how it must end.
pub struct Canonical {
    pub name: &'static str,
    pub workflow: &'static str,
    /// The workflow `v`, which its runs may run.
    pub child: Option<&'static str>,
    /// By step: what the provider does with the first calls; then all is fine.
    pub plans: &'static [(&'static str, &'static [Plan])],
    pub inputs: Vec<(i64, Input)>,
    pub ends: &'static [RunStatus],
}

pub fn actions() -> Actions {
    let each = |info: &'static ActionInfo| (info.name, Arc::new(Nothing(info)) as Arc<dyn Action>);
    Arc::new(ACTIONS.iter().map(each).collect())
}

pub fn once(inputs: impl IntoIterator<Item = (i64, Command)>) -> Vec<(i64, Input)> {
    let said = inputs.into_iter().map(|(at, command)| (at, Input::Say(0, command)));
    std::iter::once((0, Input::Start(1))).chain(said).collect()
}

pub fn cancel() -> Command {
    Command::Cancel { reason: "by plan".into() }
}

pub const SEQUENCE: &str = r#"steps = [{ name = "a", action = "look" }, { name = "p", action = "delay", with = { duration = "5s" } }, { name = "b", action = "set" }, { name = "c", action = "put" }, { name = "d", action = "tell" }]"#;
pub const RETRY: &str = r#"steps = [{ name = "a", action = "set", retry = { max_attempts = 3, base_delay = "1s", jitter = 0.0 } }, { name = "b", action = "tell", retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } }]"#;
pub const PARKING: &str = r#"steps = [{ name = "a", action = "send" }, { name = "b", action = "put" }]"#;
/// The budget is larger than what a poisonous step is given.
pub const POISON: &str = r#"steps = [{ name = "a", action = "look" }, { name = "b", action = "set", retry = { max_attempts = 9, base_delay = "1s" } }, { name = "c", action = "tell" }]"#;
pub const GRAPH: &str = r#"steps = [{ name = "a", action = "look", needs = [] }, { name = "b", action = "set", needs = ["a"] }, { name = "p", action = "delay", needs = ["a"], with = { duration = "2s" } }, { name = "c", action = "tell", needs = ["b", "p"], when = "steps.b.output.ok" }, { name = "n", action = "tell", needs = ["a"], when = "not steps.a.output.ok" }]"#;
pub const FAN: &str = r#"parallelism = 3
steps = [{ name = "a", action = "set", needs = [] }, { name = "b", action = "put", needs = [] }, { name = "c", action = "make", needs = [] }, { name = "d", action = "send", needs = [] }, { name = "e", action = "tell", needs = ["a", "b", "c", "d"] }]"#;
pub const FAN_UNDONE: &str = r#"steps = [{ name = "a", action = "set", needs = [], undo = { action = "put" } }, { name = "b", action = "put", needs = [], undo = { action = "tell" } }, { name = "c", action = "set", needs = [], retry = { max_attempts = 1 } }]"#;
pub const WAYS_ON: &str = r#"steps = [{ name = "a", action = "set", on_failure = "continue", retry = { max_attempts = 1 } }, { name = "b", action = "set", on_failure = { goto = "d" }, retry = { max_attempts = 1 } }, { name = "c", action = "tell" }, { name = "d", action = "tell" }]"#;
pub const DOUBT_BESIDE: &str = r#"steps = [{ name = "a", action = "send", needs = [] }, { name = "p", action = "delay", needs = [], with = { duration = "1s" } }, { name = "b", action = "set", needs = ["p"], retry = { max_attempts = 1 } }, { name = "c", action = "put", needs = ["a", "b"] }]"#;
pub const SUPERSEDE: &str = r#"
concurrency = { group = "g", key = "k", on_newer = "cancel", order_by = "input.order" }
steps = [{ name = "a", action = "look" }, { name = "b", action = "set" }]"#;
pub const IN_TURN: &str = r#"
concurrency = { group = "g", key = "k" }
steps = [{ name = "a", action = "set" }, { name = "b", action = "tell" }]"#;

pub const CALLED_BACK: &str = r#"steps = [{ name = "a", action = "order", deadline = "1m" }, { name = "b", action = "tell", when = "steps.a.output.ok" }]"#;
pub const ELSE: &str = r#"steps = [{ name = "a", action = "order", deadline = "1m", on_timeout = { goto = "c" } }, { name = "b", action = "tell" }, { name = "c", action = "put" }]"#;
pub const LAUNCHED: &str =
    r#"steps = [{ name = "a", action = "launch", deadline = "1m" }, { name = "b", action = "set" }]"#;
pub const BOTH: &str = r#"steps = [{ name = "a", action = "order", needs = [], deadline = "1m" }, { name = "b", action = "order", needs = [], deadline = "1m" }, { name = "c", action = "tell", needs = ["a", "b"] }]"#;
pub const LISTENING: &str = r#"steps = [{ name = "p", action = "delay", with = { duration = "5s" } }, { name = "a", action = "wait_for_event", deadline = "1m", with = { source = "codegen", event = "generation", key = "codegen:run:x" } }, { name = "b", action = "tell" }]"#;
pub const SUPERSEDED_WAITING: &str = r#"
concurrency = { group = "g", key = "k", on_newer = "cancel", order_by = "input.order" }
steps = [{ name = "a", action = "order", deadline = "1m" }, { name = "b", action = "tell" }]"#;

pub const LOOKED_FOR: &str = r#"steps = [{ name = "a", action = "make", retry = { max_attempts = 3, base_delay = "1s", jitter = 0.0 } }, { name = "b", action = "tell", when = "steps.a.output.ok" }]"#;
pub const BEGUN: &str = r#"steps = [{ name = "a", action = "begin", deadline = "1m", retry = { max_attempts = 3, base_delay = "1s", jitter = 0.0 } }, { name = "b", action = "tell", when = "steps.a.output.ok" }]"#;

pub const ASKED: &str = r#"steps = [{ name = "a", action = "hire", deadline = "1m", retry = { max_attempts = 2, base_delay = "1s", jitter = 0.0 } }, { name = "b", action = "tell", when = "steps.a.output.ok" }]"#;

pub const UNDONE: &str = r#"steps = [{ name = "a", action = "set", undo = { action = "put" } }, { name = "b", action = "tell", undo = { action = "tell" } }, { name = "c", action = "set", retry = { max_attempts = 1 } }]"#;
pub const UNDONE_IN_TURN: &str = r#"
concurrency = { group = "g", key = "k", on_newer = "cancel", order_by = "input.order" }
steps = [{ name = "a", action = "set", undo = { action = "put" } }, { name = "c", action = "set", retry = { max_attempts = 1 } }]"#;
pub const DEBOUNCED: &str = r#"
debounce = { key = "k", quiet = "5s" }
concurrency = { group = "g", key = "k", on_newer = "cancel", order_by = "input.order" }
steps = [{ name = "a", action = "look" }, { name = "b", action = "tell" }]"#;

pub const SHARED: &str = r#"steps = [{ name = "a", action = "set" }, { name = "b", action = "share", retry = { max_attempts = 3, base_delay = "1s", jitter = 0.0 } }, { name = "c", action = "tell" }]"#;
pub const DEALT: &str = r#"steps = [{ name = "b", action = "deal" }, { name = "c", action = "tell" }]"#;

/// Steps that are done part by part.
fn in_parts() -> Vec<Canonical> {
    use RunStatus::Succeeded;
    let story = |name, workflow, plans, ends| Canonical { name, workflow, child: None, plans, inputs: once([]), ends };
    vec![
        story("shared", SHARED, &[], &[Succeeded]),
        story("shared with trouble", SHARED, &[("b#y", &[PASSES, PASSES])], &[Succeeded]),
        story("shared in doubt", SHARED, &[("b#x", &[Plan::Unanswered]), ("b#y", &[PASSES, Plan::Lost])], &[Succeeded]),
        story("an operator rules about a part", DEALT, &[("b#x", &[Plan::Lost]), ("b#y", &[PASSES])], &[Succeeded]),
        Canonical {
            inputs: once([(60_000, Command::Restart { step: "b".into() })]),
            ..story("shared and begun again", SHARED, &[("b#y", &[Plan::FineSinceRestart; 9])], &[Succeeded])
        },
    ]
}

/// Runs that are called back, or are not. Times are in milliseconds; an attempt takes ten.
fn waiting() -> Vec<Canonical> {
    use RunStatus::{Cancelled, Failed, Succeeded, Superseded};
    let story = |name, workflow, plans, ends| Canonical { name, workflow, child: None, plans, inputs: once([]), ends };
    let listen = |name, at| {
        let inputs = vec![(0, Input::Start(1)), (at, Input::Call(9, "codegen:run:x".into()))];
        Canonical { inputs, ..story(name, LISTENING, &[], &[Succeeded]) }
    };
    vec![
        story("called back", CALLED_BACK, &[("a", &[Plan::CallsBack(20_000)])], &[Succeeded]),
        story("called back early", CALLED_BACK, &[("a", &[Plan::CallsBack(3)])], &[Succeeded]),
        story("called back late", ELSE, &[("a", &[Plan::CallsBack(90_000)])], &[Succeeded]),
        story("never called back", CALLED_BACK, &[], &[Failed]),
        story("called back in doubt", LAUNCHED, &[("a", &[Plan::CallsBackUnanswered(20_000)])], &[Succeeded]),
        story(
            "refused, then called back",
            CALLED_BACK,
            &[("a", &[Plan::Refused(ErrorClass::Network), Plan::CallsBack(20_000)])],
            &[Succeeded],
        ),
        story("two callbacks", BOTH, &[("a", &[Plan::CallsBack(3)]), ("b", &[Plan::CallsBack(20_000)])], &[Succeeded]),
        story("begun, found, called back", BEGUN, &[("a", &[Plan::CallsBackUnanswered(20_000)])], &[Succeeded]),
        story("begun, called back before it is found", BEGUN, &[("a", &[Plan::CallsBackUnanswered(3)])], &[Succeeded]),
        story("asked after", ASKED, &[("a", &[Plan::Ends(25_000)])], &[Succeeded]),
        story("asked after, and it failed", ASKED, &[("a", &[Plan::EndsBadly(25_000)])], &[Failed]),
        story("asked after once it is found", ASKED, &[("a", &[Plan::EndsUnanswered(25_000)])], &[Succeeded]),
        story("asked after in vain", ASKED, &[("a", &[Plan::Ends(90_000)])], &[Failed]),
        story("asked after and called back", ASKED, &[("a", &[Plan::EndsAndCallsBack(1_000, 30_000)])], &[Succeeded]),
        story("called back while it is asked", ASKED, &[("a", &[Plan::CallsBackWhenAsked(1_000)])], &[Succeeded]),
        listen("an event on the way", 2_000),
        listen("an event in time", 20_000),
        Canonical {
            inputs: once([(30_000, cancel())]),
            ..story("cancelled while it waits", CALLED_BACK, &[("a", &[Plan::CallsBack(45_000)])], &[Cancelled])
        },
        Canonical {
            inputs: once([(2_000, Command::Pause), (30_000, Command::Resume)]),
            ..story("called back while it is paused", CALLED_BACK, &[("a", &[Plan::CallsBack(20_000)])], &[Succeeded])
        },
        Canonical {
            inputs: once([(90_000, Command::Restart { step: "a".into() })]),
            ..story("ordered again", CALLED_BACK, &[("a", &[Plan::CallsBackSinceRestart(3); 9])], &[Succeeded])
        },
        Canonical {
            inputs: vec![(0, Input::Start(1)), (5_000, Input::Start(2))],
            ..story(
                "superseded while it waits",
                SUPERSEDED_WAITING,
                &[("a", &[Plan::CallsBack(20_000); 2])],
                &[Superseded, Succeeded],
            )
        },
    ]
}

pub const PARENT: &str = r#"steps = [{ name = "a", action = "set" }, { name = "r", action = "run_workflow", deadline = "1m", with = { workflow = "v", input = { x = "{{ steps.a.output.ok }}" } } }, { name = "b", action = "tell", when = "steps.r.output.outputs.x.ok" }]"#;
pub const NEWEST_PARENT: &str = r#"
concurrency = { group = "g", key = "k", on_newer = "cancel", order_by = "input.order" }
steps = [{ name = "r", action = "run_workflow", deadline = "1m", with = { workflow = "v", input = { x = true } } }]"#;
pub const BESIDE_CHILD: &str = r#"steps = [{ name = "r", action = "run_workflow", needs = [], deadline = "1m", with = { workflow = "v", input = { x = true } } }, { name = "p", action = "delay", needs = [], with = { duration = "3s" } }, { name = "b", action = "set", needs = ["p"] }]"#;
pub const PARENT_ELSE: &str = r#"steps = [{ name = "r", action = "run_workflow", deadline = "1m", on_failure = "continue", with = { workflow = "v", input = { x = true } } }, { name = "b", action = "tell" }]"#;
pub const HURRIED_PARENT: &str = r#"
timeout = "20s"
steps = [{ name = "a", action = "set", timeout = "5s", undo = { action = "put", timeout = "5s" } }, { name = "p", action = "delay", with = { duration = "3s" } }, { name = "r", action = "run_workflow", deadline = "19s", with = { workflow = "v", input = { x = true } } }]"#;
pub const LED_PAST: &str = r#"steps = [{ name = "r", action = "run_workflow", needs = [], deadline = "1m", with = { workflow = "v", input = { x = true } } }, { name = "p", action = "delay", needs = [], with = { duration = "3s" } }, { name = "b", action = "set", needs = ["p"], on_failure = { goto = "z" } }, { name = "z", action = "set", needs = ["b"] }]"#;
pub const CHILD: &str = r#"steps = [{ name = "x", action = "put", when = "input.x" }, { name = "p", action = "delay", with = { duration = "5s" } }, { name = "y", action = "tell" }]"#;
pub const BUSY_CHILD: &str = r#"steps = [{ name = "p", action = "delay", with = { duration = "2s" } }, { name = "x", action = "tell" }, { name = "q", action = "delay", with = { duration = "9s" } }, { name = "y", action = "tell", when = "input.x" }]"#;
pub const SLOW_CHILD: &str = r#"steps = [{ name = "x", action = "order", deadline = "3m", retry = { max_attempts = 2, base_delay = "45s", jitter = 0.0 } }, { name = "y", action = "tell" }]"#;

/// Runs that start others, and what becomes of these. Times are in milliseconds; an attempt takes ten.
fn families() -> Vec<Canonical> {
    use RunStatus::{Cancelled, Failed, Succeeded, Superseded, TimedOut};
    let story = |name, (workflow, child), inputs, ends| Canonical {
        name,
        workflow,
        child: Some(child),
        plans: &[],
        inputs,
        ends,
    };
    const GONE: Plan = Plan::Refused(ErrorClass::NotFound);
    vec![
        story("a child", (PARENT, CHILD), once([]), &[Succeeded, Succeeded]),
        Canonical {
            plans: &[("x", &[GONE; 9])],
            ..story("a child fails", (PARENT, CHILD), once([]), &[Failed, Failed])
        },
        Canonical {
            plans: &[("x", &[GONE; 9])],
            ..story("a child fails, and its parent goes on", (PARENT_ELSE, CHILD), once([]), &[Succeeded, Failed])
        },
        story("cancelled with its child", (PARENT, CHILD), once([(2_000, cancel())]), &[Cancelled, Cancelled]),
        story(
            "cancelled with its child in flight",
            (PARENT, BUSY_CHILD),
            once([(2_015, cancel())]),
            &[Cancelled, Cancelled],
        ),
        story(
            "a child is cancelled",
            (PARENT_ELSE, CHILD),
            vec![(0, Input::Start(1)), (2_000, Input::Say(1, cancel()))],
            &[Succeeded, Cancelled],
        ),
        story(
            "superseded with its child at work",
            (NEWEST_PARENT, BUSY_CHILD),
            vec![(0, Input::Start(1)), (2_015, Input::Start(2))],
            &[Superseded, Superseded, Succeeded, Succeeded],
        ),
        Canonical {
            plans: &[("b", &[GONE; 9])],
            ..story("a child beside a failure", (BESIDE_CHILD, BUSY_CHILD), once([]), &[Failed, Cancelled])
        },
        story("out of time with a child at work", (HURRIED_PARENT, SLOW_CHILD), once([]), &[TimedOut, Cancelled]),
        Canonical {
            plans: &[("b", &[GONE; 9])],
            ..story("a way on past a child", (LED_PAST, BUSY_CHILD), once([]), &[Succeeded, Cancelled])
        },
        story("a child is too slow", (PARENT_ELSE, SLOW_CHILD), once([]), &[Succeeded, Cancelled]),
        story(
            "a child is run again",
            (PARENT, CHILD),
            vec![
                (0, Input::Start(1)),
                (2_000, Input::Say(1, cancel())),
                (60_000, Input::Say(0, Command::Restart { step: "r".into() })),
            ],
            &[Succeeded, Cancelled, Succeeded],
        ),
    ]
}

/// The stories. Times are in milliseconds; an attempt takes ten.
pub fn stories() -> Vec<Canonical> {
    use RunStatus::{Cancelled, Failed, Succeeded, Superseded};
    const NETWORK: Plan = Plan::Refused(ErrorClass::Network);
    const GONE: Plan = Plan::Refused(ErrorClass::NotFound);
    let story = |name, workflow, inputs, ends| Canonical { name, workflow, child: None, plans: &[], inputs, ends };
    let several =
        |orders: &[(i64, i64)]| orders.iter().map(|(at, order)| (*at, Input::Start(*order))).collect::<Vec<_>>();
    let mut all = vec![
        story("sequence", SEQUENCE, once([]), &[Succeeded]),
        story("graph", GRAPH, once([]), &[Succeeded]),
        story("side by side", FAN, once([]), &[Succeeded]),
        Canonical {
            plans: &[("a", &[NETWORK]), ("b", &[Plan::Unanswered]), ("c", &[Plan::Lost])],
            ..story("side by side with trouble", FAN, once([]), &[Succeeded])
        },
        Canonical { plans: &[("b", &[GONE; 9])], ..story("one of several fails", FAN, once([]), &[Failed]) },
        story("several are cancelled", FAN, once([(5, cancel())]), &[Cancelled]),
        Canonical { plans: &[("c", &[GONE; 9])], ..story("several are undone", FAN_UNDONE, once([]), &[Failed]) },
        Canonical {
            plans: &[("a", &[NETWORK, Plan::Unanswered]), ("b", &[NETWORK])],
            ..story("retry", RETRY, once([]), &[Succeeded])
        },
        Canonical { plans: &[("a", &[NETWORK; 9])], ..story("retries end", RETRY, once([]), &[Failed]) },
        Canonical { plans: &[("b", &[Plan::Unanswered])], ..story("unanswered", RETRY, once([]), &[Succeeded]) },
        story("an operator rules", PARKING, once([]), &[Succeeded]),
        Canonical {
            plans: &[("a", &[Plan::Unanswered])],
            ..story("an operator rules about silence", PARKING, once([]), &[Succeeded])
        },
        Canonical { plans: &[("a", &[GONE]), ("b", &[GONE])], ..story("ways on", WAYS_ON, once([]), &[Succeeded]) },
        story("doubt beside another branch", DOUBT_BESIDE, once([]), &[Succeeded]),
        Canonical {
            plans: &[("a", &[Plan::Unanswered]), ("b", &[GONE; 9])],
            ..story("doubt beside a failure", DOUBT_BESIDE, once([]), &[Failed])
        },
        story("cancelled in a pause", SEQUENCE, once([(2_000, cancel())]), &[Cancelled]),
        story("cancelled in flight", SEQUENCE, once([(5, cancel())]), &[Cancelled]),
        story("paused and resumed", SEQUENCE, once([(2_000, Command::Pause), (60_000, Command::Resume)]), &[Succeeded]),
        Canonical {
            plans: &[("b", &[GONE, Plan::Fine])],
            ..story("restarted", SEQUENCE, once([(60_000, Command::Restart { step: "b".into() })]), &[Succeeded])
        },
        Canonical { plans: &[("b", &[Plan::Kills; 9])], ..story("poison", POISON, once([]), &[Failed]) },
        Canonical { plans: &[("a", &[Plan::Kills])], ..story("poison, once", PARKING, once([]), &[Succeeded]) },
        story("looked for", LOOKED_FOR, once([]), &[Succeeded]),
        Canonical {
            plans: &[("a", &[Plan::Unanswered])],
            ..story("looked for and found", LOOKED_FOR, once([]), &[Succeeded])
        },
        Canonical {
            plans: &[("a", &[Plan::Lost, Plan::Lost, Plan::Unanswered])],
            ..story("looked for and found at last", LOOKED_FOR, once([]), &[Succeeded])
        },
        Canonical { plans: &[("a", &[Plan::Lost; 9])], ..story("looked for in vain", LOOKED_FOR, once([]), &[Failed]) },
        Canonical {
            plans: &[("a", &[Plan::Lost])],
            ..story("cancelled while it is looked for", LOOKED_FOR, once([(2_000, cancel())]), &[Cancelled])
        },
        story("superseded", SUPERSEDE, several(&[(0, 1), (5, 2)]), &[Superseded, Succeeded]),
        story("a late older one", SUPERSEDE, several(&[(0, 2), (5, 1)]), &[Succeeded, Superseded]),
        story("in turn", IN_TURN, several(&[(0, 1), (1, 2), (2, 3)]), &[Succeeded, Succeeded, Succeeded]),
    ];
    all.extend(waiting());
    all.extend(in_parts());
    all.extend(families());
    all.extend([
        Canonical { plans: &[("c", &[GONE; 9])], ..story("undone", UNDONE, once([]), &[Failed]) },
        Canonical {
            plans: &[("c", &[GONE; 9]), ("undo/a", &[NETWORK, Plan::Unanswered])],
            ..story("undone with trouble", UNDONE, once([]), &[Failed])
        },
        Canonical {
            plans: &[("c", &[GONE; 9]), ("undo/a", &[NETWORK, Plan::Unanswered])],
            ..story("undone while a newer one comes", UNDONE_IN_TURN, several(&[(0, 1), (2_000, 2)]), &[Failed, Failed])
        },
        story("cancelled and undone", UNDONE, once([(15, cancel())]), &[Cancelled]),
        story("debounced", DEBOUNCED, several(&[(0, 1), (3_000, 2), (6_000, 3)]), &[Superseded, Superseded, Succeeded]),
        story("debounced, the older one later", DEBOUNCED, several(&[(0, 2), (3_000, 1)]), &[Succeeded, Superseded]),
        story("debounced one after the other", DEBOUNCED, several(&[(0, 1), (20_000, 2)]), &[Succeeded, Succeeded]),
    ]);
    all
}
