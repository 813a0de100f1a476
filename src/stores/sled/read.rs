//! Reading: one event, a page of events, the pending ones that are due.

use pointsman_actors::catch_up::checkpoint::Checkpoint;
use pointsman_actors::circuit_breaker::circuit::BreakerRecord;
use pointsman_actors::event::Event;
use pointsman_actors::event_log::record::{Damage, Record};
use pointsman_actors::event_log::sealed;
use pointsman_actors::ids::EventId;
use pointsman_actors::store::{EventQuery, Lease, Page, StoreError};
use pointsman_actors::time::Timestamp;

use super::batch::lease_from_bytes;
use super::open::Trees;
use super::{Reader, unavailable};

/// Records looked at for one page. A filter that matches little gives short pages with a cursor
/// instead of a walk through the whole log.
const LOOKED_AT: usize = 20_000;

/// One event with its payload.
pub(super) fn event(reader: &Reader<'_>, id: EventId) -> Result<Option<Event>, StoreError> {
    let row = reader.trees.events.get(id.bytes()).map_err(|error| unavailable(&error))?;
    if let Some(row) = row {
        return Record::from_bytes(bytes::Bytes::copy_from_slice(&row)).open().map(Some).map_err(|damage| {
            if damage.is_certain() {
                reader.set_aside(id);
            }
            StoreError::Damaged { id: id.to_string(), reason: damage.to_string() }
        });
    }
    let set_aside = reader.trees.damaged.get(id.bytes()).map_err(|error| unavailable(&error))?;
    set_aside.map_or(Ok(None), |row| Err(damaged(id, Record::from_bytes(row.to_vec().into()).open())))
}

/// A page of events, newest first.
pub(super) fn events(reader: &Reader<'_>, query: &EventQuery) -> Result<Page<Event, EventId>, StoreError> {
    let mut page = Page { items: Vec::new(), next: None };
    let rows = match upper_bound(query) {
        Some(upper) => reader.trees.events.range(..upper.bytes().as_slice()),
        None => reader.trees.events.iter(),
    };
    for (looked_at, row) in rows.rev().enumerate() {
        let (key, row) = row.map_err(|error| unavailable(&error))?;
        let Some(id) = key.first_chunk::<16>().map(|key| EventId::from_bytes(*key)) else { continue };
        if query.since.is_some_and(|since| id < EventId::first_at(since)) {
            return Ok(Page { next: None, ..page });
        }
        if page.items.len() == query.limit || looked_at == LOOKED_AT {
            return Ok(page);
        }
        page.next = Some(id);
        match Record::from_bytes(bytes::Bytes::copy_from_slice(&row)).open_meta() {
            Ok(event) if query.matches(&event) => page.items.push(event),
            Err(damage) if damage.is_certain() => reader.set_aside(id),
            // One of a newer version is named when it is asked for.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(Page { next: None, ..page })
}

fn upper_bound(query: &EventQuery) -> Option<EventId> {
    let until = query.until.map(EventId::first_at);
    [query.before, until].into_iter().flatten().min()
}

/// Pending events whose lease has passed, with their payloads; beside them the ids of damaged ones.
pub(super) fn due_pending(
    trees: &Trees,
    limit: usize,
    now: Timestamp,
    damaged: &mut Vec<EventId>,
) -> Result<Vec<(Event, Lease)>, StoreError> {
    let mut due = Vec::new();
    for row in &trees.pending {
        if due.len() == limit {
            break;
        }
        let (key, row) = row.map_err(|error| unavailable(&error))?;
        let id = key.first_chunk::<16>().map(|key| EventId::from_bytes(*key));
        let Some((id, lease)) = id.zip(lease_from_bytes(&row)).filter(|(_, lease)| lease.until <= now) else {
            continue;
        };
        let row = trees.events.get(id.bytes()).map_err(|error| unavailable(&error))?;
        match row.map(|row| Record::from_bytes(bytes::Bytes::copy_from_slice(&row)).open()) {
            Some(Ok(event)) => due.push((event, lease)),
            Some(Err(damage)) if damage.is_certain() => damaged.push(id),
            // One of a newer version waits for that; a row without its event is nothing to route.
            Some(Err(_)) | None => {}
        }
    }
    Ok(due)
}

/// How circuits are. One that is damaged is taken as closed.
pub(super) fn breakers(trees: &Trees) -> Result<Vec<BreakerRecord>, StoreError> {
    let mut breakers = Vec::new();
    for row in trees.breakers.iter().values() {
        breakers.extend(sealed::open(&row.map_err(|error| unavailable(&error))?).ok());
    }
    Ok(breakers)
}

/// How far hooks were caught up with. One that is damaged is as none: then everything is looked through again.
pub(super) fn checkpoints(trees: &Trees) -> Result<Vec<Checkpoint>, StoreError> {
    let mut checkpoints = Vec::new();
    for row in trees.checkpoints.iter().values() {
        checkpoints.extend(sealed::open(&row.map_err(|error| unavailable(&error))?).ok());
    }
    Ok(checkpoints)
}

fn damaged(id: EventId, opened: Result<Event, Damage>) -> StoreError {
    let reason = opened.map_or_else(|damage| damage.to_string(), |_| "it was set aside earlier".to_owned());
    StoreError::Damaged { id: id.to_string(), reason }
}
