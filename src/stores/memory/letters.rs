//! What the store in memory does with dead letters, and with events after their verdict.

use pointsman_actors::dead_letter::letter::{Body, Letter, LetterId, LetterQuery, Mark, MarkChange, Place};
use pointsman_actors::event::Verdict;
use pointsman_actors::event::fate::Change;
use pointsman_actors::event_log::record::Record;
use pointsman_actors::ids::EventId;
use pointsman_actors::store::{Answer, Lease, Page, StoreError};
use pointsman_actors::time::Timestamp;

use super::{State, broken};

impl State {
    /// A run or an event was a dead letter since then, or none, and is one since then, or none.
    pub(super) fn letter_moved(&mut self, id: LetterId, before: Option<Timestamp>, after: Option<Timestamp>) {
        if before == after {
            return;
        }
        if let Some(mark) = before.and_then(|since| self.letters.remove(&Place { since, id })) {
            self.counts.letter_taken(&mark);
        }
        if let Some(since) = after {
            self.letters.insert(Place { since, id }, Mark::default());
            self.counts.letter_put();
        }
    }

    /// Operators want something of a dead letter.
    pub(super) fn mark(&mut self, place: Place, change: &MarkChange) -> Answer {
        let Some(mark) = self.letters.get_mut(&place) else { return Answer::Stale };
        *mark = std::mem::take(mark).after(change, &mut self.counts);
        Answer::Applied
    }

    /// Changes the fate of an event, if that can be, with its places among the pending ones and the dead letters.
    pub(super) fn change(&mut self, event: EventId, at: Timestamp, change: Change) -> Result<Answer, StoreError> {
        let held = self.pending.get(&event).copied();
        if matches!(&change, Change::Failed { lease, .. } if held.is_none_or(|held| held.epoch != lease.epoch)) {
            return Ok(Answer::Stale);
        }
        let Some(record) = self.events.get(&event) else { return Ok(Answer::Stale) };
        let before = record.fate().map_err(broken)?;
        let Some(after) = before.clone().after(at, &change) else { return Ok(Answer::Stale) };
        let changed = record.with_fate(&after).map_err(broken)?;
        let (was, is) = (record.bytes().len() as u64, changed.bytes().len() as u64);
        self.counts.bytes = self.counts.bytes + is - was;
        self.events.insert(event, changed);
        if matches!(after.verdict, Verdict::Pending { .. }) {
            let held = held.unwrap_or_default();
            let lease = match &change {
                Change::Failed { lease, .. } => *lease,
                // A lease of its former life must not fit.
                Change::Redrive => Lease { epoch: after.epoch(), until: Timestamp::default() },
                _ => Lease { until: Timestamp::default(), ..held },
            };
            self.pending.insert(event, lease);
        } else {
            self.pending.remove(&event);
        }
        self.counts.pending = self.pending.len() as u64;
        self.letter_moved(LetterId::Event(event), before.dead_since(), after.dead_since());
        match change {
            Change::Redrive => self.counts.redriven += 1,
            Change::Dismiss { .. } => self.counts.dismissed += 1,
            Change::Replay { runs, .. } => runs.into_iter().for_each(|run| self.start(run)),
            Change::Failed { .. } | Change::Hurry => {}
        }
        Ok(Answer::Applied)
    }

    /// Dead letters, newest first.
    pub(super) fn letters_page(&self, query: &LetterQuery) -> Result<Page<Letter, Place>, StoreError> {
        let mut page = Page { items: Vec::<Letter>::new(), next: None };
        for (place, mark) in self.letters.iter().rev().filter(|(place, _)| query.in_range(**place)) {
            let Some(letter) = self.letter_at(*place, mark)?.filter(|letter| query.matches(letter)) else { continue };
            if page.items.len() == query.limit {
                page.next = page.items.last().map(Letter::place);
                return Ok(page);
            }
            page.items.push(letter);
        }
        Ok(page)
    }

    /// One dead letter.
    pub(super) fn letter(&self, id: LetterId) -> Result<Option<Letter>, StoreError> {
        let found = self.letters.iter().find(|(place, _)| place.id == id);
        found.map_or(Ok(None), |(place, mark)| self.letter_at(*place, mark))
    }

    fn letter_at(&self, place: Place, mark: &Mark) -> Result<Option<Letter>, StoreError> {
        let body = match place.id {
            LetterId::Run(run) => {
                let run = self.run_ids.get(&run).and_then(|reference| self.runs.get(reference));
                run.map(|run| Body::Run(Box::new((run.record.clone(), run.head.clone()))))
            }
            LetterId::Event(event) => {
                let event = self.events.get(&event).map(Record::open_meta).transpose().map_err(broken)?;
                event.map(|event| Body::Event(Box::new(event)))
            }
        };
        Ok(body.map(|body| Letter { since: place.since, mark: mark.clone(), body }))
    }

    /// Dead letters that are to be redriven, oldest first.
    pub(super) fn redrives(&self, after: Option<Place>, limit: usize) -> Page<Place, Place> {
        let later = self.letters.iter().filter(|(place, _)| after.is_none_or(|after| **place > after));
        let mut asked = later.filter(|(_, mark)| mark.asked_at.is_some()).map(|(place, _)| *place);
        let items: Vec<Place> = asked.by_ref().take(limit).collect();
        let next = items.last().copied().filter(|_| asked.next().is_some());
        Page { items, next }
    }
}
