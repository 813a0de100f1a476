//! Deliveries: from the request's head to the answer.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;

use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::http::{ConnectionType, Method};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use pointsman_actors::event::{Delivery, Headers, SourceName};
use pointsman_actors::mailbox::NotTaken;
use pointsman_actors::rate_limiter::actor::Unverified;
use pointsman_actors::rate_limiter::limits::Ruling;
use pointsman_actors::receiver::actor::{Admit, Receipt, Receive};
use pointsman_actors::receiver::admission::Admitted;
use pointsman_actors::receiver::lane::Turn;
use pointsman_actors::receiver::tally::Outcome;
use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::SharedClock;
use serde::Serialize;

use super::connections::Place;
use super::forwarded::is_from_here;
use super::{Edge, Inlet, answer};

/// Memory that is set aside at once for an announced body; a longer one grows as it comes.
const FIRST_BUFFER: usize = 64 << 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    success: bool,
    event_id: String,
    status: &'static str,
    processing_time: u64,
}

/// Where the paths of sources are, unless the configuration says otherwise.
const WEBHOOKS: &str = "/webhooks/";

/// A request to a path that is nobody else's: a delivery, if it is the path of a source that is on.
pub async fn webhook(request: HttpRequest, payload: Payload, edge: Data<Edge>) -> HttpResponse {
    let inlet = edge.shared.surface.get().inlet(request.path());
    let refusal = match inlet.as_deref() {
        Some(inlet) if request.method() == Method::POST => return deliver(&request, payload, &edge, inlet).await,
        Some(_) => Refusal::MethodNotAllowed,
        None if request.path().starts_with(WEBHOOKS) => Refusal::UnknownSource,
        None => return answer::nothing_here(&request),
    };
    turn_away(&request, &edge, inlet.as_deref(), refusal).await
}

async fn deliver(request: &HttpRequest, payload: Payload, edge: &Edge, inlet: &Inlet) -> HttpResponse {
    match take(request, payload, edge, inlet).await {
        Ok(receipt) => {
            // Whoever it is, he sends what is signed.
            prove(request, edge);
            if let Some(tally) = edge.tally(inlet.source.name()) {
                tally.count(receipt.outcome, receipt.took);
            }
            accepted(receipt)
        }
        Err(refusal) => turn_away(request, edge, Some(inlet), refusal).await,
    }
}

/// Answers a delivery that was refused. Whoever comes too often and proves nothing is told only that, or is answered later.
async fn turn_away(request: &HttpRequest, edge: &Edge, inlet: Option<&Inlet>, refusal: Refusal) -> HttpResponse {
    let (peer, source) = (edge.sender(request), inlet.map(|inlet| inlet.source.name()));
    let counted = match &edge.doors.unverified {
        Some(limiter) if refusal.is_unverified() => limiter.ask_if_room(Unverified { peer, source: source.cloned() }),
        _ => Err(NotTaken::Closed),
    };
    // A limiter that fell holds nobody back.
    let answered = match counted {
        Ok(asked) => asked.await.ok(),
        Err(_) => None,
    };
    let (refusal, standing) = match answered.as_ref().map(|answered| answered.ruling) {
        Some(Ruling::Refuse(standing)) => (Refusal::RateLimited(standing.resets_in), Some(standing)),
        Some(Ruling::Answer(standing, _)) => (refusal, Some(standing)),
        None => (refusal, None),
    };
    source.and_then(|source| edge.tally(source)).unwrap_or_else(|| Arc::clone(&edge.shared.strays)).refuse(refusal);
    // Counted exactly in the metrics; a line each would let a flood fill the disk.
    tracing::debug!(source = ?source, peer = ?peer, refusal = refusal.code(), "delivery refused");
    if let Some(later) = answered.and_then(|answered| answered.later) {
        tokio::time::sleep(later.delay).await;
    }
    let mut answer = standing.map_or_else(|| answer::refusal(refusal), |standing| answer::refused(refusal, &standing));
    if place(request).is_some_and(|place| place.is_strange()) {
        // Whoever proves nothing has one request for each connection: those that he has sent ahead are not looked at.
        answer.head_mut().set_connection_type(ConnectionType::Close);
    }
    answer
}

async fn take(request: &HttpRequest, payload: Payload, edge: &Edge, inlet: &Inlet) -> Result<Receipt, Refusal> {
    let received_at = edge.shared.clock.now();
    let peer = edge.sender(request);
    if !inlet.allowed.allows(peer) {
        if let Some(told) = inlet.allowed.refusal(inlet.source.name().as_str(), peer) {
            tracing::warn!("{told}");
        }
        return Err(Refusal::AddressNotAllowed);
    }
    if inlet.is_unsigned && !is_from_here(request) {
        return Err(Refusal::AddressNotAllowed);
    }
    let announced = announced_length(request)?;
    if announced > inlet.max_body {
        return Err(Refusal::BodyTooLarge);
    }
    let goes_by_lane = goes_by_lane(request, edge, (peer, inlet.source.name()));
    let mut turn = if goes_by_lane { Some(self::turn(request, edge).await?) } else { None };
    let admit =
        Admit { source: Arc::clone(&inlet.source), headers: copied(request, inlet), peer, announced: announced as u64 };
    let asked = edge.doors.admit.ask_if_room(admit).map_err(no_room)?;
    let (mut admitted, headers) = asked.await.map_err(no_room)??;
    let reading = Body { payload, admitted: &mut admitted, turn: &mut turn, clock: &edge.shared.clock };
    let reading = reading.whole(announced, inlet.max_body);
    let body = tokio::time::timeout(edge.shared.surface.get().read_timeout, reading)
        .await
        .map_err(|_| Refusal::BodyTooSlow)??;
    admitted.arrived()?;
    if goes_by_lane && turn.is_none() {
        turn = Some(self::turn(request, edge).await?);
    }
    let delivery = Delivery { source: inlet.source.name().clone(), headers, body, peer, received_at };
    let taken = edge
        .doors
        .receive
        .ask_if_room(Receive { delivery, admitted, source: Arc::clone(&inlet.source), turn })
        .map_err(no_room)?;
    taken.await.map_err(no_room)?
}

/// Whether a delivery goes by the lane: its sender would be held back if he could not prove who he is, and has not, on this connection.
fn goes_by_lane(request: &HttpRequest, edge: &Edge, (peer, source): (Option<IpAddr>, &SourceName)) -> bool {
    let is_proven = place(request).is_some_and(|place| place.is_proven());
    let limits = edge.shared.tree.rate_limits.as_ref().filter(|_| !is_proven);
    limits.is_some_and(|limits| limits.are_used_up(peer, source, edge.shared.clock.now()))
}

/// Waits for a turn in the lane, no longer than for a body. Meanwhile the connection makes way like one without a request.
async fn turn(request: &HttpRequest, edge: &Edge) -> Result<Turn, Refusal> {
    let place = place(request);
    let _back = place.map(|place| place.step_back());
    let loses_place = poll_fn(|context| place.map_or(Poll::Pending, |place| place.poll_told(context)));
    let limit = edge.shared.surface.get().read_timeout;
    tokio::select! {
        turn = tokio::time::timeout(limit, edge.doors.lane.turn()) => turn.map_err(|_| Refusal::Overloaded)?,
        () = loses_place => Err(Refusal::Overloaded),
    }
}

/// Whoever has sent this has signed it.
fn prove(request: &HttpRequest, edge: &Edge) {
    let is_news = place(request).is_none_or(|place| place.prove());
    if is_news
        && let Some(limits) = &edge.shared.tree.rate_limits
        && let Some(sender) = edge.sender(request)
    {
        limits.proved(sender, edge.shared.clock.now());
    }
}

fn place(request: &HttpRequest) -> Option<&Arc<Place>> {
    request.conn_data()
}

fn no_room(not_taken: NotTaken) -> Refusal {
    match not_taken {
        NotTaken::Full => Refusal::Overloaded,
        NotTaken::Closed => Refusal::ComponentRestarted,
    }
}

fn announced_length(request: &HttpRequest) -> Result<usize, Refusal> {
    let Some(value) = request.headers().get(CONTENT_LENGTH) else { return Ok(0) };
    value.to_str().ok().and_then(|text| text.trim().parse().ok()).ok_or(Refusal::BadHeader("content-length"))
}

/// The headers that the source looks at; nothing else goes any further.
fn copied(request: &HttpRequest, inlet: &Inlet) -> Headers {
    let mut headers = Headers::default();
    for name in inlet.headers.iter() {
        for value in request.headers().get_all(name) {
            headers.push(name, Bytes::copy_from_slice(value.as_bytes()));
        }
    }
    headers
}

/// A body that is coming.
struct Body<'a> {
    payload: Payload,
    admitted: &'a mut Admitted,
    turn: &'a mut Option<Turn>,
    clock: &'a SharedClock,
}

impl Body<'_> {
    async fn whole(mut self, announced: usize, most: usize) -> Result<Bytes, Refusal> {
        let Some(first) = self.next().await? else { return whole(Bytes::new(), announced) };
        // Most bodies come in one piece and need not be copied.
        if announced > 0 && first.len() == announced {
            return Ok(first);
        }
        let mut collected = BytesMut::with_capacity(announced.clamp(first.len(), FIRST_BUFFER.max(first.len())));
        collected.extend_from_slice(&first);
        loop {
            if collected.len() > most {
                return Err(Refusal::BodyTooLarge);
            }
            self.admitted.received(collected.len() as u64, self.clock.now())?;
            match self.next().await? {
                Some(chunk) => collected.extend_from_slice(&chunk),
                None => return whole(collected.freeze(), announced),
            }
        }
    }

    /// What comes next of it; an error also when it has to make way for another delivery.
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        poll_fn(|context| {
            if let Poll::Ready(chunk) = self.payload.poll_next_unpin(context) {
                return Poll::Ready(chunk.transpose().map_err(broken_off));
            }
            // Nobody else waits for what does not come.
            *self.turn = None;
            self.admitted.waits(self.clock.now());
            self.admitted.poll_displaced(context).map(|()| Err(Refusal::Overloaded))
        })
        .await
    }
}

fn whole(body: Bytes, announced: usize) -> Result<Bytes, Refusal> {
    if announced > 0 && body.len() != announced { Err(Refusal::BodyIncomplete) } else { Ok(body) }
}

fn broken_off(error: PayloadError) -> Refusal {
    match error {
        PayloadError::Overflow => Refusal::BodyTooLarge,
        _ => Refusal::BodyIncomplete,
    }
}

fn accepted(receipt: Receipt) -> HttpResponse {
    let status = match receipt.outcome {
        Outcome::Accepted => "accepted",
        Outcome::Ignored => "ignored",
        Outcome::Duplicate | Outcome::Redelivered => "duplicate",
    };
    let processing_time = u64::try_from(receipt.took.as_millis()).unwrap_or(u64::MAX);
    HttpResponse::Ok().json(Accepted { success: true, event_id: receipt.event.to_string(), status, processing_time })
}
