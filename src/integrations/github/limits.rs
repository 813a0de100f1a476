//! How long GitHub wants to be left alone, by account: whoever asks meanwhile is refused here, and makes it no
//! worse. Pure.
//!
//! Rules: docs.github.com/rest, "Rate limits for the REST API": `retry-after` first, else until the primary limit is
//! lifted, else a minute; to go on calling may get an integration banned.

use std::collections::BTreeMap;
use std::time::Duration;

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use pointsman_actors::time::Timestamp;

use super::refusal;
use crate::integrations::http::Answer;

/// Whose limit it is: 0 for the token, the number of the installation for an App.
pub(super) type Account = u64;

/// The longest that GitHub is left alone: its primary limit is one of an hour.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Until when each account is limited.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<Account, Timestamp>);

impl Limits {
    /// Refuses a call that GitHub would refuse.
    pub fn check(&mut self, account: Account, what: &str, now: Timestamp) -> Result<(), Failure> {
        let Some(until) = self.0.get(&account) else { return Ok(()) };
        if *until <= now {
            self.0.remove(&account);
            return Ok(());
        }
        let message = format!("{what}: not sent, GitHub limits our calls until {until}");
        Err(Failure::new(ErrorClass::RateLimit, message).retry_after(until.since(now)).unsent())
    }

    /// Takes in what an answer says.
    pub fn note(&mut self, account: Account, answer: &Answer, now: Timestamp) {
        let pause =
            refusal::limited(answer, now.seconds()).or_else(|| refusal::used_up(&answer.headers, now.seconds()));
        let Some(pause) = pause.filter(|pause| !pause.is_zero()) else { return };
        let until = now.plus(pause.min(LONGEST));
        let known = self.0.entry(account).or_insert(until);
        *known = until.max(*known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status, headers, body: "{}".into(), cut: false }
    }

    #[test]
    fn whoever_is_limited_waits_as_long_as_was_said_and_nobody_else_does() {
        let now = Timestamp::from_millis(1_000_000);
        let check = |answer: Answer, expect: Option<u64>| {
            let mut limits = Limits::default();
            limits.note(7, &answer, now);
            let pause = limits.check(7, "x", now).err().map(|failure| {
                assert_eq!((failure.class, failure.in_doubt), (ErrorClass::RateLimit, false));
                assert!(failure.unsent, "it costs whoever is held back no attempt");
                failure.retry_after_ms.unwrap()
            });
            assert_eq!(pause, expect.map(|seconds| seconds * 1_000), "{:?}", answer.headers);
            assert_eq!(limits.check(8, "x", now), Ok(()));
            let later = now.plus(Duration::from_secs(expect.unwrap_or(0)));
            assert_eq!(limits.check(7, "x", later), Ok(()), "and no longer");
        };
        check(answer(200, &[("x-ratelimit-remaining", "1")]), None);
        check(answer(200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1090")]), Some(90));
        let search =
            [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1090"), ("x-ratelimit-resource", "search")];
        check(answer(200, &search), None);
        check(answer(403, &[("retry-after", "30")]), Some(30));
        check(answer(429, &[]), Some(60));
        check(answer(429, &[("retry-after", "999999")]), Some(3_600));
        check(answer(403, &[]), None);
        check(answer(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")]), Some(1));
        check(answer(200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")]), None);
    }

    #[test]
    fn a_shorter_pause_does_not_lift_a_longer_one() {
        let (mut limits, now) = (Limits::default(), Timestamp::from_millis(0));
        limits.note(0, &answer(429, &[("retry-after", "60")]), now);
        limits.note(0, &answer(429, &[("retry-after", "1")]), now);
        assert_eq!(limits.check(0, "x", now).unwrap_err().retry_after_ms, Some(60_000));
    }
}
