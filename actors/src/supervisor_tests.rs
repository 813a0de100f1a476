//! What supervision and bounded mailboxes promise, seen on small actors.

use actix::{Handler, Message};

use super::*;
use crate::mailbox::{Letter, NotTaken};
use crate::time::SystemClock;

const POLICY: RestartPolicy = RestartPolicy { intensity: 3, window: Duration::from_secs(10) };
static ROW: Row = Row {
    component: "counter",
    thread: Thread::Work,
    capacity: 4,
    restart: POLICY,
    escalation: Escalation::Park,
    meaning: "nothing counts",
};

/// Counts what it is told; holds its answers back while the gate is shut.
struct Counter {
    gate: Arc<Semaphore>,
    total: u64,
    lives: u64,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Supervised for Counter {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.lives += 1;
    }
}

#[derive(Message)]
#[rtype(result = "(u64, u64)")]
struct Add(u64);

impl Handler<Letter<Add>> for Counter {
    type Result = actix::ResponseFuture<(u64, u64)>;

    fn handle(&mut self, letter: Letter<Add>, _: &mut Context<Self>) -> Self::Result {
        let (Add(amount), room) = letter.keep_room();
        self.total += amount;
        let answer = (self.total, self.lives);
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            let _open = gate.acquire().await;
            drop(room);
            answer
        })
    }
}

fn supervisor() -> (Supervisor, Arc<Mutex<Vec<&'static str>>>) {
    let given_up = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&given_up);
    let on_given_up: OnGivenUp = Arc::new(move |row| seen.lock().unwrap().push(row.row().component));
    (Supervisor { roster: Roster::default(), clock: Arc::new(SystemClock::new()), on_given_up }, given_up)
}

fn counter(gate: &Arc<Semaphore>) -> Counter {
    Counter { gate: Arc::clone(gate), total: 0, lives: 0 }
}

#[actix::test]
async fn a_mailbox_of_four_takes_four_of_a_thousand() {
    let (supervisor, _) = supervisor();
    let gate = Arc::new(Semaphore::new(0));
    let mailbox = supervisor.supervise(&ROW, "", counter(&gate));
    let taken: Vec<_> = (0..1000).map(|_| mailbox.clone().door::<Add>().ask_if_room(Add(1))).collect();
    assert_eq!(taken.iter().filter(|offer| offer.is_ok()).count(), 4);
    assert_eq!(taken.iter().filter(|offer| matches!(offer, Err(NotTaken::Full))).count(), 996);
    assert_eq!(supervisor.roster.of("counter")[0].depth(), 4);
    gate.add_permits(1000);
    for answer in taken.into_iter().flatten() {
        answer.await.unwrap();
    }
    assert_eq!(supervisor.roster.of("counter")[0].depth(), 0);
}

#[actix::test]
async fn after_a_fall_the_queue_is_served_and_only_the_message_in_hand_is_lost() {
    let (supervisor, _) = supervisor();
    let mailbox = supervisor.supervise(&ROW, "", counter(&Arc::new(Semaphore::new(1000))));
    let vitals = supervisor.roster.of("counter").remove(0);
    vitals.rehearse(Drill::NextMessage);
    let door = mailbox.door::<Add>();
    let waits: Vec<_> = [1, 10, 100].into_iter().map(|amount| door.ask_if_room(Add(amount)).unwrap()).collect();
    let answers = futures_util::future::join_all(waits).await;
    assert_eq!(answers, [Err(NotTaken::Closed), Ok((10, 1)), Ok((110, 1))]);
    assert_eq!((vitals.falls(), vitals.restarts(), vitals.depth()), (1, 1, 0));
    assert_eq!(vitals.life(), Life::Running);
}

#[actix::test]
async fn a_component_that_falls_at_every_start_is_given_up() {
    let (supervisor, given_up) = supervisor();
    let mailbox = supervisor.supervise(&ROW, "", counter(&Arc::new(Semaphore::new(1000))));
    let vitals = supervisor.roster.of("counter").remove(0);
    vitals.rehearse(Drill::EveryStart);
    let door = mailbox.door::<Add>();
    let waits: Vec<_> = (0..4).map(|amount| door.ask_if_room(Add(amount)).unwrap()).collect();
    let answers = futures_util::future::join_all(waits).await;
    assert_eq!(answers, [const { Err(NotTaken::Closed) }; 4]);
    assert_eq!(vitals.falls(), 4, "three restarts are allowed, the fourth fall is one too many");
    assert_eq!(*given_up.lock().unwrap(), ["counter"]);
    assert_eq!(vitals.life(), Life::GivenUp);
    assert_eq!(door.offer(Add(1)), Err(NotTaken::Closed));
}

#[actix::test]
async fn draining_waits_for_those_inside_and_takes_nobody_in() {
    let (supervisor, _) = supervisor();
    let gate = Arc::new(Semaphore::new(0));
    let door = supervisor.supervise(&ROW, "", counter(&gate)).door::<Add>();
    let inside = door.ask_if_room(Add(1)).unwrap();
    let mut drained = Box::pin(door.drain());
    assert!(futures_util::poll!(&mut drained).is_pending());
    gate.add_permits(1000);
    assert_eq!(inside.await, Ok((1, 0)));
    drained.await;
    assert_eq!(door.ask(Add(1)).await, Err(NotTaken::Closed));
}

#[test]
fn falls_are_counted_in_a_sliding_window() {
    let mut intensity = Intensity::new(POLICY);
    let at = Duration::from_secs;
    let pauses: Vec<_> = [at(0), at(1), at(2)].map(|moment| intensity.fell(moment)).into();
    let doubling = [20, 40, 80].map(|ms| Next::RestartAfter(Duration::from_millis(ms)));
    assert_eq!(pauses, doubling);
    assert_eq!(intensity.fell(at(3)), Next::GiveUp);

    let mut intensity = Intensity::new(POLICY);
    for minute in 0..60 {
        assert_eq!(intensity.fell(at(minute * 60)), Next::RestartAfter(Duration::from_millis(20)));
    }
}
