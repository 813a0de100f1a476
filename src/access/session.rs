//! Sessions of browsers: who has shown a token goes on with a cookie, until it ends. Pure.
//!
//! A session is known by the hash of its cookie, opens what its token opens and no longer than that, and is in memory only: a
//! restart ends all. What changes anything has to show the session's word as well, which no other site's page can read: a
//! synchronizer token (OWASP, Cross-Site Request Forgery Prevention Cheat Sheet).

use std::time::Duration;

use pointsman_actors::time::Timestamp;
use subtle::ConstantTimeEq;

use super::token::TokenHash;

/// A session that nobody uses for so long is over (NIST SP 800-63B, section 4.2.3, reauthentication: 30 minutes).
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// However much it is used, it is over after this (the same: 12 hours).
pub const LONGEST: Duration = Duration::from_secs(12 * 3_600);

/// There are a few operators, each with a few browsers. With more the one that was used longest ago ends.
const MOST: usize = 256;

/// What a session is begun with: both from the system's source of chance.
#[derive(Clone)]
pub struct Fresh {
    /// The cookie's value.
    pub cookie: String,
    /// The word that what changes anything shows.
    pub word: String,
}

/// A session.
#[derive(Clone)]
struct Session {
    cookie: TokenHash,
    token: TokenHash,
    word: String,
    began: Timestamp,
    used: Timestamp,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.used) >= IDLE || now.since(self.began) >= LONGEST
    }
}

/// All sessions that go on.
#[derive(Default)]
pub struct Sessions(Vec<Session>);

/// What a session shows that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The token that it was begun with.
    pub token: TokenHash,
    /// Whether its word was shown, and is right.
    pub has_word: bool,
}

impl Sessions {
    /// Begins a session of whoever has shown this token.
    pub fn begin(&mut self, token: TokenHash, fresh: &Fresh, now: Timestamp) {
        self.0.retain(|session| !session.is_over(now));
        if self.0.len() >= MOST {
            let longest_ago = self.0.iter().enumerate().min_by_key(|(_, session)| session.used).map(|(place, _)| place);
            longest_ago.map(|place| self.0.swap_remove(place));
        }
        let cookie = TokenHash::of(&fresh.cookie);
        self.0.push(Session { cookie, token, word: fresh.word.clone(), began: now, used: now });
    }

    /// What a request with this cookie and this word shows; nothing when there is no such session. That it is used is noted.
    pub fn show(&mut self, cookie: &str, word: Option<&str>, now: Timestamp) -> Option<Shown> {
        let session = self.find(cookie, now)?;
        session.used = now;
        let has_word = word.is_some_and(|word| session.word.as_bytes().ct_eq(word.as_bytes()).into());
        Some(Shown { token: session.token, has_word })
    }

    /// The word of a session.
    pub fn word(&mut self, cookie: &str, now: Timestamp) -> Option<String> {
        self.find(cookie, now).map(|session| session.word.clone())
    }

    /// Ends a session.
    pub fn end(&mut self, cookie: &str) {
        let cookie = TokenHash::of(cookie);
        self.0.retain(|session| session.cookie != cookie);
    }

    /// Hashes are compared, so that the time tells nothing of a cookie.
    fn find(&mut self, cookie: &str, now: Timestamp) -> Option<&mut Session> {
        let cookie = TokenHash::of(cookie);
        self.0.iter_mut().find(|session| bool::from(session.cookie.is(&cookie)) && !session.is_over(now))
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} sessions", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn fresh(name: &str) -> Fresh {
        Fresh { cookie: format!("cookie of {name}"), word: format!("word of {name}") }
    }

    #[test]
    fn a_session_opens_what_its_token_opens_and_its_word_is_its_own() {
        let mut sessions = Sessions::default();
        for name in ["a", "b"] {
            sessions.begin(TokenHash::of(name), &fresh(name), at(0));
        }
        let mut check = |cookie: &str, word: Option<&str>, expect: Option<(&str, bool)>| {
            let expect = expect.map(|(token, has_word)| Shown { token: TokenHash::of(token), has_word });
            assert_eq!(sessions.show(cookie, word, at(1)), expect, "{cookie} {word:?}");
        };
        check("cookie of a", None, Some(("a", false)));
        check("cookie of a", Some("word of a"), Some(("a", true)));
        check("cookie of a", Some("word of b"), Some(("a", false)));
        check("cookie of a", Some(""), Some(("a", false)));
        check("cookie of b", Some("word of b"), Some(("b", true)));
        check("cookie of c", Some("word of a"), None);
        check("", None, None);
        sessions.end("cookie of a");
        assert_eq!(sessions.show("cookie of a", None, at(1)), None);
        assert!(sessions.show("cookie of b", None, at(1)).is_some());
        assert_eq!(format!("{sessions:?}"), "1 sessions");
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_in_any_case() {
        let (idle, longest) = (IDLE.as_secs() as i64, LONGEST.as_secs() as i64);
        let mut sessions = Sessions::default();
        sessions.begin(TokenHash::of("a"), &fresh("a"), at(0));
        let mut is_there = |seconds: i64| sessions.show("cookie of a", None, at(seconds)).is_some();
        for moment in (1..longest).step_by(IDLE.as_secs() as usize - 1) {
            assert!(is_there(moment), "{moment}");
        }
        assert!(!is_there(longest));
        let mut sessions = Sessions::default();
        sessions.begin(TokenHash::of("a"), &fresh("a"), at(0));
        assert!(sessions.word("cookie of a", at(idle - 1)).is_some());
        assert!(sessions.show("cookie of a", None, at(idle)).is_none(), "to ask for its word is no use of it");
    }

    #[test]
    fn there_are_only_so_many() {
        let mut sessions = Sessions::default();
        for number in 0..=MOST {
            sessions.begin(TokenHash::of("a"), &fresh(&number.to_string()), at(number as i64));
        }
        assert_eq!(sessions.0.len(), MOST);
        assert!(sessions.word("cookie of 0", at(MOST as i64)).is_none());
        assert!(sessions.word("cookie of 1", at(MOST as i64)).is_some());
    }
}
