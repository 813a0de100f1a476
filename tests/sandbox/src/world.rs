//! The state of the world and the ledger of calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::Notify;

use crate::agentapi::Agent;
use crate::anthropic::Model;
use crate::claude::Plan;
use crate::codegen::{self, AgentRun, Codegen};
use crate::faults::{Fault, FaultKind};
use crate::github::forge::{Branch, Comment, Forge, Review, Run};
use crate::linear::workspace::Workspace;
use crate::receiver::Received;

/// How long somebody waits for a call before the test is told that it does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pull request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct PullRequest {
    /// `owner/name`.
    pub repository: String,
    /// Its number.
    pub number: u64,
    /// Commit at its head.
    pub head_sha: String,
    /// Its title.
    pub title: String,
    /// What it changes.
    pub diff: String,
    /// Whether the diff is refused as too large.
    pub diff_too_large: bool,
    /// Commits that were its head, the present one among them.
    pub heads: Vec<String>,
    /// What its author wrote.
    pub body: String,
    /// `open` or `closed`.
    pub state: String,
    /// Whether it was merged.
    pub merged: bool,
    /// Whether it is a draft.
    pub draft: bool,
    /// Branch that it comes from.
    pub head_ref: String,
    /// Where that branch is, if not in its own repository.
    pub head_repository: Option<String>,
    /// Branch that it goes into.
    pub base_ref: String,
    /// Who opened it.
    pub author: String,
    /// The files that it changes, as GitHub lists them; none for a single one with the diff.
    pub files: Vec<Json>,
}

impl Default for PullRequest {
    fn default() -> Self {
        let nothing = String::new;
        Self {
            repository: nothing(),
            number: 0,
            head_sha: nothing(),
            title: nothing(),
            diff: nothing(),
            diff_too_large: false,
            heads: Vec::new(),
            body: nothing(),
            state: "open".to_owned(),
            merged: false,
            draft: false,
            head_ref: "codegen/change".to_owned(),
            head_repository: None,
            base_ref: "main".to_owned(),
            author: "codegen-sh[bot]".to_owned(),
            files: Vec::new(),
        }
    }
}

/// A commit status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `owner/name`.
    pub repository: String,
    /// The commit.
    pub sha: String,
    /// Its state.
    pub state: String,
    /// What it is about.
    pub context: String,
    /// A line for people.
    pub description: String,
    /// Its number.
    pub id: u64,
}

/// A call in the ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// 1 for the first.
    pub number: u64,
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// `github` (its files are at `blobs` and `codeload`), `linear`, `codegen`, `slack`, `discord`, `receiver`, `claude`,
    /// `anthropic`, `agentapi` or `echo`.
    pub service: String,
    /// The method.
    pub method: String,
    /// The path without the service's prefix.
    pub path: String,
    /// What it carried in `x-idempotency-key`, `idempotency-key` or `webhook-id`.
    pub key: Option<String>,
    /// What its headers said; credentials are left out.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Its body, if it is JSON.
    pub body: Json,
    /// What it was answered; absent when it was dropped.
    pub status: Option<u16>,
    /// Whether it was done, whatever was answered.
    pub executed: bool,
}

/// Where statuses are reported to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// The URL.
    pub url: String,
    /// The secret that signs them.
    pub secret: String,
}

/// What there is.
#[derive(Default)]
pub struct State {
    /// Pull requests by repository and number.
    pub pulls: BTreeMap<(String, u64), PullRequest>,
    /// Statuses, oldest first.
    pub statuses: Vec<Status>,
    /// What else GitHub holds.
    pub forge: Forge,
    /// What there is in Linear.
    pub linear: Workspace,
    /// Texts that were posted to Slack.
    pub notifications: Vec<String>,
    /// Whether Slack's channel is archived.
    pub channel_is_archived: bool,
    /// Messages that were posted to Discord.
    pub discord: Vec<Json>,
    /// Whether Discord's webhook is deleted.
    pub webhook_is_deleted: bool,
    /// Signed webhooks that were received.
    pub received: Vec<Received>,
    /// Whether their receiver wants no more.
    pub receiver_is_gone: bool,
    /// How many messages have mentioned somebody.
    pub mentions: usize,
    /// What the echo has made, with the key that each was asked for with.
    pub things: Vec<Option<String>>,
    /// Those of them that were taken away again, by number from 1 on.
    pub taken_away: BTreeSet<usize>,
    /// Every call.
    pub ledger: Vec<Call>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What `claude` says, from now on.
    pub claude: Plan,
    /// What it says before that, one call each.
    pub claude_next: Vec<Plan>,
    /// What its model says, where the real one is asked.
    pub model: Model,
    /// The agent behind AgentAPI.
    pub agent: Agent,
    /// Where statuses are reported to.
    pub hook: Option<Hook>,
    /// What Codegen has.
    pub codegen: Codegen,
    /// Where its agent runs call back.
    pub codegen_hook: Option<Hook>,
}

/// A handle on the world.
#[derive(Clone, Default)]
pub struct World {
    state: Arc<Mutex<State>>,
    called: Arc<Notify>,
}

impl World {
    /// The state, for as long as the guard lives.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is this pull request now.
    pub fn put_pull(&self, mut pull: PullRequest) {
        pull.heads.push(pull.head_sha.clone());
        if pull.head_repository.is_none() {
            self.put_branch(&pull.repository, &pull.head_ref, &pull.head_sha);
        }
        self.state().pulls.insert((pull.repository.clone(), pull.number), pull);
    }

    /// A pull request gets a new head.
    pub fn push_head(&self, repository: &str, number: u64, sha: &str) {
        if let Some(pull) = self.state().pulls.get_mut(&(repository.to_owned(), number)) {
            sha.clone_into(&mut pull.head_sha);
            pull.heads.push(sha.to_owned());
        }
    }

    /// There is this branch now.
    pub fn put_branch(&self, repository: &str, name: &str, sha: &str) {
        let branch = Branch { sha: sha.to_owned(), protected: false };
        self.state().forge.branches.insert((repository.to_owned(), name.to_owned()), branch);
    }

    /// The code of a commit is packed so.
    pub fn put_tarball(&self, repository: &str, sha: &str, packed: Vec<u8>) {
        self.state().forge.tarballs.insert((repository.to_owned(), sha.to_owned()), packed);
    }

    /// There is this run of GitHub Actions now.
    pub fn put_run(&self, repository: &str, number: u64, run: Run) {
        self.state().forge.runs.insert((repository.to_owned(), number), run);
    }

    /// The names of the branches of a repository.
    pub fn branches(&self, repository: &str) -> Vec<String> {
        let state = self.state();
        state.forge.branches.keys().filter(|(other, _)| other == repository).map(|(_, name)| name.clone()).collect()
    }

    /// The comments on issues and pull requests, oldest first.
    pub fn comments(&self) -> Vec<Comment> {
        self.state().forge.comments.clone()
    }

    /// The reviews of pull requests, oldest first.
    pub fn reviews(&self) -> Vec<Review> {
        self.state().forge.reviews.clone()
    }

    /// A pull request as it is now.
    pub fn pull(&self, repository: &str, number: u64) -> Option<PullRequest> {
        self.state().pulls.get(&(repository.to_owned(), number)).cloned()
    }

    /// Something will go wrong.
    pub fn plan(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Something will go wrong with the next call of `service` whose path contains `path`.
    pub fn plan_once(&self, service: &str, method: &str, path: &str, kind: FaultKind) {
        let (service, method, path) = (service.to_owned(), Some(method.to_owned()), Some(path.to_owned()));
        self.plan(Fault { service, method, path_contains: path, times: 1, kind });
    }

    /// Every call so far.
    pub fn ledger(&self) -> Vec<Call> {
        self.state().ledger.clone()
    }

    /// The statuses of a commit, oldest first.
    pub fn statuses(&self, repository: &str, sha: &str) -> Vec<Status> {
        let state = self.state();
        state.statuses.iter().filter(|status| status.repository == repository && status.sha == sha).cloned().collect()
    }

    /// Codegen's agent runs, oldest first.
    pub fn agent_runs(&self) -> Vec<AgentRun> {
        self.state().codegen.runs.clone()
    }

    /// An agent run of Codegen ends so.
    pub fn end_agent_run(&self, id: u64, status: &str, result: &str) {
        codegen::end(&mut self.state(), id, status, result);
    }

    /// What was posted to Slack.
    pub fn notifications(&self) -> Vec<String> {
        self.state().notifications.clone()
    }

    /// Waits until there are `number` such calls. An error says that they do not come.
    pub async fn wait_for_calls(&self, number: usize, such: impl Fn(&Call) -> bool) -> anyhow::Result<()> {
        let come = async {
            loop {
                let called = self.called.notified();
                tokio::pin!(called);
                called.as_mut().enable();
                if self.state().ledger.iter().filter(|call| such(call)).count() >= number {
                    return;
                }
                called.await;
            }
        };
        tokio::time::timeout(PATIENCE, come)
            .await
            .map_err(|_| anyhow::anyhow!("the calls did not come; the ledger: {:#?}", self.ledger()))
    }

    /// Writes a call into the ledger; gives its place.
    pub(crate) fn note(&self, mut call: Call) -> usize {
        let mut state = self.state();
        let place = state.ledger.len();
        call.number = place as u64 + 1;
        state.ledger.push(call);
        drop(state);
        self.called.notify_waiters();
        place
    }

    /// Writes down how a call went.
    pub(crate) fn settle(&self, place: usize, status: Option<u16>, executed: bool) {
        if let Some(call) = self.state().ledger.get_mut(place) {
            call.status = status;
            call.executed = executed;
        }
        self.called.notify_waiters();
    }
}
