//! Programs that answer, that do not, and that leave something behind.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::*;
use crate::integrations::process;

const LONG: Duration = Duration::from_secs(60);

/// A program made of a shell script.
struct Script {
    directory: TempDir,
    claude: ClaudeCode,
}

fn script(text: &str) -> Script {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("claude");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let passed_on = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    let command = format!("{} {}", path.display(), directory.path().display());
    let claude = ClaudeCode::new(&command, &passed_on, Some(&SecretText::new("the key")), true);
    Script { directory, claude }
}

/// A notebook, and what was noted in it.
fn notebook() -> (Notebook, Arc<Mutex<Vec<Json>>>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&notes);
    let take = move |note: Json| {
        kept.lock().unwrap().push(note);
        Box::pin(std::future::ready(Ok(()))) as pointsman_actors::executor::port::Working<_>
    };
    (Notebook::new(Arc::new(take)), notes)
}

fn question<'a>(prompt: &'a str, notebook: &'a Notebook) -> Question<'a> {
    Question { prompt, code: None, mark: "the attempt", notebook, limit: LONG }
}

fn group_of(notes: &Mutex<Vec<Json>>) -> u32 {
    let notes = notes.lock().unwrap();
    let pid = notes.iter().find_map(|note| note["process"]["pid"].as_u64());
    u32::try_from(pid.unwrap()).unwrap()
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

#[actix::test]
async fn it_gets_the_prompt_and_nothing_of_ours() {
    let answer = r#"{"is_error":false,"structured_output":{"verdict":"pass","score":90,"issues":[]}}"#;
    let script = script(&format!("cat > \"$1/prompt\"; env > \"$1/env\"; echo \"$@\" > \"$1/args\"; echo '{answer}'"));
    let (notebook, notes) = notebook();
    let verdict = script.claude.judge(question("the prompt", &notebook)).await.unwrap();
    assert_eq!(verdict.score, 90);
    let file = |name: &str| std::fs::read_to_string(script.directory.path().join(name)).unwrap();
    assert_eq!(file("prompt"), "the prompt");
    let seen = file("env");
    let names: Vec<&str> = seen.lines().filter_map(|line| line.split('=').next()).collect();
    let known = [
        "PATH",
        "HOME",
        "CLAUDE_CONFIG_DIR",
        "TMPDIR",
        "ANTHROPIC_API_KEY",
        "CLAUDE_CODE_MAX_RETRIES",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "DISABLE_AUTOUPDATER",
        "POINTSMAN_ATTEMPT",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert!(file("args").contains("--json-schema {\"type\":\"object\""));
    assert!(
        file("args").contains("--restricted") && file("args").contains("--tools  --max-turns 8"),
        "{}",
        file("args")
    );
    let place = PathBuf::from(notes.lock().unwrap()[0]["directory"].as_str().unwrap());
    let says = |name: &str| seen.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(PathBuf::from);
    assert_eq!(says("PWD"), Some(place.join(CODE)));
    assert_eq!(says("HOME"), Some(place.join(HOME)), "not ours");
    assert!(!place.exists(), "nothing is left of where it worked");
    until_gone(group_of(&notes)).await;
}

#[actix::test]
async fn without_its_note_it_gets_no_prompt() {
    let script = script("cat > \"$1/prompt\"; cat \"$1/prompt\" >&2; exit 1");
    let take = |_: Json| {
        let refused = Err(Failure::new(ErrorClass::Temporary, "the log is gone"));
        Box::pin(std::future::ready(refused)) as pointsman_actors::executor::port::Working<_>
    };
    let failure = script.claude.judge(question("the prompt", &Notebook::new(Arc::new(take)))).await.unwrap_err();
    assert_eq!(failure.message, "the log is gone");
    assert!(std::fs::read_to_string(script.directory.path().join("prompt")).unwrap_or_default().is_empty());
}

#[actix::test]
async fn one_that_does_not_answer_is_ended_with_all_that_it_started() {
    let script = script("trap '' TERM; sleep 300 & sleep 300 & wait; wait; sleep 300");
    let (notebook, notes) = notebook();
    let failure = script
        .claude
        .judge(Question { limit: Duration::from_millis(200), ..question("x", &notebook) })
        .await
        .unwrap_err();
    assert_eq!(failure.class, ErrorClass::Timeout);
    until_gone(group_of(&notes)).await;
}

#[actix::test]
async fn what_it_leaves_behind_holds_up_no_answer() {
    let answer = r#"{"is_error":false,"structured_output":{"verdict":"fail","score":1,"issues":[]}}"#;
    let script = script(&format!("sleep 300 & cat > /dev/null; echo '{answer}'"));
    let (notebook, notes) = notebook();
    assert_eq!(script.claude.judge(question("x", &notebook)).await.unwrap().score, 1);
    until_gone(group_of(&notes)).await;
}

#[actix::test]
async fn one_that_nobody_waits_for_is_ended() {
    let script = script("sleep 300 & wait");
    let (notebook, notes) = notebook();
    {
        let judging = script.claude.judge(question("x", &notebook));
        tokio::pin!(judging);
        while notes.lock().unwrap().len() < 2 {
            let _ = tokio::time::timeout(Duration::from_millis(10), &mut judging).await;
        }
    }
    until_gone(group_of(&notes)).await;
}

#[actix::test]
async fn what_cannot_be_run_is_named() {
    let passed_on = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    let claude = |command| ClaudeCode::new(command, &passed_on, None, true);
    assert_eq!(claude("sh").unavailable(), None);
    assert_eq!(claude("/bin/sh -x").unavailable(), None);
    for missing in ["no-such-program", "/etc/passwd", "/no/such/file", ""] {
        assert!(claude(missing).unavailable().unwrap().contains("set CLAUDE_CODE_COMMAND"), "{missing}");
    }
}

#[actix::test]
async fn a_relative_path_is_ours_and_not_that_of_its_working_directory() {
    let answer = r#"{"is_error":false,"structured_output":{"verdict":"pass","score":90,"issues":[]}}"#;
    let script = script(&format!("cat > /dev/null; echo '{answer}'"));
    let up = "../".repeat(std::env::current_dir().unwrap().components().count() - 1);
    let path = script.directory.path().join("claude");
    let relative = format!("{up}{}", path.strip_prefix("/").unwrap().display());
    let claude = ClaudeCode::new(&relative, &[("PATH".to_owned(), "/usr/bin:/bin".to_owned())], None, true);
    assert_eq!(claude.unavailable(), None);
    assert_eq!(claude.judge(question("x", &notebook().0)).await.unwrap().score, 90);
}

#[actix::test]
async fn of_many_complaints_the_last_is_shown() {
    let script =
        script("cat > /dev/null; head -c 200000 /dev/zero | tr '\\0' x >&2; echo >&2; echo 'the reason' >&2; exit 1");
    let failure = script.claude.judge(question("x", &notebook().0)).await.unwrap_err();
    assert_eq!(failure.class, ErrorClass::Validation);
    assert!(failure.message.ends_with("the reason"), "{failure}");
}

#[actix::test]
async fn with_code_it_reads_there_and_without_a_key_it_is_at_home() {
    let answer = r#"{"is_error":false,"structured_output":{"verdict":"pass","score":90,"issues":[]}}"#;
    let script =
        script(&format!("cat lib.rs > \"$1/read\"; cat > /dev/null; echo \"$@ $HOME\" > \"$1/args\"; echo '{answer}'"));
    let (notebook, _) = notebook();
    let workplace = ClaudeCode::workplace(&notebook).await.unwrap();
    std::fs::write(workplace.part(CODE).join("lib.rs"), "fn new() {}").unwrap();
    let passed_on = [("PATH", "/usr/bin:/bin"), ("HOME", "/home/somebody")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let command = format!("{0}/claude {0}", script.directory.path().display());
    let claude = ClaudeCode::new(&command, &passed_on, None, true);
    claude.judge(Question { code: Some(&workplace), ..question("x", &notebook) }).await.unwrap();
    let file = |name: &str| std::fs::read_to_string(script.directory.path().join(name)).unwrap();
    assert_eq!(file("read"), "fn new() {}");
    assert!(file("args").contains("--tools Read,Grep,Glob --max-turns 60"), "{}", file("args"));
    assert!(file("args").ends_with("/home/somebody\n"), "its login is there: {}", file("args"));
}
