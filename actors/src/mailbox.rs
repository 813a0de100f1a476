//! Bounded mailboxes. Beside `supervisor.rs` the only file that knows how actix queues.
//!
//! actix's own mailbox capacity does not bound: `do_send` ignores it, and every clone of an address
//! may always put one more. Here the bound is a semaphore. A permit travels inside the [`Letter`] and
//! goes back when the letter is dropped, whether it was handled, cancelled, or lost in a panic. The
//! depth of a mailbox is therefore known without counting, and draining it is taking all permits.
//!
//! A component that works in batches has a [`Basket`] beside its mailbox: senders put things in, under
//! the same permits, and wake the component only when there are as many as it waits for. A component
//! with its hands full is not woken for every single one.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
        drain(&self.room, &self.vitals).await;
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

/// Wakes a component whose [`Basket`] holds what it waits for. At most one is on its way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ready;

/// What waits for a component that works in batches. A fall loses what was taken out, not what is in.
pub struct Basket<T>(Arc<Mutex<Contents<T>>>);

struct Contents<T> {
    items: VecDeque<(T, Room)>,
    /// Wake the component when there are so many; `None` while it needs no waking.
    wake_at: Option<usize>,
    closed: bool,
    /// The component's, once it has started.
    vitals: Option<Arc<Vitals>>,
}

impl<T> Clone for Basket<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Basket<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Contents { items: VecDeque::new(), wake_at: Some(1), closed: false, vitals: None })))
    }
}

impl<T> Basket<T> {
    /// How many are in it.
    pub fn len(&self) -> usize {
        self.contents().items.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes things out, first come first, until `enough` says so of the last one.
    pub fn take_until(&self, mut enough: impl FnMut(&T) -> bool) -> Vec<(T, Room)> {
        let mut contents = self.contents();
        contents.wake_at = None;
        let mut taken = Vec::new();
        while let Some((item, room)) = contents.items.pop_front() {
            let last = enough(&item);
            taken.push((item, room));
            if last {
                break;
            }
        }
        let vitals = contents.vitals.clone().filter(|_| !taken.is_empty());
        drop(contents);
        if let Some(vitals) = vitals {
            vitals.drill_point();
        }
        taken
    }

    /// Asks to be woken when there are `number`. `false` if there are so many already: then nobody wakes.
    pub fn wake_at(&self, number: usize) -> bool {
        let mut contents = self.contents();
        let wait = contents.items.len() < number;
        contents.wake_at = wait.then_some(number);
        wait
    }

    /// Drops what is in it and takes nothing more.
    pub fn close(&self) {
        let mut contents = self.contents();
        contents.closed = true;
        let dropped = std::mem::take(&mut contents.items);
        drop(contents);
        drop(dropped);
    }

    fn contents(&self) -> MutexGuard<'_, Contents<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where things are put into a component's basket.
pub struct BasketDoor<T> {
    basket: Basket<T>,
    wake: Recipient<Ready>,
    room: Arc<Semaphore>,
    vitals: Arc<Vitals>,
}

impl<T> Clone for BasketDoor<T> {
    fn clone(&self) -> Self {
        let Self { basket, wake, room, vitals } = self;
        Self { basket: basket.clone(), wake: wake.clone(), room: Arc::clone(room), vitals: Arc::clone(vitals) }
    }
}

impl<A: Actor> Mailbox<A> {
    /// A door to the basket that the component was made with.
    pub fn basket_door<T>(&self, basket: Basket<T>) -> BasketDoor<T>
    where
        A: Handler<Ready>,
        A::Context: ToEnvelope<A, Ready>,
    {
        let wake = self.address.clone().recipient();
        basket.contents().vitals = Some(Arc::clone(&self.vitals));
        BasketDoor { basket, wake, room: Arc::clone(&self.room), vitals: Arc::clone(&self.vitals) }
    }
}

#[allow(clippy::disallowed_methods, reason = "the bound is the permit of what was put in")]
impl<T> BasketDoor<T> {
    /// Waits for room and puts `item` in.
    pub async fn put(&self, item: T) -> Result<(), NotTaken> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| NotTaken::Closed)?;
        let mut contents = self.basket.contents();
        if contents.closed || !self.wake.connected() {
            return Err(NotTaken::Closed);
        }
        contents.items.push_back((item, Room(room)));
        if contents.wake_at.is_some_and(|number| contents.items.len() >= number) {
            contents.wake_at = None;
            drop(contents);
            self.wake.do_send(Ready);
        }
        Ok(())
    }

    /// Takes nothing more in, and waits until those inside are done.
    pub async fn drain(&self) {
        drain(&self.room, &self.vitals).await;
    }
}

async fn drain(room: &Semaphore, vitals: &Vitals) {
    let all = u32::try_from(vitals.capacity()).unwrap_or(u32::MAX);
    let taken = room.acquire_many(all).await;
    room.close();
    drop(taken);
}
