//! What goes and what stays, by age and by number, and how often anything is looked at.

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const KEEP: Duration = Duration::from_secs(32 * 3_600);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Received so many hours ago.
fn event(hours_ago: u32) -> EventId {
    EventId::first_at(NOW.minus(HOUR * hours_ago))
}

/// Received, and over, so many hours ago.
fn over(received: u32, ended: u32) -> Dossier {
    Dossier { event: event(received), over_since: Some(NOW.minus(HOUR * ended)), rows: 1 }
}

fn open(received: u32) -> Dossier {
    Dossier { event: event(received), over_since: None, rows: 1 }
}

/// A log of these events, walked through until nothing of it may go; which went, by their hours.
struct Log {
    dossiers: Vec<Dossier>,
    walk: Walk,
    looked_at: usize,
}

impl Log {
    fn of(dossiers: &[Dossier], most: Option<u64>) -> Self {
        let walk = Walk::new(Policy { keep: KEEP, most });
        Self { dossiers: dossiers.to_vec(), walk, looked_at: 0 }
    }

    fn number(&self) -> u64 {
        self.dossiers.len() as u64
    }

    /// Looks at pages of two, as the actor does, until one is empty.
    fn purge(&mut self, now: Timestamp) -> Vec<u32> {
        let mut gone = Vec::new();
        loop {
            let stretch = self.walk.stretch(now, self.number());
            let is_in = |event: EventId| {
                stretch.after.is_none_or(|after| event > after) && stretch.before.is_none_or(|before| event < before)
            };
            let page: Vec<Dossier> = self.dossiers.iter().filter(|of| is_in(of.event)).take(2).copied().collect();
            let going = self.walk.judge(&page, now, self.number());
            self.looked_at += page.len();
            assert!(self.looked_at < 10_000, "it goes round in circles");
            self.dossiers.retain(|kept| going.iter().all(|purge| purge.event != kept.event));
            gone.extend(going.iter().map(|purge| (NOW.since(purge.event.at()).as_secs() / 3_600) as u32));
            if page.is_empty() {
                return gone;
            }
        }
    }
}

#[test]
fn what_is_over_goes_by_its_age() {
    let check = |dossiers: &[Dossier], expect: &[u32]| {
        assert_eq!(Log::of(dossiers, None).purge(NOW), expect, "{dossiers:?}");
    };
    check(&[], &[]);
    check(&[over(40, 40), over(35, 35), over(34, 34)], &[40, 35, 34]);
    check(&[over(40, 40), over(33, 33), over(20, 20)], &[40]);
    check(&[over(40, 32), over(39, 31)], &[40]);
    check(&[open(50), over(40, 40)], &[40]);
    check(&[open(50), over(45, 1), open(41), over(40, 40), over(36, 36)], &[40, 36]);
    check(&[open(50)], &[]);
}

#[test]
fn the_oldest_that_are_over_go_when_there_are_too_many() {
    let check = |dossiers: &[Dossier], most: u64, expect: &[u32]| {
        assert_eq!(Log::of(dossiers, Some(most)).purge(NOW), expect, "{dossiers:?}");
    };
    let all = [over(5, 5), open(4), over(3, 1), over(2, 2), over(1, 0)];
    check(&all, 5, &[]);
    check(&all, 3, &[5, 3]);
    check(&all, 1, &[5, 3, 2, 1]);
    check(&[over(40, 40), over(39, 39), over(1, 1)], 2, &[40, 39]);
    check(&[over(40, 40), over(39, 39), over(1, 1)], 9, &[40, 39]);
}

#[test]
fn the_next_one_to_go_is_still_the_oldest() {
    let mut log = Log::of(&[over(5, 5), over(4, 4), over(3, 3)], Some(2));
    assert_eq!(log.purge(NOW), [5]);
    log.dossiers.push(over(0, 0));
    assert_eq!(log.purge(NOW), [4], "nothing that was not too many was passed over");
}

#[test]
fn what_stays_is_passed_over_once_a_walk() {
    let old: Vec<Dossier> = (0..100).map(|n| open(200 - n)).collect();
    let mut log = Log::of(&old, None);
    log.purge(NOW);
    assert_eq!(log.looked_at, 100);
    for minute in 1..60 {
        log.purge(NOW.plus(Duration::from_secs(60 * minute)));
    }
    assert_eq!(log.looked_at, 100, "within an hour nobody looks at it again");
    log.dossiers[3].over_since = Some(NOW.minus(KEEP));
    assert_eq!(log.purge(NOW.plus(HOUR)), [197]);
    assert_eq!(log.looked_at, 200);
}

#[test]
fn the_young_are_not_looked_at() {
    let mut log = Log::of(&[over(32, 32), over(2, 2), over(1, 1)], None);
    assert_eq!((log.purge(NOW), log.looked_at), (vec![], 0), "a lap later than they may go");
    assert_eq!(log.purge(NOW.plus(HOUR * 2)), [32]);
    assert_eq!(log.looked_at, 1);
}

#[test]
fn walks_in_vain_become_rare() {
    let old: Vec<Dossier> = (0..10).map(|n| open(20 - n)).collect();
    let mut log = Log::of(&old, Some(5));
    for second in 0..3_600 {
        log.purge(NOW.plus(Duration::from_secs(second)));
    }
    assert_eq!(log.looked_at, 10 * 9, "after 0, 10, 20, 40, … 1280 and 2560 seconds");
    log.dossiers[0].over_since = Some(NOW);
    log.dossiers[1].over_since = Some(NOW);
    assert_eq!(log.purge(NOW.plus(HOUR * 2)), [20, 19]);
    let looked_at = log.looked_at;
    log.purge(NOW.plus(HOUR * 2).plus(SHORTEST_LAP));
    assert!(log.looked_at > looked_at, "one that found something is followed soon");
}

#[test]
fn a_clock_that_was_set_back_stops_nothing() {
    let mut log = Log::of(&[open(200)], None);
    log.purge(NOW.plus(HOUR * 1_000));
    log.dossiers[0].over_since = Some(NOW.minus(KEEP));
    assert_eq!(log.purge(NOW), [200]);
}

#[test]
fn little_goes_at_once() {
    let rows = |rows| Dossier { rows, ..over(40, 40) };
    let page = [rows(1_500), rows(1_500), rows(1), rows(1)];
    let mut walk = Walk::new(Policy { keep: KEEP, most: None });
    walk.stretch(NOW, 4);
    assert_eq!(walk.judge(&page, NOW, 4).len(), 2);
    assert_eq!(walk.judge(&[rows(1_000_000)], NOW, 4).len(), 1, "one that is larger than that goes whole");
}
