//! Every action that there is, done, and then: its answer is lost, or the process is killed between its effect and the record of it.
//! Afterwards the world is as it is after once, and what may never happen twice was not sent again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use pointsman::config::settings::Settings;
use pointsman::config::{DEFAULT_FILE, Merged};
use pointsman::integrations::Integrations;
use pointsman_actors::time::SystemClock;
use pointsman_sandbox::codegen::{AgentRun, Plan};
use pointsman_sandbox::github::forge::{Job, Run};
use pointsman_sandbox::linear::workspace::Issue;
use pointsman_sandbox::{Call, FaultKind, PullRequest, Sandbox, TOKEN, World};
use serde_json::{Value, json};

use super::built_in::plain;
use super::process::Program;
use crate::site::{REPOSITORY, environment, pull, pull_request};

/// What a step does, which of its calls is disturbed, and how its run ends when nobody knows what became of that.
struct Story {
    action: &'static str,
    with: &'static str,
    /// Service, method and a part of the path.
    call: (&'static str, &'static str, &'static str),
    end: &'static str,
}

const fn story(action: &'static str, with: &'static str, call: (&'static str, &'static str, &'static str)) -> Story {
    Story { action, with, call, end: "succeeded" }
}

const READS: (&str, &str, &str) = ("github", "GET", "/repos/");

const STORIES: [Story; 28] = [
    story("validate_pr", "", READS),
    story("analyze_pr_changes", "", READS),
    story("generate_pr_review", "", READS),
    story("analyze_workflow_failure", "run_id = 77", READS),
    story("find_pull_request", r#"urls = ["https://github.com/acme/shop/pull/12"]"#, READS),
    story("update_pr_status", r#"state = "success""#, ("github", "POST", "/statuses/")),
    story("github_comment", r#"body = "Fine.""#, ("github", "POST", "/comments")),
    story("post_github_review", r#"body = "Fine.""#, ("github", "POST", "/reviews")),
    story("create_github_pr", "head = \"feature\"\ntitle = \"New\"", ("github", "POST", "/pulls")),
    story("cleanup_branches", "pr_number = 13", ("github", "DELETE", "/git/refs/")),
    story("rerun_failed_jobs", "run_id = 77\nrun_attempt = 1", ("github", "POST", "/rerun-failed-jobs")),
    story("parse_linear_requirements", r#"issue = "ENG-45""#, ("linear", "POST", "#Issue")),
    story("linear_user", r#"id = "user-ada""#, ("linear", "POST", "#User")),
    story("update_linear_issue", MOVE, ("linear", "POST", "#IssueUpdate")),
    story("update_linear_issue", MOVE, ("linear", "POST", "#CommentCreate")),
    story("update_linear_issue", MOVE, ("linear", "POST", "#AttachmentLinkGitHubPR")),
    story("linear_comment", "issue = \"ENG-45\"\nbody = \"Fine.\"", ("linear", "POST", "#CommentCreate")),
    story(
        "linear_agent_activity",
        "session = \"session-1\"\ntype = \"thought\"\nbody = \"Fine.\"",
        ("linear", "POST", "#AgentActivityCreate"),
    ),
    story(
        "linear_agent_session",
        "session = \"session-1\"\nlinks = { Run = \"https://ci.example/1\" }",
        ("linear", "POST", "#AgentSessionUpdate"),
    ),
    story("trigger_codegen", "prompt = \"Do it.\"\nrepository = \"acme/shop\"", ("codegen", "POST", "/agent/run")),
    story("trigger_codegen_fix", r#"analysis = "It fails.""#, ("codegen", "POST", "/agent/run")),
    story("begin_codegen", "prompt = \"Do it.\"\nrepository = \"acme/shop\"", ("codegen", "POST", "/agent/run")),
    story("begin_codegen", BEGIN, ("codegen", "POST", "/agent/run")),
    story("await_codegen", "run_id = 1", ("codegen", "GET", "/agent/run/1")),
    story("send_notification", r#"text = "Fine.""#, ("slack", "POST", "")),
    story("http_request", r#"url = "URL/things""#, ("echo", "GET", "/things")),
    story("http_request", "method = \"POST\"\nurl = \"URL/things\"\neffect = \"keyed\"", ("echo", "POST", "/things")),
    Story {
        end: "needs_decision",
        ..story("http_request", "method = \"POST\"\nurl = \"URL/things\"", ("echo", "POST", "/things"))
    },
];

/// Nobody is at work on it yet: when it is done again, whoever is, is ours.
const BEGIN: &str = "prompt = \"Do it.\"\nrepository = \"acme/shop\"\nsubject = \"ENG-45\"\ntake_over = true";

const MOVE: &str = "issue = \"ENG-45\"\nstate_type = \"started\"\ncomment = \"Begun.\"\npull_request = \"https://github.com/acme/shop/pull/12\"";

/// So many stories are told side by side: most of their time is spent waiting.
const SIDE_BY_SIDE: usize = 6;

/// What happens to the call of a story.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mishap {
    /// Nothing.
    None,
    /// It is done, and the connection breaks before the answer.
    AnswerLost,
    /// It is done, and the process is killed before the answer.
    Killed,
}

#[actix::test]
async fn whatever_is_repeated_the_world_is_as_after_once() {
    let told = stream::iter(&STORIES).map(as_after_once).buffer_unordered(SIDE_BY_SIDE);
    let wrong: Vec<String> = told.filter_map(async |wrong| wrong).collect().await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is wrong with a story.
async fn as_after_once(story: &Story) -> Option<String> {
    let (once, _, _) = tell(story, Mishap::None, "succeeded").await;
    for mishap in [Mishap::AnswerLost, Mishap::Killed] {
        let (world, calls, run) = tell(story, mishap, story.end).await;
        // What cannot be seen afterwards stands as it was left until somebody rules.
        if world != once {
            return Some(format!("{} after {mishap:?}: {world:#} and not {once:#}; {run:#}", story.action));
        }
        let is_once = run["journal"].to_string().contains("\"assumed\":true") || story.end == "needs_decision";
        if is_once && calls != 1 {
            return Some(format!("{} after {mishap:?}: it was sent {calls} times", story.action));
        }
    }
    None
}

/// Whether a call is of this service and method, with this part in its path or, after `#`, in its operation of GraphQL.
pub fn is_call(call: &Call, (service, method, part): (&str, &str, &str)) -> bool {
    let operation = call.body["operationName"].as_str().map_or_else(String::new, |name| format!("#{name}"));
    call.service == service && call.method == method && (call.path.contains(part) || operation.contains(part))
}

/// Tells a story in a world of its own; gives what that is like afterwards, how often the call was made, and the run.
async fn tell(story: &Story, mishap: Mishap, end: &str) -> (Value, usize, Value) {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    let world = sandbox.world();
    furnish(world);
    let with = story.with.replace("URL", &format!("{}/echo", sandbox.url()));
    std::fs::write(data.path().join("config.toml"), workflow(story.action, &with)).unwrap();
    let (service, method, path) = story.call;
    match mishap {
        Mishap::None => {}
        Mishap::AnswerLost => world.plan_once(service, method, path, FaultKind::DropAfter),
        Mishap::Killed => world.plan_once(service, method, path, FaultKind::HoldAnswer(120_000)),
    }
    let environment = everything(&sandbox);
    let server = Program::start(data.path(), &environment).await;
    let body = pull_request("labeled", 12, ("a1", None), "2026-01-05T10:00:00Z").to_string();
    let run = server.run_of("pull_request", "d1", &body).await;
    let is_its = |call: &Call| is_call(call, story.call);
    let server = if mishap == Mishap::Killed {
        world.wait_for_calls(1, |call| is_its(call) && call.executed).await.unwrap();
        server.kill();
        Program::start(data.path(), &environment).await
    } else {
        server
    };
    let run = server.until(&run, end).await;
    let is_taken = world.state().faults.iter().all(|fault| fault.times == 0);
    assert!(is_taken, "{}: nothing has happened to its call {:?}", story.action, story.call);
    (seen(world), world.ledger().iter().filter(|call| is_its(call)).count(), run)
}

pub fn workflow(action: &str, with: &str) -> String {
    let waits = ["trigger_codegen", "trigger_codegen_fix", "await_codegen"].contains(&action);
    let deadline = if waits { "deadline = \"5m\"" } else { "" };
    format!(
        r#"
[workflows.w]
timeout = "10m"
[[workflows.w.steps]]
name = "s"
action = "{action}"
{deadline}
retry = {{ max_attempts = 3, base_delay = "10ms", max_delay = "5s", jitter = 0.0 }}
[workflows.w.steps.with]
{with}

[[routes]]
name = "labeled"
source = "github"
event = "pull_request"
actions = ["labeled"]
workflow = "w"
input = {{ repository = "facts.repository", pr_number = "facts.pr_number", head_sha = "facts.head_sha" }}
"#
    )
}

/// Everything leads into the sandbox, and Codegen is asked at once.
pub fn everything(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let mut all = environment(sandbox);
    all.extend([
        ("CODEGEN_API_URL", format!("{}/codegen", sandbox.url())),
        ("CODEGEN_API_TOKEN", TOKEN.to_owned()),
        ("CODEGEN_ORG_ID", "323".to_owned()),
        ("CODEGEN_POLL_INTERVAL", "20".to_owned()),
    ]);
    all
}

/// What the stories are about.
pub fn furnish(world: &World) {
    world.put_pull(pull(12, "a1", "+B\n"));
    world.put_pull(PullRequest {
        head_ref: "codegen/done".into(),
        merged: true,
        state: "closed".into(),
        ..pull(13, "b1", "+B\n")
    });
    for branch in ["main", "feature"] {
        world.put_branch(REPOSITORY, branch, "c1");
    }
    let job = Job { id: 1, conclusion: "failure".into(), log: Some("x".into()), ..Job::default() };
    let (status, conclusion) = ("completed".to_owned(), Some("failure".to_owned()));
    let run = Run { head_sha: "a1".into(), status, conclusion, attempt: 1, jobs: vec![job], ..Run::default() };
    world.put_run(REPOSITORY, 77, run);
    let mut state = world.state();
    let [id, identifier, title, todo] = ["issue-45", "ENG-45", "Cache the token", "Todo"].map(str::to_owned);
    state.linear.put_issue(Issue { id, identifier, title, state: todo, ..Issue::default() });
    state.linear.open_session("session-1", "issue-45");
    state.codegen.repositories = vec![REPOSITORY.to_owned()];
    let (repository, status, prompts) = (REPOSITORY.to_owned(), "ACTIVE".to_owned(), vec!["Begun.".to_owned()]);
    let (metadata, result, pull, asked, plan) = (Value::Null, None, None, 0, Plan::default());
    let created_at = "2026-01-05 10:00:00".to_owned();
    let run = AgentRun { id: 1, prompts, repository, metadata, created_at, status, result, pull, asked, plan };
    state.codegen.runs.push(run);
}

/// What anybody can see of a world. Of statuses GitHub shows the last one for each context.
fn seen(world: &World) -> Value {
    let state = world.state();
    let statuses: BTreeMap<_, _> =
        state.statuses.iter().map(|status| (format!("{} {}", status.sha, status.context), &status.state)).collect();
    let runs: Vec<_> = state.forge.runs.values().map(|run| run.attempt).collect();
    let branches: Vec<_> = state.forge.branches.keys().map(|(_, name)| name).collect();
    let pulls: Vec<_> = state.pulls.values().map(|pull| (pull.number, &pull.head_ref, &pull.state)).collect();
    let agents: Vec<_> = state.codegen.runs.iter().map(|run| (&run.prompts, &run.status)).collect();
    plain(&json!({
        "statuses": statuses, "runs": runs, "branches": branches, "pulls": pulls, "agents": agents,
        "comments": state.forge.comments, "reviews": state.forge.reviews, "checks": state.forge.checks,
        "linear": [
            json!(state.linear.issues), json!(state.linear.comments), json!(state.linear.attachments),
            json!(state.linear.activities), json!(state.linear.sessions),
        ],
        "notifications": state.notifications, "things": state.things.len(),
    }))
}

#[test]
fn every_action_has_a_story() {
    let (merged, mut problems) = Merged::merge((DEFAULT_FILE, ""), &BTreeMap::new(), &[]);
    let settings = Settings::check(&merged, 2, &mut problems).unwrap();
    let integrations = Integrations::new(&settings.integrations, &[], Arc::new(SystemClock::new()));
    let all = pointsman::actions::all(&integrations);
    let told = |name: &str| STORIES.iter().any(|story| story.action == name);
    // A program has a story of its own.
    let missing: Vec<_> = all.keys().filter(|name| !told(name) && **name != "run_command").collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[actix::test]
async fn a_program_that_may_have_run_is_not_run_again() {
    let (data, sandbox) = (tempfile::tempdir().unwrap(), Sandbox::start(0).await.unwrap());
    let done = data.path().join("done");
    let with = format!("shell = true\nscript = 'echo done >> \"$1\"; sleep 120'\narguments = [\"{}\"]", done.display());
    let toml = workflow("run_command", &with).replace("retry =", "timeout = \"5m\"\nretry =");
    std::fs::write(data.path().join("config.toml"), format!("[workflow]\nallow_shell = true\n{toml}")).unwrap();
    let environment = everything(&sandbox);
    let server = Program::start(data.path(), &environment).await;
    let body = pull_request("labeled", 12, ("a1", None), "2026-01-05T10:00:00Z").to_string();
    let run = server.run_of("pull_request", "d1", &body).await;
    crate::server::until("the program to have had its effect", async || done.exists()).await;
    server.kill();
    let server = Program::start(data.path(), &environment).await;
    server.until(&run, "needs_decision").await;
    assert_eq!(lines(&done), 1);
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}
