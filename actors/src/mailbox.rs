//! Bounded mailboxes. Beside `supervisor.rs` the only file that knows how actix queues.
//!
//! actix's own mailbox capacity does not bound: `do_send` ignores it, and every clone of an address
//! may always put one more. Here the bound is a semaphore. A permit travels inside the [`Letter`] and
//! goes back when the letter is dropped, whether it was handled, cancelled, or lost in a panic. The
//! depth of a mailbox is therefore known without counting, and draining it is taking all permits.

use std::future::Future;
use std::sync::Arc;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message, Recipient};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::supervisor::Vitals;

/// The permit of a letter. As long as it lives, the letter counts as in the mailbox.
#[derive(Debug)]
pub struct Room(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A message on its way, with the room that it takes.
pub struct Letter<M> {
    message: M,
    room: Room,
    vitals: Arc<Vitals>,
}

impl<M: Message> Message for Letter<M> {
    type Result = M::Result;
}

impl<M> Letter<M> {
    /// Takes the message out and gives its room back: for handlers that are done when they return.
    pub fn open(self) -> M {
        self.keep_room().0
    }

    /// Takes the message out together with its room: for handlers whose work goes on after they
    /// return and should still count as in the mailbox.
    pub fn keep_room(self) -> (M, Room) {
        self.vitals.drill_point();
        (self.message, self.room)
    }
}

/// Why a mailbox did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Every permit is out.
    #[error("the mailbox is full")]
    Full,
    /// The component fell with the message in hand, was given up, or has shut down.
    #[error("the component is gone or fell with the message in hand")]
    Closed,
}

/// A supervised actor's mailbox: hands out [`Door`]s for the messages that it handles.
pub struct Mailbox<A: Actor> {
    address: Addr<A>,
    room: Arc<Semaphore>,
    vitals: Arc<Vitals>,
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), room: Arc::clone(&self.room), vitals: Arc::clone(&self.vitals) }
    }
}

impl<A: Actor> Mailbox<A> {
    pub(crate) fn new(address: Addr<A>, vitals: Arc<Vitals>) -> Self {
        Self { address, room: vitals.room(), vitals }
    }

    /// A door for messages of one kind. All doors of a mailbox share its bound.
    pub fn door<M>(&self) -> Door<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<Letter<M>>,
        A::Context: ToEnvelope<A, Letter<M>>,
    {
        Door { to: self.address.clone().recipient(), room: Arc::clone(&self.room), vitals: Arc::clone(&self.vitals) }
    }
}

/// Where messages of one kind are handed to a component.
pub struct Door<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    to: Recipient<Letter<M>>,
    room: Arc<Semaphore>,
    vitals: Arc<Vitals>,
}

impl<M> Clone for Door<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { to: self.to.clone(), room: Arc::clone(&self.room), vitals: Arc::clone(&self.vitals) }
    }
}

#[allow(clippy::disallowed_methods, reason = "the bound is the permit that each of these carries")]
impl<M> Door<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Hands over a message without waiting for room or answer: for facts and hints, up the tree.
    pub fn offer(&self, message: M) -> Result<(), NotTaken> {
        let letter = self.letter(self.room_now()?, message)?;
        self.to.do_send(letter);
        Ok(())
    }

    /// Waits for room, hands the message over, and does not wait for an answer.
    pub async fn post(&self, message: M) -> Result<(), NotTaken> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| NotTaken::Closed)?;
        let letter = self.letter(Room(room), message)?;
        self.to.do_send(letter);
        Ok(())
    }

    /// Waits for room, then for the answer: down the tree only.
    pub async fn ask(&self, message: M) -> Result<M::Result, NotTaken> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| NotTaken::Closed)?;
        let letter = self.letter(Room(room), message)?;
        self.to.send(letter).await.map_err(|_| NotTaken::Closed)
    }

    /// Refuses at once when there is no room; otherwise returns the wait for the answer.
    pub fn ask_if_room(
        &self,
        message: M,
    ) -> Result<impl Future<Output = Result<M::Result, NotTaken>> + use<M>, NotTaken> {
        let letter = self.letter(self.room_now()?, message)?;
        let answer = self.to.send(letter);
        Ok(async move { answer.await.map_err(|_| NotTaken::Closed) })
    }

    /// Takes no new message and waits until those inside are done.
    pub async fn drain(&self) {
        let all = u32::try_from(self.vitals.capacity()).unwrap_or(u32::MAX);
        let taken = self.room.acquire_many(all).await;
        self.room.close();
        drop(taken);
    }

    fn room_now(&self) -> Result<Room, NotTaken> {
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(permit) => Ok(Room(permit)),
            Err(tokio::sync::TryAcquireError::NoPermits) => Err(NotTaken::Full),
            Err(tokio::sync::TryAcquireError::Closed) => Err(NotTaken::Closed),
        }
    }

    fn letter(&self, room: Room, message: M) -> Result<Letter<M>, NotTaken> {
        if self.to.connected() {
            Ok(Letter { message, room, vitals: Arc::clone(&self.vitals) })
        } else {
            Err(NotTaken::Closed)
        }
    }
}
