//! What the log says of runs: how they end, and what went wrong on the way.

use crate::run::{Entry, RunRecord, RunStatus, What};

/// Logs what is worth a line.
pub fn log(run: &RunRecord, entries: &[Entry]) {
    let subject = run.subject.as_deref().unwrap_or("-");
    for entry in entries {
        match &entry.what {
            What::Ended { status: RunStatus::Succeeded, .. } => {
                tracing::info!(run = %run.id, workflow = run.workflow, subject, "run succeeded");
            }
            What::Ended { status: status @ (RunStatus::Failed | RunStatus::TimedOut), reason } => {
                let (status, reason) = (status.name(), reason.as_deref().unwrap_or("-"));
                tracing::warn!(run = %run.id, workflow = run.workflow, subject, status, reason, "run ended, and is a dead letter");
            }
            What::Ended { status, reason } => {
                let (status, reason) = (status.name(), reason.as_deref().unwrap_or("-"));
                tracing::warn!(run = %run.id, workflow = run.workflow, subject, status, reason, "run ended");
            }
            What::Failed { step, attempt, error, .. } => {
                tracing::warn!(run = %run.id, workflow = run.workflow, subject, step, attempt, error = error.to_string(), "attempt failed");
            }
            What::Parked { step, reason, .. } => {
                tracing::warn!(run = %run.id, workflow = run.workflow, subject, step, reason, "run needs a decision");
            }
            _ => {}
        }
    }
}
