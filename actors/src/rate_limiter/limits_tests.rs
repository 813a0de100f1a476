//! Who is held back, by which limit, and until when.

use super::*;

fn policy() -> Policy {
    Policy {
        window: Duration::from_secs(60),
        per_address: 10,
        per_source: 100,
        in_all: 200,
        burst: None,
        slow_down: None,
        backpressure: None,
        adaptive: None,
        most_addresses: 1_000,
        verified: BTreeMap::new(),
    }
}

/// The beginning of a window.
const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn address(number: u8) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, number]))
}

fn github() -> SourceName {
    SourceName::new("github")
}

/// How many of `times` are answered.
fn answered(limiter: &mut Limiter, peer: Option<IpAddr>, times: u32, now: Timestamp) -> usize {
    let ask = |_| limiter.unverified(peer, Some(&github()), now);
    (0..times).map(ask).filter(|ruling| matches!(ruling, Ruling::Answer(..))).count()
}

#[test]
fn an_address_is_held_back_alone_and_told_until_when() {
    let mut limiter = Limiter::new(policy());
    let Ruling::Answer(first, Duration::ZERO) = limiter.unverified(address(1), Some(&github()), NOON) else {
        panic!("the first is answered at once")
    };
    assert_eq!((first.limit, first.remaining, first.resets_in), (10, 9, Duration::from_secs(60)));
    assert_eq!(answered(&mut limiter, address(1), 20, NOON), 9);
    assert_eq!(answered(&mut limiter, address(2), 1, NOON), 1);
    let Ruling::Refuse(standing) = limiter.unverified(address(1), Some(&github()), NOON) else {
        panic!("it is over its limit")
    };
    assert_eq!((standing.limit, standing.remaining), (10, 0));
    let then = NOON.plus(standing.resets_in);
    assert!(limiter.is_over(address(1).unwrap(), NOON) && !limiter.is_over(address(2).unwrap(), NOON));
    let mut used_up = |peer| limiter.is_used_up(address(peer), &github(), NOON);
    assert!(used_up(1) && !used_up(2));
    assert_eq!(answered(&mut limiter, address(1), 5, then), 1, "what is refused is not counted: the word is kept");
}

#[test]
fn many_addresses_are_held_back_together() {
    let mut limiter = Limiter::new(policy());
    let of_each = |limiter: &mut Limiter| (0..50).map(|number| answered(limiter, address(number), 10, NOON)).sum();
    let all: usize = of_each(&mut limiter);
    assert_eq!(all, 100, "the source's limit");
    assert!(limiter.is_used_up(address(200), &github(), NOON), "whoever comes next");
    let strays = (0..500).filter(|_| matches!(limiter.unverified(None, None, NOON), Ruling::Answer(..))).count();
    assert_eq!(strays, 100, "the limit of all, also of whom nobody knows");
}

#[test]
fn a_burst_is_held_back_before_the_limit_is_reached() {
    let burst = Burst { limit: 3, window: Duration::from_secs(10) };
    let mut limiter = Limiter::new(Policy { burst: Some(burst), ..policy() });
    assert_eq!(answered(&mut limiter, address(1), 5, NOON), 3);
    let later = NOON.plus(Duration::from_secs(20));
    assert_eq!(answered(&mut limiter, address(1), 5, later), 3);
    let Ruling::Refuse(standing) = limiter.unverified(address(1), None, later) else { panic!("a burst") };
    assert_eq!((standing.limit, standing.window), (3, burst.window));
}

#[test]
fn whoever_comes_near_the_limit_is_answered_later_and_later() {
    let slow_down = SlowDown { from: 0.7, delay: Duration::from_secs(1), most: 10 };
    let mut limiter = Limiter::new(Policy { slow_down: Some(slow_down), ..policy() });
    let mut delays = Vec::new();
    while let Ruling::Answer(_, delay) = limiter.unverified(address(1), None, NOON) {
        delays.push(delay.as_millis());
    }
    assert_eq!(delays[..6], [0; 6]);
    assert!(delays[6] < 5 && (330..=335).contains(&delays[7]) && (660..=670).contains(&delays[8]), "{delays:?}");
    assert_eq!((delays[9], delays.len()), (1_000, 10));
}

#[test]
fn the_verified_are_held_back_only_by_a_limit_of_their_own() {
    let mut limiter = Limiter::new(Policy { verified: [(SourceName::new("linear"), 2)].into(), ..policy() });
    answered(&mut limiter, address(1), 1_000, NOON);
    assert_eq!(limiter.verified(&github(), NOON), None);
    let mut ask = || limiter.verified(&SourceName::new("linear"), NOON);
    assert!(matches!(ask(), Some(Ruling::Answer(Standing { remaining: 1, .. }, Duration::ZERO))));
    assert!(matches!(ask(), Some(Ruling::Answer(Standing { remaining: 0, .. }, Duration::ZERO))));
    assert!(matches!(ask(), Some(Ruling::Refuse(_))));
}

#[test]
fn limits_go_down_when_we_are_slow() {
    let adaptive =
        Adaptive { floor: 0.2, recovery: Duration::from_secs(300), slow: Duration::from_millis(250), full: 0.8 };
    let mut limiter = Limiter::new(Policy { adaptive: Some(adaptive), ..policy() });
    assert!(limiter.wants_signals(NOON));
    limiter.look(&Signals { load: 0.9, ..Signals::default() }, NOON);
    assert!(!limiter.wants_signals(NOON));
    assert_eq!(answered(&mut limiter, address(1), 20, NOON), 5);
    assert!(!Limiter::new(policy()).wants_signals(NOON), "only when that is wanted");
}
