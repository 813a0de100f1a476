//! What operators look at and say on the command line, beside runs: dead letters, waits, breakers.

use pointsman_sandbox::FaultKind;
use serde_json::{Value, json};

use super::process::run;
use crate::server::{sign, until};
use crate::site::Site;

/// A push tells somebody.
const TELLING: &str = r#"
[workflows.telling]
timeout = "10m"
[[workflows.telling.steps]]
name = "tell"
action = "send_notification"
retry = { max_attempts = 1 }
with = { text = "{{ input.branch }}" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "telling"
input = { branch = "payload.ref" }
"#;

/// A push waits for Codegen.
const WAITING: &str = r#"
[workflows.waiting]
timeout = "10m"
[[workflows.waiting.steps]]
name = "generated"
action = "wait_for_event"
deadline = "5m"
with = { source = "codegen", event = "generation", key = "codegen:run:{{ input.branch }}" }
[[routes]]
name = "pushed"
source = "github"
event = "push"
workflow = "waiting"
input = { branch = "payload.ref" }
"#;

impl Site {
    /// A push to this branch starts a run.
    async fn pushed(&self, branch: &str) -> String {
        let body = json!({ "ref": branch }).to_string();
        let answer = self.server.github("push", branch, "1", body.as_bytes()).await;
        self.run_of(&answer).await
    }

    /// What a command says, which must succeed.
    async fn said(&self, arguments: &[&str]) -> String {
        let (fine, said) = self.command(arguments).await;
        assert!(fine, "{arguments:?}: {said}");
        said
    }

    /// What a command says that must fail.
    async fn refused(&self, arguments: &[&str]) -> String {
        let (fine, said) = self.command(arguments).await;
        assert!(!fine, "{arguments:?}: {said}");
        said
    }

    /// Runs a command; gives whether it succeeded and what it said.
    async fn command(&self, arguments: &[&str]) -> (bool, String) {
        let directory = self.server.directory.path().to_owned();
        let line: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // The server is in this process, and answers meanwhile.
        let run = move || run(&directory, &line.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        let output = actix_web::web::block(run).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    }
}

#[actix::test]
async fn dead_letters_are_listed_shown_rehearsed_redriven_and_dismissed() {
    let site = Site::start(TELLING).await;
    assert_eq!(site.said(&["dead-letters", "list"]).await, "no such dead letter\n");
    for _ in 0..2 {
        site.world().plan_once("slack", "POST", "", FaultKind::Refuse(404));
    }
    let (first, second) = (site.pushed("one").await, site.pushed("two").await);
    site.until(&first, "failed").await;
    site.until(&second, "failed").await;
    let listed = site.said(&["dead-letters", "list"]).await;
    let is_line_of = |line: &str, run: &str| line.starts_with(run) && line.contains("failed  step `tell`: not_found");
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines.len() == 2 && is_line_of(lines[0], &second) && is_line_of(lines[1], &first), "{listed}");
    let shown = site.said(&["dead-letters", "show", &first]).await;
    assert!(shown.contains("tell: attempt 1\n") && shown.contains("tell: failed for good: "), "{shown}");

    let redrive_all = ["dead-letters", "redrive", "--all", "--workflow", "telling", "--limit", "1"];
    let rehearsed = site.said(&[&redrive_all[..], &["--dry-run"]].concat()).await;
    assert!(rehearsed.starts_with(&second), "the newest comes first: {rehearsed}");
    let nothing = "dry run, nothing was done: 1 would be redriven, 0 wait for it already; there are more, older ones";
    assert_eq!(rehearsed.lines().last(), Some(nothing));
    assert_eq!(site.said(&["dead-letters", "list"]).await, listed, "nothing was done");
    // Whoever rehearses must not find it done.
    for more in [&["--dry-run"][..], &["--all"], &["--workflow", "other"], &["--limit", "5"]] {
        let refused = site.refused(&[&["dead-letters", "redrive", &first], more].concat()).await;
        assert!(refused.contains("cannot be used with"), "{refused}");
    }
    assert_eq!(site.said(&["dead-letters", "list"]).await, listed, "nothing was done");

    let taken = site.said(&redrive_all).await;
    assert!(
        taken
            .ends_with("1 taken, to be redriven a few a second; 0 waited for it already; there are more, older ones\n")
    );
    until("it to be redriven", async || site.run(&second).await["status"] == "succeeded").await;
    assert_eq!(site.said(&["dead-letters", "redrive", &first]).await, format!("{first}  redriven\n"));
    until("it to be redriven", async || site.run(&first).await["status"] == "succeeded").await;
    let again = site.refused(&["dead-letters", "redrive", &first]).await;
    assert_eq!(again, "pointsman: it is no dead letter\n");

    site.world().plan_once("slack", "POST", "", FaultKind::Refuse(404));
    let third = site.pushed("three").await;
    site.until(&third, "failed").await;
    let dismissed = site.said(&["dead-letters", "dismiss", &third, "--reason", "nobody asks"]).await;
    assert_eq!(dismissed, format!("{third}  dismissed\n"));
    assert_eq!(site.said(&["dead-letters", "list", "--json"]).await, "[]\n");
    assert!(site.said(&["runs", "show", &third]).await.contains("dismissed: nobody asks"));
    assert_eq!(site.world().notifications(), ["two", "one"]);
}

#[actix::test]
async fn waits_are_listed_by_status_run_and_key() {
    let site = Site::start(WAITING).await;
    let (one, two) = (site.pushed("17").await, site.pushed("18").await);
    site.until(&one, "waiting").await;
    site.until(&two, "waiting").await;
    let open = site.said(&["waits", "list", "--status", "open"]).await;
    assert!(open.lines().count() == 2 && open.lines().all(|line| line.contains("  open until ")), "{open}");
    let of_one = site.said(&["waits", "list", "--run", &one]).await;
    assert!(of_one.contains(&format!("{one} generated  codegen:run:17  open until ")), "{of_one}");
    let by_key = site.said(&["waits", "list", "--key", "codegen:run:18", "--json"]).await;
    let by_key: Vec<Value> = serde_json::from_str(&by_key).unwrap();
    assert_eq!((by_key.len(), by_key[0]["run"].as_str()), (1, Some(two.as_str())));

    let body = json!({ "event_type": "generation.complete", "event_id": "e1", "data": { "run_id": 17 } }).to_string();
    let headers = [("content-type", "application/json"), ("x-codegen-signature", &sign(body.as_bytes()))];
    let answer = site.server.post("/webhooks/codegen", &headers, body.clone()).await;
    let event = answer.body["eventId"].as_str().unwrap();
    let resolved = site.said(&["waits", "list", "--status", "resolved"]).await;
    assert!(
        resolved.lines().count() == 1 && resolved.contains(&format!("resolved by callback {event} at ")),
        "{resolved}"
    );
    let id = resolved.split(' ').next().unwrap();
    let shown: Value = serde_json::from_str(&site.said(&["waits", "show", id]).await).unwrap();
    assert_eq!((shown["id"].as_str(), shown["event"].as_str()), (Some(id), Some(event)));

    assert_eq!(site.said(&["waits", "list", "--key", "codegen:run:99"]).await, "no such wait\n");
    assert!(site.refused(&["waits", "list", "--run", "17"]).await.contains("not a run id; they begin with `run_`"));
    assert!(site.refused(&["waits", "list", "--status", "late"]).await.contains("[possible values: open, resolved]"));
    assert!(site.refused(&["waits", "show", "17"]).await.contains("not a wait id; they begin with `wait_`"));
}

#[actix::test]
async fn breakers_are_listed_with_their_calls_and_closed() {
    let site = Site::start(&format!("[circuit_breaker]\nthreshold = 2\ntimeout = \"1h\"\n{TELLING}")).await;
    let of_slack = async || {
        let listed = site.said(&["breakers", "list"]).await;
        listed.lines().find(|line| line.starts_with("notification:slack ")).unwrap().to_owned()
    };
    assert_eq!(of_slack().await, "notification:slack   closed    0 of 0 calls failed  it has never opened");
    for _ in 0..2 {
        site.world().plan_once("slack", "POST", "", FaultKind::Refuse(503));
    }
    // Nobody knows whether these were told, and better once than twice.
    site.until(&site.pushed("one").await, "succeeded").await;
    assert_eq!(of_slack().await, "notification:slack   closed    1 of 1 calls failed  it has never opened");
    site.until(&site.pushed("two").await, "succeeded").await;
    let held = site.pushed("three").await;
    until("it to be held", async || site.run(&held).await["reason"] == "the circuit of `notification:slack` is open")
        .await;
    let open = of_slack().await;
    assert!(open.starts_with("notification:slack   open ") && open.contains("  until 2"), "{open}");
    assert!(open.ends_with("  calls fail again and again"), "{open}");

    let unknown = site.refused(&["breakers", "reset", "gitlab"]).await;
    assert_eq!(
        unknown,
        "pointsman: there is no circuit of `gitlab`; there are claude_code, codegen, github, linear, notification:slack\n"
    );
    let reset = site.said(&["breakers", "reset", "notification:slack"]).await;
    assert!(
        reset.starts_with("notification:slack   closed ") && reset.ends_with("  an operator closed it\n"),
        "{reset}"
    );
    site.until(&held, "succeeded").await;
    let listed: Vec<Value> = serde_json::from_str(&site.said(&["breakers", "list", "--json"]).await).unwrap();
    let slack = listed.iter().find(|breaker| breaker["id"] == "notification:slack").unwrap();
    assert_eq!((&slack["status"], &slack["calls"], &slack["failures"]), (&json!("closed"), &json!(1), &json!(0)));
}

#[actix::test]
async fn without_a_server_a_command_says_how_to_name_one() {
    let directory = tempfile::tempdir().unwrap();
    for command in ["waits", "breakers", "dead-letters"] {
        let output = run(directory.path(), &[command, "list"], &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("start one, or name it with --url"), "{command}: {said}");
    }
}
