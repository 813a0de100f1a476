//! AgentAPI (coder/agentapi 0.12.1), as far as it is called, and as strict: an agent in a terminal that works until it has
//! been looked at so often, keeps the conversation, and shows what it says in 80 columns.

#![allow(clippy::indexing_slicing, reason = "JSON: what is missing is null")]

use serde_json::{Value as Json, json};

use crate::server::{Reply, Request};
use crate::world::State;

/// Columns of its terminal.
const COLUMNS: usize = 80;

/// The agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What it is, as `agentapi server --type` names it.
    pub kind: String,
    /// Hosts that it may be called by.
    pub hosts: Vec<String>,
    /// What it says, a question each; the usual one when nothing else is planned.
    pub next: Vec<Answer>,
    /// From now on.
    pub usual: Answer,
    /// It works until its status was asked for so often.
    pub looks: u32,
    /// Whether it works for somebody else.
    pub is_busy: bool,
    /// Whether it begins to, just before the next message.
    pub is_taken: bool,
    /// Whether it talks to somebody else, just before its conversation is read next.
    pub is_talked_to: bool,
    /// What it still has before its eyes.
    pub context: Vec<String>,
    /// The most questions that it ever had before its eyes.
    pub most_in_context: usize,
    /// The conversation, as role and content.
    messages: Vec<(&'static str, String)>,
    working: Option<Working>,
}

/// What the agent says. `{begin}` and `{end}` are the lines that it was asked for, `{question}` all that it was asked.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This, in the end.
    Says(String),
    /// Nothing: it works on.
    WorksOn,
}

#[derive(Clone, Debug)]
struct Working {
    looks: u32,
    answer: Answer,
}

impl Answer {
    /// A verdict in the form that is asked for.
    #[must_use]
    pub fn judges(verdict: &Json) -> Self {
        Self::Says(format!("I have looked at it.\n\n{{begin}}\n```json\n{verdict}\n```\n{{end}}"))
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            kind: "claude".to_owned(),
            hosts: ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into(),
            next: Vec::new(),
            usual: Answer::judges(&json!({"verdict": "pass", "score": 92, "issues": []})),
            looks: 2,
            is_busy: false,
            is_taken: false,
            is_talked_to: false,
            context: Vec::new(),
            most_in_context: 0,
            messages: vec![("agent", "Welcome!".to_owned())],
            working: None,
        }
    }
}

impl Agent {
    /// It has done what it worked on without end.
    pub fn gets_done(&mut self) {
        self.is_busy = false;
        self.working = self.working.take().map(|_| Working { looks: 0, answer: Answer::Says("Done.".to_owned()) });
    }

    /// Looks at it; it may have come to an end by then.
    fn is_stable(&mut self) -> bool {
        if self.is_busy {
            return false;
        }
        let Some(working) = &mut self.working else { return true };
        let Answer::Says(text) = &working.answer else { return false };
        if working.looks > 0 {
            working.looks -= 1;
            return false;
        }
        let said = shown(text);
        self.messages.push(("agent", said));
        self.working = None;
        true
    }

    fn take(&mut self, content: &str) {
        self.messages.push(("user", content.to_owned()));
        if content == "/clear" && self.kind == "claude" {
            self.context.clear();
            self.working = Some(Working { looks: 0, answer: Answer::Says("⎿  (no content)".to_owned()) });
            return;
        }
        self.context.push(content.to_owned());
        self.most_in_context = self.most_in_context.max(self.context.len());
        let answer = if self.next.is_empty() { self.usual.clone() } else { self.next.remove(0) };
        let answer = match answer {
            Answer::Says(text) => Answer::Says(filled(&text, content)),
            Answer::WorksOn => Answer::WorksOn,
        };
        self.working = Some(Working { looks: self.looks, answer });
    }
}

/// The answer with what the question asks for.
fn filled(text: &str, question: &str) -> String {
    let code = question.split("the code `").nth(1).and_then(|rest| rest.split('`').next()).unwrap_or_default();
    let text = text.replace("{begin}", &format!("VERDICT-{code}")).replace("{end}", &format!("END-{code}"));
    text.replace("{question}", question)
}

/// A text as Claude Code's terminal shows it: a bullet, an indentation, and lines that are broken where they are too long.
/// Fences of code are not shown, and outside of code a backslash is Markdown's.
fn shown(text: &str) -> String {
    let width = COLUMNS - 2;
    let (mut lines, mut is_code) = (Vec::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let mut rest: Vec<char> = line.chars().filter(|c| is_code || *c != '\\').collect();
        while rest.len() > width {
            let blank = rest.iter().take(width).rposition(|c| *c == ' ').filter(|at| *at > 0);
            let tail = rest.split_off(blank.unwrap_or(width));
            lines.push(rest.into_iter().collect::<String>());
            rest = tail.into_iter().skip(usize::from(blank.is_some())).collect();
        }
        lines.push(rest.into_iter().collect());
    }
    let indented =
        lines.iter().enumerate().map(|(place, line)| format!("{}{line}", if place == 0 { "⏺ " } else { "  " }));
    indented.collect::<Vec<_>>().join("\n")
}

/// Answers a call.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    let agent = &mut state.agent;
    let host = request.header("host").unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !agent.hosts.iter().any(|allowed| allowed == host) {
        return Reply::text(400, &format!("Invalid host header. Allowed hosts: {}", agent.hosts.join(", ")));
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/status") => {
            let status = if agent.is_stable() { "stable" } else { "running" };
            Reply::json(200, json!({ "status": status, "agent_type": agent.kind, "transport": "pty" }))
        }
        ("GET", "/messages") => {
            if std::mem::take(&mut agent.is_talked_to) {
                agent.messages.push(("user", "What time is it?".to_owned()));
                agent.messages.push(("agent", "It is late.".to_owned()));
            }
            let messages = agent.messages.iter().enumerate().map(|(id, (role, content))| {
                json!({ "id": id, "role": role, "content": content, "time": "2026-01-05T10:00:00Z" })
            });
            Reply::json(200, json!({ "messages": messages.collect::<Vec<_>>() }))
        }
        ("POST", "/message") => say(agent, &request.json()),
        _ => problem(404, "not found", &[]),
    }
}

fn say(agent: &mut Agent, body: &Json) -> Reply {
    let (content, kind) = (body["content"].as_str(), body["type"].as_str());
    let known = body.as_object().is_some_and(|body| body.keys().all(|key| ["content", "type"].contains(&key.as_str())));
    let (Some(content), Some("user" | "raw"), true) = (content, kind, known) else {
        return problem(422, "validation failed", &["expected value to be one of \"user, raw\""]);
    };
    let unexpected =
        |message: &str| problem(500, "unexpected error occurred", &[&format!("failed to send message: {message}")]);
    if kind == Some("raw") {
        return Reply::json(200, json!({ "ok": true }));
    }
    agent.is_busy |= std::mem::take(&mut agent.is_taken);
    if !agent.is_stable() {
        return unexpected("message can only be sent when the agent is waiting for user input");
    }
    if content.trim().is_empty() {
        return unexpected("message must not be empty");
    }
    agent.take(content.trim());
    Reply::json(200, json!({ "ok": true }))
}

/// An error in its form.
pub fn problem(status: u16, detail: &str, errors: &[&str]) -> Reply {
    let errors: Vec<Json> = errors.iter().map(|message| json!({ "message": message })).collect();
    let title = actix_web::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut reply =
        Reply::json(status, json!({ "title": title, "status": status, "detail": detail, "errors": errors }));
    reply.headers.push(("content-type", "application/problem+json".to_owned()));
    reply
}
