//! Who is let in, and who makes way.

use super::*;

const LIMITS: Limits = Limits { total: 4, per_address: 2 };

fn network(last: u8) -> Option<Network> {
    Some(Network::of([192, 0, 2, last].into()))
}

#[test]
fn there_are_no_more_than_files_may_be_open() {
    let limits = Limits { total: 10_000, per_address: 2_500 };
    let check = |files, total, per_address| assert_eq!(limits.within(files), Limits { total, per_address }, "{files}");
    check(u64::MAX, 10_000, 2_500);
    check(11_024, 10_000, 2_500);
    check(4_096, 3_072, 2_500);
    check(1_024, 512, 512);
}

/// A book of connections of these addresses, numbered from 1.
fn book(addresses: &[u8]) -> Book<u64> {
    let mut book = Book::new(LIMITS);
    for (number, address) in (1..).zip(addresses) {
        assert_eq!(book.enter(network(*address), number), Some((number, None)));
    }
    book
}

/// Who makes way for another connection of this address; an error when it is refused.
fn check(book: &mut Book<u64>, address: u8, expect: Result<Option<u64>, ()>) {
    let counted = book.counted();
    let entered = book.enter(network(address), 100);
    assert_eq!(entered.map(|(_, displaced)| displaced).ok_or(()), expect, "{book:?}");
    assert_eq!(book.counted().displaced - counted.displaced, u64::from(matches!(expect, Ok(Some(_)))));
    assert_eq!(book.counted().refused - counted.refused, u64::from(expect.is_err()));
    assert!(book.open.len() <= LIMITS.total && book.counted().open == book.open.len() as u64);
}

#[test]
fn whoever_has_waited_longest_makes_way() {
    check(&mut book(&[1, 2, 3]), 4, Ok(None));
    check(&mut book(&[1, 2, 3, 4]), 5, Ok(Some(1)));
    let mut answered = book(&[1, 2, 3, 4]);
    answered.begin(1);
    check(&mut answered, 5, Ok(Some(2)));
    answered.end(1);
    check(&mut answered, 6, Ok(Some(3)));
    check(&mut answered, 7, Ok(Some(4)));
    check(&mut answered, 8, Ok(Some(100)));
    check(&mut answered, 9, Ok(Some(1)));
}

#[test]
fn whoever_is_at_work_stays_and_whoever_has_proved_himself_goes_last() {
    let mut busy = book(&[1, 2, 3, 4]);
    (1..=4).for_each(|number| busy.begin(number));
    check(&mut busy, 5, Err(()));
    busy.prove(1);
    busy.end(1);
    check(&mut busy, 5, Ok(Some(1)));
    let mut proven = book(&[1, 2, 3, 4]);
    proven.begin(1);
    proven.prove(1);
    proven.end(1);
    for expect in [2, 3, 4] {
        check(&mut proven, 9, Ok(Some(expect)));
        proven.leave(proven.next);
        assert!(proven.enter(None, 50).is_some());
        let turn = proven.next;
        proven.begin(turn);
    }
    check(&mut proven, 9, Ok(Some(1)));
}

#[test]
fn an_address_makes_room_for_itself() {
    let mut book = book(&[1, 2, 2]);
    check(&mut book, 2, Ok(Some(2)));
    book.begin(3);
    check(&mut book, 2, Ok(Some(100)));
    let newest = book.next;
    book.begin(newest);
    check(&mut book, 2, Err(()));
    check(&mut book, 3, Ok(None));
    check(&mut book, 4, Ok(Some(1)));
}

#[test]
fn proxies_have_the_total_only() {
    let mut book: Book<u64> = Book::new(LIMITS);
    for number in 0..4 {
        assert_eq!(book.enter(None, number).unwrap().1, None);
    }
    assert_eq!(book.enter(None, 4).unwrap().1, Some(0));
}

#[test]
fn two_requests_on_one_connection_end_both() {
    let mut book = book(&[1]);
    book.begin(1);
    book.begin(1);
    book.end(1);
    assert_eq!(book.counted().waiting, 0);
    book.end(1);
    assert_eq!(book.counted().waiting, 1);
}

#[test]
fn what_ends_leaves_nothing() {
    let mut book = book(&[1, 1, 2]);
    book.begin(2);
    for number in 1..=3 {
        assert_eq!(book.leave(number), Some(number));
        assert_eq!(book.leave(number), None);
        book.begin(number);
        book.end(number);
    }
    assert!(book.open.is_empty() && book.waiting.is_empty() && book.addresses.is_empty());
    assert_eq!(book.counted(), Counted { accepted: 3, ..Counted::default() });
}

#[test]
fn a_place_is_given_back_and_whoever_has_to_make_way_hears_of_it() {
    let connections = Connections::new(Limits { total: 2, per_address: 1 }, vec!["10.0.0.0/8".parse().unwrap()]);
    let enter = |text: &str| connections.enter(Some(text.parse().unwrap()));
    let mut context = Context::from_waker(std::task::Waker::noop());
    let first = enter("2001:db8::1").unwrap();
    let second = enter("2001:db8::2").unwrap();
    assert!(first.poll_told(&mut context).is_ready(), "they are of one network");
    assert!(second.poll_told(&mut context).is_pending());
    drop(first);
    assert_eq!(connections.counted().open, 1, "it had lost its place before");
    let (_proxy, request) = (enter("::ffff:10.0.0.1").unwrap(), second.begin());
    assert_eq!(second.waits_after(), None);
    let _proxy = enter("10.0.0.1").unwrap();
    assert!(enter("2001:db8::3").is_none());
    drop(request);
    assert_eq!(second.waits_after(), Some(1));
    drop(second);
    assert_eq!(connections.counted().refused, 1);
}
