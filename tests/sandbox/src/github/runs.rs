//! Runs of GitHub Actions. The logs lie at another host, as the real ones do.

use serde_json::{Value as Json, json};

use super::forge::{Job, Run};
use super::{Place, error};
use crate::server::{Reply, Request};
use crate::world::State;

/// The number of a place is that of a run.
fn find<'a>(state: &'a State, place: &Place) -> Option<&'a Run> {
    state.forge.runs.get(&(place.repository.clone(), place.number))
}

/// A run.
pub fn run(state: &State, place: &Place) -> Reply {
    let Some(run) = find(state, place) else { return error(404, "Not Found") };
    Reply::json(200, whole(&place.repository, place.number, run))
}

/// The runs for a commit, newest first.
pub fn list(state: &State, repository: &str, request: &Request) -> Reply {
    let sha = request.query("head_sha");
    let fits = |((of, _), run): &(&(String, u64), &Run)| {
        of == repository && sha.as_ref().is_none_or(|sha| *sha == run.head_sha)
    };
    let runs = state.forge.runs.iter().rev().filter(fits);
    let runs: Vec<Json> = runs.map(|((of, number), run)| whole(of, *number, run)).collect();
    Reply::json(200, json!({"total_count": runs.len(), "workflow_runs": runs}))
}

fn whole(repository: &str, number: u64, run: &Run) -> Json {
    let name = if run.name.is_empty() { "CI" } else { &run.name };
    let workflow = name.bytes().fold(0, |id, byte| (id * 31 + u64::from(byte)) % 1_000_003);
    json!({
        "id": number, "name": name, "workflow_id": workflow, "head_sha": run.head_sha, "head_branch": "codegen/change",
        "status": run.status, "conclusion": run.conclusion, "run_attempt": run.attempt, "event": "pull_request",
        "html_url": format!("https://github.com/{repository}/actions/runs/{number}"), "pull_requests": [],
    })
}

/// The jobs of its last attempt.
pub fn jobs(state: &State, place: &Place) -> Reply {
    let Some(run) = find(state, place) else { return error(404, "Not Found") };
    let jobs: Vec<Json> = run.jobs.iter().map(|job| shown(job, run.attempt)).collect();
    Reply::json(200, json!({"total_count": jobs.len(), "jobs": jobs}))
}

fn shown(job: &Job, attempt: u64) -> Json {
    let fine = json!({"name": "Set up job", "status": "completed", "conclusion": "success", "number": 1});
    let failed = job.failed_steps.iter().zip(2..);
    let failed = failed
        .map(|(name, number)| json!({"name": name, "status": "completed", "conclusion": "failure", "number": number}));
    let steps: Vec<Json> = std::iter::once(fine).chain(failed).collect();
    json!({
        "id": job.id, "name": job.name, "status": "completed", "conclusion": job.conclusion, "steps": steps,
        "run_attempt": attempt, "html_url": format!("https://github.com/x/job/{}", job.id),
    })
}

/// Where the log of a job lies; the number of the place is that of the job.
pub fn logs(state: &State, place: &Place, request: &Request) -> Reply {
    let its = state.forge.runs.iter().filter(|((repository, _), _)| *repository == place.repository);
    let job = its.flat_map(|(_, run)| &run.jobs).find(|job| job.id == place.number);
    match job {
        None => error(404, "Not Found"),
        Some(Job { log: None, .. }) => error(410, "Server Error"),
        Some(_) => {
            let here = request.header("host").unwrap_or_default();
            let port = here.rsplit(':').next().unwrap_or_default();
            let location = Some(format!("http://localhost:{port}/blobs/{}/{}?sig=x", place.repository, place.number));
            Reply { location, ..Reply::text(302, "") }
        }
    }
}

/// A log, at its host: whoever shows a credential of GitHub there is refused.
pub fn blob(state: &State, request: &Request) -> Reply {
    if request.header("authorization").is_some() {
        return Reply::text(400, "InvalidAuthenticationInfo");
    }
    let id = request.path.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default().parse().ok();
    let job = state.forge.runs.values().flat_map(|run| &run.jobs).find(|job| Some(job.id) == id);
    match job.and_then(|job| job.log.as_deref()) {
        Some(log) => Reply::text(200, log),
        None => Reply::text(404, "BlobNotFound"),
    }
}

/// Has what failed done again.
pub fn rerun(state: &mut State, place: &Place) -> Reply {
    let Some(run) = state.forge.runs.get_mut(&(place.repository.clone(), place.number)) else {
        return error(404, "Not Found");
    };
    if run.status != "completed" {
        return error(403, "This workflow is already running");
    }
    if run.jobs.iter().all(|job| job.conclusion == "success") {
        return error(403, "The workflow run containing this job has no failed jobs");
    }
    run.attempt += 1;
    "queued".clone_into(&mut run.status);
    run.conclusion = None;
    Reply::json(201, json!({}))
}
