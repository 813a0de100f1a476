//! The door of the address book: has a provider asked from where it delivers, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use tokio::sync::Notify;

use super::pace::{Next, Pace, Tell};
use super::port::Ranges;
use crate::mailbox::Letter;

/// Asks to renew at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RenewNow;

/// What is kept up to date.
#[derive(Clone)]
pub enum Plan {
    /// Nothing: there is nobody to ask.
    Nothing,
    /// The ranges of a provider.
    Renew {
        /// The provider.
        ranges: Arc<dyn Ranges>,
        /// Whether anybody goes by them; as long as nobody does it is not asked.
        wanted: Arc<AtomicBool>,
        /// From one time to the next.
        every: Duration,
    },
}

/// The actor of the address book.
pub struct AddressBook {
    plan: Plan,
    /// Set when the process is about to end.
    draining: Arc<AtomicBool>,
    asked: Arc<Notify>,
}

impl AddressBook {
    /// Keeps up to date what `plan` says, until `draining` is set.
    pub fn new(plan: Plan, draining: Arc<AtomicBool>) -> Self {
        Self { plan, draining, asked: Arc::default() }
    }
}

impl Actor for AddressBook {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let Plan::Renew { ranges, wanted, every } = &self.plan else { return };
        let (ranges, wanted, asked) = (Arc::clone(ranges), Arc::clone(wanted), Arc::clone(&self.asked));
        let renewing = renew(ranges, *every, (wanted, asked), Arc::clone(&self.draining));
        ctx.spawn(renewing.into_actor(self));
    }
}

/// After a fall the provider is asked at once.
impl Supervised for AddressBook {}

impl Handler<Letter<RenewNow>> for AddressBook {
    type Result = ();

    fn handle(&mut self, letter: Letter<RenewNow>, _: &mut Context<Self>) {
        let RenewNow = letter.open();
        self.asked.notify_one();
    }
}

/// Renews for as long as the process lives.
async fn renew(
    ranges: Arc<dyn Ranges>,
    every: Duration,
    (wanted, asked): (Arc<AtomicBool>, Arc<Notify>),
    draining: Arc<AtomicBool>,
) {
    let mut pace = Pace::new(every);
    while !draining.load(Ordering::SeqCst) {
        if !wanted.load(Ordering::SeqCst) {
            asked.notified().await;
            continue;
        }
        let renewed = ranges.renew().await;
        let Next { wait, tell } = pace.after(&renewed);
        match (tell, renewed) {
            (Some(Tell::Fails), Err(failure)) => tracing::warn!(
                again_in = ?wait,
                "the addresses of a provider are not up to date, and those known before stay in force: {}",
                failure.message
            ),
            (Some(Tell::GoesAgain), _) => tracing::info!("the addresses of a provider are up to date again"),
            _ => {}
        }
        _ = tokio::time::timeout(wait, asked.notified()).await;
    }
}
