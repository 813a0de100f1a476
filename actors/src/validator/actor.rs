//! The door of the validator: authenticates on the caller's thread, large bodies on a thread of
//! their own, so that one 25 MiB delivery does not hold up a worker's others.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, Response, Supervised};

use super::port::Source;
use crate::current::Current;
use crate::event::{Delivery, Reading, SourceName};
use crate::mailbox::{Letter, Room};
use crate::refusal::Refusal;

/// Bodies above this many bytes are verified on a blocking thread. Below it a hop costs more than
/// it saves: 256 KiB take about a quarter of a millisecond.
const LARGE_BODY: usize = 256 << 10;

/// The sources that are on, by name.
pub type Sources = Current<HashMap<SourceName, Arc<dyn Source>>>;

/// Asks whether a delivery is authentic, and what it says.
#[derive(Message)]
#[rtype(result = "Result<Authentic, Refusal>")]
pub struct Validate {
    /// The delivery.
    pub delivery: Delivery,
    /// Its source, as it was configured when the request began.
    pub source: Arc<dyn Source>,
}

/// Asks what a delivery says for whose authenticity its provider vouches: it did not come from a sender, but from the
/// provider's API, which was asked over TLS with our credential. Its signature is not looked at.
#[derive(Message)]
#[rtype(result = "Result<Authentic, Refusal>")]
pub struct ReadVouched(pub Delivery);

/// A delivery whose sender has proved to know the secret, and what it says.
#[derive(Debug)]
pub struct Authentic {
    /// The delivery.
    pub delivery: Delivery,
    /// What it says.
    pub reading: Reading,
}

/// The actor of the validator, one on every HTTP worker.
pub struct Validator {
    sources: Sources,
}

impl Validator {
    /// A validator for these sources.
    pub fn new(sources: Sources) -> Self {
        Self { sources }
    }
}

fn validate(source: &dyn Source, delivery: Delivery) -> Result<Authentic, Refusal> {
    let proof = source.authenticate(&delivery, delivery.received_at)?;
    source.proved(proof, delivery.received_at);
    read(source, delivery)
}

fn read(source: &dyn Source, delivery: Delivery) -> Result<Authentic, Refusal> {
    let reading = source.read(&delivery)?;
    Ok(Authentic { delivery, reading })
}

/// What is done with a delivery of a source.
type Work = fn(&dyn Source, Delivery) -> Result<Authentic, Refusal>;

impl Actor for Validator {
    type Context = Context<Self>;
}

impl Supervised for Validator {}

impl Handler<Letter<Validate>> for Validator {
    type Result = Response<Result<Authentic, Refusal>>;

    fn handle(&mut self, letter: Letter<Validate>, _: &mut Context<Self>) -> Self::Result {
        let (Validate { delivery, source }, room) = letter.keep_room();
        work(source, delivery, (room, validate))
    }
}

impl Handler<Letter<ReadVouched>> for Validator {
    type Result = Response<Result<Authentic, Refusal>>;

    fn handle(&mut self, letter: Letter<ReadVouched>, _: &mut Context<Self>) -> Self::Result {
        let (ReadVouched(delivery), room) = letter.keep_room();
        match self.sources.get().get(&delivery.source) {
            Some(source) => work(Arc::clone(source), delivery, (room, read)),
            None => Response::reply(Err(Refusal::UnknownSource)),
        }
    }
}

fn work(
    source: Arc<dyn Source>,
    delivery: Delivery,
    (room, work): (Room, Work),
) -> Response<Result<Authentic, Refusal>> {
    if delivery.body.len() <= LARGE_BODY {
        return Response::reply(work(&*source, delivery));
    }
    Response::fut(async move {
        let validated = tokio::task::spawn_blocking(move || work(&*source, delivery)).await;
        drop(room);
        validated.unwrap_or(Err(Refusal::ComponentRestarted))
    })
}
