//! Whether another delivery may come in. Decided from the request's head, before its body is read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::current::Current;
use crate::event_log::state::LogState;
use crate::rate_limiter::network::Network;
use crate::refusal::Refusal;
use crate::store::Store;

/// How much may be in flight at once, over all HTTP workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests.
    pub requests: u64,
    /// Of those, of one address, of IPv6 one /64: fewer, so that one sender cannot use up all.
    pub address_requests: u64,
    /// Bytes of bodies, announced or read.
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
        // A lone request is always let in, however large: only others make it too much.
        let over = |used: u64, limit: u64| used > 0 && used.saturating_add(bytes) > limit;
        let full = load.requests >= self.requests
            || load.address.requests >= self.address_requests
            || over(load.body_bytes, self.body_bytes)
            || over(load.address.bytes, self.address_bytes);
        if full { Err(Refusal::Overloaded) } else { Ok(()) }
    }
}

/// What is in flight, shared by all HTTP workers.
#[derive(Debug)]
pub struct Gate {
    limits: Current<Limits>,
    draining: AtomicBool,
    requests: AtomicU64,
    body_bytes: AtomicU64,
    addresses: Mutex<HashMap<Network, Share>>,
}

/// A delivery that was let in. Gives its share back when it is dropped.
#[derive(Debug)]
pub struct Admitted {
    gate: Arc<Gate>,
    peer: Option<Network>,
    bytes: u64,
}

impl Gate {
    /// A gate with these limits.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits: Current::new(limits),
            draining: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            addresses: Mutex::default(),
        })
    }

    /// Puts other limits in force, for those that come in from now on.
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

    /// Lets a request in that announces `bytes` of body (zero if it does not say).
    pub fn enter(self: &Arc<Self>, peer: Option<IpAddr>, bytes: u64, outside: &Outside) -> Result<Admitted, Refusal> {
        let peer = peer.map(Network::of);
        self.limits.get().admit(&self.load(peer, outside), bytes)?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut admitted = Admitted { gate: Arc::clone(self), peer, bytes: 0 };
        admitted.take(1, bytes);
        Ok(admitted)
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

    fn load(&self, peer: Option<Network>, outside: &Outside) -> Load {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        Load {
            draining: self.is_draining(),
            store_broken: outside.store_broken,
            requests: self.requests(),
            body_bytes: self.body_bytes(),
            address: peer.and_then(|peer| addresses.get(&peer).copied()).unwrap_or_default(),
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
    /// Makes room for a body that has grown to `bytes`, more than was announced.
    pub fn grow_to(&mut self, bytes: u64) -> Result<(), Refusal> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        let limits = self.gate.limits.get();
        let over = |used: u64, limit: u64| {
            let others = used.saturating_sub(self.bytes);
            others > 0 && others.saturating_add(bytes) > limit
        };
        let of_address = self.gate.load(self.peer, &Outside::default()).address.bytes;
        if over(self.gate.body_bytes(), limits.body_bytes) || over(of_address, limits.address_bytes) {
            return Err(Refusal::Overloaded);
        }
        self.take(0, more);
        Ok(())
    }

    fn take(&mut self, requests: u64, bytes: u64) {
        self.bytes += bytes;
        self.gate.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(peer) = self.peer {
            let mut addresses = self.gate.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            let share = addresses.entry(peer).or_default();
            share.requests += requests;
            share.bytes += bytes;
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.gate.requests.fetch_sub(1, Ordering::Relaxed);
        self.gate.body_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let Some(peer) = self.peer else { return };
        let mut addresses = self.gate.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = addresses.get_mut(&peer) {
            share.bytes = share.bytes.saturating_sub(self.bytes);
            share.requests = share.requests.saturating_sub(1);
            if share.requests == 0 {
                addresses.remove(&peer);
            }
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

    #[test]
    fn what_leaves_gives_its_share_back() {
        let gate = Gate::new(LIMITS);
        let peer = Some([127, 0, 0, 1].into());
        let outside = Outside::default();
        let mut first = gate.enter(peer, 300, &outside).unwrap();
        assert_eq!(gate.enter(peer, 300, &outside).unwrap_err(), Refusal::Overloaded, "its address's share is used up");
        let other = gate.enter(Some([127, 0, 0, 2].into()), 300, &outside).unwrap();
        let mut small = gate.enter(peer, 0, &outside).unwrap();
        assert_eq!(small.grow_to(201), Err(Refusal::Overloaded), "what was not announced counts as well");
        small.grow_to(200).unwrap();
        let third = gate.enter(Some([127, 0, 0, 3].into()), 100, &outside).unwrap();
        assert_eq!(first.grow_to(401), Err(Refusal::Overloaded));
        drop(small);
        first.grow_to(600).unwrap();
        assert_eq!((gate.requests(), gate.body_bytes()), (3, 1_000), "alone of its address it may be larger");
        drop((first, other, third));
        assert_eq!((gate.requests(), gate.body_bytes()), (0, 0));
        assert!(gate.addresses.lock().unwrap().is_empty());
    }

    #[test]
    fn after_draining_nobody_comes_in() {
        let gate = Gate::new(LIMITS);
        gate.drain();
        assert_eq!(gate.enter(None, 1, &Outside::default()).unwrap_err(), Refusal::Draining);
    }
}
