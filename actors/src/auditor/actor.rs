//! The door of the auditor: reads all runs that are not over from time to time, a page at a time, asks the inside
//! what it makes of them, and shows what it came to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use tokio::sync::Notify;

use super::audit::{Audit, Report, Stored};
use crate::circuit_breaker::board::Board;
use crate::current::Current;
use crate::dispatcher::actor::Slots;
use crate::executor::loading::{Definitions, load_one};
use crate::executor::port::Actions;
use crate::mailbox::Letter;
use crate::store::{OpenRun, Store, StoreError};
use crate::time::{SharedClock, Timestamp};

/// Runs that are read before it rests.
const PAGE: usize = 64;

/// After a page it rests as many times as long as that took, so that it takes a small part of the store's time.
const REST: u32 = 4;

/// Asks for an audit now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AuditNow;

/// What the last audit came to, for everybody to see.
#[derive(Clone, Default)]
pub struct Findings(Arc<Mutex<Option<(Timestamp, Report)>>>);

impl Findings {
    /// What the last audit came to, and when; nothing before the first.
    pub fn last(&self) -> Option<(Timestamp, Report)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, at: Timestamp, report: Report) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, report));
    }
}

/// What the auditor needs.
pub struct Tools {
    /// For reading.
    pub store: Arc<dyn Store>,
    /// What runs are pinned to.
    pub definitions: Definitions,
    /// What steps can do.
    pub actions: Actions,
    /// Which services may be called.
    pub board: Board,
    /// Where `now` comes from.
    pub clock: SharedClock,
    /// Runs that may be at work at once.
    pub slots: Current<Slots>,
    /// From one audit to the next; what is late by less is not late.
    pub every: Duration,
    /// Where it shows what it found.
    pub findings: Findings,
}

/// The actor of the auditor.
pub struct Auditor(Arc<Work>);

struct Work {
    tools: Tools,
    asked: Notify,
}

impl Auditor {
    /// An auditor with these tools.
    pub fn new(tools: Tools) -> Self {
        Self(Arc::new(Work { tools, asked: Notify::new() }))
    }
}

impl Actor for Auditor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let work = Arc::clone(&self.0);
        ctx.spawn(async move { work.go_on().await }.into_actor(self));
    }
}

impl Supervised for Auditor {}

impl Handler<Letter<AuditNow>> for Auditor {
    type Result = ();

    fn handle(&mut self, letter: Letter<AuditNow>, _: &mut Context<Self>) {
        let AuditNow = letter.open();
        self.0.asked.notify_one();
    }
}

impl Work {
    async fn go_on(&self) {
        loop {
            let _ = tokio::time::timeout(self.tools.every, self.asked.notified()).await;
            match self.audit().await {
                Ok(report) => self.tell(report),
                Err(error) => tracing::warn!(%error, "runs could not be audited; trying again"),
            }
        }
    }

    fn tell(&self, report: Report) {
        let before = self.tools.findings.last().map(|(_, report)| report.findings).unwrap_or_default();
        for finding in report.findings.iter().filter(|finding| !before.iter().any(|known| known.run == finding.run)) {
            let (run, workflow, problem) = (finding.run, &finding.workflow, &finding.problem);
            tracing::error!(%run, workflow, problem, "a run does not stand as it should");
        }
        self.tools.findings.show(self.tools.clock.now(), report);
    }

    async fn audit(&self) -> Result<Report, StoreError> {
        let Tools { store, clock, slots, every, .. } = &self.tools;
        let (mut audit, mut after) = (Audit::new(clock.now(), *every, slots.get().number), None);
        loop {
            let began = clock.elapsed();
            let page = store.open_runs(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(audit.finish()) };
            after = Some(last.run);
            for open in &page {
                self.look(&mut audit, open).await?;
            }
            tokio::time::sleep(clock.elapsed().saturating_sub(began) * REST).await;
        }
    }

    async fn look(&self, audit: &mut Audit, open: &OpenRun) -> Result<(), StoreError> {
        let Tools { store, definitions, actions, board, clock, .. } = &self.tools;
        let loaded = match load_one(store.as_ref(), definitions, actions, open.run.id).await {
            Ok(Some(loaded)) => loaded,
            // It is over meanwhile, or damaged: that is named by whoever reads it.
            Ok(None) | Err(StoreError::Damaged { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        if loaded.progress.is_over() {
            return Ok(());
        }
        let definition = loaded.definition.as_deref().ok();
        let stored = Stored { run: &loaded.run, head: &loaded.head, progress: &loaded.progress, definition };
        let now = clock.now();
        audit.circuits(board.moved(now));
        audit.look(&stored, &board.outages(now));
        Ok(())
    }
}
