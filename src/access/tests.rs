//! Who is let in.

use std::net::IpAddr;
use std::time::Duration;

use pointsman_actors::time::Timestamp;

use super::lockout::{Lockout, Policy};
use super::session::Fresh;
use super::token::TokenHash;
use super::{Access, Known, Operator, Refused, Scope};

const END: Timestamp = Timestamp::from_millis(1_000_000);
const BEFORE: Timestamp = Timestamp::from_millis(999_999);
const WINDOW: Duration = Duration::from_secs(900);

/// One token for each scope, named after it, and one of the smallest that ends.
fn access(most: u32) -> Access {
    let of =
        |scope: Scope| Known { name: scope.name().into(), hash: TokenHash::of(scope.name()), scope, expires: None };
    let ends = Known { name: "ends".into(), hash: TokenHash::of("ends"), scope: Scope::Read, expires: Some(END) };
    let known = Scope::ALL.map(of).into_iter().chain([ends]).collect();
    Access::new(known, Lockout::new(Policy { most, window: WINDOW }))
}

fn at(address: &str) -> Option<IpAddr> {
    Some(address.parse().unwrap())
}

/// What becomes of a token at an address, in a word.
fn outcome(access: &mut Access, token: &str, from: &str, needed: Scope, now: Timestamp) -> String {
    let token = (!token.is_empty()).then(|| TokenHash::of(token));
    match access.judge(token, at(from), needed, now) {
        Ok(operator) => operator.name.to_string(),
        Err(Refused::NoToken) => "no token".to_owned(),
        Err(Refused::WrongToken { .. }) => "wrong".to_owned(),
        Err(Refused::LockedOut { still }) => format!("locked for {} s", still.as_secs()),
        Err(Refused::NoSession | Refused::NoWord) => "no session".to_owned(),
        Err(Refused::TooLittle { operator, needed }) => format!("{} lacks {}", operator.name, needed.name()),
    }
}

#[test]
fn a_larger_scope_includes_the_smaller_ones() {
    let mut access = access(10);
    let mut check = |token, needed, expect| {
        assert_eq!(outcome(&mut access, token, "192.0.2.1", needed, BEFORE), expect, "{token} {needed:?}");
    };
    check("read", Scope::Read, "read");
    check("read", Scope::Operate, "read lacks operate");
    check("read", Scope::Admin, "read lacks admin");
    check("operate", Scope::Read, "operate");
    check("operate", Scope::Operate, "operate");
    check("operate", Scope::Admin, "operate lacks admin");
    check("admin", Scope::Read, "admin");
    check("admin", Scope::Operate, "admin");
    check("admin", Scope::Admin, "admin");
    check("", Scope::Read, "no token");
    check("nobody's", Scope::Read, "wrong");
}

#[test]
fn a_request_needs_what_its_method_does_to_us() {
    for (method, scope) in [("GET", "read"), ("HEAD", "read"), ("POST", "operate"), ("DELETE", "admin"), ("X", "admin")]
    {
        assert_eq!(Scope::of_method(method).name(), scope, "{method}");
    }
}

#[test]
fn a_token_that_has_ended_is_like_one_that_never_was() {
    let mut access = access(2);
    let mut check = |token, now, expect| {
        assert_eq!(outcome(&mut access, token, "192.0.2.1", Scope::Operate, now), expect, "{token}");
    };
    check("ends", BEFORE, "ends lacks operate");
    check("ends", END, "wrong");
    check("ends", END, "wrong");
    check("ends", END, "locked for 1250 s");
}

#[test]
fn whoever_guesses_is_told_nothing_more_and_locks_out_nobody_who_belongs() {
    let mut access = access(3);
    let mut check = |token, from, millis: i64, expect: &str| {
        let now = Timestamp::from_millis(900_000_000 + millis);
        assert_eq!(outcome(&mut access, token, from, Scope::Read, now), expect, "{token} from {from} at {millis}");
    };
    for _ in 0..5 {
        check("", "192.0.2.1", 0, "no token");
    }
    check("a", "192.0.2.1", 0, "wrong");
    check("b", "192.0.2.1", 0, "wrong");
    check("read", "192.0.2.1", 0, "read");
    check("c", "192.0.2.1", 0, "wrong");
    check("d", "192.0.2.1", 0, "locked for 1200 s");
    check("read", "192.0.2.1", 0, "read");
    check("", "192.0.2.1", 0, "no token");
    check("a", "192.0.2.2", 0, "wrong");
    // What was refused unseen makes the lock no longer.
    check("e", "192.0.2.1", 900_000, "locked for 300 s");
    check("e", "192.0.2.1", 1_200_000, "wrong");
}

#[test]
fn an_address_of_ipv6_is_no_way_around_and_none_at_all_is_one_too() {
    let mut access = access(1);
    let mut check = |from, expect: &str| {
        assert_eq!(outcome(&mut access, "guess", from, Scope::Read, BEFORE), expect, "{from}");
    };
    check("2001:db8:1:2::1", "wrong");
    check("2001:db8:1:2::2", "locked for 1700 s");
    check("2001:db8:1:3::1", "wrong");
    check("::1", "wrong");
    check("::1", "locked for 1700 s");
    let guess = || Some(TokenHash::of("guess"));
    assert!(matches!(
        access.judge(guess(), None, Scope::Read, BEFORE),
        Err(Refused::WrongToken { locks_for: Some(_) })
    ));
    assert!(matches!(access.judge(guess(), None, Scope::Read, BEFORE), Err(Refused::LockedOut { .. })));
}

#[test]
fn only_the_guess_that_was_one_too_many_says_that_it_locks() {
    let mut access = access(2);
    let mut guess = || access.judge(Some(TokenHash::of("guess")), at("192.0.2.1"), Scope::Read, BEFORE);
    assert_eq!(guess(), Err(Refused::WrongToken { locks_for: None }));
    assert!(matches!(guess(), Err(Refused::WrongToken { locks_for: Some(_) })));
    assert!(matches!(guess(), Err(Refused::LockedOut { .. })));
}

#[test]
fn nothing_that_can_be_printed_holds_a_hash() {
    let known = Known::admin("hers");
    assert_eq!(format!("{known:?}"), "admin (admin)");
    let operator = Operator { name: "ci".into(), scope: Scope::Read };
    assert!(!format!("{:?} {operator:?}", access(1)).contains("sha256"));
}

#[test]
fn a_session_may_do_what_its_token_may_when_it_shows_its_word() {
    let mut access = access(10);
    let fresh = |name: &str| Fresh { cookie: format!("cookie of {name}"), word: format!("word of {name}") };
    let mut sign_in = |token: &str, now| access.sign_in(TokenHash::of(token), at("192.0.2.1"), &fresh(token), now);
    assert!(sign_in("guess", BEFORE).is_err());
    for token in ["read", "operate", "ends"] {
        assert!(sign_in(token, BEFORE).is_ok(), "{token}");
    }
    let mut check = |of: &str, word: &str, needed, now, expect: &str| {
        let judged = access.judge_session(&format!("cookie of {of}"), Some(word), needed, now);
        let judged = judged.map_or_else(|refused| format!("{refused:?}"), |operator| operator.name.to_string());
        assert!(judged.starts_with(expect), "{of} {word} {needed:?}: {judged}");
    };
    check("operate", "", Scope::Read, BEFORE, "operate");
    check("operate", "", Scope::Operate, BEFORE, "NoWord");
    check("operate", "word of read", Scope::Operate, BEFORE, "NoWord");
    check("operate", "word of operate", Scope::Operate, BEFORE, "operate");
    check("operate", "word of operate", Scope::Admin, BEFORE, "TooLittle");
    check("read", "word of read", Scope::Operate, BEFORE, "TooLittle");
    check("guess", "word of guess", Scope::Read, BEFORE, "NoSession");
    check("ends", "", Scope::Read, BEFORE, "ends");
    check("ends", "", Scope::Read, END, "NoSession");
    access.follow(Vec::new(), Policy { most: 10, window: WINDOW });
    let after = access.judge_session("cookie of operate", None, Scope::Read, BEFORE);
    assert_eq!(after, Err(Refused::NoSession), "its token is gone");
}
