//! What other components say to receivers, and the receivers of the process by which they reach one.

use std::sync::{Arc, Mutex, PoisonError};

use actix::Message;
use tokio::sync::Notify;

use super::actor::Receipt;
use crate::event::Delivery;
use crate::mailbox::Door;
use crate::refusal::Refusal;

/// Asks to make a delivery durable for whose authenticity its provider vouches: it was fetched from the provider's API,
/// and no sender has to prove anything. From there on it goes the way of any other.
#[derive(Message)]
#[rtype(result = "Result<Receipt, Refusal>")]
pub struct ReceiveVouched(pub Delivery);

/// The receivers of a process. Each is entered when its HTTP worker starts.
#[derive(Clone, Default)]
pub struct Receivers(Arc<Entered>);

#[derive(Default)]
struct Entered {
    doors: Mutex<Vec<Door<ReceiveVouched>>>,
    more: Notify,
}

impl Receivers {
    /// Enters one.
    pub fn enter(&self, door: Door<ReceiveVouched>) {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner).push(door);
        self.0.more.notify_waiters();
    }

    /// Waits until there is one: from then on deliveries are taken.
    pub async fn open(&self) {
        loop {
            let more = self.0.more.notified();
            if !self.doors().is_empty() {
                return;
            }
            more.await;
        }
    }

    /// Hands a delivery to one of them. One that has fallen may have taken it in: the log knows it again then.
    pub async fn receive(&self, delivery: &Delivery) -> Result<Receipt, Refusal> {
        for door in self.doors() {
            if let Ok(answer) = door.ask(ReceiveVouched(delivery.clone())).await {
                return answer;
            }
        }
        Err(Refusal::ComponentRestarted)
    }

    fn doors(&self) -> Vec<Door<ReceiveVouched>> {
        self.0.doors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
