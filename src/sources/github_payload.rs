//! What GitHub's payloads say: facts, and what makes two of them the same occurrence.

use std::collections::BTreeMap;

use pointsman_actors::event::{Facts, Fingerprint, HeadOrder};
use serde::Deserialize;
use serde_json::Value;

use super::loose::{First, Flag, Number, Object, Text};
use super::{body_hash, contains_ignoring_case, is_about_security, is_codegen, is_codegens_branch, ticket};

/// What every comment and review of ours holds, so that a repetition is recognised and none of them is taken for
/// somebody's words.
pub const MARK: &str = "<!-- pointsman:";

/// The parts of a payload that anybody asks for. Everything else is passed over unread.
#[derive(Deserialize, Default, Debug)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Envelope<'a> {
    action: Text<'a>,
    number: Number,
    before: Text<'a>,
    after: Text<'a>,
    #[serde(rename = "ref")]
    git_ref: Text<'a>,
    ref_type: Text<'a>,
    deleted: Flag,
    forced: Flag,
    id: Number,
    sha: Text<'a>,
    state: Text<'a>,
    context: Text<'a>,
    sender: Object<User<'a>>,
    repository: Object<Repository<'a>>,
    organization: Object<User<'a>>,
    pull_request: Object<PullRequest<'a>>,
    issue: Object<Issue<'a>>,
    comment: Object<Item<'a>>,
    review: Object<Item<'a>>,
    label: Object<Named<'a>>,
    assignee: Object<User<'a>>,
    requested_reviewer: Object<User<'a>>,
    requested_team: Object<Named<'a>>,
    workflow_run: Object<Check<'a>>,
    workflow_job: Object<Check<'a>>,
    check_run: Object<Check<'a>>,
    check_suite: Object<Check<'a>>,
    installation: Object<Identified>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct User<'a> {
    login: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default)]
struct Identified {
    id: Number,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Repository<'a> {
    full_name: Text<'a>,
    default_branch: Text<'a>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct PullRequest<'a> {
    id: Number,
    number: Number,
    title: Text<'a>,
    body: Text<'a>,
    draft: Flag,
    merged: Flag,
    mergeable_state: Text<'a>,
    author_association: Text<'a>,
    updated_at: Text<'a>,
    user: Object<User<'a>>,
    head: Object<End<'a>>,
    base: Object<End<'a>>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct End<'a> {
    #[serde(rename = "ref")]
    git_ref: Text<'a>,
    sha: Text<'a>,
    repo: Object<Repository<'a>>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Issue<'a> {
    id: Number,
    number: Number,
    title: Text<'a>,
    body: Text<'a>,
    updated_at: Text<'a>,
    user: Object<User<'a>>,
    pull_request: Object<Nothing>,
}

#[derive(Deserialize, Default, Debug)]
struct Nothing {}

#[derive(Deserialize, Default, Debug)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Item<'a> {
    id: Number,
    body: Text<'a>,
    state: Text<'a>,
    author_association: Text<'a>,
    updated_at: Text<'a>,
    submitted_at: Text<'a>,
    user: Object<User<'a>>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Named<'a> {
    id: Number,
    name: Text<'a>,
}

/// A workflow run, job, check run or check suite.
#[derive(Deserialize, Default, Debug)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Check<'a> {
    id: Number,
    name: Text<'a>,
    status: Text<'a>,
    conclusion: Text<'a>,
    head_sha: Text<'a>,
    head_branch: Text<'a>,
    head_repository: Object<Repository<'a>>,
    event: Text<'a>,
    run_number: Number,
    run_attempt: Number,
    updated_at: Text<'a>,
    pull_requests: First<Numbered>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default)]
struct Numbered {
    number: Number,
}

/// Facts of an event of type `event`.
pub fn facts(event: &str, envelope: &Envelope<'_>) -> Facts {
    let mut facts = Facts {
        event_type: event.to_owned(),
        action: envelope.action.owned(),
        repository: envelope.repository.get(|repository| repository.full_name.owned()),
        sender: envelope.sender.get(|sender| sender.login.owned()),
        sender_is_bot: envelope.sender.get(|sender| Some(is_bot(sender))).unwrap_or(false),
        ..Facts::default()
    };
    if let Some(pull) = &envelope.pull_request.0 {
        of_pull_request(&mut facts, envelope, pull);
    } else if let Some(issue) = &envelope.issue.0 {
        of_issue(&mut facts, issue);
    }
    if event == "push" {
        of_push(&mut facts, envelope);
    }
    if let Some(check) = envelope.check() {
        of_check(&mut facts, check);
    }
    if let Some(comment) = envelope.comment.0.as_ref().or(envelope.review.0.as_ref()) {
        of_comment(&mut facts, comment);
    }
    of_the_rest(&mut facts, envelope);
    facts.fair_key = facts.repository.clone().or_else(|| envelope.organization.get(|owner| owner.login.owned()));
    facts.subject = subject(&facts);
    facts.correlation_keys = correlation_keys(&facts);
    facts
}

fn is_bot(user: &User<'_>) -> bool {
    user.kind.as_str() == "Bot" || user.login.as_str().ends_with("[bot]")
}

fn of_pull_request(facts: &mut Facts, envelope: &Envelope<'_>, pull: &PullRequest<'_>) {
    let head = pull.head.0.as_ref();
    let base = pull.base.0.as_ref();
    let author = pull.user.get(|user| user.login.owned());
    let branch = head.map_or("", |head| head.git_ref.as_str());
    facts.pr_number = pull.number.0.or(envelope.number.0);
    facts.title = pull.title.owned();
    facts.draft = pull.draft.0;
    facts.merged = pull.merged.0;
    facts.head_ref = head.and_then(|head| head.git_ref.owned());
    facts.head_sha = head.and_then(|head| head.sha.owned());
    facts.base_ref = base.and_then(|base| base.git_ref.owned());
    let repository = |end: Option<&End<'_>>| end.and_then(|end| end.repo.get(|repo| repo.full_name.owned()));
    facts.same_repository = head.map(|_| repository(head).is_some() && repository(head) == repository(base));
    facts.head_order = Some(HeadOrder {
        updated_at: pull.updated_at.as_str().to_owned(),
        before: envelope.before.owned(),
        after: facts.head_sha.clone(),
    });
    facts.is_codegen_pr = is_codegen(author.as_deref().unwrap_or_default())
        || is_codegens_branch(branch)
        || is_codegen(pull.title.as_str())
        || contains_ignoring_case(pull.body.as_str(), "@codegen");
    let (title, body) = (pull.title.as_str(), pull.body.as_str());
    set_tickets(facts, ticket::tickets(title, body, branch));
    insert(&mut facts.more, "closes_ticket", ticket::closed(title, body, branch));
    facts.more.insert("is_security".to_owned(), is_about_security(&[title, body]).into());
    insert(&mut facts.more, "author_association", pull.author_association.owned());
    facts.more.insert("conflicts".to_owned(), (pull.mergeable_state.as_str() == "dirty").into());
    facts.author = author;
}

fn of_issue(facts: &mut Facts, issue: &Issue<'_>) {
    facts.title = issue.title.owned();
    facts.author = issue.user.get(|user| user.login.owned());
    set_tickets(facts, ticket::tickets(issue.title.as_str(), issue.body.as_str(), ""));
    if issue.pull_request.0.is_some() {
        facts.pr_number = issue.number.0;
    } else if let Some(number) = issue.number.0 {
        facts.more.insert("issue_number".to_owned(), number.into());
    }
}

fn of_push(facts: &mut Facts, envelope: &Envelope<'_>) {
    let git_ref = envelope.git_ref.as_str();
    let (kind, name) = match git_ref.strip_prefix("refs/heads/") {
        Some(branch) => ("branch", branch),
        None => ("tag", git_ref.strip_prefix("refs/tags/").unwrap_or(git_ref)),
    };
    facts.head_ref = Some(name.to_owned()).filter(|name| !name.is_empty());
    facts.head_sha = envelope.after.owned().filter(|_| !envelope.deleted.0);
    set_tickets(facts, ticket::tickets("", "", name));
    facts.more.insert("ref_type".to_owned(), kind.into());
    facts.more.insert("deleted".to_owned(), envelope.deleted.0.into());
    facts.more.insert("forced".to_owned(), envelope.forced.0.into());
    let default = envelope.repository.get(|repository| repository.default_branch.owned());
    facts.more.insert("is_default_branch".to_owned(), (default.as_deref() == Some(name)).into());
    insert(&mut facts.more, "before", envelope.before.owned());
}

fn of_check(facts: &mut Facts, check: &Check<'_>) {
    facts.conclusion = check.conclusion.owned();
    facts.head_sha = check.head_sha.owned().or_else(|| facts.head_sha.take());
    facts.head_ref = check.head_branch.owned().or_else(|| facts.head_ref.take());
    facts.pr_number = check.pull_requests.0.as_ref().and_then(|pull| pull.number.0).or(facts.pr_number);
    let head = check.head_repository.get(|head| head.full_name.owned());
    facts.same_repository = head.map(|head| Some(head) == facts.repository).or(facts.same_repository);
    insert(&mut facts.more, "run_event", check.event.owned());
    insert(&mut facts.more, "run_id", check.id.0);
    insert(&mut facts.more, "run_number", check.run_number.0);
    insert(&mut facts.more, "run_attempt", check.run_attempt.0);
    insert(&mut facts.more, "run_name", check.name.owned());
    insert(&mut facts.more, "run_status", check.status.owned());
}

fn of_comment(facts: &mut Facts, comment: &Item<'_>) {
    insert(&mut facts.more, "comment_id", comment.id.0);
    insert(&mut facts.more, "comment_author", comment.user.get(|user| user.login.owned()));
    insert(&mut facts.more, "review_state", comment.state.owned());
    insert(&mut facts.more, "author_association", comment.author_association.owned());
    let body = comment.body.as_str();
    // Who talks about Codegen asks nothing of it; whoever names it as one is named does.
    facts.more.insert("mentions_codegen".to_owned(), contains_ignoring_case(body, "@codegen").into());
    facts.more.insert("is_ours".to_owned(), body.contains(MARK).into());
    facts.more.insert("is_security".to_owned(), is_about_security(&[body]).into());
}

fn of_the_rest(facts: &mut Facts, envelope: &Envelope<'_>) {
    insert(&mut facts.more, "label", envelope.label.get(|label| label.name.owned()));
    insert(&mut facts.more, "requested_reviewer", envelope.requested_reviewer.get(|user| user.login.owned()));
    insert(&mut facts.more, "requested_team", envelope.requested_team.get(|team| team.name.owned()));
    insert(&mut facts.more, "installation_id", envelope.installation.get(|installation| installation.id.0));
    if facts.event_type == "status" {
        facts.head_sha = envelope.sha.owned();
        facts.conclusion = envelope.state.owned();
        insert(&mut facts.more, "context", envelope.context.owned());
    }
    if facts.event_type == "create" || facts.event_type == "delete" {
        facts.head_ref = envelope.git_ref.owned();
        insert(&mut facts.more, "ref_type", envelope.ref_type.owned());
    }
}

fn insert(more: &mut BTreeMap<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        more.insert(name.to_owned(), value.into());
    }
}

fn set_tickets(facts: &mut Facts, tickets: Vec<String>) {
    facts.linear_ticket = tickets.first().cloned();
    facts.linear_tickets = tickets;
}

fn subject(facts: &Facts) -> Option<String> {
    let repository = facts.repository.as_deref()?;
    let issue = facts.more.get("issue_number").and_then(Value::as_u64);
    Some(match (facts.pr_number.or(issue), &facts.head_ref) {
        (Some(number), _) => format!("{repository}#{number}"),
        (None, Some(branch)) => format!("{repository}@{branch}"),
        (None, None) => repository.to_owned(),
    })
}

fn correlation_keys(facts: &Facts) -> Vec<String> {
    let Some(repository) = &facts.repository else { return Vec::new() };
    let pull = facts.pr_number.map(|number| format!("github:pr:{repository}#{number}"));
    let head = facts.head_sha.as_ref().map(|sha| format!("github:sha:{repository}@{sha}"));
    pull.into_iter().chain(head).collect()
}

impl<'a> Envelope<'a> {
    fn check(&self) -> Option<&Check<'a>> {
        let checks = [&self.workflow_run, &self.workflow_job, &self.check_run, &self.check_suite];
        checks.into_iter().find_map(|check| check.0.as_ref())
    }
}

/// What makes two payloads the same occurrence, for the types whose distinguishing parts are known;
/// merging two different occurrences would lose one, so anything else is compared as a whole.
pub fn fingerprint(event: &str, envelope: &Envelope<'_>) -> Option<Fingerprint> {
    let text = |text: &Text<'_>| text.as_str().to_owned();
    let number = |number: Number| number.0.map(|number| number.to_string()).unwrap_or_default();
    let repository = envelope.repository.get(|repository| repository.full_name.owned())?;
    let mut parts = vec![event.to_owned(), text(&envelope.action), repository];
    match event {
        "pull_request" => {
            let pull = envelope.pull_request.0.as_ref()?;
            let head = pull.head.get(|head| head.sha.owned())?;
            parts.extend([number(pull.id), number(pull.number), head, text(&pull.updated_at), text(&envelope.before)]);
            parts.push(envelope.label.get(|label| label.name.owned()).unwrap_or_default());
            parts.push(envelope.assignee.get(|user| user.login.owned()).unwrap_or_default());
            parts.push(envelope.requested_reviewer.get(|user| user.login.owned()).unwrap_or_default());
            parts.push(envelope.requested_team.get(|team| team.name.owned()).unwrap_or_default());
        }
        "push" => parts.extend([text(&envelope.git_ref), text(&envelope.before), text(&envelope.after)]),
        "issue_comment" | "pull_request_review_comment" => {
            let comment = envelope.comment.0.as_ref()?;
            parts.extend([number(comment.id), text(&comment.updated_at)]);
        }
        "pull_request_review" => {
            let review = envelope.review.0.as_ref()?;
            // A review has no `updated_at`: what an edit changes is its text.
            let body = body_hash(review.body.as_str().as_bytes());
            parts.extend([number(review.id), text(&review.state), text(&review.submitted_at), body]);
        }
        // A check run has no `updated_at` and can be completed again, so it is compared as a whole.
        "workflow_run" | "workflow_job" => {
            let check = envelope.check()?;
            parts.extend([number(check.id), number(check.run_attempt), text(&check.status)]);
            parts.extend([text(&check.conclusion), text(&check.updated_at)]);
        }
        _ => return None,
    }
    Some(Fingerprint(parts))
}

/// The fingerprint of a payload that is compared as a whole.
pub fn fingerprint_of_all(event: &str, payload: &[u8]) -> Fingerprint {
    Fingerprint(vec![event.to_owned(), body_hash(payload)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts_of(event: &str, payload: &Value) -> Facts {
        let text = payload.to_string();
        facts(event, &super::super::loose::read(text.as_bytes()).unwrap().unwrap())
    }

    #[test]
    fn a_remark_asks_nothing_and_our_own_words_are_known() {
        let said = |body: &str| {
            let comment = json!({"id": 3, "body": body, "author_association": "MEMBER"});
            let payload = json!({"issue": {"number": 7}, "comment": comment, "repository": {"full_name": "o/r"}});
            facts_of("issue_comment", &payload).more
        };
        let remark = said("the author of codegen");
        assert!(["mentions_codegen", "is_ours", "is_security"].iter().all(|name| remark[*name] == false), "{remark:?}");
        assert_eq!(
            (&remark["author_association"], &said("@Codegen do")["mentions_codegen"]),
            (&json!("MEMBER"), &json!(true))
        );
        assert_eq!(said("done <!-- pointsman:run_1/s -->")["is_ours"], true);
        assert_eq!(said("CVE-2026-1: no auth.")["is_security"], true);
    }

    #[test]
    fn a_run_says_whose_commit_it_is_about() {
        let of = |head: Value| {
            let run = json!({"id": 9, "event": "pull_request", "head_repository": {"full_name": head}});
            facts_of("workflow_run", &json!({"workflow_run": run, "repository": {"full_name": "o/r"}}))
        };
        assert_eq!((of("o/r".into()).same_repository, of("fork/r".into()).same_repository), (Some(true), Some(false)));
        assert_eq!(
            (of(Value::Null).same_repository, &of(Value::Null).more["run_event"]),
            (None, &json!("pull_request"))
        );
    }
}
