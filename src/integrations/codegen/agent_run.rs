//! An agent run, as Codegen shows it. Pure.
//!
//! Rules: docs.codegen.com, "API reference", `AgentRunResponse`. What `status` may be is documented nowhere; the known
//! values are those that Codegen's own terminal client (codegen-sh/codegen, Apache-2.0) tells apart, in either case of
//! letters.

use serde::Serialize;
use serde_json::Value as Json;

/// Longest result that is kept: what the agent says is for people.
const LONGEST_RESULT: usize = 10_000;

/// An agent run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentRun {
    /// Its number.
    pub run_id: u64,
    /// What Codegen calls its state.
    pub status: Option<String>,
    /// Where people look at it.
    pub web_url: Option<String>,
    /// What the agent says in the end.
    pub result: Option<String>,
    /// The pull request that it has opened, the last one if there are several.
    #[serde(flatten)]
    pub pull: OpenedPull,
}

/// A pull request that an agent has opened. Nothing of it is there when none was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpenedPull {
    /// Its address.
    pub pr_url: Option<String>,
    /// Its number, which stands only in its address.
    pub pr_number: Option<u64>,
    /// The branch at its head.
    pub head_branch: Option<String>,
}

/// How an agent run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on; also whatever nobody knows of.
    AtWork,
    /// It has done what it should.
    Done,
    /// It has ended otherwise.
    Failed,
}

impl AgentRun {
    /// Reads one; nothing if it has no number.
    pub fn read(json: &Json) -> Option<Self> {
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        let result = text("result").or_else(|| text("summary"));
        Some(Self {
            run_id: json.get("id")?.as_u64()?,
            status: text("status"),
            web_url: text("web_url"),
            result: result.map(|result| result.chars().take(LONGEST_RESULT).collect()),
            pull: OpenedPull::read(json),
        })
    }

    /// Whether it says itself that it is at work, in a word that we know.
    pub fn says_that_it_works(&self) -> bool {
        let status = self.status.as_deref().unwrap_or_default().to_uppercase();
        ["PENDING", "RUNNING", "ACTIVE", "EVALUATION", "QUEUED", "IN_PROGRESS"].contains(&status.as_str())
    }

    /// How it is.
    pub fn standing(&self) -> Standing {
        match self.status.as_deref().unwrap_or_default().to_uppercase().as_str() {
            "COMPLETE" | "COMPLETED" => Standing::Done,
            "ERROR" | "FAILED" | "CANCELLED" | "STOPPED" | "TIMEOUT" | "MAX_ITERATIONS_REACHED" | "OUT_OF_TOKENS" => {
                Standing::Failed
            }
            _ => Standing::AtWork,
        }
    }

    /// The key under which it calls back.
    pub fn correlation_key(&self) -> String {
        format!("codegen:run:{}", self.run_id)
    }
}

impl OpenedPull {
    fn read(run: &Json) -> Self {
        let last = run.get("github_pull_requests").and_then(Json::as_array).and_then(|pulls| pulls.last());
        let text = |name: &str| last.and_then(|pull| pull.get(name)?.as_str()).map(str::to_owned);
        let pr_url = text("url");
        Self { pr_number: pr_url.as_deref().and_then(pull_number), pr_url, head_branch: text("head_branch_name") }
    }
}

/// The number in the address of a pull request.
pub fn pull_number(url: &str) -> Option<u64> {
    let (_, rest) = url.split_once("/pull/")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| rest.get(..end).unwrap_or_default());
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_that_nobody_knows_goes_on() {
        let check = |statuses: &[&str], standing| {
            for status in statuses {
                let run = AgentRun::read(&json!({ "id": 1, "status": status })).unwrap();
                assert_eq!(run.standing(), standing, "{status}");
            }
        };
        check(&["COMPLETE", "complete", "completed", "Completed"], Standing::Done);
        check(&["ERROR", "FAILED", "CANCELLED", "STOPPED", "TIMEOUT"], Standing::Failed);
        check(&["MAX_ITERATIONS_REACHED", "out_of_tokens", "failed"], Standing::Failed);
        check(&["PENDING", "RUNNING", "ACTIVE", "EVALUATION", "queued", "in_progress", "PAUSED", ""], Standing::AtWork);
        assert_eq!(AgentRun::read(&json!({ "id": 1 })).unwrap().standing(), Standing::AtWork);
    }

    #[test]
    fn the_last_pull_request_is_the_one_and_its_number_stands_in_its_address() {
        let pull = |url: &str| json!({ "id": 900, "url": url, "created_at": "-", "head_branch_name": "codegen/x" });
        let run = json!({
            "id": 17, "organization_id": 1, "status": "COMPLETE", "summary": "done", "result": null,
            "github_pull_requests": [pull("https://github.com/a/b/pull/3"), pull("https://github.com/a/b/pull/5#top")],
        });
        let run = AgentRun::read(&run).unwrap();
        assert_eq!((run.run_id, run.result.as_deref(), run.pull.pr_number), (17, Some("done"), Some(5)));
        assert_eq!(run.pull.head_branch.as_deref(), Some("codegen/x"));
        let shown = serde_json::to_value(&run).unwrap();
        assert_eq!(shown["pr_url"], "https://github.com/a/b/pull/5#top");
        assert_eq!(pull_number("https://github.com/a/b/pull/x"), None);
        assert_eq!(AgentRun::read(&json!({ "organization_id": 1 })), None);
    }
}
