//! Turns transitions into one atomic batch over all trees.

mod changes;

use std::collections::HashMap;

use pointsman_actors::dead_letter::letter::LetterId;
use pointsman_actors::event::Verdict;
use pointsman_actors::event_log::record::{self, Damage, Record};
use pointsman_actors::event_log::sealed;
use pointsman_actors::ids::EventId;
use pointsman_actors::retention::dossier::Purge;
use pointsman_actors::run::{Entry, RunHead, RunRecord, RunRef};
use pointsman_actors::store::{Answer, Claim, Counts, Intake, Lease, Occurrence, Transition};
use pointsman_actors::time::Timestamp;
use pointsman_actors::wait::desk::{self, Called, Met};
use pointsman_actors::wait::record::{WaitChange, WaitRef};
use sled::Batch;
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};

use super::claims::{Claims, Draft, FirstClaim};
use super::letters::{self, LetterRows};
use super::open::{Trees, counts_to_bytes};
use super::overlay::Overlay;
use super::runs::RunRows;
use super::waits::WaitRows;

/// Why a batch could not be built or applied.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The database said no.
    #[error(transparent)]
    Sled(#[from] sled::Error),
    /// A record that a transition changes is damaged.
    #[error("a record in the batch is damaged: {0}")]
    Record(#[from] Damage),
}

/// A batch that is being built.
pub struct BatchBuilder<'a> {
    trees: &'a Trees,
    claims: &'a Claims,
    draft: Draft,
    events: Batch,
    pending: Batch,
    runs: RunRows,
    waits: WaitRows,
    breakers: Overlay,
    checkpoints: Overlay,
    letters: LetterRows,
    /// Records of events that this batch has changed, or that something later in it may.
    records: HashMap<EventId, Record>,
    counts: Counts,
    newest: Timestamp,
    /// Leases that this batch has changed: what comes later in it must see them.
    leases: HashMap<EventId, Option<Lease>>,
}

/// A batch that was applied and only has to be flushed.
pub struct Applied {
    /// What to tell those who asked, in their order.
    pub answers: Vec<Answer>,
    /// The counts with this batch.
    pub counts: Counts,
    /// The claims that it adds.
    pub draft: Draft,
}

impl<'a> BatchBuilder<'a> {
    /// An empty batch.
    pub fn new(trees: &'a Trees, claims: &'a Claims, counts: Counts) -> Self {
        Self {
            trees,
            claims,
            draft: Draft::default(),
            events: Batch::default(),
            pending: Batch::default(),
            runs: RunRows::default(),
            waits: WaitRows::new(&trees.waits, counts),
            breakers: Overlay::new(&trees.breakers),
            checkpoints: Overlay::new(&trees.checkpoints),
            letters: LetterRows::new(&trees.letters),
            records: HashMap::new(),
            counts,
            newest: Timestamp::default(),
            leases: HashMap::new(),
        }
    }

    /// Decides and adds all `transitions`, then applies them as one.
    pub fn apply(mut self, transitions: Vec<Transition>) -> Result<Applied, BatchError> {
        let answers = transitions.into_iter().map(|each| self.add(each)).collect::<Result<Vec<_>, _>>()?;
        self.counts.commits += 1;
        self.waits.count(&mut self.counts);
        self.claims.complete(&mut self.draft, self.newest);
        self.write()?;
        Ok(Applied { answers, counts: self.counts, draft: self.draft })
    }

    fn add(&mut self, transition: Transition) -> Result<Answer, BatchError> {
        match transition {
            Transition::Intake(intake) => self.take_in(*intake),
            Transition::Settle { event, lease, verdict, runs } => {
                let answer = self.settle(event, lease, &verdict)?;
                if answer == Answer::Applied {
                    self.start(&runs)?;
                }
                Ok(answer)
            }
            Transition::Advance { run, revision, entries, head, waits, starts } => {
                let answer = self.advance((run, revision), &entries, head, &waits)?;
                if answer != Answer::Stale {
                    self.start(&starts)?;
                }
                Ok(answer)
            }
            Transition::Change { event, at, change } => self.change(event, at, &change),
            Transition::Mark { letter, change } => self.letters.mark(letter, &change, &mut self.counts),
            Transition::KeepBreaker(record) => {
                self.breakers.insert(record.name.clone().into_bytes(), sealed::seal(&record)?);
                Ok(Answer::Applied)
            }
            Transition::KeepCheckpoint(checkpoint) => {
                self.checkpoints.insert(checkpoint.hook.clone().into_bytes(), sealed::seal(&checkpoint)?);
                Ok(Answer::Applied)
            }
            Transition::KeepDefinition { hash, content } => self.runs.keep_definition(&hash, &content),
            Transition::Purge(purge) => self.purge(purge),
        }
    }

    fn take_in(&mut self, intake: Intake) -> Result<Answer, BatchError> {
        self.newest = self.newest.max(intake.at);
        if let Some(first) = self.first(&intake.delivery, intake.at)? {
            self.counts.redeliveries += 1;
            return Ok(Answer::Redelivered { of: first.event });
        }
        let hook = intake.occurrence.and_then(|occurrence| occurrence.hook);
        let claim = FirstClaim { event: intake.id, at: intake.at, hook };
        self.claims.claim(&mut self.draft, intake.delivery.key, claim);
        if let Some(Occurrence { claim: wanted, hook }) = intake.occurrence {
            match self.first(&wanted, intake.at)? {
                Some(first) if hook.is_none() || hook != first.hook => {
                    let verdict = Verdict::Duplicate { of: first.event };
                    self.store(intake.id, &intake.record.with_verdict(&verdict)?);
                    self.counts.duplicates += 1;
                    return Ok(Answer::Duplicate { of: first.event });
                }
                // The same hook once more is another occurrence; the key stays with its first.
                Some(_) => {}
                None => self.claims.claim(&mut self.draft, wanted.key, claim),
            }
        }
        if matches!(intake.verdict, Verdict::Pending { .. }) {
            self.set_lease(intake.id, Some(Lease::default()));
            self.counts.pending += 1;
        }
        let called = self.called(&intake)?;
        if called == Called::default() {
            self.store(intake.id, &intake.record);
        } else {
            let record = intake.record.map_verdict(|verdict| verdict.called(&called))?;
            self.store(intake.id, &record);
            self.records.insert(intake.id, record);
        }
        self.start(&intake.runs)?;
        Ok(completed(called.completed, Answer::Stored))
    }

    /// What an event says to runs that wait.
    fn called(&mut self, intake: &Intake) -> Result<Called, BatchError> {
        match &intake.callback {
            Some(callback) if callback.awaited || self.waits.has_any() => {
                self.waits.forget_expired(intake.at)?;
                desk::call(&mut self.waits, intake.id, callback)
            }
            _ => Ok(Called::default()),
        }
    }

    fn advance(
        &mut self,
        (run, revision): (RunRef, u32),
        entries: &[Entry],
        head: RunHead,
        waits: &[WaitChange],
    ) -> Result<Answer, BatchError> {
        if !desk::holds(&mut self.waits, waits)? {
            return Ok(Answer::Stale);
        }
        let at = head.updated_at;
        let answer = self.runs.advance(
            &self.trees.runs,
            run,
            (revision, entries, head),
            (&mut self.counts, &mut self.letters),
        )?;
        if answer != Answer::Applied {
            return Ok(answer);
        }
        let met = desk::change(&mut self.waits, waits, at)?;
        for Met { wait, event } in &met {
            if let Some(event) = event {
                self.change_verdict(*event, |verdict| verdict.completing(&[wait.wait]))?;
            }
        }
        Ok(completed(met.into_iter().map(|met| met.wait).collect(), answer))
    }

    /// Changes the verdict of an event; `false` if its record is not there or damaged. Whoever reads it then sets
    /// it aside; the others of the batch go on.
    fn change_verdict(&mut self, event: EventId, change: impl FnOnce(Verdict) -> Verdict) -> Result<bool, BatchError> {
        let Some(record) = self.record(event)? else { return Ok(false) };
        let Ok(changed) = record.map_verdict(change) else { return Ok(false) };
        self.replace(event, &record, changed);
        Ok(true)
    }

    fn start(&mut self, runs: &[RunRecord]) -> Result<(), BatchError> {
        runs.iter().try_for_each(|run| self.runs.start(&self.trees.runs, run, &mut self.counts))
    }

    fn first(&self, claim: &Claim, at: Timestamp) -> sled::Result<Option<FirstClaim>> {
        self.claims.first(&self.draft, claim, at)
    }

    fn store(&mut self, id: EventId, record: &Record) {
        self.counts.events += 1;
        self.counts.bytes += record.bytes().len() as u64;
        self.events.insert(&id.bytes()[..], &record.bytes()[..]);
    }

    fn settle(&mut self, event: EventId, lease: Lease, verdict: &Verdict) -> Result<Answer, BatchError> {
        if self.lease(event)?.is_none_or(|held| held.epoch != lease.epoch) {
            return Ok(Answer::Stale);
        }
        // What it completed when it came stands.
        if !self.change_verdict(event, |before| verdict.clone().completing(before.waits()))? {
            return Ok(Answer::Stale);
        }
        if matches!(verdict, Verdict::Pending { .. }) {
            self.set_lease(event, Some(lease));
        } else {
            self.set_lease(event, None);
            self.counts.pending = self.counts.pending.saturating_sub(1);
        }
        Ok(Answer::Applied)
    }

    /// An event goes with all its runs, if none of them has begun again.
    fn purge(&mut self, purge: Purge) -> Result<Answer, BatchError> {
        let Purge { event, .. } = purge;
        // What this batch has settled, or removed, has a lease here that says so; what it has changed otherwise, its
        // record.
        if self.leases.contains_key(&event) || self.records.contains_key(&event) || self.lease(event)?.is_some() {
            return Ok(Answer::Stale);
        }
        let Some(row) = self.trees.events.get(event.bytes())? else { return Ok(Answer::Stale) };
        if record::check(&row).is_err() {
            return Ok(Answer::Stale);
        }
        let Some(runs) = self.runs.remove_of(&self.trees.runs, purge)? else { return Ok(Answer::Stale) };
        self.events.remove(&event.bytes()[..]);
        self.leases.insert(event, None);
        self.counts.purged(row.len(), runs.len());
        if let Ok(fate) = Record::from_bytes(row.to_vec().into()).fate() {
            self.letters.moved(LetterId::Event(event), (fate.dead_since(), None), &mut self.counts)?;
        }
        for (run, head) in runs {
            self.waits.forget_run(run.id, head.revision)?;
            self.letters.moved(LetterId::Run(run.id), (head.dead_since(), None), &mut self.counts)?;
        }
        Ok(Answer::Applied)
    }

    fn lease(&self, event: EventId) -> sled::Result<Option<Lease>> {
        if let Some(lease) = self.leases.get(&event) {
            return Ok(*lease);
        }
        Ok(self.trees.pending.get(event.bytes())?.and_then(|row| lease_from_bytes(&row)))
    }

    fn set_lease(&mut self, event: EventId, lease: Option<Lease>) {
        match lease {
            Some(lease) => self.pending.insert(&event.bytes()[..], &lease_to_bytes(lease)[..]),
            None => self.pending.remove(&event.bytes()[..]),
        }
        self.leases.insert(event, lease);
    }

    fn write(&self) -> sled::Result<()> {
        let Trees { events, blocks, filters, recent, pending, meta, runs, .. } = self.trees;
        let mut trees = vec![events, blocks, filters, recent, pending];
        let mut batches =
            vec![&self.events, &self.draft.blocks, &self.draft.filters, &self.draft.recent, &self.pending];
        if !self.runs.is_empty() {
            trees.extend(runs.all());
            batches.extend(self.runs.batches());
        }
        let mut more = self.waits.batches();
        let changed = [&self.breakers, &self.checkpoints].into_iter().filter(|overlay| overlay.is_changed());
        more.extend(changed.map(|overlay| (overlay.tree(), overlay.batch())));
        more.extend(self.letters.changed());
        for (tree, batch) in &more {
            trees.push(tree);
            batches.push(batch);
        }
        let mut counts = Batch::default();
        counts.insert("counts", counts_to_bytes(&self.counts));
        trees.push(meta);
        batches.push(&counts);
        let trees: Vec<sled::Tree> = trees.into_iter().cloned().collect();
        apply_all(&trees, &batches)
    }
}

fn completed(waits: Vec<WaitRef>, otherwise: Answer) -> Answer {
    if waits.is_empty() { otherwise } else { Answer::Completed { waits } }
}

/// Applies a batch to each tree, all or none.
fn apply_all(trees: &[sled::Tree], batches: &[&Batch]) -> sled::Result<()> {
    let applied = trees.transaction(|trees| {
        trees.iter().zip(batches).try_for_each(|(tree, batch)| tree.apply_batch(batch))?;
        Ok::<_, ConflictableTransactionError<()>>(())
    });
    applied.map_err(|error| match error {
        TransactionError::Storage(error) => error,
        TransactionError::Abort(()) => sled::Error::Unsupported("nothing aborts a batch".to_owned()),
    })
}

/// Moves the record of an event out of the way; `false` if it is not there.
pub fn set_aside(trees: &Trees, id: EventId, counts: &mut Counts) -> sled::Result<bool> {
    let Some(row) = trees.events.get(id.bytes())? else { return Ok(false) };
    let (mut events, mut damaged, mut pending, mut meta) =
        (Batch::default(), Batch::default(), Batch::default(), Batch::default());
    events.remove(&id.bytes()[..]);
    damaged.insert(&id.bytes()[..], row);
    pending.remove(&id.bytes()[..]);
    let letters = letters::forget_event(trees, id, counts)?;
    counts.damaged += 1;
    counts.pending = counts.pending.saturating_sub(u64::from(trees.pending.contains_key(id.bytes())?));
    meta.insert("counts", counts_to_bytes(counts));
    let of = [&trees.events, &trees.damaged, &trees.pending, &trees.letters, &trees.meta].map(Clone::clone);
    apply_all(&of, &[&events, &damaged, &pending, &letters, &meta]).map(|()| true)
}

/// A lease as it is stored: epoch and end, eight bytes each.
pub fn lease_to_bytes(lease: Lease) -> [u8; 16] {
    let mut bytes = [0; 16];
    let whole = lease.epoch.to_be_bytes().into_iter().chain(lease.until.millis().to_be_bytes());
    bytes.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    bytes
}

/// Back from its bytes.
pub fn lease_from_bytes(row: &[u8]) -> Option<Lease> {
    let (epoch, rest) = row.split_first_chunk::<8>()?;
    let until = rest.first_chunk::<8>()?;
    Some(Lease { epoch: u64::from_be_bytes(*epoch), until: Timestamp::from_millis(i64::from_be_bytes(*until)) })
}
