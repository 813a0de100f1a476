//! AgentAPI: an agent in a terminal, behind HTTP. It is asked instead of the command when its address is configured.
//!
//! Rules: coder/agentapi 0.12.1, its OpenAPI file and what its server does. `POST /message` is taken only while
//! `/status` says `stable`, and answered when the agent has begun to work; the agent has answered when it is `stable`
//! again, and its answer is its last message: what its terminal shows, without any structure ([`answer`]). There is one
//! terminal, so one question at a time. What is sent is typed: a key of ours must be no key there ([`typed`]).
//!
//! It knows no credential. Whoever reaches the agent can make it say anything, so the configuration takes an address
//! of this machine only, unless it is told otherwise.

pub mod answer;
mod refusal;
mod typed;

use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::claude_code::Question;
use super::http::{self, Answer};
use super::verdict::Verdict;
use answer::Marks;
use refusal::{refused, unreadable};

/// A message is answered when the agent works on it: its screen may take 15 seconds to take the text, and as long again to
/// show that it has begun (`lib/screentracker`).
const TYPING: Duration = Duration::from_secs(45);

/// Most bytes of the conversation that are read: all of it is given each time, with every diff that was asked about.
const LARGEST_CONVERSATION: usize = 64 << 20;

/// After so many of its looks somebody comes back to an agent that works for somebody else.
const LOOKS_UNTIL_BACK: u32 = 10;

/// Has Claude Code forget what it was asked before: nobody's change is judged before the eyes of another's, nor is
/// there room for many.
const FORGET: &str = "/clear";

/// The type of agent that knows that.
const FORGETFUL: &str = "claude";

/// What the configuration says of it.
#[derive(Clone, Debug)]
pub struct AgentApiSettings {
    /// Its address.
    pub url: String,
    /// How often it is looked whether the agent has answered.
    pub poll_interval: Duration,
}

/// The agent.
pub struct AgentApi {
    http: Client,
    base: String,
    poll_interval: Duration,
    /// Held by whoever talks to it.
    turn: Mutex<()>,
}

#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    agent_type: String,
}

#[derive(Deserialize)]
struct Conversation {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

impl AgentApi {
    /// With these settings. No proxy stands between us and this machine.
    pub fn new(settings: &AgentApiSettings) -> Self {
        let http = http::builder().no_proxy().build().unwrap_or_default();
        let base = settings.url.trim_end_matches('/').to_owned();
        Self { http, base, poll_interval: settings.poll_interval, turn: Mutex::default() }
    }

    /// Has a prompt judged. Dropping the future ends the wait; the agent goes on until it is done, and is busy as long.
    ///
    /// # Errors
    ///
    /// An agent that works for somebody else was not asked: that is an `unsent` limit of the rate.
    pub async fn judge(&self, question: Question<'_>) -> Result<Verdict, Failure> {
        let begun = Instant::now();
        // Whoever comes to it late has as long for the answer all the same.
        let Ok(_turn) = tokio::time::timeout(question.limit / 2, self.turn.lock()).await else {
            return Err(self.busy("answers another question of ours"));
        };
        let left = question.limit.saturating_sub(begun.elapsed());
        let asked = tokio::time::timeout(left, self.ask(question.prompt, &Marks::of(question.mark))).await;
        let message = format!("the agent behind AgentAPI did not answer within {:?}", question.limit);
        asked.unwrap_or_else(|_| Err(Failure::new(ErrorClass::Timeout, message)))
    }

    async fn ask(&self, prompt: &str, marks: &Marks) -> Result<Verdict, Failure> {
        let status = self.status().await?;
        if !status.is_stable() {
            return Err(self.busy("works for somebody else, or has just begun"));
        }
        if status.agent_type == FORGETFUL {
            self.say(FORGET).await?;
            self.until_stable().await?;
        }
        self.say(&typed::message(prompt, &marks.request())).await?;
        self.until_stable().await?;
        answer::read(&self.answer_to(marks).await?, marks)
    }

    async fn until_stable(&self) -> Result<(), Failure> {
        loop {
            tokio::time::sleep(self.poll_interval).await;
            if self.status().await?.is_stable() {
                return Ok(());
            }
        }
    }

    async fn status(&self) -> Result<Status, Failure> {
        let what = "AgentAPI GET /status";
        let answer = self.get(what, "/status", http::LARGEST_ANSWER).await?;
        let status: Status = serde_json::from_slice(&answer.body).map_err(|error| unreadable(what, &error))?;
        match status.status.as_str() {
            "stable" | "running" => Ok(status),
            other => Err(Failure::new(
                ErrorClass::Validation,
                format!("{what}: a status `{}` is not known", other.chars().take(40).collect::<String>()),
            )),
        }
    }

    async fn say(&self, content: &str) -> Result<(), Failure> {
        let (what, method) = ("AgentAPI POST /message", Method::POST);
        let request = self.http.post(format!("{}/message", self.base)).timeout(TYPING);
        let answer = http::send(what, &method, request.json(&json!({ "content": content, "type": "user" }))).await?;
        match answer.status {
            200 => Ok(()),
            _ if refusal::is_busy(&answer) => Err(self.busy("began to work for somebody else")),
            _ => Err(refused(what, &answer)),
        }
    }

    /// What the agent said last, if it was said to us.
    async fn answer_to(&self, marks: &Marks) -> Result<String, Failure> {
        let what = "AgentAPI GET /messages";
        let answer = self.get(what, "/messages", LARGEST_CONVERSATION).await?;
        if answer.cut {
            let message =
                format!("{what}: the conversation is longer than {LARGEST_CONVERSATION} bytes; restart agentapi");
            return Err(Failure::new(ErrorClass::Validation, message));
        }
        let conversation: Conversation =
            serde_json::from_slice(&answer.body).map_err(|error| unreadable(what, &error))?;
        let mut said = None;
        for Message { role, content } in conversation.messages {
            match role.as_str() {
                "user" if marks.are_asked_for_in(&content) => said = Some(String::new()),
                // Somebody else has asked it something meanwhile.
                "user" => said = None,
                _ => said = said.map(|_| content),
            }
        }
        let message = "somebody else talks to the agent behind AgentAPI; it must be ours alone";
        said.ok_or_else(|| Failure::new(ErrorClass::Temporary, message))
    }

    async fn get(&self, what: &str, path: &str, limit: usize) -> Result<Answer, Failure> {
        let request = self.http.get(format!("{}{path}", self.base));
        let answer = http::send_up_to(what, &Method::GET, request, limit).await?;
        if answer.status == 200 { Ok(answer) } else { Err(refused(what, &answer)) }
    }

    fn busy(&self, why: &str) -> Failure {
        let back = self.poll_interval.saturating_mul(LOOKS_UNTIL_BACK);
        Failure::new(ErrorClass::RateLimit, format!("the agent behind AgentAPI {why}")).retry_after(back).unsent()
    }
}

impl Status {
    fn is_stable(&self) -> bool {
        self.status == "stable"
    }
}
