//! Who may deliver to a source, by address, as the configuration says.

use std::net::IpAddr;

use ipnet::IpNet;

use super::merged::{Origin, Problem};
use super::profiles;
use super::settings::{Checker, network};

/// How often GitHub is asked from where it delivers.
pub(super) const RANGES_INTERVAL: &str = "integrations.github.ranges_interval";

/// The word that stands for the networks from which GitHub says that it delivers.
const GITHUB: &str = "github";

/// Whether `validator` says who may deliver to sources that do not.
const LISTED_ONLY: &str = "validator.ip_whitelist";

/// The proxies that are believed about whose request they hand on.
const TRUSTED_PROXIES: &str = "server.trusted_proxies";

/// Who may deliver to a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSettings {
    /// Networks.
    pub networks: Vec<IpNet>,
    /// Whether those from which GitHub says that it delivers are among them.
    pub github: bool,
    /// Whether nobody but the profile asks for that.
    pub is_profiles: bool,
}

impl AddressSettings {
    /// Whether anybody may.
    pub fn is_open(&self) -> bool {
        self.networks.is_empty() && !self.github
    }
}

impl Checker<'_> {
    /// Who may deliver to a source.
    pub(super) fn addresses(&mut self, source: &str, bind: Option<IpAddr>) -> AddressSettings {
        let own = self.address_list(&format!("webhooks.{source}.addresses"));
        if !own.is_open() || !self.flag(LISTED_ONLY) || self.is_of_a_local_proxy(bind) {
            return own;
        }
        let is_profiles = self.is_profiles();
        if source == GITHUB {
            return AddressSettings { github: true, is_profiles, ..AddressSettings::default() };
        }
        AddressSettings { is_profiles, ..self.address_list("validator.allowed_ips") }
    }

    /// Whether nobody but the profile asks for lists.
    fn is_profiles(&self) -> bool {
        self.merged.entry(LISTED_ONLY).is_some_and(|entry| matches!(entry.origin, Origin::Profile(_)))
    }

    /// Whether that is so, and all that comes, comes from a proxy on this machine that nobody named: then
    /// nothing would be let in.
    fn is_of_a_local_proxy(&self, bind: Option<IpAddr>) -> bool {
        self.is_profiles() && bind.is_some_and(|bind| bind.is_loopback()) && self.list(TRUSTED_PROXIES).is_empty()
    }

    fn address_list(&mut self, path: &str) -> AddressSettings {
        let mut list = AddressSettings::default();
        for text in self.list(path) {
            match network(&text) {
                Some(network) => list.networks.push(network),
                None if text == GITHUB => list.github = true,
                None => self.wrong(
                    path,
                    format!(
                        "`{text}` is not a network; give one such as 192.30.252.0/22 or 2a0a:a440::/29, or \"{GITHUB}\" for those \
                         of GitHub"
                    ),
                ),
            }
        }
        list
    }

    /// What concerns no single source.
    pub(super) fn address_rules(&mut self, bind: Option<IpAddr>) {
        if self.is_of_a_local_proxy(bind) {
            let reason = "the profile would let GitHub's deliveries in from its own addresses only, and a server that listens on \
                          loopback sees none of them: not in force; name the proxy in `server.trusted_proxies`";
            self.concern(LISTED_ONLY, reason.to_owned());
        }
        if let Some(name) = &self.merged.unknown_profile {
            let reason =
                format!("`{name}` is no profile, so it is not looked at; there are {}", profiles::NAMES.join(", "));
            let origin = Origin::Variable(profiles::OF_NODE.to_owned());
            self.warnings.push(Problem { key: profiles::KEY.to_owned(), origin, reason });
        }
        if self.span(RANGES_INTERVAL).is_zero() {
            self.wrong(RANGES_INTERVAL, "must be longer than nothing".to_owned());
        }
        // Also where it says nothing to any source, so that a mistake is found before somebody relies on it.
        if !self.flag(LISTED_ONLY) {
            self.address_list("validator.allowed_ips");
        }
    }
}
