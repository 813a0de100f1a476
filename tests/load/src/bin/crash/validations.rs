//! Validations of pull requests under fire: every one that was started ends, and what was recorded as done is not
//! done again.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::bail;
use pointsman::integrations::process::members;
use pointsman_load::signature;
use pointsman_sandbox::claude::Plan;
use pointsman_sandbox::{Call, FaultKind, PullRequest, World};
use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

use super::deliveries::Notes;
use super::door::Door;
use super::evidence::PR_VALIDATION;
use super::journal::{is_over, text};
use super::stories;

const REPOSITORY: &str = "acme/shop";

/// How long all runs may take to end once nobody kills the server any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// So many of those that do not end are shown.
const MOST_SHOWN: usize = 20;

/// Some of what providers do wrong, for the next calls.
pub fn misbehave(world: &World, chance: &mut SmallRng) {
    let kinds = [
        FaultKind::Refuse(502),
        FaultKind::RateLimit(1),
        FaultKind::DropAfter,
        FaultKind::DropBefore,
        FaultKind::ErrorAfter(500),
        FaultKind::Delay(100),
    ];
    let service = if chance.random_ratio(1, 4) { "slack" } else { "github" };
    stories::plan(world, chance, service, &kinds);
}

/// A `claude` that is still at work when the server is killed.
pub fn slow_claude() -> Plan {
    Plan { delay_ms: 3_000, leaves_a_child: true, ..Plan::default() }
}

/// Opens pull requests and notes which of them were acknowledged.
pub async fn open_pulls(
    http: reqwest::Client,
    base: String,
    world: World,
    (numbers, notes): (Range<u32>, Notes),
) -> anyhow::Result<u64> {
    for number in numbers {
        let head_sha = format!("head{number}");
        world.put_pull(PullRequest {
            repository: REPOSITORY.to_owned(),
            number: u64::from(number),
            head_sha: head_sha.clone(),
            title: "A change".to_owned(),
            diff: "+change\n".to_owned(),
            ..PullRequest::default()
        });
        let body = payload(number, &head_sha).to_string();
        let request = http
            .post(format!("{base}/webhooks/github"))
            .header("content-type", "application/json")
            .header("x-github-event", "pull_request")
            .header("x-github-delivery", format!("pull-{number}"))
            .header("x-hub-signature-256", signature(body.as_bytes())?)
            .body(body);
        let Ok(answer) = request.send().await else { continue };
        if answer.status() != 200 {
            continue;
        }
        let Ok(answer) = answer.json::<Value>().await else { continue };
        let event = answer["eventId"].as_str().unwrap_or_default().to_owned();
        notes.lock().unwrap_or_else(PoisonError::into_inner).insert(head_sha, event);
    }
    Ok(0)
}

fn payload(number: u32, sha: &str) -> Value {
    json!({
        "action": "opened", "number": number,
        "pull_request": {
            "id": number, "number": number, "title": "A change", "updated_at": "2026-01-05T10:00:00Z",
            "user": {"login": "codegen-sh[bot]"},
            "head": {"ref": "codegen/change", "sha": sha, "repo": {"full_name": REPOSITORY}},
            "base": {"ref": "main", "repo": {"full_name": REPOSITORY}},
        },
        "repository": {"full_name": REPOSITORY},
    })
}

/// Waits until every run has ended, then holds journals against the ledger, and reports.
pub async fn check(door: &Door, world: &World, notes: &Notes) -> anyhow::Result<()> {
    let open = tokio::time::timeout(PATIENCE, until_all_ended(door)).await;
    let runs = read_all(door).await?;
    if open.is_err() {
        let unfinished = runs.iter().filter(|run| !is_over(run)).take(MOST_SHOWN);
        let unfinished =
            unfinished.map(|run| format!("{} is {} at {}: {}", run["id"], run["status"], run["step"], run["reason"]));
        bail!("validations do not end:\n  {}", unfinished.collect::<Vec<_>>().join("\n  "));
    }
    let mut by_status: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut repeated, mut interrupted, mut assumed) = (0, 0, 0);
    for run in &runs {
        *by_status.entry(run["status"].as_str().unwrap_or("-")).or_default() += 1;
        let journal = Journal::of(run);
        repeated += journal.done_again;
        interrupted += journal.interrupted;
        assumed += journal.assumed;
    }
    let (unrecorded, sent_twice) = against_ledger(&runs, world);
    let too_late = after_their_outcome(&runs, world);
    let (status_again, status_other) = statuses(world);
    let started: HashMap<&str, &Value> = runs.iter().map(|run| (run["event"].as_str().unwrap_or("-"), run)).collect();
    let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = notes.values().filter(|event| !started.contains_key(event.as_str())).count();
    let left = left_running(world);
    println!(
        "runs: {} pull requests acknowledged, {} runs, ended as {by_status:?}: {missing} acknowledged without run, \
         {repeated} steps done again after their outcome, {unrecorded} calls without attempt, \
         {too_late} calls after the outcome of their step, {sent_twice} notifications sent twice, {left} programs left \
         running",
        notes.len(),
        runs.len()
    );
    println!(
        "doubt: {interrupted} attempts interrupted, {assumed} taken as done, {status_again} statuses set again \
         with the same content, {status_other} with another"
    );
    for run in runs.iter().filter(|run| run["status"] != "succeeded") {
        println!("  {}: {}", run["id"].as_str().unwrap_or("-"), run["reason"].as_str().unwrap_or("-"));
    }
    let succeeded = by_status.get("succeeded").copied().unwrap_or_default();
    if succeeded * 10 < runs.len() * 9 {
        bail!(
            "only {succeeded} of {} runs succeeded: that is more than the sandbox's misbehaviour explains",
            runs.len()
        );
    }
    if missing + repeated + unrecorded + too_late + sent_twice + left + status_other > 0 || runs.is_empty() {
        bail!("a promise about runs was broken");
    }
    Ok(())
}

async fn until_all_ended(door: &Door) -> anyhow::Result<()> {
    loop {
        let metrics = door.get("/metrics").await?;
        let count = |name: &str| metrics["workflows"][name].as_u64().unwrap_or(u64::MAX);
        if count("runsQueued") == 0 && count("runsActive") == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All validations with their journals.
async fn read_all(door: &Door) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for run in door.list("/api/v1/runs", &format!("&workflow={PR_VALIDATION}")).await? {
        all.push(door.get(&format!("/api/v1/runs/{}", text(&run, "id"))).await?);
    }
    Ok(all)
}

/// What a journal says of repetition.
#[derive(Default)]
struct Journal {
    attempts: HashMap<String, usize>,
    done_again: usize,
    interrupted: usize,
    assumed: usize,
}

impl Journal {
    fn of(run: &Value) -> Self {
        let (mut journal, mut done) = (Self::default(), Vec::new());
        for entry in run["journal"].as_array().into_iter().flatten() {
            let step = entry["step"].as_str().unwrap_or_default();
            match entry["entry"].as_str().unwrap_or_default() {
                "attempted" => {
                    journal.done_again += usize::from(done.contains(&step));
                    *journal.attempts.entry(entry["key"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
                }
                "succeeded" => {
                    journal.done_again += usize::from(done.contains(&step));
                    journal.assumed += usize::from(entry["assumed"] == true);
                    done.push(step);
                }
                "interrupted" => journal.interrupted += 1,
                _ => {}
            }
        }
        journal
    }
}

/// Calls that no attempt in a journal stands for, and notifications that were sent more than once.
fn against_ledger(runs: &[Value], world: &World) -> (usize, usize) {
    let mut attempts: HashMap<String, usize> = HashMap::new();
    runs.iter().for_each(|run| attempts.extend(Journal::of(run).attempts));
    let (mut calls, mut sent): (HashMap<String, usize>, HashMap<String, usize>) = (HashMap::new(), HashMap::new());
    for call in world.ledger().into_iter().filter(|call| call.service != "echo") {
        let Some(key) = call.key else { continue };
        *calls.entry(key.clone()).or_default() += 1;
        if call.service == "slack" && call.executed {
            *sent.entry(key).or_default() += 1;
        }
    }
    let unrecorded = calls.iter().filter(|(key, calls)| attempts.get(*key).is_none_or(|attempts| attempts < *calls));
    (unrecorded.count(), sent.values().filter(|sent| **sent > 1).count())
}

/// Calls that came after the outcome of their step was recorded: of GitHub and Slack by their key, of
/// `claude` by the pull request in its prompt. A second is left for the journal's own clock.
fn after_their_outcome(runs: &[Value], world: &World) -> usize {
    let mut recorded: HashMap<String, i64> = HashMap::new();
    for run in runs {
        let (id, number) = (run["id"].as_str().unwrap_or_default(), run["input"]["pr_number"].as_u64());
        for entry in run["journal"].as_array().into_iter().flatten().filter(|entry| entry["entry"] == "succeeded") {
            let at = entry["at"].as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
            let (step, at) = (entry["step"].as_str().unwrap_or_default(), at.map_or(0, |at| at.timestamp_millis()));
            recorded.insert(format!("{id}/{step}"), at);
            if let Some(number) = number.filter(|_| step == "validate_pr") {
                recorded.insert(format!("{REPOSITORY}#{number} "), at);
            }
        }
    }
    let of_claude = |call: &Call| {
        let prompt = call.body["prompt"].as_str().unwrap_or_default();
        let (_, rest) = prompt.split_once("pull request ")?;
        Some(format!("{} ", rest.split_once(' ')?.0))
    };
    let late = |call: &Call| {
        let key = if call.service == "claude" { of_claude(call) } else { call.key.clone() };
        key.and_then(|key| recorded.get(&key).copied()).is_some_and(|at| call.at_ms > at + 1_000)
    };
    world.ledger().iter().filter(|call| late(call)).count()
}

/// Statuses that were set again: with the same content, and with another.
fn statuses(world: &World) -> (usize, usize) {
    let mut first: HashMap<String, (String, String)> = HashMap::new();
    let (mut same, mut other) = (0, 0);
    for status in world.state().statuses.clone() {
        let content = (status.state, status.description);
        match first.get(&status.sha) {
            Some(before) if *before == content => same += 1,
            Some(_) => other += 1,
            None => _ = first.insert(status.sha, content),
        }
    }
    (same, other)
}

/// Programs of attempts that are still there after all runs have ended.
fn left_running(world: &World) -> usize {
    let pids = world.ledger().into_iter().filter_map(|call| call.body["pid"].as_u64());
    pids.filter(|pid| {
        let command = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"));
        let is_it = command.is_ok_and(|command| String::from_utf8_lossy(&command).contains("fake-claude"));
        // It may have left before what it started.
        is_it || u32::try_from(*pid).is_ok_and(|group| members(group).next().is_some())
    })
    .count()
}
