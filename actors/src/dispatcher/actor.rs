//! The door of the dispatcher: takes reports, tells runs to go on or to make way.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};

use super::queue::{Order, Queue, Report};
use super::ready::Ready;
use crate::current::Current;
use crate::executor::messages::{Executors, ReportAll, Told};
use crate::ids::RunId;
use crate::mailbox::{Letter, NotTaken};

/// Pause before an executor without room is told again.
const RETRY: Duration = Duration::from_millis(20);

/// Says how a run stands.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reported(pub Report);

/// Says how all runs of a workflow stand.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Census {
    /// The workflow.
    pub workflow: String,
    /// Its runs that are not over.
    pub reports: Vec<Report>,
}

/// Says that a run will not be heard of again: it is over, or cannot be read.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Gone(pub RunId);

/// Says that nobody drives the runs of this workflow any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Lost(pub String);

/// Says that other slots are in force.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SlotsChanged;

/// Pause before executors that have not told of their runs are asked again.
const COUNT_AGAIN: Duration = Duration::from_millis(100);

/// How many may be at work, and how they are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Runs that may be at work at once.
    pub number: usize,
    /// Whether repositories and teams take turns.
    pub fair: bool,
}

impl Slots {
    fn ready(self) -> Ready {
        Ready::new(self.number, self.fair)
    }
}

/// The actor of the dispatcher.
pub struct Dispatcher {
    queue: Queue,
    slots: Current<Slots>,
    executors: Executors,
    /// Set when the process is about to end: nobody is told to go on any more.
    draining: Arc<AtomicBool>,
    /// Orders whose executor had no room, with its workflow.
    untold: VecDeque<(String, Order)>,
    retrying: bool,
}

impl Dispatcher {
    /// A dispatcher that hands out these slots.
    pub fn new(slots: Current<Slots>, executors: Executors, draining: Arc<AtomicBool>) -> Self {
        let queue = Queue::new(slots.get().ready(), HashSet::new());
        Self { queue, slots, executors, draining, untold: VecDeque::new(), retrying: false }
    }

    fn tell(&mut self, orders: Vec<Order>, ctx: &mut Context<Self>) {
        for order in orders {
            let run = match &order {
                Order::Go(run, _) | Order::Supersede(run, _) => *run,
            };
            if let Some(workflow) = self.queue.workflow_of(run) {
                self.untold.push_back((workflow.to_owned(), order));
            }
        }
        let mut lost = Vec::new();
        for _ in 0..self.untold.len() {
            let Some((workflow, order)) = self.untold.pop_front() else { break };
            if self.draining.load(Ordering::SeqCst) && matches!(order, Order::Go(..)) {
                continue;
            }
            let told = self.executors.of(&workflow).and_then(|executor| executor.told.offer(Told(order.clone())));
            match (told, order) {
                (Ok(()), _) => {}
                (Err(NotTaken::Full), order) => self.untold.push_back((workflow, order)),
                // Its executor is gone: what it holds is free for others.
                (Err(NotTaken::Closed), _) => lost.push(workflow),
            }
        }
        for workflow in lost {
            let orders = self.queue.lost(&workflow);
            self.tell(orders, ctx);
        }
        if !self.untold.is_empty() && !self.retrying {
            self.retrying = true;
            let pause = tokio::time::sleep(RETRY).into_actor(self);
            ctx.spawn(pause.map(|(), dispatcher, ctx| {
                dispatcher.retrying = false;
                dispatcher.tell(Vec::new(), ctx);
            }));
        }
    }

    /// Hands out the slots that are in force, when it is known how all runs stand.
    fn begin(&mut self, ctx: &mut Context<Self>) {
        self.queue = Queue::new(self.slots.get().ready(), self.executors.workflows());
        self.count(ctx);
    }

    /// Asks the executors whose runs are not known for them, until they are. One that is gone has none
    /// that could go on.
    fn count(&mut self, ctx: &mut Context<Self>) {
        let mut uncounted: Vec<String> = self.queue.uncounted().cloned().collect();
        uncounted.sort_unstable();
        for workflow in &uncounted {
            let asked = self.executors.of(workflow).and_then(|executor| executor.report.offer(ReportAll));
            if asked == Err(NotTaken::Closed) {
                let orders = self.queue.lost(workflow);
                self.tell(orders, ctx);
            }
        }
        if !uncounted.is_empty() {
            let pause = tokio::time::sleep(COUNT_AGAIN).into_actor(self);
            ctx.spawn(pause.map(|(), dispatcher, ctx| dispatcher.count(ctx)));
        }
    }
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    /// Nothing here is the truth: the runs are asked how they stand, and nobody goes on before all have
    /// answered.
    fn started(&mut self, ctx: &mut Context<Self>) {
        self.untold.clear();
        self.retrying = false;
        self.begin(ctx);
    }
}

impl Supervised for Dispatcher {}

impl Handler<Letter<Census>> for Dispatcher {
    type Result = ();

    fn handle(&mut self, letter: Letter<Census>, ctx: &mut Context<Self>) {
        let Census { workflow, reports } = letter.open();
        let orders = self.queue.census(&workflow, reports);
        self.tell(orders, ctx);
    }
}

impl Handler<Letter<SlotsChanged>> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: Letter<SlotsChanged>, ctx: &mut Context<Self>) {
        self.begin(ctx);
    }
}

impl Handler<Letter<Gone>> for Dispatcher {
    type Result = ();

    fn handle(&mut self, letter: Letter<Gone>, ctx: &mut Context<Self>) {
        let orders = self.queue.gone(letter.open().0);
        self.tell(orders, ctx);
    }
}

impl Handler<Letter<Lost>> for Dispatcher {
    type Result = ();

    fn handle(&mut self, letter: Letter<Lost>, ctx: &mut Context<Self>) {
        let orders = self.queue.lost(&letter.open().0);
        self.tell(orders, ctx);
    }
}

impl Handler<Letter<Reported>> for Dispatcher {
    type Result = ();

    fn handle(&mut self, letter: Letter<Reported>, ctx: &mut Context<Self>) {
        let orders = self.queue.report(letter.open().0);
        self.tell(orders, ctx);
    }
}
