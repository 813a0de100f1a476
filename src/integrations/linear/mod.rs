//! Linear's GraphQL API, as far as steps use it.
//!
//! Rules: linear.app/developers, "GraphQL", "Rate limiting" and "Agent interaction"; Linear's published schema. The
//! key goes into one header and nowhere else. Everything is sent with an id or under an address of its own, so that
//! doing it again is as doing it once.

pub mod documents;
pub mod issue;
mod kept;
pub mod limits;
mod moves;
pub mod oauth;
pub mod refusal;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::{SharedClock, Timestamp};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::http::{self, Answer};
use crate::config::settings::SecretText;
use documents::Document;
use issue::{Issue, Made, Nodes, Person, Standing, State};
use limits::Limits;
use moves::Moves;
use oauth::OAuth;
pub use oauth::OAuthSettings;

/// How tokens of OAuth begin; they are carried as RFC 6750 says. Anything else is a personal key, such as
/// `lin_api_…`, and is carried as it is (linear.app/developers, "GraphQL").
const OAUTH: &str = "lin_oauth_";

/// Where a pull request is that Linear follows by itself.
const GITHUB: &str = "https://github.com/";

/// What is shown to Linear.
#[derive(Clone, Debug)]
pub enum LinearCredential {
    /// A personal key, or a token of OAuth that somebody else replaces.
    Key(SecretText),
    /// An app of OAuth, whose tokens are got when they are needed.
    App(OAuthSettings),
}

/// The same, ready to be shown.
enum Shown {
    Key(HeaderValue),
    App(Arc<OAuth>),
}

/// Linear, with a key or an app.
pub struct Linear {
    http: Client,
    url: String,
    shown: Shown,
    clock: SharedClock,
    limits: Mutex<Limits>,
    moves: Mutex<Moves>,
}

/// A link to be attached.
pub struct Link<'a> {
    /// The ticket.
    pub issue: &'a str,
    /// Where it leads.
    pub url: &'a str,
    /// What people read.
    pub title: &'a str,
}

impl Linear {
    /// The API at `url`.
    pub fn new(http: Client, url: &str, credential: LinearCredential, clock: SharedClock) -> Self {
        let shown = match credential {
            LinearCredential::Key(key) => Shown::Key(header(&carried(key.expose()))),
            LinearCredential::App(app) => Shown::App(Arc::new(OAuth::new(http.clone(), app, Arc::clone(&clock)))),
        };
        Self { http, url: url.to_owned(), shown, clock, limits: Mutex::default(), moves: Mutex::default() }
    }

    /// A ticket, by its id or by what people call it.
    pub async fn issue(&self, id: &str) -> Result<Issue, Failure> {
        self.call(&documents::ISSUE, json!({ "id": id }), None).await
    }

    /// Where a ticket stands, and the states of this type that its team has, the first one first.
    pub async fn standing(&self, id: &str, state_type: &str) -> Result<Standing, Failure> {
        let asked = json!({ "id": id, "type": state_type });
        let mut standing: Standing = self.call(&documents::ISSUE_STATES, asked, None).await?;
        if let Some(team) = &mut standing.team {
            let Nodes { nodes } = &mut team.states;
            nodes.retain(|state| state.kind == state_type);
            nodes.sort_by(|one, other| one.position.total_cmp(&other.position));
        }
        Ok(standing)
    }

    /// Somebody, by id.
    pub async fn user(&self, id: &str) -> Result<Person, Failure> {
        self.call(&documents::USER, json!({ "id": id }), None).await
    }

    /// Moves a ticket to a state; doing that again is as doing it once.
    pub async fn move_issue(&self, id: &str, state: &State, key: &str) -> Result<(), Failure> {
        // Linear may tell of it before it answers.
        self.moves().note(id, &state.name, self.clock.now());
        let change = json!({ "id": id, "input": { "stateId": state.id } });
        self.call::<Json>(&documents::ISSUE_UPDATE, change, Some(key)).await.map(drop)
    }

    /// Whether it was we who moved a ticket, by its id, to the state of this name then.
    pub fn has_moved(&self, id: &str, state: &str, at: Timestamp) -> bool {
        self.moves().has(id, state, at)
    }

    /// Writes a comment, or gives the one that was written under the same key.
    pub async fn comment(&self, issue: &str, body: &str, parent: Option<&str>, key: &str) -> Result<Made, Failure> {
        let id = id_of(key);
        let input = json!({ "input": { "id": id, "issueId": issue, "body": body, "parentId": parent } });
        self.make(&documents::COMMENT_CREATE, input, (&documents::COMMENT, "comment", &id), key).await
    }

    /// Attaches a link, or renews the one that leads to the same place.
    pub async fn link(&self, link: &Link<'_>, key: &str) -> Result<Made, Failure> {
        let Link { issue, url, title } = link;
        if url.starts_with(GITHUB) && url.contains("/pull/") {
            let asked = json!({ "issueId": issue, "url": url, "title": title });
            match self.call::<Json>(&documents::ATTACHMENT_LINK_GITHUB_PR, asked, Some(key)).await {
                // A workspace that GitHub is not connected to takes it as any other link.
                Err(failure) if failure.class == ErrorClass::Validation => {}
                linked => return made(&linked?, "attachment"),
            }
        }
        let asked = json!({ "input": { "issueId": issue, "url": url, "title": title } });
        made(&self.call(&documents::ATTACHMENT_CREATE, asked, Some(key)).await?, "attachment")
    }

    /// Says something in an agent's session, or gives what was said under the same key.
    pub async fn activity(&self, session: &str, content: Json, ephemeral: bool, key: &str) -> Result<Made, Failure> {
        let id = id_of(key);
        let input = json!({ "id": id, "agentSessionId": session, "content": content, "ephemeral": ephemeral });
        let input = json!({ "input": input });
        let look = (&documents::AGENT_ACTIVITY, "agentActivity", id.as_str());
        self.make(&documents::AGENT_ACTIVITY_CREATE, input, look, key).await
    }

    /// Changes an agent's session; doing that again is as doing it once. Gives its status.
    pub async fn update_session(&self, id: &str, input: Json, key: &str) -> Result<String, Failure> {
        let change = json!({ "id": id, "input": input });
        let changed: Json = self.call(&documents::AGENT_SESSION_UPDATE, change, Some(key)).await?;
        let status = changed.pointer("/agentSession/status").and_then(Json::as_str);
        Ok(status.unwrap_or_default().to_owned())
    }

    /// Makes what has an id of ours. Linear refuses an id that is there already; what stands under it is then
    /// what was to be made.
    async fn make(
        &self,
        create: &Document,
        input: Json,
        (look, field, id): (&Document, &str, &str),
        key: &str,
    ) -> Result<Made, Failure> {
        let refused = match self.call::<Json>(create, input, Some(key)).await {
            Ok(answer) => return made(&answer, field),
            Err(failure) if failure.class != ErrorClass::Validation => return Err(failure),
            Err(failure) => failure,
        };
        match self.call(look, json!({ "id": id }), None).await {
            Err(failure) if !failure.class.is_retryable() => Err(refused),
            looked => looked,
        }
    }

    /// Asks, unless a limit is known that is not lifted yet.
    async fn call<T: DeserializeOwned>(
        &self,
        document: &Document,
        variables: Json,
        key: Option<&str>,
    ) -> Result<T, Failure> {
        let what = format!("Linear, {}", document.name);
        if let Some(pause) = self.limits().wait(document.name, self.clock.now()) {
            let message = format!("{what}: not asked, because Linear's limit is used up");
            return Err(Failure::new(ErrorClass::RateLimit, message).retry_after(pause));
        }
        let body = json!({ "query": document.text, "operationName": document.name, "variables": variables });
        let mut request = self.http.post(&self.url).json(&body);
        if let Some(key) = key {
            // Linear does not look at it; whoever reads a proxy's log does.
            request = request.header("x-idempotency-key", key);
        }
        let (answer, judged) = match &self.shown {
            Shown::Key(key) => self.ask(document, request.header(AUTHORIZATION, key.clone())).await?,
            Shown::App(app) => self.ask_as(app, document, &request).await?,
        };
        let now = self.clock.now();
        let refused = match &judged {
            Err(Failure { class: ErrorClass::RateLimit, retry_after_ms, .. }) => {
                retry_after_ms.map(Duration::from_millis)
            }
            _ => None,
        };
        self.limits().learn(document.name, &answer.headers, refused, now);
        serde_json::from_value(judged?).map_err(|error| misread(document, &error.to_string()))
    }

    /// Asks as an app. A token that has worked and is refused is replaced once: it was taken back.
    async fn ask_as(&self, app: &Arc<OAuth>, document: &Document, request: &RequestBuilder) -> Result<Asked, Failure> {
        for may_replace in [true, false] {
            let token = app.token().await?;
            let request = request.try_clone().map(|request| request.header(AUTHORIZATION, token.authorization()));
            let request = request.ok_or_else(|| Failure::new(ErrorClass::Internal, "a request cannot be repeated"))?;
            let (answer, judged) = self.ask(document, request).await?;
            let is_refused = matches!(&judged, Err(Failure { class: ErrorClass::Authentication, .. }));
            if !is_refused {
                token.works();
            } else if app.refused(&token).await && may_replace {
                continue;
            }
            return Ok((answer, judged.map_err(of_app)));
        }
        Err(Failure::new(ErrorClass::Authentication, "Linear: the token was refused twice"))
    }

    async fn ask(&self, document: &Document, request: RequestBuilder) -> Result<Asked, Failure> {
        let what = format!("Linear, {}", document.name);
        let answer = http::send_as(&what, document.changes, request, http::LARGEST_ANSWER).await?;
        let judged = refusal::judge(document, &answer, self.clock.now());
        Ok((answer, judged))
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moves(&self) -> std::sync::MutexGuard<'_, Moves> {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer, and what it means.
type Asked = (Answer, Result<Json, Failure>);

/// What is said of keys is meant of the app.
fn of_app(failure: Failure) -> Failure {
    let message = failure.message.replace("the key in LINEAR_API_KEY", "the app of LINEAR_CLIENT_ID");
    Failure { message, ..failure }
}

/// A value that no log shows.
fn header(credential: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(credential).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// What goes into the header.
fn carried(key: &str) -> String {
    if key.starts_with(OAUTH) { format!("Bearer {key}") } else { key.to_owned() }
}

/// The id of what is made under a key: a UUID of version 4 in form, as Linear asks for, that is always the same.
pub fn id_of(key: &str) -> String {
    let hash = Sha256::digest(key);
    let bytes = std::array::from_fn(|place| hash.get(place).copied().unwrap_or_default());
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

fn made(answer: &Json, field: &str) -> Result<Made, Failure> {
    let value = answer.get(field).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| {
        Failure::new(ErrorClass::Validation, format!("Linear: the answer's {field} cannot be read: {error}"))
    })
}

fn misread(document: &Document, error: &str) -> Failure {
    let failure =
        Failure::new(ErrorClass::Validation, format!("Linear, {}: the answer cannot be read: {error}", document.name));
    if document.changes { failure.in_doubt() } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_personal_key_is_carried_as_it_is_and_a_token_as_a_bearers() {
        assert_eq!(carried("lin_api_x"), "lin_api_x");
        assert_eq!(carried("lin_oauth_x"), "Bearer lin_oauth_x");
        assert_eq!(carried("an-old-key"), "an-old-key");
    }

    #[test]
    fn what_is_made_under_a_key_has_one_id_of_version_4() {
        let id: uuid::Uuid = id_of("run_1/comment").parse().unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122));
        assert_eq!(id_of("run_1/comment"), id.to_string());
        assert_ne!(id_of("run_2/comment"), id.to_string());
    }
}
