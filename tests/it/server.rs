//! A server of a test's own, and how a test talks to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pointsman::boot::{self, Server};
use pointsman::config::{self, Flags, Loaded};
use pointsman::sources::Secret;
use pointsman_actors::time::ManualClock;
use serde_json::Value;
use tempfile::TempDir;

pub const SECRET: &str = "the test's secret";
pub const TOKEN: &str = "the test's token, of 32 characters and more";

/// The file of a server's configuration, in its directory.
const CONFIGURATION: &str = "config.toml";

pub struct TestServer {
    pub server: Option<Server>,
    pub directory: TempDir,
    pub http: reqwest::Client,
    base: String,
    toml: String,
    environment: Environment,
}

/// Variables that a test sets beside those that every test has.
pub type Environment = Vec<(&'static str, String)>;

/// An answer, as far as tests look at it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl TestServer {
    /// A server with all four sources on and this TOML in its configuration.
    pub async fn start(toml: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), toml).await
    }

    pub async fn start_in(directory: TempDir, toml: &str) -> Self {
        Self::start_with(directory, toml, Vec::new()).await
    }

    pub async fn start_with(directory: TempDir, toml: &str, environment: Environment) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plan = boot::plan(&loaded_with(directory.path(), toml, &environment)).unwrap();
        Self::start_planned(directory, toml, environment, plan).await
    }

    /// A server whose time the test tells.
    pub async fn start_at(clock: Arc<ManualClock>, toml: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let plan = boot::Plan { clock, ..plan(directory.path(), toml) };
        Self::start_planned(directory, toml, Vec::new(), plan).await
    }

    async fn start_planned(directory: TempDir, toml: &str, environment: Environment, plan: boot::Plan) -> Self {
        let server = boot::start(plan).await.unwrap();
        let base = format!("http://{}", server.address);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server: Some(server), directory, http, base, toml: toml.to_owned(), environment }
    }

    /// Ends the server in order and starts another on the same data.
    pub async fn restart(mut self, toml: &str) -> Self {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        Self::start_in(self.directory, toml).await
    }

    /// The same with the same configuration.
    pub async fn restart_as_it_was(self) -> Self {
        let toml = self.toml.clone();
        self.restart_after(&toml, |_| ()).await
    }

    /// The same with this TOML, when something has happened to its data meanwhile.
    pub async fn restart_after(mut self, toml: &str, happens: impl FnOnce(&Path)) -> Self {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        happens(self.directory.path());
        Self::start_with(self.directory, toml, self.environment).await
    }

    /// The next server on these data has this variable.
    pub fn set_variable(&mut self, name: &'static str, value: String) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value));
    }

    pub fn tree(&self) -> &pointsman_actors::tree::Tree {
        &self.server.as_ref().unwrap().tree
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// `GET` of the operator API with the right token.
    pub async fn get(&self, path: &str) -> Answer {
        read(self.http.get(self.url(path)).bearer_auth(TOKEN).send().await.unwrap()).await
    }

    /// Has the server read this TOML in place of what its configuration held.
    pub async fn reload(&self, toml: &str) -> Answer {
        std::fs::write(self.directory.path().join(CONFIGURATION), toml).unwrap();
        read(self.http.post(self.url("/api/v1/reload")).bearer_auth(TOKEN).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        let mut request = self.http.post(self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send().await.unwrap()).await
    }

    /// A signed delivery of GitHub.
    pub async fn github(&self, event: &str, delivery: &str, hook: &str, body: &[u8]) -> Answer {
        let signature = sign(body);
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", event),
            ("x-github-delivery", delivery),
            ("x-github-hook-id", hook),
            ("x-hub-signature-256", &signature),
        ];
        self.post("/webhooks/github", &headers, body.to_vec()).await
    }

    pub async fn events_stored(&self) -> u64 {
        self.get("/metrics").await.body["eventStore"]["eventsStored"].as_u64().unwrap()
    }
}

pub fn plan(directory: &Path, toml: &str) -> boot::Plan {
    boot::plan(&loaded(directory, toml)).unwrap()
}

/// Why a workflow cannot be started; nothing if it can.
pub fn unavailable(plan: &boot::Plan, workflow: &str) -> String {
    let names = |line: &String| line.split([' ', ',']).any(|word| word == workflow);
    plan.in_force.compiled.unavailable().filter(names).collect()
}

/// A configuration with all four sources on.
pub fn loaded(directory: &Path, toml: &str) -> Loaded {
    loaded_with(directory, toml, &[])
}

/// The same without a server that would have a directory.
pub fn loaded_alone(toml: &str) -> Loaded {
    loaded(tempfile::tempdir().unwrap().path(), toml)
}

fn loaded_with(directory: &Path, toml: &str, more: &[(&'static str, String)]) -> Loaded {
    let sources = ["GITHUB", "LINEAR", "CODEGEN", "CLAUDE_CODE"];
    let mut environment: std::collections::BTreeMap<String, String> =
        sources.iter().map(|source| (format!("{source}_WEBHOOK_SECRET"), SECRET.to_owned())).collect();
    for (name, value) in [
        ("POINTSMAN_ADMIN_TOKEN", TOKEN),
        ("POINTSMAN_DATA_DIR", directory.to_str().unwrap()),
        ("WEBHOOK_HOST", "127.0.0.1"),
        ("WEBHOOK_PORT", "0"),
        ("POINTSMAN_WORKERS", "2"),
        ("PATH", "/usr/bin:/bin"),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let file = directory.join(CONFIGURATION);
    std::fs::write(&file, toml).unwrap();
    let flags = Flags { file: Some(file), values: Vec::new() };
    config::load(&environment, &flags, 2).unwrap_or_else(|errors| panic!("{errors}"))
}

pub fn sign(body: &[u8]) -> String {
    format!("sha256={}", hex::encode(Secret::new(SECRET).sign(body)))
}

async fn read(response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, retry_after, body }
}

/// Waits until `holds`, by asking again; fails after a generous bound instead of hanging.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}
