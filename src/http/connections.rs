//! Who may hold a connection, and which connection makes way when there is no room for another.
//!
//! A connection costs whoever opens it nothing, and us a file and some memory. So there are at most so many, of one address
//! at most so many of them, and when there is no room the one makes way that has waited longest without a request: a sender
//! sends its request at once. Connections on which somebody has proved who it is go last. Whoever holds thousands of them open
//! and says nothing, or a byte now and then, thus loses his own. On a connection with a request somebody is at work, and how many requests may
//! be in flight is the receiver's: such a connection never makes way.
//!
//! [`Book`] decides and knows no sockets; a [`Place`] is what a connection holds, and gives back when it ends.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use ipnet::IpNet;
use pointsman_actors::current::Current;
use pointsman_actors::rate_limiter::network::Network;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub total: usize,
    /// Of one address, of IPv6 of one /64.
    pub per_address: usize,
}

/// Files that are open beside connections: the store's, calls of ours, and connections that are about to be closed.
const OTHER_FILES: u64 = 1_024;

impl Limits {
    /// These limits where so many files may be open: each connection is one.
    #[must_use]
    pub fn within(self, files: u64) -> Self {
        let room = usize::try_from(files.saturating_sub(OTHER_FILES).max(files / 2)).unwrap_or(usize::MAX);
        let total = self.total.min(room);
        Self { total, per_address: self.per_address.min(total) }
    }
}

/// What stands in the metrics, since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Open now.
    pub open: u64,
    /// Of those, without a request.
    pub waiting: u64,
    /// Let in so far.
    pub accepted: u64,
    /// Closed because there was no room for another one.
    pub displaced: u64,
    /// Not let in.
    pub refused: u64,
}

/// All connections, and the order in which they make way.
#[derive(Debug)]
struct Book<T> {
    limits: Limits,
    /// Grows with every entry, so that numbers tell who has waited longer.
    next: u64,
    open: HashMap<u64, Entry<T>>,
    waiting: BTreeSet<Turn>,
    addresses: HashMap<Network, OfAddress>,
    counted: Counted,
}

#[derive(Debug)]
struct Entry<T> {
    /// Absent for proxies, which speak for many.
    address: Option<Network>,
    requests: u32,
    turn: Turn,
    holder: T,
}

/// When it makes way: the smallest is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_proven: bool,
    waits_since: u64,
    number: u64,
}

#[derive(Debug, Default)]
struct OfAddress {
    open: usize,
    waiting: BTreeSet<Turn>,
}

impl<T> Book<T> {
    fn new(limits: Limits) -> Self {
        let (open, waiting, addresses) = Default::default();
        Self { limits, next: 0, open, waiting, addresses, counted: Counted::default() }
    }

    /// Lets a connection in; gives its number, and who has to make way for it. Nothing when there is no room.
    fn enter(&mut self, address: Option<Network>, holder: T) -> Option<(u64, Option<T>)> {
        let own = address.and_then(|address| self.addresses.get(&address));
        let first = if own.is_some_and(|own| own.open >= self.limits.per_address) {
            Some(own.and_then(|own| own.waiting.first()).copied())
        } else if self.open.len() >= self.limits.total {
            Some(self.waiting.first().copied())
        } else {
            None
        };
        let displaced = match first {
            Some(None) => {
                self.counted.refused += 1;
                return None;
            }
            Some(Some(turn)) => self.leave(turn.number),
            None => None,
        };
        self.counted.displaced += u64::from(displaced.is_some());
        self.counted.accepted += 1;
        self.next += 1;
        let turn = Turn { is_proven: false, waits_since: self.next, number: self.next };
        self.open.insert(turn.number, Entry { address, requests: 0, turn, holder });
        if let Some(address) = address {
            self.addresses.entry(address).or_default().open += 1;
        }
        self.wait(address, turn, true);
        Some((turn.number, displaced))
    }

    /// A request has begun on it.
    fn begin(&mut self, number: u64) {
        let Some(entry) = self.open.get_mut(&number) else { return };
        entry.requests += 1;
        if entry.requests == 1 {
            let (address, turn) = (entry.address, entry.turn);
            self.wait(address, turn, false);
        }
    }

    /// A request on it is answered.
    fn end(&mut self, number: u64) {
        self.next += 1;
        let Some(entry) = self.open.get_mut(&number) else { return };
        entry.requests = entry.requests.saturating_sub(1);
        if entry.requests == 0 {
            entry.turn.waits_since = self.next;
            let (address, turn) = (entry.address, entry.turn);
            self.wait(address, turn, true);
        }
    }

    /// Somebody has proved on it who he is; a request is at work.
    fn prove(&mut self, number: u64) {
        if let Some(entry) = self.open.get_mut(&number).filter(|entry| entry.requests > 0) {
            entry.turn.is_proven = true;
        }
    }

    /// It has ended, or has to.
    fn leave(&mut self, number: u64) -> Option<T> {
        let entry = self.open.remove(&number)?;
        self.wait(entry.address, entry.turn, false);
        if let Some(address) = entry.address
            && let Some(own) = self.addresses.get_mut(&address)
        {
            own.open -= 1;
            if own.open == 0 {
                self.addresses.remove(&address);
            }
        }
        Some(entry.holder)
    }

    fn wait(&mut self, address: Option<Network>, turn: Turn, waits: bool) {
        let own = address.and_then(|address| self.addresses.get_mut(&address)).map(|own| &mut own.waiting);
        for turns in std::iter::once(&mut self.waiting).chain(own) {
            if waits {
                turns.insert(turn);
            } else {
                turns.remove(&turn);
            }
        }
    }

    fn counted(&self) -> Counted {
        Counted { open: self.open.len() as u64, waiting: self.waiting.len() as u64, ..self.counted }
    }
}

/// All connections of the process.
#[derive(Debug)]
pub struct Connections {
    book: Mutex<Book<Arc<Told>>>,
    proxies: Current<Vec<IpNet>>,
}

/// What a connection holds as long as it is open.
#[derive(Debug)]
pub struct Place {
    number: u64,
    connections: Arc<Connections>,
    told: Arc<Told>,
    begun: AtomicU64,
    ended: AtomicU64,
    is_proven: AtomicBool,
    is_closed: AtomicBool,
    /// It is a proxy's, which speaks for many.
    is_proxys: bool,
}

/// Whether a connection has to make way.
#[derive(Debug, Default)]
struct Told {
    is_so: AtomicBool,
    waker: AtomicWaker,
}

/// A request that is at work on a connection, as long as this is held.
#[derive(Debug)]
pub struct AtWork(Arc<Place>);

/// A connection whose request waits for its turn, as long as this is held.
#[derive(Debug)]
pub struct SteppedBack<'a>(&'a Place);

impl Connections {
    /// No connections. Those of these proxies have no share of an address.
    pub fn new(limits: Limits, proxies: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self { book: Mutex::new(Book::new(limits)), proxies: Current::new(proxies) })
    }

    /// From now on connections of these proxies have no share of an address.
    pub fn trust(&self, proxies: Vec<IpNet>) {
        self.proxies.replace(proxies);
    }

    /// A place for a connection from `peer`; nothing when there is none.
    pub fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Arc<Place>> {
        let peer = peer.map(|peer| peer.to_canonical());
        let is_proxys = peer.is_some_and(|peer| self.proxies.get().iter().any(|network| network.contains(&peer)));
        let peer = peer.filter(|_| !is_proxys);
        let told = Arc::<Told>::default();
        let (number, displaced) = self.book().enter(peer.map(Network::of), Arc::clone(&told))?;
        if let Some(displaced) = displaced {
            displaced.tell();
        }
        let (begun, ended, is_proven, is_closed) = Default::default();
        Some(Arc::new(Place {
            number,
            connections: Arc::clone(self),
            told,
            begun,
            ended,
            is_proven,
            is_closed,
            is_proxys,
        }))
    }

    /// How many there may be.
    pub fn limits(&self) -> Limits {
        self.book().limits
    }

    /// What stands in the metrics.
    pub fn counted(&self) -> Counted {
        self.book().counted()
    }

    fn book(&self) -> MutexGuard<'_, Book<Arc<Told>>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A request has come; it is at work until what this gives is dropped.
    pub fn begin(self: &Arc<Self>) -> AtWork {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.connections.book().begin(self.number);
        AtWork(Arc::clone(self))
    }

    /// Somebody has proved here who he is. Whether that is news: what one has proved through a proxy says nothing of the next one.
    pub fn prove(&self) -> bool {
        let is_first = !self.is_proven.swap(true, Ordering::Relaxed);
        if is_first {
            self.connections.book().prove(self.number);
        }
        is_first || self.is_proxys
    }

    /// Whether whoever sends a request here is known to be somebody who has proved who he is.
    pub fn is_proven(&self) -> bool {
        self.is_proven.load(Ordering::Relaxed) && !self.is_proxys
    }

    /// Whether nobody has proved here who he is, and it is nobody's who speaks for many.
    pub fn is_strange(&self) -> bool {
        !self.is_proven.load(Ordering::Relaxed) && !self.is_proxys
    }

    /// The answer that comes next is the last one.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Whether the last answer was given, or is about to be.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Ends the connection, whatever is still to be read or written on it.
    pub fn end(&self) {
        self.told.tell();
    }

    /// Its request waits for its turn: as long as this is held, the connection makes way like one without a request.
    pub fn step_back(&self) -> SteppedBack<'_> {
        self.connections.book().end(self.number);
        SteppedBack(self)
    }

    /// Requests that have begun, if none is at work.
    pub fn waits_after(&self) -> Option<u64> {
        let (ended, begun) = (self.ended.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed));
        (begun == ended).then_some(begun)
    }

    /// Ready when the connection has to make way.
    pub fn poll_told(&self, context: &mut Context<'_>) -> Poll<()> {
        self.told.waker.register(context.waker());
        if self.told.is_so.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Told {
    fn tell(&self) {
        self.is_so.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

impl Drop for SteppedBack<'_> {
    fn drop(&mut self) {
        self.0.connections.book().begin(self.0.number);
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.connections.book().end(self.0.number);
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.book().leave(self.number);
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
