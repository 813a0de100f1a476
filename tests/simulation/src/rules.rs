//! What must hold: when a delivery is answered, and when everything has come to rest.

use std::collections::BTreeMap;
use std::time::Duration;

use pointsman_actors::event::{Event, Verdict};
use pointsman_actors::executor::progress::Progress;
use pointsman_actors::ids::{EventId, RunId};
use pointsman_actors::receiver::actor::Receipt;
use pointsman_actors::run::{RunStatus, StoredRun, What};
use pointsman_actors::store::{EventQuery, RunQuery, Store, WaitQuery};
use pointsman_actors::time::Timestamp;
use serde_json::Value as Json;

use crate::deliveries::{Head, PullPlan, Says};
use crate::families;
use crate::plan::Moment;
use crate::store::Disk;
use crate::world::World;

/// A delivery is answered with success: then it is durable, and one event whoever sent it how often.
pub fn acknowledged(world: &World, delivery: usize, receipt: Receipt) {
    let event = receipt.event;
    world.tell(format_args!("delivery {delivery} is answered: {event} {:?}", receipt.outcome));
    let (durable, before) = {
        let mut state = world.state();
        (state.events.contains_key(&event), state.acknowledged.insert(delivery, event))
    };
    if !durable {
        world.wrong(format!("delivery {delivery} is answered before {event} is durable"));
    }
    if before.is_some_and(|before| before != event) {
        world.wrong(format!("delivery {delivery} is {before:?} and {event}"));
    }
}

/// What is left to do, in words.
pub async fn left(disk: &Disk, world: &World) -> String {
    let mut left = Vec::new();
    let unanswered = world.state().answered.iter().filter(|answered| !**answered).count();
    if unanswered > 0 {
        left.push(format!("{unanswered} deliveries without an answer"));
    }
    if !disk.is_clean() {
        left.push("something to be flushed".to_owned());
    }
    let seen = disk.seen();
    let pending = seen.counts().pending;
    if pending > 0 {
        left.push(format!("{pending} pending events"));
    }
    for open in seen.open_runs(None, 1_000).await.unwrap_or_default() {
        let head = seen.run(open.run.id).await.ok().flatten().map(|run| run.head);
        let head = head.map(|head| format!("{} {:?} {:?}", head.status.name(), head.step, head.wake));
        left.push(format!("{} {}", open.run.id, head.unwrap_or_default()));
    }
    left.join(", ")
}

/// What must hold at the end. Says what does not.
pub async fn check(disk: &Disk, world: &World) -> Result<(), String> {
    let seen = disk.seen();
    let query = EventQuery { limit: 10_000, ..EventQuery::default() };
    let events = seen.events(query).await.map_err(|error| error.to_string())?.items;
    let query = RunQuery { limit: 10_000, ..RunQuery::default() };
    let heads = seen.runs(query).await.map_err(|error| error.to_string())?.items;
    let mut runs = BTreeMap::new();
    for (record, _) in heads {
        let stored = seen.run(record.id).await.map_err(|error| error.to_string())?;
        runs.insert(record.id, stored.ok_or_else(|| format!("{} is listed and is not there", record.id))?);
    }
    let by_delivery = deliveries(world, &events)?;
    for stored in runs.values() {
        run(world, stored).map_err(|what| format!("{}: {what}", stored.record.id))?;
    }
    let started: usize = events.iter().map(|event| event.runs().len()).sum();
    let by_events = runs.values().filter(|run| run.record.parent.is_none()).count();
    if started != by_events {
        return Err(format!("events started {started} runs, and there are {by_events}"));
    }
    let by_others = world.state().parents.len();
    if by_others != runs.len() - by_events {
        return Err(format!("runs started {by_others} others, and there are {}", runs.len() - by_events));
    }
    let query = WaitQuery { limit: 10_000, ..WaitQuery::default() };
    let waits = seen.waits(query).await.map_err(|error| error.to_string())?.items;
    if let Some(wait) = waits.iter().find(|wait| !families::is_resolved(&world.state(), wait.state)) {
        return Err(format!("nobody waits any more, and {wait:?} is not resolved"));
    }
    generations(world, &events, &runs)?;
    let mail = world.state().mail.clone();
    for (number, pull) in world.plan().pulls.iter().enumerate() {
        let of = |head: usize| {
            let told = mail.deliveries.iter().enumerate();
            let told = told.filter(|(_, delivery)| delivery.says == Says::Head(number, head));
            let started =
                told.flat_map(|(place, _)| by_delivery.get(&place).map(|event| event.runs()).unwrap_or_default());
            started.filter_map(|run| runs.get(&run)).collect::<Vec<_>>()
        };
        let heads: Vec<(&Head, Vec<&StoredRun>)> =
            pull.heads.iter().enumerate().map(|(place, head)| (head, of(place))).collect();
        pull_request(world, pull, &heads).map_err(|what| format!("{}#{}: {what}", pull.repository, pull.number))?;
    }
    Ok(())
}

/// Each delivery is one event, the acknowledged one, with a verdict that is right.
fn deliveries<'a>(world: &World, events: &'a [Event]) -> Result<BTreeMap<usize, &'a Event>, String> {
    let (plan, deliveries) = (world.plan(), world.state().mail.deliveries.clone());
    if events.len() != deliveries.len() {
        return Err(format!("{} deliveries, {} events", deliveries.len(), events.len()));
    }
    let by_id: BTreeMap<EventId, &Event> = events.iter().map(|event| (event.meta.id, event)).collect();
    let mut found = BTreeMap::new();
    for (place, delivery) in deliveries.iter().enumerate() {
        let event = world.state().acknowledged.get(&place).copied();
        let event = event.and_then(|event| by_id.get(&event).copied());
        let event = event.filter(|event| event.meta.delivery_id == delivery.id);
        let event = event.ok_or_else(|| format!("delivery {place} was answered and is lost"))?;
        let counts = match delivery.says {
            Says::Head(pull, head) => plan.pulls[pull].heads[head].counts,
            Says::Asked | Says::Story => true,
            Says::Generated(_) => false,
        };
        let is_callback = matches!(delivery.says, Says::Generated(_));
        let is_right = match &event.verdict {
            Verdict::Started { runs, .. } => counts && runs.len() == 1,
            // Also a callback whose routing fell first: whoever comes to wait for it gets it all the same.
            Verdict::Unrouted { .. } => !counts,
            Verdict::CompletedWait { .. } | Verdict::Late { .. } | Verdict::Buffered { .. } => is_callback,
            Verdict::Duplicate { of } => by_id.get(of).is_some_and(|first| first.meta.facts == event.meta.facts),
            _ => false,
        };
        if !is_right {
            return Err(format!("delivery {place} became {:?}", event.verdict));
        }
        found.insert(place, event);
    }
    Ok(found)
}

/// The journal of a run is whole, and says of each step once what became of it.
fn run(world: &World, stored: &StoredRun) -> Result<(), String> {
    let StoredRun { record, head, journal } = stored;
    let durable = world.state().journals.get(&record.id).cloned().unwrap_or_default();
    if durable != *journal {
        return Err(format!("{} entries were flushed and {} are there", durable.len(), journal.len()));
    }
    let progress = Progress::of(record, journal);
    if progress.head(head.updated_at) != *head {
        return Err(format!("lists show {head:?}, the journal says {:?}", progress.head(head.updated_at)));
    }
    families::at_rest(&world.state(), stored)?;
    let mut done: Vec<&str> = Vec::new();
    let mut delays: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for entry in journal {
        match &entry.what {
            What::Succeeded { step, .. } if done.contains(&step.as_str()) => {
                return Err(format!("{step} succeeded twice"));
            }
            What::Succeeded { step, attempt: 0, .. } => {
                done.push(step);
                if let Some(until) = delays.get(step.as_str()).filter(|until| entry.at < **until) {
                    return Err(format!("{step} ended at {} and was to last until {until}", entry.at));
                }
            }
            What::Succeeded { step, output, .. } => {
                done.push(step);
                posted(world, record.id, step, output)?;
            }
            What::Delayed { step, until } => _ = delays.insert(step, *until),
            What::Restarted { steps, .. } => done.retain(|step| !steps.iter().any(|again| again == step)),
            _ => {}
        }
    }
    Ok(())
}

/// What a step says was sent was posted, in each place.
fn posted(world: &World, run: RunId, step: &str, output: &Json) -> Result<(), String> {
    let targets = output.get("targets").and_then(Json::as_object).into_iter().flatten();
    for (target, _) in targets.filter(|(_, word)| *word == "sent") {
        let of_step = format!("{target}/{run}/{step}");
        if !world.state().ledger.posts.keys().any(|key| key.starts_with(&of_step)) {
            return Err(format!("{step} says that it was sent to {target}, and nobody got it"));
        }
    }
    Ok(())
}

/// Whatever was generated was generated for whoever was called back with it, and of each burst somebody got it.
fn generations(world: &World, events: &[Event], runs: &BTreeMap<RunId, StoredRun>) -> Result<(), String> {
    let numbers = world.state().ledger.numbers.clone();
    let jumps = world.plan().moments.iter().any(|(_, moment)| matches!(moment, Moment::Jump(_)));
    let mut branches: BTreeMap<String, bool> = BTreeMap::new();
    for stored in runs.values().filter(|run| run.record.workflow == "generation") {
        let (id, mut key) = (stored.record.id, None);
        for entry in &stored.journal {
            match &entry.what {
                What::Attempted { step, key: this, .. } if step == "generate" => key = Some(this.clone()),
                What::Succeeded { step, event: None, output, .. } if step == "generate" => {
                    let number = key.as_ref().and_then(|key| numbers.get(key)).copied();
                    if output["number"].as_u64() != number {
                        return Err(format!("{id} asked for {number:?} and was answered {output}"));
                    }
                }
                What::Succeeded { step, event, .. } if step == "generate" => {
                    let number = key.as_ref().and_then(|key| numbers.get(key)).copied().unwrap_or_default();
                    let called = event.and_then(|event| events.iter().find(|other| other.meta.id == event));
                    let keys = called.map(|event| event.meta.facts.correlation_keys.clone()).unwrap_or_default();
                    if keys != [format!("codegen:run:{number}")] {
                        return Err(format!("{id} asked for {number} and was called back with {keys:?}"));
                    }
                }
                What::Failed { error, .. } if error.message.starts_with("nobody called back") && !jumps => {
                    return Err(format!("{id}: {}", error.message));
                }
                _ => {}
            }
        }
        let branch = stored.record.input.get("branch").map(ToString::to_string).unwrap_or_default();
        *branches.entry(branch).or_default() |= stored.head.status != RunStatus::Superseded;
    }
    match branches.into_iter().find(|(_, goes_on)| !goes_on) {
        Some((branch, _)) => Err(format!("everybody on {branch} made way, and nobody was there")),
        None => Ok(()),
    }
}

/// The newest head has the last word, and whoever made way did so for a newer one.
fn pull_request(world: &World, pull: &PullPlan, heads: &[(&Head, Vec<&StoredRun>)]) -> Result<(), String> {
    let state = world.state();
    let sha_of = |(_, _, sha, _): &&(Duration, String, String, String)| pull.heads.iter().any(|head| head.sha == *sha);
    let mut highest = 0;
    for (at, _, sha, _) in state.ledger.statuses.iter().filter(sha_of) {
        let place = pull.heads.iter().rposition(|head| head.sha == *sha && head.at <= *at);
        let place = place.ok_or_else(|| format!("a status was set at {sha} before that was pushed"))?;
        if place < highest {
            return Err(format!("at {at:?} a status was set at head {place}, after one at head {highest}"));
        }
        highest = place;
    }
    let Some(newest) = heads.iter().rposition(|(head, _)| head.counts) else {
        let any = state.ledger.statuses.iter().any(|status| sha_of(&status));
        return if any { Err("a status was set that nobody asked for".to_owned()) } else { Ok(()) };
    };
    let ids = |runs: &[&StoredRun]| runs.iter().map(|run| run.record.id).collect::<Vec<RunId>>();
    for (place, (_, runs)) in heads.iter().enumerate().filter(|(_, (head, _))| head.counts) {
        if runs.is_empty() {
            return Err(format!("head {place} started no run"));
        }
        let is_newest = place == newest;
        if is_newest && runs.iter().all(|run| run.head.status != RunStatus::Succeeded) {
            return Err(format!("the runs of its newest head are {:?}, superseded", ids(runs)));
        }
    }
    let last = state.ledger.statuses.iter().rev().find(sha_of);
    let expect = &heads[newest].0.sha;
    match last {
        Some((_, _, sha, _)) if sha == expect => Ok(()),
        Some((at, _, sha, _)) => Err(format!("its newest head is {expect}, and the last status is at {sha}, {at:?}")),
        None => Err(format!("there is no status at its newest head {expect}")),
    }
}
