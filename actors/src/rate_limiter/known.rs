//! Networks from which somebody has proved lately who he is. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::network::Network;
use crate::time::Timestamp;

/// How long a network stays known: senders deliver more often than that, or come as strangers once.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// Networks that are known at once. Providers deliver from a few hundred; only who has a secret can make one known.
const MOST: usize = 4_096;

/// The networks that are known, and since when.
#[derive(Debug, Default)]
pub struct Known(HashMap<Network, Timestamp>);

impl Known {
    /// Somebody there has proved who he is.
    pub fn add(&mut self, network: Network, now: Timestamp) {
        if self.0.len() >= MOST && !self.0.contains_key(&network) {
            self.0.retain(|_, since| since.plus(KNOWN_FOR) > now);
            if self.0.len() >= MOST {
                return;
            }
        }
        self.0.insert(network, now);
    }

    /// Whether somebody there has, lately.
    pub fn has(&self, network: Network, now: Timestamp) -> bool {
        self.0.get(&network).is_some_and(|since| since.plus(KNOWN_FOR) > now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn network(number: usize) -> Network {
        Network::of(Ipv4Addr::from_bits(u32::try_from(number).unwrap()).into())
    }

    #[test]
    fn a_network_is_known_for_a_while() {
        let (mut known, now) = (Known::default(), Timestamp::from_millis(0));
        known.add(network(1), now);
        assert!(known.has(network(1), now) && !known.has(network(2), now));
        let last = now.plus(KNOWN_FOR - Duration::from_millis(1));
        assert!(known.has(network(1), last) && !known.has(network(1), now.plus(KNOWN_FOR)));
        known.add(network(1), last);
        assert!(known.has(network(1), now.plus(KNOWN_FOR)));
    }

    #[test]
    fn there_are_only_so_many_until_they_have_been_long_enough() {
        let (mut known, now) = (Known::default(), Timestamp::from_millis(0));
        (0..=MOST).for_each(|number| known.add(network(number), now));
        assert!(known.has(network(0), now) && !known.has(network(MOST), now));
        known.add(network(0), now.plus(Duration::from_secs(1)));
        known.add(network(MOST), now.plus(KNOWN_FOR));
        assert!(known.has(network(MOST), now.plus(KNOWN_FOR)) && known.has(network(0), now.plus(KNOWN_FOR)));
        assert_eq!(known.0.len(), 2);
    }
}
