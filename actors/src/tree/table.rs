//! The components, with what bounds each and what it means when one is given up.

use std::time::Duration;

use crate::supervisor::{Escalation, RestartPolicy, Row, Thread};

/// Five falls within a minute: more is not an accident, and restarting would hide it.
const RESTART: RestartPolicy = RestartPolicy { intensity: 5, window: Duration::from_secs(60) };

/// Deliveries that one HTTP worker may have in its hands; the limit of requests in flight is the bound over all.
const PER_WORKER: usize = 4_096;

/// Transitions that may wait for the committer: twice what all workers can have in their hands at the
/// default limit, so that the gate refuses before the log is full.
const TO_COMMIT: usize = 8_192;

/// Messages that may wait for an executor, the dispatcher or the timer: a few for each run at work.
/// Whoever finds no room waits, tells again, or leaves it to storage.
const PER_EXECUTOR: usize = 16_384;

/// The components, in the order in which they may ask each other.
pub static TABLE: [Row; 16] = [
    Row {
        component: "catch_up",
        thread: Thread::Work,
        capacity: 16,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "what a provider could not deliver is not asked for before the next start; everything else goes on",
    },
    Row {
        component: "address_book",
        thread: Thread::Work,
        capacity: 16,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "the addresses of a provider that are in force stay so until the next start; everything else goes on",
    },
    Row {
        component: "receiver",
        thread: Thread::HttpWorker,
        capacity: PER_WORKER,
        restart: RESTART,
        escalation: Escalation::Unready,
        meaning: "this HTTP worker answers 503, and no more deliveries are sent here",
    },
    Row {
        component: "rate_limiter",
        thread: Thread::HttpWorker,
        capacity: PER_WORKER,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "nobody is held back on this HTTP worker until the next start; deliveries are taken all the same",
    },
    Row {
        component: "validator",
        thread: Thread::HttpWorker,
        capacity: PER_WORKER,
        restart: RESTART,
        escalation: Escalation::Unready,
        meaning: "this HTTP worker answers 503, and no more deliveries are sent here",
    },
    Row {
        component: "deduplicator",
        thread: Thread::HttpWorker,
        capacity: PER_WORKER,
        restart: RESTART,
        escalation: Escalation::Unready,
        meaning: "this HTTP worker answers 503, and no more deliveries are sent here",
    },
    Row {
        component: "router",
        thread: Thread::HttpWorker,
        capacity: PER_WORKER,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "events of this HTTP worker are stored as pending and routed by the backlog",
    },
    Row {
        component: "dead_letter",
        thread: Thread::Work,
        capacity: 16,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "dead letters are listed, and not redriven before the next start; everything else goes on",
    },
    Row {
        component: "backlog",
        thread: Thread::Work,
        capacity: 16,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "pending events stay pending until the next start",
    },
    Row {
        component: "executor",
        thread: Thread::Work,
        capacity: PER_EXECUTOR,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "runs of this workflow stand still until the next start; the other workflows go on",
    },
    Row {
        component: "dispatcher",
        thread: Thread::Work,
        capacity: PER_EXECUTOR,
        restart: RESTART,
        escalation: Escalation::Halt,
        meaning: "no run can go on: the process ends, so that whoever supervises it starts it again",
    },
    Row {
        component: "timer",
        thread: Thread::Work,
        capacity: PER_EXECUTOR,
        restart: RESTART,
        escalation: Escalation::Halt,
        meaning: "no pause would end: the process ends, so that whoever supervises it starts it again",
    },
    Row {
        component: "circuit_breaker",
        thread: Thread::Work,
        capacity: PER_EXECUTOR,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "this service is called without a breaker until the next start",
    },
    Row {
        component: "auditor",
        thread: Thread::Work,
        capacity: 16,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "nobody looks for runs that stand still until the next start; runs go on",
    },
    Row {
        component: "retention",
        thread: Thread::Work,
        capacity: 16,
        restart: RESTART,
        escalation: Escalation::Park,
        meaning: "what is old is kept until the next start, so the log grows; everything else goes on",
    },
    Row {
        component: "event_log",
        thread: Thread::Committer,
        capacity: TO_COMMIT,
        restart: RESTART,
        escalation: Escalation::Halt,
        meaning: "nothing can be made durable: the process ends, so that whoever supervises it starts it again",
    },
];

/// The row of a component.
pub fn row(component: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.component == component)
}
