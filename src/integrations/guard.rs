//! Which machines may be called when it is not the operator who names them: none that only we can reach.
//!
//! Names are looked up here and the connection goes to what was found, so that nobody can answer differently
//! between the look and the call.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Networks that are not everybody's (IANA, special-purpose address registries of IPv4 and IPv6): this machine,
/// private ones, those of a link with the cloud's metadata among them, shared, reserved and multicast ones.
const NOT_PUBLIC: [&str; 28] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "::ffff:0:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/32",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

static NETWORKS: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| NOT_PUBLIC.iter().filter_map(|net| net.parse().ok()).collect());

/// Says which addresses may be called, and looks names up.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// What may be called although it is not public.
    allowed: Arc<[IpNet]>,
}

/// An address that may not be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a public address; list its network in workflow.allow_private_addresses, or write the host out")]
pub struct Refused(String);

impl Guard {
    /// Public addresses, and those of these networks.
    pub fn new(allowed: &[IpNet]) -> Self {
        Self { allowed: allowed.into() }
    }

    /// Looks at a host that is an address; a name is looked at when it is looked up.
    pub fn look(&self, host: &str) -> Result<(), Refused> {
        match host.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) if !self.lets(address) => Err(Refused(host.to_owned())),
            _ => Ok(()),
        }
    }

    fn lets(&self, address: IpAddr) -> bool {
        let address = meant(address);
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        within(&self.allowed) || !within(&NETWORKS)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (lets, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| guard.lets(found.ip()));
            if lets.is_empty() && !refused.is_empty() {
                return Err(Refused(name.as_str().to_owned()).into());
            }
            Ok(Box::new(lets.into_iter()) as Addrs)
        })
    }
}

/// The address that is called in the end: IPv6 has several ways to write one of IPv4 (RFC 4291, 6052, 3056).
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::from([a, b, c, d])
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_of_the_table_is_one() {
        assert_eq!(NETWORKS.len(), NOT_PUBLIC.len());
    }

    #[test]
    fn what_only_we_can_reach_is_refused_however_it_is_written() {
        let check = |host: &str, lets: bool| {
            // As a URL holds it: `0x7f.1` and `2130706433` are addresses as well.
            let url = reqwest::Url::parse(&format!("http://{host}/")).unwrap();
            assert_eq!(Guard::default().look(url.host_str().unwrap()).is_ok(), lets, "{host} is {url}");
        };
        for refused in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "0",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:7f00:1::]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[ff02::1]",
        ] {
            check(refused, false);
        }
        for fine in ["8.8.8.8", "172.32.0.1", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "example.com"] {
            check(fine, true);
        }
    }

    #[test]
    fn a_listed_network_may_be_called() {
        let guard = Guard::new(&["10.1.0.0/16".parse().unwrap()]);
        assert_eq!(guard.look("10.1.2.3"), Ok(()));
        assert_eq!(guard.look("[::ffff:10.1.2.3]"), Ok(()));
        assert_eq!(guard.look("10.2.0.1"), Err(Refused("10.2.0.1".to_owned())));
    }

    #[actix::test]
    async fn a_name_is_looked_at_when_it_is_looked_up() {
        let look = async |guard: Guard| guard.resolve("localhost".parse().unwrap()).await.map(Iterator::count);
        let refused = look(Guard::default()).await.unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&Refused("localhost".to_owned())));
        let allowed = ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        assert!(look(Guard::new(&allowed)).await.unwrap() > 0);
    }
}
