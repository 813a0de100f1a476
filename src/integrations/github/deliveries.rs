//! What GitHub tried to deliver, and having it delivered again: of an App's own hook, and of hooks of repositories and
//! organisations.
//!
//! Rules: docs.github.com/rest, "Webhooks" of apps, repositories and organisations; "Handling failed webhook
//! deliveries": GitHub sends nothing again by itself. The list can be filtered by `status=failure`, but that is by ranges
//! of status codes: what got no answer, or one of three hundred, would be left out, and so would the attempt that
//! went well after one that failed. So all of it is read.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_actors::catch_up::missed::Attempt;
use pointsman_actors::catch_up::port::{AttemptsPage, Carried, Deliveries, Said};
use pointsman_actors::event::{Headers, SourceName};
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::Timestamp;
use reqwest::Method;
use reqwest::header::LINK;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::call::Call;
use super::paths::{next_page, part, repository_path};
use super::{GitHub, json_of, refusal};

/// Most bytes of one delivery: GitHub sends payloads of up to 25 MB, which the API may show with blanks between.
const LARGEST: usize = 64 << 20;

/// What GitHub calls an attempt that went well.
const WELL: &str = "OK";

/// A hook whose deliveries can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// That of the App which is our credential.
    App,
    /// One of a repository.
    Repository {
        /// `owner/name`.
        repository: String,
        /// Its number.
        id: u64,
    },
    /// One of an organisation.
    Organization {
        /// Its login.
        login: String,
        /// Its number.
        id: u64,
    },
}

impl Hook {
    /// Reads `owner/name#123` or `organisation#45`.
    pub fn read(text: &str) -> Option<Self> {
        let (owner, id) = text.trim().split_once('#')?;
        let id = id.parse().ok()?;
        if owner.contains('/') {
            return Some(Self::Repository { repository: repository_path(owner).ok()?, id });
        }
        let fits = !owner.is_empty() && owner.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        fits.then(|| Self::Organization { login: owner.to_owned(), id })
    }

    /// The name by which records and metrics know it; what [`Hook::read`] reads, and `app`.
    pub fn name(&self) -> String {
        match self {
            Self::App => "app".to_owned(),
            Self::Repository { repository, id } => format!("{repository}#{id}"),
            Self::Organization { login, id } => format!("{login}#{id}"),
        }
    }

    fn path(&self) -> Result<String, Failure> {
        Ok(match self {
            Self::App => "/app/hook/deliveries".to_owned(),
            Self::Repository { repository, id } => {
                format!("/repos/{}/hooks/{id}/deliveries", repository_path(repository)?)
            }
            Self::Organization { login, id } => format!("/orgs/{}/hooks/{id}/deliveries", part(login)?),
        })
    }

    /// The same failure, with what the operator can do about it.
    fn explained(&self, mut failure: Failure) -> Failure {
        let remedy = match (failure.class, self) {
            (ErrorClass::Authorization, Self::App) => "; the App must be allowed to read its own hook",
            (ErrorClass::Authorization, Self::Repository { .. }) => {
                "; missed deliveries are got with the permission `Webhooks`, read and write, of the repository, or the scope `admin:repo_hook`"
            }
            (ErrorClass::Authorization, Self::Organization { .. }) => {
                "; missed deliveries are got with the permission `Webhooks`, read and write, of the organisation, or the scope `admin:org_hook`"
            }
            (ErrorClass::NotFound, Self::App) => {
                "; if the App has no hook of its own, set `integrations.github.catch_up.mode` to \"off\""
            }
            (ErrorClass::NotFound, _) => {
                "; the number of a hook stands in the address of its settings; correct `integrations.github.catch_up.hooks`"
            }
            _ => return failure,
        };
        failure.message.push_str(remedy);
        failure
    }
}

/// The hooks that are watched, and who asks for their deliveries.
pub struct WatchedHooks {
    github: Arc<GitHub>,
    source: SourceName,
    hooks: Vec<Hook>,
}

impl WatchedHooks {
    /// These hooks, whose deliveries belong to `source`.
    pub fn new(github: Arc<GitHub>, source: SourceName, hooks: Vec<Hook>) -> Self {
        Self { github, source, hooks }
    }

    fn ask<T: Send + 'static, F>(&self, hook: &str, ask: impl FnOnce(Arc<GitHub>, String) -> F) -> Said<T>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let known = self.hooks.iter().find(|known| known.name() == hook).cloned();
        let Some(known) = known else {
            let failure = Failure::new(ErrorClass::Internal, format!("`{hook}` is not watched"));
            return Box::pin(std::future::ready(Err(failure)));
        };
        match known.path() {
            Ok(path) => {
                let asked = ask(Arc::clone(&self.github), path);
                Box::pin(async move { asked.await.map_err(|failure| known.explained(failure)) })
            }
            Err(failure) => Box::pin(std::future::ready(Err(failure))),
        }
    }
}

impl Deliveries for WatchedHooks {
    fn source(&self) -> &SourceName {
        &self.source
    }

    fn hooks(&self) -> Vec<String> {
        self.hooks.iter().map(Hook::name).collect()
    }

    fn page(&self, hook: &str, cursor: Option<&str>) -> Said<AttemptsPage> {
        let cursor = cursor.map(str::to_owned);
        self.ask(hook, |github, path| async move {
            let is_first = cursor.is_none();
            let path = cursor.unwrap_or_else(|| format!("{path}?per_page=100"));
            github.attempts(&path, is_first).await
        })
    }

    fn redeliver(&self, hook: &str, attempt: u64) -> Said<()> {
        self.ask(hook, move |github, path| async move {
            let path = format!("{path}/{attempt}/attempts");
            github.call(&Call { method: Method::POST, ..Call::get(&path) }).await.map(drop)
        })
    }

    fn fetch(&self, hook: &str, attempt: u64) -> Said<Carried> {
        self.ask(hook, move |github, path| async move { github.carried(&format!("{path}/{attempt}")).await })
    }
}

/// An attempt as GitHub lists it.
#[derive(Deserialize)]
struct Listed {
    id: u64,
    guid: String,
    delivered_at: String,
    #[serde(default)]
    redelivery: bool,
    #[serde(default)]
    status: Option<String>,
}

/// One attempt as GitHub shows it.
#[derive(Deserialize)]
struct Shown {
    guid: String,
    event: String,
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    headers: Option<Map<String, Json>>,
    payload: Box<RawValue>,
}

impl GitHub {
    /// A page of attempts. That the first one is as it was costs nothing of the rate limit.
    async fn attempts(&self, path: &str, is_first: bool) -> Result<AttemptsPage, Failure> {
        let call = Call { conditional: is_first, ..Call::get(path) };
        let answer = self.call(&call).await?;
        let next = refusal::header(&answer.headers, LINK.as_str()).and_then(|link| next_page(path, link));
        let listed: Vec<Listed> = json_of(&call.what(), &answer)?;
        let items = listed.into_iter().map(|each| attempt(&call.what(), each)).collect::<Result<_, _>>()?;
        Ok(AttemptsPage { items, next })
    }

    /// What an attempt carried.
    async fn carried(&self, path: &str) -> Result<Carried, Failure> {
        let call = Call { largest: LARGEST, ..Call::get(path) };
        let answer = self.call(&call).await?;
        // Not by way of a JSON value: the payload stays as it is written, with the order of its fields.
        serde_json::from_slice::<Shown>(&answer.body).map(carried).map_err(|error| {
            let what = call.what();
            Failure::new(ErrorClass::Validation, format!("{what}: the delivery cannot be read: {error}"))
        })
    }
}

fn attempt(what: &str, listed: Listed) -> Result<Attempt, Failure> {
    let Listed { id, guid, delivered_at, redelivery, status } = listed;
    let at = Timestamp::from_rfc3339(&delivered_at).ok_or_else(|| {
        Failure::new(ErrorClass::Validation, format!("{what}: `{delivered_at}` is no time of a delivery"))
    })?;
    Ok(Attempt { id, guid, at, redelivery, delivered: status.as_deref() == Some(WELL) })
}

/// The delivery as its source reads it. A form's payload is shown as the JSON that it held, so that is what it is now;
/// the signature was over bytes that nobody has any more.
fn carried(shown: Shown) -> Carried {
    let Shown { guid, event, request } = shown;
    let own = [("content-type", "application/json"), ("x-github-event", &event), ("x-github-delivery", &guid)];
    let sent = request.headers.unwrap_or_default();
    let sent = sent.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap_or_default()));
    let says_who = |name: &str| name.starts_with("x-github-") || name == "user-agent";
    let is_own = |name: &str| own.iter().any(|(known, _)| *known == name);
    let mut headers: Headers = own.into_iter().collect();
    for (name, value) in sent.filter(|(name, _)| says_who(name) && !is_own(name)) {
        headers.push(&name, Bytes::copy_from_slice(value.as_bytes()));
    }
    Carried { headers, body: Bytes::copy_from_slice(request.payload.get().as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_read_as_they_are_named() {
        for name in ["acme/shop#123", "acme#45"] {
            assert_eq!(Hook::read(name).unwrap().name(), name);
        }
        let path = |name| Hook::read(name).unwrap().path().unwrap();
        assert_eq!(path("acme/shop#123"), "/repos/acme/shop/hooks/123/deliveries");
        assert_eq!(path("acme#45"), "/orgs/acme/hooks/45/deliveries");
        for wrong in ["", "acme", "acme/shop", "acme/shop#", "acme/shop#x", "a/b/c#1", "../x#1", "#1", "a b#1", "..#1"]
        {
            assert_eq!(Hook::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_says_ok_went_well() {
        let read = |status: &str| {
            let listed = format!(
                r#"{{"id":12345678901,"guid":"g","delivered_at":"2026-01-05T10:00:00Z","redelivery":true,"status":{status},"status_code":0}}"#
            );
            attempt("x", serde_json::from_str(&listed).unwrap()).unwrap()
        };
        let at = Timestamp::from_rfc3339("2026-01-05T10:00:00Z").unwrap();
        let expect = |delivered| Attempt { id: 12_345_678_901, guid: "g".into(), at, redelivery: true, delivered };
        assert_eq!(read("\"OK\""), expect(true));
        for bad in ["\"timed out\"", "\"Invalid HTTP Response: 503\"", "\"ok\"", "null"] {
            assert_eq!(read(bad), expect(false));
        }
        let wrong = Listed {
            delivered_at: "yesterday".into(),
            ..serde_json::from_str(r#"{"id":1,"guid":"g","delivered_at":""}"#).unwrap()
        };
        assert!(attempt("x", wrong).unwrap_err().message.contains("`yesterday`"));
    }

    #[test]
    fn a_delivery_is_read_as_it_was_sent_without_what_signed_it() {
        let shown = r#"{"id":1,"guid":"g","event":"push","request":{"headers":{"X-GitHub-Delivery":"other","Content-Type":"application/x-www-form-urlencoded","X-GitHub-Hook-ID":"7","X-Hub-Signature-256":"sha256=00","Cookie":"c","User-Agent":"GitHub-Hookshot/1"},"payload":{"z": 1,  "a":12345678901234567890123}}}"#;
        let Carried { headers, body } = carried(serde_json::from_str(shown).unwrap());
        assert_eq!(body, r#"{"z": 1,  "a":12345678901234567890123}"#);
        for (name, expect) in [
            ("x-github-delivery", Some("g")),
            ("x-github-event", Some("push")),
            ("x-github-hook-id", Some("7")),
            ("content-type", Some("application/json")),
            ("user-agent", Some("GitHub-Hookshot/1")),
            ("x-hub-signature-256", None),
            ("cookie", None),
        ] {
            assert_eq!(headers.text(name), expect, "{name}");
        }
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let explained = |hook: &Hook, class| hook.explained(Failure::new(class, "x")).message;
        let hook = Hook::read("acme/shop#1").unwrap();
        assert!(explained(&hook, ErrorClass::Authorization).contains("admin:repo_hook"));
        assert!(explained(&hook, ErrorClass::NotFound).contains("catch_up.hooks"));
        assert!(explained(&Hook::App, ErrorClass::NotFound).contains("catch_up.mode"));
        assert_eq!(explained(&hook, ErrorClass::RateLimit), "x");
    }
}
