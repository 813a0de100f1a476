//! The operator: stops runs and ends them by chance, and when nothing goes wrong any more lets go on what is paused, decides
//! about what is in doubt, knowing what happened, and does again what has failed.

use std::sync::Arc;
use std::time::Duration;

use pointsman_actors::executor::command::Command;
use pointsman_actors::executor::messages::Refused;
use pointsman_actors::executor::progress::{Progress, StepState};
use pointsman_actors::ids::RunId;
use pointsman_actors::run::{Ruling, RunStatus, StoredRun, What};
use pointsman_actors::store::{RunQuery, Store};
use serde_json::json;

use crate::families::is_undo;
use crate::process::Process;

impl Process {
    async fn open_run(&self, which: usize, wanted: impl Fn(&str) -> bool) -> Option<(RunId, String)> {
        let open = self.disk.seen().open_runs(None, 100).await.unwrap_or_default();
        let open: Vec<_> = open.into_iter().filter(|open| wanted(&open.workflow)).collect();
        let place = which.checked_rem(open.len())?;
        Some((open[place].run.id, open[place].workflow.clone()))
    }

    /// Tells a run something. What is answered holds.
    async fn tell(&self, (run, workflow): (RunId, &str), command: Command) -> Result<(), Refused> {
        let told = self.tree.executors.tell(run, workflow, command.clone(), None).await;
        self.world.live().await;
        self.world.tell(format_args!("{run} was told {command:?}: {told:?}"));
        told
    }

    /// An operator stops a run for a while. If the process ends meanwhile, it goes on when everything is calm.
    pub(crate) async fn pause(self: Arc<Self>, which: usize, long: Duration) {
        let Some((run, workflow)) = self.open_run(which, |_| true).await else { return };
        if self.tell((run, &workflow), Command::Pause).await.is_ok() {
            self.world.state().stopped.insert(run);
            tokio::time::sleep(long).await;
            self.world.state().stopped.remove(&run);
            let _ = self.tell((run, &workflow), Command::Resume).await;
        }
    }

    /// An operator ends a run.
    pub(crate) async fn cancel(self: Arc<Self>, which: usize) {
        let Some((run, workflow)) = self.open_run(which, |workflow| !workflow.starts_with("pr_")).await else { return };
        self.world.state().cancelled.insert(run);
        if self.tell((run, &workflow), Command::Cancel { reason: "by chance".into() }).await.is_ok() {
            self.world.state().ending.insert(run);
        }
    }

    /// What an operator does when nothing goes wrong any more. Says whether there was anything.
    pub(crate) async fn do_again(&self) -> bool {
        let mut found = false;
        let query = RunQuery { limit: 10_000, ..RunQuery::default() };
        let runs = self.disk.seen().runs(query).await.map(|page| page.items).unwrap_or_default();
        for (run, head) in runs {
            let is_own = run.parent.is_none();
            let command = match head.status {
                RunStatus::Paused => Some(Command::Resume),
                RunStatus::NeedsDecision | RunStatus::Stuck => self.decision(run.id).await,
                _ if head.in_doubt => self.decision(run.id).await,
                // A run that another one has started is that one's affair.
                RunStatus::Failed | RunStatus::TimedOut if is_own => {
                    head.dead_since().map(|since| Command::Redrive { since })
                }
                _ => None,
            };
            if let Some(command) = command {
                found = true;
                self.lets_go(run.id, &command);
                let _ = self.tell((run.id, &run.workflow), command).await;
            }
        }
        found
    }

    /// What a run was told before does not hold any more.
    fn lets_go(&self, run: RunId, command: &Command) {
        let mut state = self.world.state();
        state.stopped.remove(&run);
        // One that was on its way out when it was cancelled ends as it would have.
        if matches!(command, Command::Redrive { .. }) {
            state.ending.remove(&run);
        }
    }

    /// What an operator decides who knows what happened.
    async fn decision(&self, run: RunId) -> Option<Command> {
        let StoredRun { record, journal, .. } = self.disk.seen().run(run).await.ok().flatten()?;
        let progress = Progress::of(&record, &journal);
        let (step, is_doubtful) = progress.steps.iter().find_map(|(step, state)| match state {
            StepState::InDoubt { .. } => Some((step.clone(), true)),
            StepState::Failed(_) if is_undo(step) && progress.is_undoing() => Some((step.clone(), false)),
            _ => None,
        })?;
        let key = journal.iter().rev().find_map(|entry| match &entry.what {
            What::Attempted { step: of, key, .. } if *of == step => Some(key.clone()),
            _ => None,
        });
        let has_happened = key.as_ref().is_some_and(|key| self.world.state().ledger.shelf.has(key));
        let ruling = if has_happened {
            Ruling::Done { output: json!({ "key": key }) }
        } else if is_doubtful && self.world.chance(300) {
            Ruling::Fail { reason: "it has not happened".into() }
        } else {
            Ruling::Repeat
        };
        Some(Command::Decide { step: Some(step), ruling })
    }
}
