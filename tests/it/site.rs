//! A server together with the world that it works in.

use std::path::{Path, PathBuf};

use pointsman_sandbox::linear::KEY;
use pointsman_sandbox::{PullRequest, SLACK_PATH, Sandbox, TOKEN, World, anthropic};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Answer, Environment, TestServer, until};

pub const REPOSITORY: &str = "acme/shop";

pub struct Site {
    pub sandbox: Sandbox,
    pub server: TestServer,
}

/// The environment in which everything leads into the sandbox; validations begin at once.
pub fn environment(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    vec![
        ("GITHUB_API_URL", format!("{}/github", sandbox.url())),
        ("GITHUB_WRITE_INTERVAL", "0s".to_owned()),
        ("GITHUB_TOKEN", TOKEN.to_owned()),
        ("LINEAR_API_URL", format!("{}/linear/graphql", sandbox.url())),
        ("LINEAR_API_KEY", KEY.to_owned()),
        ("LINEAR_OAUTH_URL", format!("{}/linear/oauth/token", sandbox.url())),
        ("SLACK_WEBHOOK_URL", format!("{}{SLACK_PATH}", sandbox.url())),
        ("CLAUDE_CODE_COMMAND", format!("{} --sandbox {}", fake_claude().display(), sandbox.url())),
        ("GITHUB_HANDLER_PR_VALIDATION_DELAY", "20".to_owned()),
        ("POINTSMAN_GRACE_PERIOD", "1s".to_owned()),
    ]
}

/// The fake `claude` stands beside the tests' own directory, where `cargo test --workspace` puts it.
fn fake_claude() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(|deps| deps.parent()).unwrap().join("fake-claude");
    assert!(program.exists(), "{} is not built; run `cargo build -p pointsman-sandbox`", program.display());
    program
}

/// The environment in which the real `claude` judges, and asks the sandbox; `scripts/test` fetches it.
pub fn real_claude(sandbox: &Sandbox) -> Environment {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/fixtures/claude-code/claude");
    assert!(Path::new(program).exists(), "{program} is missing; run scripts/test, which fetches it");
    vec![
        ("CLAUDE_CODE_COMMAND", program.to_owned()),
        ("ANTHROPIC_BASE_URL", format!("{}/anthropic", sandbox.url())),
        ("ANTHROPIC_API_KEY", anthropic::KEY.to_owned()),
    ]
}

impl Site {
    pub async fn start(toml: &str) -> Self {
        Self::start_with(toml, &[]).await
    }

    pub async fn start_with(toml: &str, more: &[(&'static str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), toml, more).await
    }

    pub async fn start_in(directory: TempDir, toml: &str, more: &[(&'static str, &str)]) -> Self {
        let sandbox = Sandbox::start(0).await.unwrap();
        let environment = environment(&sandbox);
        Self::start_at(sandbox, directory, toml, (environment, more)).await
    }

    /// With the real `claude`, whose API is in the sandbox.
    pub async fn start_real(toml: &str) -> Self {
        let sandbox = Sandbox::start(0).await.unwrap();
        let mut environment = environment(&sandbox);
        environment.retain(|(name, _)| *name != "CLAUDE_CODE_COMMAND");
        environment.extend(real_claude(&sandbox));
        Self::start_at(sandbox, tempfile::tempdir().unwrap(), toml, (environment, &[])).await
    }

    /// In a sandbox that is there already, with these variables before all others.
    pub async fn start_beside(sandbox: Sandbox, toml: &str, more: Environment) -> Self {
        let mut environment = environment(&sandbox);
        environment.extend(more);
        Self::start_at(sandbox, tempfile::tempdir().unwrap(), toml, (environment, &[])).await
    }

    async fn start_at(
        sandbox: Sandbox,
        directory: TempDir,
        toml: &str,
        (mut environment, more): (Environment, &[(&'static str, &str)]),
    ) -> Self {
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let server = TestServer::start_with(directory, toml, environment).await;
        Self { sandbox, server }
    }

    /// Ends the server in order and starts another on the same data.
    pub async fn restart(self) -> Self {
        Self { server: self.server.restart_as_it_was().await, ..self }
    }

    pub fn world(&self) -> &World {
        self.sandbox.world()
    }

    /// There is a pull request in the world, and GitHub says so.
    pub async fn open_pull(&self, number: u64, sha: &str) -> Answer {
        self.put_pull(number, sha, "+fn new() {}\n");
        self.tell("opened", number, (sha, None), "2026-01-05T10:00:00Z").await
    }

    pub fn put_pull(&self, number: u64, sha: &str, diff: &str) {
        self.world().put_pull(pull(number, sha, diff));
    }

    /// A signed delivery about a pull request with this head, and the head before it.
    pub async fn tell(&self, action: &str, number: u64, heads: (&str, Option<&str>), updated_at: &str) -> Answer {
        let body = pull_request(action, number, heads, updated_at);
        let delivery = uuid::Uuid::new_v4().to_string();
        let answer = self.server.github("pull_request", &delivery, "1", body.to_string().as_bytes()).await;
        assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("accepted")), "{answer:?}");
        answer
    }

    /// The run that an acknowledged delivery has started.
    pub async fn run_of(&self, answer: &Answer) -> String {
        let event = answer.body["eventId"].as_str().unwrap();
        let status = self.server.get(&format!("/api/v1/events/{event}/status")).await.body;
        assert_eq!(status["status"], "started", "{status}");
        status["runs"][0].as_str().unwrap().to_owned()
    }

    pub async fn run(&self, id: &str) -> Value {
        self.server.get(&format!("/api/v1/runs/{id}")).await.body
    }

    /// The run when it has this status.
    pub async fn until(&self, id: &str, status: &str) -> Value {
        let mut run = Value::Null;
        until(&format!("{id} to be {status}"), async || {
            run = self.run(id).await;
            let is = run["status"].as_str().unwrap();
            let over = ["succeeded", "failed", "timed_out", "superseded"].contains(&is);
            assert!(is == status || !over, "{run:#}");
            is == status
        })
        .await;
        run
    }
}

/// What a step of a run that has succeeded gave.
pub fn output<'a>(run: &'a Value, step: &str) -> &'a Value {
    let is_it = |entry: &&Value| entry["step"] == step && entry["entry"] == "succeeded";
    &run["journal"].as_array().unwrap().iter().find(is_it).unwrap()["output"]
}

/// What the journal of a run says, a word an entry.
pub fn words(run: &Value) -> Vec<String> {
    let word = |entry: &Value| match (entry["step"].as_str(), entry["entry"].as_str().unwrap()) {
        (Some(step), word) => format!("{step} {word}"),
        (None, word) => word.to_owned(),
    };
    run["journal"].as_array().unwrap().iter().map(word).collect()
}

/// A pull request of the world.
pub fn pull(number: u64, sha: &str, diff: &str) -> PullRequest {
    PullRequest {
        repository: REPOSITORY.into(),
        number,
        head_sha: sha.into(),
        title: "Cache the token".into(),
        diff: diff.into(),
        ..PullRequest::default()
    }
}

/// What GitHub sends about a pull request with this head, and the head before it.
pub fn pull_request(action: &str, number: u64, (sha, before): (&str, Option<&str>), updated_at: &str) -> Value {
    let mut body = json!({
        "action": action,
        "number": number,
        "pull_request": {
            "id": number, "number": number, "state": "open", "title": "Cache the token", "draft": false,
            "updated_at": updated_at, "user": {"login": "codegen-sh[bot]", "type": "Bot"},
            "head": {"ref": "codegen/cache", "sha": sha, "repo": {"full_name": REPOSITORY}},
            "base": {"ref": "main", "sha": "0", "repo": {"full_name": REPOSITORY}},
        },
        "repository": {"id": 1, "name": "shop", "full_name": REPOSITORY, "owner": {"login": "acme"}},
        "sender": {"login": "codegen-sh[bot]", "type": "Bot"},
    });
    if let Some(before) = before {
        body["before"] = before.into();
        body["after"] = sha.into();
    }
    body
}
