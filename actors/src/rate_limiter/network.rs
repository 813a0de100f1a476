//! Whom an address belongs to. Pure.

use std::net::IpAddr;

/// The addresses that are limited as one: of IPv4 a single one, of IPv6 a network of 64 bits, which is the least that anybody
/// is given (RFC 6177; RFC 4291, section 2.5.4), so that its addresses are no use to get around a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(u128);

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() & (u128::MAX << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_as_large_as_what_one_is_given() {
        let check = |one: &str, other: &str, expect| {
            let network = |text: &str| Network::of(text.parse().unwrap());
            assert_eq!(network(one) == network(other), expect, "{one} and {other}");
        };
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8:1:2::1", "2001:db8:1:2:ffff::7", true);
        check("2001:db8:1:2::1", "2001:db8:1:3::1", false);
        check("::1", "127.0.0.1", false);
    }
}
