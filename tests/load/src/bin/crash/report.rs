//! What is said of stories in the end.

use std::collections::BTreeMap;

use anyhow::bail;
use serde_json::Value;

use super::evidence::Evidence;
use super::journal::{Idle, entries, idle, millis, text};
use super::promises::Checked;

/// So many breaks of a promise are shown.
const MOST_SHOWN: usize = 10;

/// Says what happened and how promises were kept. A broken one is an error, and one that there was nothing to hold
/// against. `kills` says when the server was, in milliseconds since the Unix epoch.
pub fn tell(evidence: &Evidence, kills: &[i64], checked: &[Checked], wrong: &[String]) -> anyhow::Result<()> {
    println!("stories: {} told to their end; their runs, by workflow:", evidence.told.len());
    for (workflow, by_status) in by_status(evidence) {
        println!("  {workflow:<10} {by_status:?}");
    }
    println!("  {}", events(evidence));
    println!("  {}", waits(evidence));
    println!("  {}", world(evidence));
    let across = across(evidence, kills);
    let parts: Vec<String> =
        across.iter().map(|(idle, (cut, all))| format!("{cut} of {all} {}", idle.name())).collect();
    println!("  kills fell into {}", parts.join(", "));
    println!("promises:");
    for Checked { promise, looked_at, broken } in checked {
        println!("  {promise}: looked at {looked_at}, broken {}", broken.len());
        broken.iter().take(MOST_SHOWN).for_each(|line| println!("    {line}"));
    }
    println!("  no program is left running: {} are", evidence.left_running);
    println!("  nothing is answered that nobody expects: {} answers", wrong.len());
    wrong.iter().take(MOST_SHOWN).for_each(|line| println!("    {line}"));
    if let Some(vacuous) = checked.iter().find(|checked| checked.looked_at == 0) {
        bail!("nothing was there to see whether {}; give it more rounds", vacuous.promise);
    }
    if across.values().any(|(cut, _)| *cut == 0) || across.len() < 3 {
        bail!("no kill fell into a wait, a pause or a retry; give it more rounds");
    }
    if checked.iter().any(|checked| !checked.broken.is_empty()) || evidence.left_running > 0 || !wrong.is_empty() {
        bail!("a promise about stories was broken");
    }
    Ok(())
}

/// In how many of the times in which runs were idle the server was killed, and how many there were.
fn across(evidence: &Evidence, kills: &[i64]) -> BTreeMap<Idle, (usize, usize)> {
    let mut counts: BTreeMap<Idle, (usize, usize)> = BTreeMap::new();
    for (idle, from, to) in evidence.runs.iter().flat_map(idle) {
        let (cut, all) = counts.entry(idle).or_default();
        *cut += usize::from(kills.iter().any(|kill| (from..=to).contains(kill)));
        *all += 1;
    }
    counts
}

fn by_status(evidence: &Evidence) -> BTreeMap<&str, BTreeMap<&str, usize>> {
    let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for run in &evidence.runs {
        *counts.entry(text(run, "workflow")).or_default().entry(text(run, "status")).or_default() += 1;
    }
    counts
}

/// What journals say of doubt, retries and pauses.
fn events(evidence: &Evidence) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in evidence.runs.iter().flat_map(entries) {
        let what = match entry.what() {
            "attempted" => "attempts",
            "interrupted" => "interrupted and repeated",
            "succeeded" if entry.value("/assumed").is_some() => "taken as done",
            "failed" if entry.value("/retry_at").is_some() => "failed and tried again",
            "failed" => "failed for good",
            "parked" => "parked in doubt",
            "delayed" => "pauses",
            "restarted" => "restarted",
            "decided" => {
                let ruling = entry.value("/ruling/decision").and_then(Value::as_str).unwrap_or("-");
                *counts.entry(format!("decided as {ruling}")).or_default() += 1;
                continue;
            }
            _ => continue,
        };
        *counts.entry(what.to_owned()).or_default() += 1;
    }
    sentence("journals", &counts)
}

fn waits(evidence: &Evidence) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for wait in &evidence.waits {
        let event = evidence.callbacks.get(text(wait, "event")).and_then(|event| millis(event, "/receivedAt"));
        let was_early = event.is_some_and(|at| millis(wait, "/reservedAt").is_some_and(|reserved| at < reserved));
        let how = match text(wait, "resolvedBy") {
            "callback" if was_early => "by a callback that was there before",
            "callback" => "by a callback",
            "timeout" => "by the time",
            _ => "otherwise",
        };
        *counts.entry(how.to_owned()).or_default() += 1;
    }
    let late = evidence.callbacks.values().filter(|event| text(event, "status") == "late").count();
    format!("{}; {late} callbacks were late", sentence("waits ended", &counts))
}

fn world(evidence: &Evidence) -> String {
    let (calls, done) = (evidence.calls.len(), evidence.calls.iter().filter(|call| call.executed).count());
    let in_vain = evidence.calls.iter().filter(|call| call.executed && call.status.is_none_or(|status| status >= 300));
    let (things, gone, in_vain) = (evidence.things.len(), evidence.taken_away.len(), in_vain.count());
    let lines: usize = evidence.lines.values().sum();
    format!(
        "world: {calls} calls, {done} done, {in_vain} of these with a wrong answer or none; {things} things made, \
         {gone} of them taken away; programs did something {lines} times"
    )
}

fn sentence(about: &str, counts: &BTreeMap<String, usize>) -> String {
    let parts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    format!("{about}: {}", parts.join(", "))
}
