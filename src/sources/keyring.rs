//! The secrets of a source, each with its name and the time in which it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use pointsman_actors::refusal::Refusal;
use pointsman_actors::time::Timestamp;
use pointsman_actors::validator::port::Proof;

use super::secret::Secret;

/// When a secret counts: from a point in time on, and before another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// The first moment; absent when it has always counted.
    pub from: Option<Timestamp>,
    /// The first moment at which it does not count any more; absent when it goes on.
    pub until: Option<Timestamp>,
}

/// How a secret stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It will count.
    NotYet,
    /// It counts, and for how long, if that is known.
    Valid(Option<Duration>),
    /// It does not count any more.
    Expired,
}

impl Validity {
    /// At all times.
    pub const ALWAYS: Self = Self { from: None, until: None };

    /// How a secret with this validity stands at this moment.
    pub fn standing(&self, at: Timestamp) -> Standing {
        if self.until.is_some_and(|until| at >= until) {
            Standing::Expired
        } else if self.from.is_some_and(|from| at < from) {
            Standing::NotYet
        } else {
            Standing::Valid(self.until.map(|until| until.since(at)))
        }
    }
}

/// A secret of a source.
#[derive(Debug)]
pub struct NamedSecret {
    /// What people call it.
    pub name: String,
    /// When it counts.
    pub validity: Validity,
    secret: Secret,
    counts: Arc<Counts>,
}

/// What a secret has verified. It outlives the secret's place in a configuration.
#[derive(Debug)]
struct Counts {
    count: AtomicU64,
    last: AtomicI64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { count: AtomicU64::new(0), last: AtomicI64::new(i64::MIN) }
    }
}

/// What a secret has verified since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// So many deliveries.
    pub count: u64,
    /// When the last of them was received.
    pub last: Option<Timestamp>,
}

impl NamedSecret {
    /// A secret with its name.
    pub fn new(name: impl Into<String>, secret: Secret, validity: Validity) -> Self {
        Self { name: name.into(), validity, secret, counts: Arc::default() }
    }

    /// What tells it from another one and reveals nothing.
    pub fn fingerprint(&self) -> Option<&str> {
        self.secret.fingerprint()
    }

    /// What it has verified.
    pub fn used(&self) -> Used {
        let last = self.counts.last.load(Ordering::Relaxed);
        let last = (last > i64::MIN).then(|| Timestamp::from_millis(last));
        Used { count: self.counts.count.load(Ordering::Relaxed), last }
    }
}

/// All secrets of a source. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Arc<[NamedSecret]>);

impl Keyring {
    /// A keyring of these.
    pub fn new(secrets: Vec<NamedSecret>) -> Self {
        Self(secrets.into())
    }

    /// A keyring of these, which takes the place of another: what a secret that both have has verified goes on being counted.
    pub fn after(before: &Self, mut secrets: Vec<NamedSecret>) -> Self {
        for secret in &mut secrets {
            if let Some(same) = before.all().iter().find(|other| other.secret.is_same(&secret.secret)) {
                secret.counts = Arc::clone(&same.counts);
            }
        }
        Self::new(secrets)
    }

    /// Which secret that counts at this moment `proves` a delivery. What one that does not count would prove is refused
    /// like a forgery: nobody is told that it once was right.
    pub fn prove(&self, at: Timestamp, proves: impl Fn(&Secret) -> bool) -> Result<Proof, Refusal> {
        let counts = |secret: &NamedSecret| matches!(secret.validity.standing(at), Standing::Valid(_));
        let proving = self.0.iter().position(|secret| counts(secret) && proves(&secret.secret));
        proving.map(|number| Proof(Some(number))).ok_or(Refusal::SignatureInvalid)
    }

    /// Counts what was proved.
    pub fn note(&self, proof: Proof, at: Timestamp) {
        if let Some(secret) = proof.0.and_then(|number| self.0.get(number)) {
            secret.counts.count.fetch_add(1, Ordering::Relaxed);
            secret.counts.last.fetch_max(at.millis(), Ordering::Relaxed);
        }
    }

    /// All of them, in the order in which they are asked.
    pub fn all(&self) -> &[NamedSecret] {
        &self.0
    }
}

#[cfg(test)]
impl Keyring {
    /// A keyring of these, which count at all times.
    pub(super) fn of(texts: &[&str]) -> Self {
        let named = |text: &&str| NamedSecret::new("s", Secret::new(text), Validity::ALWAYS);
        Self::new(texts.iter().map(named).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_secret_counts_from_one_moment_until_another() {
        let check = |from: Option<i64>, until: Option<i64>, now: i64, expect: Standing| {
            let validity = Validity { from: from.map(at), until: until.map(at) };
            assert_eq!(validity.standing(at(now)), expect, "{validity:?} at {now}");
        };
        let left = |seconds| Standing::Valid(Some(Duration::from_secs(seconds)));
        check(None, None, 5, Standing::Valid(None));
        check(Some(5), None, 4, Standing::NotYet);
        check(Some(5), None, 5, Standing::Valid(None));
        check(None, Some(5), 4, left(1));
        check(None, Some(5), 5, Standing::Expired);
        check(Some(5), Some(7), 6, left(1));
        check(Some(5), Some(7), 3, Standing::NotYet);
        check(Some(5), Some(7), 8, Standing::Expired);
    }

    #[test]
    fn a_fingerprint_tells_long_secrets_apart_and_is_not_given_of_short_ones() {
        let of = |text: &str| Secret::new(text).fingerprint().map(str::to_owned);
        let (one, other) = (of(&"a".repeat(32)).unwrap(), of(&format!("{}b", "a".repeat(31))).unwrap());
        assert_eq!(one.len(), 8);
        assert_ne!(one, other);
        assert_eq!(of(&"a".repeat(31)), None);
    }

    #[test]
    fn only_secrets_that_count_prove_anything() {
        let named = |name: &str, from: Option<i64>, until: Option<i64>| {
            NamedSecret::new(name, Secret::new(name), Validity { from: from.map(at), until: until.map(at) })
        };
        let keyring = Keyring::new(vec![
            named("old", None, Some(20)),
            named("new", Some(10), None),
            named("old", Some(30), None),
        ]);
        let prove = |secret: &str, now: i64| keyring.prove(at(now), |known| known.is(secret));
        assert_eq!(prove("old", 19), Ok(Proof(Some(0))));
        assert_eq!(prove("new", 9), Err(Refusal::SignatureInvalid));
        assert_eq!(prove("new", 10), Ok(Proof(Some(1))));
        assert_eq!(prove("old", 20), Err(Refusal::SignatureInvalid));
        assert_eq!(prove("old", 30), Ok(Proof(Some(2))), "the first that counts, not the first that is right");
        assert_eq!(prove("other", 15), Err(Refusal::SignatureInvalid));
        let used = |number: usize| keyring.all()[number].used();
        assert_eq!(used(1), Used { count: 0, last: None });
        for now in [15, 12] {
            keyring.note(Proof(Some(1)), at(now));
        }
        keyring.note(Proof(None), at(20));
        assert_eq!(used(1), Used { count: 2, last: Some(at(15)) }, "the latest, whatever comes when");
        assert_eq!(used(0).count, 0);
        let secret = |name: &str, text: &str| NamedSecret::new(name, Secret::new(text), Validity::ALWAYS);
        let after = Keyring::after(&keyring, vec![secret("next", "next"), secret("renamed", "new")]);
        let used: Vec<u64> = after.all().iter().map(|secret| secret.used().count).collect();
        assert_eq!(used, [0, 2], "a secret that stays goes on being counted, by whatever name");
        assert_eq!(Keyring::default().prove(at(15), |_| true), Err(Refusal::SignatureInvalid));
    }
}
