//! Deliveries under fire: what was acknowledged must be in the log, once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use pointsman_load::signature;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::Value;

use super::door::Door;
use super::journal::text;

/// What was acknowledged: delivery id → event id.
pub type Notes = Arc<Mutex<HashMap<String, String>>>;

/// One client's life in one round: new deliveries, and now and then an earlier one again.
pub async fn send(
    http: reqwest::Client,
    base: String,
    (round, client): (u32, u32),
    notes: Notes,
) -> anyhow::Result<u64> {
    let mut chance = rand::rngs::SmallRng::seed_from_u64(u64::from(round) << 32 | u64::from(client));
    let (mut number, mut wrong) = (0_u32, 0);
    loop {
        let earlier = number > 0 && chance.random_ratio(1, 5);
        let delivery = if earlier {
            format!("{round}-{client}-{}", chance.random_range(0..number))
        } else {
            format!("{round}-{client}-{number}")
        };
        number += u32::from(!earlier);
        let body = format!(
            "{{\"ref\":\"refs/heads/{delivery}\",\"filler\":\"{}\"}}",
            "x".repeat((chance.next_u32() % 4096) as usize)
        );
        let request = http
            .post(format!("{base}/webhooks/github"))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", &delivery)
            .header("x-hub-signature-256", signature(body.as_bytes())?)
            .body(body);
        let Ok(answer) = request.send().await else { return Ok(wrong) };
        if answer.status() != 200 {
            continue;
        }
        let Ok(answer) = answer.json::<Value>().await else { return Ok(wrong) };
        let event = answer["eventId"].as_str().unwrap_or_default().to_owned();
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.get(&delivery).is_some_and(|noted| *noted != event) {
            wrong += 1;
        }
        notes.insert(delivery, event);
    }
}

/// Reads the whole log: delivery id → its events.
async fn read_all(door: &Door) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for event in door.list("/api/v1/events", "").await? {
        all.entry(text(&event, "deliveryId").to_owned()).or_default().push(text(&event, "id").to_owned());
    }
    Ok(all)
}

/// Holds the log against the notes, and reports.
pub async fn check(door: &Door, notes: &Notes, renamed: u64) -> anyhow::Result<()> {
    let log = read_all(door).await?;
    let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    let lost = notes
        .iter()
        .filter(|(delivery, event)| !log.get(*delivery).is_some_and(|events| events.contains(event)))
        .count();
    let doubled = log.values().filter(|events| events.len() > 1).count();
    println!(
        "deliveries: {} acknowledged, {} in the log: {lost} acknowledged lost, {doubled} doubled, {renamed} answered with another id",
        notes.len(),
        log.len()
    );
    if lost + doubled > 0 || renamed > 0 || notes.is_empty() {
        bail!("a promise about deliveries was broken");
    }
    Ok(())
}
