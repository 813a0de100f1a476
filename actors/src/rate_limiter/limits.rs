//! Who is held back, and how. Pure.
//!
//! What is limited is traffic that nobody could verify: requests that were refused before their sender had proved who it is.
//! What has proved that is held back only by a limit that an operator has set for it, because nobody sends it again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::adaptive::{Adaptive, Share, Signals};
use super::known::Known;
use super::network::Network;
use super::window::Window;
use crate::event::SourceName;
use crate::time::Timestamp;

/// What is let through.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The span that limits are for.
    pub window: Duration,
    /// Requests of one address in it that could not be verified.
    pub per_address: u32,
    /// Those to one source.
    pub per_source: u32,
    /// All of them.
    pub in_all: u32,
    /// Those of one address in a short time.
    pub burst: Option<Burst>,
    /// Whoever comes near its limit is answered later.
    pub slow_down: Option<SlowDown>,
    /// The share of what may be in flight from which on whoever is over its limit is not even listened to. What waits to be
    /// worked on would get no less by that.
    pub backpressure: Option<f64>,
    /// The limits go down when we are slow ourselves.
    pub adaptive: Option<Adaptive>,
    /// Addresses that have a count of their own.
    pub most_addresses: usize,
    /// Verified deliveries of a source in the window, of those that an operator limits.
    pub verified: BTreeMap<SourceName, u32>,
}

/// A limit for a short time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Requests.
    pub limit: u32,
    /// In this span.
    pub window: Duration,
}

/// Answers that come later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowDown {
    /// The share of a limit from which on they do.
    pub from: f64,
    /// How much later, at the limit itself.
    pub delay: Duration,
    /// Answers that may be delayed at a time; beyond that they come at once.
    pub most: usize,
}

/// How a requester stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests in `window`.
    pub limit: u32,
    /// How many of them are left.
    pub remaining: u32,
    /// The span that the limit is for.
    pub window: Duration,
    /// When at least one more is left.
    pub resets_in: Duration,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is answered, so much later.
    Answer(Standing, Duration),
    /// It has come too often, and is to come again when [`Standing::resets_in`] is over.
    Refuse(Standing),
}

/// Counts, and says who is held back.
#[derive(Debug)]
pub struct Limiter {
    policy: Policy,
    share: Share,
    addresses: Window<Network>,
    bursts: Window<Network>,
    sources: Window<SourceName>,
    all: Window<()>,
    verified: Window<SourceName>,
    known: Known,
}

/// There are no more sources than the configuration names.
const MOST_SOURCES: usize = 1_000;

impl Limiter {
    /// By this policy, with nobody counted.
    pub fn new(policy: Policy) -> Self {
        let burst = policy.burst.map_or(policy.window, |burst| burst.window);
        Self {
            share: Share::default(),
            addresses: Window::new(policy.window, policy.most_addresses),
            bursts: Window::new(burst, policy.most_addresses),
            sources: Window::new(policy.window, MOST_SOURCES),
            all: Window::new(policy.window, 1),
            verified: Window::new(policy.window, MOST_SOURCES),
            known: Known::default(),
            policy,
        }
    }

    /// Goes on by another policy, with nobody counted; what counted by the same one goes on counting.
    pub fn follow(&mut self, policy: Policy) {
        if policy != self.policy {
            *self = Self::new(policy);
        }
    }

    /// A request could not be verified. Whom nobody knows the address of is counted all the same.
    pub fn unverified(&mut self, peer: Option<IpAddr>, source: Option<&SourceName>, now: Timestamp) -> Ruling {
        let network = peer.map(Network::of);
        let of_address = self.of_address(network, now);
        let of_source = source.map(|source| {
            let limit = self.share.of(self.policy.per_source);
            standing(&mut self.sources, source, limit, now)
        });
        let of_all = standing(&mut self.all, &(), self.share.of(self.policy.in_all), now);
        let all = of_address.iter().copied().chain(of_source).chain([of_all]);
        if let Some(refused) = all.clone().filter(|standing| standing.remaining == 0).max_by_key(|it| it.resets_in) {
            return Ruling::Refuse(refused);
        }
        if let Some(network) = network {
            self.addresses.add(&network, now);
            self.bursts.add(&network, now);
        }
        if let Some(source) = source {
            self.sources.add(source, now);
        }
        self.all.add(&(), now);
        let used = of_address.iter().map(|standing| standing.used_with_one_more()).fold(0.0, f64::max);
        let tightest = all.min_by_key(|standing| standing.remaining).unwrap_or(of_all);
        Ruling::Answer(Standing { remaining: tightest.remaining - 1, ..tightest }, self.delay(used))
    }

    /// Whether so much of an address could not be verified that it is held back.
    pub fn is_over(&mut self, peer: IpAddr, now: Timestamp) -> bool {
        self.of_address(Some(Network::of(peer)), now).iter().any(|standing| standing.remaining == 0)
    }

    /// Whether a request from there would be refused if it could not be verified. What others have used up says nothing of a network
    /// that has proved who it is.
    pub fn is_used_up(&mut self, peer: Option<IpAddr>, source: &SourceName, now: Timestamp) -> bool {
        if peer.is_some_and(|peer| self.is_over(peer, now)) {
            return true;
        }
        if peer.is_some_and(|peer| self.known.has(Network::of(peer), now)) {
            return false;
        }
        let (per_source, in_all) = (self.share.of(self.policy.per_source), self.share.of(self.policy.in_all));
        standing(&mut self.all, &(), in_all, now).remaining == 0
            || standing(&mut self.sources, source, per_source, now).remaining == 0
    }

    /// Somebody there has proved who he is.
    pub fn proved(&mut self, peer: IpAddr, now: Timestamp) {
        self.known.add(Network::of(peer), now);
    }

    /// A delivery was verified. `None` when nobody limits its source.
    pub fn verified(&mut self, source: &SourceName, now: Timestamp) -> Option<Ruling> {
        let limit = *self.policy.verified.get(source)?;
        let standing = standing(&mut self.verified, source, limit, now);
        if standing.remaining == 0 {
            return Some(Ruling::Refuse(standing));
        }
        self.verified.add(source, now);
        Some(Ruling::Answer(Standing { remaining: standing.remaining - 1, ..standing }, Duration::ZERO))
    }

    /// Whether it is time to say how we are.
    pub fn wants_signals(&self, now: Timestamp) -> bool {
        self.policy.adaptive.is_some() && self.share.is_due(now)
    }

    /// Takes in how we are.
    pub fn look(&mut self, seen: &Signals, now: Timestamp) {
        if let Some(adaptive) = &self.policy.adaptive {
            self.share.look(adaptive, seen, now);
        }
    }

    /// The share of the limits that is left, from the floor to 1.
    pub fn share(&self) -> f64 {
        self.share.value()
    }

    fn of_address(&mut self, network: Option<Network>, now: Timestamp) -> Vec<Standing> {
        let Some(network) = network else { return Vec::new() };
        let limit = self.share.of(self.policy.per_address);
        let mut standings = vec![standing(&mut self.addresses, &network, limit, now)];
        if let Some(burst) = self.policy.burst {
            standings.push(standing(&mut self.bursts, &network, self.share.of(burst.limit), now));
        }
        standings
    }

    /// How much later a requester is answered that has used up so much of its limit.
    fn delay(&self, used: f64) -> Duration {
        let Some(SlowDown { from, delay, .. }) = self.policy.slow_down else { return Duration::ZERO };
        if used < from {
            return Duration::ZERO;
        }
        let way = if from < 1.0 { (used - from) / (1.0 - from) } else { 1.0 };
        delay.mul_f64(way.clamp(0.0, 1.0))
    }
}

impl Standing {
    /// The share of the limit that is used up with one more request.
    fn used_with_one_more(&self) -> f64 {
        1.0 - f64::from(self.remaining.saturating_sub(1)) / f64::from(self.limit.max(1))
    }
}

fn standing<K: Eq + std::hash::Hash + Clone>(window: &mut Window<K>, key: &K, limit: u32, now: Timestamp) -> Standing {
    let remaining = limit.saturating_sub(window.count(key, now));
    let resets_in = if remaining == 0 { window.until_below(key, limit, now) } else { window.until_next(now) };
    Standing { limit, remaining, window: window.span(), resets_in }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
