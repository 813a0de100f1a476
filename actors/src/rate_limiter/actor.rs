//! The door of the rate limiter: counts what it is told of, and says what becomes of it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, MessageResult, Supervised};

use super::adaptive::Signals;
use super::limits::{Limiter, Policy, Ruling};
use crate::current::Current;
use crate::event::SourceName;
use crate::mailbox::Letter;
use crate::time::{SharedClock, Timestamp};

/// Says what we see of ourselves.
pub type Gauge = Arc<dyn Fn() -> Signals + Send + Sync>;

/// Tells of a request that was refused before its sender had proved who it is.
#[derive(Message)]
#[rtype(result = "Answered")]
pub struct Unverified {
    /// Who sent it.
    pub peer: Option<IpAddr>,
    /// The source that it was for, if there is such a one.
    pub source: Option<SourceName>,
}

/// Tells of a delivery whose sender has proved who it is; nothing comes back when nobody limits its source.
#[derive(Message)]
#[rtype(result = "Option<Ruling>")]
pub struct Verified(pub SourceName);

/// What becomes of a request that could not be verified.
#[derive(Debug)]
pub struct Answered {
    /// Whether it is told what was wrong, or that it comes too often.
    pub ruling: Ruling,
    /// A place among those who are answered later; without one it is answered at once.
    pub later: Option<Later>,
}

/// A place among those who are answered later. Given back when it is dropped.
#[derive(Debug)]
pub struct Later {
    /// How much later.
    pub delay: Duration,
    limits: RateLimits,
}

impl Drop for Later {
    fn drop(&mut self) {
        self.limits.0.delayed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all rate limiters of the process share.
#[derive(Clone, Debug)]
pub struct RateLimits(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    limiter: Mutex<Limiter>,
    /// Requests that are answered later.
    delayed: AtomicUsize,
    at_hand: Current<AtHand>,
}

/// What of a policy need not be locked to be known.
#[derive(Debug)]
struct AtHand {
    most_delayed: usize,
    backpressure: Option<f64>,
    verified: BTreeSet<SourceName>,
}

impl AtHand {
    fn of(policy: &Policy) -> Self {
        Self {
            most_delayed: policy.slow_down.map_or(0, |slow_down| slow_down.most),
            backpressure: policy.backpressure,
            verified: policy.verified.keys().cloned().collect(),
        }
    }
}

impl RateLimits {
    /// By this policy, with nobody counted.
    pub fn new(policy: Policy) -> Self {
        let at_hand = Current::new(AtHand::of(&policy));
        let (limiter, delayed) = (Mutex::new(Limiter::new(policy)), AtomicUsize::new(0));
        Self(Arc::new(Inside { limiter, delayed, at_hand }))
    }

    /// Puts another policy in force. Nobody is counted then, unless it is the same one.
    pub fn follow(&self, policy: Policy) {
        self.0.at_hand.replace(AtHand::of(&policy));
        self.with(|limiter| limiter.follow(policy));
    }

    /// Whether nobody listens to an address when so much of what may be in flight is used.
    pub fn is_unheard(&self, peer: IpAddr, used: impl FnOnce() -> f64, now: Timestamp) -> bool {
        let is_pressed = self.0.at_hand.get().backpressure.is_some_and(|from| used() >= from);
        is_pressed && self.with(|limiter| limiter.is_over(peer, now))
    }

    /// Whether a request from there would be told that it comes too often, if it could not be verified.
    pub fn are_used_up(&self, peer: Option<IpAddr>, source: &SourceName, now: Timestamp) -> bool {
        self.with(|limiter| limiter.is_used_up(peer, source, now))
    }

    /// Somebody there has proved who he is.
    pub fn proved(&self, peer: IpAddr, now: Timestamp) {
        self.with(|limiter| limiter.proved(peer, now));
    }

    /// Whether an operator limits the verified deliveries of a source.
    pub fn are_for(&self, source: &SourceName) -> bool {
        self.0.at_hand.get().verified.contains(source)
    }

    /// The share of the limits that is left, from the floor to 1.
    pub fn share(&self) -> f64 {
        self.with(|limiter| limiter.share())
    }

    /// Requests that are answered later at this moment.
    pub fn delayed(&self) -> usize {
        self.0.delayed.load(Ordering::Relaxed)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Limiter) -> T) -> T {
        work(&mut self.0.limiter.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn later(&self, delay: Duration) -> Option<Later> {
        if delay.is_zero() {
            return None;
        }
        let most = self.0.at_hand.get().most_delayed;
        let take = |delayed: usize| (delayed < most).then_some(delayed + 1);
        self.0.delayed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Later { delay, limits: self.clone() })
    }
}

/// The actor of the rate limiter, one on every HTTP worker.
pub struct RateLimiter {
    limits: RateLimits,
    gauge: Gauge,
    clock: SharedClock,
}

impl RateLimiter {
    /// A rate limiter that shares `limits` with others and lowers them by what `gauge` says.
    pub fn new(limits: RateLimits, gauge: Gauge, clock: SharedClock) -> Self {
        Self { limits, gauge, clock }
    }

    fn unverified(&self, request: &Unverified) -> Answered {
        let now = self.clock.now();
        if self.limits.with(|limiter| limiter.wants_signals(now)) {
            // Nobody waits for the lock while we look at ourselves.
            let seen = (self.gauge)();
            self.limits.with(|limiter| limiter.look(&seen, now));
        }
        let ruling = self.limits.with(|limiter| limiter.unverified(request.peer, request.source.as_ref(), now));
        let delay = match ruling {
            Ruling::Answer(_, delay) => delay,
            Ruling::Refuse(_) => Duration::ZERO,
        };
        Answered { ruling, later: self.limits.later(delay) }
    }
}

impl Actor for RateLimiter {
    type Context = Context<Self>;
}

impl Supervised for RateLimiter {}

impl Handler<Letter<Unverified>> for RateLimiter {
    type Result = MessageResult<Letter<Unverified>>;

    fn handle(&mut self, letter: Letter<Unverified>, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.unverified(&letter.open()))
    }
}

impl Handler<Letter<Verified>> for RateLimiter {
    type Result = MessageResult<Letter<Verified>>;

    fn handle(&mut self, letter: Letter<Verified>, _: &mut Context<Self>) -> Self::Result {
        let (Verified(source), now) = (letter.open(), self.clock.now());
        MessageResult(self.limits.with(|limiter| limiter.verified(&source, now)))
    }
}
