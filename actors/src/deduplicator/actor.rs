//! The door of the deduplicator: computes the keys of a reading.

use std::time::Duration;

use actix::{Actor, Context, Handler, Message, MessageResult, Supervised};

use super::fingerprint;
use crate::event::{Fingerprint, SourceName};
use crate::mailbox::Letter;
use crate::store::{Claim, Occurrence};

/// How long deliveries and occurrences are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// How long a delivery id names its first event.
    pub delivery: Duration,
    /// How long an occurrence names its first event; absent when fingerprints are off.
    pub occurrence: Option<Duration>,
}

/// Asks for the keys of a delivery.
#[derive(Message)]
#[rtype(result = "Keys")]
pub struct Identify {
    /// Its source.
    pub source: SourceName,
    /// The provider's id of it.
    pub delivery_id: String,
    /// The hook that it came through.
    pub hook: Option<String>,
    /// What makes it the same occurrence as another.
    pub fingerprint: Option<Fingerprint>,
}

/// What to claim for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The delivery itself.
    pub delivery: Claim,
    /// What it reports.
    pub occurrence: Option<Occurrence>,
}

/// The actor of the deduplicator, one on every HTTP worker.
pub struct Deduplicator {
    windows: Windows,
}

impl Deduplicator {
    /// A deduplicator with these windows.
    pub fn new(windows: Windows) -> Self {
        Self { windows }
    }

    fn identify(&self, delivery: &Identify) -> Keys {
        let Identify { source, delivery_id, hook, fingerprint } = delivery;
        let occurrence = self.windows.occurrence.zip(fingerprint.as_ref()).map(|(window, print)| Occurrence {
            claim: Claim { key: fingerprint::occurrence(source, print), window },
            hook: hooks_can_overlap(source).then(|| fingerprint::hook(hook.as_deref())),
        });
        let key = fingerprint::delivery(source, delivery_id);
        Keys { delivery: Claim { key, window: self.windows.delivery }, occurrence }
    }
}

/// GitHub sends one occurrence through every hook that covers it, an organisation's and a
/// repository's; and two deliveries of one hook are two occurrences, however equal they look.
fn hooks_can_overlap(source: &SourceName) -> bool {
    source.as_str() == "github"
}

impl Actor for Deduplicator {
    type Context = Context<Self>;
}

impl Supervised for Deduplicator {}

impl Handler<Letter<Identify>> for Deduplicator {
    type Result = MessageResult<Letter<Identify>>;

    fn handle(&mut self, letter: Letter<Identify>, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.identify(&letter.open()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identify(source: &str, fingerprints: bool) -> Keys {
        let occurrence = fingerprints.then(|| Duration::from_secs(300));
        let windows = Windows { delivery: Duration::from_secs(259_200), occurrence };
        Deduplicator::new(windows).identify(&Identify {
            source: SourceName::new(source),
            delivery_id: "guid".into(),
            hook: Some("7".into()),
            fingerprint: Some(Fingerprint(vec!["opened".into()])),
        })
    }

    #[test]
    fn only_github_compares_hooks() {
        assert!(identify("github", true).occurrence.unwrap().hook.is_some());
        assert!(identify("linear", true).occurrence.unwrap().hook.is_none());
    }

    #[test]
    fn fingerprints_can_be_off() {
        assert_eq!(identify("github", false).occurrence, None);
    }
}
