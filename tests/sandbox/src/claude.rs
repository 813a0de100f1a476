//! What the fake `claude` is told when it asks what to say.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::server::{Reply, Request};
use crate::world::State;

/// What a `claude` says and does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// `pass` or `fail`.
    pub verdict: String,
    /// 0 to 100.
    pub score: i64,
    /// What it found.
    pub issues: Vec<Json>,
    /// Milliseconds that it takes.
    pub delay_ms: u64,
    /// Written instead of the result.
    pub stdout: Option<String>,
    /// Its exit code.
    pub exit_code: i32,
    /// Whether it comes to no end: its turns are used up.
    pub reaches_max_turns: bool,
    /// The status with which its own API failed.
    pub api_error_status: Option<u16>,
    /// Whether it starts a program that stays.
    pub leaves_a_child: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            verdict: "pass".to_owned(),
            score: 92,
            issues: Vec::new(),
            delay_ms: 0,
            stdout: None,
            exit_code: 0,
            reaches_max_turns: false,
            api_error_status: None,
            leaves_a_child: false,
        }
    }
}

/// A prompt with this in it is judged badly, unless something else is planned.
pub const FAIL_MARK: &str = "sandbox:fail";

/// Answers a call of the fake `claude`.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    let body = request.json();
    let failing = body.get("prompt").and_then(Json::as_str).is_some_and(|prompt| prompt.contains(FAIL_MARK));
    let plan = if state.claude_next.is_empty() { None } else { Some(state.claude_next.remove(0)) };
    let plan = plan.unwrap_or_else(|| {
        let issue = json!({"severity": "high", "message": "it says so itself", "file": "src/lib.rs", "line": 1});
        let usual = state.claude.clone();
        if failing { Plan { verdict: "fail".to_owned(), score: 35, issues: vec![issue], ..usual } } else { usual }
    });
    Reply::json(200, json!(plan))
}
