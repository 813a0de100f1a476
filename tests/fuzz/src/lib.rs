//! What the targets share: a configuration with every kind of source, and what follows from it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use pointsman::boot::{self, Plan};
use pointsman::config::{self, Flags};
use pointsman_actors::event::SourceName;
use pointsman_actors::executor::port::Actions;
use pointsman_actors::validator::port::Source;

/// The secret of all sources.
pub const SECRET: &str = "a secret that no fuzzer guesses: 7d1c0e5b";

const CONFIGURATION: &str = r#"
[webhooks.github]
secret = "SECRET"
events = ["push", "pull_request.opened"]
[webhooks.linear]
secret = "SECRET"
timestamp_tolerance = "36500d"
[webhooks.codegen]
secret = "SECRET"
[webhooks.claude-code]
secret = "SECRET"
[webhooks.coded]
kind = "generic"
scheme = "hmac"
algorithm = "sha512"
encoding = "base64"
header = "x-signature"
prefix = "v0="
event_type = "headers['x-topic']"
action = "payload.a.b"
delivery_id = "payload.id"
subject = "payload.items[0] ~ '#' ~ payload.number"
correlation_keys = ["'order:' ~ payload.id", "payload.keys"]
timestamp = "payload.at"
timestamp_tolerance = "36500d"
secret = "SECRET"
[webhooks.opened]
kind = "generic"
scheme = "token"
header = "x-token"
event_type = "payload.type"
secret = "SECRET"
[webhooks.standard]
kind = "generic"
scheme = "standard"
header = "svix-signature"
timestamp_tolerance = "36500d"
secret = "SECRET"
"#;

/// What a server with this configuration would start with.
fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory for the configuration");
        let file = directory.path().join("config.toml");
        std::fs::write(&file, CONFIGURATION.replace("SECRET", SECRET)).expect("the configuration can be written");
        let flags = Flags { file: Some(file), values: Vec::new() };
        let loaded = config::load(&BTreeMap::new(), &flags, 1).expect("the configuration can be used");
        boot::plan(&loaded).expect("its workflows can be used")
    })
}

/// Its sources, by name.
pub fn sources() -> &'static [(SourceName, Arc<dyn Source>)] {
    static SOURCES: OnceLock<Vec<(SourceName, Arc<dyn Source>)>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let mut sources: Vec<_> = plan().in_force.surface.sources().into_iter().collect();
        sources.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        sources
    })
}

/// What steps can do.
pub fn actions() -> &'static Actions {
    &plan().actions
}

/// Splits at the first byte that is zero.
pub fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (one, other) = data.split_at(at);
    (one, other.get(1..).unwrap_or_default())
}
