//! Calls of anybody who speaks HTTP, as definitions name them.
//!
//! A machine that the operator has written out may be anywhere; one that a template or an answer names must be
//! public ([`super::guard`]). What a call carries goes to the host that it was meant for and to no other, and in a
//! failure a call is named by method and host alone: the rest of an address is often a credential.

pub mod refusal;

use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, Method, Url};

use super::guard::Guard;
use super::http::{self, Answer};

/// How often an answer may send a call elsewhere.
const MOST_REDIRECTS: usize = 5;

/// Most bytes of an answer that are read; what comes after is cut off.
pub const LARGEST_ANSWER: usize = 64 << 10;

/// Makes calls.
pub struct Web {
    /// Calls what the operator has written out.
    open: Client,
    /// Calls anything else; none when there is no way to look where it leads.
    guarded: Option<Client>,
    guard: Guard,
}

/// A call.
pub struct Call<'a> {
    /// The method.
    pub method: Method,
    /// The address.
    pub url: Url,
    /// The origin that the operator has written out, as [`origin`] gives it.
    pub written: Option<String>,
    /// What goes to that host and no other.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Option<Bytes>,
    /// Whether it may have an effect: then nobody knows what became of it when no answer comes.
    pub changes: bool,
    /// Statuses that are answers also when they send elsewhere.
    pub expected: &'a [u16],
    /// How long an answer may take.
    pub limit: Duration,
}

/// Scheme, host and port of an address.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// An address that can be called. What is wrong with it is said without it: it may hold a credential.
pub fn address(text: &str) -> Result<Url, String> {
    let is_usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    let url = Url::parse(text.trim()).ok().filter(is_usable);
    url.ok_or_else(|| "it is not an address that can be called; it begins with https:// or http://".to_owned())
}

impl Web {
    /// Calls public machines, those in these networks, and those that are written out.
    pub fn new(allowed: &[IpNet]) -> Self {
        let guard = Guard::new(allowed);
        // A proxy would look the name up itself, and nobody here would see where it leads.
        let guarded = http::builder().no_proxy().dns_resolver(guard.clone()).build().ok();
        Self { open: http::client(), guarded, guard }
    }

    /// Makes a call. What only looks is sent on where the answer says; anything else is not.
    pub async fn call(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let (first, mut url) = (origin(&call.url), call.url.clone());
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.once(call, &url, origin(&url) == first).await?;
            let goes_on = matches!(answer.status, 301 | 302 | 303 | 307 | 308)
                && call.method.is_safe()
                && !call.expected.contains(&answer.status);
            let Some(next) = answer.headers.get(LOCATION).filter(|_| goes_on) else { return Ok(answer) };
            url = next
                .to_str()
                .ok()
                .and_then(|next| url.join(next).ok())
                .filter(|url| address(url.as_str()).is_ok())
                .ok_or_else(|| failed(call, &url, "it is sent to what is no address"))?;
        }
        Err(failed(call, &call.url, &format!("it is sent elsewhere more than {MOST_REDIRECTS} times")))
    }

    async fn once(&self, call: &Call<'_>, url: &Url, is_first: bool) -> Result<Answer, Failure> {
        let client = self.client(call, url)?;
        let mut request = client.request(call.method.clone(), url.clone()).timeout(call.limit);
        if is_first {
            request = request.headers(call.headers.clone());
            if let Some(body) = &call.body {
                request = request.body(body.clone());
            }
        }
        http::send_as(&what(call, url), call.changes, request, LARGEST_ANSWER).await
    }

    fn client(&self, call: &Call<'_>, url: &Url) -> Result<&Client, Failure> {
        if call.written.as_ref() == Some(&origin(url)) {
            return Ok(&self.open);
        }
        self.guard
            .look(url.host_str().unwrap_or_default())
            .map_err(|refused| failed(call, url, &refused.to_string()))?;
        self.guarded.as_ref().ok_or_else(|| failed(call, url, "nobody can look where its host leads"))
    }
}

/// The call in words, without what may be a credential.
pub fn what(call: &Call<'_>, url: &Url) -> String {
    format!("{} {}", call.method, origin(url))
}

/// It was not sent, or only looked.
fn failed(call: &Call<'_>, url: &Url, why: &str) -> Failure {
    Failure::new(ErrorClass::Validation, format!("{}: {why}", what(call, url)))
}
