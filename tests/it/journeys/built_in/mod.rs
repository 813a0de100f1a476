//! What is built in: from a signed payload to everything that the world is told, compared whole, when all goes well and
//! when a step fails.

mod agents;
mod lacking;
mod pull_requests;
mod sessions;
mod task;
mod ticket_agents;
mod tickets;

use pointsman_sandbox::linear::workspace::Issue;
use pointsman_sandbox::world::Hook;
use pointsman_sandbox::{Call, PullRequest, TOKEN};
use serde_json::{Value, json};

use crate::server::{Answer, SECRET};
use crate::site::{REPOSITORY, Site, pull};

/// Nobody asks Codegen as long as a test lasts: it calls back.
const NEVER: &str = "3600000";

/// A site where everything is connected, and only what is built in is there. Agent runs end when they are told to.
async fn connected(more: &[(&'static str, &str)]) -> Site {
    let sandbox = pointsman_sandbox::Sandbox::start(0).await.unwrap();
    let codegen = format!("{}/codegen", sandbox.url());
    let all = [
        ("CODEGEN_API_URL", codegen.as_str()),
        ("CODEGEN_API_TOKEN", TOKEN),
        ("CODEGEN_ORG_ID", "323"),
        ("CODEGEN_POLL_INTERVAL", NEVER),
        ("GITHUB_HANDLER_FAILURE_DELAY", "20"),
        ("GITHUB_HANDLER_PUSH_DELAY", "20"),
        ("LINEAR_HANDLER_REQUIREMENTS_DELAY", "20"),
    ];
    let mut environment = crate::site::environment(&sandbox);
    environment.extend(all.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())));
    let server = crate::server::TestServer::start_with(tempfile::tempdir().unwrap(), "", environment).await;
    {
        let mut state = sandbox.world().state();
        state.codegen.repositories = vec![REPOSITORY.to_owned()];
        state.codegen.plan = pointsman_sandbox::codegen::Plan { after_polls: None, ..Default::default() };
        state.codegen_hook = Some(Hook { url: server.url("/webhooks/codegen"), secret: SECRET.to_owned() });
    }
    Site { sandbox, server }
}

/// One of GitHub's own examples of an event with this action, about our repository, with these fields changed.
fn example(event: &str, action: Option<&str>, changes: Value) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/fixtures/octokit.json");
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|_| panic!("{path} is missing; run scripts/test, which fetches it"))
        .replace("Codertocat/Hello-World", REPOSITORY);
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of_event = events.into_iter().find(|other| other["name"] == event).unwrap();
    let examples = of_event["examples"].as_array().unwrap();
    let mut example = examples.iter().find(|example| example["action"].as_str() == action).unwrap().clone();
    change(&mut example, changes);
    example
}

/// Changes the fields of an object that are named, at any depth.
fn change(value: &mut Value, changes: Value) {
    match (value, changes) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, new) in changes {
                change(fields.entry(name).or_insert(Value::Null), new);
            }
        }
        (value, new) => *value = new,
    }
}

impl Site {
    /// A signed delivery of GitHub.
    async fn github(&self, event: &str, payload: &Value) -> Answer {
        let delivery = uuid::Uuid::new_v4().to_string();
        let answer = self.server.github(event, &delivery, "1", payload.to_string().as_bytes()).await;
        assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("accepted")), "{answer:?}");
        answer
    }

    /// Why an event started nothing.
    async fn why_not(&self, answer: &Answer) -> String {
        let event = self.server.get(&format!("/api/v1/events/{}", answer.body["eventId"].as_str().unwrap())).await.body;
        assert_eq!(event["status"], "unrouted", "{event:#}");
        event["verdict"]["reason"].as_str().unwrap_or_else(|| panic!("{event:#}")).to_owned()
    }

    /// The runs that an event started, by workflow.
    async fn runs_of(&self, answer: &Answer) -> Vec<(String, String)> {
        let event = answer.body["eventId"].as_str().unwrap();
        let runs = self.server.get(&format!("/api/v1/runs?event={event}")).await.body;
        let text = |run: &Value, name: &str| run[name].as_str().unwrap().to_owned();
        let mut runs: Vec<_> =
            runs["items"].as_array().unwrap().iter().map(|run| (text(run, "workflow"), text(run, "id"))).collect();
        runs.sort();
        runs
    }

    /// Everything that the world was told and asked by these runs, a line a call.
    fn told(&self) -> Vec<String> {
        self.world().ledger().iter().map(line).collect()
    }

    /// The ticket is delegated to somebody else, or to nobody any more.
    fn give_ticket_to(&self, delegate: Option<&str>) {
        for issue in &mut self.world().state().linear.issues {
            issue.delegate = delegate.map(str::to_owned);
        }
    }

    /// A ticket of Codegen's in Linear.
    fn put_ticket(&self, state: &str, description: &str) {
        self.world().state().linear.put_issue(Issue {
            id: "issue-45".into(),
            identifier: "ENG-45".into(),
            title: "Cache the token".into(),
            state: state.into(),
            description: description.into(),
            delegate: Some("Codegen".into()),
            ..Issue::default()
        });
    }
}

/// A call as a line: what changes from one test to the next is left out.
fn line(call: &Call) -> String {
    let body = match &call.body {
        Value::Null => String::new(),
        body => format!(" {}", plain(body)),
    };
    match call.service.as_str() {
        "slack" => format!("slack: {}", call.body["text"].as_str().unwrap()),
        "claude" => "claude".to_owned(),
        "linear" => {
            let (name, variables) = (call.body["operationName"].as_str().unwrap(), &call.body["variables"]);
            format!("linear {name} {}", plain(variables))
        }
        service => format!("{service} {} {}{body}", call.method, call.path),
    }
}

/// A body without ids of runs and of what is made under their keys.
pub fn plain(body: &Value) -> Value {
    match body {
        Value::Object(fields) => {
            let known = |name: &str, value: &Value| match value {
                Value::String(text) if name == "id" && text.parse::<uuid::Uuid>().is_ok() => json!("ID"),
                other => plain(other),
            };
            fields.iter().map(|(name, value)| (name.clone(), known(name, value))).collect()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::String(text) => Value::String(without_runs(text)),
        other => other.clone(),
    }
}

/// The text with `RUN` for every id of a run.
fn without_runs(text: &str) -> String {
    const DIGITS: usize = 32;
    let (mut plain, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("run_") {
        let (before, after) = rest.split_at(at + 4);
        let is_id = after.get(..DIGITS).is_some_and(|id| id.chars().all(|c| c.is_ascii_hexdigit()));
        plain.push_str(if is_id { before.trim_end_matches("run_") } else { before });
        plain.push_str(if is_id { "RUN" } else { "" });
        rest = if is_id { &after[DIGITS..] } else { after };
    }
    plain + rest
}

/// A pull request of Codegen's for the ticket.
fn of_ticket(number: u64) -> PullRequest {
    PullRequest { title: "ENG-45: Cache the token".into(), ..pull(number, "a1", "+x\n") }
}

/// A failure that nothing can make good.
const FOR_GOOD: pointsman_sandbox::FaultKind = pointsman_sandbox::FaultKind::Refuse(401);
