//! Linear: raw hex HMAC over the body, and a signed timestamp in it.
//!
//! Protocol: linear.app/developers, "Webhooks" and "Agent interaction"; what the official SDK's
//! receiver accepts was measured.

use std::collections::BTreeMap;

use pointsman_actors::event::{Delivery, Facts, Fingerprint, Headers, Reading, SourceName};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::{Proof, Source};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::loose::{self, Number, Object, Text};
use super::{SourceSettings, body_hash, is_about_security, is_codegen, is_json, signature, stored};

const DELIVERY: &str = "linear-delivery";
const STORED: [&str; 4] = [DELIVERY, "linear-event", "user-agent", "content-type"];

/// How the comment begins under which Linear itself opens the thread of a session that nobody's comment has opened, but a
/// delegation. No document says so; whoever receives sessions has seen it (ceedaragents/cyrus, "isMentionTriggered").
const OPENS_THREAD: &str = "This thread is for an agent session";

/// The source.
pub struct Linear {
    settings: SourceSettings,
}

impl Linear {
    /// The source with these settings.
    pub fn new(settings: SourceSettings) -> Self {
        Self { settings }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Payload<'a> {
    action: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    #[serde(rename = "createdAt")]
    created_at: Text<'a>,
    actor: Object<Person<'a>>,
    data: Object<Entity<'a>>,
    #[serde(rename = "agentSession")]
    agent_session: Object<Session<'a>>,
    #[serde(rename = "agentActivity")]
    agent_activity: Object<Activity<'a>>,
    #[serde(rename = "appUserId")]
    app_user_id: Text<'a>,
    #[serde(borrow, rename = "updatedFrom")]
    updated_from: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Person<'a> {
    id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    name: Text<'a>,
    email: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Entity<'a> {
    id: Text<'a>,
    identifier: Text<'a>,
    title: Text<'a>,
    description: Text<'a>,
    #[serde(rename = "updatedAt")]
    updated_at: Text<'a>,
    priority: Number,
    state: Object<State<'a>>,
    team: Object<Team<'a>>,
    assignee: Object<Person<'a>>,
    delegate: Object<Person<'a>>,
    creator: Object<Person<'a>>,
    user: Object<Person<'a>>,
    issue: Object<Issue<'a>>,
    #[serde(rename = "issueId")]
    issue_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct State<'a> {
    name: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Team<'a> {
    key: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Issue<'a> {
    id: Text<'a>,
    identifier: Text<'a>,
    title: Text<'a>,
    team: Object<Team<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Session<'a> {
    id: Text<'a>,
    issue: Object<Issue<'a>>,
    #[serde(rename = "issueId")]
    issue_id: Text<'a>,
    creator: Object<Person<'a>>,
    status: Text<'a>,
    comment: Object<Said<'a>>,
}

/// A comment, or what was said in a session.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: Text<'a>,
    body: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Activity<'a> {
    id: Text<'a>,
    signal: Text<'a>,
    content: Object<Said<'a>>,
}

/// The one field that must be what it should be.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Signed {
    #[serde(rename = "webhookTimestamp")]
    timestamp: Number,
}

impl Source for Linear {
    fn name(&self) -> &SourceName {
        &self.settings.name
    }

    fn inspect(&self, headers: &Headers) -> Result<(), Refusal> {
        if !self.settings.allow_unsigned {
            signature::code_in(headers, signature::LINEAR, "")?;
        }
        if is_json(headers)? { Ok(()) } else { Err(Refusal::WrongContentType) }
    }

    fn authenticate(&self, delivery: &Delivery, now: Timestamp) -> Result<Proof, Refusal> {
        if self.settings.allow_unsigned {
            return Ok(Proof(None));
        }
        let code = signature::code_in(&delivery.headers, signature::LINEAR, "")?;
        let proof = signature::verify(&self.settings.secrets, &delivery.body, &code, now)?;
        // The header `Linear-Timestamp` is not signed; only the body's field counts, in milliseconds.
        let signed: Option<Signed> = loose::read(&delivery.body).map_err(|_| Refusal::NotJson)?;
        let millis = signed.and_then(|signed| signed.timestamp.0).ok_or(Refusal::TimestampInvalid)?;
        let millis = i64::try_from(millis).map_err(|_| Refusal::TimestampInvalid)?;
        signature::within(Timestamp::from_millis(millis), now, self.settings.timestamp_tolerance)?;
        Ok(proof)
    }

    fn proved(&self, proof: Proof, at: Timestamp) {
        self.settings.secrets.note(proof, at);
    }

    fn read(&self, delivery: &Delivery) -> Result<Reading, Refusal> {
        let payload: Option<Payload<'_>> = loose::read(&delivery.body).map_err(|_| Refusal::NotJson)?;
        let payload = payload.unwrap_or_default();
        let facts = facts(&payload);
        let delivery_id = delivery.headers.text(DELIVERY).filter(|id| !id.is_empty());
        Ok(Reading {
            redacted: 0,
            payload: delivery.body.clone(),
            delivery_id: delivery_id.map_or_else(|| body_hash(&delivery.body), str::to_owned),
            hook: None,
            fingerprint: fingerprint(&payload),
            ignored: self.settings.ignores(&facts),
            headers: stored(&delivery.headers, &STORED),
            facts,
        })
    }

    fn headers(&self) -> Vec<&str> {
        const READ: [&str; 5] = {
            let [a, b, c, d] = STORED;
            [a, b, c, d, signature::LINEAR]
        };
        READ.to_vec()
    }
}

/// Linear names types in camel case (`AgentSessionEvent`, `IssueSLA`); facts say `agent_session`, `issue_sla`.
fn type_name(kind: &str) -> String {
    let (mut name, mut after_lower) = (String::new(), false);
    for letter in kind.strip_suffix("Event").filter(|rest| !rest.is_empty()).unwrap_or(kind).chars() {
        if letter.is_ascii_uppercase() && after_lower {
            name.push('_');
        }
        after_lower = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn facts(payload: &Payload<'_>) -> Facts {
    let mut facts = Facts {
        event_type: type_name(payload.kind.as_str()),
        action: payload.action.owned(),
        sender: payload.actor.get(|actor| actor.name.owned()),
        sender_is_bot: payload.actor.get(|actor| Some(is_program(actor.kind.as_str()))).unwrap_or(false),
        changes: changes(payload.updated_from),
        ..Facts::default()
    };
    if let Some(entity) = &payload.data.0 {
        of_entity(&mut facts, entity);
        if facts.event_type == "issue" {
            of_assignment(&mut facts, entity);
        }
    }
    if let Some(session) = &payload.agent_session.0 {
        of_session(&mut facts, session, payload.agent_activity.0.as_ref());
    }
    // When the event was made: a ticket that is removed keeps the time of its last change.
    let of_payload = [("app_user_id", &payload.app_user_id), ("created_at", &payload.created_at)];
    facts.more.extend(of_payload.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.owned()?.into()))));
    // It is Linear's own word for the issue, whatever it looks like.
    facts.linear_ticket = facts.subject.clone();
    facts.linear_tickets = facts.linear_ticket.iter().cloned().collect();
    facts.fair_key = facts.team.clone();
    facts.correlation_keys = facts.issue_id.iter().map(|id| format!("linear:issue:{id}")).collect();
    if let Some(Value::String(session)) = facts.more.get("agent_session_id") {
        facts.correlation_keys.push(format!("linear:agent_session:{session}"));
    }
    facts
}

/// Actors are people (`user`) or programs; which case their types are written in differs between documents
/// and deliveries.
fn is_program(kind: &str) -> bool {
    let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    matches!(kind.as_str(), "oauthclient" | "integration" | "app" | "bot")
}

fn of_entity(facts: &mut Facts, entity: &Entity<'_>) {
    let (name, codegen) = (|person: &Person<'_>| person.name.owned(), |person: &Person<'_>| Some(is_agent(person)));
    facts.title = entity.title.owned();
    facts.subject = entity.identifier.owned();
    facts.state = entity.state.get(|state| state.name.owned());
    facts.state_type = entity.state.get(|state| state.kind.owned());
    facts.priority = entity.priority.0;
    facts.team = entity.team.get(|team| team.key.owned());
    facts.assignee = entity.assignee.get(name);
    facts.delegate = entity.delegate.get(name);
    facts.assigned_to_codegen =
        [&entity.assignee, &entity.delegate].into_iter().any(|person| person.get(codegen) == Some(true));
    facts.author = entity.creator.get(name).or_else(|| entity.user.get(name));
    match facts.event_type.as_str() {
        "issue" => {
            facts.issue_id = entity.id.owned();
            let is_security = is_about_security(&[entity.title.as_str(), entity.description.as_str()]);
            facts.more.insert("is_security".to_owned(), is_security.into());
            let more = [
                ("updated_at", entity.updated_at.owned()),
                ("delegate_id", entity.delegate.get(|delegate| delegate.id.owned())),
            ];
            facts.more.extend(more.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
        }
        _ => {
            facts.issue_id = entity.issue_id.owned();
            if facts.event_type == "comment" {
                facts.more.extend(entity.id.owned().map(|id| ("comment_id".to_owned(), id.into())));
            }
        }
    }
    if let Some(issue) = &entity.issue.0 {
        of_issue(facts, issue);
    }
}

/// Who had the issue before, and what happened to that: `assignee_change` and `delegate_change` are `added`,
/// `removed` or `replaced`. Of those before, Linear sends the ids alone, so `was_assigned_to_codegen` is there only
/// when it is known.
fn of_assignment(facts: &mut Facts, entity: &Entity<'_>) {
    let is_new = facts.action.as_deref() == Some("create");
    let before = |key: &str, person: &Object<Person<'_>>| match facts.changes.get(key) {
        _ if is_new => Some(false),
        Some(Value::Null) => Some(false),
        Some(_) => None,
        None => Some(person.get(|person| Some(is_agent(person))) == Some(true)),
    };
    let was = [before("assigneeId", &entity.assignee), before("delegateId", &entity.delegate)];
    let was = match was {
        [Some(true), _] | [_, Some(true)] => Some(true),
        [Some(false), Some(false)] => Some(false),
        _ => None,
    };
    let change = |key: &str, person: &Object<Person<'_>>| match (facts.changes.get(key)?, person.0.is_some()) {
        (Value::Null, true) => Some("added"),
        (Value::Null, false) => None,
        (_, true) => Some("replaced"),
        (_, false) => Some("removed"),
    };
    let changed = [
        ("assignee_change", change("assigneeId", &entity.assignee)),
        ("delegate_change", change("delegateId", &entity.delegate)),
    ];
    let changed = changed.into_iter().filter_map(|(name, change)| Some((name.to_owned(), change?.into())));
    facts.more.extend(changed.collect::<Vec<_>>());
    facts.more.extend(was.map(|was| ("was_assigned_to_codegen".to_owned(), was.into())));
}

fn of_session(facts: &mut Facts, session: &Session<'_>, activity: Option<&Activity<'_>>) {
    facts.issue_id = session.issue_id.owned();
    facts.author = session.creator.get(|creator| creator.name.owned());
    let content = activity.and_then(|activity| activity.content.0.as_ref());
    // What somebody has just said; a session that a comment has opened begins with that.
    let said = content.and_then(|said| said.body.owned());
    let opened_by = session.comment.get(|comment| comment.body.owned()).filter(|body| !body.starts_with(OPENS_THREAD));
    let prompt = said.or(opened_by);
    let more = [
        ("agent_session_id", session.id.owned()),
        ("agent_session_status", session.status.owned()),
        ("agent_activity_id", activity.and_then(|activity| activity.id.owned())),
        ("agent_activity_type", content.and_then(|said| said.kind.owned())),
        ("signal", activity.and_then(|activity| activity.signal.owned())),
        ("prompt", prompt),
    ];
    facts.more.extend(more.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    if let Some(issue) = &session.issue.0 {
        of_issue(facts, issue);
    }
}

fn of_issue(facts: &mut Facts, issue: &Issue<'_>) {
    facts.issue_id = issue.id.owned().or_else(|| facts.issue_id.take());
    facts.subject = issue.identifier.owned().or_else(|| facts.subject.take());
    facts.title = facts.title.take().or_else(|| issue.title.owned());
    facts.team = issue.team.get(|team| team.key.owned()).or_else(|| facts.team.take());
}

fn is_agent(person: &Person<'_>) -> bool {
    is_codegen(person.name.as_str()) || is_codegen(person.email.as_str())
}

/// What changed is what `updatedFrom` has a key for; its value is what was there before, `null` if nothing was.
fn changes(updated_from: Option<&RawValue>) -> BTreeMap<String, Value> {
    updated_from.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// Whether a retry carries the same delivery id is not documented, so the content decides as well.
fn fingerprint(payload: &Payload<'_>) -> Option<Fingerprint> {
    let what = payload
        .data
        .get(|entity| entity.id.owned())
        .or_else(|| payload.agent_session.get(|session| session.id.owned()))?;
    let when = payload.data.get(|entity| entity.updated_at.owned()).or_else(|| payload.created_at.owned())?;
    let activity = payload.agent_activity.get(|activity| activity.id.owned()).unwrap_or_default();
    let changed = payload.updated_from.map_or_else(String::new, |raw| body_hash(raw.get().as_bytes()));
    let (kind, action) = (payload.kind.as_str().to_owned(), payload.action.as_str().to_owned());
    Some(Fingerprint(vec![kind, action, what, when, activity, changed]))
}
