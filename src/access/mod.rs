//! Who may do what to the server: named tokens with scopes and an end, and what becomes of whoever guesses them. Pure, but for
//! the making of tokens ([`token::random`]) and the files of [`token_file`] and [`trail`].
//!
//! The answer to a token that is wrong and to one that has ended is the same, so that nobody learns which tokens there are.

pub mod audit;
pub mod lockout;
pub mod session;
pub mod token;
pub mod token_file;
pub mod trail;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::time::Timestamp;
use subtle::{Choice, ConditionallySelectable};

use self::lockout::{Lockout, Policy};
use self::session::{Fresh, Sessions};
use self::token::TokenHash;

/// What somebody may do. A larger scope includes the smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// To look.
    Read,
    /// To say what becomes of runs, events, dead letters and circuits.
    Operate,
    /// To change the server itself.
    Admin,
}

impl Scope {
    /// All of them, the smallest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// Its name in the configuration, in answers and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// The scope with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// The scope that a request with this method needs, if nobody says otherwise. What we have no request for needs the largest.
    pub fn of_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" => Self::Read,
            "POST" => Self::Operate,
            _ => Self::Admin,
        }
    }
}

/// The name of the token that everybody has: the one given, or generated into the data directory.
pub const ADMIN: &str = "admin";

/// A token as it is known: by its hash.
#[derive(Clone)]
pub struct Known {
    /// How its holder is called in the log.
    pub name: Arc<str>,
    /// Its hash.
    pub hash: TokenHash,
    /// The largest of its scopes.
    pub scope: Scope,
    /// From when on it opens nothing any more.
    pub expires: Option<Timestamp>,
}

impl Known {
    /// The token `text` that may do everything.
    pub fn admin(text: &str) -> Self {
        Self { name: ADMIN.into(), hash: TokenHash::of(text), scope: Scope::Admin, expires: None }
    }

    /// Whether it has ended.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.scope.name())
    }
}

/// Somebody who proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The name of its token.
    pub name: Arc<str>,
    /// What it may do.
    pub scope: Scope,
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It showed no token.
    NoToken,
    /// No such token opens anything.
    WrongToken {
        /// How long nobody is listened to from there, if this was one too many.
        locks_for: Option<Duration>,
    },
    /// From there came too many wrong ones, and this is another one.
    LockedOut {
        /// How long it lasts.
        still: Duration,
    },
    /// Its session is over, or never was.
    NoSession,
    /// It did not show the word of its session, so that a page of somebody else may have sent it.
    NoWord,
    /// Its token is for less.
    TooLittle {
        /// Whose it is.
        operator: Operator,
        /// What it would need.
        needed: Scope,
    },
}

/// Lets in who belongs.
#[derive(Debug)]
pub struct Access {
    known: Vec<Known>,
    lockout: Lockout,
    sessions: Sessions,
}

impl Access {
    /// With these tokens.
    pub fn new(known: Vec<Known>, lockout: Lockout) -> Self {
        Self { known, lockout, sessions: Sessions::default() }
    }

    /// Goes on with other tokens and by another policy. Who is locked out stays so, unless the policy has changed.
    pub fn follow(&mut self, known: Vec<Known>, policy: Policy) {
        self.known = known;
        if self.lockout.policy() != policy {
            self.lockout = Lockout::new(policy);
        }
    }

    /// Whether somebody at `from` with this token may do what needs this scope.
    pub fn judge(
        &mut self,
        token: Option<TokenHash>,
        from: Option<IpAddr>,
        needed: Scope,
        now: Timestamp,
    ) -> Result<Operator, Refused> {
        let token = token.ok_or(Refused::NoToken)?;
        let Some(known) = self.find(&token).filter(|known| !known.is_over(now)) else {
            if let Some(still) = self.lockout.locked_for(from, now) {
                return Err(Refused::LockedOut { still });
            }
            self.lockout.failed(from, now);
            return Err(Refused::WrongToken { locks_for: self.lockout.locked_for(from, now) });
        };
        let operator = Operator { name: Arc::clone(&known.name), scope: known.scope };
        if operator.scope < needed {
            return Err(Refused::TooLittle { operator, needed });
        }
        Ok(operator)
    }

    /// Begins a session of somebody at `from` with this token.
    pub fn sign_in(
        &mut self,
        token: TokenHash,
        from: Option<IpAddr>,
        fresh: &Fresh,
        now: Timestamp,
    ) -> Result<Operator, Refused> {
        let operator = self.judge(Some(token), from, Scope::Read, now)?;
        self.sessions.begin(token, fresh, now);
        Ok(operator)
    }

    /// Whether a browser with this cookie may do what needs this scope. What is more than to look needs the session's `word`.
    pub fn judge_session(
        &mut self,
        cookie: &str,
        word: Option<&str>,
        needed: Scope,
        now: Timestamp,
    ) -> Result<Operator, Refused> {
        let shown = self.sessions.show(cookie, word, now).ok_or(Refused::NoSession)?;
        // A token that was taken out of the configuration, or whose time is over, takes its sessions along.
        let known = self.find(&shown.token).filter(|known| !known.is_over(now)).ok_or(Refused::NoSession)?;
        let operator = Operator { name: Arc::clone(&known.name), scope: known.scope };
        match operator.scope {
            scope if scope < needed => Err(Refused::TooLittle { operator, needed }),
            _ if needed > Scope::Read && !shown.has_word => Err(Refused::NoWord),
            _ => Ok(operator),
        }
    }

    /// The word of a session.
    pub fn word(&mut self, cookie: &str, now: Timestamp) -> Option<String> {
        self.sessions.word(cookie, now)
    }

    /// Ends a session, if its word was shown. Says whether it was.
    pub fn sign_out(&mut self, cookie: &str, word: Option<&str>, now: Timestamp) -> bool {
        let is_asked = self.sessions.show(cookie, word, now).is_some_and(|shown| shown.has_word);
        if is_asked {
            self.sessions.end(cookie);
        }
        is_asked
    }

    /// The token with this hash. All are looked at, whichever it is, so that the time tells nothing.
    fn find(&self, token: &TokenHash) -> Option<&Known> {
        let mut found = u32::MAX;
        for (index, known) in (0..).zip(&self.known) {
            let is_it: Choice = known.hash.is(token);
            found.conditional_assign(&index, is_it);
        }
        self.known.get(usize::try_from(found).ok()?)
    }
}

#[cfg(test)]
mod tests;
