//! The door of the dispatcher: takes reports, tells runs to go on or to make way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};

use super::queue::{Order, Queue, Standing, Ticket};
use crate::executor::messages::{Executors, ReportAll, Told};
use crate::mailbox::{Letter, NotTaken};

/// Pause before an executor without room is told again.
const RETRY: Duration = Duration::from_millis(20);

/// Says how a run stands. Reports follow the journal: what is reported is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Report {
    /// The run.
    pub ticket: Ticket,
    /// How it stands.
    pub standing: Standing,
    /// At which revision of its journal.
    pub revision: u32,
}

/// The actor of the dispatcher.
pub struct Dispatcher {
    queue: Queue,
    slots: usize,
    executors: Executors,
    /// Set when the process is about to end: nobody is told to go on any more.
    draining: Arc<AtomicBool>,
    /// Orders whose executor had no room, with its workflow.
    untold: VecDeque<(String, Order)>,
    retrying: bool,
}

impl Dispatcher {
    /// A dispatcher for so many runs at work at once.
    pub fn new(slots: usize, executors: Executors, draining: Arc<AtomicBool>) -> Self {
        let queue = Queue::new(slots);
        Self { queue, slots, executors, draining, untold: VecDeque::new(), retrying: false }
    }

    fn tell(&mut self, orders: Vec<Order>, ctx: &mut Context<Self>) {
        for order in orders {
            let run = match &order {
                Order::Go(run) | Order::Supersede(run, _) => *run,
            };
            if let Some(workflow) = self.queue.workflow_of(run) {
                self.untold.push_back((workflow.to_owned(), order));
            }
        }
        for _ in 0..self.untold.len() {
            let Some((workflow, order)) = self.untold.pop_front() else { break };
            if self.draining.load(Ordering::SeqCst) && matches!(order, Order::Go(_)) {
                continue;
            }
            let told = self.executors.of(&workflow).and_then(|executor| executor.told.offer(Told(order.clone())));
            match (told, order) {
                (Ok(()), _) => {}
                (Err(NotTaken::Full), order) => self.untold.push_back((workflow, order)),
                // Its executor is gone: what it holds is free for others.
                (Err(NotTaken::Closed), Order::Go(run) | Order::Supersede(run, _)) => self.queue.forget(run),
            }
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

    /// Asks every executor for its runs, those again that have no room now.
    fn ask_for_reports(&self, ctx: &mut Context<Self>) {
        let mut unasked = self.executors.all();
        let ask = async move {
            loop {
                unasked.retain(|executor| executor.report.offer(ReportAll) == Err(NotTaken::Full));
                if unasked.is_empty() {
                    return;
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        ctx.spawn(ask.into_actor(self));
    }
}

impl Actor for Dispatcher {
    type Context = Context<Self>;
}

impl Supervised for Dispatcher {
    /// Nothing here is the truth: the runs are asked how they stand.
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        self.queue = Queue::new(self.slots);
        self.untold.clear();
        self.retrying = false;
        self.ask_for_reports(ctx);
    }
}

impl Handler<Letter<Report>> for Dispatcher {
    type Result = ();

    fn handle(&mut self, letter: Letter<Report>, ctx: &mut Context<Self>) {
        let Report { ticket, standing, revision } = letter.open();
        let orders = self.queue.report(ticket, standing, revision);
        self.tell(orders, ctx);
    }
}
