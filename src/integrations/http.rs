//! What all calls to providers share: one client, bounded answers, and what a call that got no answer
//! means.

use std::time::Duration;

use bytes::Bytes;
use pointsman_actors::executor::failure::{ErrorClass, Failure};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder};
use tokio::sync::mpsc::Sender;

use super::guard::Refused;

/// A connection that is not there by then will not come.
const CONNECT: Duration = Duration::from_secs(5);

/// GitHub cuts requests off after ten seconds; nobody here answers later than this.
const WHOLE: Duration = Duration::from_secs(30);

/// Most bytes of an answer that are read, diffs apart.
pub const LARGEST_ANSWER: usize = 4 << 20;

/// A client of providers.
pub fn client() -> Client {
    // Only a TLS backend that is not there fails this, and it is compiled in.
    builder().build().unwrap_or_default()
}

/// What all clients have in common. None goes where an answer sends it: a POST that was sent elsewhere as a GET has told
/// nobody anything, and a credential must not go along. Whoever follows does so by hand.
pub fn builder() -> ClientBuilder {
    // Fails only when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A referer would tell the next host the address of the one before, which may be a credential.
    let builder = Client::builder().redirect(Policy::none()).referer(false);
    builder.connect_timeout(CONNECT).timeout(WHOLE).user_agent(USER_AGENT)
}

/// How we introduce ourselves; GitHub refuses requests without.
const USER_AGENT: &str = concat!("pointsman/", env!("CARGO_PKG_VERSION"));

/// A provider's answer, read whole or up to a limit.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, cut off at the limit.
    pub body: Bytes,
    /// Whether it was.
    pub cut: bool,
}

/// Sends a request and reads the answer. `what` names it in a failure, without any credential.
pub async fn send(what: &str, method: &Method, request: RequestBuilder) -> Result<Answer, Failure> {
    send_up_to(what, method, request, LARGEST_ANSWER).await
}

/// The same, reading at most `limit` bytes.
pub async fn send_up_to(what: &str, method: &Method, request: RequestBuilder, limit: usize) -> Result<Answer, Failure> {
    send_as(what, !method.is_safe(), request, limit).await
}

/// The same of a request of which the method does not tell whether it `changes` anything.
pub async fn send_as(what: &str, changes: bool, request: RequestBuilder, limit: usize) -> Result<Answer, Failure> {
    let failed = |error: reqwest::Error| no_answer(what, changes, error);
    let mut response = request.send().await.map_err(failed)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (mut body, mut cut) = (Vec::new(), false);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        let room = limit - body.len();
        cut = chunk.len() > room;
        body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if cut {
            break;
        }
    }
    Ok(Answer { status, headers, body: body.into(), cut })
}

/// Sends a request that changes nothing and reads the end of the answer, at most `limit` bytes; of one that is larger
/// than `most` nobody waits for the end.
pub async fn send_for_end(
    what: &str,
    request: RequestBuilder,
    (limit, most): (usize, usize),
) -> Result<Answer, Failure> {
    let failed = |error: reqwest::Error| no_answer(what, false, error);
    let mut response = request.send().await.map_err(failed)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (mut body, mut read) = (Vec::new(), 0);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        read += chunk.len();
        body.extend_from_slice(&chunk);
        // Not at every chunk: what is before the end is moved away in large pieces.
        if body.len() > 2 * limit {
            body.drain(..body.len() - limit);
        }
        if read > most {
            break;
        }
    }
    body.drain(..body.len().saturating_sub(limit));
    Ok(Answer { status, headers, body: body.into(), cut: read > limit })
}

/// A file may take longer than an answer.
const WHOLE_FILE: Duration = Duration::from_secs(90);

/// Sends a request that changes nothing and hands on what a good answer brings, piece by piece and at most `limit` bytes.
/// Whoever takes the pieces may have had enough before. The body of the answer that is given is empty then; that of any
/// other is read as ever.
pub async fn send_through(
    what: &str,
    request: RequestBuilder,
    (to, limit): (&Sender<Bytes>, usize),
) -> Result<Answer, Failure> {
    let failed = |error: reqwest::Error| no_answer(what, false, error);
    let mut response = request.timeout(WHOLE_FILE).send().await.map_err(failed)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (mut body, mut room, mut cut) = (Vec::new(), limit, false);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        let Some(left) = room.checked_sub(chunk.len()) else {
            cut = true;
            break;
        };
        room = left;
        if status != 200 {
            body.extend_from_slice(&chunk);
        } else if to.send(chunk).await.is_err() {
            break;
        }
        if body.len() > LARGEST_ANSWER {
            break;
        }
    }
    Ok(Answer { status, headers, body: body.into(), cut })
}

/// What it means that no answer came. A write that had left may have been done.
fn no_answer(what: &str, changes: bool, error: reqwest::Error) -> Failure {
    // A connection that was not there in time is no answer that was not: nothing had left.
    let is_builder = error.is_builder();
    let never_left = error.is_connect() || is_builder;
    let in_time = never_left || !error.is_timeout();
    // The URL may be a credential.
    let error = error.without_url();
    let last = std::iter::successors(std::error::Error::source(&error), |error| error.source()).last();
    let reason = last.map_or_else(|| error.to_string(), ToString::to_string);
    let is_refused = last.is_some_and(|last| last.is::<Refused>());
    let class = match () {
        // A URL of the configuration that is none, or one that leads where it must not.
        () if is_builder || is_refused => ErrorClass::Validation,
        () if in_time => ErrorClass::Network,
        () => ErrorClass::Timeout,
    };
    let failure = Failure::new(class, format!("{what}: no answer: {reason}"));
    if never_left || !changes { failure } else { failure.in_doubt() }
}
