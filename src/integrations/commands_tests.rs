//! Programs that do as they are told, that do not, and that must not be run.

use std::sync::{Arc, Mutex};

use pointsman_actors::executor::port::Working;
use serde_json::Value as Json;

use super::*;
use crate::integrations::process;

fn commands(allowed: &[&str], allow_shell: bool) -> Commands {
    let passed_on = [("PATH", "/usr/bin:/bin"), ("LANG", "C"), ("HTTPS_PROXY", "http://user:pass@proxy/")];
    let passed_on = passed_on.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Commands::new(allowed.iter().map(|name| (*name).to_owned()).collect(), allow_shell, &passed_on)
}

/// A notebook that takes notes or does not, and what was noted in it.
fn notebook(takes: bool) -> (Notebook, Arc<Mutex<Vec<Json>>>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&notes);
    let take = move |note: Json| {
        kept.lock().unwrap().push(note);
        let refused = || Failure::new(ErrorClass::Temporary, "the log is gone");
        Box::pin(std::future::ready(if takes { Ok(()) } else { Err(refused()) })) as Working<_>
    };
    (Notebook::new(Arc::new(take)), notes)
}

fn order<'a>(work: Work<'a>, arguments: &'a [String], notebook: &'a Notebook) -> Order<'a> {
    let limit = Duration::from_secs(60);
    Order { work, arguments, environment: &[], stdin: "", mark: "the attempt", notebook, limit }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn group_of(notes: &Mutex<Vec<Json>>) -> u32 {
    u32::try_from(notes.lock().unwrap()[0]["process"]["pid"].as_u64().unwrap()).unwrap()
}

/// Waits until nothing of a group is left; a signal takes a moment to be delivered.
async fn until_gone(group: u32) {
    for _ in 0..3_000 {
        if process::members(group).next().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("something of group {group} is left");
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[actix::test]
async fn a_program_gets_its_arguments_its_input_and_nothing_of_ours() {
    let (notebook, notes) = notebook(true);
    let arguments = texts(&["-c", "cat; printf '|%s' \"$@\"; env >&2; pwd >&2", "sh", "a b", "", "$(x)"]);
    let environment = [("TOKEN".to_owned(), "t".to_owned()), ("LANG".to_owned(), "de".to_owned())];
    let order = Order {
        stdin: "first\nsecond\n",
        environment: &environment,
        ..order(Work::Program("/bin/sh"), &arguments, &notebook)
    };
    let said = commands(&["/bin/sh"], false).run(order).await.unwrap();
    assert_eq!((said.code, text(&said.stdout)), (Some(0), "first\nsecond\n|a b||$(x)"), "{said:?}");
    let seen = text(&said.stderr);
    let known = ["PATH", "LANG", "TOKEN", "POINTSMAN_ATTEMPT", "PWD", "OLDPWD", "SHLVL", "_"];
    let names = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    assert!(names.clone().all(|name| known.contains(&name)) && names.count() >= 4, "{seen}");
    assert!(seen.contains("LANG=de") && seen.contains("TOKEN=t"), "{seen}");
    let place = Path::new(seen.lines().last().unwrap());
    assert!(place.starts_with(std::env::temp_dir()) && !place.exists(), "a directory of its own: {place:?}");
    until_gone(group_of(&notes)).await;
}

#[actix::test]
async fn a_script_gets_its_arguments_as_they_are() {
    let (notebook, _) = notebook(true);
    let arguments = texts(&["a'; exit 7; '", "$HOME"]);
    let script = Work::Script("printf '%s|' \"$1\" \"$2\"");
    let said = commands(&[], true).run(order(script, &arguments, &notebook)).await.unwrap();
    assert_eq!((said.code, text(&said.stdout)), (Some(0), "a'; exit 7; '|$HOME|"));
}

#[actix::test]
async fn nothing_begins_before_it_is_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("it_began");
    let (notebook, notes) = notebook(false);
    let arguments = [trace.display().to_string()];
    let touch = order(Work::Program("touch"), &arguments, &notebook);
    let failure = commands(&["touch"], false).run(touch).await.unwrap_err();
    assert_eq!((failure.message.as_str(), failure.in_doubt), ("the log is gone", false));
    until_gone(group_of(&notes)).await;
    assert!(!trace.exists());
}

#[actix::test]
async fn a_gate_whose_maker_has_gone_stays_closed() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("it_began");
    let (notebook, _) = notebook(true);
    let arguments = [trace.display().to_string()];
    let commands = commands(&["touch"], false);
    let mut gate = commands.gate(&order(Work::Program("touch"), &arguments, &notebook), directory.path()).unwrap();
    let said = gate.talk(b"", LIMITS).await.unwrap();
    assert!(said.code != Some(0) && !trace.exists(), "{said:?}");
}

#[actix::test]
async fn the_gate_becomes_the_program_with_the_number_that_was_noted() {
    let (notebook, notes) = notebook(true);
    let arguments = texts(&["-c", "echo $$"]);
    let said = commands(&["sh"], false).run(order(Work::Program("sh"), &arguments, &notebook)).await.unwrap();
    assert_eq!(text(&said.stdout).trim(), group_of(&notes).to_string());
}

#[actix::test]
async fn one_that_does_not_end_is_ended_with_all_that_it_started() {
    let (notebook, notes) = notebook(true);
    let script = Work::Script("trap '' TERM; sleep 300 & sleep 300 & wait; wait; sleep 300");
    let order = Order { limit: Duration::from_millis(300), ..order(script, &[], &notebook) };
    let failure = commands(&[], true).run(order).await.unwrap_err();
    assert_eq!((failure.class, failure.in_doubt), (ErrorClass::Timeout, true));
    assert!(failure.message.contains("did not end within 300ms"), "{failure}");
    until_gone(group_of(&notes)).await;
}

#[actix::test]
async fn what_it_leaves_behind_holds_up_nobody() {
    let (notebook, notes) = notebook(true);
    let said = commands(&[], true).run(order(Work::Script("sleep 300 & echo done"), &[], &notebook)).await.unwrap();
    assert_eq!((said.code, text(&said.stdout), said.cut), (Some(0), "done\n", false));
    until_gone(group_of(&notes)).await;
    // One that has left the group holds the output open; what it says then is not waited for.
    let script = Work::Script("setsid sleep 5 & echo done; sleep 0.2");
    let said = commands(&[], true).run(order(script, &[], &notebook)).await.unwrap();
    assert_eq!((said.code, text(&said.stdout), said.cut), (Some(0), "done\n", true));
}

#[actix::test]
async fn one_that_nobody_waits_for_is_ended() {
    let (notebook, notes) = notebook(true);
    let commands = commands(&[], true);
    {
        let running = commands.run(order(Work::Script("sleep 300 & wait"), &[], &notebook));
        tokio::pin!(running);
        let is_at_work = || !notes.lock().unwrap().is_empty() && process::members(group_of(&notes)).count() >= 2;
        while !is_at_work() {
            let _ = tokio::time::timeout(Duration::from_millis(10), &mut running).await;
        }
    }
    until_gone(group_of(&notes)).await;
}

#[actix::test]
async fn of_much_that_is_said_the_beginning_and_the_last_complaints_are_kept() {
    let (notebook, _) = notebook(true);
    let script =
        "head -c 200000 /dev/zero | tr '\\0' o; head -c 200000 /dev/zero | tr '\\0' e >&2; echo last >&2; exit 3";
    let said = commands(&[], true).run(order(Work::Script(script), &[], &notebook)).await.unwrap();
    assert_eq!((said.code, said.stdout.len(), said.stderr.len(), said.cut), (Some(3), 64 << 10, 8 << 10, true));
    assert!(said.stderr.ends_with(b"elast\n"));
}

#[actix::test]
async fn what_may_not_be_run_is_not_and_says_which_key_to_set() {
    let check = async |commands: Commands, work: Work<'_>, expect: &str| {
        let (notebook, notes) = notebook(true);
        let failure = commands.run(order(work, &[], &notebook)).await.unwrap_err();
        assert_eq!((failure.class, notes.lock().unwrap().len()), (ErrorClass::Validation, 0));
        assert!(failure.message.contains(expect), "{failure}");
        commands.lacks(work).or(commands.unavailable()).unwrap()
    };
    check(commands(&[], false), Work::Program("git"), "list those that may in workflow.commands").await;
    check(commands(&["git"], false), Work::Program("rm"), "`rm` may not be run; list it in workflow.commands").await;
    let by_path = "`/bin/git` may not be run";
    check(commands(&["git"], false), Work::Program("/bin/git"), by_path).await;
    check(commands(&["git"], false), Work::Script("rm"), "set workflow.allow_shell").await;
    check(commands(&["no-such"], false), Work::Program("no-such"), "the program `no-such` was not found").await;
    check(commands(&["/etc/passwd"], false), Work::Program("/etc/passwd"), "was not found").await;
    assert_eq!(commands(&["touch"], false).lacks(Work::Program("touch")), None);
    assert_eq!(commands(&[], true).unavailable(), None);
}
