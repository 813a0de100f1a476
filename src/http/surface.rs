//! What the edge goes by, as the configuration in force says it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::event::SourceName;
use pointsman_actors::validator::port::Source;

use super::Proxies;
use crate::addresses::Allowed;
use crate::addresses::ranges::CurrentRanges;
use crate::sources::Keyring;

/// What one webhook path needs.
#[derive(Clone)]
pub struct Inlet {
    /// The source.
    pub source: Arc<dyn Source>,
    /// Its secrets, with what they have verified.
    pub secrets: Keyring,
    /// The headers that it looks at.
    pub headers: Arc<[String]>,
    /// Its path.
    pub path: String,
    /// The largest body that it takes, in bytes.
    pub max_body: usize,
    /// Who may deliver.
    pub allowed: Allowed,
    /// Whether nobody is asked to prove anything, so that only this machine may deliver.
    pub is_unsigned: bool,
}

/// All that the edge goes by.
pub struct Surface {
    inlets: BTreeMap<String, Arc<Inlet>>,
    /// The proxies that are believed about whose request they hand on.
    pub proxies: Proxies,
    /// How long a body may take.
    pub read_timeout: Duration,
    /// Whether health and metrics ask for a token too.
    pub guard_metrics: bool,
    /// GitHub's ranges, if anybody goes by them.
    pub github_ranges: Option<CurrentRanges>,
}

impl Surface {
    /// With these webhook paths.
    pub fn new(
        inlets: impl Iterator<Item = Inlet>,
        proxies: Proxies,
        read_timeout: Duration,
        guard_metrics: bool,
        github_ranges: Option<CurrentRanges>,
    ) -> Self {
        let inlets = inlets.map(|inlet| (inlet.path.clone(), Arc::new(inlet))).collect();
        Self { inlets, proxies, read_timeout, guard_metrics, github_ranges }
    }

    /// What is delivered to this path.
    pub fn inlet(&self, path: &str) -> Option<Arc<Inlet>> {
        self.inlets.get(path).cloned()
    }

    /// All webhook paths.
    pub fn inlets(&self) -> impl Iterator<Item = &Arc<Inlet>> {
        self.inlets.values()
    }

    /// The sources that are on.
    pub fn sources(&self) -> HashMap<SourceName, Arc<dyn Source>> {
        self.inlets().map(|inlet| (inlet.source.name().clone(), Arc::clone(&inlet.source))).collect()
    }

    /// The secrets of a source that is on.
    pub fn keyring(&self, source: &SourceName) -> Option<Keyring> {
        self.inlets().find(|inlet| inlet.source.name() == source).map(|inlet| inlet.secrets.clone())
    }
}
