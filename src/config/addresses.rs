//! Who may deliver to a source, by address, as the configuration says.

use ipnet::IpNet;

use super::settings::{Checker, network};

/// How often GitHub is asked from where it delivers.
pub(super) const RANGES_INTERVAL: &str = "integrations.github.ranges_interval";

/// The word that stands for the networks from which GitHub says that it delivers.
const GITHUB: &str = "github";

/// Whether `validator` says who may deliver to sources that do not.
const LISTED_ONLY: &str = "validator.ip_whitelist";

/// Who may deliver to a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSettings {
    /// Networks.
    pub networks: Vec<IpNet>,
    /// Whether those from which GitHub says that it delivers are among them.
    pub github: bool,
}

impl AddressSettings {
    /// Whether anybody may.
    pub fn is_open(&self) -> bool {
        self.networks.is_empty() && !self.github
    }
}

impl Checker<'_> {
    /// Who may deliver to a source.
    pub(super) fn addresses(&mut self, source: &str) -> AddressSettings {
        let own = self.address_list(&format!("webhooks.{source}.addresses"));
        if !own.is_open() || !self.flag(LISTED_ONLY) {
            return own;
        }
        if source == GITHUB {
            return AddressSettings { github: true, ..AddressSettings::default() };
        }
        self.address_list("validator.allowed_ips")
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
    pub(super) fn address_rules(&mut self) {
        if self.span(RANGES_INTERVAL).is_zero() {
            self.wrong(RANGES_INTERVAL, "must be longer than nothing".to_owned());
        }
        // Also where it says nothing to any source, so that a mistake is found before somebody relies on it.
        if !self.flag(LISTED_ONLY) {
            self.address_list("validator.allowed_ips");
        }
    }
}
