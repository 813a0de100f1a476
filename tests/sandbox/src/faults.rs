//! What goes wrong, by plan.

use serde::{Deserialize, Serialize};

use crate::world::State;

/// Something that goes wrong with the next calls that fit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// A service as the ledger names it.
    pub service: String,
    /// The method; any without it.
    #[serde(default)]
    pub method: Option<String>,
    /// What the path contains; any without it. Calls of Linear have `#` and their operation behind it.
    #[serde(default)]
    pub path_contains: Option<String>,
    /// With so many calls.
    pub times: u32,
    /// What.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It is done after so many milliseconds.
    Delay(u64),
    /// It is not done, and answered with this status.
    Refuse(u16),
    /// It is not done: too many calls, come back after so many seconds.
    RateLimit(u64),
    /// It is not done: GitHub's limit is used up, and is lifted at a second of the clock, so many from now.
    UsedUp(u64),
    /// It is not done, and the caller is sent elsewhere, where everything is fine.
    Redirect,
    /// It is not done, and the connection breaks.
    DropBefore,
    /// It is done, and the connection breaks.
    DropAfter,
    /// It is done, and answered with this status.
    ErrorAfter(u16),
    /// It is done, and answered only after so many milliseconds.
    HoldAnswer(u64),
    /// It is done, and the webhook that it causes is delivered before the answer.
    CallbackFirst,
}

/// The fault that fits a call, used up once.
pub fn take(state: &mut State, service: &str, method: &str, path: &str) -> Option<FaultKind> {
    let fits = |fault: &&mut Fault| {
        fault.times > 0
            && fault.service == service
            && fault.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && fault.path_contains.as_deref().is_none_or(|part| path.contains(part))
    };
    let fault = state.faults.iter_mut().find(fits)?;
    fault.times -= 1;
    Some(fault.kind)
}
