//! Whether another delivery may come in. Decided from the request's head, before its body is read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::readers::{Readers, Reading};
use crate::current::Current;
use crate::event_log::state::LogState;
use crate::rate_limiter::network::Network;
use crate::refusal::Refusal;
use crate::store::Store;
use crate::time::Timestamp;

/// Bytes of an announced body that count at once; what is more counts as it comes. Almost all bodies are smaller, and nobody
/// keeps others out by announcing what is never sent.
const SET_ASIDE: u64 = 64 << 10;

/// How much may be in flight at once, over all HTTP workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests.
    pub requests: u64,
    /// Of those, of one address, of IPv6 one /64: fewer, so that one sender cannot use up all.
    pub address_requests: u64,
    /// Bytes of bodies: what has come, and what is set aside for each.
    pub body_bytes: u64,
    /// Of those, of one address: fewer again.
    pub address_bytes: u64,
    /// Events that wait to be routed and runs that wait to be started.
    pub backlog: u64,
}

/// What is in flight, and what else admission depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Whether the process is shutting down.
    pub draining: bool,
    /// Whether the store cannot write.
    pub store_broken: bool,
    /// Requests in flight.
    pub requests: u64,
    /// Bytes of bodies in flight.
    pub body_bytes: u64,
    /// What the same address has in flight.
    pub address: Share,
    /// Events that wait to be routed and runs that wait to be started.
    pub backlog: u64,
}

/// What one address has in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Requests.
    pub requests: u64,
    /// Bytes of bodies.
    pub bytes: u64,
}

impl Limits {
    /// These limits where there are so many connections: a connection with a request makes way for nobody, so fewer requests are let in
    /// than there are connections.
    #[must_use]
    pub fn within(self, connections: usize) -> Self {
        let most = u64::try_from(connections / 4 * 3).unwrap_or(u64::MAX).max(1);
        Self { requests: self.requests.min(most), address_requests: self.address_requests.min(most), ..self }
    }

    /// Whether a request with `bytes` of body may come in.
    pub fn admit(&self, load: &Load, bytes: u64) -> Result<(), Refusal> {
        if load.draining {
            return Err(Refusal::Draining);
        }
        if load.store_broken {
            return Err(Refusal::StoreUnavailable);
        }
        if load.backlog >= self.backlog {
            return Err(Refusal::BacklogFull);
        }
        let full = load.requests >= self.requests
            || over(load.body_bytes, bytes, self.body_bytes)
            || self.is_share_full(load.address, bytes);
        if full { Err(Refusal::Overloaded) } else { Ok(()) }
    }

    /// Whether an address that has so much in flight may not have a request with `bytes` of body beside it.
    fn is_share_full(&self, address: Share, bytes: u64) -> bool {
        address.requests >= self.address_requests || over(address.bytes, bytes, self.address_bytes)
    }
}

/// Whether `bytes` beside what others use are too much. A lone body is let in, however large: only others make it too much.
fn over(others: u64, bytes: u64, limit: u64) -> bool {
    others > 0 && others.saturating_add(bytes) > limit
}

/// What is in flight, shared by all HTTP workers.
#[derive(Debug)]
pub struct Gate {
    limits: Current<Limits>,
    draining: AtomicBool,
    requests: AtomicU64,
    body_bytes: AtomicU64,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    addresses: HashMap<Network, Share>,
    readers: Readers,
}

/// A delivery that was let in. Gives its share back when it is dropped.
#[derive(Debug)]
pub struct Admitted {
    gate: Arc<Gate>,
    peer: Option<Network>,
    /// Bytes that it is counted with.
    bytes: u64,
    /// Bytes of its body that have come.
    received: u64,
    /// Its number among the bodies that are waited for, as long as its is.
    reading: Option<u64>,
    displaced: Arc<Displaced>,
}

/// Whether a delivery whose body is coming had to make way for another one.
#[derive(Debug, Default)]
pub struct Displaced {
    is_so: AtomicBool,
    waker: AtomicWaker,
}

impl Gate {
    /// A gate with these limits.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits: Current::new(limits),
            draining: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            inside: Mutex::default(),
        })
    }

    /// Puts other limits in force, for those that come in from now on and for what has not come of a body yet.
    pub fn limit(&self, limits: Limits) {
        self.limits.replace(limits);
    }

    /// Lets nobody in from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether nobody is let in any more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Requests in flight.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of bodies in flight.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// Lets a request in that announces `bytes` of body (zero if it does not say). When there is no room, whoever is furthest
    /// behind with its body makes way.
    pub fn enter(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        bytes: u64,
        outside: &Outside,
        now: Timestamp,
    ) -> Result<Admitted, Refusal> {
        let (peer, bytes, limits) = (peer.map(Network::of), bytes.min(SET_ASIDE), self.limits.get());
        let mut inside = self.inside();
        loop {
            let load = self.load(&inside, peer, outside);
            let Err(refusal) = limits.admit(&load, bytes) else { break };
            let is_of_address = limits.is_share_full(load.address, bytes);
            let of = peer.filter(|_| is_of_address);
            if refusal != Refusal::Overloaded || !self.make_way(&mut inside, of, None, now) {
                return Err(refusal);
            }
        }
        let displaced = Arc::<Displaced>::default();
        self.take(&mut inside, peer, Share { requests: 1, bytes });
        drop(inside);
        Ok(Admitted { gate: Arc::clone(self), peer, bytes, received: 0, reading: None, displaced })
    }

    /// Has one make way, one of this address if there is one; whether one has. `asks` is not the one.
    fn make_way(&self, inside: &mut Inside, of: Option<Network>, asks: Option<u64>, now: Timestamp) -> bool {
        let Some(slowest) = inside.readers.make_way(of, asks, now) else { return false };
        self.give_back(inside, slowest.peer, Share { requests: 1, bytes: slowest.counted });
        slowest.displaced.say();
        true
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, inside: &mut Inside, peer: Option<Network>, more: Share) {
        self.requests.fetch_add(more.requests, Ordering::Relaxed);
        self.body_bytes.fetch_add(more.bytes, Ordering::Relaxed);
        if let Some(peer) = peer {
            let share = inside.addresses.entry(peer).or_default();
            share.requests += more.requests;
            share.bytes += more.bytes;
        }
    }

    fn give_back(&self, inside: &mut Inside, peer: Option<Network>, less: Share) {
        self.requests.fetch_sub(less.requests, Ordering::Relaxed);
        self.body_bytes.fetch_sub(less.bytes, Ordering::Relaxed);
        let Some(peer) = peer else { return };
        if let Some(share) = inside.addresses.get_mut(&peer) {
            share.bytes = share.bytes.saturating_sub(less.bytes);
            share.requests = share.requests.saturating_sub(less.requests);
            if share.requests == 0 {
                inside.addresses.remove(&peer);
            }
        }
    }

    /// How much of what may be in flight is used, from 0 to 1: requests, or bytes of bodies.
    pub fn in_flight(&self) -> f64 {
        let Limits { requests, body_bytes, .. } = **self.limits.get();
        share(self.requests(), requests).max(share(self.body_bytes(), body_bytes))
    }

    /// How much of what may be in flight or wait is used, from 0 to 1.
    pub fn used(&self, outside: &Outside) -> f64 {
        self.in_flight().max(share(outside.backlog, self.limits.get().backlog))
    }

    fn load(&self, inside: &Inside, peer: Option<Network>, outside: &Outside) -> Load {
        Load {
            draining: self.is_draining(),
            store_broken: outside.store_broken,
            requests: self.requests(),
            body_bytes: self.body_bytes(),
            address: peer.and_then(|peer| inside.addresses.get(&peer).copied()).unwrap_or_default(),
            backlog: outside.backlog,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share")]
fn share(used: u64, most: u64) -> f64 {
    (used as f64 / most.max(1) as f64).min(1.0)
}

/// The part of the load that the gate does not count itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside {
    /// Whether the store cannot write.
    pub store_broken: bool,
    /// Events that wait to be routed and runs that wait to be started.
    pub backlog: u64,
}

impl Outside {
    /// As it is now.
    pub fn of(log: &LogState, store: &dyn Store) -> Self {
        let counts = store.counts();
        Self { store_broken: !log.is_writable(), backlog: counts.pending + counts.queued }
    }
}

impl Admitted {
    /// Its body is waited for: from now on it makes way for others when there is no room. One that came with its head never does.
    pub fn waits(&mut self, now: Timestamp) {
        if self.reading.is_none() {
            let (received, counted, displaced) = (self.received, self.bytes, Arc::clone(&self.displaced));
            let reading = Reading { peer: self.peer, since: now, received, counted, displaced };
            self.reading = Some(self.gate.inside().readers.enter(reading));
        }
    }

    /// Counts a body of which `bytes` have come so far.
    pub fn received(&mut self, bytes: u64, now: Timestamp) -> Result<(), Refusal> {
        let gate = Arc::clone(&self.gate);
        let mut inside = gate.inside();
        if self.reading.is_some_and(|number| inside.readers.get_mut(number).is_none()) {
            return Err(Refusal::Overloaded);
        }
        let more = bytes.saturating_sub(self.bytes);
        while let Some(of) = self.crowded_by(&inside, bytes).filter(|_| more > 0) {
            if !gate.make_way(&mut inside, of, self.reading, now) {
                return Err(Refusal::Overloaded);
            }
        }
        self.bytes += more;
        self.received = bytes;
        if let Some(reading) = self.reading.and_then(|number| inside.readers.get_mut(number)) {
            (reading.received, reading.counted) = (bytes, self.bytes);
        }
        gate.take(&mut inside, self.peer, Share { requests: 0, bytes: more });
        Ok(())
    }

    /// Who leaves too little room for a body of `bytes`: others of this address, or anybody; nothing when there is room.
    fn crowded_by(&self, inside: &Inside, bytes: u64) -> Option<Option<Network>> {
        let Limits { body_bytes, address_bytes, .. } = **self.gate.limits.get();
        let own = self.peer.and_then(|peer| inside.addresses.get(&peer).copied()).unwrap_or_default();
        if over(own.bytes.saturating_sub(self.bytes), bytes, address_bytes) {
            return Some(self.peer);
        }
        over(self.gate.body_bytes().saturating_sub(self.bytes), bytes, body_bytes).then_some(None)
    }

    /// Its body is there: from now on it makes way for nobody. An error when it has before.
    pub fn arrived(&mut self) -> Result<(), Refusal> {
        let Some(number) = self.reading else { return Ok(()) };
        self.gate.inside().readers.leave(number).ok_or(Refusal::Overloaded)?;
        self.reading = None;
        Ok(())
    }

    /// Ready when it has to make way, and has lost its share.
    pub fn poll_displaced(&self, context: &mut Context<'_>) -> Poll<()> {
        self.displaced.waker.register(context.waker());
        if self.displaced.is_so.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Displaced {
    fn say(&self) {
        self.is_so.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        // Whoever has made way has given its share back.
        let has_made_way = self.reading.is_some_and(|number| inside.readers.leave(number).is_none());
        if !has_made_way {
            self.gate.give_back(&mut inside, self.peer, Share { requests: 1, bytes: self.bytes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { requests: 10, address_requests: 5, body_bytes: 1_000, address_bytes: 500, backlog: 5 };

    #[test]
    fn admission_names_the_first_thing_that_is_in_the_way() {
        let check = |load: Load, expect| assert_eq!(LIMITS.admit(&load, 100), expect, "{load:?}");
        let quiet = Load::default();
        check(quiet, Ok(()));
        let of_address = |requests, bytes| Share { requests, bytes };
        check(Load { requests: 9, body_bytes: 900, address: of_address(4, 400), backlog: 4, ..quiet }, Ok(()));
        check(Load { requests: 10, ..quiet }, Err(Refusal::Overloaded));
        check(Load { body_bytes: 901, ..quiet }, Err(Refusal::Overloaded));
        check(Load { address: of_address(1, 401), ..quiet }, Err(Refusal::Overloaded));
        check(Load { address: of_address(5, 0), ..quiet }, Err(Refusal::Overloaded));
        check(Load { backlog: 5, requests: 10, ..quiet }, Err(Refusal::BacklogFull));
        check(Load { store_broken: true, backlog: 5, ..quiet }, Err(Refusal::StoreUnavailable));
        check(Load { draining: true, store_broken: true, ..quiet }, Err(Refusal::Draining));
    }

    #[test]
    fn a_lone_large_body_is_let_in() {
        assert_eq!(LIMITS.admit(&Load::default(), 5_000), Ok(()));
    }

    const BEGINNING: Timestamp = Timestamp::from_millis(0);

    fn enter(gate: &Arc<Gate>, peer: u8, bytes: u64, at: i64) -> Result<Admitted, Refusal> {
        gate.enter(Some([127, 0, 0, peer].into()), bytes, &Outside::default(), Timestamp::from_millis(at))
    }

    fn waits(gate: &Arc<Gate>, peer: u8, bytes: u64, at: i64) -> Admitted {
        let mut admitted = enter(gate, peer, bytes, at).unwrap();
        admitted.waits(Timestamp::from_millis(at));
        admitted
    }

    #[test]
    fn a_body_that_came_with_its_head_makes_way_for_nobody() {
        let gate = Gate::new(LIMITS);
        let mut here: Vec<Admitted> = (0..10).map(|n| enter(&gate, n, 10, 0).unwrap()).collect();
        assert_eq!(enter(&gate, 20, 10, 60_000).unwrap_err(), Refusal::Overloaded);
        assert!(here.iter_mut().all(|here| here.received(10, BEGINNING).is_ok() && here.arrived().is_ok()));
    }

    #[test]
    fn what_leaves_gives_its_share_back() {
        let gate = Gate::new(LIMITS);
        let mut first = enter(&gate, 1, 300, 0).unwrap();
        assert_eq!(enter(&gate, 1, 300, 0).unwrap_err(), Refusal::Overloaded, "its address's share is used up");
        let other = enter(&gate, 2, 300, 0).unwrap();
        let mut small = enter(&gate, 1, 0, 0).unwrap();
        assert_eq!(small.received(201, BEGINNING), Err(Refusal::Overloaded), "what was not announced counts as well");
        small.received(200, BEGINNING).unwrap();
        let third = enter(&gate, 3, 100, 0).unwrap();
        assert_eq!(first.received(401, BEGINNING), Err(Refusal::Overloaded));
        drop(small);
        first.received(600, BEGINNING).unwrap();
        assert_eq!((gate.requests(), gate.body_bytes()), (3, 1_000), "alone of its address it may be larger");
        drop((first, other, third));
        assert_eq!((gate.requests(), gate.body_bytes()), (0, 0));
        assert!(gate.inside().addresses.is_empty());
    }

    #[test]
    fn what_is_announced_and_never_sent_keeps_nobody_out() {
        let gate = Gate::new(Limits { body_bytes: 4 * SET_ASIDE, address_bytes: 4 * SET_ASIDE, ..LIMITS });
        let mut large = enter(&gate, 1, 100 * SET_ASIDE, 0).unwrap();
        assert_eq!(gate.body_bytes(), SET_ASIDE);
        let _other = enter(&gate, 2, 100, 0).unwrap();
        large.received(3 * SET_ASIDE, BEGINNING).unwrap();
        assert_eq!(large.received(4 * SET_ASIDE, BEGINNING), Err(Refusal::Overloaded), "what comes counts");
    }

    #[test]
    fn whoever_is_behind_makes_way_and_has_lost_its_share() {
        let gate = Gate::new(LIMITS);
        let mut slow: Vec<Admitted> = (0..10).map(|n| waits(&gate, n, 10, 0)).collect();
        slow[0].arrived().unwrap();
        assert_eq!(enter(&gate, 20, 10, 5).unwrap_err(), Refusal::Overloaded, "nobody is behind yet");
        let mut prompt = enter(&gate, 20, 10, 1_000).unwrap();
        assert_eq!((gate.requests(), gate.body_bytes()), (10, 100));
        assert_eq!(slow[1].arrived(), Err(Refusal::Overloaded), "the first that had not arrived");
        assert_eq!(slow[1].received(10, BEGINNING), Err(Refusal::Overloaded));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(slow[1].poll_displaced(&mut context).is_ready() && slow[2].poll_displaced(&mut context).is_pending());
        prompt.arrived().unwrap();
        drop((slow, prompt));
        assert_eq!((gate.requests(), gate.body_bytes()), (0, 0), "nobody gives back twice");
    }

    #[test]
    fn an_address_makes_room_for_itself() {
        let gate = Gate::new(LIMITS);
        let mut other = waits(&gate, 2, 0, 0);
        let mut own: Vec<Admitted> = (0..5).map(|_| waits(&gate, 1, 0, 10)).collect();
        let _prompt = enter(&gate, 1, 0, 1_000).unwrap();
        assert_eq!((other.arrived(), own[0].arrived()), (Ok(()), Err(Refusal::Overloaded)));
    }

    #[test]
    fn a_body_that_comes_makes_room_for_itself() {
        let gate = Gate::new(LIMITS);
        let mut slow = waits(&gate, 2, 400, 0);
        let mut prompt = enter(&gate, 1, 500, 1_000).unwrap();
        prompt.received(700, Timestamp::from_millis(1_010)).unwrap();
        assert_eq!((slow.arrived(), prompt.arrived()), (Err(Refusal::Overloaded), Ok(())));
        assert_eq!(gate.body_bytes(), 700);
    }

    #[test]
    fn after_draining_nobody_comes_in() {
        let gate = Gate::new(LIMITS);
        gate.drain();
        assert_eq!(enter(&gate, 1, 1, 0).unwrap_err(), Refusal::Draining);
    }
}
