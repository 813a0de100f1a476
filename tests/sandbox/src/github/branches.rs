//! Repositories and their branches.

use serde_json::{Value as Json, json};

use super::error;
use crate::server::Reply;
use crate::world::State;

/// The default branch of every repository.
pub const DEFAULT: &str = "main";

/// A repository; there is one where there is a pull request or a branch.
pub fn repository(state: &State, repository: &str) -> Reply {
    if !exists(state, repository) {
        return error(404, "Not Found");
    }
    let (owner, name) = repository.split_once('/').unwrap_or_default();
    Reply::json(
        200,
        json!({"full_name": repository, "name": name, "owner": {"login": owner}, "default_branch": DEFAULT}),
    )
}

/// Whether there is such a repository.
pub fn exists(state: &State, repository: &str) -> bool {
    state.pulls.keys().any(|(other, _)| other == repository)
        || state.forge.branches.keys().any(|(other, _)| other == repository)
}

/// A branch.
pub fn branch(state: &State, repository: &str, name: &str) -> Reply {
    match state.forge.branches.get(&(repository.to_owned(), name.to_owned())) {
        Some(branch) => Reply::json(200, shown(name, &branch.sha, branch.protected)),
        None => error(404, "Branch not found"),
    }
}

fn shown(name: &str, sha: &str, protected: bool) -> Json {
    json!({"name": name, "commit": {"sha": sha}, "protected": protected})
}

/// Deletes a reference, of which `name` comes without its `refs/`.
pub fn delete(state: &mut State, repository: &str, name: &str) -> Reply {
    let Some(branch) = name.strip_prefix("heads/") else { return error(422, "Reference does not exist") };
    let place = (repository.to_owned(), branch.to_owned());
    if state.forge.branches.get(&place).is_some_and(|branch| branch.protected) || branch == DEFAULT {
        return error(422, "Cannot delete this protected branch");
    }
    match state.forge.branches.remove(&place) {
        Some(_) => Reply::text(204, ""),
        None => error(422, "Reference does not exist"),
    }
}
