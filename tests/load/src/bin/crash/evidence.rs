//! What there is to hold promises against, once everything has ended: journals, waits, and the world's own ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pointsman_sandbox::{Call, World};
use serde_json::Value;

use super::door::Door;
use super::journal::text;
use super::stories::Told;

/// What server and world say of stories.
#[derive(Default)]
pub struct Evidence {
    /// The stories that were told to their end.
    pub told: Vec<Told>,
    /// The runs of all stories with their journals, also of those that were not.
    pub runs: Vec<Value>,
    /// All waits.
    pub waits: Vec<Value>,
    /// What became of callbacks, by event.
    pub callbacks: BTreeMap<String, Value>,
    /// The calls of whoever stories call.
    pub calls: Vec<Call>,
    /// What he has made, with the key that each was asked for with.
    pub things: Vec<Option<String>>,
    /// What of that was taken away again, by number from 1 on.
    pub taken_away: BTreeSet<usize>,
    /// The lines that programs have written, by file.
    pub lines: BTreeMap<String, usize>,
    /// Programs of attempts that are still there.
    pub left_running: usize,
}

/// The workflow that is not a story.
pub const PR_VALIDATION: &str = "pr_validation";

impl Evidence {
    /// Reads all of it.
    pub async fn read(door: &Door, world: &World, place: &Path, told: Vec<Told>) -> anyhow::Result<Self> {
        let mut evidence = Self { told, waits: door.list("/api/v1/waits", "").await?, ..Self::default() };
        for run in door.list("/api/v1/runs", "").await?.iter().filter(|run| text(run, "workflow") != PR_VALIDATION) {
            evidence.runs.push(door.get(&format!("/api/v1/runs/{}", text(run, "id"))).await?);
        }
        for called in evidence.told.iter().filter_map(|told| told.called.as_ref()) {
            let event = door.get(&format!("/api/v1/events/{}/status", called.event)).await?;
            evidence.callbacks.insert(called.event.clone(), event);
        }
        for file in std::fs::read_dir(place)? {
            let file = file?;
            let lines = std::fs::read_to_string(file.path())?.lines().count();
            evidence.lines.insert(file.file_name().to_string_lossy().into_owned(), lines);
        }
        let state = world.state();
        evidence.calls = state.ledger.iter().filter(|call| call.service == "echo").cloned().collect();
        (evidence.things, evidence.taken_away) = (state.things.clone(), state.taken_away.clone());
        drop(state);
        evidence.left_running = left_running(place);
        Ok(evidence)
    }

    /// The run of this id.
    pub fn run(&self, id: &str) -> Option<&Value> {
        self.runs.iter().find(|run| text(run, "id") == id)
    }
}

/// Programs that write there, and are still there.
fn left_running(place: &Path) -> usize {
    let place = place.to_string_lossy();
    let programs = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let commands = programs.filter_map(|program| std::fs::read(program.path().join("cmdline")).ok());
    commands
        .filter(|command| command.starts_with(b"/bin/sh") && String::from_utf8_lossy(command).contains(&*place))
        .count()
}
