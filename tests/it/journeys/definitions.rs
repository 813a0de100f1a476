//! What cannot be executed is refused before anything starts, by file, line, key and reason.

use std::process::Command;

/// A definition that can be executed; each mistake is made in it. Line 1 is the first.
const GOOD: &str = r#"[workflows.w]
timeout = "10m"
concurrency = { group = "g", key = "{{ input.repository }}", on_newer = "cancel", order_by = "input.order" }

[[workflows.w.steps]]
name = "wait"
action = "delay"
with = { duration = "5s" }

[[workflows.w.steps]]
name = "status"
action = "update_pr_status"
retry = { max_attempts = 3, base_delay = "1s" }
on_failure = { goto = "tell" }
with = { repository = "{{ input.repository }}", pr_number = 1, head_sha = "a", state = "success" }

[[workflows.w.steps]]
name = "tell"
action = "send_notification"
when = "steps.status.status == 'done'"
with = { text = "{{ steps.status.output.id }}" }

[[routes]]
name = "r"
source = "github"
event = "push"
when = "facts.head_ref == 'main'"
workflow = "w"
input = { repository = "facts.repository", order = "facts.more.order" }
"#;

fn check(toml: &str) -> Result<(), String> {
    let loaded = crate::server::loaded_alone(toml);
    pointsman::boot::plan(&loaded).map(|_| ()).map_err(|error| format!("{error:#}"))
}

#[test]
fn every_kind_of_mistake_is_named_with_its_place() {
    assert_eq!(check(GOOD), Ok(()));
    let mistakes = [
        (
            "an unknown action",
            "\"update_pr_status\"",
            "\"update_status\"",
            "config.toml, line 12: workflow `w`, step `status`, action: there is no action `update_status`; there are",
        ),
        (
            "an unknown parameter",
            "head_sha = \"a\"",
            "sha = \"a\"",
            "line 15: workflow `w`, step `status`, with.sha: `update_pr_status` does not take this; it takes repository",
        ),
        (
            "a missing parameter",
            ", state = \"success\"",
            "",
            "line 15: workflow `w`, step `status`, with.state: `update_pr_status` needs this",
        ),
        (
            "a value that is none of those",
            "\"success\"",
            "\"sucess\"",
            "line 15: workflow `w`, step `status`, with.state: expected one of error, failure, pending, success, found \"sucess\"",
        ),
        (
            "a value of another kind",
            "pr_number = 1",
            "pr_number = \"one\"",
            "line 15: workflow `w`, step `status`, with.pr_number: expected a whole number, found \"one\"",
        ),
        (
            "a span that is none",
            "\"5s\"",
            "\"soon\"",
            "line 8: workflow `w`, step `wait`, with.duration: `soon` is not a span of time",
        ),
        (
            "delays longer than the run",
            "\"5s\"",
            "\"11m\"",
            "line 2: workflow `w`, timeout: the delays take 660s, the whole run may take 600s",
        ),
        (
            "an attempt longer than the run",
            "action = \"send_notification\"",
            "action = \"send_notification\"\ntimeout = \"1h\"",
            "line 20: workflow `w`, step `tell`, timeout: an attempt may take 3600s, the whole run 600s",
        ),
        (
            "a circle",
            "action = \"delay\"",
            "action = \"delay\"\nneeds = [\"wait\"]",
            "line 8: workflow `w`, step `wait`, needs: it comes after itself",
        ),
        (
            "a step that there is not",
            "action = \"delay\"",
            "action = \"delay\"\nneeds = [\"wiat\"]",
            "step `wait`, needs: there is no step `wiat`",
        ),
        (
            "two steps of one name",
            "name = \"tell\"",
            "name = \"status\"",
            "workflow `w`, step `status`: another step has this name",
        ),
        (
            "a later step's output",
            "duration = \"5s\"",
            "duration = \"{{ steps.tell.output }}\"",
            "line 8: workflow `w`, step `wait`, with.duration: `steps.tell.output`: `steps.tell.output` is not known here",
        ),
        (
            "a way back",
            "goto = \"tell\"",
            "goto = \"wait\"",
            "line 14: workflow `w`, step `status`, on_failure.goto: `wait` comes before it",
        ),
        (
            "an unknown filter",
            "output.id }}",
            "output.id | uper }}",
            "line 21: workflow `w`, step `tell`, with.text: `steps.status.output.id | uper`: there is no filter `uper`",
        ),
        ("a template that does not end", "output.id }}", "output.id", "line 21: workflow `w`, step `tell`, with.text:"),
        (
            "a repetition of what must not happen twice",
            "action = \"send_notification\"",
            "action = \"send_notification\"\non_doubt = \"repeat\"",
            "line 20: workflow `w`, step `tell`, on_doubt: what must never happen twice cannot be repeated",
        ),
        (
            "an undo that cannot be",
            "action = \"send_notification\"",
            "action = \"send_notification\"\nundo = { action = \"send_notification\", with = { txt = \"x\" } }",
            "line 20: workflow `w`, step `tell`, undo.with.txt: `send_notification` does not take this; it takes text",
        ),
        (
            "a burst that ends before it is quiet",
            "timeout = \"10m\"",
            "timeout = \"10m\"\ndebounce = { key = \"k\", quiet = \"10s\", at_most = \"5s\" }",
            "line 3: workflow `w`, debounce.at_most: must be at least `quiet`, 10s",
        ),
        (
            "a wait without an end",
            "action = \"delay\"\nwith = { duration = \"5s\" }",
            "action = \"wait_for_event\"\nwith = { source = \"codegen\", event = \"generation\", key = \"codegen:run:1\" }",
            "step `wait`, deadline: `wait_for_event` needs this: until when it may be called back",
        ),
        (
            "a wait longer than the run",
            "action = \"delay\"\nwith = { duration = \"5s\" }",
            "action = \"wait_for_event\"\ndeadline = \"1h\"\nwith = { source = \"codegen\", event = \"generation\", key = \"codegen:run:1\" }",
            "line 8: workflow `w`, step `wait`, deadline: its callback may take 3600s, the whole run 600s",
        ),
        (
            "a wait for a source that there is not",
            "action = \"delay\"\nwith = { duration = \"5s\" }",
            "action = \"wait_for_event\"\ndeadline = \"1m\"\nwith = { source = \"gitlab\", event = \"generation\", key = \"codegen:run:1\" }",
            "line 9: workflow `w`, step `wait`, with.source: there is no source `gitlab`; there are github",
        ),
        (
            "a wait for a hook by the name that its settings have",
            "action = \"delay\"\nwith = { duration = \"5s\" }",
            "action = \"wait_for_event\"\ndeadline = \"1m\"\nwith = { source = \"claude-code\", event = [\"stop\", \"StopFailure\"], key = \"claude:session:1\" }",
            "line 9: workflow `w`, step `wait`, with.event: no event has the type `StopFailure`; it is `stop_failure`",
        ),
        (
            "a wait for no type of event",
            "action = \"delay\"\nwith = { duration = \"5s\" }",
            "action = \"wait_for_event\"\ndeadline = \"1m\"\nwith = { source = \"github\", event = [], key = \"github:pr:1\" }",
            "step `wait`, with.event: must be a text in quotes, or a list of such",
        ),
        (
            "a route for a hook by the name that its settings have",
            "event = \"push\"",
            "event = \"StopFailure\"",
            "route `r`, event: no event has the type `StopFailure`; it is `stop_failure`",
        ),
        (
            "a wait for a key that no event has",
            "action = \"delay\"\nwith = { duration = \"5s\" }",
            "action = \"wait_for_event\"\ndeadline = \"1m\"\nwith = { source = \"github\", event = \"check_run\", key = \"github:pull:{{ input.repository }}\" }",
            "step `wait`, with.key: no event of github has the key `github:pull:…`; they have github:pr:…",
        ),
        (
            "a wait for what is known only then",
            "action = \"delay\"\nwith = { duration = \"5s\" }",
            "action = \"wait_for_event\"\ndeadline = \"1m\"\nwith = { source = \"github\", event = \"{{ input.repository }}\", key = \"github:pr:1\" }",
            "step `wait`, with.event: must be written out: what is waited for is known before any run",
        ),
        (
            "a deadline of what is not called back",
            "action = \"delay\"",
            "action = \"delay\"\ndeadline = \"1m\"",
            "line 8: workflow `w`, step `wait`, deadline: `delay` is not called back",
        ),
        (
            "a time for attempts of what makes none",
            "action = \"delay\"",
            "action = \"delay\"\ntimeout = \"1m\"",
            "config.toml, line 8: workflow `w`, step `wait`, timeout: `delay` makes no attempt; `with.duration` says how long",
        ),
        (
            "a time for attempts of what only waits",
            "action = \"delay\"\nwith = { duration = \"5s\" }",
            "action = \"wait_for_event\"\ndeadline = \"1m\"\ntimeout = \"1m\"\nwith = { source = \"github\", event = \"push\", key = \"github:pr:1\" }",
            "config.toml, line 9: workflow `w`, step `wait`, timeout: `wait_for_event` makes no attempt; `deadline` says how long",
        ),
        (
            "a doubt about what makes no attempt",
            "action = \"delay\"",
            "action = \"delay\"\non_doubt = \"park\"",
            "config.toml, line 8: workflow `w`, step `wait`, on_doubt: `delay` makes no attempt that could be in doubt",
        ),
        (
            "a doubt about a run",
            "action = \"send_notification\"",
            "action = \"run_workflow\"\ndeadline = \"1m\"\non_doubt = \"repeat\"\nwith = { workflow = \"pr_validation\" }\n[[workflows.w.steps]]\nname = \"more\"\naction = \"send_notification\"",
            "config.toml, line 21: workflow `w`, step `tell`, on_doubt: `run_workflow` makes no attempt that could be in doubt",
        ),
        (
            "an undo that only waits",
            "action = \"send_notification\"",
            "action = \"send_notification\"\nundo = { action = \"delay\", with = { duration = \"1s\" } }",
            "line 20: workflow `w`, step `tell`, undo.action: `delay` undoes nothing",
        ),
        (
            "a way on after a timeout that leads nowhere",
            "action = \"delay\"\nwith = { duration = \"5s\" }",
            "action = \"wait_for_event\"\ndeadline = \"1m\"\non_timeout = { goto = \"tel\" }\nwith = { source = \"github\", event = \"push\", key = \"github:pr:1\" }",
            "step `wait`, on_timeout.goto: there is no step `tel`",
        ),
        (
            "a run of what there is not",
            "action = \"send_notification\"",
            "action = \"run_workflow\"\ndeadline = \"1m\"\nwith = { workflow = \"v\" }\n[[workflows.w.steps]]\nname = \"more\"\naction = \"send_notification\"",
            "line 21: workflow `w`, step `tell`, with.workflow: there is no workflow `v`; there are codegen_assigned, ",
        ),
        (
            "a run of itself",
            "action = \"send_notification\"",
            "action = \"run_workflow\"\ndeadline = \"1m\"\nwith = { workflow = \"w\" }\n[[workflows.w.steps]]\nname = \"more\"\naction = \"send_notification\"",
            "line 21: workflow `w`, step `tell`, with.workflow: it would run itself for ever: w → w",
        ),
        (
            "no attempt at all",
            "max_attempts = 3",
            "max_attempts = 0",
            "line 13: workflow `w`, step `status`, retry: max_attempts counts the first one and is at least 1",
        ),
        (
            "no step at a time",
            "timeout = \"10m\"",
            "timeout = \"10m\"\nparallelism = 0",
            "line 3: workflow `w`, parallelism: must be within 1 and 64",
        ),
        (
            "a limit of none",
            "group = \"g\"",
            "limit = 0, group = \"g\"",
            "line 3: workflow `w`, concurrency.limit: must be at least 1",
        ),
        (
            "an order by what there is not",
            "\"input.order\"",
            "\"facts.order\"",
            "line 3: workflow `w`, concurrency.order_by: `facts.order`: `facts.order` is not known here",
        ),
        ("an unknown key", "on_failure = ", "on_failur = ", "config.toml, line 14: unknown field `on_failur`"),
        (
            "a route from nowhere",
            "source = \"github\"",
            "source = \"githb\"",
            "config.toml, line 25: route `r`, source: there is no source `githb`",
        ),
        (
            "a route to nowhere",
            "workflow = \"w\"",
            "workflow = \"v\"",
            "config.toml, line 28: route `r`, workflow: there is no workflow `v`",
        ),
        (
            "a fact that there is not",
            "facts.head_ref",
            "facts.branch",
            "config.toml, line 27: route `r`, when: `facts.branch == 'main'`: `facts.branch` is not known here",
        ),
        (
            "an input that nobody gives",
            ", order = \"facts.more.order\"",
            "",
            "config.toml, line 29: route `r`, input: workflow `w` reads `input.order`, which this route does not give",
        ),
    ];
    assert!(mistakes.len() >= 20);
    for (kind, from, to, expect) in mistakes {
        assert!(GOOD.contains(from), "{kind}: {from}");
        let error = check(&GOOD.replacen(from, to, 1)).expect_err(kind);
        assert!(error.contains(expect), "{kind}:\n{error}");
    }
    let several = GOOD.replace("\"5s\"", "\"soon\"").replace("\"success\"", "\"sucess\"");
    let error = check(&several).unwrap_err();
    assert!(error.contains("line 8") && error.contains("line 15"), "all that is wrong is said at once: {error}");
    assert!(
        check("[workflows.w]\ntimeout = \"1m\"")
            .unwrap_err()
            .contains("config.toml, line 1: workflow `w`, steps: a workflow has at least one step")
    );
}

#[test]
fn definitions_beside_the_configuration_are_read_and_checked() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().join("workflows");
    std::fs::create_dir(&directory).unwrap();
    let check = || {
        let mut check = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        let output = check.arg("check").env_clear().current_dir(data.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    std::fs::write(directory.join("a.toml"), GOOD).unwrap();
    let (is_fine, said) = check();
    assert!(is_fine && said.contains("workflow:      w ") && said.contains("route:         r "), "{said}");
    std::fs::write(directory.join("b.toml"), GOOD.replace("\"5s\"", "\"soon\"")).unwrap();
    let (is_fine, said) = check();
    assert!(!is_fine && said.contains("workflows/b.toml: the workflow `w` is in workflows/a.toml already"), "{said}");
    std::fs::remove_file(directory.join("a.toml")).unwrap();
    let (is_fine, said) = check();
    assert!(!is_fine && said.contains("workflows/b.toml, line 8: workflow `w`, step `wait`, with.duration"), "{said}");
}
