//! Deliveries whose body is still coming, and which of them makes way when there is no room for another.
//!
//! Anybody can announce a body and send a byte of it now and then. A body that comes is worth more than one that does not:
//! each is taken to have begun at the time at which it would have had to begin if it had come at [`LEAST_RATE`], and whoever
//! would have begun first makes way. So a delivery that is sent at once is the last to go, however many others there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::admission::Displaced;
use crate::rate_limiter::network::Network;
use crate::time::Timestamp;

/// Bytes in a second below which a body falls behind. Providers send more than a hundred times as much; whoever holds thousands
/// of bodies open has to spend as much on each of them.
pub const LEAST_RATE: u64 = 16 << 10;

/// How far behind a body must be to make way. Most bodies come with their heads, so this is short: whoever opens thousands of them at once
/// is to have his own displaced, and not to have others refused. A body that needs longer is safe as long as not all that may be in flight
/// is taken once more in its time.
pub const PATIENCE: Duration = Duration::from_millis(5);

/// A body that is coming.
#[derive(Debug)]
pub struct Reading {
    /// Whose it is.
    pub peer: Option<Network>,
    /// Since when it is waited for.
    pub since: Timestamp,
    /// Bytes of it that have come.
    pub received: u64,
    /// Bytes that it is counted with.
    pub counted: u64,
    /// Told when it has to make way.
    pub displaced: Arc<Displaced>,
}

impl Reading {
    /// When it would have had to begin at the least rate.
    fn began(&self) -> Timestamp {
        self.since.plus(Duration::from_millis(self.received.saturating_mul(1_000) / LEAST_RATE))
    }
}

/// All bodies that are coming.
#[derive(Debug, Default)]
pub struct Readers {
    next: u64,
    reading: HashMap<u64, Reading>,
}

impl Readers {
    /// Enters one; gives its number.
    pub fn enter(&mut self, reading: Reading) -> u64 {
        self.next += 1;
        self.reading.insert(self.next, reading);
        self.next
    }

    /// One of them; nothing when it has made way.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut Reading> {
        self.reading.get_mut(&number)
    }

    /// It is there, or its connection has ended; nothing when it has made way.
    pub fn leave(&mut self, number: u64) -> Option<Reading> {
        self.reading.remove(&number)
    }

    /// The one that makes way for another delivery, one of the same address if that is what is full. Nothing when none is
    /// behind. `number` asks, and is not the one.
    pub fn make_way(&mut self, of: Option<Network>, number: Option<u64>, now: Timestamp) -> Option<Reading> {
        let candidates = self.reading.iter().filter(|(other, reading)| {
            Some(**other) != number && (of.is_none() || reading.peer == of) && reading.began().plus(PATIENCE) < now
        });
        let (slowest, _) = candidates.min_by_key(|(other, reading)| (reading.began(), **other))?;
        let slowest = *slowest;
        self.reading.remove(&slowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(peer: u8) -> Network {
        Network::of([127, 0, 0, peer].into())
    }

    fn reading(peer: u8, since: i64, received: u64) -> Reading {
        let peer = Some(network(peer));
        Reading { peer, since: Timestamp::from_millis(since), received, counted: 0, displaced: Arc::default() }
    }

    /// Who makes way, as its place in `bodies` from 1 on.
    fn check(bodies: &[(u8, i64, u64)], of: Option<u8>, asks: Option<u64>, expect: Option<u64>) {
        let mut readers = Readers::default();
        for (peer, since, received) in bodies {
            readers.enter(reading(*peer, *since, *received));
        }
        let before: Vec<u64> = readers.reading.keys().copied().collect();
        readers.make_way(of.map(network), asks, Timestamp::from_millis(10_000));
        let gone = before.into_iter().find(|number| !readers.reading.contains_key(number));
        assert_eq!(gone, expect, "{bodies:?}");
    }

    #[test]
    fn whoever_is_furthest_behind_makes_way() {
        check(&[], None, None, None);
        check(&[(1, 9_994, 0)], None, None, Some(1));
        check(&[(1, 9_995, 0)], None, None, None);
        check(&[(1, 5_000, 1), (1, 4_000, 0), (1, 6_000, 0)], None, None, Some(2));
        let (a_second, all_that_time) = (LEAST_RATE, LEAST_RATE * 10);
        check(&[(1, 1_000, all_that_time), (1, 8_000, 10)], None, None, Some(2));
        check(&[(1, 1_000, a_second), (1, 1_500, 0)], None, None, Some(2));
        check(&[(1, 1_000, all_that_time)], None, None, None);
    }

    #[test]
    fn an_address_makes_room_for_itself_and_nobody_for_itself_alone() {
        check(&[(1, 1_000, 0), (2, 2_000, 0)], Some(2), None, Some(2));
        check(&[(1, 1_000, 0)], Some(2), None, None);
        check(&[(1, 1_000, 0), (2, 2_000, 0)], None, Some(1), Some(2));
    }
}
