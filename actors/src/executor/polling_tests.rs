//! Who is asked when: one after the other after a restart, less and less often, never more at once than there is room
//! for, and nobody whose service is out.

use super::*;

const POLLING: Polling = Polling { first: Duration::from_secs(10), most: Duration::from_secs(60) };
const SERVICES: &[&str] = &["codegen"];

fn run(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

fn wait(number: u8) -> WaitId {
    WaitId::from_bytes([number; 16])
}

fn opened(number: u8, first_in: u64) -> Open {
    Open { wait: wait(number), polling: POLLING, services: SERVICES, first_in: Duration::from_secs(first_in) }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whom it asks now.
fn asks(polls: &mut Polls, now: u64) -> Option<WaitId> {
    polls.next(at(now), |_| true).map(|(_, wait)| wait)
}

#[test]
fn the_pauses_grow_up_to_the_longest_and_are_never_shorter_than_the_provider_wants() {
    let mut polls = Polls::default();
    assert!(polls.keep(run(1), vec![opened(1, 10)], at(0)));
    let mut now = 0;
    let check = |polls: &mut Polls, now: &mut u64, pause: u64, wants: Option<u64>| {
        assert_eq!(asks(polls, *now + pause - 1), None, "never early");
        assert_eq!(polls.wake(at(*now)), Some(at(*now + pause)));
        *now += pause;
        assert_eq!(asks(polls, *now), Some(wait(1)));
        assert_eq!((asks(polls, *now + 900), polls.wake(at(*now))), (None, None), "once at a time");
        polls.asked(run(1), wait(1), at(*now), wants.map(Duration::from_secs));
    };
    for (pause, wants) in [(10, None), (20, None), (40, None), (60, None), (60, Some(300)), (300, Some(90_000))] {
        check(&mut polls, &mut now, pause, wants);
    }
    assert_eq!(polls.wake(at(now)), Some(at(now + 3_600)), "whatever it wants, it is asked again");
}

#[test]
fn no_more_are_asked_at_once_than_there_is_room_for_and_nobody_whose_service_is_out() {
    let mut polls = Polls::default();
    for number in 0..10 {
        polls.keep(run(number), vec![opened(number, 1)], at(0));
    }
    assert_eq!(polls.next(at(1), |services| services != SERVICES), None);
    let asked: Vec<_> = std::iter::from_fn(|| polls.next(at(1), |_| true)).collect();
    assert_eq!(asked.len(), MOST_AT_WORK);
    assert_eq!(polls.wake(at(1)), None, "who is due waits for room");
    polls.asked(run(0), wait(0), at(2), None);
    assert_eq!(asks(&mut polls, 2), Some(wait(4)));
    assert_eq!(asks(&mut polls, 2), None);
}

#[test]
fn a_wait_that_is_over_is_asked_after_no_more_and_makes_room() {
    let mut polls = Polls::default();
    polls.keep(run(1), vec![opened(1, 5), opened(2, 6)], at(0));
    assert!(!polls.keep(run(1), vec![opened(2, 99)], at(3)), "the other keeps its time");
    assert_eq!(polls.wake(at(3)), Some(at(6)));
    assert_eq!(asks(&mut polls, 6), Some(wait(2)));
    polls.keep(run(1), Vec::new(), at(6));
    polls.asked(run(1), wait(2), at(7), None);
    assert_eq!((asks(&mut polls, 900), polls.wake(at(7)), polls.at_work), (None, None, 0));
}
