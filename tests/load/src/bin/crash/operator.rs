//! The operator whom runs wait for: he looks at what became of an attempt before he decides, as one should.

use std::path::PathBuf;

use anyhow::{Context, bail};
use pointsman_actors::time::{Clock, SystemClock};
use pointsman_sandbox::World;
use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

use super::door::Door;
use super::journal::{Entry, entries, text};

/// So many milliseconds after an attempt came into doubt nothing of it is on its way any more.
const SETTLED: i64 = 1_000;

/// Decides what nobody else knows.
#[derive(Clone)]
pub struct Operator {
    /// The world that he looks at.
    pub world: World,
    /// Where programs write what they have done.
    pub place: PathBuf,
}

impl Operator {
    /// Decides about the step that a run waits with: what was done is done; what was not is done again, or has
    /// failed; what could not be undone is tried again.
    pub async fn decide(&self, door: &Door, run: &Value, chance: &mut SmallRng) -> anyhow::Result<()> {
        let step = text(run, "step");
        if text(run, "status") == "stuck" {
            return say(door, run, "decide", &json!({ "step": step, "decision": "repeat" })).await;
        }
        let parked = entries(run).filter(|entry| entry.what() == "parked" && entry.step() == step);
        let parked = parked.last().context("what is in doubt was parked")?;
        if SystemClock::new().now().millis() < parked.at() + SETTLED {
            return Ok(());
        }
        let decision = match (self.was_done(run, step)?, chance.random_ratio(1, 3)) {
            (true, _) => json!({ "step": step, "decision": "done", "output": { "said_by": "an operator" } }),
            (false, false) => json!({ "step": step, "decision": "repeat" }),
            (false, true) => json!({ "step": step, "decision": "fail", "reason": "it was not done" }),
        };
        say(door, run, "decide", &decision).await
    }

    /// Has a run that is over done again: from where it failed, or from its last step on.
    pub async fn restart(&self, door: &Door, run: &Value) -> anyhow::Result<()> {
        let ended = entries(run).filter(|entry| matches!(entry.what(), "failed" | "succeeded")).last();
        let step = ended.map(Entry::step).context("a run that is over says what its last step was")?;
        say(door, run, "restart", &json!({ "step": step })).await
    }

    /// Whether an attempt of the step had its effect, by what the world says.
    fn was_done(&self, run: &Value, step: &str) -> anyhow::Result<bool> {
        if text(run, "workflow") == "commands" {
            let file = self.place.join(format!("{step}-{}", run["input"]["number"]));
            return Ok(std::fs::read_to_string(file).is_ok_and(|lines| !lines.is_empty()));
        }
        let attempted = entries(run).filter(|entry| entry.what() == "attempted" && entry.step() == step);
        let key = attempted.last().map(|entry| entry.text("key")).context("what is in doubt was attempted")?;
        let state = self.world.state();
        Ok(state.ledger.iter().any(|call| call.executed && call.key.as_deref() == Some(key)))
    }
}

/// Tells the server; what gets no answer, or comes too late, is seen at the next look.
async fn say(door: &Door, run: &Value, verb: &str, body: &Value) -> anyhow::Result<()> {
    match door.tell(&format!("/api/v1/runs/{}/{verb}", text(run, "id")), body).await? {
        None | Some((200 | 409 | 503, _)) => Ok(()),
        Some((status, answer)) => bail!("{verb} was answered {status} {answer}"),
    }
}
