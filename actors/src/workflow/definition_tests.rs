//! What is accepted can be executed, and what cannot is named.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::executor::port::{Accepts, Action, ActionInfo, Attempt, Effect, Outcome, Parameter, Working};
use crate::ids::{EventId, RunId};
use crate::time::Timestamp;
use crate::workflow::child::Children;

/// Does nothing; one that takes `effect` does what that says.
struct Nothing(&'static ActionInfo);

impl Action for Nothing {
    fn info(&self) -> &'static ActionInfo {
        self.0
    }

    fn lacks(&self, written: &Written) -> Option<String> {
        (written.fixed_text("effect") == Some("idempotent")).then(|| "nobody is there".to_owned())
    }

    fn examine(&self, written: &Written) -> Result<Effect, Vec<Misfit>> {
        match written.fixed_text("effect") {
            _ if written.get("effect").is_none() => Ok(Effect { class: self.0.class, on_doubt: self.0.on_doubt }),
            Some("idempotent") => Ok(EffectClass::Idempotent.into()),
            Some("once") => Ok(EffectClass::Once.into()),
            _ => Err(vec![Misfit::new("effect", "write it out")]),
        }
    }

    fn execute(&self, _: Attempt) -> Working<Outcome> {
        unreachable!("definitions are only compiled here")
    }
}

static CHECK: ActionInfo = ActionInfo {
    name: "check",
    class: EffectClass::Pure,
    on_doubt: OnDoubt::Repeat,
    parameters: &[Parameter { name: "number", accepts: Accepts::Number, default: Some("{{ input.number }}") }],
    timeout: Some(Duration::from_secs(300)),
    waits: None,
    services: &[],
};

static TELL: ActionInfo = ActionInfo {
    name: "tell",
    class: EffectClass::Once,
    on_doubt: OnDoubt::AssumeDone,
    parameters: &[Parameter { name: "text", accepts: Accepts::Text, default: None }],
    timeout: None,
    waits: None,
    services: &[],
};

static ASK: ActionInfo = ActionInfo {
    name: "ask",
    class: EffectClass::Once,
    on_doubt: OnDoubt::Park,
    parameters: &[
        Parameter { name: "effect", accepts: Accepts::Text, default: Some("once") },
        Parameter { name: "headers", accepts: Accepts::TableOf(&Accepts::Text), default: Some("{{ {} }}") },
        Parameter { name: "codes", accepts: Accepts::ListOf(&Accepts::Number), default: Some("{{ [] }}") },
        Parameter { name: "body", accepts: Accepts::Anything, default: Some("{{ none }}") },
    ],
    timeout: None,
    waits: None,
    services: &[],
};

fn actions() -> Actions {
    let all: [&'static ActionInfo; 3] = [&CHECK, &TELL, &ASK];
    Arc::new(
        all.map(|info| (info.name, Arc::new(Nothing(info)) as Arc<dyn Action>)).into_iter().collect::<BTreeMap<_, _>>(),
    )
}

fn compile(toml: &str) -> Result<Definition, String> {
    let spec = toml::from_str(toml).map_err(|error| error.to_string())?;
    Definition::compile("w", spec, &Defaults::default(), (&actions(), &Children::new()))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

const GOOD: &str = r#"
timeout = "10m"
concurrency = { group = "g", key = "{{ input.repository }}#{{ input.number }}", on_newer = "cancel", order_by = "input.order" }
steps = [
  { name = "pause", action = "delay", with = { duration = "5s" } },
  { name = "look", action = "check", retry = { max_attempts = 2 } },
  { name = "say", action = "tell", with = { text = "{{ 'yes' if steps.look.output.ok else 'no' }} of {{ run.id }}" } },
]
"#;

fn run(input: Json) -> RunRecord {
    let event = EventId::first_at(Timestamp::from_millis(1));
    RunRecord {
        id: RunId::derive("w", event, "r", 0),
        workflow: "w".into(),
        definition: "d".into(),
        event,
        route: "r".into(),
        generation: 0,
        priority: 5,
        subject: None,
        fair_key: None,
        input: input.as_object().unwrap().clone(),
        started_at: Timestamp::from_millis(7),
        seen: None,
        parent: None,
        begins_at: None,
    }
}

#[test]
fn a_definition_is_compiled_with_the_defaults_of_action_and_configuration() {
    let definition = compile(GOOD).unwrap();
    let [pause, look, say] = &definition.steps[..] else { panic!("three steps") };
    assert_eq!((pause.action.as_str(), definition.timeout), (DELAY, Duration::from_secs(600)));
    assert_eq!((look.timeout, look.retry.max_attempts), (Duration::from_secs(300), 2));
    assert_eq!(look.retry.base_delay, Duration::from_secs(5), "from the configuration");
    assert_eq!((say.timeout, say.on_doubt), (Duration::from_secs(30), OnDoubt::AssumeDone));
    let run = run(serde_json::json!({"number": 7, "repository": "o/r", "order": 3}));
    let outputs = serde_json::json!({"look": {"status": "done", "output": {"ok": true}}});
    assert_eq!(look.with(&run, &Map::new()).unwrap()["number"], 7);
    let text = say.with(&run, outputs.as_object().unwrap()).unwrap();
    assert_eq!(text["text"], format!("yes of {}", run.id));
    let place = definition.place_of(&run).unwrap().unwrap();
    let inputs: Vec<&str> = definition.inputs.iter().map(String::as_str).collect();
    assert_eq!(inputs, ["number", "order", "repository"], "what a route must give");
    assert_eq!((place.group, place.order), (("g".to_owned(), "o/r#7".to_owned()), Json::from(3)));
}

#[test]
fn the_content_is_what_is_pinned() {
    let definition = compile(GOOD).unwrap();
    let again = Definition::from_content(&definition.content, &actions()).unwrap();
    assert_eq!((again.hash.as_str(), again.steps.len()), (definition.hash.as_str(), 3));
    let other = compile(&GOOD.replace("5s", "6s")).unwrap();
    assert_ne!(other.hash, definition.hash);
    let defaults = Defaults { step_timeout: "31s".into(), ..Defaults::default() };
    let spec = toml::from_str(GOOD).unwrap();
    let other = Definition::compile("w", spec, &defaults, (&actions(), &Children::new())).unwrap();
    assert_ne!(other.hash, definition.hash, "what the configuration decides is pinned with it");
    for pinned in ["assume_done", "300000ms", "{{ input.number }}"] {
        assert!(definition.content.contains(pinned), "what an action decides is pinned with it: {pinned}");
    }
}

#[test]
fn what_cannot_be_executed_is_named() {
    let check = |from: &str, to: &str, expect: &str| {
        assert!(GOOD.contains(from), "{from}");
        let error = compile(&GOOD.replace(from, to)).unwrap_err();
        assert!(error.contains(expect), "{to}: {error}");
    };
    check("\"check\"", "\"chek\"", "there is no action `chek`; there are ask, check, tell, delay");
    check("steps.look.", "steps.later.", "`steps.later.output.ok` is not known here");
    check("\"look\"", "\"say\"", "another step has this name");
    check("\"5s\"", "\"soon\"", "`soon` is not a span of time");
    check("\"5s\"", "\"11m\"", "the delays take 660s, the whole run may take 600s");
    check("\"10m\"", "\"0s\"", "must be longer than nothing");
    check("action = \"check\",", "action = \"check\", timeout = \"0s\",", "step `look`, timeout: must be longer");
    check("retry =", "with = { number = \"x\" }, retry =", "with.number: expected a whole number, found \"x\"");
    check(
        "action = \"check\",",
        "action = \"check\", timeout = \"11m\",",
        "an attempt may take 660s, the whole run 600s",
    );
    check("{ duration = \"5s\" }", "{ duration = [\"5s\"] }", "with.duration: expected a text, found a list");
    check("of {{ run.id }}", "of {{ run.id | uper }}", "there is no filter `uper`");
    check("duration =", "period =", "`delay` does not take this; it takes duration");
    check("duration =", "period =", "`delay` needs this");
    check("\"check\", retry", "\"check\", needs = [\"look\"], retry", "step `look`, needs: it comes after itself");
    check("\"check\", retry", "\"check\", needs = [\"sing\"], retry", "step `look`, needs: there is no step `sing`");
    check("\"check\", retry", "\"check\", needs = [], retry", "`steps.look.output.ok` is not known here");
    let goto = |target: &str| format!("\"check\", on_failure = {{ goto = \"{target}\" }}, retry");
    check("\"check\", retry", &goto("pause"), "on_failure.goto: `pause` comes before it");
    check("\"check\", retry", &goto("look"), "it cannot go on at itself");
    check("\"check\", retry", &goto("sing"), "there is no step `sing`");
    check("\"check\", retry", "\"check\", on_failure = \"ignore\", retry", "unknown variant `ignore`");
    check("\"check\", retry", "\"check\", when = \"steps.say.output\", retry", "`steps.say.output` is not known here");
    check("max_attempts = 2", "max_attempts = 0", "is at least 1");
    check("max_attempts = 2", "multiplier = 0.5", "multiplier must be within");
    check("max_attempts = 2", "max_attempt = 2", "unknown field `max_attempt`");
    check("max_attempts = 2", "on = [\"bad luck\"]", "unknown variant `bad luck`");
    check("action = \"tell\"", "action = \"tell\", on_doubt = \"repeat\"", "cannot be repeated");
    check("input.order\"", "facts.order\"", "`facts.order` is not known here");
    check("run.id }}", "run.id", "syntax error");
    let errors = compile("steps = []").unwrap_err();
    assert_eq!(errors, "workflow `w`, steps: a workflow has at least one step");
}

#[test]
fn steps_come_in_order_unless_they_say_what_they_need() {
    let definition = compile(GOOD).unwrap();
    let needs: Vec<&[String]> = definition.steps.iter().map(|step| step.needs.as_slice()).collect();
    assert_eq!(needs, [&[][..], &["pause".to_owned()], &["look".to_owned()]]);
    assert_eq!(definition.after("pause"), ["look", "say"].map(str::to_owned).into());
    let some = GOOD.replace("\"tell\", with", "\"tell\", needs = [\"look\"], with");
    let says = "workflow `w`, step `look`, needs: other steps say what they need; say so here as well, `needs = []` if it is to begin at once";
    assert_eq!(compile(&some).unwrap_err(), says, "nobody means that it comes out of turn by itself");
    let graph = compile(&some.replace("\"check\",", "\"check\", needs = [],")).unwrap();
    assert!(graph.steps[1].needs.is_empty());
    assert_eq!(graph.after("pause"), BTreeSet::new());
}

const ASKING: &str = r#"
steps = [{ name = "a", action = "ask", with = { effect = "idempotent", headers = { x = "{{ input.x }}" }, codes = [200, "{{ input.code }}"] } }]
"#;

#[test]
fn what_a_step_writes_decides_what_doing_it_again_would_do() {
    let check = |to: &str, class: EffectClass, on_doubt: OnDoubt| {
        let definition = compile(&ASKING.replace("effect = \"idempotent\",", to)).unwrap();
        let step = &definition.steps[0];
        assert_eq!((step.class, step.on_doubt), (class, on_doubt), "{to}");
        let pinned = Definition::from_content(&definition.content, &actions()).unwrap();
        assert_eq!((pinned.steps[0].class, pinned.steps[0].on_doubt), (class, on_doubt), "{to}, pinned");
    };
    check("effect = \"idempotent\",", EffectClass::Idempotent, OnDoubt::Repeat);
    check("effect = \"once\",", EffectClass::Once, OnDoubt::Park);
    check("", EffectClass::Once, OnDoubt::Park);
    let repeated = ASKING.replace("with =", "on_doubt = \"repeat\", with =");
    assert!(compile(&repeated).is_ok());
    let error = compile(&repeated.replace("\"idempotent\"", "\"once\"")).unwrap_err();
    assert!(error.contains("step `a`, on_doubt: what must never happen twice cannot be repeated"), "{error}");
    let error = compile(&ASKING.replace("\"idempotent\"", "\"{{ input.effect }}\"")).unwrap_err();
    assert_eq!(error, "workflow `w`, step `a`, with.effect: write it out");
}

#[test]
fn what_a_step_writes_decides_whether_it_can_be_used() {
    let standing = |toml: &str| {
        let specs = [("w".to_owned(), toml::from_str(toml).unwrap())].into();
        let catalog = crate::workflow::catalog::Catalog::compile(specs, &Defaults::default(), &actions()).unwrap();
        format!("{:?}", catalog.availability(&actions())["w"])
    };
    assert!(standing(ASKING).contains("nobody is there"));
    assert!(!standing(&ASKING.replace("idempotent", "once")).contains("nobody is there"));
}

#[test]
fn lists_and_tables_are_checked_when_they_are_written_and_when_they_are_filled_in() {
    let refused = |from: &str, to: &str| compile(&ASKING.replace(from, to)).unwrap_err();
    assert!(refused("x = ", "y = [], x = ").contains("step `a`, with.headers.y: expected a text, found a list"));
    assert!(refused("[200,", "[\"ok\",").contains("step `a`, with.codes.1: expected a whole number, found \"ok\""));
    assert!(refused("codes = [", "headrs = [").contains("with.headrs: `ask` does not take this"));
    let definition = compile(ASKING).unwrap();
    let fill = |input| definition.steps[0].with(&run(input), &Map::new()).map_err(|error| error.to_string());
    let filled = Json::Object(fill(serde_json::json!({"x": "1", "code": 201})).unwrap());
    let expect = serde_json::json!({"effect": "idempotent", "headers": {"x": "1"}, "codes": [200, 201], "body": null});
    assert_eq!(filled, expect);
    let unfit = fill(serde_json::json!({"x": {"secret": 1}, "code": 201})).unwrap_err();
    assert_eq!(unfit, "with.headers.x: expected a text, found a table");
    assert_eq!(
        fill(serde_json::json!({"x": "1", "code": "{{ x }}"})).unwrap_err(),
        "with.codes.2: expected a whole number, found \"{{ x }}\"",
        "what comes from outside is no template"
    );
}

const PARENT: &str = r#"
concurrency = { group = "g", key = "k" }
steps = [{ name = "r", action = "run_workflow", deadline = "1m", with = { workflow = "v", input = { x = 1 } } }]
"#;
const CHILD: &str = r#"steps = [{ name = "a", action = "tell", with = { text = "t" }, when = "input.x" }]"#;

/// What is wrong with workflows, or nothing.
fn family(all: &[(&str, &str)]) -> String {
    let specs = all.iter().map(|(name, text)| ((*name).to_owned(), toml::from_str(text).unwrap())).collect();
    match crate::workflow::catalog::Catalog::compile(specs, &Defaults::default(), &actions()) {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn a_run_ends_only_for_runs_of_workflows_that_there_are() {
    let check = |concurrency: &str, expect: &str| {
        let all = format!("concurrency = {{ group = \"g\", key = \"k\", {concurrency} }}\n{CHILD}");
        assert_eq!(family(&[("w", &all), ("v", CHILD)]), expect);
    };
    check("on_newer = \"skip\", skip_behind = [\"w\", \"v\"]", "");
    let unknown = "workflow `w`, concurrency.skip_behind: there is no workflow `u`";
    check("on_newer = \"skip\", skip_behind = [\"v\", \"u\"]", unknown);
    let only_skip = "workflow `w`, concurrency.skip_behind: goes with `on_newer = \"skip\"` only: nothing else ends a newer \
                     run for an older one";
    check("on_newer = \"cancel\", skip_behind = [\"v\"]", only_skip);
}

#[test]
fn what_a_workflow_runs_must_be_there_and_be_given_what_it_needs() {
    let check = |parent: &str, child: &str, expect: &str| {
        assert_eq!(family(&[("w", parent), ("v", child)]), expect);
    };
    check(PARENT, CHILD, "");
    let of = |expect: &str| format!("workflow `w`, step `r`, {expect}");
    let is_there = "with.workflow: there is no workflow `u`; there are v, w";
    check(&PARENT.replace("\"v\"", "\"u\""), CHILD, &of(is_there));
    let is_fixed = "with.workflow: must be written out: what is run is known before any run";
    check(&PARENT.replace("\"v\"", "\"{{ input.v }}\""), CHILD, &of(is_fixed));
    let has_input = "with.input: `v` needs `x`; write it out as a table";
    check(&PARENT.replace("{ x = 1 }", "{ y = 1 }"), CHILD, &of(has_input));
    check(&PARENT.replace("{ x = 1 }", "\"{{ input }}\""), CHILD, &of(has_input));
    let has_deadline = "deadline: `run_workflow` needs this: how long the run may take";
    check(&PARENT.replace("deadline = \"1m\", ", ""), CHILD, &of(has_deadline));
    let fits = "deadline: the run that it starts may take 3600s, the whole run 300s";
    check(&PARENT.replace("1m", "1h"), CHILD, &of(fits));
    let long = CHILD.replace("[{", "[{ name = \"p\", action = \"delay\", with = { duration = \"2m\" } }, {");
    check(PARENT, &long, &of("deadline: the delays of `v` take 120s, it may take 60s"));
    let quiet = format!("debounce = {{ key = \"k\", quiet = \"1m\" }}\n{CHILD}");
    check(PARENT, &quiet, &of("deadline: the delays of `v` take 60s, it may take 60s"));
    let grouped = format!("concurrency = {{ group = \"g\", key = \"other\" }}\n{CHILD}");
    let waits = of("with.workflow: `v` would wait for a place in the group `g` that this run has");
    check(PARENT, &grouped, &waits);
    let between = PARENT.replace("\"v\"", "\"u\"").replace("\"g\"", "\"h\"");
    assert_eq!(family(&[("w", PARENT), ("v", &between), ("u", &grouped)]), waits, "also one of those that it runs");
    let itself = PARENT.replace("\"v\"", "\"w\"");
    assert_eq!(family(&[("w", &itself)]), of("with.workflow: it would run itself for ever: w → w"));
    let number = "with.workflow: must be the name of a workflow";
    check(&PARENT.replace("\"v\"", "5"), CHILD, &of(number));
    let other = CHILD.replace("steps = [", "concurrency = { group = \"h\", key = \"k\" }\nsteps = [{ name = \"r\", action = \"run_workflow\", deadline = \"1m\", with = { workflow = \"u\" } }, ");
    let back = "concurrency = { group = \"h\", key = \"k\" }\nsteps = [{ name = \"s\", action = \"run_workflow\", deadline = \"1m\", with = { workflow = \"t\" } }]";
    let leaf = "concurrency = { group = \"g\", key = \"k\" }\nsteps = [{ name = \"a\", action = \"tell\", with = { text = \"t\" } }]";
    let in_h = CHILD.replace("steps", "concurrency = { group = \"h\", key = \"k\" }\nsteps");
    assert!(!family(&[("w", PARENT), ("v", &other), ("u", leaf)]).is_empty(), "it would wait for itself, further down");
    let crossed = family(&[("w", PARENT), ("v", &in_h), ("x", back), ("t", leaf)]);
    assert_eq!(crossed.matches("its run may wait for a place in the group").count(), 2, "{crossed}");
    let broken = CHILD.replace("tell", "tel");
    let mistakes = family(&[("w", PARENT), ("v", &broken)]);
    assert!(mistakes.contains("workflow `v`, step `a`, action: there is no action `tel`"), "{mistakes}");
    assert!(mistakes.ends_with(&of("with.workflow: the workflow `v` has mistakes of its own")), "{mistakes}");
}

#[test]
fn a_workflow_has_time_for_the_delays_of_all_that_it_runs() {
    let runs = |workflow: &str, deadline: &str, before: &str| {
        format!(
            r#"steps = [{before}{{ name = "r", action = "run_workflow", deadline = "{deadline}", with = {{ workflow = "{workflow}" }} }}]"#
        )
    };
    let delay = |span: &str| format!(r#"{{ name = "p", action = "delay", with = {{ duration = "{span}" }} }}, "#);
    let leaf = format!(r#"steps = [{}{{ name = "a", action = "tell", with = {{ text = "t" }} }}]"#, delay("90s"));
    let check = |top: &str, expect: &str| {
        let between = runs("leaf", "2m", &delay("30s"));
        assert_eq!(family(&[("top", top), ("between", &between), ("leaf", &leaf)]), expect, "{top}");
    };
    check(&runs("between", "3m", &delay("2m")), "");
    let late = "workflow `top`, step `r`, deadline: the delays of `between` take 120s, it may take 110s";
    check(&runs("between", "110s", ""), late);
    let long = "workflow `top`, timeout: the delays, with those of the runs that it starts, take 300s, the whole run may take 300s";
    check(&runs("between", "3m", &delay("3m")), long);
}

#[test]
fn a_workflow_is_pinned_with_what_it_runs_and_cannot_be_started_without_it() {
    let compile = |child: &str| {
        let specs = [("w", PARENT), ("v", child)].map(|(name, text)| (name.to_owned(), toml::from_str(text).unwrap()));
        crate::workflow::catalog::Catalog::compile(specs.into(), &Defaults::default(), &actions()).unwrap()
    };
    let (one, other) = (compile(CHILD), compile(&CHILD.replace("input.x", "not input.x")));
    assert_ne!(one.get("w").unwrap().hash, other.get("w").unwrap().hash);
    let asking = ASKING.replace("{{ input.code }}", "201").replace("{{ input.x }}", "x");
    let standing = format!("{:?}", compile(&asking).availability(&actions())["w"]);
    assert!(standing.contains("workflow `v`, which it runs, is unavailable: nobody is there"), "{standing}");
}

#[test]
fn what_a_step_waits_for_is_written_as_a_text() {
    let waiting = r#"steps = [{ name = "a", action = "wait_for_event", deadline = "1m", with = { source = "github", event = "push", key = 17 } }]"#;
    assert!(compile(waiting).is_ok());
    let numbers = waiting.replace("\"github\"", "5").replace("\"push\"", "6");
    let errors = compile(&numbers).unwrap_err();
    for name in ["source", "event"] {
        assert!(errors.contains(&format!("step `a`, with.{name}: must be a text in quotes")), "{errors}");
    }
}

#[test]
fn nothing_is_said_of_attempts_of_what_makes_none() {
    let delay =
        |more: &str| format!(r#"steps = [{{ name = "a", action = "delay", {more}with = {{ duration = "5s" }} }}]"#);
    let timeout = "workflow `w`, step `a`, timeout: `delay` makes no attempt; `with.duration` says how long it takes";
    assert_eq!(compile(&delay("timeout = \"1m\", ")).unwrap_err(), timeout);
    let doubt = "workflow `w`, step `a`, on_doubt: `delay` makes no attempt that could be in doubt";
    assert_eq!(compile(&delay("on_doubt = \"park\", ")).unwrap_err(), doubt);
    // What a former version has accepted is executed.
    let content = compile(&delay("")).unwrap().content;
    let former = content.replace(r#""action":"delay""#, r#""action":"delay","on_doubt":"park""#);
    assert_ne!(former, content);
    Definition::from_content(&former, &actions()).unwrap();
}

#[test]
fn what_undoes_is_not_called_back_and_says_so() {
    let toml = r#"steps = [{ name = "a", action = "look", undo = { action = "trigger" } }]"#;
    let (actions, children) = (crate::executor::story::actions(), Children::new());
    let errors = Definition::compile("w", toml::from_str(toml).unwrap(), &Defaults::default(), (&actions, &children));
    let errors: Vec<String> = errors.unwrap_err().iter().map(ToString::to_string).collect();
    let expect = "workflow `w`, step `a`, undo.action: `trigger` is done only when it is called back, and no undo waits for that";
    assert_eq!(errors, [expect]);
}
