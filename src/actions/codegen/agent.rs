//! What the actions that begin agent runs have in common: how a run is asked after, and what its end says of the step.

use pointsman_actors::event::Event;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::executor::port::{Accepts, Answer, Inquiry, Outcome, Parameter, Success, WaitInfo};
use serde_json::Value as Json;

use crate::integrations::codegen::{AgentRun, Codegen, Standing};

/// The service, as its breaker is called.
pub const CODEGEN: &str = "codegen";

/// What actions call that ask nobody else.
pub const SERVICES: &[&str] = &[CODEGEN];

/// What calls a run back.
pub const WAITS: WaitInfo =
    WaitInfo { kind: "codegen:run", source: "codegen", event: "generation", actions: &["complete", "failed"] };

/// The repository that the agent works in, such as `owner/name`.
pub const REPOSITORY: Parameter = Parameter { name: "repository", accepts: Accepts::Text, default: None };

/// The model; empty for that of the organisation.
pub const MODEL: Parameter = Parameter { name: "model", accepts: Accepts::OptionalText, default: Some("") };

/// The agent; empty for that of the organisation.
pub const AGENT_TYPE: Parameter =
    Parameter { name: "agent_type", accepts: Accepts::OneOf(&AGENT_TYPES), default: Some("") };

/// What the agent run is for, such as a ticket: others can be looked for by that. Empty for nothing.
pub const SUBJECT: Parameter = Parameter { name: "subject", accepts: Accepts::OptionalText, default: Some("") };

/// The agents that Codegen has.
static AGENT_TYPES: [&str; 3] = ["", "codegen", "claude_code"];

/// Why the actions cannot be used.
pub const NOT_CONFIGURED: &str = "Codegen is not configured; set CODEGEN_API_TOKEN and CODEGEN_ORG_ID";

/// The same, as the failure of a step.
pub fn not_configured() -> Failure {
    Failure::new(ErrorClass::Authentication, NOT_CONFIGURED)
}

/// A run has begun: the step waits for its end.
pub fn begun(run: &AgentRun) -> Success {
    Success::Waiting { keys: vec![run.correlation_key()], output: shown(run) }
}

/// Asks whether a run has ended.
pub async fn asked(codegen: &Codegen, inquiry: &Inquiry) -> Answer {
    let Some(run_id) = inquiry.output.get("run_id").and_then(Json::as_u64) else {
        let message = format!("`{}` does not know the number of its agent run", inquiry.step);
        return Err(Failure::new(ErrorClass::Internal, message));
    };
    match codegen.run(run_id).await {
        Ok(run) => Ok(ended(&run)),
        // It was there, and will not be again.
        Err(failure) if failure.class == ErrorClass::NotFound => Ok(Some(Err(failure))),
        Err(failure) => Err(failure),
    }
}

/// What the end of a run says of its step; nothing as long as it is at work. One that failed is not begun again: what an
/// agent could not do once costs as much the second time.
pub fn ended(run: &AgentRun) -> Option<Outcome> {
    match run.standing() {
        Standing::AtWork => None,
        Standing::Done => Some(Ok(Success::Done(shown(run)))),
        Standing::Failed => {
            let said = run.result.as_deref().unwrap_or("it says nothing of why");
            let status = run.status.as_deref().unwrap_or_default();
            Some(Err(failed(run.run_id, status, said, run.web_url.as_deref())))
        }
    }
}

/// What an event says of the step whose attempt gave `output`.
pub fn called(event: &Event, output: &Json) -> Outcome {
    let facts = &event.meta.facts;
    let more = |name: &str| facts.more.get(name).and_then(Json::as_str);
    let run_id = output.get("run_id").and_then(Json::as_u64);
    let run_id = run_id.or_else(|| more("run_id")?.parse().ok()).unwrap_or_default();
    let status = facts.conclusion.as_deref();
    if facts.action.as_deref() == Some("failed") {
        let said = more("error").unwrap_or("it says nothing of why");
        return Err(failed(run_id, status.unwrap_or("failed"), said, output.get("web_url").and_then(Json::as_str)));
    }
    let pr_url = more("pr_url").map(str::to_owned);
    let from_url = pr_url.as_deref().and_then(crate::integrations::codegen::agent_run::pull_number);
    let mut shown = match output {
        Json::Object(output) => output.clone(),
        _ => serde_json::Map::new(),
    };
    let learned = [
        ("run_id", Some(Json::from(run_id))),
        ("status", Some(Json::from(status.unwrap_or("complete")))),
        ("pr_url", pr_url.map(Json::from)),
        ("pr_number", facts.pr_number.or(from_url).map(Json::from)),
        ("head_branch", facts.head_ref.clone().map(Json::from)),
    ];
    shown.extend(learned.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(Success::Done(Json::Object(shown)))
}

fn failed(run_id: u64, status: &str, said: &str, web_url: Option<&str>) -> Failure {
    let at = web_url.map_or_else(String::new, |url| format!("; {url}"));
    Failure::new(ErrorClass::RunFailed, format!("the agent run {run_id} ended as {status}: {said}{at}"))
}

pub(super) fn shown(run: &AgentRun) -> Json {
    serde_json::to_value(run).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use pointsman_actors::event::{EventMeta, Facts, SourceName, Verdict};
    use pointsman_actors::ids::EventId;
    use pointsman_actors::time::Timestamp;
    use serde_json::json;

    use super::*;

    fn run(status: &str) -> AgentRun {
        let run = json!({ "id": 17, "status": status, "web_url": "https://codegen.com/17", "result": "no tests" });
        AgentRun::read(&run).unwrap()
    }

    #[test]
    fn a_run_that_failed_fails_the_step_for_good_in_the_providers_words() {
        assert_eq!(ended(&run("RUNNING")), None);
        let failure = ended(&run("OUT_OF_TOKENS")).unwrap().unwrap_err();
        assert!(!failure.class.is_retryable());
        let text = "the agent run 17 ended as OUT_OF_TOKENS: no tests; https://codegen.com/17";
        assert_eq!(failure.message, text);
        let Ok(Success::Done(output)) = ended(&run("complete")).unwrap() else { panic!() };
        assert_eq!((output["run_id"].as_u64(), output["status"].as_str()), (Some(17), Some("complete")));
    }

    fn event(action: &str, facts: Facts) -> Event {
        let facts = Facts { event_type: "generation".into(), action: Some(action.into()), ..facts };
        let meta = EventMeta {
            redacted: 0,
            id: EventId::first_at(Timestamp::from_millis(1)),
            source: SourceName::new("codegen"),
            received_at: Timestamp::from_millis(1),
            delivery_id: "d".into(),
            peer: None,
            headers: Vec::new(),
            facts,
            payload_bytes: 2,
        };
        let verdict = Verdict::Started { runs: Vec::new(), waits: Vec::new() };
        Event { meta, verdict, history: Vec::new(), payload: None }
    }

    #[test]
    fn a_callback_says_what_it_knows_and_the_attempt_the_rest() {
        let begun = json!({ "run_id": 17, "web_url": "https://codegen.com/17", "status": "ACTIVE", "pr_url": null });
        let mut facts = Facts { head_ref: Some("codegen/x".into()), ..Facts::default() };
        facts.more.insert("pr_url".into(), "https://github.com/a/b/pull/5".into());
        let Ok(Success::Done(output)) = called(&event("complete", facts.clone()), &begun) else { panic!() };
        let expect = json!({
            "run_id": 17, "web_url": "https://codegen.com/17", "status": "complete",
            "pr_url": "https://github.com/a/b/pull/5", "pr_number": 5, "head_branch": "codegen/x",
        });
        assert_eq!(output, expect);
        facts.more.insert("error".into(), "no tests".into());
        let failure = called(&event("failed", facts), &begun).unwrap_err();
        assert_eq!(failure.class, ErrorClass::RunFailed);
        assert!(failure.message.starts_with("the agent run 17 ended as failed: no tests"), "{failure}");
    }
}
