//! Codegen's API: agent runs, which open pull requests by themselves.
//!
//! Rules: docs.codegen.com, "API reference" (OpenAPI file of codegen-sh/codegen, 2025-10-07). It has no idempotency key:
//! ours stands in the `metadata` of a run, and is looked for there. It documents no webhooks, so runs are asked after.
//! The token goes into one header and nowhere else.

pub mod agent_run;
mod listed;
mod refusal;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::Polling;
use pointsman_actors::time::{SharedClock, Timestamp};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Method};
use serde_json::{Map, Value as Json, json};

use super::http::{self, Answer};
use super::pace::Pace;
use crate::config::settings::SecretText;
pub use agent_run::{AgentRun, Standing};
pub use listed::Listed;
use listed::{HEAD, KEY, PURPOSE, SUBJECT};
use refusal::refused;

/// Documented: 10 agent runs may be created, or resumed, a minute.
const CREATES: (usize, Duration) = (10, Duration::from_secs(60));

/// Documented: 60 questions of each kind in half a minute. Ours share one such budget.
const READS: (usize, Duration) = (60, Duration::from_secs(30));

/// Most that a page of a list has.
const PAGE: usize = 100;

/// Most pages of agent runs that are looked through for one that may have been made. More are a list that grows faster
/// than it is read.
const MOST_PAGES: usize = 20;

/// How long the number of a repository is remembered: one that is connected anew has another.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// No agent works for so long. What seems to be at work for longer was left in a state that nobody knows the name of.
const LONGEST_WORK: Duration = Duration::from_secs(24 * 3_600);

/// What the configuration says of Codegen.
#[derive(Clone, Debug)]
pub struct CodegenSettings {
    /// Its API.
    pub api_url: String,
    /// Token for agent runs.
    pub api_token: Option<SecretText>,
    /// Number of the organisation.
    pub organization: Option<u64>,
    /// Time for one call.
    pub timeout: Duration,
    /// Pause before it is asked first whether a run is done.
    pub poll_interval: Duration,
}

/// Codegen, with a token.
pub struct Codegen {
    http: Client,
    base: String,
    authorization: HeaderValue,
    timeout: Duration,
    polling: Polling,
    clock: SharedClock,
    creates: Mutex<Pace>,
    reads: Mutex<Pace>,
    /// Numbers of repositories by lower-case full name, and when they were learned.
    repositories: Mutex<BTreeMap<String, (u64, Duration)>>,
}

/// An agent run that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// What the agent is to do.
    pub prompt: String,
    /// Number of the repository that it works in.
    pub repo_id: u64,
    /// The model; the organisation's own without it.
    pub model: Option<String>,
    /// `codegen` or `claude_code`; the organisation's own without it.
    pub agent_type: Option<String>,
    /// What it is about.
    pub about: About,
}

/// What an agent run is about, as far as that is said. It stands in the metadata of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// What it works on, by which its like are found, such as `owner/name#7`.
    pub subject: Option<String>,
    /// What for, by which its like are counted, such as `mend`.
    pub purpose: Option<String>,
    /// The commit that it begins with.
    pub head: Option<String>,
}

impl Codegen {
    /// With these settings; `None` if token or organisation are missing.
    pub fn new(http: Client, settings: &CodegenSettings, clock: SharedClock) -> Option<Self> {
        let (token, organization) = (settings.api_token.as_ref()?, settings.organization?);
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        authorization.set_sensitive(true);
        let base = format!("{}/v1/organizations/{organization}", settings.api_url.trim_end_matches('/'));
        let first = settings.poll_interval;
        Some(Self {
            http,
            base,
            authorization,
            timeout: settings.timeout,
            polling: Polling { first, most: first.saturating_mul(6) },
            clock,
            creates: Mutex::new(Pace::new(CREATES.0, CREATES.1)),
            reads: Mutex::new(Pace::new(READS.0, READS.1)),
            repositories: Mutex::default(),
        })
    }

    /// How often it is asked whether a run is done.
    pub fn polling(&self) -> Polling {
        self.polling
    }

    /// Creates an agent run that carries `key`.
    pub async fn create(&self, run: &NewRun, key: &str) -> Result<AgentRun, Failure> {
        let mut body = Map::new();
        body.insert("prompt".to_owned(), json!(run.prompt));
        body.insert("repo_id".to_owned(), json!(run.repo_id));
        let chosen = [("model", &run.model), ("agent_type", &run.agent_type)];
        body.extend(chosen.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))));
        let metadata = [
            (KEY, Some(key)),
            (SUBJECT, run.about.subject.as_deref()),
            (PURPOSE, run.about.purpose.as_deref()),
            (HEAD, run.about.head.as_deref()),
        ];
        let metadata: Map<String, Json> =
            metadata.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
        body.insert("metadata".to_owned(), metadata.into());
        self.begin("/agent/run", &Json::Object(body), key).await
    }

    /// Has an agent run go on with another prompt.
    pub async fn resume(&self, run_id: u64, prompt: &str, key: &str) -> Result<AgentRun, Failure> {
        let body = json!({ "agent_run_id": run_id, "prompt": prompt });
        self.begin("/agent/run/resume", &body, key).await
    }

    /// An agent run as it is now.
    pub async fn run(&self, run_id: u64) -> Result<AgentRun, Failure> {
        let path = format!("/agent/run/{run_id}");
        let answer = self.get(&path).await?;
        AgentRun::read(&answer).ok_or_else(|| unreadable(&format!("GET {path}")))
    }

    /// The agent run that carries `key`, if there is one.
    pub async fn find(&self, key: &str) -> Result<Option<AgentRun>, Failure> {
        let has_key = |run: &&Json| run.pointer(&format!("/metadata/{KEY}")).and_then(Json::as_str) == Some(key);
        for page in 0..MOST_PAGES {
            let (runs, is_last) = self.page("/agent/runs", page).await?;
            if let Some(found) = runs.iter().find(has_key) {
                return AgentRun::read(found).map(Some).ok_or_else(|| unreadable("GET /agent/runs"));
            }
            if is_last {
                return Ok(None);
            }
        }
        let message =
            format!("none of the {} newest agent runs carries the key, and there are more", MOST_PAGES * PAGE);
        Err(Failure::new(ErrorClass::Validation, message))
    }

    /// The newest agent run for one of `subjects` that is at work, if there is one.
    pub async fn at_work(&self, subjects: &[String]) -> Result<Option<AgentRun>, Failure> {
        let is_its = |listed: &Listed| subjects.iter().any(|subject| listed.is_for(subject));
        let mut listed = self.listed(None).await?.into_iter();
        Ok(listed.find(|listed| listed.is_at_work && is_its(listed)).map(|listed| listed.run))
    }

    /// The agent runs that may be at work, and those that were begun since then, newest first; of more than two thousand the
    /// newest. One that does not say when it was begun is among them.
    pub async fn listed(&self, since: Option<Timestamp>) -> Result<Vec<Listed>, Failure> {
        let now = self.clock.now();
        let at_work = now.minus(LONGEST_WORK);
        let since = since.map_or(at_work, |since| since.min(at_work));
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let (runs, is_last) = self.page("/agent/runs", page).await?;
            let read: Vec<Listed> = runs.iter().filter_map(|run| Listed::read(run, now)).collect();
            let is_enough = is_last || read.iter().any(|listed| !listed.is_since(since));
            all.extend(read.into_iter().filter(|listed| listed.is_since(since)));
            if is_enough {
                break;
            }
        }
        Ok(all)
    }

    /// The number that Codegen gives a repository, by its full name.
    pub async fn repository(&self, full_name: &str) -> Result<u64, Failure> {
        let (wanted, now) = (full_name.to_lowercase(), self.clock.elapsed());
        let known = locked(&self.repositories).get(&wanted).copied();
        if let Some((id, _)) = known.filter(|(_, learned)| now.saturating_sub(*learned) < REMEMBERED) {
            return Ok(id);
        }
        for page in 0..MOST_PAGES {
            let (repositories, is_last) = self.page("/repos", page).await?;
            let read = |repository: &Json| {
                Some((repository.get("full_name")?.as_str()?.to_lowercase(), (repository.get("id")?.as_u64()?, now)))
            };
            let mut known = locked(&self.repositories);
            known.extend(repositories.iter().filter_map(read));
            if let Some((id, _)) = known.get(&wanted).filter(|(_, learned)| *learned == now) {
                return Ok(*id);
            }
            if is_last {
                break;
            }
        }
        let message = format!("Codegen does not know the repository `{full_name}`; connect it to the organisation");
        Err(Failure::new(ErrorClass::NotFound, message))
    }

    /// A page of a list, and whether it is the last one.
    async fn page(&self, path: &str, number: usize) -> Result<(Vec<Json>, bool), Failure> {
        let skip = number * PAGE;
        let answer = self.get(&format!("{path}?skip={skip}&limit={PAGE}")).await?;
        let Some(Json::Array(items)) = answer.get("items") else { return Err(unreadable(&format!("GET {path}"))) };
        let total = answer.get("total").and_then(Json::as_u64).and_then(|total| usize::try_from(total).ok());
        let is_last = items.is_empty() || total.is_some_and(|total| skip + items.len() >= total);
        Ok((items.clone(), is_last))
    }

    async fn get(&self, path: &str) -> Result<Json, Failure> {
        self.call(Method::GET, path, None, &self.reads).await
    }

    async fn begin(&self, path: &str, body: &Json, key: &str) -> Result<AgentRun, Failure> {
        let answer = self.call(Method::POST, path, Some((body, key)), &self.creates).await?;
        // It has begun, whatever the answer says.
        AgentRun::read(&answer).ok_or_else(|| unreadable(&format!("POST {path}")).in_doubt())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&Json, &str)>,
        pace: &Mutex<Pace>,
    ) -> Result<Json, Failure> {
        let what = format!("{method} {path}");
        locked(pace).take(self.clock.elapsed()).map_err(|pause| {
            let message = format!("{what}: not called, Codegen takes no more at a time");
            Failure::new(ErrorClass::RateLimit, message).retry_after(pause).unsent()
        })?;
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base))
            .timeout(self.timeout)
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some((body, key)) = body {
            // Codegen does not look at the header; whoever reads a proxy's log does.
            request = request.json(body).header("x-idempotency-key", key);
        }
        let answer = http::send(&what, &method, request).await?;
        if !(200..300).contains(&answer.status) {
            return Err(refused(&what, &method, &answer));
        }
        json_of(&what, &method, &answer)
    }
}

fn json_of(what: &str, method: &Method, answer: &Answer) -> Result<Json, Failure> {
    let cannot = |message: String| {
        let failure = Failure::new(ErrorClass::Temporary, message);
        if method.is_safe() { failure } else { failure.in_doubt() }
    };
    if answer.cut {
        return Err(cannot(format!("{what}: the answer is larger than anybody expects")));
    }
    serde_json::from_slice(&answer.body).map_err(|error| cannot(format!("{what}: the answer is not JSON: {error}")))
}

fn unreadable(what: &str) -> Failure {
    Failure::new(ErrorClass::Temporary, format!("{what}: the answer is not what Codegen documents"))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
