//! Whoever guesses tokens is told nothing more for a while. Pure.
//!
//! A right token is let in from everywhere and at all times: otherwise whoever shares an address with an operator, or can come
//! from many, could keep the operators out by guessing. Nobody gains by that what a lock is for, because a token that can be
//! guessed is none ([`super::token`]).
//!
//! Wrong tokens count by address over a sliding window of bounded memory; addresses beyond its bound share one count, so that
//! a crowd is held back rather than let through. While an address is locked out nothing more of it counts, so each lock ends.

use std::net::IpAddr;
use std::time::Duration;

use pointsman_actors::rate_limiter::network::Network;
use pointsman_actors::rate_limiter::window::Window;
use pointsman_actors::time::Timestamp;

/// How often one may guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Wrong tokens of one address, of IPv6 of one /64.
    pub most: u32,
    /// Within this span.
    pub window: Duration,
}

/// Addresses with a count of their own: some megabytes at most.
const MOST_ADDRESSES: usize = 20_000;

/// Counts wrong tokens. Whom nobody knows the address of is one address.
#[derive(Debug)]
pub struct Lockout {
    policy: Policy,
    wrong: Window<Option<Network>>,
}

impl Lockout {
    /// By this policy, with nobody counted.
    pub fn new(policy: Policy) -> Self {
        Self { policy, wrong: Window::new(policy.window, MOST_ADDRESSES) }
    }

    /// By which it goes.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// How long nobody is listened to from there; `None` when somebody is.
    pub fn locked_for(&mut self, from: Option<IpAddr>, now: Timestamp) -> Option<Duration> {
        let still = self.wrong.until_below(&from.map(Network::of), self.policy.most, now);
        (!still.is_zero()).then_some(still)
    }

    /// A wrong token came from there.
    pub fn failed(&mut self, from: Option<IpAddr>, now: Timestamp) {
        self.wrong.add(&from.map(Network::of), now);
    }
}
