//! From where the sandbox's GitHub says that it delivers (docs.github.com, "REST API endpoints for meta data").

use serde_json::json;

use super::{error, named};
use crate::TOKEN;
use crate::server::{Reply, Request};
use crate::world::{State, World};

/// Answers `GET /meta`; none for anything else. It asks for no credential, and takes no wrong one.
pub fn answer(state: &State, request: &Request) -> Option<Reply> {
    if request.method != "GET" || request.path != "/meta" {
        return None;
    }
    let is_known = request.header("authorization").is_none_or(|value| value == format!("Bearer {TOKEN}"));
    if !is_known {
        return Some(error(401, "Bad credentials"));
    }
    let said = json!({ "verifiable_password_authentication": false, "hooks": state.forge.hook_ranges });
    Some(named(request, Reply::json(200, said)))
}

impl World {
    /// GitHub delivers from these networks now.
    pub fn put_hook_ranges(&self, ranges: &[&str]) {
        self.state().forge.hook_ranges = ranges.iter().map(|range| (*range).to_owned()).collect();
    }
}
