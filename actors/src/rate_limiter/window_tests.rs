//! The sliding window beside an exact count, and its memory.

use std::collections::VecDeque;

use super::*;

const SPAN: Duration = Duration::from_secs(60);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    now.plus(pause)
}

#[test]
fn what_came_is_counted_as_long_as_the_window_covers_it() {
    let mut window = Window::new(SPAN, 10);
    for _ in 0..60 {
        window.add(&"a", at(0));
    }
    let began = at(0).plus(Duration::from_secs(60)).since(Timestamp::from_millis(0)).as_millis() % 60_000;
    assert_eq!(began, 0, "the windows begin with the minute");
    let mut check = |seconds: i64, expect| assert_eq!(window.count(&"a", at(seconds * 1_000)), expect, "{seconds} s");
    check(0, 60);
    check(59, 60);
    check(60, 60);
    check(90, 30);
    check(119, 1);
    check(120, 0);
    check(1_000_000, 0);
}

#[test]
fn whoever_waits_as_told_is_below_and_not_before() {
    let check = |counts: &[(i64, u32)], asked_at: i64, limit: u32| {
        let mut window = Window::new(SPAN, 10);
        for (millis, count) in counts {
            (0..*count).for_each(|_| window.add(&"a", at(*millis)));
        }
        let now = at(asked_at);
        let pause = window.until_below(&"a", limit, now);
        assert!(window.count(&"a", after(now, pause)) < limit, "{counts:?} at {asked_at}: {pause:?}");
        if let Some(early) = pause.checked_sub(SPAN / u32::max(limit, 1) + Duration::from_millis(2)) {
            let mut fresh = Window::new(SPAN, 10);
            for (millis, count) in counts {
                (0..*count).for_each(|_| fresh.add(&"a", at(*millis)));
            }
            assert!(fresh.count(&"a", after(now, early)) >= limit, "{counts:?} at {asked_at}: not {pause:?} long");
        }
    };
    check(&[(0, 5)], 10, 10);
    check(&[(0, 10)], 10, 10);
    check(&[(0, 10)], 59_999, 10);
    check(&[(0, 10)], 60_001, 10);
    check(&[(0, 100), (61_000, 3)], 62_000, 10);
    check(&[(0, 100), (61_000, 9)], 62_000, 10);
    check(&[(0, 10), (61_000, 10)], 62_000, 10);
    check(&[(0, 1)], 0, 1);
}

#[test]
fn it_is_near_an_exact_count_of_what_comes_evenly() {
    let mut window = Window::new(SPAN, 10);
    let mut exact: VecDeque<i64> = VecDeque::new();
    for millis in (0..600_000).step_by(700) {
        window.add(&1, at(millis));
        exact.push_back(millis);
        while exact.front().is_some_and(|first| *first <= millis - 60_000) {
            exact.pop_front();
        }
        let (count, exact) = (i64::from(window.count(&1, at(millis))), i64::try_from(exact.len()).unwrap());
        assert!((count - exact).abs() <= 2, "{millis} ms: {count}, and it was {exact}");
    }
}

#[test]
fn a_clock_that_was_set_back_keeps_nobody_waiting() {
    let mut window = Window::new(SPAN, 10);
    (0..10).for_each(|_| window.add(&"a", at(3_600_000)));
    assert_eq!(window.count(&"a", at(0)), 10);
    assert_eq!(window.count(&"a", at(120_000)), 0);
    assert!(window.until_below(&"a", 5, at(0)) <= SPAN * 2);
}

#[test]
fn a_million_keys_take_the_room_of_a_thousand_and_are_held_back_together() {
    let mut window = Window::new(SPAN, 1_000);
    for key in 0..1_000_000_u32 {
        window.add(&key, at(i64::from(key % 50_000)));
    }
    assert!(window.current.by_key.len() + window.before.by_key.len() <= 2_000);
    assert_eq!(window.count(&5, at(50_000)), 1, "whoever was there first has a count of its own");
    assert!(window.count(&2_000_000, at(50_000)) > 900_000, "everybody else shares one");
    assert_eq!(window.count(&2_000_000, at(200_000)), 0, "until the flood is over");
}
