//! The door of the router: holds the current routes and asks the inside.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, MessageResult, Supervised};
use bytes::Bytes;

pub use super::routing::Rules;
use super::routing::{Routed, route};
use crate::current::Current;
use crate::event::EventMeta;
use crate::mailbox::Letter;

/// The rules in force, shared by all routers.
pub type CurrentRules = Current<Rules>;

/// Asks what an event starts.
#[derive(Message)]
#[rtype(result = "Routed")]
pub struct RouteEvent {
    /// The event.
    pub meta: Arc<EventMeta>,
    /// Its payload.
    pub payload: Bytes,
}

/// The actor of the router, one on every HTTP worker.
pub struct Router {
    rules: CurrentRules,
}

impl Router {
    /// A router that follows these rules.
    pub fn new(rules: CurrentRules) -> Self {
        Self { rules }
    }
}

impl Actor for Router {
    type Context = Context<Self>;
}

impl Supervised for Router {}

impl Handler<Letter<RouteEvent>> for Router {
    type Result = MessageResult<Letter<RouteEvent>>;

    fn handle(&mut self, letter: Letter<RouteEvent>, _: &mut Context<Self>) -> Self::Result {
        let RouteEvent { meta, payload } = letter.open();
        let rules = self.rules.get();
        MessageResult(route(&rules, &meta, &payload, meta.received_at))
    }
}
