//! What Linear has said of its limits, so that nobody asks before they are lifted. Pure: the time is an input.
//!
//! Rules: linear.app/developers, "Rate limiting". Every answer says what is left of requests and of complexity,
//! and for some calls what is left of a limit of their own; when each is full again is said in milliseconds since
//! the Unix epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use pointsman_actors::time::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// What holds for all calls.
const FOR_ALL: [(&str, &str); 2] = [
    ("x-ratelimit-requests-remaining", "x-ratelimit-requests-reset"),
    ("x-ratelimit-complexity-remaining", "x-ratelimit-complexity-reset"),
];

/// What holds for calls of one kind.
const FOR_ONE: (&str, &str) = ("x-ratelimit-endpoint-requests-remaining", "x-ratelimit-endpoint-requests-reset");

/// Limits are per hour: what seems to be further away is another clock's hour.
const LONGEST: Duration = Duration::from_secs(3_600);

/// How long to wait when Linear limits us and does not say how long.
pub const SLOW_DOWN: Duration = Duration::from_secs(60);

/// Until when nothing is asked.
#[derive(Debug, Default)]
pub struct Limits {
    all: Option<Timestamp>,
    one: BTreeMap<&'static str, Timestamp>,
}

impl Limits {
    /// How long a call of this name has to wait, if it has to.
    pub fn wait(&self, name: &str, now: Timestamp) -> Option<Duration> {
        let until = self.all.max(self.one.get(name).copied())?;
        Some(until.since(now)).filter(|pause| !pause.is_zero())
    }

    /// Takes note of what the answer to a call of this name says is used up. `refused` is how long the caller
    /// was asked to wait, if it was: when nothing is said to be used up, that holds for all calls.
    pub fn learn(&mut self, name: &'static str, headers: &HeaderMap, refused: Option<Duration>, now: Timestamp) {
        let all = FOR_ALL.iter().filter_map(|bucket| used_up(headers, *bucket, now)).max();
        let one = used_up(headers, FOR_ONE, now);
        let unsaid = refused.filter(|_| all.is_none() && one.is_none()).map(|pause| now.plus(pause));
        self.all = self.all.max(all).max(unsaid);
        if let Some(until) = one {
            self.one.insert(name, until);
        }
    }
}

/// How long Linear asks to wait that has refused a call because of its limits.
pub fn pause(headers: &HeaderMap, now: Timestamp) -> Duration {
    let asked = number(headers, RETRY_AFTER.as_str()).and_then(|seconds| u64::try_from(seconds).ok());
    if let Some(seconds) = asked {
        return Duration::from_secs(seconds).min(LONGEST);
    }
    let buckets = FOR_ALL.into_iter().chain([FOR_ONE]);
    let until = buckets.filter_map(|bucket| used_up(headers, bucket, now)).max();
    until.map_or(SLOW_DOWN, |until| until.since(now))
}

/// When a limit is lifted of which nothing is left.
fn used_up(headers: &HeaderMap, (remaining, reset): (&str, &str), now: Timestamp) -> Option<Timestamp> {
    if number(headers, remaining)? > 0 {
        return None;
    }
    let reset = Timestamp::from_millis(number(headers, reset)?);
    (reset > now).then(|| reset.min(now.plus(LONGEST)))
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn headers(pairs: &[(&'static str, i64)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.to_string().parse().unwrap())).collect()
    }

    fn in_seconds(seconds: i64) -> i64 {
        NOW.millis() + seconds * 1_000
    }

    #[test]
    fn what_is_used_up_is_not_asked_for_before_it_is_there_again() {
        let check = |pairs: &[(&'static str, i64)], here: Option<u64>, elsewhere: Option<u64>| {
            let mut limits = Limits::default();
            limits.learn("Issue", &headers(pairs), None, NOW);
            let wait = |name| limits.wait(name, NOW).map(|pause| pause.as_secs());
            assert_eq!((wait("Issue"), wait("Comment")), (here, elsewhere), "{pairs:?}");
        };
        let (requests, reset) = FOR_ALL[0];
        let (complexity, complexity_reset) = FOR_ALL[1];
        check(&[], None, None);
        check(&[(requests, 3), (reset, in_seconds(60))], None, None);
        check(&[(requests, 0), (reset, in_seconds(60))], Some(60), Some(60));
        check(&[(requests, 0), (reset, in_seconds(-1))], None, None);
        check(&[(requests, 0)], None, None);
        check(&[(complexity, -5), (complexity_reset, in_seconds(7))], Some(7), Some(7));
        check(&[(FOR_ONE.0, 0), (FOR_ONE.1, in_seconds(9))], Some(9), None);
        check(&[(requests, 0), (reset, in_seconds(90_000))], Some(3_600), Some(3_600));
    }

    #[test]
    fn a_limit_that_was_lifted_is_none() {
        let mut limits = Limits::default();
        limits.learn("Issue", &headers(&[]), Some(Duration::from_secs(5)), NOW);
        limits.learn("Issue", &headers(&[]), Some(Duration::from_secs(1)), NOW);
        limits.learn("Issue", &headers(&[]), None, NOW);
        assert_eq!(limits.wait("Issue", NOW), Some(Duration::from_secs(5)));
        assert_eq!(limits.wait("Issue", NOW.plus(Duration::from_secs(5))), None);
    }

    #[test]
    fn a_refusal_says_how_long() {
        let check = |pairs: &[(&'static str, i64)], expect: u64| {
            assert_eq!(pause(&headers(pairs), NOW), Duration::from_secs(expect), "{pairs:?}");
        };
        let (requests, reset) = FOR_ALL[0];
        check(&[("retry-after", 12), (requests, 0), (reset, in_seconds(60))], 12);
        check(&[(requests, 0), (reset, in_seconds(60))], 60);
        check(&[(requests, 5), (reset, in_seconds(600))], 60);
        check(&[(FOR_ONE.0, 0), (FOR_ONE.1, in_seconds(30))], 30);
    }
}
