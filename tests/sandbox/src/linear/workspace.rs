//! What there is in the sandbox's Linear: one team whose states do not stand in their order, and what is put there.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Requests that are left when nobody has made any (linear.app/developers, "Rate limiting").
pub const MOST_REQUESTS: u32 = 2_500;

/// How long the limit's window is, in milliseconds.
const WINDOW_MS: i64 = 3_600_000;

/// A state of a team's workflow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkflowState {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its place.
    pub position: f64,
}

/// A ticket.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Issue {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub identifier: String,
    /// Its title.
    pub title: String,
    /// What is to be done.
    pub description: String,
    /// The name of its state.
    pub state: String,
    /// The name of whoever does it.
    pub assignee: Option<String>,
    /// The name of the agent that it is delegated to.
    pub delegate: Option<String>,
    /// Its labels.
    pub labels: Vec<String>,
    /// Its points.
    pub estimate: Option<f64>,
    /// Its project.
    pub project: Option<String>,
}

/// A comment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comment {
    /// Its id.
    pub id: String,
    /// The ticket's.
    pub issue: String,
    /// What it says.
    pub body: String,
    /// The comment that it answers.
    pub parent: Option<String>,
}

/// A link at a ticket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: String,
    /// The ticket's.
    pub issue: String,
    /// Where it leads.
    pub url: String,
    /// Its title.
    pub title: String,
    /// Whether Linear follows it as a pull request.
    pub is_pull_request: bool,
    /// The name of whoever has attached it.
    pub creator: String,
}

/// A session of an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The ticket's.
    pub issue: String,
    /// How it stands.
    pub status: String,
    /// Links to whatever the agent shows.
    pub external_urls: Json,
    /// What the agent means to do.
    pub plan: Json,
}

/// What was said in a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Activity {
    /// Its id.
    pub id: String,
    /// The session's.
    pub session: String,
    /// What was said.
    pub content: Json,
    /// Whether it goes when the next one comes.
    pub ephemeral: bool,
}

/// How many requests are left, and until when.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// How many.
    pub left: u32,
    /// When there are all of them again, in milliseconds since the Unix epoch.
    pub reset_at_ms: i64,
}

impl Limit {
    /// Counts a request, if there is one left.
    pub(super) fn count(&mut self, now: i64) -> Result<(), ()> {
        if self.reset_at_ms <= now {
            // Of a window that nobody has begun it is only known how many requests were put into it.
            let left = if self.reset_at_ms == 0 { self.left } else { MOST_REQUESTS };
            *self = Self { left, reset_at_ms: now + WINDOW_MS };
        }
        self.left = self.left.checked_sub(1).ok_or(())?;
        Ok(())
    }
}

/// An app of OAuth, and what it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct App {
    /// The refresh token that is good; each is good once.
    pub refresh_token: String,
    /// Whether it may have tokens for its client credentials.
    pub allows_client_credentials: bool,
    /// How long tokens live, in seconds.
    pub tokens_live: i64,
    /// Tokens, and until when they are good, in milliseconds since the Unix epoch.
    pub tokens: Vec<(String, i64)>,
    /// How tokens were asked for, oldest first: the grant's type, and whether one was given.
    pub grants: Vec<(String, bool)>,
}

impl Default for App {
    fn default() -> Self {
        let (tokens, grants) = (Vec::new(), Vec::new());
        Self {
            refresh_token: super::oauth::REFRESH_TOKEN.to_owned(),
            allows_client_credentials: true,
            tokens_live: 86_399,
            tokens,
            grants,
        }
    }
}

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workspace {
    /// The states of the one team.
    pub states: Vec<WorkflowState>,
    /// The names of those who are there.
    pub users: Vec<String>,
    /// The name of whoever the credentials belong to.
    pub viewer: String,
    /// Tickets.
    pub issues: Vec<Issue>,
    /// Comments, oldest first.
    pub comments: Vec<Comment>,
    /// Links.
    pub attachments: Vec<Attachment>,
    /// Sessions.
    pub sessions: Vec<Session>,
    /// What was said in them, oldest first.
    pub activities: Vec<Activity>,
    /// Requests that are left.
    pub limit: Limit,
    /// Whether GitHub is connected, so that Linear can follow pull requests.
    pub has_github: bool,
    /// The one app.
    pub app: App,
}

impl Default for Workspace {
    fn default() -> Self {
        let states = [
            ("In Review", "started", 4.0),
            ("Done", "completed", 5.0),
            ("Triage", "triage", 0.0),
            ("In Progress", "started", 3.0),
            ("Todo", "unstarted", 2.0),
            ("Canceled", "canceled", 6.0),
            ("Backlog", "backlog", 1.0),
            ("Duplicate", "duplicate", 7.0),
        ];
        let state = |(name, kind, position): (&str, &str, f64)| WorkflowState {
            id: format!("state-{}", name.to_lowercase().replace(' ', "-")),
            name: name.to_owned(),
            kind: kind.to_owned(),
            position,
        };
        Self {
            states: states.into_iter().map(state).collect(),
            users: ["Ada", "Codegen", "Pointsman"].map(str::to_owned).to_vec(),
            viewer: "Pointsman".to_owned(),
            issues: Vec::new(),
            comments: Vec::new(),
            attachments: Vec::new(),
            sessions: Vec::new(),
            activities: Vec::new(),
            limit: Limit { left: MOST_REQUESTS, reset_at_ms: 0 },
            has_github: true,
            app: App::default(),
        }
    }
}

impl Workspace {
    /// There is this ticket now.
    pub fn put_issue(&mut self, issue: Issue) {
        self.issues.retain(|other| other.identifier != issue.identifier);
        self.issues.push(issue);
    }

    /// A session of an agent on a ticket was opened.
    pub fn open_session(&mut self, id: &str, issue: &str) {
        let (id, issue, status) = (id.to_owned(), issue.to_owned(), "pending".to_owned());
        self.sessions.push(Session { id, issue, status, external_urls: Json::Array(Vec::new()), plan: Json::Null });
    }

    /// A ticket by its id or by what people call it.
    pub fn issue(&self, id: &str) -> Option<&Issue> {
        self.issues.iter().find(|issue| issue.id == id || issue.identifier == id)
    }
}
