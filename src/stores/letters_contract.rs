//! What every store promises about dead letters, and about what happens to events after their verdict.

use pointsman_actors::dead_letter::letter::{Letter, LetterId, LetterQuery, MarkChange, Place};
use pointsman_actors::event::fate::{Change, RoutingFailure};
use pointsman_actors::retention::dossier::Purge;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn batch(store: &Shelf, transitions: Vec<Transition>) -> Vec<Answer> {
    store.commit(transitions).await.unwrap()
}

/// The run has ended so, this long after the start.
fn ends(run: &RunRecord, status: RunStatus, after: Duration) -> Transition {
    let at = START.plus(after);
    let reason = Some(format!("it has {}", status.name()));
    let entries = vec![Entry::new(at, What::Ended { status, reason: reason.clone() })];
    let head = RunHead { status, revision: 1, reason, updated_at: at, ended_at: Some(at), ..RunHead::queued(START) };
    Transition::Advance { run: run.reference(), revision: 0, entries, head, waits: vec![], starts: vec![] }
}

/// Something happens to a run that has ended.
fn then(run: &RunRecord, what: What, head: RunHead) -> Transition {
    let head = RunHead { revision: 2, ..head };
    Transition::Advance {
        run: run.reference(),
        revision: 1,
        entries: vec![entry(what)],
        head,
        waits: vec![],
        starts: vec![],
    }
}

fn restarted(run: &RunRecord) -> Transition {
    then(run, What::Restarted { steps: vec![], generation: 1 }, RunHead::queued(START))
}

async fn list(store: &Shelf, query: LetterQuery) -> Vec<Letter> {
    store.dead_letters(LetterQuery { limit: 100, ..query }).await.unwrap().items
}

async fn ids(store: &Shelf, query: LetterQuery) -> Vec<LetterId> {
    list(store, query).await.iter().map(|letter| letter.place().id).collect()
}

fn run_letter(run: &RunRecord, after: Duration) -> Place {
    Place { since: START.plus(after), id: LetterId::Run(run.id) }
}

fn counted(store: &Shelf) -> [u64; 4] {
    let counts = store.counts();
    [counts.dead_letters, counts.redrives, counts.redriven, counts.dismissed]
}

/// Routing the pending event fails, for the last time or not.
async fn fails(store: &Shelf, at: Timestamp, is_last: bool) -> Answer {
    let (event, lease) = store.take_pending(1, at, at).await.unwrap().remove(0);
    let failure =
        RoutingFailure { number: event.fate().failures() + 1, reason: "a rule failed".into(), fell: false, is_last };
    let change = Change::Failed { lease, failure };
    batch(store, vec![Transition::Change { event: event.meta.id, at, change }]).await.remove(0)
}

pub async fn what_failed_for_good_is_listed_newest_first(store: Shelf) {
    let mut all = Vec::new();
    for n in 0..4 {
        all.extend(start(&store, &delivery(n), &["a"]).await);
    }
    let _open = start(&store, &delivery(9), &["a"]).await;
    let statuses = [RunStatus::Failed, RunStatus::Succeeded, RunStatus::TimedOut, RunStatus::Cancelled];
    let ended = (0..).zip(&all).map(|(n, run)| ends(run, statuses[n as usize], MINUTE * (4 - n)));
    batch(&store, ended.collect()).await;
    let letters = list(&store, LetterQuery::default()).await;
    let places: Vec<Place> = letters.iter().map(Letter::place).collect();
    assert_eq!(places, [run_letter(&all[0], MINUTE * 4), run_letter(&all[2], MINUTE * 2)]);
    assert_eq!((letters[1].status(), letters[1].reason()), ("timed_out", "it has timed_out"));
    let page = store.dead_letters(LetterQuery { limit: 1, ..LetterQuery::default() }).await.unwrap();
    assert_eq!((page.items.len(), page.next), (1, Some(places[0])));
    let rest = ids(&store, LetterQuery { before: page.next, ..LetterQuery::default() }).await;
    assert_eq!(rest, [LetterId::Run(all[2].id)]);
    let one = store.dead_letter(LetterId::Run(all[2].id)).await.unwrap().unwrap();
    assert_eq!(one, letters[1]);
    assert_eq!(store.dead_letter(LetterId::Run(all[1].id)).await.unwrap(), None, "it has succeeded");
    assert_eq!(counted(&store), [2, 0, 0, 0]);
}

pub async fn dead_letters_are_filtered(store: Shelf) {
    let mut all = Vec::new();
    for (n, workflow) in (0..3).zip(["a", "a", "b"]) {
        all.extend(start(&store, &delivery(n), &[workflow]).await);
    }
    let ended = (1..).zip(&all).map(|(n, run)| ends(run, RunStatus::Failed, MINUTE * n));
    batch(&store, ended.collect()).await;
    let (_, event) = answer(&store, delivery(7).pending()).await;
    assert_eq!(fails(&store, START.plus(MINUTE * 9), true).await, Answer::Applied);
    let runs = |numbers: &[usize]| numbers.iter().map(|n| LetterId::Run(all[*n].id)).collect::<Vec<_>>();
    let at = |minute| Some(START.plus(MINUTE * minute));
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(ids(&store, LetterQuery::default()).await.len(), 4);
    assert_eq!(
        ids(&store, LetterQuery { runs: Some(false), ..LetterQuery::default() }).await,
        [LetterId::Event(event)]
    );
    assert_eq!(ids(&store, LetterQuery { runs: Some(true), ..LetterQuery::default() }).await, runs(&[2, 1, 0]));
    assert_eq!(ids(&store, LetterQuery { workflow: text("a"), ..LetterQuery::default() }).await, runs(&[1, 0]));
    assert_eq!(ids(&store, LetterQuery { since: at(2), until: at(3), ..LetterQuery::default() }).await, runs(&[1]));
    assert_eq!(ids(&store, LetterQuery { source: text("github"), ..LetterQuery::default() }).await.len(), 1);
    assert_eq!(ids(&store, LetterQuery { status: text("dead_lettered"), ..LetterQuery::default() }).await.len(), 1);
    assert_eq!(ids(&store, LetterQuery { text: text("IT HAS"), ..LetterQuery::default() }).await.len(), 3);
    assert_eq!(ids(&store, LetterQuery { poison: Some(true), ..LetterQuery::default() }).await, []);
    assert_eq!(ids(&store, LetterQuery { subject: text("o/r#1"), ..LetterQuery::default() }).await.len(), 3);
}

pub async fn a_run_that_is_begun_again_or_dismissed_is_no_dead_letter(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a", "b", "c"]).await;
    batch(&store, runs.iter().map(|run| ends(run, RunStatus::Failed, MINUTE)).collect()).await;
    let head = store.run(runs[1].id).await.unwrap().unwrap().head;
    let dismissed = then(&runs[1], What::Dismissed { reason: "x".into() }, RunHead { dismissed: true, ..head });
    let ask = MarkChange::Ask { at: START };
    let marks = vec![
        Transition::Mark { letter: run_letter(&runs[0], MINUTE), change: ask.clone() },
        Transition::Mark { letter: run_letter(&runs[2], MINUTE), change: ask.clone() },
    ];
    assert_eq!(batch(&store, marks).await, [Answer::Applied, Answer::Applied]);
    assert_eq!(counted(&store), [3, 2, 0, 0]);
    assert_eq!(batch(&store, vec![restarted(&runs[0]), dismissed]).await, [Answer::Applied, Answer::Applied]);
    assert_eq!(counted(&store), [1, 1, 1, 1]);
    assert_eq!(ids(&store, LetterQuery::default()).await, [LetterId::Run(runs[2].id)]);
    let gone = Transition::Mark { letter: run_letter(&runs[0], MINUTE), change: ask };
    assert_eq!(batch(&store, vec![gone]).await, [Answer::Stale]);
    // What happens in one batch is seen by what comes later in it.
    let both = vec![
        restarted(&runs[2]),
        Transition::Mark { letter: run_letter(&runs[2], MINUTE), change: MarkChange::Refuse { reason: "x".into() } },
    ];
    assert_eq!(batch(&store, both).await, [Answer::Applied, Answer::Stale]);
    assert_eq!(counted(&store), [0, 0, 2, 1]);
}

pub async fn what_is_to_be_redriven_is_found_oldest_first(store: Shelf) {
    let mut all = Vec::new();
    for n in 0..4 {
        all.extend(start(&store, &delivery(n), &["a"]).await);
    }
    batch(&store, (1..).zip(&all).map(|(n, run)| ends(run, RunStatus::Failed, MINUTE * n)).collect()).await;
    let place = |n: usize| run_letter(&all[n], MINUTE * (u32::try_from(n).unwrap() + 1));
    let mark = |n, change| Transition::Mark { letter: place(n), change };
    let ask = || MarkChange::Ask { at: START };
    batch(&store, vec![mark(3, ask()), mark(0, ask()), mark(2, ask()), mark(0, ask())]).await;
    assert_eq!(store.redrives(None, 9).await.unwrap().items, [place(0), place(2), place(3)]);
    let first = store.redrives(None, 2).await.unwrap();
    assert_eq!((first.items.as_slice(), first.next), (&[place(0), place(2)][..], Some(place(2))));
    assert_eq!(store.redrives(first.next, 9).await.unwrap().items, [place(3)]);
    batch(&store, vec![mark(2, MarkChange::Refuse { reason: "in doubt".into() })]).await;
    assert_eq!(store.redrives(None, 9).await.unwrap().items, [place(0), place(3)]);
    let refused = store.dead_letter(LetterId::Run(all[2].id)).await.unwrap().unwrap();
    assert_eq!(refused.mark.refused.as_deref(), Some("in doubt"));
    assert_eq!(counted(&store), [4, 2, 0, 0]);
}

pub async fn an_event_that_cannot_be_routed_ends_as_a_dead_letter_and_comes_back(store: Shelf) {
    let (_, event) = answer(&store, delivery(1).pending()).await;
    let bytes = store.counts().bytes;
    assert_eq!(fails(&store, START, false).await, Answer::Applied);
    assert_eq!((store.counts().pending, counted(&store)), (1, [0; 4]));
    assert!(store.counts().bytes > bytes);
    let at = START.plus(MINUTE);
    assert_eq!(fails(&store, at, true).await, Answer::Applied);
    assert_eq!((store.counts().pending, counted(&store)), (0, [1, 0, 0, 0]));
    assert_eq!(store.take_pending(9, at, at).await.unwrap(), []);
    let letter = store.dead_letter(LetterId::Event(event)).await.unwrap().unwrap();
    assert_eq!((letter.since, letter.status(), letter.reason()), (at, "dead_lettered", "a rule failed"));
    let stored = store.event(event).await.unwrap().unwrap();
    assert_eq!(stored.history.len(), 2);

    let redrive = || Transition::Change { event, at, change: Change::Redrive };
    assert_eq!(batch(&store, vec![redrive(), redrive()]).await, [Answer::Applied, Answer::Stale]);
    assert_eq!((store.counts().pending, counted(&store)), (1, [0, 0, 1, 0]));
    let (_, lease) = store.take_pending(9, at, at).await.unwrap().remove(0);
    assert_eq!(lease.epoch, 3, "no lease of its former life fits");
    let verdict = Verdict::Unrouted { reason: "now".into() };
    let settle = Transition::Settle { event, lease, verdict, runs: Vec::new() };
    assert_eq!(batch(&store, vec![settle]).await, [Answer::Applied]);
    let stored = store.event(event).await.unwrap().unwrap();
    assert_eq!((stored.status(), stored.history.len()), ("unrouted", 3), "its history stays");
}

pub async fn an_event_can_be_dismissed_and_hurried(store: Shelf) {
    let (_, event) = answer(&store, delivery(1).pending()).await;
    let change = |change| Transition::Change { event, at: START, change };
    let (_, lease) = store.take_pending(1, START, START.plus(MINUTE)).await.unwrap().remove(0);
    assert_eq!(store.take_pending(1, START, START).await.unwrap(), []);
    assert_eq!(batch(&store, vec![change(Change::Hurry)]).await, [Answer::Applied]);
    let (_, second) = store.take_pending(1, START, START).await.unwrap().remove(0);
    assert!(second.epoch > lease.epoch);
    let failure = RoutingFailure { number: 1, reason: "x".into(), fell: true, is_last: true };
    let old = Change::Failed { lease, failure: failure.clone() };
    let new = Change::Failed { lease: second, failure };
    assert_eq!(batch(&store, vec![change(old), change(new)]).await, [Answer::Stale, Answer::Applied]);
    assert!(store.dead_letter(LetterId::Event(event)).await.unwrap().unwrap().is_poison());
    let dismiss = || change(Change::Dismiss { reason: "x".into() });
    let answers = batch(&store, vec![dismiss(), dismiss(), change(Change::Hurry)]).await;
    assert_eq!(answers, [Answer::Applied, Answer::Stale, Answer::Stale]);
    assert_eq!(counted(&store), [0, 0, 0, 1]);
    assert_eq!(store.event(event).await.unwrap().unwrap().status(), "dead_lettered");
}

pub async fn each_replay_is_one_generation(store: Shelf) {
    let (_, event) = answer(&store, delivery(1)).await;
    let replay = |generation, request: Option<&str>| {
        let id = RunId::derive("a", event, "route", generation);
        let runs = vec![RunRecord { id, generation, ..run(event, "a", START) }];
        let request = request.map(str::to_owned);
        Transition::Change { event, at: START, change: Change::Replay { generation, request, runs } }
    };
    let tried = vec![replay(2, None), replay(1, Some("r")), replay(1, None), replay(2, Some("r")), replay(2, None)];
    let answers = batch(&store, tried).await;
    let expect = [Answer::Stale, Answer::Applied, Answer::Stale, Answer::Stale, Answer::Applied];
    assert_eq!(answers, expect);
    let stored = store.event(event).await.unwrap().unwrap();
    assert_eq!((stored.status(), stored.runs().len(), store.counts().runs), ("started", 2, 2));
    let started = EventQuery { status: Some("started".into()), limit: 9, ..EventQuery::default() };
    assert_eq!(store.events(started).await.unwrap().items.len(), 1);
    assert_eq!(store.open_runs(None, 9).await.unwrap().len(), 2);
    let purge = Transition::Purge(Purge { event, over_since: START.plus(MINUTE) });
    assert_eq!(batch(&store, vec![purge]).await, [Answer::Stale], "its runs are not over");
    let (_, waiting) = answer(&store, delivery(2).pending()).await;
    let change = Change::Replay { generation: 1, request: None, runs: Vec::new() };
    let pending = Transition::Change { event: waiting, at: START, change };
    assert_eq!(batch(&store, vec![pending]).await, [Answer::Stale], "it is routed, not replayed");
}

pub async fn dead_letters_go_with_their_event(store: Shelf) {
    let runs = start(&store, &delivery(1), &["a", "b"]).await;
    batch(&store, runs.iter().map(|run| ends(run, RunStatus::Failed, MINUTE)).collect()).await;
    let (_, event) = answer(&store, delivery(2).pending()).await;
    fails(&store, START, true).await;
    let ask = Transition::Mark { letter: run_letter(&runs[0], MINUTE), change: MarkChange::Ask { at: START } };
    batch(&store, vec![ask]).await;
    assert_eq!(counted(&store), [3, 1, 0, 0]);
    let purge = |event| Transition::Purge(Purge { event, over_since: START.plus(MINUTE * 9) });
    assert_eq!(batch(&store, vec![purge(runs[0].event), purge(event)]).await, [Answer::Applied, Answer::Applied]);
    assert_eq!((counted(&store), ids(&store, LetterQuery::default()).await), ([0; 4], vec![]));
    assert_eq!(store.dead_letter(LetterId::Event(event)).await.unwrap(), None);
}
