//! What Claude Code says in headless mode: `claude -p --output-format json --json-schema …`.
//!
//! Rules: code.claude.com, "Headless mode", and what version 2.1 does: failures of the API come with
//! `subtype: "success"` and `is_error: true`, so only `is_error` and the exit code count. Pure.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What is asked for. Inline: references are not followed by every version.
pub const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["verdict","score","issues"],"properties":{"verdict":{"type":"string","enum":["pass","fail"]},"score":{"type":"integer","minimum":0,"maximum":100},"issues":{"type":"array","items":{"type":"object","additionalProperties":false,"required":["severity","message"],"properties":{"severity":{"type":"string","enum":["low","medium","high"]},"message":{"type":"string"},"file":{"type":"string"},"line":{"type":"integer"}}}}}}"#;

/// A judgement of a pull request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Whether it may be merged.
    pub verdict: Judgement,
    /// 0 to 100.
    pub score: u8,
    /// What should be looked at.
    #[serde(deserialize_with = "bounded")]
    pub issues: Vec<Issue>,
}

/// Something that should be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// In words.
    pub message: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<i64>,
}

/// What is known of severities.
const SEVERITIES: [&str; 3] = ["low", "medium", "high"];

impl Verdict {
    /// The verdict, if it keeps to the bounds of the schema; otherwise where it does not.
    pub fn checked(self) -> Result<Self, String> {
        let odd = self.issues.iter().find(|issue| !SEVERITIES.contains(&issue.severity.as_str()));
        match odd {
            _ if self.score > 100 => Err(format!("a score of {}", self.score)),
            Some(issue) => Err(format!("a severity `{}`", issue.severity.chars().take(20).collect::<String>())),
            None => Ok(self),
        }
    }
}

/// Most issues that are kept of a verdict: it is journaled, and whoever has more than these has enough.
const MOST_ISSUES: usize = 100;

/// Most characters of each.
const LONGEST_ISSUE: usize = 2_000;

fn bounded<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Issue>, D::Error> {
    let mut issues = Vec::<Issue>::deserialize(deserializer)?;
    issues.truncate(MOST_ISSUES);
    for issue in &mut issues {
        if let Some((end, _)) = issue.message.char_indices().nth(LONGEST_ISSUE) {
            issue.message.truncate(end);
            issue.message.push('…');
        }
    }
    Ok(issues)
}

/// Whether a pull request may be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// It may.
    Pass,
    /// It may not.
    Fail,
}

/// How the command ended.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Its exit code; absent when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// The last of what it wrote to standard error.
    pub stderr: String,
}

/// Reads the verdict out of what the command wrote, or why there is none.
pub fn read(ended: &Ended) -> Result<Verdict, Failure> {
    let Ok(result) = serde_json::from_slice::<Json>(&ended.stdout) else { return Err(without_result(ended)) };
    let is_error = result.get("is_error").and_then(Json::as_bool).unwrap_or(false);
    if ended.code != Some(0) || is_error {
        return Err(failed(ended, &result));
    }
    // A text that looks like a verdict is none: it may repeat what somebody else wrote.
    let structured = result.get("structured_output").filter(|output| !output.is_null()).cloned();
    let output = structured.ok_or_else(|| wrong("there is no structured output"))?;
    let verdict: Verdict = serde_json::from_value(output).map_err(|error| wrong(&error.to_string()))?;
    verdict.checked().map_err(|reason| wrong(&reason))
}

fn wrong(what: &str) -> Failure {
    Failure::new(ErrorClass::Validation, format!("Claude Code did not answer by the schema: {what}"))
}

/// A failure that the result itself tells of.
fn failed(ended: &Ended, result: &Json) -> Failure {
    let text = |name: &str| result.get(name).and_then(Json::as_str);
    let first_error = result.pointer("/errors/0").and_then(Json::as_str);
    let said = text("result").or(first_error).or(text("subtype")).unwrap_or("(nothing)");
    let failure = |class, remedy: &str| Failure::new(class, format!("Claude Code failed: {said}{remedy}"));
    let not_logged_in = said.contains("Not logged in");
    match result.get("api_error_status").and_then(Json::as_u64) {
        Some(429) => failure(ErrorClass::RateLimit, ""),
        Some(401 | 403) => failure(ErrorClass::Authentication, LOG_IN),
        // 529: overloaded.
        Some(500..) => failure(ErrorClass::ServiceUnavailable, ""),
        Some(_) => failure(ErrorClass::Validation, ""),
        None if not_logged_in => failure(ErrorClass::Authentication, LOG_IN),
        None if text("terminal_reason") == Some("api_error") => failure(ErrorClass::Network, ""),
        None if ended.code.is_none() => without_result(ended),
        None => failure(ErrorClass::Validation, ""),
    }
}

const LOG_IN: &str = "; log in with `claude /login` as the user of this process, or set ANTHROPIC_API_KEY";

/// A command that wrote no result: it was ended, or it does not take what it was given.
fn without_result(ended: &Ended) -> Failure {
    let said = ended.stderr.trim().lines().last().unwrap_or("(nothing on standard error)");
    if ended.code == Some(0) {
        let found: String = String::from_utf8_lossy(&ended.stdout).chars().take(80).collect();
        return wrong(&format!("its output, {} bytes, is not JSON: `{found}`", ended.stdout.len()));
    }
    match ended.code {
        None => Failure::new(ErrorClass::Temporary, format!("Claude Code was ended by a signal: {said}")),
        // A shell's way of saying the same.
        Some(code) if code > 128 => {
            Failure::new(ErrorClass::Temporary, format!("Claude Code was ended by signal {}: {said}", code - 128))
        }
        Some(code) => Failure::new(ErrorClass::Validation, format!("Claude Code ended with {code}: {said}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(code: Option<i32>, stdout: &Json) -> Ended {
        Ended { code, stdout: stdout.to_string().into_bytes(), stderr: String::new() }
    }

    #[test]
    fn a_verdict_is_read_from_the_structured_output_and_from_no_text() {
        let verdict = json!({"verdict": "pass", "score": 92, "issues": []});
        let expect = Verdict { verdict: Judgement::Pass, score: 92, issues: Vec::new() };
        let structured = json!({"type": "result", "is_error": false, "structured_output": verdict});
        assert_eq!(read(&ended(Some(0), &structured)), Ok(expect));
        let text = json!({"type": "result", "is_error": false, "result": verdict.to_string()});
        assert!(read(&ended(Some(0), &text)).unwrap_err().message.contains("no structured output"));
    }

    #[test]
    fn failures_are_classified() {
        let check = |code, result: Json, class| {
            let failure = read(&ended(code, &result)).unwrap_err();
            assert_eq!(failure.class, class, "{failure}");
        };
        let api = |status: u16| json!({"subtype": "success", "is_error": true, "api_error_status": status, "result": "API Error"});
        check(Some(1), api(429), ErrorClass::RateLimit);
        check(Some(1), api(529), ErrorClass::ServiceUnavailable);
        check(Some(1), api(401), ErrorClass::Authentication);
        check(Some(1), api(400), ErrorClass::Validation);
        check(
            Some(1),
            json!({"is_error": true, "result": "Not logged in · Please run /login"}),
            ErrorClass::Authentication,
        );
        check(Some(1), json!({"is_error": true, "terminal_reason": "api_error", "result": "x"}), ErrorClass::Network);
        let turns =
            json!({"subtype": "error_max_turns", "is_error": true, "errors": ["Reached maximum number of turns (2)"]});
        check(Some(1), turns, ErrorClass::Validation);
        check(Some(0), json!({"is_error": false, "result": "fine"}), ErrorClass::Validation);
        let score = json!({"is_error": false, "structured_output": {"verdict": "pass", "score": 101, "issues": []}});
        check(Some(0), score, ErrorClass::Validation);
        let verdict = json!({"is_error": false, "structured_output": {"verdict": "maybe", "score": 1, "issues": []}});
        check(Some(0), verdict, ErrorClass::Validation);
    }

    #[test]
    fn a_command_without_result_says_why() {
        let check = |code, stderr: &str, class, expect: &str| {
            let failure = read(&Ended { code, stdout: Vec::new(), stderr: stderr.into() }).unwrap_err();
            assert_eq!(failure.class, class);
            assert!(failure.message.contains(expect), "{failure}");
        };
        check(Some(1), "warning\nerror: unknown option '--x'\n", ErrorClass::Validation, "unknown option '--x'");
        check(Some(143), "", ErrorClass::Temporary, "signal 15");
        check(None, "", ErrorClass::Temporary, "by a signal");
        let garbage = Ended { code: Some(0), stdout: b"Welcome!".to_vec(), stderr: String::new() };
        assert!(read(&garbage).unwrap_err().message.contains("8 bytes, is not JSON: `Welcome!`"));
    }

    #[test]
    fn what_is_kept_of_a_verdict_is_bounded() {
        let issue = json!({"severity": "low", "message": "x".repeat(9_000), "file": "a", "line": 1});
        let verdict = json!({"verdict": "fail", "score": 1, "issues": vec![issue; 500]});
        let read = read(&ended(Some(0), &json!({"is_error": false, "structured_output": verdict}))).unwrap();
        assert_eq!((read.issues.len(), read.issues[0].message.chars().count()), (MOST_ISSUES, LONGEST_ISSUE + 1));
        let wrong = json!({"verdict": "pass", "score": 1, "issues": ["just a text"]});
        assert!(super::read(&ended(Some(0), &json!({"is_error": false, "structured_output": wrong}))).is_err());
    }

    #[test]
    fn the_schema_is_whole_in_itself() {
        let schema: Json = serde_json::from_str(SCHEMA).unwrap();
        assert!(schema["properties"]["verdict"].is_object() && !SCHEMA.contains("$ref"));
    }
}
