//! What retention looks at: events with their runs, oldest first. Nothing is changed here.

use std::ops::Bound;

use pointsman_actors::event_log::record::{self, Record};
use pointsman_actors::ids::EventId;
use pointsman_actors::retention::dossier::{Dossier, Stretch};
use pointsman_actors::store::StoreError;

use super::batch::BatchError;
use super::runs::removal::{self, Over};
use super::{Reader, unavailable};

/// A page ends when its records have so many bytes: what is removed at once stays small.
const MOST_BYTES: usize = 4 << 20;

/// The dossiers of a stretch, oldest first.
pub(super) fn dossiers(reader: &Reader<'_>, stretch: Stretch, limit: usize) -> Result<Vec<Dossier>, StoreError> {
    let (mut dossiers, mut bytes) = (Vec::new(), 0);
    if stretch.is_empty() {
        return Ok(dossiers);
    }
    let after = stretch.after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded(after.bytes().as_slice()));
    let before = stretch.before.as_ref().map_or(Bound::Unbounded, |before| Bound::Excluded(before.bytes().as_slice()));
    for row in reader.trees.events.range::<&[u8], _>((after, before)) {
        if dossiers.len() == limit || bytes >= MOST_BYTES {
            break;
        }
        let (key, row) = row.map_err(|error| unavailable(&error))?;
        let Some(event) = key.first_chunk::<16>().map(|key| EventId::from_bytes(*key)) else { continue };
        bytes += row.len();
        dossiers.push(dossier(reader, event, &row)?);
    }
    Ok(dossiers)
}

fn dossier(reader: &Reader<'_>, event: EventId, record: &[u8]) -> Result<Dossier, StoreError> {
    let Over { since, rows } = match over(reader, event, record) {
        Ok(Some(over)) => over,
        Ok(None) => return Ok(Dossier { event, over_since: None, rows: 0 }),
        Err(BatchError::Record(damage)) => {
            tracing::warn!(%event, %damage, "an old event is kept: a record of it or of its runs is damaged or of a newer version");
            return Ok(Dossier { event, over_since: None, rows: 0 });
        }
        Err(BatchError::Sled(error)) => return Err(unavailable(&error)),
    };
    Ok(Dossier { event, over_since: Some(since.max(event.at())), rows: rows + 1 })
}

/// Since when an event and its runs are over, and the rows of these; `None` while they are not.
fn over(reader: &Reader<'_>, event: EventId, record: &[u8]) -> Result<Option<Over>, BatchError> {
    if reader.trees.pending.contains_key(event.bytes())? {
        return Ok(None);
    }
    if let Err(damage) = record::check(record) {
        if !damage.is_certain() {
            return Err(damage.into());
        }
        reader.set_aside(event);
        return Ok(None);
    }
    let wanted = Record::from_bytes(bytes::Bytes::copy_from_slice(record)).wanted_until()?;
    let over = removal::look(&reader.trees.runs, event)?;
    Ok(over.map(|over| Over { since: over.since.max(wanted.unwrap_or_default()), ..over }))
}
