//! What lies in the data directory is its owner's alone, and one server's at a time.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use pointsman_sandbox::Sandbox;
use serde_json::json;

use super::process::{Program, run};
use crate::server::{TOKEN, until};
use crate::site::environment;

/// Every path below, with its mode; none below a directory that is closed to others.
fn reachable(directory: &Path, root: &Path, found: &mut BTreeMap<String, u32>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // What was there a moment ago may be gone.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        found.insert(path.strip_prefix(root).unwrap().display().to_string(), mode);
        if metadata.is_dir() && mode & 0o077 != 0 {
            reachable(&path, root, found);
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A payload that nothing makes smaller.
fn noise(bytes: usize) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(&uuid::Uuid::new_v4().simple().to_string());
    }
    text
}

#[actix::test]
async fn nobody_else_can_read_what_a_busy_server_leaves_there() {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    sandbox.world().put_hook_ranges(&["127.0.0.0/8"]);
    let mut variables = environment(&sandbox);
    variables.push(("WEBHOOK_VALIDATOR_IP_WHITELIST", "true".to_owned()));
    // As a volume may be, and as a former version left it.
    set_mode(data.path(), 0o755);
    for left in ["log", "server.alive", "log.mark"] {
        let path = data.path().join(left);
        if left == "log" {
            std::fs::create_dir(&path).unwrap()
        } else {
            std::fs::write(&path, "").unwrap()
        }
        set_mode(&path, 0o777);
    }
    let server = Program::start_careless(data.path(), &variables, Stdio::null()).await;
    let asked = async || server.get("/metrics").await["addresses"]["github"]["from"] == "github";
    until("GitHub to have said from where it delivers", asked).await;
    let run_id = server.validate(&sandbox, 12).await;
    server.until(&run_id, "succeeded").await;
    let large = json!({ "noise": noise(3 << 20) }).to_string();
    assert_eq!(server.deliver("push", "large", &large).await.unwrap().status(), 200);
    let said = run(data.path(), &["events", "retry", "evt_none"], &[("POINTSMAN_ADMIN_TOKEN", TOKEN)]);
    assert!(!said.status.success(), "{said:?}");
    let mut found = BTreeMap::new();
    reachable(data.path(), data.path(), &mut found);
    for expected in
        ["audit.jsonl", "github-ranges.json", "log", "log.mark", "server.addr", "server.alive", "server.lock"]
    {
        assert!(found.contains_key(expected), "{expected}: {found:?}");
    }
    found.retain(|_, mode| *mode & 0o077 != 0);
    assert!(found.is_empty(), "{found:?}");
}

#[actix::test]
async fn a_directory_that_others_can_write_into_is_told() {
    let check = async |mode: u32, expect: Option<&str>| {
        let data = tempfile::tempdir().unwrap();
        set_mode(data.path(), mode);
        let log = data.path().join("log.txt");
        Program::start_logging(data.path(), &[], std::fs::File::create(&log).unwrap().into()).await.kill();
        let said = std::fs::read_to_string(&log).unwrap();
        let told = said.lines().find(|line| line.contains("the data directory"));
        assert_eq!(told.is_some(), expect.is_some(), "{mode:o}: {said}");
        assert!(told.is_none_or(|told| told.contains("WARN") && told.contains(expect.unwrap())), "{mode:o}: {said}");
    };
    check(0o700, None).await;
    check(0o755, None).await;
    check(0o775, Some("can be written to by its group")).await;
    check(0o777, Some("can be written to by everybody")).await;
}

#[actix::test]
async fn a_second_server_is_told_who_has_the_directory() {
    let data = tempfile::tempdir().unwrap();
    let first = Program::start(data.path(), &[]).await;
    let (pid, base) = first.who();
    let port = base.rsplit_once(':').unwrap().1.to_owned();
    for backend in ["sled", "memory"] {
        // On the same port, so that it ends in any case.
        let line = ["serve", "--host", "127.0.0.1", "--port", &port];
        let second = run(data.path(), &line, &[("EVENT_STORE_BACKEND", backend)]);
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(1), "{backend}: {said}");
        let expect = format!(
            "the data directory `{}` is in use by another process ({pid}, which listens on {base}); stop that one",
            data.path().display()
        );
        assert!(said.contains(&expect), "{backend}: {said}");
    }
    // The refused ones have left the first alone, and what is killed holds nothing.
    assert_eq!(first.deliver("push", "d1", "{}").await.unwrap().status(), 200);
    first.kill();
    let again = Program::start(data.path(), &[]).await;
    assert_eq!(again.get("/metrics").await["eventStore"]["eventsStored"], 1);
}
