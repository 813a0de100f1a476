//! Where people are told: targets with a name each, a file for each kind. A target knows its provider's form, its limits,
//! and which answers mean that it takes nothing any more. Addresses and secrets stand in no message.

pub mod discord;
pub mod message;
pub mod slack;
pub mod webhook;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::SharedClock;
use reqwest::{Client, Method, RequestBuilder};
use sha2::{Digest, Sha256};

use super::http::{self, Answer};
use super::pace::Pace;
use crate::config::settings::SecretText;
use crate::sources::Secret;
pub use message::{Level, Message};

/// Most characters of an answer that a failure shows.
const LONGEST_SAID: usize = 200;

/// Whose turn comes within this waits for it; any other comes back later, and holds no slot until then.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of Discord.
    Discord,
    /// Standard Webhooks.
    Webhook,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Slack, Self::Discord, Self::Webhook];

    /// The name that the configuration writes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Webhook => "webhook",
        }
    }
}

/// What the configuration says of a target.
#[derive(Clone, Debug)]
pub struct TargetSettings {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub kind: Kind,
    /// Its address, which is a credential.
    pub url: SecretText,
    /// What signs messages to it, if it wants that.
    pub secret: Option<SecretText>,
    /// Whether it is told what steps say that name no target.
    pub is_default: bool,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// This time.
    Failed(Failure),
    /// The target takes nothing any more, in its words.
    Gone(String),
}

impl Undelivered {
    fn gone(who: &str, answer: &Answer, said: &str) -> Self {
        Self::Gone(text_of(who, answer, said))
    }
}

impl From<Failure> for Undelivered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A target.
pub struct Target {
    http: Client,
    clock: SharedClock,
    kind: Kind,
    url: SecretText,
    secret: Option<Secret>,
    pace: Option<Mutex<Pace>>,
    /// Nothing is sent before that, by the time that never goes back.
    rests_until: Mutex<Duration>,
}

impl Target {
    /// The target of these settings.
    pub fn new(http: Client, settings: &TargetSettings, clock: SharedClock) -> Self {
        let TargetSettings { kind, url, secret, .. } = settings.clone();
        let pace = (kind == Kind::Slack).then(|| Mutex::new(Pace::new(slack::PACE.0, slack::PACE.1)));
        let secret = secret.map(|secret| Secret::new(secret.expose()));
        Self { http, clock, kind, url, secret, pace, rests_until: Mutex::default() }
    }

    /// Whether its receiver recognises the key of a message: then one in doubt may be sent again.
    pub fn is_keyed(&self) -> bool {
        self.kind == Kind::Webhook
    }

    /// Waits until it takes another message, if that is soon. Otherwise nothing was sent, and it says how long it is.
    pub async fn admit(&self) -> Result<(), Failure> {
        let pause = self.turn().map_err(|pause| {
            let message = format!("{} takes no more messages for {pause:.1?}", self.kind.name());
            Failure::new(ErrorClass::RateLimit, message).retry_after(pause).unsent()
        })?;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn turn(&self) -> Result<Duration, Duration> {
        let now = self.clock.elapsed();
        let rest = locked(&self.rests_until).saturating_sub(now);
        if rest > PATIENCE {
            return Err(rest);
        }
        let turn = self.pace.as_ref().map_or(Ok(Duration::ZERO), |pace| locked(pace).reserve(now, PATIENCE))?;
        Ok(turn.max(rest))
    }

    /// Sends a message, and waits at most `limit` for the answer.
    pub async fn post(&self, message: &Message, limit: Duration) -> Result<(), Undelivered> {
        let request = self.request(message).timeout(limit);
        let answer = http::send(self.kind.name(), &Method::POST, request).await?;
        let judged = match self.kind {
            Kind::Slack => slack::judge(&answer),
            Kind::Discord => discord::judge(&answer),
            Kind::Webhook => webhook::judge(&answer, self.clock.now()),
        };
        let asked = match &judged {
            Err(Undelivered::Failed(failure)) => failure.retry_after_ms.map(Duration::from_millis),
            _ if self.kind == Kind::Discord => discord::rest(&answer),
            _ => None,
        };
        if let Some(asked) = asked {
            let mut until = locked(&self.rests_until);
            *until = (*until).max(self.clock.elapsed() + asked);
        }
        judged
    }

    fn request(&self, message: &Message) -> RequestBuilder {
        let url = self.url.expose();
        match (self.kind, &self.secret) {
            (Kind::Webhook, Some(secret)) => webhook::request(&self.http, url, secret, message, self.clock.now()),
            (Kind::Discord, _) => self.http.post(url).json(&discord::body(message)),
            _ => self.http.post(url).header("x-idempotency-key", &message.key).json(&slack::body(message)),
        }
    }
}

impl TargetSettings {
    /// A hash of what says where its messages go: one that was disabled is tried again when that is another.
    pub fn hash(&self) -> u64 {
        let mut hash = Sha256::new();
        let secret = self.secret.as_ref().map(SecretText::expose).unwrap_or_default();
        for part in [self.kind.name(), self.url.expose(), secret] {
            hash.update(part);
            hash.update([0]);
        }
        let digest: [u8; 32] = hash.finalize().into();
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

/// The failure that a refusal is.
fn refused(who: &str, answer: &Answer, said: &str, class: ErrorClass) -> Failure {
    Failure::new(class, text_of(who, answer, said))
}

fn text_of(who: &str, answer: &Answer, said: &str) -> String {
    let said: String = said.chars().take(LONGEST_SAID).collect();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    format!("{who} answered {}{said}", answer.status)
}

/// The seconds that a header says, also with a fraction.
fn seconds_of(answer: &Answer, name: &str) -> Option<Duration> {
    seconds(answer.headers.get(name)?.to_str().ok()?.trim().parse().ok()?)
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pointsman_actors::time::{ManualClock, Timestamp};

    use super::*;

    fn settings(kind: Kind, url: &str) -> TargetSettings {
        TargetSettings { name: "ops".into(), kind, url: SecretText::new(url), secret: None, is_default: true }
    }

    #[test]
    fn what_says_where_messages_go_is_another_when_any_of_it_is() {
        let first = settings(Kind::Slack, "https://a");
        assert_eq!(first.hash(), TargetSettings { name: "dev".into(), is_default: false, ..first.clone() }.hash());
        for other in [
            settings(Kind::Discord, "https://a"),
            settings(Kind::Slack, "https://b"),
            TargetSettings { secret: Some(SecretText::new("s")), ..first.clone() },
        ] {
            assert_ne!(first.hash(), other.hash(), "{other:?}");
        }
    }

    #[test]
    fn whose_turn_is_soon_waits_and_any_other_comes_back() {
        let clock = ManualClock::at(Timestamp::from_millis(0));
        let target = Target::new(http::client(), &settings(Kind::Slack, "https://a"), clock.clone());
        let seconds = Duration::from_secs;
        assert!((0..5).all(|_| target.turn() == Ok(Duration::ZERO)), "a burst");
        assert_eq!(target.turn(), Err(seconds(5)));
        clock.advance(seconds(4));
        assert_eq!(target.turn(), Ok(seconds(1)));
        *locked(&target.rests_until) = seconds(60);
        assert_eq!(target.turn(), Err(seconds(56)), "it was told to wait");
        clock.advance(seconds(55));
        assert_eq!(target.turn(), Ok(seconds(1)));
        let other = Target::new(http::client(), &settings(Kind::Webhook, "https://a"), Arc::clone(&clock) as _);
        assert!((0..100).all(|_| other.turn() == Ok(Duration::ZERO)));
    }
}
