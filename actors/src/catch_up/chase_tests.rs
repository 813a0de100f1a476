//! What failed and is not in the log is got once, however its attempts went and however they are listed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::missed::{Attempt, Failed, OVERLAP};
use super::*;

const EVERY: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3_600);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn chase() -> Chase {
    Chase::new(Checkpoint { hook: "h".into(), ..Checkpoint::default() }, EVERY, KEPT)
}

fn attempt(id: u64, guid: &str, ago: Duration, delivered: bool) -> Attempt {
    Attempt { id, guid: guid.into(), at: NOW.minus(ago), redelivery: false, delivered }
}

fn again(id: u64, guid: &str, ago: Duration, delivered: bool) -> Attempt {
    Attempt { redelivery: true, ..attempt(id, guid, ago, delivered) }
}

fn in_log(guids: &[&str]) -> HashSet<String> {
    guids.iter().map(|guid| (*guid).to_owned()).collect()
}

/// Walks through all of this at once.
fn look(chase: &mut Chase, mut attempts: Vec<Attempt>, known: &[&str], now: Timestamp) -> Settled {
    attempts.sort_by_key(|attempt| std::cmp::Reverse((attempt.at, attempt.id)));
    let mut walk = chase.walk(now);
    assert!(!walk.take(attempts, None));
    chase.settle(walk.finish(), &in_log(known), now)
}

fn due(chase: &Chase, now: Timestamp) -> Vec<(String, u64)> {
    chase.due(now).into_iter().map(|missed| (missed.guid, missed.attempt)).collect()
}

#[test]
fn what_failed_and_is_not_known_is_missing_with_its_newest_attempt() {
    let mut chase = chase();
    let attempts = vec![
        attempt(1, "failed", HOUR * 3, false),
        attempt(2, "went well", HOUR * 3, true),
        attempt(3, "went well later", HOUR * 3, false),
        attempt(4, "its answer was lost", HOUR * 2, false),
        again(5, "failed", HOUR, false),
        again(6, "went well later", HOUR, true),
    ];
    let settled = look(&mut chase, attempts, &["its answer was lost"], NOW);
    assert_eq!(settled, Settled { found: 1, ..Settled::default() });
    assert_eq!(due(&chase, NOW), [("failed".to_owned(), 5)]);
    assert_eq!(chase.checkpoint().until, Some(NOW.minus(HOUR)));
}

#[test]
fn what_is_too_old_is_left_and_what_becomes_so_is_told() {
    let mut chase = chase();
    let old = KEPT - MARGIN;
    let attempts = vec![
        attempt(1, "too old", old, false),
        attempt(2, "in time", old - Duration::from_secs(1), false),
        // Its first attempt was before all that is listed.
        again(3, "begun before", HOUR, false),
    ];
    look(&mut chase, attempts, &[], NOW);
    assert_eq!(due(&chase, NOW), [("in time".to_owned(), 2)]);
    let settled = look(&mut chase, Vec::new(), &[], NOW.plus(Duration::from_secs(1)));
    assert_eq!(settled.lost.iter().map(|lost| lost.guid.as_str()).collect::<Vec<_>>(), ["in time"]);
    assert_eq!(chase.missing(), (0, 0));
}

#[test]
fn what_the_log_would_not_recognise_is_left() {
    let mut chase = Chase::new(Checkpoint::default(), EVERY, HOUR);
    let attempts =
        vec![attempt(1, "a", HOUR - MARGIN, false), attempt(2, "b", HOUR - MARGIN - Duration::from_secs(1), false)];
    look(&mut chase, attempts, &[], NOW);
    assert_eq!(due(&chase, NOW), [("b".to_owned(), 2)]);
}

#[test]
fn a_walk_ends_where_all_is_settled() {
    let settled = NOW.minus(HOUR);
    let mut walk = Walk::new(Some(settled), NOW.minus(KEPT));
    let page = |ago| vec![attempt(9, "a", Duration::ZERO, true), attempt(8, "b", ago, true)];
    assert!(walk.take(page(HOUR + OVERLAP), Some("next".into())));
    assert_eq!(walk.cursor(), Some("next"));
    assert!(!walk.take(page(HOUR + OVERLAP + Duration::from_secs(1)), Some("further".into())));
    let mut walk = Walk::new(Some(settled), NOW.minus(KEPT));
    assert!(!walk.take(page(Duration::ZERO), None), "there is no more");
    let mut walk = Walk::new(None, NOW.minus(KEPT));
    assert!(walk.take(page(KEPT), Some("next".into())), "whoever knows nothing goes back as far as there is something");
}

#[test]
fn what_was_listed_late_is_found_all_the_same() {
    let mut chase = chase();
    look(&mut chase, vec![attempt(5, "listed", HOUR, true)], &["listed"], NOW);
    let late = attempt(4, "late", HOUR + OVERLAP - Duration::from_secs(1), false);
    look(&mut chase, vec![attempt(5, "listed", HOUR, true), late], &["listed"], NOW);
    assert_eq!(due(&chase, NOW), [("late".to_owned(), 4)]);
}

#[test]
fn what_does_not_come_is_asked_for_again_later_and_later_and_then_given_up() {
    let mut chase = chase();
    look(&mut chase, vec![attempt(1, "a", Duration::ZERO, false)], &[], NOW);
    let (mut now, mut pauses) = (NOW, Vec::new());
    for tries in 1..=MOST_TRIES {
        assert_eq!(due(&chase, now).len(), 1, "{tries}");
        assert_eq!(chase.tried("a", now), tries);
        let asked = now;
        while due(&chase, now).is_empty() && now.since(asked) < HOUR * 7 {
            now = now.plus(EVERY);
            look(&mut chase, Vec::new(), &[], now);
        }
        pauses.push(now.since(asked).as_secs() / 60);
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 360, 360, 360, 420], "in minutes; after the last it waits in vain");
    assert_eq!((chase.missing(), due(&chase, now.plus(HOUR))), ((1, 1), Vec::new()));
    let next_process = Chase::new(chase.checkpoint().clone(), EVERY, KEPT);
    assert_eq!(due(&next_process, now), [("a".to_owned(), 1)], "whoever starts tries once more, and at once");
}

#[test]
fn what_has_come_is_missing_no_more() {
    let mut chase = chase();
    let attempts = vec![attempt(1, "a", HOUR, false), attempt(2, "b", HOUR, false), attempt(3, "c", HOUR, false)];
    look(&mut chase, attempts, &[], NOW);
    chase.tried("a", NOW);
    chase.taken_in("b");
    let settled = look(&mut chase, vec![again(4, "c", Duration::ZERO, true)], &["a"], NOW);
    assert_eq!(settled, Settled { arrived: 1, ..Settled::default() }, "one came, and one went elsewhere");
    assert_eq!(chase.missing(), (0, 0));
}

/// A delivery, as chance has it: when it was first attempted, in minutes before the end, how its attempts went, whether
/// the log has it although no attempt says so, how many looks it takes until what was asked for arrives, and how many
/// minutes until an attempt is listed.
#[derive(Clone, Debug)]
struct Story {
    minutes_ago: u64,
    attempts: Vec<bool>,
    known: bool,
    arrives_after: usize,
    listed_after: u64,
}

fn story() -> impl Strategy<Value = Story> {
    let minutes = prop_oneof![0..5_000_u64, 0..120_u64];
    let attempts = prop::collection::vec(prop::bool::weighted(0.25), 1..4);
    (minutes, attempts, prop::bool::weighted(0.2), 1..4_usize, 0..14_u64).prop_map(
        |(minutes_ago, attempts, known, arrives_after, listed_after)| Story {
            minutes_ago,
            attempts,
            known,
            arrives_after,
            listed_after,
        },
    )
}

/// The provider: what it has tried, and what it is to try.
struct Provider {
    /// Each with when it is listed.
    attempts: Vec<(Timestamp, Attempt)>,
    page: usize,
}

impl Provider {
    fn walk(&self, chase: &Chase, now: Timestamp) -> Walked {
        let listed = self.attempts.iter().filter(|(listed_at, _)| *listed_at <= now);
        let mut listed: Vec<Attempt> = listed.map(|(_, attempt)| attempt.clone()).collect();
        listed.sort_by_key(|attempt| std::cmp::Reverse((attempt.at, attempt.id)));
        let mut walk = chase.walk(now);
        loop {
            let from: usize = walk.cursor().map_or(0, |cursor| cursor.parse().unwrap());
            let page: Vec<Attempt> = listed.iter().skip(from).take(self.page).cloned().collect();
            let next = (from + self.page < listed.len()).then(|| (from + self.page).to_string());
            if !walk.take(page, next) {
                return walk.finish();
            }
        }
    }

    fn of(stories: &[Story], page: usize) -> Self {
        let mut attempts = Vec::new();
        for (place, story) in stories.iter().enumerate() {
            for (nth, delivered) in (0_u64..).zip(&story.attempts) {
                let at = NOW.minus(Duration::from_secs(story.minutes_ago * 60)).plus(Duration::from_secs(nth * 45));
                let id = attempts.len() as u64;
                let guid = format!("guid-{place}");
                let attempt = Attempt { id, guid, at, redelivery: nth > 0, delivered: *delivered };
                attempts.push((at.plus(Duration::from_secs(story.listed_after * 60)), attempt));
            }
        }
        Self { attempts, page }
    }
}

proptest! {
    #[test]
    fn everything_that_failed_is_got_once(
        stories in prop::collection::vec(story(), 0..40),
        page in 1..9_usize,
        first_look in 0..300_u64,
        deaths in prop::collection::vec((0..20_usize, any::<bool>()), 0..5),
    ) {
        let provider = Provider::of(&stories, page);
        // What the log has, and how often each was taken in by being gone after.
        let mut log: HashSet<String> = HashSet::new();
        let mut got: BTreeMap<String, usize> = BTreeMap::new();
        let mut coming: Vec<(usize, String)> = Vec::new();
        let guid = |place: usize| format!("guid-{place}");
        log.extend(stories.iter().enumerate().filter(|(_, story)| story.known).map(|(place, _)| guid(place)));
        let mut chase = chase();
        let mut durable = chase.checkpoint().clone();
        let mut now = NOW.minus(Duration::from_secs(first_look * 60));
        let began = now;
        for round in 0..80 {
            now = now.plus(EVERY);
            for (_, guid) in coming.extract_if(.., |(when, _)| *when <= round) {
                if log.insert(guid.clone()) {
                    *got.entry(guid).or_default() += 1;
                }
            }
            let walked = provider.walk(&chase, now);
            let known = chase.suspects(&walked).into_iter().filter(|guid| log.contains(guid)).collect();
            chase.settle(walked, &known, now);
            // The process may die before what it has found is durable …
            if deaths.contains(&(round, false)) {
                chase = Chase::new(durable.clone(), EVERY, KEPT);
                continue;
            }
            durable = chase.checkpoint().clone();
            for missed in chase.due(now) {
                let place: usize = missed.guid.strip_prefix("guid-").unwrap().parse().unwrap();
                prop_assert!(!log.contains(&missed.guid), "{} is there", missed.guid);
                coming.push((round + stories[place].arrives_after, missed.guid.clone()));
                chase.tried(&missed.guid, now);
            }
            // … or before it is that it was asked for.
            if deaths.contains(&(round, true)) {
                chase = Chase::new(durable.clone(), EVERY, KEPT);
            }
            durable = chase.checkpoint().clone();
        }
        for (place, story) in stories.iter().enumerate() {
            let first_at = NOW.minus(Duration::from_secs(story.minutes_ago * 60));
            let seen_at = began.max(first_at);
            // Whoever redelivers by hand between two looks may be faster, or too late.
            let may_be_settled = story.attempts.iter().any(|delivered| *delivered);
            let in_time = seen_at.since(first_at) + EVERY * 10 < KEPT - MARGIN;
            let times = got.get(&guid(place)).copied().unwrap_or(0);
            prop_assert!(times <= 1, "{} was taken in {times} times", guid(place));
            if !story.known && !may_be_settled && in_time {
                prop_assert_eq!(times, 1, "{} of {:?}", guid(place), story);
            }
            if story.known || story.attempts[0] {
                prop_assert_eq!(times, 0, "{} of {:?}", guid(place), story);
            }
        }
        prop_assert_eq!(chase.missing(), (0, 0));
    }
}

#[test]
fn a_later_failure_of_what_is_missing_gives_its_newest_attempt() {
    let mut chase = chase();
    look(&mut chase, vec![attempt(1, "a", HOUR, false)], &[], NOW);
    look(&mut chase, vec![again(7, "a", Duration::ZERO, false)], &[], NOW);
    assert_eq!(due(&chase, NOW), [("a".to_owned(), 7)]);
    let walked = Walked { failed: vec![Failed { guid: "b".into(), attempt: 1, first_at: None }], ..Walked::default() };
    assert_eq!(chase.settle(walked, &HashSet::new(), NOW).found, 0);
}

#[test]
fn the_newest_attempt_is_the_newest_however_they_are_listed() {
    let mut chase = chase();
    let mut walk = chase.walk(NOW);
    let listed =
        vec![again(5, "a", HOUR, false), again(7, "a", Duration::ZERO, false), attempt(1, "a", HOUR * 2, false)];
    assert!(!walk.take(listed, None));
    chase.settle(walk.finish(), &HashSet::new(), NOW);
    assert_eq!((due(&chase, NOW), chase.checkpoint().until), (vec![("a".to_owned(), 7)], Some(NOW)));
}
