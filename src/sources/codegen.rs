//! Codegen: it documents no webhooks of its own, so this is our contract: `X-Codegen-Signature`
//! (`sha256=` and hex over the raw body), or Standard Webhooks 1.0.0.

use pointsman_actors::event::{Delivery, Facts, Fingerprint, Headers, Reading, SourceName};
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::{Proof, Source};
use serde::Deserialize;
use serde_json::Value;

use super::loose::{self, Id, Number, Object, Text};
use super::signature::{self, Standard};
use super::{SourceSettings, body_hash, is_json, stored};

const SIGNATURE: &str = "x-codegen-signature";
const STORED: [&str; 4] = [Standard::ID, Standard::TIMESTAMP, "user-agent", "content-type"];

/// The source.
pub struct Codegen {
    settings: SourceSettings,
}

impl Codegen {
    /// The source with these settings.
    pub fn new(settings: SourceSettings) -> Self {
        Self { settings }
    }
}

/// The body: `event_type` is `thing.what_happened`, such as `generation.complete`.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Payload<'a> {
    event_type: Text<'a>,
    event_id: Text<'a>,
    timestamp: Text<'a>,
    data: Object<Data<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Data<'a> {
    task_id: Id,
    generation_id: Id,
    run_id: Number,
    agent_run_id: Number,
    pr_url: Text<'a>,
    pr_number: Number,
    repository: Text<'a>,
    branch: Text<'a>,
    status: Text<'a>,
    error: Text<'a>,
}

impl Source for Codegen {
    fn name(&self) -> &SourceName {
        &self.settings.name
    }

    fn inspect(&self, headers: &Headers) -> Result<(), Refusal> {
        if !self.settings.allow_unsigned && Standard::of(headers)?.is_none() {
            signature::code_in(headers, SIGNATURE, "sha256=")?;
        }
        if is_json(headers)? { Ok(()) } else { Err(Refusal::WrongContentType) }
    }

    fn authenticate(&self, delivery: &Delivery, now: Timestamp) -> Result<Proof, Refusal> {
        if self.settings.allow_unsigned {
            return Ok(Proof(None));
        }
        if let Some(standard) = Standard::of(&delivery.headers)? {
            return standard.verify(&self.settings.secrets, &delivery.body, now, self.settings.timestamp_tolerance);
        }
        let code = signature::code_in(&delivery.headers, SIGNATURE, "sha256=")?;
        signature::verify(&self.settings.secrets, &delivery.body, &code, now)
    }

    fn proved(&self, proof: Proof, at: Timestamp) {
        self.settings.secrets.note(proof, at);
    }

    fn read(&self, delivery: &Delivery) -> Result<Reading, Refusal> {
        let payload: Option<Payload<'_>> = loose::read(&delivery.body).map_err(|_| Refusal::NotJson)?;
        let payload = payload.unwrap_or_default();
        let facts = facts(&payload);
        let signed_id = delivery.headers.text(Standard::SIGNATURE).and_then(|_| delivery.headers.text(Standard::ID));
        let delivery_id = signed_id.map(str::to_owned).or_else(|| payload.event_id.owned());
        Ok(Reading {
            redacted: 0,
            payload: delivery.body.clone(),
            delivery_id: delivery_id.unwrap_or_else(|| body_hash(&delivery.body)),
            hook: None,
            fingerprint: Some(fingerprint(&payload, &delivery.body)),
            ignored: self.settings.ignores(&facts),
            headers: stored(&delivery.headers, &STORED),
            facts,
        })
    }

    fn headers(&self) -> Vec<&str> {
        const READ: [&str; 6] = {
            let [a, b, c, d] = STORED;
            [a, b, c, d, SIGNATURE, Standard::SIGNATURE]
        };
        READ.to_vec()
    }
}

/// `generation.complete` is the type `generation` and the action `complete`.
pub(super) fn type_and_action(event_type: &str) -> (String, Option<String>) {
    match event_type.split_once('.') {
        Some((kind, action)) => (kind.to_owned(), Some(action.to_owned())),
        None => (event_type.to_owned(), None),
    }
}

fn facts(payload: &Payload<'_>) -> Facts {
    let (event_type, action) = type_and_action(payload.event_type.as_str());
    let mut facts = Facts { event_type, action, ..Facts::default() };
    let Some(data) = &payload.data.0 else { return facts };
    facts.repository = data.repository.owned();
    facts.pr_number = data.pr_number.0;
    facts.head_ref = data.branch.owned();
    facts.conclusion = data.status.owned();
    facts.fair_key = data.repository.owned();
    let run = data.run_id.0.or(data.agent_run_id.0).map(|id| id.to_string());
    let ids = [data.task_id.owned(), data.generation_id.owned(), run];
    facts.correlation_keys = ids.iter().flatten().map(|id| format!("codegen:run:{id}")).collect();
    for (name, id) in ["task_id", "generation_id", "run_id"].into_iter().zip(ids) {
        facts.more.extend(id.map(|id| (name.to_owned(), Value::from(id))));
    }
    facts.more.extend(data.pr_url.owned().map(|url| ("pr_url".to_owned(), url.into())));
    facts.more.extend(data.error.owned().map(|error| ("error".to_owned(), error.into())));
    facts.subject = match (&facts.repository, facts.pr_number) {
        (Some(repository), Some(number)) => Some(format!("{repository}#{number}")),
        (repository, _) => repository.clone(),
    };
    facts
}

/// With an id of what happened and a time the rest may differ; without them the whole body decides.
fn fingerprint(payload: &Payload<'_>, body: &[u8]) -> Fingerprint {
    let of = |field: fn(&Data<'_>) -> Option<String>| payload.data.get(field).unwrap_or_default();
    let (task, generation) = (of(|data| data.task_id.owned()), of(|data| data.generation_id.owned()));
    let when = payload.timestamp.owned().unwrap_or_default();
    if when.is_empty() || task.is_empty() && generation.is_empty() {
        return Fingerprint(vec![body_hash(body)]);
    }
    let event_id = payload.event_id.owned().unwrap_or_default();
    Fingerprint(vec![payload.event_type.as_str().to_owned(), event_id, task, generation, when])
}
