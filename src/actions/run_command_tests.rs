//! What is checked before a program is run, and what its end means.

use super::*;

fn written(with: &Json) -> Written {
    let mut with: std::collections::BTreeMap<String, Json> = serde_json::from_value(with.clone()).unwrap();
    for parameter in INFO.parameters {
        if let Some(default) = parameter.default {
            with.entry(parameter.name.to_owned()).or_insert_with(|| default.into());
        }
    }
    Written::new(with)
}

fn action(allowed: &[&str], allow_shell: bool) -> RunCommand {
    let passed_on = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
    RunCommand::new(Arc::new(Commands::new(allowed, allow_shell, &passed_on)), Secrets::default())
}

#[test]
fn what_can_be_known_before_is_refused_before() {
    let check = |with: Json, expect: &str| {
        let found = action(&["sh"], true).examine(&written(&with)).err().unwrap_or_default();
        let said: Vec<String> = found.iter().map(|misfit| format!("{}: {}", misfit.key, misfit.reason)).collect();
        assert!(said.concat().starts_with(expect) && said.is_empty() == expect.is_empty(), "{with}: {said:?}");
    };
    check(json!({"program": "sh", "arguments": ["{{ input.x }}"]}), "");
    check(json!({"program": "{{ input.x }}"}), "");
    check(json!({"shell": true, "script": "echo \"$1\""}), "");
    check(json!({"shell": "true", "script": "x"}), "");
    check(json!({}), "program: `run_command` needs this, or `shell` and `script`");
    check(json!({"shell": true}), "script: `shell` needs this");
    check(json!({"script": "x"}), "script: a script is run with `shell = true`");
    check(json!({"shell": true, "script": "x", "program": "sh"}), "program: with `shell` it is `script` that is run");
    check(json!({"shell": true, "script": "x {{ input.x }}"}), "script: what a template gives would be taken for");
    check(json!({"program": "sh", "shell": "{{ input.x }}"}), "shell: write it out");
    check(json!({"program": "sh", "effect": "{{ input.x }}"}), "effect: write it out");
    check(json!({"program": "sh", "environment": {"a-b": ""}}), "environment.a-b: a variable has letters");
    check(json!({"program": "sh", "environment": {"1a": ""}}), "environment.1a: a variable has letters");
    let open = json!({"program": "sh", "secret_environment": {"A": "{{ input.x }}"}});
    check(open, "secret_environment: write it out");
}

#[test]
fn it_is_not_repeated_unless_the_definition_says_that_it_may_be() {
    let check = |effect: &str, class: EffectClass, on_doubt: OnDoubt| {
        let with = written(&json!({"program": "sh", "effect": effect}));
        assert_eq!(action(&["sh"], false).examine(&with), Ok(Effect { class, on_doubt }));
    };
    check("once", EffectClass::Once, OnDoubt::Park);
    check("idempotent", EffectClass::Idempotent, OnDoubt::Repeat);
    check("pure", EffectClass::Pure, OnDoubt::Repeat);
    let usual = action(&["sh"], false).examine(&written(&json!({"program": "sh"})));
    assert_eq!(usual, Ok(EffectClass::Once.into()));
}

#[test]
fn what_the_configuration_does_not_allow_makes_the_step_unavailable() {
    let check = |action: RunCommand, with: Json, expect: Option<&str>| {
        let lacks = action.lacks(&written(&with));
        assert_eq!(lacks.is_some(), expect.is_some(), "{with}: {lacks:?}");
        assert!(lacks.unwrap_or_default().contains(expect.unwrap_or_default()), "{with}");
    };
    check(action(&["sh"], false), json!({"program": "sh"}), None);
    check(action(&["sh"], false), json!({"program": "{{ input.x }}"}), None);
    check(action(&[], false), json!({"program": "sh"}), Some("workflow.commands"));
    check(action(&["sh"], false), json!({"program": "rm"}), Some("`rm` may not be run"));
    check(action(&["sh"], false), json!({"shell": true, "script": "x"}), Some("workflow.allow_shell"));
    check(action(&[], true), json!({"shell": true, "script": "x"}), None);
    check(action(&[], true), json!({"program": "sh"}), Some("`sh` may not be run"));
    let secret = json!({"program": "sh", "secret_environment": {"TOKEN": "deploy"}});
    check(action(&["sh"], false), secret, Some("there is no secret `deploy`"));
}

#[test]
fn what_an_end_means() {
    let judge = |code: Option<i32>, expected: &[i32]| {
        let said = Said { code, stdout: b"out".to_vec(), stderr: b"a\nwhy\n".to_vec(), cut: false };
        super::judge(&said, expected, &Secrets::default())
    };
    let output = json!({"exit_code": 0, "stdout": "out", "stderr": "a\nwhy\n", "truncated": false});
    assert_eq!(judge(Some(0), &[]), Ok(Success::Done(output)));
    assert!(judge(Some(3), &[0, 3]).is_ok() && judge(Some(0), &[3]).is_err());
    let failure = judge(Some(2), &[]).unwrap_err();
    assert_eq!(failure.message, "it ended with exit code 2: a\nwhy");
    assert_eq!((failure.class, failure.in_doubt), (ErrorClass::Validation, false));
    let killed = judge(None, &[]).unwrap_err();
    assert_eq!((killed.class, killed.in_doubt), (ErrorClass::Temporary, true));
    let long = Said { code: Some(1), stderr: "x".repeat(8_000).into_bytes(), ..Said::default() };
    assert!(super::judge(&long, &[], &Secrets::default()).unwrap_err().message.len() < 1_100);
}

#[test]
fn a_secret_is_in_nothing_that_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("deploy"), "hunter2").unwrap();
    let secrets = Secrets::read(directory.path()).unwrap();
    let said =
        |code| Said { code: Some(code), stdout: b"o hunter2".to_vec(), stderr: b"e hunter2".to_vec(), cut: false };
    let Ok(Success::Done(output)) = judge(&said(0), &[], &secrets) else { panic!("it was fine") };
    assert_eq!((&output["stdout"], &output["stderr"]), (&json!("o ***"), &json!("e ***")));
    assert_eq!(judge(&said(1), &[], &secrets).unwrap_err().message, "it ended with exit code 1: e ***");
}
