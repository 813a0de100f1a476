//! The door of intake: lets a request in, then takes its delivery straight through validator,
//! deduplicator, router and event log, and answers when it is durable.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, MessageResult, ResponseFuture, Supervised};

use super::admission::{Admitted, Gate, Outside};
use super::lane::Turn;
use super::messages::ReceiveVouched;
use super::tally::Outcome;
use crate::deduplicator::actor::{Identify, Keys};
use crate::event::{Delivery, EventMeta, Headers, Reading, SourceName, Verdict};
use crate::event_log::actor::LogDoor;
use crate::event_log::record::Sealer;
use crate::event_log::state::LogState;
use crate::executor::messages::Executors;
use crate::ids::{EventId, SharedIds};
use crate::mailbox::{Door, Letter, NotTaken};
use crate::rate_limiter::actor::{RateLimits, Verified};
use crate::rate_limiter::limits::Ruling;
use crate::refusal::Refusal;
use crate::router::actor::RouteEvent;
use crate::router::routing::Routed;
use crate::store::{Answer, Intake, Store, StoreError, Transition};
use crate::time::SharedClock;
use crate::validator::actor::{Authentic, ReadVouched, Validate};
use crate::validator::port::Source;
use crate::wait::record::Callback;

/// A correlation key that is longer is no provider's.
const LONGEST_KEY: usize = 512;

/// An event has a few correlation keys; each is looked up in the commit.
const MOST_KEYS: usize = 8;

/// Asks to let a request in, before its body is read.
#[derive(Message)]
#[rtype(result = "Result<(Admitted, Headers), Refusal>")]
pub struct Admit {
    /// Whose path was called, as it is configured when the request begins: another configuration meanwhile is for others.
    pub source: Arc<dyn Source>,
    /// The request's headers; given back with the admission.
    pub headers: Headers,
    /// Who calls.
    pub peer: Option<IpAddr>,
    /// The announced length of the body in bytes; zero if it does not say.
    pub announced: u64,
}

/// Asks to make a delivery durable.
#[derive(Message)]
#[rtype(result = "Result<Receipt, Refusal>")]
pub struct Receive {
    /// The delivery.
    pub delivery: Delivery,
    /// Its share of what may be in flight.
    pub admitted: Admitted,
    /// The source that it was admitted for.
    pub source: Arc<dyn Source>,
    /// Its turn, if it came by the lane.
    pub turn: Option<Turn>,
}

/// What the sender of a durable delivery is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The event: for a redelivery the first one's.
    pub event: EventId,
    /// What became of it.
    pub outcome: Outcome,
    /// From the request's head to the flush.
    pub took: Duration,
}

/// Where the receiver hands things on to, all of them further down the tree.
#[derive(Clone)]
pub struct Downstream {
    /// Limits for what is verified; absent when there are none.
    pub rate_limiter: Option<Door<Verified>>,
    /// Proof and reading.
    pub validator: Door<Validate>,
    /// Reading of what needs no proof.
    pub reader: Door<ReadVouched>,
    /// Keys.
    pub deduplicator: Door<Identify>,
    /// Verdict and runs.
    pub router: Door<RouteEvent>,
    /// Told of the runs that were started.
    pub executors: Executors,
    /// Durability.
    pub log: LogDoor,
}

/// What all receivers of the process share.
#[derive(Clone)]
pub struct Shared {
    /// What is in flight.
    pub gate: Arc<Gate>,
    /// Who is held back; absent when nobody is.
    pub rate_limits: Option<RateLimits>,
    /// Whether the log can write.
    pub log_state: Arc<LogState>,
    /// For its durable counts only.
    pub store: Arc<dyn Store>,
    /// Where `now` comes from.
    pub clock: SharedClock,
    /// Where ids come from.
    pub ids: SharedIds,
    /// How long an event is kept for runs that come to wait for it.
    pub inbox_window: Duration,
}

/// The actor of the receiver, one on every HTTP worker.
pub struct Receiver {
    shared: Shared,
    path: Rc<Path>,
}

/// The way of a delivery on one HTTP worker.
struct Path {
    downstream: Downstream,
    shared: Shared,
    sealer: RefCell<Sealer>,
}

impl Receiver {
    /// A receiver that hands on to `downstream`.
    pub fn new(downstream: Downstream, shared: Shared) -> Self {
        let path = Path { downstream, shared: shared.clone(), sealer: RefCell::default() };
        Self { shared, path: Rc::new(path) }
    }

    fn admit(&self, request: Admit) -> Result<(Admitted, Headers), Refusal> {
        let Admit { source, headers, peer, announced } = request;
        let admitted = self.enter(peer, announced)?;
        source.inspect(&headers)?;
        Ok((admitted, headers))
    }

    fn enter(&self, peer: Option<IpAddr>, announced: u64) -> Result<Admitted, Refusal> {
        let Shared { gate, log_state, store, rate_limits, clock, .. } = &self.shared;
        let outside = Outside::of(log_state, &**store);
        let is_unheard =
            |limits: &RateLimits| peer.is_some_and(|peer| limits.is_unheard(peer, || gate.in_flight(), clock.now()));
        if rate_limits.as_ref().is_some_and(is_unheard) {
            return Err(Refusal::Overloaded);
        }
        gate.enter(peer, announced, &outside, clock.now())
    }
}

impl Actor for Receiver {
    type Context = Context<Self>;
}

impl Supervised for Receiver {}

impl Handler<Letter<Admit>> for Receiver {
    type Result = MessageResult<Letter<Admit>>;

    fn handle(&mut self, letter: Letter<Admit>, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.admit(letter.open()))
    }
}

impl Handler<Letter<Receive>> for Receiver {
    type Result = ResponseFuture<Result<Receipt, Refusal>>;

    fn handle(&mut self, letter: Letter<Receive>, _: &mut Context<Self>) -> Self::Result {
        let (Receive { delivery, admitted, source, turn }, room) = letter.keep_room();
        let path = Rc::clone(&self.path);
        Box::pin(async move {
            let receipt = path.take(delivery, source, turn).await;
            drop((admitted, room));
            receipt
        })
    }
}

impl Handler<Letter<ReceiveVouched>> for Receiver {
    type Result = ResponseFuture<Result<Receipt, Refusal>>;

    fn handle(&mut self, letter: Letter<ReceiveVouched>, _: &mut Context<Self>) -> Self::Result {
        let (ReceiveVouched(delivery), room) = letter.keep_room();
        let bytes = u64::try_from(delivery.body.len()).unwrap_or(u64::MAX);
        let (path, admitted) = (Rc::clone(&self.path), self.enter(None, bytes));
        Box::pin(async move {
            let receipt = match admitted {
                Ok(mut admitted) => match admitted.arrived() {
                    Ok(()) => path.take_vouched(delivery).await,
                    Err(refusal) => Err(refusal),
                },
                Err(refusal) => Err(refusal),
            };
            drop(room);
            receipt
        })
    }
}

impl Path {
    async fn take(&self, delivery: Delivery, source: Arc<dyn Source>, turn: Option<Turn>) -> Result<Receipt, Refusal> {
        let authentic = self.downstream.validator.ask(Validate { delivery, source }).await.map_err(fell)??;
        drop(turn);
        self.limit(&authentic.delivery.source).await?;
        self.make_durable(authentic).await
    }

    /// What an operator has limited is held back; when the limiter falls nothing is.
    async fn limit(&self, source: &SourceName) -> Result<(), Refusal> {
        if !self.shared.rate_limits.as_ref().is_some_and(|limits| limits.are_for(source)) {
            return Ok(());
        }
        let Some(limiter) = &self.downstream.rate_limiter else { return Ok(()) };
        match limiter.ask(Verified(source.clone())).await {
            Ok(Some(Ruling::Refuse(standing))) => Err(Refusal::RateLimited(standing.resets_in)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn take_vouched(&self, delivery: Delivery) -> Result<Receipt, Refusal> {
        let authentic = self.downstream.reader.ask(ReadVouched(delivery)).await.map_err(fell)??;
        self.make_durable(authentic).await
    }

    async fn make_durable(&self, Authentic { delivery, reading }: Authentic) -> Result<Receipt, Refusal> {
        let (received_at, source) = (delivery.received_at, delivery.source.clone());
        let keys = self.downstream.deduplicator.ask(identify(&source, &reading)).await.map_err(fell)?;
        let meta = Arc::new(self.meta(&delivery, &reading));
        let routed = self.route(&meta, &reading).await;
        let runs = routed.runs.clone();
        let intake = self.intake(&meta, &reading, keys, routed)?;
        let answer = self.downstream.log.commit(Transition::Intake(Box::new(intake))).await.map_err(cannot_write)?;
        let waits = match &answer {
            Answer::Completed { waits } => waits.clone(),
            _ => Vec::new(),
        };
        let (event, outcome) = match answer {
            Answer::Redelivered { of } => (of, Outcome::Redelivered),
            Answer::Duplicate { .. } => (meta.id, Outcome::Duplicate),
            _ if reading.ignored.is_some() => (meta.id, Outcome::Ignored),
            _ => {
                self.downstream.executors.started(runs);
                self.downstream.executors.called(waits);
                (meta.id, Outcome::Accepted)
            }
        };
        Ok(Receipt { event, outcome, took: self.shared.clock.now().since(received_at) })
    }

    fn meta(&self, delivery: &Delivery, reading: &Reading) -> EventMeta {
        EventMeta {
            id: self.shared.ids.event(delivery.received_at),
            source: delivery.source.clone(),
            received_at: delivery.received_at,
            delivery_id: reading.delivery_id.clone(),
            peer: delivery.peer,
            headers: reading.headers.clone(),
            facts: reading.facts.clone(),
            payload_bytes: u64::try_from(reading.payload.len()).unwrap_or(u64::MAX),
            redacted: reading.redacted,
        }
    }

    /// A router that falls loses nothing: the event is stored as pending and routed later.
    async fn route(&self, meta: &Arc<EventMeta>, reading: &Reading) -> Routed {
        if let Some(reason) = &reading.ignored {
            return Routed::nothing(Verdict::Ignored { reason: reason.clone() }, false);
        }
        let ask = RouteEvent { meta: Arc::clone(meta), payload: reading.payload.clone() };
        self.downstream.router.ask(ask).await.unwrap_or_else(|_| {
            let reason = "the router fell with this event in hand".to_owned();
            // Nobody knows whether runs could come to wait for it.
            Routed::nothing(Verdict::Pending { reason, waits: Vec::new() }, true)
        })
    }

    fn intake(&self, meta: &EventMeta, reading: &Reading, keys: Keys, routed: Routed) -> Result<Intake, Refusal> {
        let record = self.sealer.borrow_mut().seal(meta, &routed.verdict, &reading.payload);
        let callback = self.callback(meta, &routed);
        Ok(Intake {
            id: meta.id,
            at: meta.received_at,
            delivery: keys.delivery,
            occurrence: keys.occurrence,
            record: record.map_err(|_| Refusal::StoreUnavailable)?,
            verdict: routed.verdict,
            runs: routed.runs,
            callback,
        })
    }

    /// What the event says to runs that wait. What the source's configuration leaves out says nothing.
    fn callback(&self, meta: &EventMeta, routed: &Routed) -> Option<Callback> {
        let facts = &meta.facts;
        let keys = facts.correlation_keys.iter().filter(|key| key.len() <= LONGEST_KEY);
        let keys: Vec<String> = keys.take(MOST_KEYS).cloned().collect();
        let is_heard = !matches!(routed.verdict, Verdict::Ignored { .. }) && !keys.is_empty();
        is_heard.then(|| Callback {
            source: meta.source.as_str().to_owned(),
            event_type: facts.event_type.clone(),
            action: facts.action.clone(),
            keys,
            received_at: meta.received_at,
            until: meta.received_at.plus(self.shared.inbox_window),
            awaited: routed.awaited,
        })
    }
}

fn identify(source: &SourceName, reading: &Reading) -> Identify {
    Identify {
        source: source.clone(),
        delivery_id: reading.delivery_id.clone(),
        hook: reading.hook.clone(),
        fingerprint: reading.fingerprint.clone(),
    }
}

fn fell(_: NotTaken) -> Refusal {
    Refusal::ComponentRestarted
}

fn cannot_write(_: StoreError) -> Refusal {
    Refusal::StoreUnavailable
}
