//! Who may deliver to a source, by address: listed networks, and the ranges that GitHub says it delivers from.
//!
//! Pure, but for [`kept`], which reads and writes one file. It never asks anybody: that is
//! `integrations/github/meta.rs`, when the engine's address book says so.

pub mod kept;
pub mod ranges;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;

use self::ranges::CurrentRanges;

/// Who may deliver to a source.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    networks: Vec<IpNet>,
    /// GitHub's ranges, as they are at each moment.
    github: Option<CurrentRanges>,
    /// Whether an operator was told that somebody was refused.
    told: Arc<AtomicBool>,
}

impl Allowed {
    /// These networks, and GitHub's ranges if they are given; neither stands for anybody.
    pub fn new(networks: Vec<IpNet>, github: Option<CurrentRanges>) -> Self {
        Self { networks, github, told: Arc::default() }
    }

    /// Whether whoever has this address may deliver. Somebody of whom it is not known may where anybody may.
    pub fn allows(&self, address: Option<IpAddr>) -> bool {
        if self.networks.is_empty() && self.github.is_none() {
            return true;
        }
        let Some(address) = address.map(|address| address.to_canonical()) else { return false };
        self.networks.iter().any(|network| network.contains(&address))
            || self.github.as_ref().is_some_and(|github| github.get().contains(address))
    }

    /// What an operator is told of the first one that is refused; all of them are counted, and a line each would let a flood fill the
    /// disk.
    pub fn refusal(&self, source: &str, address: Option<IpAddr>) -> Option<String> {
        if self.told.swap(true, Ordering::Relaxed) {
            return None;
        }
        let address = address?.to_canonical();
        let remedy = if is_public(address) {
            format!("add it to `webhooks.{source}.addresses` if it may")
        } else {
            "if that is a proxy, name it in `server.trusted_proxies`, so that it is looked at whose request it hands on"
                .to_owned()
        };
        Some(format!("{address} may not deliver to {source} and was refused; {remedy}. Further ones are only counted"))
    }
}

/// Whether an address is one that machines on the internet have: none of loopback (RFC 1122, RFC 4291), private use (RFC 1918,
/// RFC 4193), carriers' own (RFC 6598) or a link (RFC 3927, RFC 4291).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || is_shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ranges::{Origin, Ranges};
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn listed_networks_and_githubs_ranges_are_let_in_whatever_their_family() {
        let github = CurrentRanges::new(Ranges::built_in());
        let check = |allowed: &Allowed, address: &str, expect: bool| {
            assert_eq!(allowed.allows(Some(address.parse().unwrap())), expect, "{address}");
        };
        let both = Allowed::new(networks(&["10.0.0.0/8"]), Some(github.clone()));
        check(&both, "10.1.2.3", true);
        check(&both, "192.30.252.1", true);
        check(&both, "::ffff:192.30.252.1", true);
        check(&both, "192.30.251.255", false);
        check(&both, "2a0a:a440::1", true);
        check(&both, "2a0a:a448::1", false);
        assert!(!both.allows(None));
        let anybody = Allowed::default();
        check(&anybody, "192.30.251.255", true);
        assert!(anybody.allows(None));
        github.replace(Ranges {
            networks: networks(&["192.30.251.0/24"]),
            origin: Origin::Provider,
            ..Ranges::built_in()
        });
        check(&both, "192.30.251.255", true);
        check(&both, "192.30.252.1", false);
    }

    #[test]
    fn the_first_refusal_is_told_with_its_remedy() {
        let check = |address: &str, expect: &str| {
            let allowed = Allowed::new(networks(&["10.0.0.0/8"]), None);
            let told = allowed.refusal("github", Some(address.parse().unwrap())).unwrap();
            assert!(told.contains(expect), "{told}");
            assert_eq!(allowed.refusal("github", Some(address.parse().unwrap())), None);
        };
        for proxy in
            ["127.0.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"]
        {
            check(proxy, "server.trusted_proxies");
        }
        for sender in ["203.0.113.1", "100.128.0.1", "2001:db8::1"] {
            check(sender, "webhooks.github.addresses");
        }
    }
}
